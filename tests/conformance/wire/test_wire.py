"""One real call for each operation in scope, and a list of gaps that tells the truth."""

import re
from pathlib import Path

import httpx
import pytest

from tests.conformance.wire import calls
from tests.conformance.wire.gaps import KNOWN_GAPS
from tests.conformance.wire.operations import OPERATIONS, SERVICES, Operation, Service, operations_of
from tests.conformance.wire.overrules import OVERRULES
from tests.conformance.wire.verdict import faults_in
from tests.conformance.wire.world import WireWorld

calls.load()
_KEYS = {(operation.service.name, operation.key) for operation in OPERATIONS}
_NO_ROUTE = ("404003", "405000")


def _is_gap(operation: Operation) -> bool:
    return (operation.service.name, operation.key) in KNOWN_GAPS


@pytest.mark.parametrize("operation", [item for item in OPERATIONS if not _is_gap(item)], ids=str)
def test_operation_answers_as_published(operation: Operation, wire_world: WireWorld, shared: Path) -> None:
    call = calls.call_of(operation)
    assert call, f"{operation} is missing: write its call, or name it among the known gaps"
    assert not faults_in(operation, call(wire_world), shared / "specs")


def test_every_known_gap_is_still_one(wire_world: WireWorld, shared: Path) -> None:
    for operation in filter(_is_gap, OPERATIONS):
        _check_gap(operation, wire_world, shared)


def _check_gap(operation: Operation, wire_world: WireWorld, shared: Path) -> None:
    call = calls.call_of(operation)
    if call is not None:
        assert _differs(operation, call, wire_world, shared / "specs"), f"{operation} conforms: it is no gap any more"
    else:
        path = operation.service.base + re.sub(r"\{[^}]*\}", "x", operation.path.replace("{c}", "tenant"))
        answer = wire_world.call(operation.method, path)
        assert answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED)
        assert answer.json().get("error_code") in _NO_ROUTE, f"{operation} has a route: write its call"


def _differs(operation: Operation, call: calls.Call, world: WireWorld, specs: Path) -> bool:
    try:
        return bool(faults_in(operation, call(world), specs))
    except AssertionError:
        return True


def test_lists_name_operations_in_scope_alone() -> None:
    assert calls.covered() <= _KEYS
    assert set(KNOWN_GAPS) <= _KEYS
    assert set(OVERRULES) <= _KEYS


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_operations_are_those_of_the_reference(service: Service, shared: Path) -> None:
    page = (shared / "reference" / "api-surface.md").read_text()
    section = page.partition(f"\n### {service.name}\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| ([A-Z ]+) `([^`]+)` \|.*\| (must|should) \|$", section, re.MULTILINE)
    wanted = {(scope, method, path) for methods, path, scope in rows for method in methods.split()}
    assert wanted == {(item.scope, item.method, item.path) for item in operations_of(service)}
