"""Parquet files of a table: written and synced here, named by no snapshot before somebody commits them.

A file of several batches says in its footer which they are, in the order of its rows, and under which name each was known when it
had a file of its own.
"""

import contextlib
import functools
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    schema_to_pyarrow,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import Table
from pyiceberg.typedef import Record

from headrace.storage.disk import sync_file
from headrace.storage.lake.types import small_schema

FILE_BYTES = 256_000_000
ROW_GROUP_ROWS, ROW_GROUP_BYTES = 100_000, 64_000_000
PathOf = Callable[[str], Path]
_BATCHES = b"headrace.batches"


class BatchPart(NamedTuple):
    """The rows of one batch in a file.

    Attributes:
        batch_id: The batch.
        name: Name that the file of these rows had when they were alone in it.
        row_count: How many they are.
    """

    batch_id: str
    name: str
    row_count: int


@functools.lru_cache(maxsize=4096)
def parts_of(path: Path) -> tuple[BatchPart, ...]:
    """Return what the footer of a file says of its batches; nothing when it holds one alone."""
    noted = (pq.read_metadata(path).metadata or {}).get(_BATCHES)
    return msgspec.json.decode(noted, type=tuple[BatchPart, ...]) if noted else ()


def data_location(table: Table) -> str:
    """Return the folder of a table's Parquet files as the metadata name it."""
    return f"{table.location()}/data"


class DataFiles:
    """Files of one table that are being written."""

    def __init__(self, table: Table, path_of: PathOf, stem: str) -> None:
        """Prepare to write; the first row makes the first file.

        Args:
            table: The table.
            path_of: Where a file lies that the metadata name.
            stem: Beginning of the files' names; something unique is added to it.
        """
        self.schema = small_schema(schema_to_pyarrow(table.schema()))
        self.paths: list[Path] = []
        self._table = table
        self._path_of = path_of
        self._plan = compute_statistics_plan(table.schema(), table.metadata.properties)
        self._ids = parquet_path_to_id_mapping(table.schema())
        self._stem = f"{stem}-{uuid.uuid4().hex[:8]}"
        self._location = data_location(table)
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._waiting_bytes = 0
        self._notes: list[BatchPart] = []
        self._files: list[DataFile] = []

    def add(self, part: pa.Table, batches: Sequence[BatchPart] = ()) -> None:
        """Write rows, which have the columns of `schema`.

        Args:
            part: The rows.
            batches: The batches that they belong to, when the file may become one of several batches.
        """
        self._waiting.append(part)
        self._notes.extend(batches)
        self._waiting_rows += part.num_rows
        self._waiting_bytes += part.nbytes
        if self._waiting_rows >= ROW_GROUP_ROWS or self._waiting_bytes >= ROW_GROUP_BYTES:
            self._write_waiting()

    def finish(self) -> list[DataFile]:
        """Bring everything to disk and return the files as a snapshot names them."""
        self._write_waiting()
        self._finish_file()
        return self._files

    def abort(self) -> None:
        """Delete what was written."""
        if self._writer is not None:
            with contextlib.suppress(Exception):
                self._writer.close()
            self._writer = None
        for path in self.paths:
            path.unlink(missing_ok=True)
        self._waiting, self._notes, self._files, self.paths = [], [], [], []

    def _write_waiting(self) -> None:
        """Write what was gathered as one row group: readers want few large ones."""
        waiting, self._waiting = self._waiting, []
        self._waiting_rows = self._waiting_bytes = 0
        if not waiting:
            return
        writer = self._writer or self._opened()
        writer.write_table(pa.concat_tables(waiting), row_group_size=ROW_GROUP_ROWS)
        if self.paths[-1].stat().st_size >= FILE_BYTES:
            self._finish_file()

    def _opened(self) -> pq.ParquetWriter:
        path = self._path_of(f"{self._location}/{self._stem}-{len(self.paths):04d}.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.paths.append(path)
        self._writer = pq.ParquetWriter(path, self.schema, compression="zstd", compression_level=1)
        return self._writer

    def _finish_file(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        notes, self._notes = _joined(self._notes), []
        if len(notes) > 1:
            writer.add_key_value_metadata({_BATCHES: msgspec.json.encode(notes)})
        writer.close()
        path = self.paths[-1]
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


def _joined(notes: Sequence[BatchPart]) -> list[BatchPart]:
    """Return one note for each batch and name, in the order of their first rows."""
    counts: dict[tuple[str, str], int] = {}
    for note in notes:
        counts[note.batch_id, note.name] = counts.get((note.batch_id, note.name), 0) + note.row_count
    return [BatchPart(batch_id, name, count) for (batch_id, name), count in counts.items() if count]
