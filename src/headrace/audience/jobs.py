"""Segment jobs: what is asked for, what runs, what came out. Running one is the work of `audience.run`."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from headrace.audience import store
from headrace.audience.definition import PUBLISHED, Audience
from headrace.audience.errors import JobInvalid, JobsWaiting, JobUnknown
from headrace.audience.service import Audiences
from headrace.clock import Clock
from headrace.model import Sandbox
from headrace.storage.control import ControlStore

NEW, QUEUED, PROCESSING, SUCCEEDED, FAILED = "NEW", "QUEUED", "PROCESSING", "SUCCEEDED", "FAILED"
CANCELLING, CANCELLED = "CANCELLING", "CANCELLED"
OPEN = (NEW, QUEUED, PROCESSING, CANCELLING)
EVERY_AUDIENCE = "*"
MOST_WAITING = 10
"""Jobs of a sandbox that may wait."""


class JobError(msgspec.Struct, frozen=True):
    """Why a job failed."""

    code: str
    text: str


class Counts(msgspec.Struct, frozen=True):
    """What a job did to one audience: persons who entered, stayed and left, and its members by namespace."""

    entered: int = 0
    stayed: int = 0
    left: int = 0
    by_namespace: dict[str, int] = {}

    @property
    def members(self) -> int:
        """Members after the job."""
        return self.entered + self.stayed


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a job measured.

    Attributes:
        started_at: When it began (epoch ms); 0 before.
        segmented_from: When the statement began.
        segmented_to: When it ended.
        ended_at: When the job ended.
        profiles: Persons it looked at.
        by_policy: The same by merge policy.
        audiences: Audience id → what changed.
    """

    started_at: int = 0
    segmented_from: int = 0
    segmented_to: int = 0
    ended_at: int = 0
    profiles: int = 0
    by_policy: dict[str, int] = {}
    audiences: dict[str, Counts] = {}


class Segment(msgspec.Struct, frozen=True):
    """An audience of a job, as it was when the job was made."""

    id: str
    version: int
    expression: str
    format: str
    merge_policy_id: str
    policy_version: int


class JobBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a job's row holds beside its columns.

    Attributes:
        number: ``computeJobId``.
        segments: The audiences; empty for every audience of the sandbox.
        source: ``api`` or ``scheduler``.
        schedule_id: The schedule that made it; empty for one that was asked for.
        request_id: The request that made it.
        batch_id: ``batchId``.
        figures: What it measured.
        errors: Why it failed.
        waits_for_offset: Offset in ``records`` behind which its membership diff is applied; 0 before there is one.
    """

    number: int
    segments: tuple[Segment, ...] = ()
    source: str = "api"
    schedule_id: str = ""
    request_id: str = ""
    batch_id: str = ""
    figures: Figures = Figures()
    errors: tuple[JobError, ...] = ()
    waits_for_offset: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """One segment job."""

    id: str
    sandbox: int
    status: str
    body: JobBody
    created_at: int
    updated_at: int

    @property
    def is_for_all(self) -> bool:
        """Whether it evaluates every audience of the sandbox."""
        return not self.body.segments

    @property
    def segment_ids(self) -> list[str]:
        """The audiences it names."""
        return [item.id for item in self.body.segments]


class SegmentJobs:
    """Makes, reads and cancels segment jobs; safe between threads."""

    def __init__(self, control: ControlStore, clock: Clock, audiences: Audiences) -> None:
        self._control = control
        self._clock = clock
        self._audiences = audiences

    def create(
        self,
        sandbox: Sandbox,
        ids: Sequence[str],
        *,
        job_id: str = "",
        source: str = "api",
        schedule_id: str = "",
        request_id: str = "",
    ) -> Job:
        """Make a job for some audiences and what they depend on, or (``*``) for all.

        Args:
            sandbox: The sandbox.
            ids: Ids of the audiences.
            job_id: Its id, when it follows from something else; a job that has it already is returned as it is.
            source: ``api`` or ``scheduler``.
            schedule_id: The schedule that makes it.
            request_id: The request that makes it.

        Raises:
            JobInvalid: No audience is named, one does not exist, or none can be evaluated.
            JobsWaiting: Too many jobs of the sandbox wait.
        """
        segments = () if EVERY_AUDIENCE in ids else tuple(self._segment(item) for item in self._wanted(sandbox, ids))
        now_ms = self._clock.now_ms()
        with self._control.write(is_configuration=False) as connection:
            if job_id and (present := store.job_row(connection, sandbox.number, job_id)) is not None:
                return _job_of(present)
            waiting = store.count_jobs(connection, sandbox.number, (NEW, QUEUED))
            if waiting >= MOST_WAITING:
                raise JobsWaiting(f"{waiting} segment jobs wait already; {MOST_WAITING} may.", retry_after_seconds=60)
            body = JobBody(
                number=store.count_all_jobs(connection) + 1,
                segments=segments,
                source=source,
                schedule_id=schedule_id,
                request_id=request_id,
                batch_id=uuid.uuid4().hex,
            )
            job = Job(job_id or str(uuid.uuid4()), sandbox.number, NEW, body, now_ms, now_ms)
            store.add_job(connection, _row_of(job))
        return job

    def _wanted(self, sandbox: Sandbox, ids: Sequence[str]) -> list[Audience]:
        if not ids:
            raise JobInvalid("A segment job names at least one audience.", path="/segments")
        present = self._audiences.find(sandbox, ids)
        unknown = [audience_id for audience_id in ids if audience_id not in present]
        if unknown:
            raise JobInvalid(f"There is no audience '{unknown[0]}' in this sandbox.", path="/segments")
        found = [item for item in self._audiences.with_dependencies(sandbox, ids) if _can_be_evaluated(item)]
        if not found:
            raise JobInvalid("None of these audiences can be evaluated: they are external, drafts or inactive.", path="/segments")
        return found

    def _segment(self, audience: Audience) -> Segment:
        expression = audience.definition.expression
        assert expression is not None  # noqa: S101 - only audiences with a query are wanted
        return Segment(audience.id, audience.version, expression.value, expression.format, audience.merge_policy_id, 1)

    def get(self, sandbox: Sandbox, job_id: str) -> Job:
        """Return a job.

        Raises:
            JobUnknown: The sandbox has none with this id.
        """
        with self._control.read() as connection:
            row = store.job_row(connection, sandbox.number, job_id)
        if row is None:
            raise JobUnknown(job_id)
        return _job_of(row)

    def all(self, sandbox: Sandbox) -> list[Job]:
        """Return the jobs of a sandbox, newest first."""
        with self._control.read() as connection:
            found = [_job_of(row) for row in store.job_rows(connection, sandbox.number)]
        return sorted(found, key=lambda job: job.body.number, reverse=True)

    def find(self, sandbox: Sandbox, ids: Iterable[str]) -> dict[str, Job]:
        """Return those of some jobs that exist, by id."""
        wanted = set(ids)
        return {job.id: job for job in self.all(sandbox) if job.id in wanted}

    def cancel(self, sandbox: Sandbox, job_id: str) -> Job:
        """Cancel a job: at once when it waits, else as soon as the step that runs has ended. An ended job stays as it is.

        Raises:
            JobUnknown: The sandbox has none with this id.
        """
        job = self.get(sandbox, job_id)
        with self._control.write(is_configuration=False) as connection:
            now_ms = self._clock.now_ms()
            if not store.change_job(connection, job.id, {"status": CANCELLED, "updated_at": now_ms}, only_in=(NEW, QUEUED)):
                store.change_job(connection, job.id, {"status": CANCELLING, "updated_at": now_ms}, only_in=(PROCESSING,))
        return self.get(sandbox, job_id)

    def evaluated_at(self, sandbox: Sandbox, audience_id: str) -> int | None:
        """Return the instant of the last job that has evaluated an audience (epoch ms), None when none has."""
        for job in self.all(sandbox):
            if job.status == SUCCEEDED and audience_id in job.body.figures.audiences:
                return job.body.figures.started_at
        return None

    # --- what runs --------------------------------------------------------------------------------------------------------

    def open(self) -> list[Job]:
        """Return the jobs of all sandboxes that have not ended, oldest first."""
        with self._control.read() as connection:
            found = [_job_of(row) for row in store.jobs_in(connection, OPEN)]
        return sorted(found, key=lambda job: job.body.number)

    def ended_before(self, job_id: str, limit_ms: int) -> bool:
        """Tell whether a job of any sandbox ended before an instant; also True for one that is gone."""
        with self._control.read() as connection:
            row = store.any_job_row(connection, job_id)
        return row is None or (row["status"] not in OPEN and row["updated_at"] < limit_ms)

    def moved(self, job: Job, status: str, *, only_in: Sequence[str] = (), **changes: Any) -> Job | None:
        """Write a job's new status and what changed of its body; None when its status is not one of ``only_in`` any more."""
        body = msgspec.structs.replace(job.body, **changes)
        after = replace(job, status=status, body=body, updated_at=self._clock.now_ms())
        values = {"status": status, "body": msgspec.to_builtins(body), "updated_at": after.updated_at}
        with self._control.write(is_configuration=False) as connection:
            done = store.change_job(connection, job.id, values, only_in=only_in)
        return after if done else None


def _can_be_evaluated(audience: Audience) -> bool:
    return audience.lifecycle_state == PUBLISHED and audience.has_query


def _row_of(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "sandbox": job.sandbox,
        "status": job.status,
        "body": msgspec.to_builtins(job.body),
        "created_at": job.created_at,
        "updated_at": job.updated_at,
    }


def _job_of(row: dict[str, Any]) -> Job:
    body = msgspec.convert(row["body"], JobBody)
    return Job(row["id"], row["sandbox"], row["status"], body, row["created_at"], row["updated_at"])
