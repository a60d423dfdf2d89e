"""What is wrong with an answer, if anything."""

from fnmatch import fnmatchcase
from pathlib import Path

import httpx

from tests.conformance.wire.operations import Operation
from tests.conformance.wire.overrules import OVERRULES, Overrule
from tests.conformance.wire.relied_on import RELIED_ON
from tests.conformance.wire.spec import Fault, SpecSilent, faults_of, spec_at

_NOTHING = Overrule(why="")


def faults_in(operation: Operation, answer: httpx.Response, specs: Path) -> list[str]:
    """Return how an answer differs from what the operation owes, empty when it does not.

    Args:
        operation: What was called.
        answer: What came back.
        specs: The folder of the published files.
    """
    overrule = OVERRULES.get((operation.service.name, operation.key), _NOTHING)
    wanted = set(overrule.statuses) or _statuses(operation, specs)
    if answer.status_code not in wanted:
        return [f"status {answer.status_code}, not {sorted(wanted)}: {answer.text[:300]}"]
    if operation.method == "HEAD" or answer.status_code == httpx.codes.NO_CONTENT or not overrule.has_body:
        return [f"a body of {len(answer.content)} bytes"] if answer.content else []
    return _faults_in_body(operation, overrule, answer, specs)


def _faults_in_body(operation: Operation, overrule: Overrule, answer: httpx.Response, specs: Path) -> list[str]:
    body = answer.json()
    relied_on = RELIED_ON.get(operation.service.name, {}).get(operation.key)
    found = [fault for schema in (overrule.schema, relied_on) if schema is not None for fault in faults_of(schema, body)]
    if not overrule.replaces_file:
        spec = spec_at(specs / f"{operation.service.spec}.yaml")
        found += [fault for fault in spec.faults(operation, answer.status_code, body) if not _is_overruled(fault, overrule)]
    return [str(fault) for fault in found]


def _is_overruled(fault: Fault, overrule: Overrule) -> bool:
    return any(fnmatchcase(fault.place, pattern) for pattern in overrule.places)


def _statuses(operation: Operation, specs: Path) -> set[int]:
    if not operation.service.spec:
        raise SpecSilent(f"{operation}: no file is published, so the reference must say")
    return spec_at(specs / f"{operation.service.spec}.yaml").statuses(operation)
