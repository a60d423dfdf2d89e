"""The scheduler: tasks side by side, and the daily job."""

from typing import Any

import pytest

from headrace.audience.definition import Definition, Expression
from headrace.audience.jobs import NEW, SegmentJobs
from headrace.audience.schedules import Schedules
from headrace.audience.service import Audiences
from headrace.clock import ManualClock, iso_seconds
from headrace.errors import Transient
from headrace.model import Sandbox
from headrace.roles.scheduler import ScheduledJobs, Scheduler
from headrace.storage.control import ControlStore
from tests.unit.audience.conftest import audiences, policies, registry

__all__ = ["audiences", "policies", "registry"]
DAY_MS = 86_400_000


class FakeTask:
    """Does what it is told."""

    def __init__(self, *, busy: int = 0, fault: Exception | None = None, due: int | None = None) -> None:
        self.busy, self.fault, self.due = busy, fault, due
        self.steps = 0
        self.is_closed = False

    def step(self) -> bool:
        self.steps += 1
        if self.fault is not None:
            raise self.fault
        self.busy -= 1
        return self.busy >= 0

    def next_due_ms(self) -> int | None:
        return self.due

    def status(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def close(self) -> None:
        if self.fault is not None:
            raise self.fault
        self.is_closed = True


class RunningClock(ManualClock):
    """A clock that a test moves, but that says it runs by itself."""

    is_manual = False


def test_a_task_that_fails_stops_no_other_and_rests_longer_each_time() -> None:
    clock = RunningClock(1_000_000)
    broken, sound = FakeTask(fault=ValueError("broken")), FakeTask(busy=1)
    scheduler = Scheduler({"broken": broken, "sound": sound}, clock)
    assert scheduler.step() is True
    assert scheduler.step() is False
    assert (broken.steps, sound.steps) == (1, 2)
    assert scheduler.next_due_ms() == 1_001_000
    clock.move_to(1_001_000)
    scheduler.step()
    assert (broken.steps, scheduler.next_due_ms()) == (2, 1_003_000)
    broken.fault = None
    clock.move_to(1_003_000)
    scheduler.step()
    assert scheduler.status()["resting"] == {}
    assert scheduler.next_due_ms() is None


def test_a_passing_fault_says_itself_how_long_to_rest() -> None:
    scheduler = Scheduler({"full": FakeTask(fault=Transient("full", retry_after_seconds=7))}, RunningClock(0))
    scheduler.step()
    assert scheduler.next_due_ms() == 7_000


def test_on_a_manual_clock_a_task_that_failed_is_tried_with_each_step() -> None:
    broken = FakeTask(fault=ValueError("broken"))
    scheduler = Scheduler({"broken": broken}, ManualClock(0))
    assert [scheduler.step(), scheduler.step()] == [False, False]
    assert broken.steps == 2


def test_status_names_the_tasks_and_close_closes_all() -> None:
    first, second = FakeTask(fault=ValueError("x")), FakeTask(due=5)
    scheduler = Scheduler({"first": first, "second": second}, ManualClock(0))
    scheduler.step()
    assert scheduler.status()["tasks"] == {"first": {"steps": 1}, "second": {"steps": 1}}
    assert scheduler.status()["is_idle"] is True
    scheduler.close()
    assert second.is_closed


@pytest.fixture
def jobs(control: ControlStore, clock: ManualClock, audiences: Audiences) -> SegmentJobs:
    return SegmentJobs(control, clock, audiences)


@pytest.fixture
def scheduled(control: ControlStore, clock: ManualClock, jobs: SegmentJobs, prod: Sandbox) -> ScheduledJobs:
    return ScheduledJobs(Schedules(control, clock), jobs, sandboxes=lambda: [prod], revision=control.revision)


def test_every_sandbox_is_evaluated_daily(scheduled: ScheduledJobs, jobs: SegmentJobs, clock: ManualClock, prod: Sandbox) -> None:
    assert scheduled.step() is False
    due = scheduled.next_due_ms()
    assert due is not None and iso_seconds(due) == "2027-02-15T02:00:00Z"
    clock.move_to(due)
    assert [scheduled.step(), scheduled.step()] == [True, False]
    (job,) = jobs.all(prod)
    assert (job.status, job.is_for_all, job.body.source) == (NEW, True, "scheduler")
    assert scheduled.next_due_ms() == due + DAY_MS


def test_scheduled_run_is_neither_lost_nor_made_twice_by_a_crash(
    scheduled: ScheduledJobs, jobs: SegmentJobs, clock: ManualClock, prod: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled.step()
    due = scheduled.next_due_ms()
    assert due is not None
    clock.move_to(due)
    for owner, name in ((SegmentJobs, "create"), (Schedules, "advance")):  # the job is not made; the schedule does not move on
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, lambda *_, **__: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                scheduled.step()
    assert scheduled.next_due_ms() == due
    assert [scheduled.step(), scheduled.step()] == [True, False]
    (job,) = jobs.all(prod)
    assert (job.created_at, scheduled.next_due_ms()) == (due, due + DAY_MS)


def test_runs_that_were_missed_are_made_up_for_once(
    scheduled: ScheduledJobs, jobs: SegmentJobs, clock: ManualClock, prod: Sandbox
) -> None:
    scheduled.step()
    clock.move_to(clock.now_ms() + 5 * DAY_MS)
    scheduled.step()
    assert len(jobs.all(prod)) == 1


def test_a_job_takes_what_its_audiences_depend_on(jobs: SegmentJobs, audiences: Audiences, prod: Sandbox) -> None:
    parent = audiences.create(prod, Definition(name="Parent", expression=Expression('person.gender = "male"')))
    child = audiences.create(prod, Definition(name="Child", expression=Expression(f'inSegment("{parent.id}")')))
    assert jobs.create(prod, [child.id]).segment_ids == [parent.id, child.id]
