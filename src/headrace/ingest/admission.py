"""What may come in at all, decided before a body is read: the rate of each inlet, and whether there is room."""

import os
from collections.abc import Callable
from pathlib import Path

from headrace.clock import Clock
from headrace.errors import HeadraceError, Transient
from headrace.ingest.refusals import InletOverloaded
from headrace.storage.errors import StorageFull
from headrace.storage.log import Topic

_BURST_MS = 2000.0
_RETRY_SECONDS = 5.0
_SMALL_DISK_SHARE = 50  # of a small disk only a fiftieth is kept free


class InletRateExceeded(Transient):
    """An inlet gets more requests than it may."""

    code = "inlet_rate_exceeded"
    wire_status = 429


class RequestRate:
    """A token bucket per inlet, two seconds deep, kept as the instant at which it will be full again."""

    def __init__(self, requests_per_second: int, clock: Clock) -> None:
        """Fill the buckets.

        Args:
            requests_per_second: What one inlet may take for long; 0 or less sets no limit.
            clock: Refills.
        """
        self._limit = requests_per_second
        self._step_ms = 1000 / requests_per_second if requests_per_second > 0 else 0.0
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def take(self, inlet_id: str) -> None:
        """Take a token.

        Raises:
            InletRateExceeded: There is none; the caller should come back.
        """
        step = self._step_ms
        if not step:
            return
        now = self._clock.now_ms()
        missing = self._full_at.get(inlet_id, 0.0) - now
        if missing <= 0 or missing > _BURST_MS + step:  # full; or the clock was put back
            self._full_at[inlet_id] = now + step
        elif missing + step <= _BURST_MS:
            self._full_at[inlet_id] += step
        else:
            seconds = (missing + step - _BURST_MS) / 1000
            raise InletRateExceeded(f"Inlet takes {self._limit} requests a second", retry_after_seconds=max(1.0, seconds))


class Room:
    """Whether the home folder's disk and those who read the log can take more."""

    def __init__(
        self,
        folder: Path,
        records: Topic,
        applied: Callable[[], int | None],
        *,
        least_free_bytes: int,
        most_waiting_entries: int,
    ) -> None:
        """Take what is looked at.

        Args:
            folder: Lies on the disk that is looked at.
            records: The topic of accepted records.
            applied: Returns up to which offset everybody has read it; None when they do not say.
            least_free_bytes: What must stay free of a disk; of a small one a fiftieth.
            most_waiting_entries: How many accepted entries may wait to be read.
        """
        self._folder = folder
        self._records = records
        self._applied = applied
        self._least_free_bytes = least_free_bytes
        self._most_waiting_entries = most_waiting_entries

    def lack(self) -> HeadraceError | None:
        """Return why nothing more should be accepted; None when there is room."""
        disk = os.statvfs(self._folder)
        free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        if free < min(self._least_free_bytes, total // _SMALL_DISK_SHARE):
            return StorageFull("The disk is full, but for a reserve.", retry_after_seconds=_RETRY_SECONDS)
        applied = self._applied()
        if applied is not None and self._records.next_offset() - applied > self._most_waiting_entries:
            return InletOverloaded("Service has a backlog", retry_after_seconds=_RETRY_SECONDS)
        return None
