import pytest

from headrace.catalog.sandboxes import Sandboxes
from headrace.clock import ManualClock
from headrace.identity.namespaces import (
    STANDARD_NAMESPACES,
    NamespaceCodeTaken,
    NamespaceFixed,
    Namespaces,
    NamespaceUnknown,
)
from headrace.model import Sandbox
from headrace.storage.control import ControlStore

LOYALTY = {"name": "Loyalty ID", "code": "Loyalty", "idType": "cross_device"}


@pytest.fixture
def namespaces(control: ControlStore, clock: ManualClock) -> Namespaces:
    return Namespaces(control, clock)


def test_exact_code_goes_before_one_that_differs_in_case(namespaces: Namespaces, prod: Sandbox) -> None:
    made = namespaces.create(prod, LOYALTY)
    assert namespaces.by_code(prod, "Loyalty") == made
    assert namespaces.by_code(prod, "LOYALTY") == made
    assert namespaces.by_code(prod, "none") is None


def test_code_of_a_code_or_number(namespaces: Namespaces, prod: Sandbox) -> None:
    assert namespaces.code_of(prod, "email") == "Email"
    assert namespaces.code_of(prod, "6") == "Email"
    assert namespaces.code_of(prod, "7777") is None
    assert namespaces.code_of(prod, "none") is None


def test_sandboxes_share_no_namespace(namespaces: Namespaces, prod: Sandbox, control: ControlStore, clock: ManualClock) -> None:
    dev = Sandboxes(control, clock).create("dev", "Dev", "development", user_id="me").sandbox
    made = namespaces.create(prod, LOYALTY)
    assert namespaces.by_code(dev, "Loyalty") is None
    with pytest.raises(NamespaceUnknown):
        namespaces.get(dev, made.id)
    assert namespaces.create(dev, LOYALTY).id != made.id


def test_standard_codes_and_ids_are_unique() -> None:
    assert len({item.id for item in STANDARD_NAMESPACES}) == len(STANDARD_NAMESPACES)
    assert len({item.code.lower() for item in STANDARD_NAMESPACES}) == len(STANDARD_NAMESPACES)


def test_standard_namespace_does_not_change(namespaces: Namespaces, prod: Sandbox) -> None:
    with pytest.raises(NamespaceFixed):
        namespaces.update(prod, 6, {"name": "Mail", "code": "Email", "idType": "EMAIL"})


def test_refused_namespace_leaves_nothing_behind(namespaces: Namespaces, prod: Sandbox, control: ControlStore) -> None:
    namespaces.create(prod, LOYALTY)
    revision = control.revision()
    with pytest.raises(NamespaceCodeTaken):
        namespaces.create(prod, {**LOYALTY, "name": "Other"})
    assert control.revision() == revision
    assert len(namespaces.all(prod)) == len(STANDARD_NAMESPACES) + 1
