"""The log forgets what nobody needs any more, and nothing else."""

from pathlib import Path

import pytest

from headrace.clock import ManualClock
from headrace.model import BatchReady, MembershipDiff, Record, encode_entry
from headrace.roles import log_upkeep
from headrace.roles.log_upkeep import CHANGES_KEPT, INTERVAL_MS, LogUpkeep
from headrace.roles.status import StatusBoard
from headrace.storage.log.memory import MemoryLog

HOUR_MS = 3_600_000
START_MS = 1_000 * HOUR_MS


class RunningClock(ManualClock):
    """A clock that a test moves, but that says it runs by itself."""

    is_manual = False


class Stage:
    """A log, roles that say how far they are, and the task."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = MemoryLog()
        self.records, self.changes = self.log.topic("records"), self.log.topic("changes")
        self.board = StatusBoard(home / "run")
        self.clock = RunningClock(START_MS)
        self.upkeep = LogUpkeep(self.log, self.board, self.clock, home, retention_hours=24)

    def accept(self, count: int, at_ms: int) -> None:
        self.records.append([encode_entry(Record(1, 1, b"{}", at_ms)) for _ in range(count)])

    def change(self, count: int) -> None:
        self.changes.append([b"change"] * count)

    def say(self, *, pipeline: int, lake: int, changes: int = 0, low: int = 0) -> None:
        self.board.write("pipeline", {"offset": pipeline, "changes": changes})
        self.board.write("lake_writer", {"lake_offset": lake, "saved_offset": lake})
        self.board.write("activation", {"low_offset": low})

    def work(self) -> None:
        while self.upkeep.step():
            pass


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_entries_are_kept_for_the_retention(stage: Stage) -> None:
    for hour in range(48):
        stage.accept(10, START_MS - (48 - hour) * HOUR_MS)
    stage.say(pipeline=480, lake=480)
    stage.work()
    assert stage.records.first_offset() == 240
    assert stage.upkeep.status()["trimmed_records"] == 240


@pytest.mark.parametrize(("pipeline", "lake"), [(7, 100), (100, 7)])
def test_entries_that_a_role_has_not_stored_are_kept_however_old(stage: Stage, pipeline: int, lake: int) -> None:
    stage.accept(100, START_MS - 100 * HOUR_MS)
    stage.say(pipeline=pipeline, lake=lake)
    stage.work()
    assert stage.records.first_offset() == 7


def test_nothing_is_forgotten_while_a_role_has_not_said_how_far_it_is(stage: Stage) -> None:
    stage.accept(100, 0)
    stage.change(CHANGES_KEPT * 2)
    stage.board.write("pipeline", {"offset": 100, "changes": CHANGES_KEPT * 2})
    stage.work()
    assert (stage.records.first_offset(), stage.changes.first_offset()) == (0, 0)


def test_last_entry_stays_so_that_offsets_go_on(stage: Stage) -> None:
    stage.accept(5, 0)
    stage.say(pipeline=5, lake=5)
    stage.work()
    assert (stage.records.first_offset(), stage.records.next_offset()) == (4, 5)


def test_empty_topics_are_left_alone(stage: Stage) -> None:
    stage.say(pipeline=0, lake=0)
    stage.work()
    assert stage.records.next_offset() == 0


@pytest.mark.parametrize(("low", "first"), [(CHANGES_KEPT, 0), (CHANGES_KEPT + 300, 300), (10**9, 500)])
def test_changes_are_kept_as_far_as_activation_may_need_them(stage: Stage, low: int, first: int) -> None:
    stage.change(CHANGES_KEPT + 500)
    stage.say(pipeline=0, lake=0, changes=CHANGES_KEPT + 500, low=low)
    stage.work()
    assert stage.changes.first_offset() == first


def test_large_trims_are_done_in_pieces(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_upkeep, "_MOST_A_STEP", 10)
    stage.accept(25, 0)
    stage.say(pipeline=25, lake=25)
    seen = []
    while stage.upkeep.step():
        seen.append(stage.records.first_offset())
    assert seen == [10, 20, 24]


def test_topics_are_looked_at_every_five_minutes(stage: Stage) -> None:
    stage.say(pipeline=0, lake=0)
    stage.work()
    assert stage.upkeep.next_due_ms() == START_MS + INTERVAL_MS
    stage.accept(5, 0)
    stage.say(pipeline=5, lake=5)
    stage.work()
    assert stage.records.first_offset() == 0
    stage.clock.move_to(START_MS + INTERVAL_MS)
    stage.work()
    assert stage.records.first_offset() == 4


def test_moves_of_a_manual_clock_do_not_stop_for_it(tmp_path: Path) -> None:
    log = MemoryLog()
    upkeep = LogUpkeep(log, StatusBoard(tmp_path), ManualClock(START_MS), tmp_path, retention_hours=1)
    assert upkeep.step() is False
    assert upkeep.next_due_ms() is None


def test_rows_of_a_batch_go_with_its_claim_check(stage: Stage) -> None:
    folders = []
    for offset, at_ms in enumerate((0, START_MS)):
        folder = stage.home / "staging" / f"B{offset}"
        folder.mkdir(parents=True)
        (folder / "rows-0.jsonl").write_text("{}\n")
        (folder / "announced").write_text(str(offset))
        folders.append(folder)
        claim = BatchReady(1, 1, folder.name, (f"staging/{folder.name}/rows-0.jsonl",), 1, 3, at_ms)
        stage.records.append([encode_entry(claim)])
    unannounced = stage.home / "staging" / "B2"
    unannounced.mkdir()
    stage.accept(1, START_MS)
    stage.say(pipeline=1, lake=0)
    stage.work()
    assert all(folder.exists() for folder in folders)
    stage.clock.move_to(START_MS + INTERVAL_MS)
    stage.say(pipeline=3, lake=3)
    stage.work()
    assert [folder.exists() for folder in folders] == [False, True]
    assert unannounced.exists()


def test_age_of_a_segment_jobs_differences_is_that_of_the_job(stage: Stage) -> None:
    stage.records.append([encode_entry(MembershipDiff(1, "J", "jobs/J.jsonl", at_ms, 0)) for at_ms in (0, START_MS)])
    stage.accept(1, START_MS)
    stage.say(pipeline=3, lake=3)
    stage.work()
    assert stage.records.first_offset() == 1
