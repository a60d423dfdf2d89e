"""The rows of one batch out of a file that it shares with others, as a file of their own: what a client of the batch gets."""

import uuid
from pathlib import Path

import pyarrow.parquet as pq

from headrace.storage.lake.arrow import BATCH
from headrace.storage.lake.base import LakeFile
from headrace.storage.lake.filters import rows_of_batch
from headrace.storage.lake.live import LiveFile


def extract(file: LiveFile, batch_id: str, folder: Path) -> LakeFile | None:
    """Return the rows of a batch as a file under the name that it had before; None when the batch has the file for itself.

    The extract is kept, beside the table's data, until upkeep takes it away; it is made again when it is asked for again.

    Args:
        file: A file of several batches.
        batch_id: One of them.
        folder: Where a table's extracts lie.
    """
    if file.batch_id is not None:
        return None
    parts = [part for part in file.parts() if part.batch_id == batch_id]
    path = folder / file.path.stem / Path(parts[0].name).name
    if not path.exists():
        _write(file.path, batch_id, path)
    row_count = sum(part.row_count for part in parts)
    return LakeFile(path, batch_id, row_count, path.stat().st_size, file.first_offset)


def _write(source: Path, batch_id: str, path: Path) -> None:
    """Write the rows of a batch; another process may do the same at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with pq.ParquetFile(source) as file:
            writer = pq.ParquetWriter(temporary, file.schema_arrow, compression="zstd", compression_level=1)
            with writer:
                for group in _groups_of(file, batch_id):
                    rows = rows_of_batch(file.read_row_group(group), batch_id)
                    if rows.num_rows:
                        writer.write_table(rows)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _groups_of(file: pq.ParquetFile, batch_id: str) -> list[int]:
    """Return the row groups that may hold rows of a batch."""
    column = next(number for number in range(len(file.schema)) if file.schema.column(number).path == BATCH)
    found = []
    for number in range(file.num_row_groups):
        statistics = file.metadata.row_group(number).column(column).statistics
        if statistics is None or not statistics.has_min_max or statistics.min <= batch_id <= statistics.max:
            found.append(number)
    return found
