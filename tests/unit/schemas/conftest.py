import pytest

from headrace.clock import ManualClock
from headrace.model import Sandbox
from headrace.schemas import SchemaRegistry
from headrace.storage.control import ControlStore


@pytest.fixture
def registry(control: ControlStore, clock: ManualClock) -> SchemaRegistry:
    return SchemaRegistry(control, clock, "acme")


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(1, "0d1a", "prod", "production", True, "ACME@AdobeOrg")
