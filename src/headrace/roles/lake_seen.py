"""Which events a table has: the first one with an id stays, a later one with the same id is left out.

Key = number of the dataset (4 bytes) + hash of the event's id (16 bytes); value = offset (8) and row number (4) of the event that
came first. The value makes a replay harmless: an event is no duplicate of itself. Keys are committed before the rows are; one
whose rows then fail to be committed still belongs to the same offset when they are tried again.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from itertools import compress

from headrace.storage.lake import LakeRow
from headrace.storage.state import StateStore

_DATASET = struct.Struct(">I")
_PLACE = struct.Struct(">QI")
_PURGED_AT_ONCE = 10_000


class SeenEvents:
    """Finds duplicates of events."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._purged_to = b""

    def new_ones(self, dataset: int, rows: Sequence[LakeRow]) -> list[LakeRow]:
        """Return the rows whose event is new, and remember them; rows without an id are always new."""
        are_new = self.are_new(dataset, [row.entity.get("_id") for row in rows], [(row.offset, row.number) for row in rows])
        return list(compress(rows, are_new))

    def are_new(self, dataset: int, ids: Sequence[object], places: Sequence[tuple[int, int]]) -> list[bool]:
        """Tell of each event whether it is new, and remember those that are.

        Args:
            dataset: Number of the dataset.
            ids: Id of each event; what is no text is no id, and its event always new.
            places: Offset and row number of each event.
        """
        keys = [_key(dataset, event_id) for event_id in ids]
        known = self._known([key for key in keys if key is not None])
        added: dict[bytes, bytes | None] = {}
        are_new = []
        for key, (offset, number) in zip(keys, places, strict=True):
            place = _PLACE.pack(offset, number)
            first = place if key is None else added.get(key) or known.get(key)
            if key is not None and first is None:
                added[key] = first = place
            are_new.append(first == place)
        if added:
            self._state.commit(added)
        return are_new

    def forget(self, dataset: int, rows: Iterable[LakeRow]) -> None:
        """Forget events whose rows leave the table; an id that another row came first with stays."""
        places = {
            key: _PLACE.pack(row.offset, row.number) for row in rows if (key := _key(dataset, row.entity.get("_id"))) is not None
        }
        known = self._known(list(places))
        gone: dict[bytes, bytes | None] = {key: None for key, place in known.items() if place == places[key]}
        if gone:
            self._state.commit(gone)

    def purge(self, dataset: int) -> bool:
        """Forget a piece of all events of a dataset; returns whether there was one left."""
        start = max(_DATASET.pack(dataset), self._purged_to)
        gone: dict[bytes, bytes | None] = {
            key: None for key, _ in self._state.scan(start, _DATASET.pack(dataset + 1), limit=_PURGED_AT_ONCE)
        }
        if not gone:
            self._purged_to = b""
            return False
        self._state.commit(gone)
        self._purged_to = max(gone)  # a scan from the beginning would pass all that is deleted again
        return True

    def close(self) -> None:
        """Release the store."""
        self._state.close()

    def _known(self, keys: list[bytes]) -> dict[bytes, bytes]:
        values = self._state.get_many(keys)
        return {key: value for key, value in zip(keys, values, strict=True) if value is not None}


def _key(dataset: int, event_id: object) -> bytes | None:
    if not isinstance(event_id, str):
        return None
    return _DATASET.pack(dataset) + hashlib.blake2b(event_id.encode(), digest_size=16).digest()
