"""Flow runs: one per audience export, dataset export, or hour of a streaming dataflow.

Nobody caches runs: writing them raises no configuration revision.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec
from sqlalchemy import ColumnElement, Row, and_, func, insert, or_, select, update

from headrace.activation import run_view
from headrace.activation.entities import new_etag
from headrace.activation.errors import EntityUnknown
from headrace.activation.run import (
    FAILED,
    HOUR_MS,
    SKIPPED,
    Issue,
    Run,
    RunKind,
    RunMetrics,
    RunState,
    Status,
    Trigger,
)
from headrace.clock import Clock
from headrace.model import Sandbox
from headrace.storage.control import ControlStore
from headrace.storage.control.tables import flow_runs

__all__ = [
    "FAILED",
    "HOUR_MS",
    "SKIPPED",
    "Issue",
    "Run",
    "RunKind",
    "RunMetrics",
    "RunState",
    "RunSubject",
    "Runs",
    "Status",
    "Trigger",
]

_IS_ACTIVE = flow_runs.c.status.in_(("waiting", "processing"))


class RunSubject(Protocol):
    """What a run must know of its dataflow."""

    @property
    def id(self) -> str:
        """Id of the dataflow."""

    @property
    def sandbox(self) -> Sandbox:
        """Its sandbox."""

    @property
    def flow_spec_id(self) -> str:
        """Its flow spec."""

    @property
    def source_connection_id(self) -> str:
        """Its source connection."""

    @property
    def target_connection_id(self) -> str:
        """Its target connection."""


class Runs:
    """The runs of all sandboxes."""

    def __init__(self, control: ControlStore, clock: Clock) -> None:
        self._control = control
        self._clock = clock

    def start(
        self,
        flow: RunSubject,
        audience_id: str = "",
        *,
        status: Status = "processing",
        trigger: Trigger = "scheduled",
        scheduled_at_ms: int | None = None,
        user_id: str = "",
        kind: RunKind = "activation",
    ) -> str:
        """Make a run and return its id.

        Args:
            flow: The dataflow.
            audience_id: What is exported; empty for datasets.
            status: ``waiting`` leaves it to the exporter to begin.
            trigger: What started it.
            scheduled_at_ms: When it was due; now by default.
            user_id: Who asked for it; empty for the server itself.
            kind: Whether it sends something out, or takes files in.
        """
        run = self._made(flow, audience_id, status, trigger, scheduled_at_ms, user_id, kind)
        with self._control.write(is_configuration=False) as connection:
            connection.execute(insert(flow_runs).values(**_columns(run)))
        return run.id

    def request(
        self,
        flow: RunSubject,
        audience_id: str,
        *,
        trigger: Trigger = "on_demand",
        user_id: str = "",
        kind: RunKind = "activation",
        repeats: str = "",
    ) -> tuple[Run, bool]:
        """Make a waiting run, unless the audience has a run that waits or works already.

        Returns:
            The run that was made and True, or the one that is there and False.
        """
        run = self._made(flow, audience_id, "waiting", trigger, None, user_id, kind, repeats)
        with self._control.write(is_configuration=False) as connection:
            active = connection.execute(select(flow_runs).where(*_of(flow.id, audience_id), _IS_ACTIVE)).first()
            if active is not None:
                return _run(active), False
            connection.execute(insert(flow_runs).values(**_columns(run)))
        return run, True

    def begin(self, run_id: str) -> bool:
        """Take a waiting run up; False when it no longer waits."""
        now = self._clock.now_ms()
        with self._control.write(is_configuration=False) as connection:
            row = connection.execute(select(flow_runs).where(flow_runs.c.id == run_id)).first()
            if row is None or row.status != "waiting":
                return False
            state = msgspec.structs.replace(_run(row).state, started_at_ms=now, etag=new_etag())
            values = {"status": "processing", "body": msgspec.to_builtins(state), "updated_at": now}
            connection.execute(update(flow_runs).where(flow_runs.c.id == run_id).values(**values))
        return True

    def finish(
        self,
        run_id: str,
        *,
        status: Literal["success", "failed"],
        metrics: RunMetrics,
        cutoff_ms: int = 0,
        batch_id: str = "",
    ) -> None:
        """End a run.

        Args:
            run_id: The run.
            status: How it ended.
            metrics: What it did.
            cutoff_ms: Changes up to here are in the export; the next increment begins there. 0 leaves the window alone.
            batch_id: The batch that it made, when it took files in.
        """
        now = self._clock.now_ms()
        with self._control.write(is_configuration=False) as connection:
            row = connection.execute(select(flow_runs).where(flow_runs.c.id == run_id)).first()
            if row is None:
                raise EntityUnknown("run", run_id)
            before = _run(row)
            state = msgspec.structs.replace(
                before.state,
                started_at_ms=before.state.started_at_ms or now,
                completed_at_ms=now,
                metrics=metrics,
                batch_id=batch_id,
                etag=new_etag(),
            )
            values = {"status": status, "cutoff_at": cutoff_ms, "body": msgspec.to_builtins(state), "updated_at": now}
            connection.execute(update(flow_runs).where(flow_runs.c.id == run_id).values(**values))

    def add(self, flow: RunSubject, at_ms: int, delta: RunMetrics) -> None:
        """Add to the run of a streaming dataflow's hour; the hour's first delta makes it."""
        hour_ms = at_ms // HOUR_MS * HOUR_MS
        run_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"headrace:run:{flow.id}:{hour_ms}"))
        now = self._clock.now_ms()
        with self._control.write(is_configuration=False) as connection:
            row = connection.execute(select(flow_runs).where(flow_runs.c.id == run_id)).first()
            if row is not None:
                before = _run(row).state
                state = msgspec.structs.replace(before, metrics=before.metrics.plus(delta), etag=new_etag())
                values = {"body": msgspec.to_builtins(state), "updated_at": now}
                connection.execute(update(flow_runs).where(flow_runs.c.id == run_id).values(**values))
                return
            state = RunState(
                trigger="streaming",
                flow_spec_id=flow.flow_spec_id,
                source_connection_id=flow.source_connection_id,
                target_connection_id=flow.target_connection_id,
                scheduled_at_ms=hour_ms,
                started_at_ms=hour_ms,
                etag=new_etag(),
                metrics=delta,
            )
            run = Run(run_id, flow.sandbox.number, flow.id, "", "processing", 0, state, now, now)
            connection.execute(insert(flow_runs).values(**_columns(run)))

    def pending(self, kind: RunKind = "activation") -> list[Run]:
        """Return the waiting runs of all sandboxes that send out (or take in), oldest first."""
        found = self._select(flow_runs.c.status == "waiting", newest_first=False)
        return [run for run in found if run.state.kind == kind]

    def interrupted(self, kind: RunKind = "activation") -> list[Run]:
        """Return the batch runs that are marked as working; after a restart of who runs them nobody works on them."""
        return [
            run
            for run in self._select(flow_runs.c.status == "processing", newest_first=False)
            if run.state.trigger != "streaming" and run.state.kind == kind
        ]

    def last_success(self, flow_id: str, audience_id: str = "") -> int | None:
        """Return the cut-off (epoch ms) of the newest successful scheduled export, None when there was none."""
        statement = select(func.max(flow_runs.c.cutoff_at)).where(
            and_(*_of(flow_id, audience_id), flow_runs.c.status == "success", flow_runs.c.cutoff_at > 0)
        )
        with self._control.read() as connection:
            found: int | None = connection.execute(statement).scalar()
        return found

    def last_scheduled(self, flow_id: str, audience_id: str = "") -> int | None:
        """Return when the newest run that a schedule started was due (epoch ms), None when there was none."""
        trigger = flow_runs.c.body["trigger"].as_string().in_(("scheduled", "after_evaluation"))
        found = self._select(*_of(flow_id, audience_id), trigger, limit=1)
        return found[0].state.scheduled_at_ms if found else None

    def active_run(self, flow_id: str, audience_id: str = "") -> Run | None:
        """Return the run of an audience that waits or works, None when there is none."""
        found = self._select(*_of(flow_id, audience_id), _IS_ACTIVE, limit=1)
        return found[0] if found else None

    def run(self, sandbox: Sandbox, run_id: str) -> Run:
        """Return one run.

        Raises:
            EntityUnknown: There is none with this id.
        """
        found = self._select(flow_runs.c.id == run_id, flow_runs.c.sandbox == sandbox.number)
        if not found:
            raise EntityUnknown("run", run_id)
        return found[0]

    def all(
        self,
        sandbox: Sandbox,
        *,
        flow_ids: Sequence[str] | None = None,
        after: tuple[int, str] | None = None,
        limit: int | None = None,
    ) -> list[Run]:
        """Return the runs of a sandbox, newest first, then by id.

        Args:
            sandbox: The sandbox.
            flow_ids: Only those of these dataflows.
            after: Creation time and id of the last run of the page before.
            limit: Most runs to return.
        """
        return self._select(*_listed(sandbox, flow_ids, after), limit=limit)

    def count(self, sandbox: Sandbox, *, flow_ids: Sequence[str] | None = None) -> int:
        """Return how many runs a sandbox has; those of some dataflows when ``flow_ids`` is given."""
        statement = select(func.count()).select_from(flow_runs).where(*_listed(sandbox, flow_ids, None))
        with self._control.read() as connection:
            return int(connection.execute(statement).scalar_one())

    def latest(self, flow_ids: Sequence[str]) -> dict[str, Run]:
        """Return the newest run of each of the dataflows that has one."""
        newest = (
            select(flow_runs.c.flow_id, func.max(flow_runs.c.created_at).label("at"))
            .where(flow_runs.c.flow_id.in_(flow_ids))
            .group_by(flow_runs.c.flow_id)
            .subquery()
        )
        statement = select(flow_runs).join(
            newest, and_(flow_runs.c.flow_id == newest.c.flow_id, flow_runs.c.created_at == newest.c.at)
        )
        with self._control.read() as connection:
            return {row.flow_id: _run(row) for row in connection.execute(statement)}

    def wire(self, sandbox: Sandbox, run: Run) -> dict[str, Any]:
        """Return a run as the wire shows it."""
        return run_view.wire(sandbox, run, self._clock.now_ms())

    def brief(self, run: Run) -> dict[str, Any]:
        """Return what a dataflow shows of its newest run."""
        return run_view.brief(run, self._clock.now_ms())

    def status(self, run: Run) -> Status:
        """Return the status that is shown: the run of an hour is done when the hour is over."""
        return run_view.status(run, self._clock.now_ms())

    def _made(
        self,
        flow: RunSubject,
        audience_id: str,
        status: Status,
        trigger: Trigger,
        scheduled_at_ms: int | None,
        user_id: str,
        kind: RunKind,
        repeats: str = "",
    ) -> Run:
        now = self._clock.now_ms()
        state = RunState(
            trigger=trigger,
            flow_spec_id=flow.flow_spec_id,
            source_connection_id=flow.source_connection_id,
            target_connection_id=flow.target_connection_id,
            scheduled_at_ms=now if scheduled_at_ms is None else scheduled_at_ms,
            started_at_ms=now if status == "processing" else 0,
            user_id=user_id,
            etag=new_etag(),
            kind=kind,
            repeats=repeats,
        )
        return Run(str(uuid.uuid4()), flow.sandbox.number, flow.id, audience_id, status, 0, state, now, now)

    def _select(self, *conditions: ColumnElement[bool], newest_first: bool = True, limit: int | None = None) -> list[Run]:
        order = flow_runs.c.created_at.desc() if newest_first else flow_runs.c.created_at
        with self._control.read() as connection:
            rows = connection.execute(select(flow_runs).where(*conditions).order_by(order, flow_runs.c.id).limit(limit))
            return [_run(row) for row in rows]


def _listed(sandbox: Sandbox, flow_ids: Sequence[str] | None, after: tuple[int, str] | None) -> list[ColumnElement[bool]]:
    conditions = [flow_runs.c.sandbox == sandbox.number]
    if flow_ids is not None:
        conditions.append(flow_runs.c.flow_id.in_(flow_ids))
    if after is not None:
        created_at, run_id = after
        later = and_(flow_runs.c.created_at == created_at, flow_runs.c.id > run_id)
        conditions.append(or_(flow_runs.c.created_at < created_at, later))
    return conditions


def _of(flow_id: str, audience_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return flow_runs.c.flow_id == flow_id, flow_runs.c.audience_id == audience_id


def _columns(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "sandbox": run.sandbox,
        "flow_id": run.flow_id,
        "audience_id": run.audience_id,
        "status": run.status,
        "cutoff_at": run.cutoff_ms,
        "body": msgspec.to_builtins(run.state),
        "created_at": run.created_at_ms,
        "updated_at": run.updated_at_ms,
    }


def _run(row: Row[Any]) -> Run:
    body: Mapping[str, Any] = row.body
    return Run(
        id=row.id,
        sandbox=row.sandbox,
        flow_id=row.flow_id,
        audience_id=row.audience_id,
        status=row.status,
        cutoff_ms=row.cutoff_at,
        state=msgspec.convert(body, RunState),
        created_at_ms=row.created_at,
        updated_at_ms=row.updated_at,
    )
