from pathlib import Path

import pytest

from headrace.clock import ManualClock
from headrace.model import Sandbox
from headrace.schemas import SchemaRegistry
from headrace.storage.control.base import ControlStore, RevisionPage


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_770_000_000_000)


@pytest.fixture
def control(tmp_path: Path) -> ControlStore:
    store = ControlStore(f"sqlite:///{tmp_path}/control.sqlite", RevisionPage(tmp_path / "revision"))
    store.create_tables()
    return store


@pytest.fixture
def registry(control: ControlStore, clock: ManualClock) -> SchemaRegistry:
    return SchemaRegistry(control, clock, "acme")


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(1, "0d1a", "prod", "production", True, "ACME@AdobeOrg")
