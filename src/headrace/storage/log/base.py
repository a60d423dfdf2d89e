"""The contract of a log."""

from collections.abc import Iterable, Sequence
from typing import Protocol


class Topic(Protocol):
    """An ordered list of entries that only grows at its end and is cut at its beginning."""

    name: str

    def append(self, entries: Sequence[bytes]) -> int:
        """Store ``entries`` in order and return the offset of the first; the others follow without gaps.

        They are on disk (fsync) before this returns, and every subscriber of the topic is woken. Any process may append.

        Raises:
            StorageFull: There is no room; nothing was stored.
        """
        ...

    def append_at(self, offset: int, entries: Sequence[bytes]) -> None:
        """Store ``entries`` from ``offset`` on, leaving out those that the topic already holds.

        For a single writer that numbers its entries itself and repeats the last ones after a crash.

        Raises:
            StorageCorrupt: ``offset`` lies beyond the end: entries between would be missing.
            StorageFull: There is no room; nothing was stored.
        """
        ...

    def read(self, offset: int, *, limit: int, max_bytes: int = 16_000_000) -> list[tuple[int, bytes]]:
        """Return up to ``limit`` entries from ``offset`` on as (offset, entry), ascending; empty at the end.

        At least one entry is returned when one is there, also when it is larger than ``max_bytes``. Offsets that were
        trimmed away are skipped.
        """
        ...

    def first_offset(self) -> int:
        """Return the smallest offset still held; equal to `next_offset` when the topic is empty."""
        ...

    def next_offset(self) -> int:
        """Return the offset that the next appended entry gets; 0 for a new topic."""
        ...

    def trim(self, before: int) -> None:
        """Forget the entries with smaller offsets than ``before``; the last entry of a topic is always kept."""
        ...


class Wakeup(Protocol):
    """Tells one waiter that something it subscribed to has happened."""

    def wait(self, timeout_seconds: float | None) -> bool:
        """Block until woken (True) or until the time-out (False); wake-ups since the last wait count."""
        ...

    def fileno(self) -> int:
        """Return a descriptor that is readable while a wake-up is pending, for an event loop."""
        ...

    def clear(self) -> None:
        """Forget pending wake-ups; call it before looking for work, never after."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...


class Log(Protocol):
    """Topics by name, and wake-ups between the processes that share them."""

    def topic(self, name: str) -> Topic:
        """Return the topic, made when it does not exist."""
        ...

    def subscribe(self, waiter: str, bells: Iterable[str]) -> Wakeup:
        """Return a wake-up that rings when one of the topics gets entries, or when `ring` is called with one of the names.

        Args:
            waiter: Name of the waiter, unique among the processes of the home folder.
            bells: Names of topics, or free names such as ``clock`` and ``control``.
        """
        ...

    def ring(self, bell: str) -> None:
        """Wake every subscriber of ``bell``; never blocks, and does nothing when nobody listens."""
        ...

    def close(self) -> None:
        """Release everything; entries stay."""
        ...
