"""File exports of all dataflows: what is due is scanned, written and uploaded, one small piece of work a step."""

import asyncio
import errno
import gc
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec

from headrace.activation.dataflows import AudienceSelector, Dataflow
from headrace.activation.export_job import Exclusion, ExportJob, JobPlan, Window, profile_cache
from headrace.activation.landing_zone import next_removal_ms, remove_old_files
from headrace.activation.rows import Expressions, RowBuilder
from headrace.activation.runs import FAILED, Issue, Run, RunMetrics, Runs, Trigger
from headrace.activation.schedules import INCREMENTAL
from headrace.clock import Clock
from headrace.destinations.base import Context, Limits
from headrace.destinations.errors import DestinationFull
from headrace.errors import HeadraceError, Transient
from headrace.model import Sandbox
from headrace.profile.merge import MergeRule
from headrace.profile.reader import ProfileReader
from headrace.storage.disk import is_full
from headrace.telemetry import log

FILE_LIMITS = Limits()
RETRY_WAITS_SECONDS = (5, 15, 45, 135, 300)
_PERSONS_A_STEP = 1_000
_UPLOADS_AT_A_TIME = 4
_UPLOAD_PATIENCE_SECONDS = 0.02
_LOOK_FOR_EVALUATIONS_SECONDS = 5.0  # when nobody calls `look`
_AGAIN_SECONDS = 5.0  # real time: that the disk here is full has nothing to do with the schedules
_NEVER_MS = 1 << 62


class ActiveDataflows(Protocol):
    """What exports ask of the dataflows."""

    def revision(self) -> int:
        """Return a number that changes whenever `active` could give something else."""
        ...

    def active(self, sandbox: Sandbox) -> Sequence[Dataflow]:
        """Return the active dataflows of a sandbox."""
        ...


class ExportSupport(msgspec.Struct, frozen=True, kw_only=True):
    """What other stages decide about exports; every function may be left as it is.

    Attributes:
        rule_of: Gives the merge rule of a merge policy.
        namespaces_of: Gives the codes of a sandbox's identity namespaces by id.
        context_of: Gives destinations what the server has for them.
        expressions: Compiles calculated fields.
        exclusion_of: Tells for a dataflow which profiles may not be exported.
        violation_of: Tells which policy forbids a dataflow now; empty when none does.
        evaluated_at: When the last finished evaluation of an audience ran (epoch ms), None when there was none.
        is_settled: Whether no evaluation is under way and the pipeline has applied everything before an instant (epoch ms);
            a scan waits for it, so that the window of an increment misses nothing.
        organization_name: For file names.
    """

    rule_of: Callable[[Sandbox, str], MergeRule]
    namespaces_of: Callable[[Sandbox], Mapping[int, str]]
    context_of: Callable[[Sandbox], Context]
    expressions: Expressions
    exclusion_of: Callable[[Dataflow], Exclusion] = lambda flow: lambda profile: ""
    violation_of: Callable[[Dataflow], str] = lambda flow: ""
    evaluated_at: Callable[[Sandbox, AudienceSelector], int | None] = lambda sandbox, audience: None
    is_settled: Callable[[int], bool] = lambda until_ms: True
    organization_name: str = "Headrace"


class _Wanted(msgspec.Struct, frozen=True):
    """A run that is to begin."""

    run_id: str
    flow: Dataflow
    audience: AudienceSelector
    scheduled_at_ms: int
    started_at_ms: int
    is_on_demand: bool


class _Upload(msgspec.Struct):
    """A job whose files are written, on their way to the destination."""

    job: ExportJob
    due_ms: int
    future: Future[None] | None = None


class Exporter:
    """Runs the file exports; driven by the scheduler role."""

    def __init__(
        self,
        *,
        sandboxes: Callable[[], Iterable[Sandbox]],
        dataflows: ActiveDataflows,
        runs: Runs,
        reader: ProfileReader,
        clock: Clock,
        staging: Path,
        landing_zone: Path,
        support: ExportSupport,
        limits: Limits = FILE_LIMITS,
    ) -> None:
        """Take up the runs that a crash interrupted; they are done again from their beginning.

        Args:
            sandboxes: Gives all sandboxes.
            dataflows: The dataflows.
            runs: Where runs are recorded, and where those asked for wait.
            reader: The persons.
            clock: Decides what is due.
            staging: Folder for files until they are uploaded.
            landing_zone: Folder of the Data Landing Zones; what is old there is removed.
            support: What other stages decide.
            limits: Rows in one file.
        """
        self._sandboxes = sandboxes
        self._dataflows = dataflows
        self._runs = runs
        self._reader = reader
        self._clock = clock
        self._staging = staging
        self._landing_zone = landing_zone
        self._support = support
        self._limits = limits
        self._wanted: list[_Wanted] = []
        self._wanted_at_ms = 0
        self._scan: Iterator[None] | None = None
        self._scanning: list[ExportJob] = []
        self._uploads: list[_Upload] = []
        self._pool = ThreadPoolExecutor(_UPLOADS_AT_A_TIME, thread_name_prefix="export-upload")
        self._resumed = list(runs.interrupted())
        self._again_at: float | None = None
        self._revision = -1
        self._look_at_ms = 0
        self._looked_at = 0.0
        self._has_evaluations = False
        self._sweep_at_ms = 0
        self._done = {"succeeded": 0, "failed": 0}

    # --- the loop -----------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Do one piece of work; True when something was done or is under way."""
        is_any = self._advance_uploads()
        self._sweep(self._clock.now_ms())
        if self._scan is not None:
            self._advance_scan(self._scan)
            return True
        if not self._wanted:
            self._wanted_at_ms = self._clock.now_ms()
            self._wanted = self._found(self._wanted_at_ms)
        if self._wanted and self._support.is_settled(self._wanted_at_ms):
            self._scan = self._begun()
            return True
        return is_any

    @property
    def is_waiting(self) -> bool:
        """Whether an export waits until what was accepted before its instant has been applied."""
        return bool(self._wanted)

    def look(self) -> None:
        """Look for due exports in the next step: an evaluation has finished."""
        self._look_at_ms = 0

    def next_due_ms(self) -> int | None:
        """Return when the next export, attempt or removal of old files is due."""
        waiting = [upload.due_ms for upload in self._uploads if upload.future is None]
        due_ms = min([self._look_at_ms, self._sweep_at_ms, *waiting])
        return None if due_ms == _NEVER_MS else due_ms

    def status(self) -> dict[str, Any]:
        """Return how many runs are under way, and how many ended since the start and how."""
        is_idle = self._again_at is None and not self._wanted
        return {"is_idle": is_idle, "exporting": len(self._scanning) + len(self._uploads), **self._done}

    def close(self) -> None:
        """Stop; runs under way are done again by the next start."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for job in self._jobs():
            job.discard()

    # --- what is due --------------------------------------------------------------------------------------------------

    def _found(self, now_ms: int) -> list[_Wanted]:
        wanted = [*self._interrupted(), *self._asked_for()]
        if wanted or not self._is_time_to_look(now_ms):
            return wanted
        return self._scheduled(now_ms)

    def _is_time_to_look(self, now_ms: int) -> bool:
        if now_ms >= self._look_at_ms or self._dataflows.revision() != self._revision:
            return True
        return self._has_evaluations and time.monotonic() - self._looked_at > _LOOK_FOR_EVALUATIONS_SECONDS

    def _begun(self) -> Iterator[None]:
        sandbox = self._wanted[0].flow.sandbox
        together = [item for item in self._wanted if item.flow.sandbox.number == sandbox.number]
        self._wanted = [item for item in self._wanted if item.flow.sandbox.number != sandbox.number]
        return self._scanned(sandbox, together, self._wanted_at_ms)

    def _sweep(self, now_ms: int) -> None:
        if now_ms >= self._sweep_at_ms:
            remove_old_files(self._landing_zone, now_ms)
            self._plan_sweep()

    def _plan_sweep(self) -> None:
        due_ms = next_removal_ms(self._landing_zone)
        self._sweep_at_ms = _NEVER_MS if due_ms is None else due_ms

    def _interrupted(self) -> list[_Wanted]:
        if self._again_at is not None and time.monotonic() >= self._again_at:
            self._again_at = None
            under_way = {job.plan.run_id for job in self._jobs()}
            self._resumed = [run for run in self._runs.interrupted() if run.id not in under_way]
        runs, self._resumed = self._resumed, []
        return [found for run in runs if (found := self._resumable(run)) is not None]

    def _asked_for(self) -> list[_Wanted]:
        found = []
        for run in self._runs.pending():
            if self._is_busy(run.flow_id, run.audience_id, except_run=run.id):
                continue
            wanted = self._resumable(run)
            if wanted is not None and self._runs.begin(run.id):
                found.append(wanted)
        return found

    def _resumable(self, run: Run) -> _Wanted | None:
        sandbox = next((item for item in self._sandboxes() if item.number == run.sandbox), None)
        flows = self._dataflows.active(sandbox) if sandbox else ()
        flow = next((item for item in flows if item.id == run.flow_id), None)
        audience = flow.audience(run.audience_id) if flow is not None and flow.kind == "file" else None
        if flow is None or audience is None:
            if not run.audience_id and flow is not None:
                return None  # an export of datasets; somebody else's
            self._fail(run.id, "ACTIVATION_BATCH-0002-TRANSPORT", "The dataflow or its audience is no longer active.")
            return None
        started_at_ms = run.state.started_at_ms or self._clock.now_ms()
        return _Wanted(run.id, flow, audience, run.state.scheduled_at_ms, started_at_ms, run.state.trigger == "on_demand")

    def _scheduled(self, now_ms: int) -> list[_Wanted]:
        self._revision = self._dataflows.revision()
        self._look_at_ms = _NEVER_MS
        self._looked_at = time.monotonic()
        self._has_evaluations = False
        found: list[_Wanted] = []
        for sandbox in self._sandboxes():
            for flow in self._dataflows.active(sandbox):
                if flow.kind == "file" and flow.content == "audience":
                    found += self._due_in(flow, now_ms)
        return found

    def _due_in(self, flow: Dataflow, now_ms: int) -> Iterator[_Wanted]:
        for audience in flow.audiences:
            due_ms = self._due(flow, audience, now_ms)
            if due_ms is None or self._is_busy(flow.id, audience.audience_id):
                continue  # what waits for the run under way is looked at again when that ends
            is_evaluation = audience.schedule is not None and audience.schedule.trigger == "AFTER_SEGMENT_EVAL"
            trigger: Trigger = "after_evaluation" if is_evaluation else "scheduled"
            run_id = self._runs.start(flow, audience.audience_id, trigger=trigger, scheduled_at_ms=due_ms)
            yield _Wanted(run_id, flow, audience, due_ms, now_ms, False)

    def _due(self, flow: Dataflow, audience: AudienceSelector, now_ms: int) -> int | None:
        schedule = audience.schedule
        if schedule is None:
            return None
        last_ms = self._runs.last_scheduled(flow.id, audience.audience_id)
        after_ms = max(last_ms or 0, audience.mapped_at_ms - 1)
        if schedule.trigger == "SCHEDULED":
            if (next_ms := schedule.due_after(now_ms)) is not None:
                self._look_at_ms = min(self._look_at_ms, next_ms)
            return schedule.due_between(after_ms, now_ms)
        self._has_evaluations = True
        evaluated_ms = self._support.evaluated_at(flow.sandbox, audience)
        if evaluated_ms is None or evaluated_ms <= after_ms or not schedule.covers(evaluated_ms):
            return None
        return None if schedule.frequency == "ONCE" and last_ms is not None else evaluated_ms

    def _is_busy(self, flow_id: str, audience_id: str, *, except_run: str = "") -> bool:
        return any(
            (job.plan.flow.id, job.plan.audience.audience_id) == (flow_id, audience_id) and job.plan.run_id != except_run
            for job in self._jobs()
        )

    def _jobs(self) -> list[ExportJob]:
        return [*self._scanning, *(upload.job for upload in self._uploads)]

    # --- scanning -----------------------------------------------------------------------------------------------------

    def _advance_scan(self, scan: Iterator[None]) -> None:
        was_on = gc.isenabled()
        gc.disable()  # thousands of small objects come and go, none of them in a cycle
        try:
            next(scan)
        except StopIteration:
            self._scan = None
        finally:
            if was_on:
                gc.enable()

    def _scanned(self, sandbox: Sandbox, wanted: Sequence[_Wanted], cutoff_ms: int) -> Iterator[None]:
        """Make the files of several runs in one pass over the persons of a sandbox."""
        self._reader.refresh()
        self._scanning = [job for item in wanted if (job := self._job(item, cutoff_ms)) is not None]
        persons = self._reader.persons(sandbox.number) if self._scanning else ()
        for count, person in enumerate(persons, start=1):
            profile_of = profile_cache(person)
            for job in list(self._scanning):
                self._guarded(job, partial(job.take, person, profile_of))
            if count % _PERSONS_A_STEP == 0:
                yield
        for job in list(self._scanning):
            if self._guarded(job, job.write_files):
                self._scanning.remove(job)
                self._uploads.append(_Upload(job, self._clock.now_ms()))
            yield

    def _job(self, wanted: _Wanted, cutoff_ms: int) -> ExportJob | None:
        flow, audience, support = wanted.flow, wanted.audience, self._support
        if violation := support.violation_of(flow):
            self._fail(wanted.run_id, "POLICY-0001-403", violation)
            return None
        after_ms = None
        if audience.export_mode == INCREMENTAL and not wanted.is_on_demand:
            after_ms = self._runs.last_success(flow.id, audience.audience_id)
        plan = JobPlan(
            run_id=wanted.run_id,
            flow=flow,
            audience=audience,
            window=Window(after_ms, cutoff_ms),
            scheduled_at_ms=wanted.scheduled_at_ms,
            started_at_ms=wanted.started_at_ms,
            cutoff_ms=0 if wanted.is_on_demand else cutoff_ms,
            rule=support.rule_of(flow.sandbox, audience.merge_policy_id),
            organization_name=support.organization_name,
        )
        try:
            builder = RowBuilder(
                flow.attributes,
                mandatory=flow.mandatory,
                keys=flow.keys,
                namespaces=support.namespaces_of(flow.sandbox),
                expressions=support.expressions,
            )
            return ExportJob(
                plan,
                builder,
                self._staging / wanted.run_id,
                rows_per_file=self._limits.rows_per_file,
                is_excluded=support.exclusion_of(flow),
            )
        except (HeadraceError, OSError) as error:
            if is_full(error):
                self._begin_again(wanted.run_id, error)
            else:
                self._fail(wanted.run_id, *_cause(error))
            return None

    def _guarded(self, job: ExportJob, action: Callable[[], None]) -> bool:
        """Do a part of a job; a fault ends that job and no other."""
        try:
            action()
        except Exception as error:
            self._scanning.remove(job)
            if is_full(error):
                job.discard()
                self._begin_again(job.plan.run_id, error)
                return False
            if not isinstance(error, HeadraceError | OSError):
                log(
                    "scheduler",
                    logging.ERROR,
                    "an export failed",
                    run_id=job.plan.run_id,
                    error=f"{type(error).__name__}: {error}",
                )
            self._end(job, error)
            return False
        return True

    # --- uploading ----------------------------------------------------------------------------------------------------

    def _advance_uploads(self) -> bool:
        now_ms = self._clock.now_ms()
        for upload in self._uploads:
            if upload.future is None and upload.due_ms <= now_ms:
                upload.future = self._pool.submit(self._upload, upload.job)
        running = [upload.future for upload in self._uploads if upload.future is not None]
        if not running:
            return False
        patience = _UPLOAD_PATIENCE_SECONDS if self._scan is None else 0
        wait(running, patience, FIRST_COMPLETED)
        for upload in list(self._uploads):
            if upload.future is not None and upload.future.done():
                self._uploaded(upload, upload.future.exception())
        return True

    def _upload(self, job: ExportJob) -> None:
        asyncio.run(job.upload(self._support.context_of(job.plan.flow.sandbox)))

    def _uploaded(self, upload: _Upload, error: BaseException | None) -> None:
        upload.future = None
        job = upload.job
        if isinstance(error, Transient) and job.attempts <= len(RETRY_WAITS_SECONDS):
            upload.due_ms = self._clock.now_ms() + RETRY_WAITS_SECONDS[job.attempts - 1] * 1000
            log("scheduler", logging.WARNING, "an upload is tried again", run_id=job.plan.run_id, reason=str(error))
            return
        self._uploads.remove(upload)
        self._end(job, error)

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _end(self, job: ExportJob, error: BaseException | None) -> None:
        plan = job.plan
        try:
            if error is None:
                self._runs.finish(plan.run_id, status="success", metrics=job.metrics(), cutoff_ms=plan.cutoff_ms)
                self._done["succeeded"] += 1
            else:
                self._fail(plan.run_id, *_cause(error))
        except Transient as fault:  # the end cannot be noted; the same export once more changes nothing
            self._begin_again(plan.run_id, fault)
        job.discard()
        if error is None:
            self._plan_sweep()
        self._look_at_ms = min(self._look_at_ms, self._clock.now_ms())

    def _begin_again(self, run_id: str, fault: BaseException) -> None:
        """Leave a run as it is, under way, and take it up again from its beginning in a moment."""
        log("scheduler", logging.WARNING, "an export begins anew", run_id=run_id, reason=str(fault))
        self._again_at = time.monotonic() + _AGAIN_SECONDS

    def _fail(self, run_id: str, code: str, message: str) -> None:
        log("scheduler", logging.ERROR, "an export failed", run_id=run_id, code=code, reason=message)
        metrics = RunMetrics(errors=(Issue(code, message),), failed=(Issue(FAILED, "Job aborted."),))
        self._runs.finish(run_id, status="failed", metrics=metrics)
        self._done["failed"] += 1


def _cause(error: BaseException) -> tuple[str, str]:
    if isinstance(error, OSError):
        has_no_room = error.errno in (errno.ENOSPC, errno.EDQUOT)
        code = DestinationFull.activation_code if has_no_room else FAILED
        return code, f"The files could not be written here: {error.strerror or error}."
    return getattr(error, "activation_code", FAILED), str(error)
