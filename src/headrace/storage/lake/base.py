"""The contract of the lake: tables of accepted records, written in large steps and read by everything that is not per record."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
    import pyarrow as pa


class TableId(NamedTuple):
    """Names a table: the sandbox's number and the dataset's table name."""

    sandbox: int
    name: str


class LakeRow(NamedTuple):
    """One accepted record on its way into a table.

    Attributes:
        entity: The XDM entity, decoded from JSON. Keys without a column are left out, a value that its column cannot hold
            becomes null.
        offset: Offset of the log entry that brought it.
        number: Its number inside that entry, from 0; (offset, number) is unique in a table.
        accepted_at_ms: When it was accepted (epoch ms).
    """

    entity: Mapping[str, Any]
    offset: int
    number: int
    accepted_at_ms: int


class LakeColumns(NamedTuple):
    """Accepted records of one log entry on their way into a table, as columns.

    Attributes:
        entities: Columns of the entity, of the table's types.
        numbers: See `LakeRow.number`; an array of INT32.
        offset: Offset of the log entry that brought them.
        accepted_at_ms: When they were accepted (epoch ms).
    """

    entities: pa.Table
    numbers: pa.Array
    offset: int
    accepted_at_ms: int


@dataclass(frozen=True)
class LakeFile:
    """One Parquet file of a table, or of one batch.

    Attributes:
        path: Where it lies.
        batch_id: The batch of its rows; empty for one in which several were merged.
        row_count: Rows in it.
        byte_count: Its size.
        first_offset: The smallest offset of its rows; files of a table do not overlap.
    """

    path: Path
    batch_id: str
    row_count: int
    byte_count: int
    first_offset: int = 0


@dataclass(frozen=True)
class Written:
    """What one commit added.

    Attributes:
        row_count: Rows added.
        byte_count: Bytes of the files added.
        file_count: Files added.
        is_new: False when the table had this commit already, and nothing was added.
    """

    row_count: int = 0
    byte_count: int = 0
    file_count: int = 0
    is_new: bool = True


@dataclass(frozen=True)
class Rewritten:
    """What an exchange of files came to.

    Attributes:
        files_before: Files that the table does not show any more.
        files_after: Files in their place.
        rows_removed: Rows that are not in the new ones.
    """

    files_before: int
    files_after: int
    rows_removed: int = 0


class PendingRewrite(Protocol):
    """Files of a table that are being written anew, and that nobody sees before `commit`. Appends may come in between."""

    byte_count: int
    """Size of the files that are read."""

    def advance(self) -> bool:
        """Copy some rows; returns False when all are copied.

        Raises:
            StorageFull: There is no room; call `abort`.
        """
        ...

    def commit(self) -> Rewritten | None:
        """Show the new files in the place of the old ones, in one act that leaves the table's offset alone.

        The old ones stay on the disk for readers that know of them; see `Lake.replaced`.

        Returns:
            What was done; None when the table has changed under the copy, and nothing was done.

        Raises:
            StorageFull: There is no room; call `abort`. The table is as before.
        """
        ...

    def abort(self) -> None:
        """Delete what was written; the table is as before."""
        ...


class PendingAppend(Protocol):
    """Rows of one batch that are being written and that nobody sees before `commit`."""

    @property
    def schema(self) -> pa.Schema:
        """Columns of the table, those of Headrace too."""
        ...

    def add(self, rows: Sequence[LakeRow]) -> None:
        """Write ``rows``; the memory they need is free again when this returns.

        Raises:
            StorageFull: There is no room; call `abort`, nothing of the append will be seen.
        """
        ...

    def add_columns(self, rows: LakeColumns) -> None:
        """Write rows that are columns already; else as `add`."""
        ...

    def commit(self, *, committed_offset: int, replaces: Sequence[str] = ()) -> Written:
        """Make the rows visible, all or none, together with the table's new offset; on disk (fsync) before this returns.

        A table whose offset is already at or beyond ``committed_offset`` has seen these rows: nothing is added then, so that
        a replay after a crash duplicates nothing.

        Args:
            committed_offset: All rows from log entries with smaller offsets are now in the table.
            replaces: Batches whose rows disappear in the same commit.

        Raises:
            StorageFull: There is no room; the table is as before.
        """
        ...

    def abort(self) -> None:
        """Forget the rows; the table is as before."""
        ...


class Lake(Protocol):
    """Tables by sandbox and name. One process appends; any process may read.

    Columns are those of `headrace.storage.lake.arrow.entity_schema` and the four of `META_SCHEMA`.
    """

    has_files: ClassVar[bool]
    """Whether `files` names real Parquet files that another engine can read."""

    def begin(self, table: TableId, schema: pa.Schema, batch_id: str) -> PendingAppend:
        """Start to append rows of one batch; the table is made, or given the columns that it lacks, at once.

        Args:
            table: The table.
            schema: Columns of the entity; columns that the table has beyond these stay.
            batch_id: The batch that all rows belong to.
        """
        ...

    def append(
        self, table: TableId, schema: pa.Schema, batch_id: str, rows: Sequence[LakeRow], *, committed_offset: int
    ) -> Written:
        """Append ``rows`` in one commit; see `begin` and `PendingAppend`."""
        ...

    def committed_offset(self, table: TableId) -> int:
        """Return the offset of the newest commit; 0 for a table that does not exist."""
        ...

    def delete_batch(self, table: TableId, batch_id: str) -> int:
        """Remove the rows of a batch and return how many there were; none is not an error.

        A reader that began before may still read them; `purge` takes them from the disk.
        """
        ...

    def purge(self, table: TableId) -> None:
        """Delete from the disk at once what the table no longer shows; an unknown table is not an error.

        Only the process that appends may call this. A reader that began before may lose its files.
        """
        ...

    def every_table(self) -> list[TableId]:
        """Return the tables of all sandboxes, by sandbox and name."""
        ...

    def begin_compaction(self, table: TableId, *, now_ms: int) -> PendingRewrite | None:
        """Begin to merge small files of a table into a large one; None when there is none to merge.

        Only the process that appends may call this, and have one rewrite of a table at a time.

        Args:
            table: The table.
            now_ms: The present instant: files of its day are merged less eagerly, since more will come.
        """
        ...

    def begin_expiry(self, table: TableId, *, before_ms: int) -> PendingRewrite | None:
        """Begin to remove rows with a ``timestamp`` before an instant, in pieces of bounded size; None when none is left.

        Only the process that appends may call this, and have one rewrite of a table at a time.
        """
        ...

    def replaced(self, table: TableId) -> frozenset[Path]:
        """Return files on the disk that the table does not show any more, or that a crash has left; none when unknown."""
        ...

    def discard(self, table: TableId, paths: Collection[Path]) -> None:
        """Delete those of ``paths`` that the table still does not show, and forget the snapshots that named them.

        Only the process that appends may call this. A reader that began before they were replaced may lose its files.
        """
        ...

    def has_room_for(self, byte_count: int) -> bool:
        """Whether there is room to write so much anew without bringing the disk near its end."""
        ...

    def tables(self, sandbox: int) -> list[str]:
        """Return the names of a sandbox's tables, sorted."""
        ...

    def schema(self, table: TableId) -> pa.Schema:
        """Return all columns, the four of Headrace last.

        Raises:
            TableUnknown: There is no such table.
        """
        ...

    def files(self, table: TableId, batch_id: str | None = None) -> list[LakeFile]:
        """Return the Parquet files that make up a table or one batch of it, by path; empty for an unknown table.

        Every file of a batch holds rows of it alone. Of files in which several batches were merged, it is cut out when it is
        asked for.

        Files written before a column was added lack it: DuckDB reads them together with ``union_by_name = true``.
        """
        ...

    def row_count(self, table: TableId, batch_id: str | None = None) -> int:
        """Return the number of rows of a table or of one batch of it; 0 for an unknown table."""
        ...

    def filled_paths(self, table: TableId, batch_id: str) -> set[str]:
        """Return the fields that rows of a batch fill, as dotted paths of leaves; a map is one leaf, a list is as its items."""
        ...

    def read(
        self,
        table: TableId,
        *,
        limit: int | None = None,
        batch_id: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[LakeRow]:
        """Yield rows in the order in which they were accepted; nothing for an unknown table.

        Args:
            table: The table.
            limit: Most rows; None for all.
            batch_id: The only batch to read.
            columns: The only top-level columns that the entity has; all when None. Ones that a file lacks are left out.

        The entity is as it was accepted, but for what its columns cannot tell apart: absent and null, 1 and 1.0 in a
        ``number``, two spellings of one instant.
        """
        ...

    def drop(self, table: TableId) -> None:
        """Remove a table and its files; an unknown one is not an error."""
        ...

    def close(self) -> None:
        """Release everything; tables stay."""
        ...
