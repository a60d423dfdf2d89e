"""The scheduler role: everything that is not per record, side by side.

Schedules make segment jobs, segment jobs are run, files are exported, completed batches are loaded. Each is a task with steps of
its own; one that fails rests for a while and stops none of the others.
"""

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from headrace.audience.jobs import SegmentJobs
from headrace.audience.run import JobRunner
from headrace.audience.schedules import SEGMENTATION, Schedule, Schedules
from headrace.clock import Clock
from headrace.errors import HeadraceError, Transient
from headrace.model import Sandbox
from headrace.storage.errors import StorageFull
from headrace.telemetry import log

_FIRST_REST_MS = 1_000
_LONGEST_REST_MS = 60_000
_JOBS = uuid.UUID("0d3c5a1e-6f0b-5d2a-9c57-7b1f6a2f4d10")  # in whose name the ids of scheduled jobs are made


class Task(Protocol):
    """Something the scheduler does, in steps that do not block."""

    def step(self) -> bool:
        """Do one piece of work; returns whether there was any."""
        ...


@dataclass(slots=True)
class _Rest:
    """A task that failed: how often in a row, when it is tried again, and what must be mended for it."""

    failures: int = 0
    until_ms: int = 0
    fault: str = ""


class Scheduler:
    """Joins the tasks; see `roles.runner.Role`."""

    def __init__(self, tasks: Mapping[str, Task], clock: Clock) -> None:
        """Take the tasks.

        Args:
            tasks: By name, in the order in which they take their steps. A task may also have ``next_due_ms``, ``status``,
                ``close`` and ``is_waiting``, as a role has.
            clock: Tells when a task that failed is tried again.
        """
        self._tasks = dict(tasks)
        self._clock = clock
        self._rests: dict[str, _Rest] = {}
        self._is_busy = True

    def step(self) -> bool:
        """Let each task take one step; returns whether any had work."""
        busy = [self._stepped(name, task) for name, task in self._tasks.items()]
        self._is_busy = any(busy)
        return self._is_busy

    def _stepped(self, name: str, task: Task) -> bool:
        rest = self._rests.get(name)
        if rest is not None and not self._clock.is_manual and rest.until_ms > self._clock.now_ms():
            return False
        try:
            is_busy = task.step()
        except Exception as fault:  # the edge between the tasks: none may stop the others
            self._fail(name, fault)
            return False
        self._rests.pop(name, None)
        return is_busy

    def _fail(self, name: str, fault: Exception) -> None:
        rest = self._rests.setdefault(name, _Rest())
        wait_ms = min(_FIRST_REST_MS << min(rest.failures, 10), _LONGEST_REST_MS)
        if isinstance(fault, Transient) and fault.retry_after_seconds:
            wait_ms = round(fault.retry_after_seconds * 1000)
        rest.failures += 1
        rest.fault = str(fault) if isinstance(fault, StorageFull) else ""
        rest.until_ms = self._clock.now_ms() + wait_ms
        level = logging.WARNING if isinstance(fault, Transient) else logging.ERROR
        code = fault.code if isinstance(fault, HeadraceError) else type(fault).__name__
        log(
            "scheduler",
            level,
            "A task of the scheduler failed and rests.",
            task=name,
            code=code,
            reason=str(fault),
            wait_ms=wait_ms,
        )

    @property
    def is_waiting(self) -> bool:
        """Whether a task waits for something that rings no bell, so that it must be asked again soon."""
        return any(getattr(task, "is_waiting", False) for task in self._tasks.values())

    def next_due_ms(self) -> int | None:
        """Return the earliest instant at which a task has work without new input; None without one."""
        dues = [due for task in self._tasks.values() if (due := _asked(task, "next_due_ms")) is not None]
        dues += [rest.until_ms for rest in self._rests.values()]
        return min(dues, default=None)

    def status(self) -> dict[str, Any]:
        """Return the tasks' counters, those that rest, and whether nothing is under way."""
        statuses = {name: found for name, task in self._tasks.items() if (found := _asked(task, "status")) is not None}
        is_waiting = any(not found.get("is_idle", True) for found in statuses.values())
        fault = next((rest.fault for rest in self._rests.values() if rest.fault), "")
        return {
            **({"fault": fault} if fault else {}),
            "is_idle": not self._is_busy and not is_waiting,
            "resting": {name: rest.failures for name, rest in self._rests.items()},
            "tasks": statuses,
        }

    def close(self) -> None:
        """Close every task, also when one of them fails at it."""
        for name, task in self._tasks.items():
            try:
                _asked(task, "close")
            except Exception as fault:
                log("scheduler", logging.ERROR, "A task of the scheduler did not close.", task=name, reason=repr(fault))


def _asked(task: Task, name: str) -> Any:
    """Return what an optional method of a task gives, None when the task has no such method."""
    method: Callable[[], Any] | None = getattr(task, name, None)
    return method() if method is not None else None


class ScheduledJobs:
    """Makes segment jobs when their schedules are due; gives every sandbox its daily schedule."""

    def __init__(
        self,
        schedules: Schedules,
        jobs: SegmentJobs,
        *,
        sandboxes: Callable[[], Sequence[Sandbox]],
        revision: Callable[[], int],
    ) -> None:
        """Take what is needed.

        Args:
            schedules: The schedules.
            jobs: Makes the jobs.
            sandboxes: Gives the active sandboxes.
            revision: Gives a number that rises when there may be another sandbox.
        """
        self._schedules = schedules
        self._jobs = jobs
        self._sandboxes = sandboxes
        self._revision = revision
        self._seen_revision = -1

    def step(self) -> bool:
        """Make the jobs that are due; returns whether there were any."""
        sandboxes = {sandbox.number: sandbox for sandbox in self._known_sandboxes()}
        due = self._schedules.due()
        fault: Transient | None = None
        for item in due:
            sandbox = sandboxes.get(item.sandbox)
            try:
                if sandbox is not None and item.body.type == SEGMENTATION:
                    self._make(sandbox, item)
                self._schedules.advance(item)
            except Transient as error:  # it stays due; the others need not wait for it
                fault = error
        if fault is not None:
            raise fault
        return bool(due)

    def _known_sandboxes(self) -> Sequence[Sandbox]:
        sandboxes = self._sandboxes()
        revision = self._revision()
        if revision != self._seen_revision:
            self._schedules.ensure_system(sandboxes)
            self._seen_revision = revision
        return sandboxes

    def _make(self, sandbox: Sandbox, schedule: Schedule) -> None:
        # Made first, then the schedule moves on: after a crash in between the same id makes no second job.
        job_id = str(uuid.uuid5(_JOBS, f"{schedule.id} {schedule.next_fire_at}"))
        try:
            self._jobs.create(sandbox, schedule.body.segments, job_id=job_id, source="scheduler", schedule_id=schedule.id)
        except Transient:
            raise
        except HeadraceError as fault:  # audiences that are gone: the schedule goes on with its next run
            log("scheduler", logging.WARNING, "A scheduled segment job was not made.", schedule=schedule.id, reason=str(fault))

    def next_due_ms(self) -> int | None:
        """Return when the next schedule is due."""
        return self._schedules.next_due_ms()


class RunningJobs:
    """Runs segment jobs."""

    def __init__(self, runner: JobRunner, jobs: SegmentJobs) -> None:
        self._runner = runner
        self._jobs = jobs

    @property
    def is_waiting(self) -> bool:
        """Whether a job waits for something that rings no bell."""
        return self._runner.is_waiting

    def step(self) -> bool:
        """Move the jobs on."""
        return self._runner.step()

    def status(self) -> dict[str, Any]:
        """Return counters, and whether no job is open."""
        return {**self._runner.status(), "is_idle": not self._jobs.open()}

    def close(self) -> None:
        """Stop what runs."""
        self._runner.close()
