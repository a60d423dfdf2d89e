"""Hot state in memory, for tests and for all roles in one process."""

from collections.abc import Iterator, Mapping, Sequence

from sortedcontainers import SortedDict


class MemoryState:
    """An ordered dictionary; every reader sees the writer's commits at once."""

    def __init__(self) -> None:
        self._values: SortedDict[bytes, bytes] = SortedDict()

    def get(self, key: bytes) -> bytes | None:
        """See `StateReader.get`."""
        found: bytes | None = self._values.get(key)
        return found

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `StateReader.get_many`."""
        return [self._values.get(key) for key in keys]

    def scan(self, start: bytes, end: bytes, *, limit: int | None = None) -> Iterator[tuple[bytes, bytes]]:
        """See `StateReader.scan`."""
        # Taken at once, as an iterator of the other engine sees the store as it was when the scan began.
        keys = list(self._values.irange(start, end, inclusive=(True, False)))[:limit] if start < end else []
        yield from [(key, self._values[key]) for key in keys]

    def refresh(self) -> None:
        """See `StateReader.refresh`."""

    def commit(self, changes: Mapping[bytes, bytes | None]) -> None:
        """See `StateStore.commit`."""
        for key, value in changes.items():
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value

    def close(self) -> None:
        """See `StateReader.close`."""
