"""What an operator or a script asks of the whole server: is it ready, how far is it, move its clock."""

import logging
import threading
import time
from typing import Any

from headrace.clock import SharedClock, SystemClock, iso_millis
from headrace.errors import StateError, Transient
from headrace.roles.accepted import AcceptedRecords
from headrace.roles.status import ROLES, StatusBoard
from headrace.storage.control import ControlStore
from headrace.storage.log import Log
from headrace.telemetry import log

FLUSH = "flush"
_POLL_SECONDS = 0.002
_LONGEST_LOOK_SECONDS = 0.5
_LONGEST_MOVE_SECONDS = 600.0


class ClockNotManual(StateError):
    """The server runs on the machine's clock, which no call moves."""

    code = "clock_not_manual"


class ClockStuck(Transient):
    """Work that fell due did not finish in time; the clock stands where it was moved to."""

    code = "clock_stuck"


class Operations:
    """Joins the roles' own statuses to answers about the server."""

    def __init__(
        self,
        board: StatusBoard,
        log_store: Log,
        control: ControlStore,
        clock: SystemClock | SharedClock,
    ) -> None:
        self._board = board
        self._log = log_store
        self._control = control
        self._clock = clock
        self._accepted = AcceptedRecords(log_store.topic("records"))
        self._moving = threading.Lock()

    def health(self) -> dict[str, Any]:
        """Return ``{"status": …, "is_ready": …, "roles": {role: {"pid": …, "fault": …}}}``.

        The status is ``starting`` until every role has come up, ``degraded`` while one of them has a fault, else ``ready``.
        ``is_ready`` tells whether every role has come up, also when one has a fault since.
        """
        found = {role: status for role in ROLES if (status := self._board.read_any(role)) is not None}
        roles = {role: {name: status[name] for name in ("pid", "fault") if name in status} for role, status in found.items()}
        is_ready = all(self._board.read(role) is not None for role in ROLES)
        has_fault = any("fault" in status for status in roles.values())
        return {"status": "degraded" if has_fault else "ready" if is_ready else "starting", "is_ready": is_ready, "roles": roles}

    def progress(self) -> dict[str, Any]:
        """Return the counters of all stages, and whether everything accepted so far has gone all the way."""
        accepted_end = self._log.topic("records").next_offset()
        statuses = {role: self._board.read(role) or {} for role in ROLES}
        pipeline, lake, activation = statuses["pipeline"], statuses["lake_writer"], statuses["activation"]
        is_settled = self._is_settled(accepted_end, statuses) and self._is_still_settled(accepted_end)
        return {
            "settled": is_settled,
            "now": iso_millis(self._clock.now_ms()),
            "accepted": self._accepted.count(pipeline),
            "quarantined": self._log.topic("quarantine").next_offset(),
            "applied": pipeline.get("records_applied", 0),
            "inLake": lake.get("records_in_lake", 0),
            "profiles": pipeline.get("profiles", 0),
            "changes": pipeline.get("changes", 0),
            **{name: _total(activation, name) for name in ("delivered", "waiting", "dead")},
            "offsets": {
                "records": accepted_end,
                "pipeline": pipeline.get("offset", 0),
                "lake": lake.get("lake_offset", 0),
                "changes": activation.get("offset", 0),
            },
            "profileRefusals": pipeline.get("refused", {}),
        }

    def _is_settled(self, accepted_end: int, statuses: dict[str, dict[str, Any]]) -> bool:
        if not self._has_done_what_is_due(accepted_end, statuses):
            return False
        is_in_lake = int(statuses["lake_writer"].get("lake_offset", -1)) >= accepted_end
        if not is_in_lake:
            self._log.ring(FLUSH)  # left alone, the lake writer waits for larger steps; somebody is waiting for it now
        return is_in_lake

    def _is_still_settled(self, accepted_end: int) -> bool:
        """Whether every role, asked now, looks for work and finds none: a status can be older than what it should know."""
        asked_at = time.monotonic()
        self._log.ring("clock")
        while time.monotonic() < asked_at + _LONGEST_LOOK_SECONDS:
            statuses = {role: self._board.read(role) or {} for role in ROLES}
            if _have_looked(statuses, asked_at):
                return self._is_settled(accepted_end, statuses)
            time.sleep(_POLL_SECONDS)
        return False

    def _has_done_what_is_due(self, accepted_end: int, statuses: dict[str, dict[str, Any]]) -> bool:
        pipeline, scheduler, activation = (statuses[role] for role in ("pipeline", "scheduler", "activation"))
        if not all(statuses[role] for role in ROLES):
            return False
        now_ms = self._clock.now_ms() if self._clock.is_manual else 0
        revision = self._control.revision()
        return (
            pipeline["offset"] >= accepted_end
            and pipeline["sweeps"] == 0
            and pipeline["revision"] >= revision
            and activation["offset"] >= pipeline["changes"]
            and activation["revision"] >= revision
            and bool(activation["is_idle"])
            and bool(scheduler.get("is_idle", True))
            and all(status.get("caught_up_ms", 0) >= now_ms for status in (pipeline, scheduler, activation))
        )

    def move_clock(self, now_ms: int) -> dict[str, Any]:
        """Move a manual clock forward, stopping at every instant at which a role has something due.

        The answer comes when everything that fell due is done.

        Raises:
            ClockNotManual: The server was not started on a manual clock.
            ClockStuck: Something due did not finish within ten minutes.
        """
        clock = self._clock
        if not isinstance(clock, SharedClock):
            raise ClockNotManual(
                "This server runs on the machine's clock.", hint="Start it with --clock manual:<instant> to move its clock."
            )
        with self._moving:
            self._settle()
            while clock.now_ms() < now_ms:
                clock.move_to(min([now_ms, *self._dues(clock.now_ms())]))
                self._settle()
        return {"now": iso_millis(clock.now_ms())}

    def _dues(self, now_ms: int) -> list[int]:
        # The pipeline fires its timers at their own instants however far the clock jumps; the others act at the clock's.
        dues = []
        for role in ("scheduler", "activation"):
            due = (self._board.read(role) or {}).get("next_due_ms")
            if due is not None and due > now_ms:
                dues.append(due)
        return dues

    def _settle(self) -> None:
        # The lake follows in its own steps: what reads it waits for it, so the clock need not.
        asked_at = time.monotonic()
        deadline = asked_at + _LONGEST_MOVE_SECONDS
        self._log.ring("clock")
        while True:
            accepted_end = self._log.topic("records").next_offset()
            statuses = {role: self._board.read(role) or {} for role in ROLES}
            if _have_looked(statuses, asked_at) and self._has_done_what_is_due(accepted_end, statuses):
                return
            if time.monotonic() > deadline:
                log("gateway", logging.ERROR, "The clock cannot be moved on.", statuses=statuses)
                raise ClockStuck("What fell due is not done yet.", retry_after_seconds=1)
            time.sleep(_POLL_SECONDS)


def _total(activation: dict[str, Any], name: str) -> int:
    return sum(flow.get(name, 0) for flow in activation.get("flows", {}).values())


def _have_looked(statuses: dict[str, dict[str, Any]], since: float) -> bool:
    return all(statuses[role].get("looked_at", 0.0) >= since for role in ("pipeline", "scheduler", "activation"))
