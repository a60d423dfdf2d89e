"""Running segment jobs: one at a time in each sandbox, from NEW to SUCCEEDED.

A job waits until the hot state and the lake hold everything accepted before its start, evaluates, gives what differs as one
claim check to the topic ``records``, and has succeeded when the pipeline, which alone writes memberships, has applied that. A
job that a crash interrupts begins anew.
"""

import logging
import shutil
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from headrace.audience import jobs as states
from headrace.audience.definition import PUBLISHED, Audience
from headrace.audience.evaluating import Evaluation, Outcome, Question, Surroundings
from headrace.audience.jobs import Figures, Job, JobError, SegmentJobs
from headrace.audience.service import Audiences
from headrace.clock import Clock
from headrace.engine.base import Engine
from headrace.errors import HeadraceError, Transient
from headrace.model import MembershipDiff, Sandbox, encode_entry
from headrace.storage.disk import mapped_full
from headrace.storage.log import Log
from headrace.telemetry import log

RECORDS, FLUSH = "records", "flush"
FOLDER = "jobs"
_DIFFS_KEPT_MS = 24 * 3_600_000


class Progress(Protocol):
    """How far the other roles have come, as offsets in the topic ``records``."""

    def pipeline_offset(self) -> int:
        """Return the offset before which the pipeline has applied everything."""
        ...

    def lake_offset(self) -> int:
        """Return the offset before which everything is in the lake."""
        ...


@dataclass(slots=True)
class _Running:
    """A job in the process that runs it.

    Attributes:
        job: The job.
        sandbox: Its sandbox.
        basis_offset: End of the log at its start; the hot state and the lake must hold everything before it.
        now_ms: The one instant of the evaluation.
        work: The evaluation; None while the others are waited for.
        is_stopped: Whether the job was cancelled.
    """

    job: Job
    sandbox: Sandbox
    basis_offset: int
    now_ms: int
    work: "Future[Outcome | None] | None" = None
    is_stopped: bool = False


class JobRunner:
    """Moves segment jobs on; `step` never waits."""

    def __init__(
        self,
        jobs: SegmentJobs,
        audiences: Audiences,
        surroundings: Surroundings,
        progress: Progress,
        record_log: Log,
        clock: Clock,
        home: Path,
        *,
        sandbox_of: Callable[[int], Sandbox | None],
        engine: Callable[[], Engine],
        executor: Executor | None = None,
    ) -> None:
        """Open the runner.

        Args:
            jobs: The jobs.
            audiences: What they evaluate.
            surroundings: What they evaluate it over.
            progress: How far the other roles have come.
            record_log: Takes the differences.
            clock: Gives each job its instant.
            home: Home folder.
            sandbox_of: Gives a sandbox by its number, None when it is gone.
            engine: Makes an engine for one job.
            executor: Where evaluations run; None runs them inside `step`.
        """
        self._jobs = jobs
        self._audiences = audiences
        self._surroundings = surroundings
        self._progress = progress
        self._log = record_log
        self._topic = record_log.topic(RECORDS)
        self._clock = clock
        self._home = home
        self._sandbox_of = sandbox_of
        self._engine = engine
        self._executor = executor
        self._running: dict[int, _Running] = {}
        self._done = self._failed = 0
        self.is_waiting = False
        """Whether a job waits for its evaluation or for another role, whose end rings no bell."""
        (home / FOLDER).mkdir(parents=True, exist_ok=True)

    def step(self) -> bool:
        """Move each open job as far as it goes now; returns whether any moved."""
        is_busy = False
        occupied: set[int] = set()
        for job in self._jobs.open():
            is_busy |= self._move(job, occupied)
        self.is_waiting = bool(occupied)
        return is_busy

    def status(self) -> dict[str, Any]:
        """Return counters."""
        return {"running": len(self._running), "succeeded": self._done, "failed": self._failed}

    def close(self) -> None:
        """Stop what runs; it begins anew with the next start."""
        for item in self._running.values():
            item.is_stopped = True
            if item.work is not None:
                item.work.cancel()

    # --- states -----------------------------------------------------------------------------------------------------------

    def _move(self, job: Job, occupied: set[int]) -> bool:
        is_free = job.sandbox not in occupied
        occupied.add(job.sandbox)
        match job.status:
            case states.CANCELLING:
                return self._cancel(job)
            case states.NEW | states.QUEUED if is_free:
                return self._start(job)
            case states.NEW:
                return self._jobs.moved(job, states.QUEUED, only_in=(states.NEW,)) is not None
            case states.PROCESSING if job.body.waits_for_offset:
                return self._finish_when_applied(job)
            case states.PROCESSING:
                return self._advance(job)
        return False

    def _start(self, job: Job) -> bool:
        figures = Figures(started_at=self._clock.now_ms())
        queued = self._jobs.moved(job, states.QUEUED, only_in=(states.NEW, states.QUEUED))
        if queued is None:
            return False
        started = self._jobs.moved(queued, states.PROCESSING, only_in=(states.QUEUED,), figures=figures)
        return started is not None and self._begin(started)

    def _begin(self, job: Job) -> bool:
        sandbox = self._sandbox_of(job.sandbox)
        if sandbox is None:
            self._fail(job, "sandbox_gone", "The sandbox of the job does not exist any more.")
            return True
        self._log.ring(FLUSH)  # the lake need not wait for more records than the job waits for
        self._running[job.sandbox] = _Running(job, sandbox, self._topic.next_offset(), job.body.figures.started_at)
        return True

    def _advance(self, job: Job) -> bool:
        running = self._running.get(job.sandbox)
        if running is None or running.job.id != job.id:
            return self._begin(job)  # this process has just started
        if running.work is None:
            reached = min(self._progress.pipeline_offset(), self._progress.lake_offset())
            if reached < running.basis_offset:
                return False
            running.work = self._submitted(running)
            return True
        if not running.work.done():
            return False
        del self._running[job.sandbox]
        return self._settle(job, running, running.work)

    def _submitted(self, running: _Running) -> "Future[Outcome | None]":
        if self._executor is not None:
            return self._executor.submit(self._evaluated, running)
        work: Future[Outcome | None] = Future()
        try:
            work.set_result(self._evaluated(running))
        except Exception as error:
            work.set_exception(error)
        return work

    def _settle(self, job: Job, running: _Running, work: "Future[Outcome | None]") -> bool:
        fault = work.exception()
        if isinstance(fault, Transient):
            log("scheduler", logging.WARNING, "a segment job begins anew", job=job.id, reason=str(fault))
            return False
        if fault is not None:
            code = fault.code if isinstance(fault, HeadraceError) else "segment_job_defect"
            log("scheduler", logging.ERROR, "a segment job failed", job=job.id, reason=repr(fault))
            self._fail(job, code, str(fault))
            return True
        outcome = work.result()
        if outcome is None:
            return self._cancel(job)
        self._announce(job, running, outcome)
        return True

    def _announce(self, job: Job, running: _Running, outcome: Outcome) -> None:
        figures = msgspec.structs.replace(
            job.body.figures,
            segmented_from=running.now_ms,
            segmented_to=self._clock.now_ms(),
            profiles=outcome.person_count,
            by_policy=outcome.by_policy,
            audiences=outcome.counts,
        )
        diff = MembershipDiff(
            job.sandbox, job.id, str(self._diff(job).relative_to(self._home)), running.now_ms, running.basis_offset
        )
        offset = self._topic.append([encode_entry(diff)])
        self._jobs.moved(job, states.PROCESSING, only_in=(states.PROCESSING,), figures=figures, waits_for_offset=offset + 1)

    def _finish_when_applied(self, job: Job) -> bool:
        if self._progress.pipeline_offset() < job.body.waits_for_offset:
            return False
        figures = msgspec.structs.replace(job.body.figures, ended_at=self._clock.now_ms())
        self._jobs.moved(job, states.SUCCEEDED, only_in=(states.PROCESSING,), figures=figures)
        self._done += 1
        self._clear_old_diffs()
        return True

    def _cancel(self, job: Job) -> bool:
        running = self._running.get(job.sandbox)
        if running is not None and running.job.id == job.id:
            running.is_stopped = True
            if running.work is not None and not running.work.done():
                return False  # the statement that runs cannot be interrupted; the next one is not begun
            del self._running[job.sandbox]
        return self._jobs.moved(job, states.CANCELLED, only_in=(states.PROCESSING, states.CANCELLING)) is not None

    def _fail(self, job: Job, code: str, text: str) -> None:
        figures = msgspec.structs.replace(job.body.figures, ended_at=self._clock.now_ms())
        self._jobs.moved(job, states.FAILED, figures=figures, errors=(JobError(code, text),))
        self._failed += 1

    # --- the evaluation ---------------------------------------------------------------------------------------------------

    def _evaluated(self, running: _Running) -> Outcome | None:
        with mapped_full("evaluate a segment job"):
            return self._evaluation(running)

    def _evaluation(self, running: _Running) -> Outcome | None:
        folder = self._home / FOLDER / f"{running.job.id}.work"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        engine = self._engine()
        try:
            evaluation = Evaluation(self._question(running), self._surroundings, engine, folder)
            return evaluation.run(self._diff(running.job), lambda: running.is_stopped)
        finally:
            engine.close()
            shutil.rmtree(folder, ignore_errors=True)

    def _question(self, running: _Running) -> Question:
        sandbox, job = running.sandbox, running.job
        unions = self._audiences.unions(sandbox)
        numbers = {item.id: item.number for item in self._audiences.active(sandbox)}
        return Question(sandbox, self._wanted(sandbox, job), numbers, unions.profile, unions.event, running.now_ms)

    def _wanted(self, sandbox: Sandbox, job: Job) -> list[Audience]:
        if job.is_for_all:
            return self._audiences.evaluated(sandbox)
        found = self._audiences.find(sandbox, job.segment_ids)
        return [item for item in found.values() if item.lifecycle_state == PUBLISHED and item.has_query]

    def _diff(self, job: Job) -> Path:
        return self._home / FOLDER / f"{job.id}.jsonl"

    def _clear_old_diffs(self) -> None:
        """Remove the differences of jobs that ended long ago, after the log has forgotten them too."""
        limit = self._clock.now_ms() - _DIFFS_KEPT_MS
        for path in (self._home / FOLDER).glob("*.jsonl"):
            if self._jobs.ended_before(path.stem, limit):
                path.unlink(missing_ok=True)
