"""Health and progress of the whole server, made of what the roles say."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.clock import SharedClock
from headrace.model import BatchReady, BatchReverted, LogEntry, MembershipDiff, Record, encode_entry
from headrace.roles import accepted
from headrace.roles.accepted import AcceptedRecords
from headrace.roles.operations import Operations
from headrace.roles.pipeline import Pipeline
from headrace.roles.status import ROLES, StatusBoard
from headrace.storage.control import ControlStore
from headrace.storage.log.memory import MemoryLog

from .pipeline_world import PROFILES, World, profile


@pytest.fixture
def board(tmp_path: Path) -> StatusBoard:
    return StatusBoard(tmp_path / "run")


@pytest.fixture
def operations(tmp_path: Path, board: StatusBoard, control: ControlStore) -> Operations:
    return Operations(board, MemoryLog(), control, SharedClock(tmp_path / "clock", start_ms=1))


def come_up(board: StatusBoard, *roles: str) -> None:
    for role in roles:
        board.write(role, {"offset": 0, "claims": 0, "claimed_rows": 0})


def test_server_is_starting_until_every_role_has_come_up(operations: Operations, board: StatusBoard) -> None:
    come_up(board, *ROLES[1:])
    assert (operations.health()["status"], operations.health()["is_ready"]) == ("starting", False)
    come_up(board, ROLES[0])
    health = operations.health()
    assert (health["status"], health["is_ready"], set(health["roles"])) == ("ready", True, set(ROLES))


def test_role_with_a_fault_degrades_a_server_that_was_ready(operations: Operations, board: StatusBoard) -> None:
    come_up(board, *ROLES)
    board.write_fault("pipeline", "KeyError: '_id'")
    health = operations.health()
    assert (health["status"], health["is_ready"]) == ("degraded", True)
    assert health["roles"]["pipeline"]["fault"] == "KeyError: '_id'"
    come_up(board, "pipeline")
    assert operations.health()["status"] == "ready"


def test_role_that_cannot_come_up_keeps_the_server_from_being_ready(operations: Operations, board: StatusBoard) -> None:
    come_up(board, *(role for role in ROLES if role != "lake_writer"))
    board.write_fault("lake_writer", "StorageCorrupt: format 9")
    health = operations.health()
    assert (health["status"], health["is_ready"]) == ("degraded", False)
    assert "format 9" in health["roles"]["lake_writer"]["fault"]
    assert operations.progress()["settled"] is False


# --- how many records were accepted -----------------------------------------------------------------------------------


class Batches(World):
    """A pipeline whose batches lie in a real folder."""

    def __init__(self, home: Path, **options: Any) -> None:
        self.home = home
        super().__init__({1: 'homeAddress.country = "DE"'}, **options)
        self.records = self.log.topic("records")

    def opened(self) -> Pipeline:
        return Pipeline(self.state, self.log, self, self.clock, self.home, max_records=self.max_records)

    def send(self, *entries: LogEntry) -> None:
        self.records.append([encode_entry(entry) for entry in entries])

    def batch(self, name: str, rows: int, *, sandbox: int = 1) -> None:
        (self.home / name).write_text("".join(json.dumps(profile(CRMID=f"{name}-{row}")) + "\n" for row in range(rows)))
        self.send(BatchReady(sandbox, PROFILES, name, (name,), rows, 1, self.clock.now_ms()))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Batches]:
    yield Batches(tmp_path, max_records=3)


def test_rows_of_batches_count_before_while_and_after_they_are_applied(world: Batches) -> None:
    counter = AcceptedRecords(world.records)
    world.add((PROFILES, profile(CRMID="a")))
    world.batch("B", 8)
    world.send(BatchReverted(1, PROFILES, "C", 0))
    world.add((PROFILES, profile(CRMID="b")))
    applied = set()
    assert counter.count({}) == 10
    while world.pipeline.step():
        status = world.pipeline.status()
        applied.add(status["records_applied"])
        assert counter.count(status) == 10
        assert AcceptedRecords(world.records).count(status) == 10
    assert {1, 4, 7, 10} & applied
    assert status["records_applied"] == 10
    assert status["profiles"] == 10


def test_counters_of_claim_checks_survive_a_restart_and_the_end_of_the_log(world: Batches) -> None:
    for name in ("A", "B"):
        world.batch(name, 5)
    world.send(MembershipDiff(7, "J", "gone", 0, 0))
    world.run()
    world.pipeline = world.opened()
    world.run()
    world.records.trim(2)
    status = world.pipeline.status()
    assert (status["records_applied"], AcceptedRecords(world.records).count(status)) == (10, 10)


def test_batch_of_a_sandbox_that_is_gone_counts_on_both_sides(world: Batches) -> None:
    world.batch("A", 5, sandbox=9)
    world.run()
    status = world.pipeline.status()
    assert (status["records_applied"], AcceptedRecords(world.records).count(status)) == (5, 5)


def test_long_backlog_is_looked_through_in_pieces_and_each_entry_once(world: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepted, "_MOST_AT_ONCE", 2)
    counter = AcceptedRecords(world.records)
    world.send(*(Record(1, PROFILES, b"{}", 0) for _ in range(3)))
    world.batch("A", 5)
    assert [counter.count({}) for _ in range(3)] == [4, 8, 8]


def test_last_known_counters_stand_in_while_the_pipeline_begins_anew(world: Batches) -> None:
    counter = AcceptedRecords(world.records)
    world.batch("A", 5)
    world.run()
    assert counter.count(world.pipeline.status()) == 5
    world.batch("B", 2)
    assert counter.count({}) == 7
