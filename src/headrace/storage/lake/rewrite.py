"""Files of a table on their way into new ones with the same rows, or fewer; nobody sees the new ones before the commit.

Compaction, row expiry, and a batch that leaves a file which it shares with others are all this one act: read files, write files,
exchange them in one snapshot. A crash before the commit leaves files that nobody names, one after it leaves files that the newest
snapshot does not name; both kinds are found by looking (`vacuum.replaced`), not by remembering.
"""

from collections.abc import Callable, Generator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from headrace.storage.lake.align import aligned
from headrace.storage.lake.arrow import BATCH
from headrace.storage.lake.live import LiveFile
from headrace.storage.lake.parquet import BatchPart, DataFiles, PathOf

Filter = Callable[[pa.Table], pa.Table]
_ROWS_AT_ONCE, _PIECES_AT_ONCE = 20_000, 8


class Copy:
    """Copies the rows of files, a piece at a time, so that memory holds a row group or two."""

    def __init__(self, table: Table, path_of: PathOf, sources: Sequence[LiveFile], kept: Filter | None = None) -> None:
        """Prepare to copy.

        Args:
            table: The table of the files.
            path_of: Where a file lies that the metadata name.
            sources: The files, in the order of their rows.
            kept: Returns the rows to copy; all when None.
        """
        batches = {file.batch_id for file in sources}
        stem = next(iter(batches)) if len(batches) == 1 else None
        self.sources = tuple(sources)
        self.files = DataFiles(table, path_of, stem or "merged")
        self._kept = kept
        self._pieces = self._read()

    def advance(self) -> bool:
        """Copy some rows; returns False when all are copied."""
        rows = 0
        for number, (names, piece) in enumerate(self._pieces, start=1):
            rows += piece.num_rows
            self._add(piece, names)
            if rows >= _ROWS_AT_ONCE or number >= _PIECES_AT_ONCE:
                return True
        return False

    def finish(self) -> list[DataFile]:
        """Copy what is left, bring it to disk and return the new files."""
        while self.advance():
            pass
        return self.files.finish()

    def abort(self) -> None:
        """Delete what was written."""
        self._pieces.close()
        self.files.abort()

    def _read(self) -> Generator[tuple[dict[str, str], pa.Table]]:
        for source in self.sources:
            names = {part.batch_id: part.name for part in source.parts()}
            with pq.ParquetFile(source.path) as file:
                for group in range(file.num_row_groups):
                    yield names, file.read_row_group(group)

    def _add(self, piece: pa.Table, names: dict[str, str]) -> None:
        rows = self._kept(piece) if self._kept else piece
        if rows.num_rows:
            counts = rows.column(BATCH).value_counts().to_pylist()
            parts = [BatchPart(item["values"], names.get(item["values"], ""), item["counts"]) for item in counts]
            self.files.add(aligned(rows, self.files.schema), parts)


def exchange(table: Table, removed: Sequence[DataFile], added: Sequence[DataFile], properties: dict[str, str]) -> None:
    """Exchange files and set properties in one commit; with nothing to remove it is an append."""
    with table.transaction() as transaction:
        if properties:
            transaction.set_properties(properties)
        if removed:
            with transaction.update_snapshot().overwrite() as overwrite:
                for file in removed:
                    overwrite.delete_data_file(file)
                for file in added:
                    overwrite.append_data_file(file)
        elif added:
            with transaction.update_snapshot().merge_append() as append:
                for file in added:
                    append.append_data_file(file)
