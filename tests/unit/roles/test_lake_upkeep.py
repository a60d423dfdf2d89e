"""Upkeep of the lake: what it merges, removes and deletes, when, and how it keeps out of everybody's way."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.clock import iso_millis
from headrace.model import BatchReverted, DatasetPurged, Record
from headrace.roles import lake_upkeep
from headrace.roles.lake_datasets import LakeDataset
from headrace.roles.lake_upkeep import GRACE_MS, INTERVAL_MS
from headrace.roles.lake_writer import LakeWriter
from headrace.storage.errors import StorageFull
from headrace.storage.lake import TableId
from headrace.storage.lake.arrow import entity_schema
from headrace.storage.lake.iceberg import IcebergLake, IcebergRewrite
from tests.unit.roles.lake_world import PEOPLE, START_MS, VISITS, World, record, settle

DAY_MS = 86_400_000
EVENTS = LakeDataset(
    1,
    3,
    "events-id",
    TableId(1, "events"),
    entity_schema({"properties": {"_id": {"type": "string"}, "timestamp": {"type": "string", "format": "date-time"}}}),
    is_event=True,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    lake = IcebergLake(tmp_path / "lake")
    world = World(tmp_path, lake=lake)
    world.catalog.datasets[1, 3] = EVENTS
    yield world
    lake.close()


def upkeep(role: LakeWriter) -> None:
    """Step until there is no upkeep left."""
    for _ in range(1000):
        if not role.step() and not role.is_waiting:
            return
    pytest.fail("Upkeep does not end.")


def move(world: World, milliseconds: int) -> None:
    world.clock.move_to(world.clock.now_ms() + milliseconds)  # type: ignore[attr-defined]


def fill(world: World, role: LakeWriter, first: int, count: int) -> None:
    for number in range(first, first + count):
        world.send(record(PEOPLE, f"p{number}"))
        settle(role)


def file_count(world: World, dataset: LakeDataset = PEOPLE) -> int:
    return len(world.lake.files(dataset.table))


def present(world: World) -> list[Path]:
    return list(world.lake.files(PEOPLE.table)[0].path.parent.iterdir())


def test_files_are_merged_when_the_role_is_idle_and_no_record_is_touched(world: World) -> None:
    role = world.role()
    fill(world, role, 0, 8)
    upkeep(role)
    assert file_count(world) == 1
    assert world.ids(PEOPLE) == [f"p{number}" for number in range(8)]
    assert role.status()["merged_files"] == 7
    assert world.lake.committed_offset(PEOPLE.table) == 8
    assert world.catalog.sizes[PEOPLE.table] == (8, world.lake.files(PEOPLE.table)[0].byte_count)
    fill(world, role, 8, 1)
    assert world.ids(PEOPLE)[-1] == "p8"


def test_every_batch_still_has_its_rows_and_files(world: World) -> None:
    role = world.role()
    fill(world, role, 0, 9)
    upkeep(role)
    for number, batch_id in enumerate(world.catalog.batches):
        assert world.ids(PEOPLE, batch_id) == [f"p{number}"]
        (file,) = world.lake.files(PEOPLE.table, batch_id)
        assert file.path.name.startswith(batch_id)


def test_upkeep_is_no_work_that_anybody_waits_for(world: World) -> None:
    role = world.role()
    fill(world, role, 0, 8)
    assert role.is_waiting
    assert role.step() is False
    assert role.is_waiting
    world.send(record(PEOPLE, "p8"))
    assert role.step() is True  # records first
    settle(role)
    assert world.ids(PEOPLE)[-1] == "p8"
    upkeep(role)
    assert role.step() is False


def test_a_crowded_table_is_merged_though_the_role_is_never_idle(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_upkeep, "MANY_FILES", 8)
    role = world.role()
    for number in range(24):
        world.send(record(PEOPLE, f"p{number}"))
        assert role.step() is True  # reads
        assert role.step() is True  # writes
    assert file_count(world) < 20
    assert world.ids(PEOPLE) == [f"p{number}" for number in range(24)]


def test_replaced_files_are_deleted_after_a_while(world: World) -> None:
    role = world.role()
    fill(world, role, 0, 8)
    upkeep(role)
    assert (file_count(world), len(present(world))) == (1, 9)
    move(world, INTERVAL_MS)
    upkeep(role)
    move(world, GRACE_MS - 1)
    upkeep(role)
    assert len(present(world)) == 9
    move(world, INTERVAL_MS)
    upkeep(role)
    assert len(present(world)) == 1
    assert role.status()["deleted_files"] == 8
    assert world.ids(PEOPLE) == [f"p{number}" for number in range(8)]


def test_files_that_a_crash_has_left_are_deleted_by_the_next_role(world: World) -> None:
    role = world.role()
    fill(world, role, 0, 1)
    stray = present(world)[0].with_name("stray-0000.parquet")
    stray.write_bytes(b"half a file")
    role = world.role()
    upkeep(role)
    assert stray.exists()
    move(world, GRACE_MS)
    upkeep(role)
    assert not stray.exists()


def test_extracts_are_deleted_after_a_while_and_made_again(world: World) -> None:
    role = world.role()
    fill(world, role, 0, 8)
    upkeep(role)
    batch_id = next(iter(world.catalog.batches))
    (extract,) = world.lake.files(PEOPLE.table, batch_id)
    for pause in (INTERVAL_MS, GRACE_MS):
        move(world, pause)
        upkeep(role)
    assert not extract.path.exists()
    assert world.lake.files(PEOPLE.table, batch_id) == [extract]
    assert extract.path.exists()


def test_rows_beyond_their_retention_leave_the_table(world: World) -> None:
    role = world.role()
    for days in (40, 29, 31, 1):
        entity = {"_id": f"e{days}", "timestamp": iso_millis(START_MS - days * DAY_MS)}
        world.send(Record(1, EVENTS.number, json.dumps(entity).encode(), START_MS))
        settle(role)
    upkeep(role)
    assert world.ids(EVENTS) == ["e40", "e29", "e31", "e1"]
    world.catalog.kept_days[EVENTS.table] = 30
    move(world, INTERVAL_MS)
    upkeep(role)
    assert world.ids(EVENTS) == ["e29", "e1"]
    assert role.status()["expired_rows"] == 2
    assert world.catalog.sizes[EVENTS.table][0] == 2
    move(world, 3 * DAY_MS)
    upkeep(role)
    assert world.ids(EVENTS) == ["e1"]


def test_a_full_disk_puts_upkeep_off_and_nothing_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    role = world.role()
    fill(world, role, 0, 8)

    def full(_: IcebergRewrite) -> None:
        raise StorageFull("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(IcebergRewrite, "commit", full)
        upkeep(role)
    assert role.status()["tables_aside"] == 1
    assert (file_count(world), len(present(world))) == (8, 8)
    fill(world, role, 8, 1)
    assert len(world.ids(PEOPLE)) == 9
    move(world, INTERVAL_MS)
    upkeep(role)
    assert file_count(world) == 1
    assert world.ids(PEOPLE) == [f"p{number}" for number in range(9)]


def test_a_disk_with_little_room_is_not_filled_by_upkeep(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IcebergLake, "has_room_for", lambda *_: False)
    role = world.role()
    fill(world, role, 0, 8)
    upkeep(role)
    assert len(present(world)) == 8


def test_a_table_that_cannot_be_merged_stops_nobody(world: World) -> None:
    role = world.role()
    fill(world, role, 0, 8)
    broken = world.lake.files(PEOPLE.table)[3].path
    content = broken.read_bytes()
    broken.write_bytes(b"not Parquet")
    for number in range(8):
        world.send(record(VISITS, f"e{number}"))
        settle(role)
    upkeep(role)
    assert (file_count(world), file_count(world, VISITS)) == (8, 1)
    assert role.status()["tables_aside"] == 1
    broken.write_bytes(content)
    move(world, GRACE_MS)
    upkeep(role)
    assert file_count(world) == 1


def test_a_table_that_is_dropped_meanwhile_takes_its_merge_with_it(world: World) -> None:
    role = world.role()
    fill(world, role, 0, 8)
    assert role.step() is False
    assert role.step() is False
    world.send(DatasetPurged(1, PEOPLE.number, "people", START_MS))
    del world.catalog.datasets[1, PEOPLE.number]
    world.catalog.version += 1
    upkeep(role)
    assert world.lake.tables(1) == []
    assert not list((world.home / "lake" / "warehouse").rglob("*.parquet"))


def test_a_batch_is_taken_back_from_a_merged_file(world: World) -> None:
    role = world.role()
    for number in range(8):
        world.batch(f"B{number}", VISITS, [{"_id": f"e{number}"}])
        settle(role)
    upkeep(role)
    assert file_count(world, VISITS) == 1
    world.send(BatchReverted(1, VISITS.number, "B3", START_MS))
    world.batch("B8", VISITS, [{"_id": "e3"}, {"_id": "e5"}])  # its id is free again
    upkeep(role)
    assert sorted(world.ids(VISITS)) == [f"e{number}" for number in range(8)]
    assert world.ids(VISITS, "B8") == ["e3"]
    assert world.ids(VISITS, "B3") == []
