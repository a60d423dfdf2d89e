"""Fixtures that every part of the tests may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.catalog.sandboxes import Sandboxes
from headrace.clock import ManualClock, parse_iso
from headrace.governance.accounts import bootstrap
from headrace.model import Sandbox
from headrace.storage.control import ControlStore
from headrace.storage.control.base import RevisionPage

SHARED = Path(__file__).resolve().parents[2] / "shared"
NOW = "2027-02-14T08:00:00Z"


@pytest.fixture
def shared() -> Path:
    """The folder of public specifications, components and data beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the public specifications in {SHARED}")
    return SHARED


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at `NOW` until it is moved."""
    return ManualClock(parse_iso(NOW))


@pytest.fixture
def control(tmp_path: Path) -> Iterator[ControlStore]:
    """An empty control store with all tables."""
    store = ControlStore(f"sqlite:///{tmp_path / 'control.sqlite'}", RevisionPage(tmp_path / "run" / "revision"))
    store.create_tables()
    yield store
    store.close()


@pytest.fixture
def home(tmp_path: Path, control: ControlStore, clock: ManualClock) -> Path:
    """A home folder after the first start: organisation, client and sandbox ``prod`` exist in `control`."""
    folder = tmp_path / "home"
    bootstrap(control, folder, clock)
    return folder


@pytest.fixture
def prod(home: Path, control: ControlStore, clock: ManualClock) -> Sandbox:
    """The default sandbox."""
    return Sandboxes(control, clock).default()
