"""The one source of time: every window, timer, schedule, retry and stamp reads it.

Two clocks exist. `SystemClock` follows the machine. `SharedClock` stands still until somebody moves it; its instant lives in
a small memory-mapped file, so that all roles of one home folder see the same time at once.

Waiting is never done on the clock itself. A loop computes when it is next due, asks `seconds_until` how long that is in real
seconds (`None`: no real time will bring it, only a move of the clock), and waits on its own wake-up with that time-out.
"""

import mmap
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

_INSTANT = struct.Struct("<q")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Clock(Protocol):
    """Tells the time."""

    is_manual: bool
    """True when only a call moves the clock."""

    def now_ms(self) -> int:
        """Return the instant in milliseconds since 1970-01-01T00:00:00Z."""
        ...

    def seconds_until(self, due_ms: int) -> float | None:
        """Return the real seconds until ``due_ms``: 0.0 when it has passed, None when only a move of the clock brings it."""
        ...


class SystemClock:
    """The machine's own clock."""

    is_manual = False

    def now_ms(self) -> int:
        """Return the machine's time in epoch milliseconds."""
        return time.time_ns() // 1_000_000

    def seconds_until(self, due_ms: int) -> float | None:
        """Return the real seconds until ``due_ms``."""
        return max(0.0, (due_ms - self.now_ms()) / 1000)


class ManualClock:
    """A clock for one process that stands still until `move_to` is called."""

    is_manual = True

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Return the instant the clock was last moved to."""
        return self._now_ms

    def seconds_until(self, due_ms: int) -> float | None:
        """Return 0.0 when ``due_ms`` has come, None otherwise."""
        return 0.0 if due_ms <= self._now_ms else None

    def move_to(self, now_ms: int) -> None:
        """Move the clock forward; an instant in its past is ignored."""
        self._now_ms = max(self._now_ms, now_ms)


class SharedClock:
    """A manual clock that several processes see through one memory-mapped file of eight bytes."""

    is_manual = True

    def __init__(self, path: Path, *, start_ms: int | None = None) -> None:
        if not path.exists() or path.stat().st_size < _INSTANT.size:  # the disk was full when it was made
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_INSTANT.pack(start_ms or 0))
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), _INSTANT.size)

    def now_ms(self) -> int:
        """Return the shared instant in epoch milliseconds."""
        instant: int = _INSTANT.unpack_from(self._page)[0]
        return instant

    def seconds_until(self, due_ms: int) -> float | None:
        """Return 0.0 when ``due_ms`` has come, None otherwise."""
        return 0.0 if due_ms <= self.now_ms() else None

    def move_to(self, now_ms: int) -> None:
        """Move the clock forward for every process; an instant in its past is ignored."""
        if now_ms > self.now_ms():
            _INSTANT.pack_into(self._page, 0, now_ms)
            self._page.flush()


def from_ms(instant_ms: int) -> datetime:
    """Return the aware UTC date-time of an instant in epoch milliseconds."""
    return datetime.fromtimestamp(instant_ms / 1000, UTC)


def to_ms(instant: datetime) -> int:
    """Return the epoch milliseconds of an aware date-time."""
    return (instant - _EPOCH) // _MILLISECOND


def iso_seconds(instant_ms: int) -> str:
    """Return ``2027-02-14T08:01:09Z`` for an instant in epoch milliseconds, cut to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(instant_ms // 1000))


def iso_millis(instant_ms: int) -> str:
    """Return ``2027-02-14T08:01:09.250Z`` for an instant in epoch milliseconds."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(instant_ms // 1000))}.{instant_ms % 1000:03d}Z"


def parse_iso(text: str) -> int:
    """Return the epoch milliseconds of an RFC 3339 date-time or date; a missing zone means UTC.

    Raises:
        ValueError: The text is no such date-time.
    """
    parsed = datetime.fromisoformat(text)
    return to_ms(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))
