"""What was reset or deleted leaves every store, once and for all."""

from pathlib import Path
from typing import Any

import pytest

from headrace.catalog.dataset_store import retire
from headrace.catalog.retired import Retired
from headrace.catalog.sandboxes import Sandboxes
from headrace.clock import ManualClock
from headrace.model import DatasetPurged, SandboxPurged, decode_entry
from headrace.roles.purging import Purging
from headrace.roles.status import StatusBoard
from headrace.storage.control import ControlStore
from headrace.storage.control.tables import batches, datasets, inlets
from headrace.storage.log.memory import MemoryLog

USER = "somebody"


class Stage:
    """A home folder with sandboxes, and roles that say how far they are."""

    def __init__(self, home: Path, control: ControlStore, clock: ManualClock) -> None:
        self.home, self.control, self.clock = home, control, clock
        self.sandboxes = Sandboxes(control, clock)
        self.retired = Retired(control)
        self.log = MemoryLog()
        self.board = StatusBoard(home / "run")
        self.purging = self.opened()

    def opened(self) -> Purging:
        return Purging(self.retired, self.log, self.board, self.clock, self.home)

    def asked(self) -> list[Any]:
        return [decode_entry(data) for _, data in self.log.topic("records").read(0, limit=100)]

    def say(self, *, pipeline: int = 1000, lake: int = 1000) -> None:
        self.board.write("pipeline", {"offset": pipeline})
        self.board.write("lake_writer", {"saved_offset": lake, "lake_offset": lake + 1})

    def work(self) -> None:
        while self.purging.step():
            pass

    def add_dataset(self, sandbox: int, name: str) -> None:
        row = {"sandbox": sandbox, "id": f"{sandbox}-{name}", "name": name, "schema_id": "s", "table_name": name}
        with self.control.write() as connection:
            connection.execute(datasets.insert().values(**row, body={}, version=0, created_at=0, updated_at=0))

    def delete_dataset(self, name: str) -> None:
        with self.control.write() as connection:
            found = connection.execute(datasets.select().where(datasets.c.name == name)).mappings().one()
            retire(connection, dict(found), self.clock.now_ms())

    def zone(self, name: str) -> Path:
        folder = self.home / "landing-zone" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "members.csv").write_text("a")
        return folder


@pytest.fixture
def stage(home: Path, control: ControlStore, clock: ManualClock) -> Stage:
    return Stage(home, control, clock)


def test_deleted_dataset_is_asked_for_once_and_forgotten_when_both_writers_have_read_it(stage: Stage) -> None:
    sandbox = stage.sandboxes.default().number
    stage.add_dataset(sandbox, "visits")
    stage.add_dataset(sandbox, "people")
    stage.delete_dataset("visits")
    stage.work()
    stage.work()
    number = stage.retired.datasets()[0].number
    assert stage.asked() == [DatasetPurged(sandbox, number, "visits", stage.clock.now_ms())]
    for pipeline, lake in ((0, 0), (1, 0), (0, 1)):
        stage.say(pipeline=pipeline, lake=lake)
        stage.work()
        assert len(stage.retired.datasets()) == 1
    stage.say(pipeline=1, lake=1)
    stage.work()
    assert stage.retired.datasets() == []
    assert stage.purging.status() == {"is_idle": True, "purging": 0, "purged": 1}


def test_reset_sandbox_is_purged_under_its_former_number_with_its_datasets(stage: Stage) -> None:
    former = stage.sandboxes.default().number
    stage.add_dataset(former, "visits")
    stage.add_dataset(former, "people")
    stage.delete_dataset("people")
    zone = stage.zone("prod")
    stage.sandboxes.reset("prod", user_id=USER)
    stage.work()
    assert [type(entry) for entry in stage.asked()] == [DatasetPurged, DatasetPurged, SandboxPurged]
    assert {entry.sandbox for entry in stage.asked()} == {former}
    assert not zone.exists()
    fresh = stage.zone("prod")
    stage.say()
    stage.work()
    assert (stage.retired.sandboxes(), stage.retired.datasets()) == ([], [])
    assert (fresh / "members.csv").exists()
    assert [path.name for path in (stage.home / "landing-zone").iterdir()] == ["prod"]


def test_deleted_sandbox_leaves_no_landing_zone_inlet_or_dataset(stage: Stage) -> None:
    made = stage.sandboxes.create("dev", "Dev", "development", user_id=USER)
    stage.zone("dev")
    with stage.control.write() as connection:
        connection.execute(inlets.insert().values(id="i", sandbox=made.sandbox.number, connection_id="c"))
    stage.sandboxes.delete("dev", user_id=USER)
    stage.work()
    stage.zone("dev")  # by an export that was under way
    stage.say()
    stage.work()
    assert list((stage.home / "landing-zone").iterdir()) == []
    with stage.control.read() as connection:
        assert connection.execute(inlets.select()).all() == []


def test_landing_zone_of_a_new_sandbox_with_the_same_name_stays(stage: Stage) -> None:
    stage.sandboxes.create("dev", "Dev", "development", user_id=USER)
    stage.sandboxes.delete("dev", user_id=USER)
    stage.work()
    stage.sandboxes.create("dev", "Dev", "development", user_id=USER)
    zone = stage.zone("dev")
    stage.say()
    stage.work()
    assert (zone / "members.csv").exists()


def test_restart_asks_again_and_leaves_the_new_landing_zone_alone(stage: Stage) -> None:
    stage.zone("prod")
    stage.sandboxes.reset("prod", user_id=USER)
    stage.work()
    fresh = stage.zone("prod")
    stage.purging = stage.opened()
    stage.work()
    assert [type(entry) for entry in stage.asked()] == [SandboxPurged, SandboxPurged]
    stage.say()
    stage.work()
    assert stage.retired.sandboxes() == []
    assert (fresh / "members.csv").exists()


def test_crash_at_the_very_end_leaves_nothing_aside(stage: Stage) -> None:
    aside = stage.home / "landing-zone" / ".retired-7"
    aside.mkdir(parents=True)
    stage.work()
    assert not aside.exists()


def test_folders_of_batches_that_nobody_has_go_with_their_sandbox(stage: Stage) -> None:
    sandbox = stage.sandboxes.default().number
    stage.sandboxes.create("dev", "Dev", "development", user_id=USER)
    gone = [stage.home / "staging" / "GONE" / "files", stage.home / "quarantine" / "GONE"]
    kept = [stage.home / "staging" / "KEPT", stage.home / "staging" / "exports" / "run", stage.home / "quarantine" / "KEPT"]
    for folder in [*gone, *kept]:
        folder.mkdir(parents=True)
    row = {"sandbox": sandbox, "dataset": 1, "status": "loading", "body": {}, "version": 0, "created_at": 0, "updated_at": 0}
    with stage.control.write() as connection:
        connection.execute(batches.insert().values(id="KEPT", **row))
    stage.sandboxes.delete("dev", user_id=USER)
    stage.work()
    late = stage.home / "quarantine" / "LATE"
    late.mkdir()
    stage.say()
    stage.work()
    assert not any(folder.exists() for folder in gone)
    assert all(folder.exists() for folder in [*kept, late])
