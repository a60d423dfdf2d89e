"""How far the lake writer has come, in one small file that is replaced as a whole.

A commit to a table and what the catalog says about it lie in two stores. So before a commit its promise is written here; after a
crash the table itself tells whether the commit happened, and then the rest of the promise is kept.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from headrace.storage.disk import write_atomically


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """A commit that is about to happen.

    Attributes:
        sandbox: Number of the sandbox.
        dataset: Number of the dataset.
        batch_id: The batch of the rows.
        committed_offset: The table's offset once the commit has happened.
        is_claim: Whether the batch came as files, and the catalog knows it already.
        rows: Rows that the commit adds.
        skipped: Events left out because the table has their ids.
        input_bytes: Bytes of the entities as they came.
        started_at_ms: When the first of them was read (epoch ms).
        flow_ids: Dataflows that brought them.
        predecessors: Batches that this one replaces.
    """

    sandbox: int
    dataset: int
    batch_id: str
    committed_offset: int
    is_claim: bool
    rows: int
    skipped: int
    input_bytes: int
    started_at_ms: int
    flow_ids: tuple[str, ...] = ()
    predecessors: tuple[str, ...] = ()


class Position(msgspec.Struct, frozen=True):
    """The lake writer's memory.

    Attributes:
        offset: Every log entry with a smaller offset is in the lake.
        records: Rows that the lake was given since it exists.
        promise: The commit under way, when there is one.
    """

    offset: int = 0
    records: int = 0
    promise: Promise | None = None


class PositionFile:
    """Keeps the position on disk."""

    def __init__(self, path: Path, write: Callable[[Path, bytes], None] = write_atomically) -> None:
        self._path = path
        self._write = write

    def read(self) -> Position:
        """Return what was saved last; the beginning when nothing was."""
        if not self._path.exists():
            return Position()
        return msgspec.json.decode(self._path.read_bytes(), type=Position)

    def save(self, position: Position) -> None:
        """Bring ``position`` to disk.

        Raises:
            StorageFull: There is no room; the former position stays.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._write(self._path, msgspec.json.encode(position))
