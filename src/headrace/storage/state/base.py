"""The contract of the hot state."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol


class StateReader(Protocol):
    """Reads hot state; other processes than the writer see it as of the last `refresh`."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key``, None when it has none."""
        ...

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return one value per key, in the order of ``keys``; None for keys without one."""
        ...

    def scan(self, start: bytes, end: bytes, *, limit: int | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) with ``start`` <= key < ``end``, ascending by bytes, at most ``limit``."""
        ...

    def refresh(self) -> None:
        """Catch up with everything that the writer has committed; does nothing on the writer's own store."""
        ...

    def close(self) -> None:
        """Release the store."""
        ...


class StateStore(StateReader, Protocol):
    """Reads and writes hot state; one process at a time may have it open."""

    def commit(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply all ``changes`` or none; a value of None deletes its key. On disk (fsync) before this returns.

        Raises:
            StorageFull: There is no room; nothing was changed.
        """
        ...
