"""The lake on Iceberg: a SQL catalog in the home folder, Parquet files in a warehouse folder beside it, no network.

A table is ``sandbox_<number>.<dataset table>``; its offset is the table property `OFFSET_PROPERTY`, set in the commit that adds
the rows. Parquet files are written here and not by pyiceberg, for three reasons: they are synced before the commit, columns keep
their XDM names (pyiceberg spells ``first-name`` as ``first_x2Dname``), and a large batch is written piece by piece.
"""

import contextlib
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from headrace.storage.disk import write_atomically
from headrace.storage.lake.arrow import ACCEPTED_AT, BATCH, META_NAMES, META_SCHEMA, OFFSET, grown, leaf_paths, with_meta
from headrace.storage.lake.base import LakeColumns, LakeFile, LakeRow, Rewritten, TableId, Written
from headrace.storage.lake.columns import table_of, with_meta_columns
from headrace.storage.lake.compaction import TARGET_BYTES, files_to_merge
from headrace.storage.lake.durable import ACTUAL, ORIGIN, DurableFileIO
from headrace.storage.lake.engine_errors import mapped
from headrace.storage.lake.errors import TableUnknown
from headrace.storage.lake.extract import extract
from headrace.storage.lake.filters import TIMESTAMP, rows_except, rows_of_batch, rows_since
from headrace.storage.lake.live import LiveFile, day_of, live_files
from headrace.storage.lake.parquet import DataFiles
from headrace.storage.lake.rewrite import Copy, exchange
from headrace.storage.lake.rows import rows_of
from headrace.storage.lake.types import plain_schema
from headrace.storage.lake.vacuum import discard, replaced, vacuum

OFFSET_PROPERTY = "headrace.committed-offset"
_NAMESPACE = "sandbox_"
_READ_ROWS = 8192
_SNAPSHOTS_BETWEEN_VACUUMS = 100
_EXPIRED_AT_ONCE_BYTES = 256_000_000

_PROPERTIES = {
    # Bounds of every column would make the manifests grow with the width of the schema; engines read Parquet's own.
    "write.metadata.metrics.default-mode": "none",
    f"write.metadata.metrics.column.{BATCH}": "full",
    f"write.metadata.metrics.column.{OFFSET}": "full",
    f"write.metadata.metrics.column.{ACCEPTED_AT}": "full",
    f"write.metadata.metrics.column.{TIMESTAMP}": "full",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "5",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "50",
    # A commit of another process in between (a deletion) is tried again on top of it.
    "commit.retry.num-retries": "10",
}


class IcebergLake:
    """Tables in one home folder."""

    has_files: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        """Open the lake, and make it when there is none.

        Args:
            folder: Holds ``catalog.sqlite`` and ``warehouse/``.
        """
        folder = folder.absolute()
        self._warehouse = folder / "warehouse"
        self._warehouse.mkdir(parents=True, exist_ok=True)
        self._origin = _origin(folder, self._warehouse)
        self._writing: list[DataFiles] = []
        with mapped("open"):
            self._catalog = SqlCatalog(
                "headrace",
                **{
                    "uri": f"sqlite:///{folder / 'catalog.sqlite'}?timeout=30",
                    "warehouse": self._origin,
                    "py-io-impl": f"{DurableFileIO.__module__}.{DurableFileIO.__name__}",
                    ORIGIN: self._origin,
                    ACTUAL: str(self._warehouse),
                },
            )

    # --- writing ------------------------------------------------------------------------------------------------------

    def begin(self, table: TableId, schema: pa.Schema, batch_id: str) -> "IcebergAppend":
        """See `Lake.begin`."""
        with mapped("prepare a table"):
            return IcebergAppend(self, self._prepared(table, with_meta(schema)), batch_id)

    def append(
        self, table: TableId, schema: pa.Schema, batch_id: str, rows: Sequence[LakeRow], *, committed_offset: int
    ) -> Written:
        """See `Lake.append`."""
        pending = self.begin(table, schema, batch_id)
        try:
            pending.add(rows)
            return pending.commit(committed_offset=committed_offset)
        except BaseException:
            pending.abort()
            raise

    def delete_batch(self, table: TableId, batch_id: str) -> int:
        """See `Lake.delete_batch`."""
        with mapped("delete a batch"):
            found = self._table(table)
            if found is None:
                return 0
            removal = Removal(found, self.path_of, (batch_id,))
            try:
                exchange(found, removal.removed, removal.rest(), {})
            except BaseException:
                removal.abort()
                raise
            return removal.row_count

    # --- upkeep -------------------------------------------------------------------------------------------------------

    def every_table(self) -> list[TableId]:
        """See `Lake.every_table`."""
        with mapped("be read"):
            names = [name for (name,) in self._catalog.list_namespaces() if name.startswith(_NAMESPACE)]
        sandboxes = sorted(int(name.removeprefix(_NAMESPACE)) for name in names)
        return [TableId(sandbox, name) for sandbox in sandboxes for name in self.tables(sandbox)]

    def begin_compaction(self, table: TableId, *, now_ms: int, target_bytes: int = TARGET_BYTES) -> "IcebergRewrite | None":
        """See `Lake.begin_compaction`."""
        with mapped("merge files"):
            found = self._table(table)
            files = files_to_merge(live_files(found, self.path_of), day_of(now_ms), target_bytes=target_bytes) if found else ()
            return IcebergRewrite(self, found, files) if found and files else None

    def begin_expiry(self, table: TableId, *, before_ms: int) -> "IcebergRewrite | None":
        """See `Lake.begin_expiry`."""
        with mapped("remove expired rows"):
            found = self._table(table)
            if found is None:
                return None
            instant_us = before_ms * 1000
            files = [file for file in live_files(found, self.path_of) if file.may_be_before(instant_us)]
            dropped = [file for file in files if file.is_before(found, instant_us)]
            mixed, size = [], 0
            for file in files:
                if file not in dropped and size < _EXPIRED_AT_ONCE_BYTES:
                    mixed.append(file)
                    size += file.entry.file_size_in_bytes
            return IcebergRewrite(self, found, mixed, lambda part: rows_since(part, instant_us), dropped) if files else None

    def replaced(self, table: TableId) -> frozenset[Path]:
        """See `Lake.replaced`."""
        with mapped("be read"):
            found = self._table(table)
            return replaced(found, self.path_of) - self._under_way() if found else frozenset()

    def discard(self, table: TableId, paths: Collection[Path]) -> None:
        """See `Lake.discard`."""
        with mapped("delete files"):
            found = self._table(table)
            if found is not None:
                discard(found, self.path_of, set(paths) - self._under_way())

    def purge(self, table: TableId) -> None:
        """See `Lake.purge`."""
        self.discard(table, self.replaced(table))

    def has_room_for(self, byte_count: int) -> bool:
        """Whether the disk holds ``byte_count`` more and is still far from full."""
        total, _, free = shutil.disk_usage(self._warehouse)
        return free > 2 * byte_count + total // 20

    def note_under_way(self, files: DataFiles) -> None:
        """Keep files that no snapshot names yet from being taken for what a crash has left."""
        self._writing = [*(other for other in self._writing if other.paths), files]

    def _under_way(self) -> set[Path]:
        return {path for files in self._writing for path in files.paths}

    def drop(self, table: TableId) -> None:
        """See `Lake.drop`."""
        with mapped("drop a table"):
            with contextlib.suppress(NoSuchTableError):
                self._catalog.drop_table(_identifier(table))
            # Looked for by its name: after a crash in between, the catalog does not know the folder any more.
            for folder in (self._warehouse / str(table.sandbox)).glob(f"{table.name}-{'[0-9a-f]' * 8}"):
                _remove_folder(folder)

    # --- reading ------------------------------------------------------------------------------------------------------

    def committed_offset(self, table: TableId) -> int:
        """See `Lake.committed_offset`."""
        with mapped("be read"):
            found = self._table(table)
            return _offset(found) if found else 0

    def tables(self, sandbox: int) -> list[str]:
        """See `Lake.tables`."""
        with mapped("be read"):
            try:
                return sorted(name for _, name in self._catalog.list_tables(_namespace(sandbox)))
            except NoSuchNamespaceError:
                return []

    def schema(self, table: TableId) -> pa.Schema:
        """See `Lake.schema`."""
        with mapped("be read"):
            found = self._table(table)
            if found is None:
                raise TableUnknown(f"The lake has no table '{table.name}' in sandbox {table.sandbox}.")
            return with_meta(plain_schema(schema_to_pyarrow(found.schema(), include_field_ids=False)))

    def files(self, table: TableId, batch_id: str | None = None) -> list[LakeFile]:
        """See `Lake.files`."""
        with mapped("be read"):
            found = self._table(table)
            if found is None:
                return []
            files = live_files(found, self.path_of, batch_id)
            if batch_id is None:
                return [_lake_file(file) for file in files]
            folder = self.path_of(f"{found.location()}/extracts")
            return [extract(file, batch_id, folder) or _lake_file(file) for file in files]

    def row_count(self, table: TableId, batch_id: str | None = None) -> int:
        """See `Lake.row_count`."""
        with mapped("be read"):
            found = self._table(table)
            if found is None:
                return 0
            if batch_id is not None:
                parts = [part for file in live_files(found, self.path_of, batch_id) for part in file.parts()]
                return sum(part.row_count for part in parts if part.batch_id == batch_id)
            snapshot = found.current_snapshot()
            summary = snapshot.summary if snapshot else None
            return int(summary["total-records"] or 0) if summary else 0

    def filled_paths(self, table: TableId, batch_id: str) -> set[str]:
        """See `Lake.filled_paths`."""
        found: set[str] = set()
        for file in self.files(table, batch_id):
            with pq.ParquetFile(file.path) as parquet:
                paths, metadata = leaf_paths(parquet.schema_arrow), parquet.metadata
                groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
                found.update(path for index, path in enumerate(paths) if any(_is_filled(group.column(index)) for group in groups))
        return found - META_NAMES

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
        names = None if columns is None else [*columns, *META_SCHEMA.names]
        with mapped("be read"):
            found = self._table(table)
            files = live_files(found, self.path_of, batch_id) if found else []
        for part in files:
            is_shared = batch_id is not None and part.batch_id is None
            with pq.ParquetFile(part.path) as file:
                size = _READ_ROWS if left is None or is_shared else max(1, min(left, _READ_ROWS))
                for batch in file.iter_batches(batch_size=size, columns=names):
                    rows = rows_of_batch(batch, batch_id) if is_shared and batch_id is not None else batch
                    taken = rows if left is None else rows.slice(0, left)
                    yield from rows_of(taken)
                    if left is not None and (left := left - len(taken)) <= 0:
                        return

    def close(self) -> None:
        """See `Lake.close`."""
        self._catalog.engine.dispose()

    # --- inside the folder --------------------------------------------------------------------------------------------

    def path_of(self, location: str) -> Path:
        """Return where the file or folder lies that the metadata call ``location``."""
        location = location.removeprefix("file://")
        return Path(str(self._warehouse) + location[len(self._origin) :] if location.startswith(self._origin) else location)

    def _table(self, table: TableId) -> Table | None:
        try:
            return self._catalog.load_table(_identifier(table))
        except NoSuchTableError:
            return None

    def _prepared(self, table: TableId, wanted: pa.Schema) -> Table:
        found = self._table(table) or self._created(table, wanted)
        present = plain_schema(schema_to_pyarrow(found.schema(), include_field_ids=False))
        merged = grown(present, wanted)
        if merged.equals(present):
            return found
        with found.update_schema() as update:
            update.union_by_name(merged)
        return found

    def _created(self, table: TableId, schema: pa.Schema) -> Table:
        self._catalog.create_namespace_if_not_exists(_namespace(table.sandbox))
        location = f"{self._origin}/{table.sandbox}/{table.name}-{uuid.uuid4().hex[:8]}"
        try:
            return self._catalog.create_table(_identifier(table), schema, location=location, properties=_PROPERTIES)
        except TableAlreadyExistsError:
            return self._catalog.load_table(_identifier(table))


class IcebergAppend:
    """Parquet files that no snapshot names yet."""

    def __init__(self, lake: IcebergLake, table: Table, batch_id: str) -> None:
        self._lake = lake
        self._table = table
        self._batch_id = batch_id
        self._files = DataFiles(table, lake.path_of, batch_id)
        lake.note_under_way(self._files)

    def add(self, rows: Sequence[LakeRow]) -> None:
        """See `PendingAppend.add`."""
        if rows:
            part = table_of(rows, self._files.schema, self._batch_id)
            with mapped("write rows"):
                self._files.add(part)

    @property
    def schema(self) -> pa.Schema:
        """See `PendingAppend.schema`."""
        return self._files.schema

    def add_columns(self, rows: LakeColumns) -> None:
        """See `PendingAppend.add_columns`."""
        if rows.entities.num_rows:
            with mapped("write rows"):
                self._files.add(with_meta_columns(rows, self._files.schema, self._batch_id))

    def commit(self, *, committed_offset: int, replaces: Sequence[str] = ()) -> Written:
        """See `PendingAppend.commit`."""
        with mapped("commit"):
            files = self._files.finish()
            self._table.refresh()
            if committed_offset <= _offset(self._table):
                self.abort()
                return Written(is_new=False)
            removal = Removal(self._table, self._lake.path_of, replaces)
            try:
                added = [*removal.rest(), *files]
                exchange(self._table, removal.removed, added, {OFFSET_PROPERTY: str(committed_offset)})
            except BaseException:
                removal.abort()
                raise
        self._files.paths.clear()
        with contextlib.suppress(Exception):  # what is left behind now is tidied up by a later commit
            self._tidy_up()
        return Written(sum(file.record_count for file in files), sum(file.file_size_in_bytes for file in files), len(files))

    def abort(self) -> None:
        """See `PendingAppend.abort`."""
        self._files.abort()

    def _tidy_up(self) -> None:
        if len(self._table.metadata.snapshots) > _SNAPSHOTS_BETWEEN_VACUUMS:
            vacuum(self._table, self._lake.path_of, keep=20)


class Removal:
    """Batches that are to leave a table: whole files, and parts of those that they share with others."""

    def __init__(self, table: Table, path_of: Callable[[str], Path], batch_ids: Collection[str]) -> None:
        files = live_files(table, path_of) if batch_ids else []
        files = [file for file in files if file.holds_any(batch_ids)]
        parts = [part for file in files for part in file.parts()]
        self.row_count = sum(part.row_count for part in parts if part.batch_id in batch_ids)
        self.removed = [file.entry for file in files]
        shared = [file for file in files if file.batch_id is None]
        self._copy = Copy(table, path_of, shared, lambda part: rows_except(part, batch_ids)) if shared else None

    def rest(self) -> list[DataFile]:
        """Write the rows of other batches anew and return their files."""
        return self._copy.finish() if self._copy else []

    def abort(self) -> None:
        """Delete what was written."""
        if self._copy:
            self._copy.abort()


class IcebergRewrite:
    """See `headrace.storage.lake.base.PendingRewrite`."""

    def __init__(
        self,
        lake: IcebergLake,
        table: Table,
        sources: Sequence[LiveFile],
        kept: Callable[[pa.Table], pa.Table] | None = None,
        dropped: Sequence[LiveFile] = (),
    ) -> None:
        self.byte_count = sum(file.entry.file_size_in_bytes for file in sources)
        self._table = table
        self._lake = lake
        self._copy = Copy(table, lake.path_of, sources, kept)
        self._dropped = dropped
        lake.note_under_way(self._copy.files)

    def advance(self) -> bool:
        """See `PendingRewrite.advance`."""
        with mapped("write files anew"):
            return self._copy.advance()

    def commit(self) -> Rewritten | None:
        """See `PendingRewrite.commit`."""
        sources = [file.entry for file in (*self._dropped, *self._copy.sources)]
        with mapped("exchange files"):
            added = self._copy.finish()
            self._table.refresh()
            present = {file.entry for file in live_files(self._table, self._lake.path_of)}
            if not present.issuperset(sources):
                self.abort()
                return None
            exchange(self._table, sources, added, {})
        self._copy.files.paths.clear()
        rows = sum(file.record_count for file in sources) - sum(file.record_count for file in added)
        return Rewritten(len(sources), len(added), rows)

    def abort(self) -> None:
        """See `PendingRewrite.abort`."""
        self._copy.abort()


def _namespace(sandbox: int) -> str:
    return f"{_NAMESPACE}{sandbox}"


def _identifier(table: TableId) -> tuple[str, str]:
    return _namespace(table.sandbox), table.name


def _offset(table: Table) -> int:
    return int(table.metadata.properties.get(OFFSET_PROPERTY, "0"))


def _is_filled(column: pq.ColumnChunkMetaData) -> bool:
    statistics = column.statistics
    return statistics is None or not statistics.has_null_count or statistics.null_count < column.num_values


def _lake_file(file: LiveFile) -> LakeFile:
    entry = file.entry
    return LakeFile(file.path, file.batch_id or "", entry.record_count, entry.file_size_in_bytes, file.first_offset)


def _origin(folder: Path, warehouse: Path) -> str:
    """Return the warehouse's folder as the metadata of all tables name it: the one it had when the lake was made."""
    note = folder / "origin"
    if not note.exists():
        write_atomically(note, str(warehouse).encode())
    return note.read_text()


def _remove_folder(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
    if folder.exists():
        folder.rmdir()
