"""A role that fails waits longer each time, says why, and goes on where it was."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.clock import ManualClock, SystemClock
from headrace.errors import Transient
from headrace.roles import runner
from headrace.roles.runner import Role, Runner
from headrace.roles.status import StatusBoard
from headrace.storage.errors import StorageFull


class FakeTime:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class FakeWakeup:
    """Never rings; lets the time-out pass at once."""

    def __init__(self, time: FakeTime) -> None:
        self._time = time

    def wait(self, timeout_seconds: float | None) -> bool:
        self._time.now += timeout_seconds or 0.0
        return False

    def fileno(self) -> int:
        return 0

    def clear(self) -> None:
        return

    def close(self) -> None:
        return


class FakeRole:
    """Does one thing a step."""

    def __init__(self, act: Callable[[], bool]) -> None:
        self.act = act
        self.is_closed = False

    def step(self) -> bool:
        return self.act()

    def next_due_ms(self) -> int | None:
        return None

    def status(self) -> dict[str, Any]:
        return {"offset": 7}

    def close(self) -> None:
        self.is_closed = True


class Stage:
    """A runner with a role whose steps follow a list."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = FakeTime()
        monkeypatch.setattr(runner, "time", self.time)
        self.board = StatusBoard(folder)
        self.roles: list[FakeRole] = []
        self.begun_at: list[float] = []
        self.seen: list[dict[str, Any] | None] = []
        self.acts: list[Callable[[], bool]] = []
        self.make_fault: Exception | None = None
        self.runner = Runner("pipeline", self.make, ManualClock(0), FakeWakeup(self.time), self.board)

    def make(self) -> Role:
        self.begun_at.append(self.time.now)
        self.seen.append(self.board.read_any("pipeline"))
        if self.make_fault is not None:
            fault = self.make_fault
            if len(self.begun_at) == 3:
                self.make_fault = None
            raise fault
        role = FakeRole(self.act)
        self.roles.append(role)
        return role

    def act(self) -> bool:
        if not self.acts:
            self.runner.stop()
            return False
        return self.acts.pop(0)()

    def pauses(self) -> list[float]:
        return [round(after - before, 3) for before, after in zip(self.begun_at, self.begun_at[1:], strict=False)]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield Stage(tmp_path, monkeypatch)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def fails(fault: Exception) -> Callable[[], bool]:
    def act() -> bool:
        raise fault

    return act


def test_defect_makes_the_role_anew_after_pauses_that_grow_to_a_minute(stage: Stage) -> None:
    stage.acts = [fails(KeyError("_id"))] * 9
    stage.runner.run()
    assert stage.pauses() == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert all(role.is_closed for role in stage.roles)


def test_fault_stands_beside_the_last_counters(stage: Stage) -> None:
    stage.acts = [fails(ValueError("unexpected value"))]
    stage.runner.run()
    status = stage.seen[1]
    assert status is not None
    assert status["fault"] == "ValueError: unexpected value"
    assert status["offset"] == 7
    assert stage.board.read("pipeline") is not None


def test_fault_is_told_until_the_role_has_run_for_a_while(stage: Stage) -> None:
    idle = [lambda: False] * 18
    stage.acts = [fails(ValueError("bad")), *idle]
    stage.runner.run()
    status = stage.board.read("pipeline")
    assert status is not None
    assert status["fault"] == "ValueError: bad"
    stage.runner._is_stopping = False
    stage.acts = [lambda: False] * 25
    stage.runner.run()
    status = stage.board.read("pipeline")
    assert status is not None
    assert "fault" not in status


def test_role_that_never_came_up_has_a_fault_and_no_status(stage: Stage) -> None:
    stage.make_fault = ValueError("cannot open")
    stage.runner.run()
    assert stage.seen[1] is not None
    assert stage.seen[1]["fault"] == "ValueError: cannot open"
    assert stage.seen[2] is not None
    assert stage.seen[2]["is_up"] is False
    assert stage.board.read("pipeline") is not None  # it has come up in the end


def test_fault_that_passes_is_no_defect(stage: Stage) -> None:
    stage.acts = [fails(Transient("busy", retry_after_seconds=3)), fails(Transient("busy"))]
    stage.runner.run()
    assert stage.pauses() == [3, 1]
    assert all("fault" not in (status or {}) for status in stage.seen)


def test_full_disk_is_told_until_the_role_is_up_again(stage: Stage) -> None:
    stage.acts = [fails(StorageFull("The disk is full.", retry_after_seconds=5, hint="Make room."))]
    stage.runner.run()
    assert stage.pauses() == [5]
    assert stage.seen[1] is not None
    assert stage.seen[1]["fault"] == "The disk is full. Make room."
    status = stage.board.read("pipeline")
    assert status is not None
    assert "fault" not in status


def test_role_that_does_not_close_does_not_hide_the_first_fault(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def close(role: FakeRole) -> None:
        if role is stage.roles[0]:
            raise OSError("cannot close")

    monkeypatch.setattr(FakeRole, "close", close)
    stage.acts = [fails(Transient("busy", retry_after_seconds=3))]
    stage.runner.run()
    assert stage.pauses() == [3]


def test_role_with_a_rest_is_not_asked_again_before_it_is_over(stage: Stage) -> None:
    class Ringing(FakeWakeup):
        def wait(self, timeout_seconds: float | None) -> bool:
            return True

    class Resting(FakeRole):
        rest_seconds = 0.05

    looked_at: list[float] = []

    def look() -> bool:
        looked_at.append(stage.time.now)
        if len(looked_at) == 4:
            resting.stop()
        return False

    resting = Runner("lake_writer", lambda: Resting(look), SystemClock(), Ringing(stage.time), stage.board)
    resting.run()
    assert [round(at - looked_at[0], 3) for at in looked_at] == [0, 0.05, 0.1, 0.15]
