"""Audiences over a sandbox with one profile schema and one event schema."""

import pytest

from headrace.audience.service import Audiences
from headrace.catalog.datasets import Catalog
from headrace.clock import ManualClock
from headrace.model import Sandbox
from headrace.profile.policies import MergePolicies
from headrace.schemas import SchemaRegistry
from headrace.storage.control import ControlStore
from tests.unit.audience.union import enable_union


@pytest.fixture
def registry(control: ControlStore, clock: ManualClock, prod: Sandbox) -> SchemaRegistry:
    schemas = SchemaRegistry(control, clock, "acme")
    enable_union(schemas, prod)
    return schemas


@pytest.fixture
def policies(control: ControlStore, clock: ManualClock, registry: SchemaRegistry) -> MergePolicies:
    return MergePolicies(control, clock, Catalog(control, clock, registry))


@pytest.fixture
def audiences(control: ControlStore, clock: ManualClock, registry: SchemaRegistry, policies: MergePolicies) -> Audiences:
    return Audiences(control, clock, registry, policies)
