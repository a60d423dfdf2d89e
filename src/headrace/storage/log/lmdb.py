"""The log on LMDB: one environment a topic, so that writers of different topics never wait for each other.

Format 1: key = offset, 8 bytes big-endian; value = entry. Every append is one transaction, synced with its meta page.
"""

import struct
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import lmdb

from headrace.storage.errors import StorageCorrupt
from headrace.storage.lmdb_files import mapped_errors, open_environment
from headrace.storage.log.bell import Bell, ring_all

_OFFSET = struct.Struct(">Q")
_MAP_BYTES = 1 << 40
_TRIM_STEP = 20_000  # entries deleted in one transaction, so that a trim never holds the writer's lock for long


class LmdbTopic:
    """One topic in its own LMDB environment."""

    def __init__(self, name: str, path: Path, bells: Path) -> None:
        self.name = name
        self._path = path
        self._bells = bells
        self._environment = open_environment(path, map_bytes=_MAP_BYTES, readahead=False)

    def append(self, entries: Sequence[bytes]) -> int:
        """See `Topic.append`."""
        with mapped_errors(self._path, "take entries"), self._environment.begin(write=True) as transaction:
            first = _end(transaction)
            _put(transaction, first, entries)
        ring_all(self._bells, self.name)
        return first

    def append_at(self, offset: int, entries: Sequence[bytes]) -> None:
        """See `Topic.append_at`."""
        with mapped_errors(self._path, "take entries"), self._environment.begin(write=True) as transaction:
            end = _end(transaction)
            is_new = end == 0 and transaction.stat()["entries"] == 0
            if offset > end and not is_new:
                raise StorageCorrupt(f"Topic '{self.name}' ends at {end}; entries up to {offset} are missing.")
            start = offset if is_new else end
            _put(transaction, start, entries[start - offset :])
        ring_all(self._bells, self.name)

    def read(self, offset: int, *, limit: int, max_bytes: int = 16_000_000) -> list[tuple[int, bytes]]:
        """See `Topic.read`."""
        found: list[tuple[int, bytes]] = []
        with mapped_errors(self._path, "be read"), self._environment.begin() as transaction, transaction.cursor() as cursor:
            if limit <= 0 or not cursor.set_range(_OFFSET.pack(offset)):
                return found
            size = 0
            for key, value in cursor:
                size += len(value)
                if found and (size > max_bytes or len(found) >= limit):
                    break
                found.append((_OFFSET.unpack(key)[0], value))
        return found

    def first_offset(self) -> int:
        """See `Topic.first_offset`."""
        with mapped_errors(self._path, "be read"), self._environment.begin() as transaction, transaction.cursor() as cursor:
            return int(_OFFSET.unpack(cursor.key())[0]) if cursor.first() else 0

    def next_offset(self) -> int:
        """See `Topic.next_offset`."""
        with mapped_errors(self._path, "be read"), self._environment.begin() as transaction:
            return _end(transaction)

    def trim(self, before: int) -> None:
        """See `Topic.trim`."""
        before = min(before, self.next_offset() - 1)
        while self._trim_step(before):
            pass

    def _trim_step(self, before: int) -> bool:
        with mapped_errors(self._path, "be trimmed"), self._environment.begin(write=True) as transaction:
            return _deleted(transaction, before) == _TRIM_STEP

    def close(self) -> None:
        """Close the environment."""
        self._environment.close()


def _end(transaction: lmdb.Transaction) -> int:
    with transaction.cursor() as cursor:
        return int(_OFFSET.unpack(cursor.key())[0]) + 1 if cursor.last() else 0


def _put(transaction: lmdb.Transaction, first: int, entries: Sequence[bytes]) -> None:
    for index, entry in enumerate(entries):
        transaction.put(_OFFSET.pack(first + index), entry, append=True)


def _deleted(transaction: lmdb.Transaction, before: int) -> int:
    deleted = 0
    with transaction.cursor() as cursor:
        if cursor.first():
            while deleted < _TRIM_STEP and cursor.key() and _OFFSET.unpack(cursor.key())[0] < before:
                cursor.delete()
                deleted += 1
    return deleted


class LmdbLog:
    """All topics of one home folder."""

    def __init__(self, folder: Path, bells: Path) -> None:
        self._folder = folder
        self._bells = bells
        self._topics: dict[str, LmdbTopic] = {}
        self._lock = threading.Lock()
        bells.mkdir(parents=True, exist_ok=True)

    def topic(self, name: str) -> LmdbTopic:
        """See `Log.topic`."""
        with self._lock:
            if name not in self._topics:  # LMDB forbids opening one environment twice in a process
                self._topics[name] = LmdbTopic(name, self._folder / name, self._bells)
            return self._topics[name]

    def subscribe(self, waiter: str, bells: Iterable[str]) -> Bell:
        """See `Log.subscribe`."""
        return Bell(self._bells, waiter, bells)

    def ring(self, bell: str) -> None:
        """See `Log.ring`."""
        ring_all(self._bells, bell)

    def close(self) -> None:
        """See `Log.close`."""
        for topic in self._topics.values():
            topic.close()
        self._topics.clear()
