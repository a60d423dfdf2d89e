"""Group commit: everything that waits is stored by one synced append, and acknowledged only then.

All bookkeeping happens in the event loop; a thread does nothing but append. While it appends, newcomers gather in the next
group, so the group grows with the load by itself. Under load the next append also lingers a little for the requests that are
being read, because their number is known: about as many as were on their way a moment ago, stored or gathered. Without the latter
the clients would fall into two halves, each of which is synced while the other one is gathered, at twice the syncs.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence

from headrace.errors import Bug, HeadraceError
from headrace.ingest.refusals import InletOverloaded
from headrace.storage.log import Topic
from headrace.telemetry import log

Outcome = HeadraceError | None
"""Why a group was not stored; None when it was."""

_LIGHT_LOAD = 8  # requests on their way below which nobody waits for others
_JOIN_SECONDS = 30.0
_FAULT_SECONDS = 10.0


class _Group:
    __slots__ = ("quarantined", "records", "waiters")

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.quarantined: list[bytes] = []
        self.waiters: list[asyncio.Future[Outcome]] = []


class GroupCommit:
    """Stores entries of the topics ``records`` and ``quarantine``; used from one event loop."""

    def __init__(
        self,
        records: Topic,
        quarantine: Topic,
        *,
        max_linger_ms: int,
        max_waiting_bytes: int = 64_000_000,
        on_quarantined: Callable[[], None] = lambda: None,
    ) -> None:
        """Start the committing thread.

        Args:
            records: Where accepted records go.
            quarantine: Where refused ones go.
            max_linger_ms: Longest time that an append waits for further requests.
            max_waiting_bytes: Bytes that may wait to be stored; beyond it `check_room` refuses.
            on_quarantined: Called in the committing thread after entries were stored in ``quarantine``.
        """
        self._records = records
        self._quarantine = quarantine
        self._linger_seconds = max_linger_ms / 1000
        self._max_waiting_bytes = max_waiting_bytes
        self._room_bytes = max_waiting_bytes
        self._lack: HeadraceError | None = None
        self._on_quarantined = on_quarantined
        self._open = _Group()
        self._expected = 0
        self._waiting_bytes = 0
        self._is_storing = False
        self._fault = ""
        self._failed_at = 0.0
        self._timer: asyncio.Handle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handed: queue.SimpleQueue[_Group | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="inlet-commit", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait to be stored."""
        return self._waiting_bytes

    @property
    def fault(self) -> str:
        """Why groups cannot be stored at present; empty ten seconds after the last one that was not, or when one was since."""
        return str(self._lack or "") or (self._fault if time.monotonic() - self._failed_at < _FAULT_SECONDS else "")

    def check_room(self) -> None:
        """Refuse when too much is waiting, or nothing more is to come in.

        Raises:
            InletOverloaded: The caller should come back.
            StorageFull: The same, because of the disk.
        """
        if self._waiting_bytes > self._room_bytes:
            if self._lack is not None:
                raise self._lack.with_traceback(None)
            raise InletOverloaded("Service is overloaded", retry_after_seconds=1)

    def note_lack(self, lack: HeadraceError | None) -> None:
        """Let `check_room` refuse for a reason, until there is none; what is accepted already is stored all the same."""
        self._lack = lack
        self._room_bytes = -1 if lack is not None else self._max_waiting_bytes

    def submit(self, records: Sequence[bytes], quarantined: Sequence[bytes] = ()) -> "asyncio.Future[Outcome]":
        """Queue entries, in order, as one unit; must be called in the event loop.

        Returns:
            Done when the entries are on disk (None), or when they were not stored (why).
        """
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Outcome] = loop.create_future()
        if not records and not quarantined:
            waiter.set_result(None)
            return waiter
        group = self._open
        group.waiters.append(waiter)
        group.records.extend(records)
        self._waiting_bytes += sum(map(len, records))
        if quarantined:
            group.quarantined.extend(quarantined)
            self._waiting_bytes += sum(map(len, quarantined))
        if not self._is_storing and (self._timer is None or len(group.waiters) >= self._expected > _LIGHT_LOAD):
            self._schedule(loop)
        return waiter

    def close(self) -> None:
        """Store what is waiting and stop the thread; must be called in the event loop or after it has ended."""
        self._cancel_timer()
        if self._open.waiters:
            self._handed.put(self._open)
            self._open = _Group()
        self._handed.put(None)
        self._thread.join(_JOIN_SECONDS)

    # In the event loop

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._cancel_timer()
        if self._expected <= _LIGHT_LOAD:
            self._timer = loop.call_soon(self._hand_over)  # all requests that this turn of the loop brings
        elif len(self._open.waiters) >= self._expected:
            self._hand_over()
        else:
            self._timer = loop.call_later(self._linger_seconds, self._hand_over)

    def _hand_over(self) -> None:
        self._cancel_timer()
        group, self._open = self._open, _Group()
        self._is_storing = True
        self._handed.put(group)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _settle(self, group: _Group, outcome: Outcome) -> None:
        self._is_storing = False
        self._fault, self._failed_at = str(outcome or ""), time.monotonic()
        self._waiting_bytes -= sum(map(len, group.records)) + sum(map(len, group.quarantined))
        # The load falls slowly in this figure, so that one small group between large ones does not end the lingering.
        self._expected = max(len(group.waiters) + len(self._open.waiters), self._expected * 3 // 4)
        for waiter in group.waiters:
            if not waiter.done():  # a request may have been cancelled
                waiter.set_result(outcome)
        if self._open.waiters and self._loop is not None:
            self._schedule(self._loop)

    # In the thread

    def _work(self) -> None:
        while (group := self._handed.get()) is not None:
            outcome = self._stored(group)
            if self._loop is not None:
                with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                    self._loop.call_soon_threadsafe(self._settle, group, outcome)

    def _stored(self, group: _Group) -> Outcome:
        try:
            if group.records:
                self._records.append(group.records)
            if group.quarantined:
                self._quarantine.append(group.quarantined)
                self._on_quarantined()
        except HeadraceError as error:
            log("gateway", logging.ERROR, "Accepted records could not be stored.", code=error.code, reason=str(error))
            return error
        except Exception as error:  # the edge of the stage: the thread must outlive any fault of a store
            log("gateway", logging.ERROR, "Accepted records could not be stored.", code=Bug.code, reason=repr(error))
            return Bug(f"The log cannot append: {error!r}")
        return None
