"""The lake in memory, for tests: the same columns, no files."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from headrace.storage.lake.arrow import META_NAMES, META_SCHEMA, grown, with_meta
from headrace.storage.lake.base import LakeColumns, LakeFile, LakeRow, PendingRewrite, Rewritten, TableId, Written
from headrace.storage.lake.columns import table_of, with_meta_columns
from headrace.storage.lake.errors import TableUnknown
from headrace.storage.lake.filters import rows_since
from headrace.storage.lake.rows import rows_of


@dataclass
class _Table:
    schema: pa.Schema
    offset: int = 0
    parts: list[tuple[str, pa.Table]] = field(default_factory=list)


class MemoryLake:
    """Tables of one process."""

    has_files: ClassVar[bool] = False

    def __init__(self) -> None:
        self._tables: dict[TableId, _Table] = {}

    def begin(self, table: TableId, schema: pa.Schema, batch_id: str) -> "MemoryAppend":
        """See `Lake.begin`."""
        wanted = with_meta(schema)
        found = self._tables.setdefault(table, _Table(wanted))
        found.schema = with_meta(grown(found.schema, wanted))
        return MemoryAppend(found, batch_id)

    def append(
        self, table: TableId, schema: pa.Schema, batch_id: str, rows: Sequence[LakeRow], *, committed_offset: int
    ) -> Written:
        """See `Lake.append`."""
        pending = self.begin(table, schema, batch_id)
        pending.add(rows)
        return pending.commit(committed_offset=committed_offset)

    def committed_offset(self, table: TableId) -> int:
        """See `Lake.committed_offset`."""
        found = self._tables.get(table)
        return found.offset if found else 0

    def delete_batch(self, table: TableId, batch_id: str) -> int:
        """See `Lake.delete_batch`."""
        count = self.row_count(table, batch_id)
        if count:
            found = self._tables[table]
            found.parts = [part for part in found.parts if part[0] != batch_id]
        return count

    def purge(self, table: TableId) -> None:
        """See `Lake.purge`; nothing is left behind here."""

    def every_table(self) -> list[TableId]:
        """See `Lake.every_table`."""
        return sorted(self._tables)

    def begin_compaction(self, table: TableId, *, now_ms: int) -> PendingRewrite | None:
        """Return nothing: this engine has no files."""
        return None

    def begin_expiry(self, table: TableId, *, before_ms: int) -> "MemoryExpiry | None":
        """See `Lake.begin_expiry`."""
        found = self._tables.get(table)
        expiry = MemoryExpiry(found, before_ms) if found and "timestamp" in found.schema.names else None
        return expiry if expiry and expiry.row_count else None

    def replaced(self, table: TableId) -> frozenset[Path]:
        """Return nothing: this engine has no files."""
        return frozenset()

    def discard(self, table: TableId, paths: Collection[Path]) -> None:
        """See `Lake.discard`; there is nothing to delete here."""

    def has_room_for(self, byte_count: int) -> bool:
        """See `Lake.has_room_for`."""
        return True

    def tables(self, sandbox: int) -> list[str]:
        """See `Lake.tables`."""
        return sorted(table.name for table in self._tables if table.sandbox == sandbox)

    def schema(self, table: TableId) -> pa.Schema:
        """See `Lake.schema`."""
        if table not in self._tables:
            raise TableUnknown(f"The lake has no table '{table.name}' in sandbox {table.sandbox}.")
        return self._tables[table].schema

    def files(self, table: TableId, batch_id: str | None = None) -> list[LakeFile]:
        """Return nothing: this engine has no files."""
        return []

    def row_count(self, table: TableId, batch_id: str | None = None) -> int:
        """See `Lake.row_count`."""
        return sum(part.num_rows for part in self._parts(table, batch_id))

    def filled_paths(self, table: TableId, batch_id: str) -> set[str]:
        """See `Lake.filled_paths`."""
        found: set[str] = set()
        for part in self._parts(table, batch_id):
            for name in set(part.column_names) - META_NAMES:
                found |= _filled(part.column(name).combine_chunks(), name)
        return found

    def read(
        self,
        table: TableId,
        *,
        limit: int | None = None,
        batch_id: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[LakeRow]:
        """See `Lake.read`."""
        left = limit
        for part in self._parts(table, batch_id):
            taken = part if left is None else part.slice(0, left)
            if columns is not None:
                taken = taken.select([name for name in (*columns, *META_SCHEMA.names) if name in taken.column_names])
            yield from rows_of(taken)
            if left is not None:
                left -= taken.num_rows

    def drop(self, table: TableId) -> None:
        """See `Lake.drop`."""
        self._tables.pop(table, None)

    def close(self) -> None:
        """See `Lake.close`."""

    def _parts(self, table: TableId, batch_id: str | None) -> list[pa.Table]:
        found = self._tables.get(table)
        return [part for name, part in found.parts if batch_id in (None, name)] if found else []


def _filled(array: pa.Array, path: str) -> set[str]:
    if array.null_count == len(array):
        return set()
    if pa.types.is_struct(array.type):
        children = zip(array.type.fields, array.flatten(), strict=True)
        return {leaf for field, child in children for leaf in _filled(child, f"{path}.{field.name}")}
    if pa.types.is_list(array.type):
        return _filled(array.flatten(), path)
    if pa.types.is_map(array.type):
        return {path} if len(array.keys) else set()
    return {path}


class MemoryAppend:
    """Rows that their table does not show yet."""

    def __init__(self, table: _Table, batch_id: str) -> None:
        self._table = table
        self._batch_id = batch_id
        self._parts: list[pa.Table] = []

    def add(self, rows: Sequence[LakeRow]) -> None:
        """See `PendingAppend.add`."""
        if rows:
            self._parts.append(table_of(rows, self._table.schema, self._batch_id))

    @property
    def schema(self) -> pa.Schema:
        """See `PendingAppend.schema`."""
        return self._table.schema

    def add_columns(self, rows: LakeColumns) -> None:
        """See `PendingAppend.add_columns`."""
        if rows.entities.num_rows:
            self._parts.append(with_meta_columns(rows, self._table.schema, self._batch_id))

    def commit(self, *, committed_offset: int, replaces: Sequence[str] = ()) -> Written:
        """See `PendingAppend.commit`."""
        parts, self._parts = self._parts, []
        if committed_offset <= self._table.offset:
            return Written(is_new=False)
        kept = [part for part in self._table.parts if part[0] not in replaces]
        self._table.parts = kept + [(self._batch_id, part) for part in parts]
        self._table.offset = committed_offset
        return Written(sum(part.num_rows for part in parts), sum(part.nbytes for part in parts), len(parts))

    def abort(self) -> None:
        """See `PendingAppend.abort`."""
        self._parts = []


class MemoryExpiry:
    """Rows of a table that are about to be forgotten."""

    byte_count = 0

    def __init__(self, table: _Table, before_ms: int) -> None:
        self._table = table
        self._before_us = before_ms * 1000
        self.row_count = sum(part.num_rows for _, part in table.parts) - sum(part.num_rows for _, part in self._kept())

    def advance(self) -> bool:
        """See `PendingRewrite.advance`."""
        return False

    def commit(self) -> Rewritten:
        """See `PendingRewrite.commit`."""
        self._table.parts = self._kept()
        return Rewritten(0, 0, self.row_count)

    def abort(self) -> None:
        """See `PendingRewrite.abort`; nothing was written."""

    def _kept(self) -> list[tuple[str, pa.Table]]:
        return [(batch_id, rows_since(part, self._before_us)) for batch_id, part in self._table.parts]
