"""The loop that every role but the gateway runs in: step while there is work, else wait to be woken."""

import logging
import signal
import time
import traceback
from collections.abc import Callable
from typing import Any, Protocol

from headrace.clock import Clock
from headrace.errors import Transient
from headrace.roles.status import StatusBoard
from headrace.storage.errors import StorageFull
from headrace.storage.log import Wakeup
from headrace.telemetry import log

LONGEST_WAIT_SECONDS = 0.5  # a lost wake-up must only delay
_LOOK_SECONDS = 0.02  # between two looks at what rings no bell
_STATUS_SECONDS = 0.05
_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_SOUND_SECONDS = 10.0  # a role that has run so long has come past the defect that it met


class Role(Protocol):
    """One loop that joins stages.

    A role may have an attribute ``is_waiting``: true while it waits for something that rings no bell; and ``rest_seconds``: the
    least time between two looks for work, for a role whose steps cost less per record when they are larger.
    """

    def step(self) -> bool:
        """Do one piece of work without blocking; returns whether there was any."""
        ...

    def next_due_ms(self) -> int | None:
        """Return the earliest instant at which `step` will have work without new input."""
        ...

    def status(self) -> dict[str, Any]:
        """Return the role's counters; JSON types only."""
        ...

    def close(self) -> None:
        """Finish what is begun and release everything."""
        ...


class Runner:
    """Runs one role until it is told to stop."""

    def __init__(self, name: str, make: Callable[[], Role], clock: Clock, wakeup: Wakeup, board: StatusBoard) -> None:
        """Prepare the loop.

        Args:
            name: Name of the role.
            make: Makes the role; called again after a fault that only a fresh start from the stores cures.
            clock: The clock of the server.
            wakeup: Rings when there may be work.
            board: Where the role's status is published.
        """
        self._name = name
        self._make = make
        self._clock = clock
        self._wakeup = wakeup
        self._board = board
        self._is_stopping = False
        self._caught_up_ms = 0
        self._looked_at = 0.0
        self._written_at = 0.0
        self._fault = ""
        self._failures = 0

    def stop(self, *_: object) -> None:
        """Ask the loop to end after the present step; may be used as a signal handler."""
        self._is_stopping = True

    def run(self) -> None:
        """Run until stopped."""
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor decides the order of stopping
        while not self._is_stopping:
            try:
                self._live()
            except Transient as fault:
                # What was not committed is read again from the stores by a fresh role.
                text = "The role pauses after a fault that passes."
                log(self._name, logging.WARNING, text, reason=str(fault), code=fault.code)
                if isinstance(fault, StorageFull):  # passes when somebody makes room
                    self._tell(str(fault))
                self._pause(fault.retry_after_seconds or _PAUSE_SECONDS)
            except Exception as fault:  # a defect on one record must not become a loop of restarts
                self._fail(fault)

    def _live(self) -> None:
        role = self._make()
        try:
            self._loop(role)
        except BaseException:
            self._abandon(role)
            raise
        role.close()

    def _abandon(self, role: Role) -> None:
        try:
            role.close()
        except Exception as fault:  # must not hide the first fault, which tells how to go on
            log(self._name, logging.WARNING, "The role did not close.", reason=repr(fault))

    def _loop(self, role: Role) -> None:
        begun_at = time.monotonic()
        self._publish(role)
        while not self._is_stopping:
            if self._fault and time.monotonic() - begun_at > _SOUND_SECONDS:
                self._fault, self._failures = "", 0
            self._wakeup.clear()
            instant, looked_at = self._clock.now_ms(), time.monotonic()
            if role.step():
                if time.monotonic() - self._written_at > _STATUS_SECONDS:
                    self._publish(role)
                continue
            self._caught_up_ms, self._looked_at = instant, looked_at
            self._publish(role)
            self._wakeup.wait(self._patience(role))
            self._rest(role)

    def _rest(self, role: Role) -> None:
        seconds = self._looked_at + getattr(role, "rest_seconds", 0.0) - time.monotonic()
        if seconds > 0 and not self._clock.is_manual:
            time.sleep(seconds)

    def _patience(self, role: Role) -> float:
        due = role.next_due_ms()
        seconds = self._clock.seconds_until(due) if due is not None else None
        longest = _LOOK_SECONDS if getattr(role, "is_waiting", False) else LONGEST_WAIT_SECONDS
        return longest if seconds is None else min(seconds, longest)

    def _publish(self, role: Role) -> None:
        self._written_at = time.monotonic()
        status = {**role.status(), "caught_up_ms": self._caught_up_ms, "looked_at": self._looked_at}
        status["next_due_ms"] = role.next_due_ms()
        if self._fault:
            status["fault"] = self._fault
        self._board.write(self._name, status)

    def _fail(self, fault: Exception) -> None:
        """Tell of a defect, and wait longer each time; the input is kept for a version that can do it."""
        self._fault = f"{type(fault).__name__}: {fault}"
        seconds = min(_PAUSE_SECONDS * 2**self._failures, _LONGEST_PAUSE_SECONDS)
        self._failures = min(self._failures + 1, 10)
        text = "The role met a defect and begins anew."
        trace = "".join(traceback.format_exception(fault))
        log(self._name, logging.ERROR, text, reason=self._fault, trace=trace, wait_seconds=seconds)
        self._tell(self._fault)
        self._pause(seconds)

    def _tell(self, fault: str) -> None:
        try:
            self._board.write_fault(self._name, fault)
        except OSError as error:
            log(self._name, logging.ERROR, "The role's status cannot be written.", reason=str(error))

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._is_stopping and time.monotonic() < deadline:
            self._wakeup.wait(LONGEST_WAIT_SECONDS)
