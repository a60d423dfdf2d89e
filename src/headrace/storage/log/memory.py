"""The log in memory, for tests and for all roles in one process."""

import os
import select
import threading
from collections.abc import Iterable, Sequence

from headrace.storage.errors import StorageCorrupt


class MemoryTopic:
    """One topic as a list."""

    def __init__(self, name: str, log: "MemoryLog") -> None:
        self.name = name
        self._log = log
        self._first = 0
        self._entries: list[bytes] = []
        self._lock = threading.Lock()

    def append(self, entries: Sequence[bytes]) -> int:
        """See `Topic.append`."""
        with self._lock:
            first = self._first + len(self._entries)
            self._entries.extend(entries)
        self._log.ring(self.name)
        return first

    def append_at(self, offset: int, entries: Sequence[bytes]) -> None:
        """See `Topic.append_at`."""
        with self._lock:
            end = self._first + len(self._entries)
            if end == 0:
                self._first = end = offset
            if offset > end:
                raise StorageCorrupt(f"Topic '{self.name}' ends at {end}; entries up to {offset} are missing.")
            self._entries.extend(entries[end - offset :])
        self._log.ring(self.name)

    def read(self, offset: int, *, limit: int, max_bytes: int = 16_000_000) -> list[tuple[int, bytes]]:
        """See `Topic.read`."""
        with self._lock:
            start = max(offset, self._first)
            found: list[tuple[int, bytes]] = []
            size = 0
            for index, entry in enumerate(self._entries[start - self._first : start - self._first + limit]):
                size += len(entry)
                if found and size > max_bytes:
                    break
                found.append((start + index, entry))
            return found

    def first_offset(self) -> int:
        """See `Topic.first_offset`."""
        return self._first

    def next_offset(self) -> int:
        """See `Topic.next_offset`."""
        return self._first + len(self._entries)

    def trim(self, before: int) -> None:
        """See `Topic.trim`."""
        with self._lock:
            cut = max(0, min(before, self._first + len(self._entries) - 1) - self._first)
            del self._entries[:cut]
            self._first += cut


class MemoryWakeup:
    """A wake-up on a pipe, so that it has a descriptor."""

    def __init__(self, log: "MemoryLog", bells: Iterable[str]) -> None:
        self._log = log
        self.bells = frozenset(bells)
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def ring(self) -> None:
        """Make the wake-up pending."""
        try:
            os.write(self._write, b"!")
        except BlockingIOError:
            return

    def wait(self, timeout_seconds: float | None) -> bool:
        """See `Wakeup.wait`."""
        ready, _, _ = select.select([self._read], [], [], timeout_seconds)
        if ready:
            self.clear()
        return bool(ready)

    def fileno(self) -> int:
        """See `Wakeup.fileno`."""
        return self._read

    def clear(self) -> None:
        """See `Wakeup.clear`."""
        try:
            while os.read(self._read, 4096):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        """See `Wakeup.close`."""
        self._log.forget(self)
        os.close(self._read)
        os.close(self._write)


class MemoryLog:
    """All topics of one process."""

    def __init__(self) -> None:
        self._topics: dict[str, MemoryTopic] = {}
        self._waiters: list[MemoryWakeup] = []

    def topic(self, name: str) -> MemoryTopic:
        """See `Log.topic`."""
        return self._topics.setdefault(name, MemoryTopic(name, self))

    def subscribe(self, waiter: str, bells: Iterable[str]) -> MemoryWakeup:
        """See `Log.subscribe`."""
        wakeup = MemoryWakeup(self, bells)
        self._waiters.append(wakeup)
        return wakeup

    def ring(self, bell: str) -> None:
        """See `Log.ring`."""
        for waiter in self._waiters:
            if bell in waiter.bells:
                waiter.ring()

    def forget(self, wakeup: MemoryWakeup) -> None:
        """Stop ringing ``wakeup``."""
        if wakeup in self._waiters:
            self._waiters.remove(wakeup)

    def close(self) -> None:
        """See `Log.close`."""
        for waiter in list(self._waiters):
            waiter.close()
