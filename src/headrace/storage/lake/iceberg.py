"""The lake on Iceberg: a SQL catalog in the home folder, Parquet files in a warehouse folder beside it, no network.

A table is ``sandbox_<number>.<dataset table>``; its offset is the table property `OFFSET_PROPERTY`, set in the commit that adds
the rows. Parquet files are written here and not by pyiceberg, for three reasons: they are synced before the commit, columns keep
their XDM names (pyiceberg spells ``first-name`` as ``first_x2Dname``), and a large batch is written piece by piece.
"""

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.conversions import from_bytes
from pyiceberg.exceptions import CommitFailedException, NoSuchNamespaceError, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.expressions import AlwaysTrue, BooleanExpression, EqualTo
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    schema_to_pyarrow,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import Table
from pyiceberg.typedef import Record
from sqlalchemy.exc import OperationalError

from headrace.storage.disk import is_full, sync_file, write_atomically
from headrace.storage.errors import StorageFull, StorageUnavailable
from headrace.storage.lake.arrow import BATCH, META_NAMES, META_SCHEMA, OFFSET, grown, leaf_paths, with_meta
from headrace.storage.lake.base import LakeFile, LakeRow, TableId, Written
from headrace.storage.lake.columns import table_of
from headrace.storage.lake.durable import ACTUAL, ORIGIN, DurableFileIO
from headrace.storage.lake.errors import TableUnknown
from headrace.storage.lake.rows import rows_of
from headrace.storage.lake.types import plain_schema, small_schema
from headrace.storage.lake.vacuum import vacuum

OFFSET_PROPERTY = "headrace.committed-offset"
_READ_ROWS = 8192
_FILE_BYTES = 256_000_000
_ROW_GROUP_ROWS, _ROW_GROUP_BYTES = 100_000, 64_000_000
_SNAPSHOTS_BETWEEN_VACUUMS = 100

_PROPERTIES = {
    # Bounds of every column would make the manifests grow with the width of the schema; engines read Parquet's own.
    "write.metadata.metrics.default-mode": "none",
    f"write.metadata.metrics.column.{BATCH}": "full",
    f"write.metadata.metrics.column.{OFFSET}": "full",
    "write.metadata.metrics.column.timestamp": "full",
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
        with _mapped("open"):
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
        with _mapped("prepare a table"):
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
        with _mapped("delete a batch"):
            found = self._table(table)
            count = _count(found, _of_batch(batch_id)) if found else 0
            if found and count:
                found.delete(_of_batch(batch_id))
            return count

    def purge(self, table: TableId) -> None:
        """See `Lake.purge`."""
        with _mapped("purge a table"):
            found = self._table(table)
            if found is not None:
                vacuum(found, self.path_of, keep=1)

    def drop(self, table: TableId) -> None:
        """See `Lake.drop`."""
        with _mapped("drop a table"), contextlib.suppress(NoSuchTableError):
            location = self._catalog.load_table(_identifier(table)).location()
            self._catalog.drop_table(_identifier(table))
            _remove_folder(self.path_of(location))

    # --- reading ------------------------------------------------------------------------------------------------------

    def committed_offset(self, table: TableId) -> int:
        """See `Lake.committed_offset`."""
        with _mapped("be read"):
            found = self._table(table)
            return _offset(found) if found else 0

    def tables(self, sandbox: int) -> list[str]:
        """See `Lake.tables`."""
        with _mapped("be read"):
            try:
                return sorted(name for _, name in self._catalog.list_tables(_namespace(sandbox)))
            except NoSuchNamespaceError:
                return []

    def schema(self, table: TableId) -> pa.Schema:
        """See `Lake.schema`."""
        with _mapped("be read"):
            found = self._table(table)
            if found is None:
                raise TableUnknown(f"The lake has no table '{table.name}' in sandbox {table.sandbox}.")
            return with_meta(plain_schema(schema_to_pyarrow(found.schema(), include_field_ids=False)))

    def files(self, table: TableId, batch_id: str | None = None) -> list[LakeFile]:
        """See `Lake.files`."""
        with _mapped("be read"):
            found = self._table(table)
            if found is None:
                return []
            tasks = found.scan(row_filter=_of_batch(batch_id)).plan_files()
            files = [self._lake_file(found, task.file) for task in tasks]
        files = [file for file in files if batch_id in (None, file.batch_id)]
        return sorted(files, key=lambda file: (file.first_offset, file.path))

    def row_count(self, table: TableId, batch_id: str | None = None) -> int:
        """See `Lake.row_count`."""
        with _mapped("be read"):
            found = self._table(table)
            if found is None:
                return 0
            if batch_id is not None:
                return _count(found, _of_batch(batch_id))
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
        for part in self.files(table, batch_id):
            with pq.ParquetFile(part.path) as file:
                for batch in file.iter_batches(
                    batch_size=_READ_ROWS if left is None else max(1, min(left, _READ_ROWS)), columns=names
                ):
                    taken = batch if left is None else batch.slice(0, left)
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

    def data_location(self, table: Table) -> str:
        """Return the folder of a table's Parquet files as the metadata name it."""
        return f"{table.location()}/data"

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

    def _lake_file(self, table: Table, file: DataFile) -> LakeFile:
        batch_id, first_offset = _lower_bound(table, file, BATCH), _lower_bound(table, file, OFFSET)
        path = self.path_of(file.file_path)
        return LakeFile(path, str(batch_id or ""), file.record_count, file.file_size_in_bytes, int(first_offset or 0))


class IcebergAppend:
    """Parquet files that no snapshot names yet."""

    def __init__(self, lake: IcebergLake, table: Table, batch_id: str) -> None:
        self._lake = lake
        self._table = table
        self._batch_id = batch_id
        self._schema = small_schema(schema_to_pyarrow(table.schema()))
        self._plan = compute_statistics_plan(table.schema(), table.metadata.properties)
        self._ids = parquet_path_to_id_mapping(table.schema())
        self._stem = f"{batch_id}-{uuid.uuid4().hex[:8]}"
        self._location = lake.data_location(table)
        self._writer: pq.ParquetWriter | None = None
        self._parts: list[pa.Table] = []
        self._paths: list[Path] = []
        self._files: list[DataFile] = []

    def add(self, rows: Sequence[LakeRow]) -> None:
        """See `PendingAppend.add`."""
        if not rows:
            return
        self._parts.append(table_of(rows, self._schema, self._batch_id))
        if (
            sum(part.num_rows for part in self._parts) >= _ROW_GROUP_ROWS
            or sum(part.nbytes for part in self._parts) >= _ROW_GROUP_BYTES
        ):
            with _mapped("write rows"):
                self._write_parts()

    def commit(self, *, committed_offset: int, replaces: Sequence[str] = ()) -> Written:
        """See `PendingAppend.commit`."""
        with _mapped("commit"):
            self._write_parts()
            self._finish_file()
            self._table.refresh()
            if committed_offset <= _offset(self._table):
                self.abort()
                return Written(is_new=False)
            self._commit(committed_offset, replaces)
        files, self._files, self._paths = self._files, [], []
        with contextlib.suppress(Exception):  # what is left behind now is tidied up by a later commit
            self._tidy_up()
        return Written(sum(file.record_count for file in files), sum(file.file_size_in_bytes for file in files), len(files))

    def abort(self) -> None:
        """See `PendingAppend.abort`."""
        if self._writer is not None:
            with contextlib.suppress(Exception):
                self._writer.close()
            self._writer = None
        for path in self._paths:
            path.unlink(missing_ok=True)
        self._parts, self._files, self._paths = [], [], []

    def _commit(self, committed_offset: int, replaces: Sequence[str]) -> None:
        with self._table.transaction() as transaction:
            transaction.set_properties({OFFSET_PROPERTY: str(committed_offset)})
            for batch_id in replaces:
                if _count(self._table, _of_batch(batch_id)):
                    transaction.delete(_of_batch(batch_id))
            if self._files:
                with transaction.update_snapshot().merge_append() as update:
                    for file in self._files:
                        update.append_data_file(file)

    def _tidy_up(self) -> None:
        if len(self._table.metadata.snapshots) > _SNAPSHOTS_BETWEEN_VACUUMS:
            vacuum(self._table, self._lake.path_of, keep=20)

    def _write_parts(self) -> None:
        """Write what was gathered as one row group: readers want few large ones."""
        parts, self._parts = self._parts, []
        if not parts:
            return
        writer = self._writer or self._opened()
        writer.write_table(pa.concat_tables(parts), row_group_size=_ROW_GROUP_ROWS)
        if self._paths[-1].stat().st_size >= _FILE_BYTES:
            self._finish_file()

    def _opened(self) -> pq.ParquetWriter:
        name = f"{self._stem}-{len(self._paths):04d}.parquet"
        path = self._lake.path_of(f"{self._location}/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._paths.append(path)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd", compression_level=1)
        return self._writer

    def _finish_file(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        writer.close()
        path = self._paths[-1]
        sync_file(path)
        statistics = data_file_statistics_from_parquet_metadata(pq.read_metadata(path), self._plan, self._ids)
        self._files.append(
            DataFile.from_args(
                content=DataFileContent.DATA,
                file_path=f"{self._location}/{path.name}",
                file_format=FileFormat.PARQUET,
                partition=Record(),
                file_size_in_bytes=path.stat().st_size,
                sort_order_id=None,
                spec_id=self._table.metadata.default_spec_id,
                equality_ids=None,
                key_metadata=None,
                **statistics.to_serialized_dict(),
            )
        )


def _namespace(sandbox: int) -> str:
    return f"sandbox_{sandbox}"


def _identifier(table: TableId) -> tuple[str, str]:
    return _namespace(table.sandbox), table.name


def _offset(table: Table) -> int:
    return int(table.metadata.properties.get(OFFSET_PROPERTY, "0"))


def _is_filled(column: pq.ColumnChunkMetaData) -> bool:
    statistics = column.statistics
    return statistics is None or not statistics.has_null_count or statistics.null_count < column.num_values


def _of_batch(batch_id: str | None) -> BooleanExpression:
    return AlwaysTrue() if batch_id is None else EqualTo(BATCH, batch_id)  # type: ignore[call-arg, arg-type]


def _count(table: Table, condition: BooleanExpression) -> int:
    return sum(task.file.record_count for task in table.scan(row_filter=condition).plan_files())


def _lower_bound(table: Table, file: DataFile, column: str) -> Any:
    field = table.schema().find_field(column)
    bound = (file.lower_bounds or {}).get(field.field_id)
    return None if bound is None else from_bytes(field.field_type, bound)  # type: ignore[arg-type]


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


@contextlib.contextmanager
def _mapped(action: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each library tells of a full disk in its own way
        if is_full(error):
            raise StorageFull(f"The disk is full: the lake cannot {action}.", retry_after_seconds=5) from error
        if isinstance(error, OperationalError | CommitFailedException):
            raise StorageUnavailable(f"The lake cannot {action}: {error}", retry_after_seconds=1) from error
        raise
