"""Activation: sends the changes of the topic ``changes`` to the streaming destinations that asked for them."""

import asyncio
import gc
import logging
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from headrace.activation.change_reader import ChangeReader
from headrace.activation.dead_letters import KEPT_MS
from headrace.activation.delivery import Lane
from headrace.activation.delivery_store import Commit, DeliveryStore
from headrace.activation.messages import MessageBuilder
from headrace.activation.retry import STANDARD_POLICY, RetryPolicy
from headrace.activation.runs import RunSubject
from headrace.activation.streaming_runs import StreamingRuns
from headrace.clock import Clock
from headrace.destinations.base import StreamDestination
from headrace.errors import HeadraceError
from headrace.model import Change
from headrace.storage.errors import StorageFull, StorageUnavailable
from headrace.storage.log import Log
from headrace.telemetry import log

_TURN_SECONDS = 0.005  # longest stretch of sending before the topic is looked at again
_COMMIT_SECONDS = 0.1  # between two commits while messages are being sent
_CLOSING_SECONDS = 3.0  # longer than an HTTP endpoint may take to answer
_PURGE_EVERY_MS = 6 * 3_600_000
_YOUNG_OBJECTS = 200_000


def _nobody_is_excluded(change: Change) -> str:
    return ""


@dataclass(frozen=True)
class FlowPlan:
    """What an active streaming dataflow asks for, for one state of the configuration.

    Attributes:
        builder: Makes its messages.
        connection: Changes when the destination must be opened anew: credentials and target.
        open: Opens the destination; raises a `HeadraceError` when its settings are wrong.
        policy: Decides about retries.
        is_excluded: Tells why a person may not be exported (an activation code), empty when they may.
        subject: The dataflow, as its hourly runs need it; None writes no runs.
    """

    builder: MessageBuilder
    connection: Hashable
    open: Callable[[], StreamDestination]
    policy: RetryPolicy = STANDARD_POLICY
    is_excluded: Callable[[Change], str] = _nobody_is_excluded
    subject: RunSubject | None = None

    @property
    def flow_id(self) -> str:
        """Id of the dataflow."""
        return self.builder.flow_id


class Activation:
    """The role: one lane for each active streaming dataflow, on one event loop of its own.

    Everything happens within `step`, on the caller's thread, except the commits while messages are being sent: those wait
    for the disk on a second thread.
    """

    def __init__(
        self,
        *,
        topics: Log,
        store: DeliveryStore,
        clock: Clock,
        plans: Callable[[], Sequence[FlowPlan]],
        revision: Callable[[], int],
        runs: StreamingRuns | None = None,
    ) -> None:
        """Start without a lane; the first step loads the dataflows.

        Args:
            topics: The log.
            store: The delivery store.
            clock: Decides when retries are due.
            plans: Returns the active streaming dataflows of all sandboxes.
            revision: Number of the newest configuration change.
            runs: Writes the hourly runs, when there are any.
        """
        self._reader = ChangeReader(topics.topic("changes"))
        self._store = store
        self._clock = clock
        self._plans = plans
        self._revision = revision
        self._runs = runs
        self._loop = _new_loop()
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="activation-commit")
        self._saving: tuple[Future[None], Commit] | None = None
        self._saved_at = self._loop.time()
        self._lanes: dict[str, Lane] = {}
        self._connections: dict[str, Hashable] = {}
        self._retiring: dict[str, Lane] = {}
        self._broken: dict[str, str] = {}
        self._wanted: dict[str, FlowPlan] = {}
        self._loaded_revision = -1
        self._checked_offset = store.checked_offset() or 0
        self._saved_offset = self._checked_offset
        self._fault = ""  # why the store cannot write
        self._is_in_turn = False
        self._purge_at_ms = clock.now_ms()
        # Hundreds of thousands of small objects wait here to be sent, none of them in a cycle; with the usual thresholds the
        # collector looked at all of them again and again, which was a sixth of the cost of a message.
        gc.freeze()
        gc.set_threshold(_YOUNG_OBJECTS, 20, 50)

    # --- the loop -----------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Read, send and commit for a few milliseconds at most; True when something was done or is under way."""
        is_any = self._worked()
        self._save()
        if not is_any:
            self._report(is_last=False)
        return is_any or self._is_unfinished

    def _worked(self) -> bool:
        self._follow_configuration()
        is_any = self._take_replays()
        now_ms = self._clock.now_ms()
        for lane in self._lanes.values():
            is_any |= lane.wake_due(now_ms)
            is_any |= not self._fault and self._feed(lane)
        is_any |= self._send()
        self._purge(now_ms)
        return is_any

    def next_due_ms(self) -> int | None:
        """Return when the next attempt at a message is due, or old dead letters are to be deleted."""
        dues = [due for lane in self._lanes.values() if (due := lane.next_due_ms()) is not None]
        if any(lane.is_dirty for lane in self._lanes.values()):
            dues.append(self._clock.now_ms() + round(_COMMIT_SECONDS * 1000))
        if any(lane.has_dead for lane in self._lanes.values()):
            dues.append(self._purge_at_ms)
        return min(dues, default=None)

    def status(self) -> dict[str, Any]:
        """Return counters by dataflow, what cannot be opened and why, and how far the topic was read.

        ``low_offset`` is the smallest offset that is still needed: the topic may be trimmed before it. ``is_idle`` says that
        nothing is under way; messages may wait for their next attempt.
        """
        flows = {flow_id: lane.status() for flow_id, lane in self._lanes.items()}
        return {
            **({"fault": self._fault} if self._fault else {}),
            "offset": min((lane.next_offset for lane in self._lanes.values()), default=self._checked_offset),
            "low_offset": self._low_offset(),
            "is_idle": not self._is_unfinished,
            "revision": self._loaded_revision,
            "flows": flows,
            "broken": dict(self._broken),
        }

    def close(self) -> None:
        """Let what is under way come to its end, commit, and release everything; the stores stay open."""
        lanes = [*self._lanes.values(), *self._retiring.values()]
        for lane in lanes:
            lane.retire()
        deadline = self._loop.time() + _CLOSING_SECONDS
        while self._is_sending and self._loop.time() < deadline:
            self._turn()
        for lane in lanes:
            self._loop.run_until_complete(lane.stop())
        self._finish_saving()
        self._save(is_last=True)
        self._report(is_last=True)
        self._committer.shutdown()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    @property
    def _is_unfinished(self) -> bool:
        lanes = [*self._lanes.values(), *self._retiring.values()]
        return self._saving is not None or any(lane.has_work for lane in lanes)

    def _feed(self, lane: Lane) -> bool:
        if not lane.has_room:
            return False
        changes = self._reader.read(lane.next_offset)
        if not changes:
            return self._skip_trimmed(lane)
        if changes[0][0] > lane.next_offset:
            self._skip_trimmed(lane)
        lane.feed(changes)
        return True

    def _skip_trimmed(self, lane: Lane) -> bool:
        first = self._reader.first_offset()
        if lane.next_offset >= first or not (lost := lane.skip_to(first)):
            return False
        log("activation", logging.ERROR, "changes were trimmed before they were sent", flow_id=lane.flow_id, count=lost)
        return True

    def _send(self) -> bool:
        for lane in self._lanes.values():
            lane.start_workers(self._loop, self._worker_ended)
        if not self._is_sending:
            return False
        self._turn()
        return True

    def _turn(self) -> None:
        """Let the loop run until everybody has nothing to do, or a few milliseconds."""
        end = self._loop.call_later(_TURN_SECONDS, self._end_turn)
        self._is_in_turn = True
        self._loop.run_forever()
        end.cancel()

    def _end_turn(self) -> None:
        if self._is_in_turn:  # a second stop would end the next turn before it has begun
            self._is_in_turn = False
            self._loop.stop()

    @property
    def _is_sending(self) -> bool:
        return any(lane.is_busy for lane in self._lanes.values()) or any(lane.is_busy for lane in self._retiring.values())

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        if not worker.cancelled() and (error := worker.exception()) is not None:
            log("activation", logging.ERROR, "a delivery worker failed", error=f"{type(error).__name__}: {error}")
        if not self._is_sending:
            self._end_turn()

    def _take_replays(self) -> bool:
        taken = self._store.take_replays(self._lanes)
        for flow_id, sequence, row in taken:
            self._lanes[flow_id].add_replay(sequence, row)
        return bool(taken)

    def _purge(self, now_ms: int) -> None:
        if now_ms < self._purge_at_ms:
            return
        self._purge_at_ms = now_ms + _PURGE_EVERY_MS
        if self._store.forget_dead_before(now_ms - KEPT_MS):
            for lane in self._lanes.values():
                lane.recount_dead()

    # --- durability ---------------------------------------------------------------------------------------------------

    def _save(self, *, is_last: bool = False) -> None:
        is_sending = self._is_sending
        if self._saving is not None:
            if is_sending and not self._saving[0].done():
                return
            self._finish_saving()
        now = self._loop.time()
        if (is_sending or not self._clock.is_manual) and not is_last and now - self._saved_at < _COMMIT_SECONDS:
            return
        lanes = [*self._lanes.values(), *self._retiring.values()]
        if not any(lane.is_dirty for lane in lanes) and self._checked_offset - self._saved_offset < 10_000:
            return
        commit = Commit()
        for lane in lanes:
            lane.add_to(commit)
        commit.checked_offset = self._saved_offset = self._checked_offset
        self._saved_at = now
        self._saving = (self._committer.submit(self._store.commit, commit), commit)
        if not is_sending:
            self._finish_saving()

    def _finish_saving(self) -> None:
        if self._saving is None:
            return
        future, commit = self._saving
        self._saving = None
        lanes = [*self._lanes.values(), *self._retiring.values()]
        try:
            future.result()
        except (StorageFull, StorageUnavailable) as error:
            # What was sent may be sent again after a crash; nothing new is taken up until the store can write.
            if not self._fault:
                log("activation", logging.ERROR, "the delivery store cannot write", error=str(error))
            self._fault = str(error)
            for lane in lanes:
                lane.not_committed()
            return
        self._fault = ""
        for lane in lanes:
            lane.committed(commit)
        self._report(is_last=False)

    def _report(self, *, is_last: bool) -> None:
        if self._runs is None:
            return
        subjects = {plan.flow_id: plan.subject for plan in self._wanted.values() if plan.subject is not None}
        lanes = [*self._lanes.values(), *self._retiring.values()]
        self._runs.report(subjects, {lane.flow_id: lane.counters for lane in lanes}, is_last=is_last)

    # --- configuration ------------------------------------------------------------------------------------------------

    def _follow_configuration(self) -> None:
        # The end is read before the revision: a dataflow made after this look finds all of its changes behind that end.
        end = self._reader.next_offset()
        revision = self._revision()
        if revision != self._loaded_revision:
            self._load_plans()
            self._loaded_revision = revision
        self._checked_offset = end
        if self._retiring:
            self._close_retired()

    def _load_plans(self) -> None:
        self._wanted = {plan.flow_id: plan for plan in self._plans()}
        self._broken.clear()
        for flow_id in list(self._lanes):
            plan = self._wanted.get(flow_id)
            if plan is None or plan.connection != self._connections[flow_id]:
                lane = self._lanes.pop(flow_id)
                lane.retire()
                self._retiring[flow_id] = lane
            else:
                self._lanes[flow_id].reconfigure(plan.builder, plan.policy, plan.is_excluded)
        for flow_id, plan in self._wanted.items():
            if flow_id not in self._lanes and flow_id not in self._retiring:
                self._open(plan)

    def _close_retired(self) -> None:
        for flow_id, lane in list(self._retiring.items()):
            if lane.is_busy:
                continue
            self._finish_saving()
            self._save()
            self._finish_saving()
            if lane.is_dirty:  # the store is full: its state must not be lost
                return
            del self._retiring[flow_id]
            self._loop.run_until_complete(lane.stop())
            if flow_id in self._wanted:
                self._open(self._wanted[flow_id])

    def _open(self, plan: FlowPlan) -> None:
        try:
            destination = plan.open()
        except HeadraceError as error:
            self._broken[plan.flow_id] = str(error)
            log("activation", logging.ERROR, "a destination cannot be opened", flow_id=plan.flow_id, error=str(error))
            return
        self._connections[plan.flow_id] = plan.connection
        lane = self._lanes[plan.flow_id] = Lane(
            plan.builder,
            destination,
            store=self._store,
            clock=self._clock,
            policy=plan.policy,
            first_offset=self._checked_offset,
            change_at=self._reader.change_at,
            is_excluded=plan.is_excluded,
        )
        if self._runs is not None:
            self._runs.begin(plan.flow_id, lane.counters)

    def _low_offset(self) -> int:
        lows = [lane.low_offset() for lane in [*self._lanes.values(), *self._retiring.values()]]
        for flow_id in self._broken:
            position = self._store.position(flow_id)
            if position is not None:
                lows.append(min([position.read, *(start for start, _ in position.open)]))
        return min(lows, default=self._checked_offset)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not made for Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
