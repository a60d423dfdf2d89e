"""The lake writer: what gets into the lake, when, and once."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.model import BatchReverted, DatasetPurged, MembershipDiff, SandboxPurged
from headrace.storage.lake.iceberg import IcebergLake
from headrace.storage.log.memory import MemoryLog
from tests.unit.roles.lake_world import PEOPLE, START_MS, VISITS, Crash, World, record, settle


class SettableClock:
    """A clock that flows (is not manual), moved by the test."""

    is_manual = False

    def __init__(self) -> None:
        self.now = START_MS

    def now_ms(self) -> int:
        return self.now

    def seconds_until(self, due_ms: int) -> float | None:
        return max(0.0, (due_ms - self.now) / 1000)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def flowing(tmp_path: Path) -> World:
    return World(tmp_path, clock=SettableClock())


def test_records_reach_their_tables_as_one_batch_per_dataset(world: World) -> None:
    role = world.role()
    world.send(record(PEOPLE, "a", flow_id="f1"), record(VISITS, "e1"), record(PEOPLE, "b", flow_id="f1"))
    settle(role)
    assert world.ids(PEOPLE) == ["a", "b"]
    assert world.ids(VISITS) == ["e1"]
    assert role.status()["lake_offset"] == 3
    assert role.status()["records_in_lake"] == 3
    statuses = {status for status, _ in world.catalog.batches.values()}
    assert statuses == {"success"}
    assert [(counts.rows, counts.flow_ids) for _, counts in world.catalog.batches.values()] == [(2, ("f1",)), (1, ())]


def test_rows_keep_their_offset_and_the_time_of_acceptance(world: World) -> None:
    role = world.role()
    world.send(record(VISITS, "x"), record(PEOPLE, "a"))
    settle(role)
    (row,) = world.lake.read(PEOPLE.table)
    assert (row.offset, row.number, row.accepted_at_ms) == (1, 0, START_MS)


def test_only_created_records_are_written(world: World) -> None:
    role = world.role()
    world.send(
        record(PEOPLE, "a"),
        record(PEOPLE, "b", operation="merge"),
        record(PEOPLE, "c", operation="delete"),
        MembershipDiff(1, "job", "file", START_MS, 0),
    )
    settle(role)
    assert world.ids(PEOPLE) == ["a"]
    assert role.status()["lake_offset"] == 4


def test_records_of_a_deleted_dataset_are_passed_over(world: World) -> None:
    role = world.role()
    world.send(record(PEOPLE, "a"))
    role.step()
    world.catalog.datasets.clear()
    world.catalog.version += 1
    world.send(record(VISITS, "e"))
    settle(role)
    assert role.status()["lake_offset"] == 2
    assert world.lake.tables(1) == []


def test_a_second_event_with_the_same_id_is_left_out(world: World) -> None:
    role = world.role()
    world.send(record(VISITS, "e1"), record(VISITS, "e1"), record(VISITS, "e2"))
    settle(role)
    world.send(record(VISITS, "e2"), record(VISITS, "e3"))
    settle(role)
    assert world.ids(VISITS) == ["e1", "e2", "e3"]
    assert role.status()["skipped_records"] == 2
    assert [counts.skipped for _, counts in world.catalog.batches.values()] == [1, 1]


def test_a_second_record_with_the_same_id_is_a_second_row(world: World) -> None:
    role = world.role()
    world.send(record(PEOPLE, "a"), record(PEOPLE, "a"))
    settle(role)
    assert world.ids(PEOPLE) == ["a", "a"]


# --- when ---------------------------------------------------------------------------------------------------------------


def test_the_first_records_are_written_after_a_second_of_quiet(flowing: World) -> None:
    role = flowing.role()
    flowing.send(record(PEOPLE, "a"))
    settle(role)
    assert flowing.ids(PEOPLE) == []
    assert role.status()["waiting_records"] == 1
    assert role.status()["lake_offset"] == 0
    assert role.next_due_ms() == START_MS + 1000
    flowing.clock.now = START_MS + 1000  # type: ignore[attr-defined]
    settle(role)
    assert flowing.ids(PEOPLE) == ["a"]
    assert role.next_due_ms() is None


def test_a_trickle_of_records_is_written_once_a_minute(flowing: World) -> None:
    role = flowing.role()
    for second in range(0, 130, 5):
        flowing.clock.now = START_MS + second * 1000  # type: ignore[attr-defined]
        settle(role)
        flowing.send(record(PEOPLE, f"p{second}"))
        settle(role)
    assert len(flowing.catalog.batches) == 3
    assert role.status()["waiting_records"] < 13


def test_steady_records_are_written_after_the_longest_wait(flowing: World) -> None:
    role = flowing.role()
    for tenth in range(620):
        flowing.clock.now = START_MS + tenth * 100  # type: ignore[attr-defined]
        flowing.send(record(PEOPLE, f"p{tenth}"))
        settle(role)
    assert len(flowing.catalog.batches) == 1
    assert len(flowing.ids(PEOPLE)) == 600


def test_a_flush_that_is_asked_for_comes_at_once(flowing: World) -> None:
    role = flowing.role()
    for number in range(3):
        flowing.send(record(PEOPLE, f"p{number}"))
        flowing.log.ring("flush")
        settle(role)
        assert role.status()["lake_offset"] == number + 1
    flowing.send(record(PEOPLE, "last"))
    settle(role)
    assert role.status()["waiting_records"] == 1
    role.request_flush()
    settle(role)
    assert role.status()["waiting_records"] == 0


def test_many_waiting_bytes_are_written_at_once(flowing: World) -> None:
    flowing.options = {"flush_bytes": 100}
    role = flowing.role()
    flowing.send(*(record(PEOPLE, f"p{number}") for number in range(20)))
    settle(role)
    assert len(flowing.ids(PEOPLE)) == 20


# --- batches ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_typed", [False, True])
def test_a_batch_of_files_is_one_commit_in_the_order_of_the_log(world: World, is_typed: bool) -> None:
    role = world.role()
    world.send(record(VISITS, "e0"))
    world.batch("B1", VISITS, [{"_id": f"b{number}"} for number in range(5)], is_typed=is_typed)
    world.send(record(VISITS, "e1"))
    settle(role)
    assert world.ids(VISITS) == ["e0", "b0", "b1", "b2", "b3", "b4", "e1"]
    assert world.ids(VISITS, "B1") == ["b0", "b1", "b2", "b3", "b4"]
    status, counts = world.catalog.batches["B1"]
    assert (status, counts.rows, counts.skipped) == ("success", 5, 0)
    assert [(row.offset, row.number) for row in world.lake.read(VISITS.table, batch_id="B1")] == [(1, n) for n in range(5)]


def test_a_large_batch_takes_several_steps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.roles.lake_writer._CHUNK_ROWS", 3)
    role = world.role()
    world.batch("B1", PEOPLE, [{"_id": f"b{number}"} for number in range(10)])
    assert role.step()
    assert role.step()
    assert world.ids(PEOPLE) == []
    assert role.status()["lake_offset"] == 0
    settle(role)
    assert len(world.ids(PEOPLE)) == 10
    assert role.status()["lake_offset"] == 1


def test_a_file_that_cannot_be_read_at_once_is_read_row_by_row(world: World) -> None:
    role = world.role()
    world.batch("B1", PEOPLE, [{"_id": name} for name in "abcd"], is_typed=True)
    whole, odd = sorted((world.home / "staging" / "B1").iterdir())
    odd.write_text('{"_id": "c", "_id": "c"}\n{"_id": "d"}\n')
    assert whole.read_text().count("\n") == 2
    settle(role)
    assert world.ids(PEOPLE) == ["a", "b", "c", "d"]
    assert [row.number for row in world.lake.read(PEOPLE.table)] == [0, 1, 2, 3]


@pytest.mark.parametrize("is_typed", [False, True])
def test_events_of_a_batch_that_the_table_has_are_left_out(world: World, is_typed: bool) -> None:
    role = world.role()
    world.send(record(VISITS, "b1"))
    world.batch("B1", VISITS, [{"_id": "b1"}, {"_id": "b2"}, {"_id": "b2"}, {"_id": "b3"}], is_typed=is_typed)
    settle(role)
    assert world.ids(VISITS) == ["b1", "b2", "b3"]
    assert world.catalog.batches["B1"][1].skipped == 2


def test_a_batch_replaces_its_predecessors_and_may_repeat_their_events(world: World) -> None:
    role = world.role()
    world.batch("B1", VISITS, [{"_id": "a"}, {"_id": "b"}])
    settle(role)
    world.batch("B2", VISITS, [{"_id": "b"}, {"_id": "c"}], predecessors=("B1",))
    settle(role)
    assert world.ids(VISITS) == ["b", "c"]
    assert [status for status, _ in world.catalog.batches.values()] == ["inactive", "success"]


def test_a_batch_that_is_taken_back_leaves_the_table_and_frees_its_ids(world: World) -> None:
    role = world.role()
    world.send(record(VISITS, "a"))
    world.batch("B1", VISITS, [{"_id": "a"}, {"_id": "b"}])
    world.send(BatchReverted(1, VISITS.number, "B1", START_MS))
    settle(role)
    assert world.ids(VISITS) == ["a"]
    world.send(record(VISITS, "b"), record(VISITS, "a"))
    settle(role)
    assert world.ids(VISITS) == ["a", "b"]


def test_a_batch_whose_files_are_gone_fails_and_stops_nobody(world: World) -> None:
    role = world.role()
    world.batch("B1", PEOPLE, [{"_id": "a"}, {"_id": "b"}])
    (world.home / "staging" / "B1" / "valid-1.jsonl").unlink()
    world.send(record(PEOPLE, "c"))
    settle(role)
    assert world.catalog.batches["B1"][0] == "failed"
    assert world.ids(PEOPLE) == ["c"]


# --- crashes ------------------------------------------------------------------------------------------------------------

POINTS = ["before add", "before commit", "after commit", "before position", "after position"]


def fill(world: World) -> None:
    world.send(record(PEOPLE, "a"), record(VISITS, "e1"), record(VISITS, "e1"), record(PEOPLE, "b"))
    world.batch("B1", VISITS, [{"_id": "e1"}, {"_id": "e2"}, {"_id": "e3"}])
    world.send(record(PEOPLE, "c"), record(VISITS, "e3"), record(VISITS, "e4"))
    world.batch("B2", VISITS, [{"_id": "e3"}, {"_id": "e5"}], predecessors=("B1",))
    world.send(record(VISITS, "e2"))


def outcome(world: World) -> tuple[list[list[str]], list[tuple[str, str, int]], int, int]:
    role = world.role()
    settle(role)
    status = role.status()
    rows = [sorted(world.ids(dataset)) for dataset in (PEOPLE, VISITS)]
    batches = sorted((name[0], status, counts.rows) for name, (status, counts) in world.catalog.batches.items())
    return rows, batches, status["lake_offset"], status["records_in_lake"]


@pytest.mark.parametrize(("point", "number"), list(itertools.product(POINTS, range(1, 7))))
def test_a_crash_changes_nothing(tmp_path: Path, point: str, number: int) -> None:
    (tmp_path / "calm").mkdir()
    (tmp_path / "crashed").mkdir()
    calm, crashed = World(tmp_path / "calm"), World(tmp_path / "crashed")
    fill(calm)
    fill(crashed)
    seen = 0

    def crash(name: str) -> None:
        nonlocal seen
        seen += name == point
        if name == point and seen == number:
            raise Crash

    crashed.on_step_of_commit = crash
    try:
        settle(crashed.role())
    except Crash:
        crashed.on_step_of_commit = lambda _: None
    assert outcome(crashed) == outcome(calm)


def test_nothing_is_written_twice_when_all_memory_of_the_role_is_lost(world: World) -> None:
    fill(world)
    first = outcome(world)
    (world.home / "position.json").unlink()
    rows, _, offset, _ = outcome(world)
    assert (rows, offset) == (first[0], first[2])


def test_it_works_with_real_tables(tmp_path: Path) -> None:
    lake = IcebergLake(tmp_path / "lake")
    world = World(tmp_path, lake=lake)
    fill(world)
    role = world.role()
    settle(role)
    assert sorted(world.ids(VISITS)) == ["e1", "e2", "e3", "e4", "e5"]
    assert role.status()["lake_offset"] == world.log.topic("records").next_offset()
    status, counts = world.catalog.batches["B2"]
    assert status == "success"
    assert counts.output_files == 1
    role.close()


def test_closing_forgets_a_batch_that_is_half_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.roles.lake_writer._CHUNK_ROWS", 1)
    world = World(tmp_path)
    world.batch("B1", PEOPLE, [{"_id": "a"}, {"_id": "b"}, {"_id": "c"}])
    role = world.role()
    role.step()
    role.step()
    role.close()
    assert isinstance(world.log, MemoryLog)
    assert outcome(world)[0] == [["a", "b", "c"], []]


def test_deleted_dataset_leaves_lake_and_memory(world: World) -> None:
    world.send(record(VISITS, "a"), record(VISITS, "b"), record(PEOPLE, "p"))
    role = world.role()
    settle(role)
    world.send(record(VISITS, "c"), DatasetPurged(1, VISITS.number, "visits", START_MS))
    del world.catalog.datasets[1, VISITS.number]
    world.catalog.version += 1
    settle(role)
    assert world.lake.tables(1) == ["people"]
    assert list(world.seen.scan(b"", b"\xff" * 8)) == []
    again = replace(VISITS, number=3, id="again-id")  # the table's name is free again
    world.catalog.datasets[1, 3] = again
    world.catalog.version += 1
    world.send(record(again, "a"))
    settle(role)
    assert world.ids(again) == ["a"]


def test_records_that_wait_when_their_dataset_is_deleted_do_not_come_back(flowing: World) -> None:
    role = flowing.role()
    flowing.send(record(VISITS, "a"))
    assert role.step()
    flowing.send(DatasetPurged(1, VISITS.number, "visits", START_MS))
    settle(role)
    assert role.lake_offset == 2
    assert flowing.lake.tables(1) == []


def test_purged_sandbox_leaves_no_table_however_often_it_is_asked_for(world: World) -> None:
    world.send(record(VISITS, "a"), record(PEOPLE, "p"))
    role = world.role()
    settle(role)
    world.catalog.datasets.clear()
    world.catalog.version += 1
    for _ in range(2):
        world.send(SandboxPurged(1, START_MS))
        settle(role)
        assert world.lake.tables(1) == []
    assert role.lake_offset == world.log.topic("records").next_offset()
