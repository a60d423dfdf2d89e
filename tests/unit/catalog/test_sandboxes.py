from pathlib import Path

from headrace.catalog.sandboxes import Sandboxes
from headrace.clock import ManualClock
from headrace.model import Sandbox
from headrace.storage.control import ControlStore
from headrace.storage.control.base import RevisionPage


def test_numbers_are_never_given_twice(control: ControlStore, clock: ManualClock, prod: Sandbox) -> None:
    sandboxes = Sandboxes(control, clock)
    seen = {prod.number}
    for _ in range(3):
        made = sandboxes.create("dev", "Dev", "development", user_id="me").sandbox
        assert made.number not in seen
        seen.add(made.number)
        reset = sandboxes.reset("dev", user_id="me").sandbox
        assert reset.number not in seen
        seen.add(reset.number)
        sandboxes.delete("dev", user_id="me")


def test_default_is_made_once(control: ControlStore, clock: ManualClock, prod: Sandbox) -> None:
    assert Sandboxes(control, clock).ensure_default() == prod
    assert prod.is_default
    assert (prod.name, prod.type) == ("prod", "production")


def test_other_process_sees_a_change_at_once(control: ControlStore, clock: ManualClock, prod: Sandbox) -> None:
    assert prod.organization_id.endswith("@AdobeOrg")
    path = control.engine.url.database
    assert path is not None
    page = RevisionPage(Path(path).parent / "run" / "revision")
    other_store = ControlStore(str(control.engine.url), page)
    other = Sandboxes(other_store, clock)
    assert len(other.all()) == 1
    Sandboxes(control, clock).create("dev", "Dev", "development", user_id="me")
    assert len(other.all()) == 2
    other_store.close()
