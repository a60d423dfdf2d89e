"""The runs of all sources: what is due begins, goes on side by side, and ends with its batch. Driven by the scheduler role."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import msgspec

from headrace.catalog.batch import Batch
from headrace.clock import Clock
from headrace.errors import HeadraceError, Transient
from headrace.ingest.sources.flow import SourceFlow, SourceFlows, SourceResult, SourceRun
from headrace.ingest.sources.ledger import Claims
from headrace.ingest.sources.taking import SourceTaking
from headrace.telemetry import log

RETRY_WAITS_MS = (5_000, 15_000, 45_000, 135_000)
FAILED = "CONNECTOR-2001-500"
_DONE = ("success", "active", "inactive")
_ENDED_BADLY = ("failed", "failure", "aborted", "abandoned", "deleted")
_NEVER_MS = 1 << 62


class _UnderWay(msgspec.Struct):
    """A run that is worked on."""

    run: SourceRun
    flow: SourceFlow
    future: Future[Claims] | None = None
    claims: Claims | None = None
    attempts: int = 0
    due_ms: int = 0


class SourceRunner:
    """Runs the dataflows from sources; runs of one dataflow never overlap."""

    def __init__(
        self, flows: SourceFlows, taking: SourceTaking, executor: Executor, clock: Clock, *, wake_loader: Callable[[], None]
    ) -> None:
        """Take what is needed.

        Args:
            flows: The dataflows and their runs.
            taking: Takes the files.
            executor: Where it does so; reaching a source takes its time.
            clock: Decides what is due.
            wake_loader: Tells batch ingestion that a batch is complete.
        """
        self._flows = flows
        self._taking = taking
        self._executor = executor
        self._clock = clock
        self._wake_loader = wake_loader
        self._under_way: list[_UnderWay] = []
        self._is_resumed = False
        self._revision = -1
        self._look_at_ms = 0
        self._done = {"succeeded": 0, "failed": 0}

    @property
    def is_waiting(self) -> bool:
        """Whether files are copied, or a batch is loaded."""
        return any(item.future is not None or item.claims is not None for item in self._under_way)

    def step(self) -> bool:
        """Begin what is due, and move on what is under way; returns whether anything was done."""
        found = self._new()
        moved = [self._advanced(item) for item in list(self._under_way)]
        return bool(found) or any(moved)

    def next_due_ms(self) -> int | None:
        """Return when the next run or attempt is due."""
        waiting = [item.due_ms for item in self._under_way if item.future is None and item.claims is None]
        due_ms = min([self._look_at_ms, *waiting])
        return None if due_ms == _NEVER_MS else due_ms

    def status(self) -> dict[str, Any]:
        """Return how many runs are under way, and how many ended since the start and how."""
        return {"is_idle": not self._under_way, "running": len(self._under_way), **self._done}

    def close(self) -> None:
        """Stop; runs under way go on with the next start."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    # --- what begins --------------------------------------------------------------------------------------------------

    def _new(self) -> list[SourceRun]:
        try:
            runs = self._found()
        except Exception:  # what was begun before the fault is found again among the interrupted
            self._is_resumed, self._look_at_ms = False, 0
            raise
        for run in runs:
            if run.flow is None:
                self._flows.finish(run.id, SourceResult("failed", errors=((FAILED, "The dataflow is no longer there.", 1),)))
                continue
            self._under_way.append(_UnderWay(run, run.flow))
        return runs

    def _found(self) -> list[SourceRun]:
        runs = self._flows.take_waiting()
        if not self._is_resumed:
            known = {run.id for run in runs} | {item.run.id for item in self._under_way}
            runs = [run for run in self._flows.interrupted() if run.id not in known] + runs
            self._is_resumed = True
        return runs + self._scheduled()

    def _scheduled(self) -> list[SourceRun]:
        now_ms, revision = self._clock.now_ms(), self._flows.revision()
        if now_ms < self._look_at_ms and revision == self._revision:
            return []
        self._revision, self._look_at_ms = revision, _NEVER_MS
        found = []
        for flow in self._flows.active():
            if flow.schedule is None:
                continue
            next_ms = flow.schedule.next_due(now_ms)
            self._look_at_ms = min(self._look_at_ms, _NEVER_MS if next_ms is None else next_ms)
            due_ms = flow.schedule.last_due(now_ms)
            if due_ms is not None and (run_id := self._flows.start(flow, due_ms)) is not None:
                found.append(SourceRun(run_id, flow))
        return found

    # --- what is under way --------------------------------------------------------------------------------------------

    def _advanced(self, item: _UnderWay) -> bool:
        if item.claims is not None:
            return self._watched(item, item.claims)
        if item.future is None:
            if item.due_ms > self._clock.now_ms():
                return False
            item.future = self._executor.submit(self._taking.take, item.run, item.flow)
            return True
        if not item.future.done():
            return False
        future, item.future = item.future, None
        try:
            claims = future.result()
        except Exception as fault:  # one source must not stop the others
            self._failed(item, fault)
            return True
        if not claims.files:
            self._finish(item, SourceResult("success"))
            return True
        item.claims = claims
        self._wake_loader()
        return True

    def _failed(self, item: _UnderWay, fault: Exception) -> None:
        if isinstance(fault, Transient) and item.attempts < len(RETRY_WAITS_MS):
            item.due_ms = self._clock.now_ms() + RETRY_WAITS_MS[item.attempts]
            item.attempts += 1
            return
        known = isinstance(fault, HeadraceError)
        level = logging.WARNING if known else logging.ERROR
        log("scheduler", level, "A run of a source has failed.", run=item.run.id, flow=item.flow.id, reason=repr(fault))
        text = str(fault) if known else f"{type(fault).__name__}; the server's log has the cause."
        batch_id = self._taking.give_up(item.run, item.flow)
        self._finish(item, SourceResult("failed", batch_id, errors=((getattr(fault, "activation_code", FAILED), text, 1),)))

    def _watched(self, item: _UnderWay, claims: Claims) -> bool:
        batch = self._taking.batch(item.flow, claims)
        if batch is not None and batch.status not in (*_DONE, *_ENDED_BADLY):
            return False
        self._finish(item, _result(batch, claims))
        return True

    def _finish(self, item: _UnderWay, result: SourceResult) -> None:
        self._flows.finish(item.run.id, result)
        self._under_way.remove(item)
        self._done["succeeded" if result.status == "success" else "failed"] += 1
        self._look_at_ms = 0  # a run that was due meanwhile has waited for this one


def _result(batch: Batch | None, claims: Claims) -> SourceResult:
    body: dict[str, Any] = (
        batch.body if batch is not None else {"errors": [{"code": FAILED, "description": "The batch was deleted."}]}
    )
    errors = tuple(
        (str(error.get("code") or FAILED), str(error.get("description") or ""), int(error.get("recordCount") or 1))
        for error in body.get("errors") or ()
    )
    return SourceResult(
        "success" if batch is not None and batch.status in _DONE else "failed",
        claims.batch_id,
        input_files=len(claims.files),
        input_bytes=sum(file.byte_count for file in claims.files),
        files=tuple(file.path for file in claims.files),
        metrics=dict(body.get("metrics") or {}),
        errors=errors,
    )
