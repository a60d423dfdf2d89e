import pytest

from headrace.catalog.datasets import Catalog
from headrace.clock import ManualClock
from headrace.model import Sandbox
from headrace.profile.policies import MergePolicies, PolicyUnknown
from headrace.schemas import SchemaRegistry
from headrace.storage.control import ControlStore


@pytest.fixture
def policies(control: ControlStore, clock: ManualClock) -> MergePolicies:
    return MergePolicies(control, clock, Catalog(control, clock, SchemaRegistry(control, clock, "acme")))


def test_default_policy_is_made_once(policies: MergePolicies, prod: Sandbox, control: ControlStore, clock: ManualClock) -> None:
    default = policies.default(prod)
    assert (default.graph, default.attribute_merge, default.order) == ("pdg", "timestampOrdered", ())
    other = MergePolicies(control, clock, Catalog(control, clock, SchemaRegistry(control, clock, "acme")))
    assert other.default(prod) == default
    assert policies.all(prod) == (default,)


def test_reading_the_default_changes_nothing_afterwards(policies: MergePolicies, prod: Sandbox, control: ControlStore) -> None:
    policies.default(prod)
    revision = control.revision()
    policies.default(prod)
    assert control.revision() == revision


def test_class_without_policies_has_no_default(policies: MergePolicies, prod: Sandbox) -> None:
    with pytest.raises(PolicyUnknown):
        policies.default(prod, "_xdm.context.account")


def test_first_policy_of_another_class_becomes_its_default(policies: MergePolicies, prod: Sandbox) -> None:
    body = {
        "schema": {"name": "_xdm.context.account"},
        "identityGraph": {"type": "none"},
        "attributeMerge": {"type": "timestampOrdered"},
    }
    made = policies.create(prod, body)
    assert policies.default(prod, "_xdm.context.account") == made
    assert policies.default(prod).id != made.id
