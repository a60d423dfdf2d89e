"""A completed batch on its way from its files of valid rows into its table, piece by piece."""

from collections.abc import Generator
from itertools import count, islice
from pathlib import Path

import msgspec
import pyarrow as pa

from headrace.model import BatchReady
from headrace.roles.lake_datasets import LakeDataset
from headrace.roles.lake_position import Promise
from headrace.roles.lake_seen import SeenEvents
from headrace.storage.lake import LakeColumns, LakeRow, PendingAppend

_decode = msgspec.json.Decoder().decode
_ID = "_id"


class ClaimLoad:
    """Reads the rows of one claim check into one append: a whole file at once as columns where that is possible."""

    def __init__(
        self,
        home: Path,
        entry: BatchReady,
        offset: int,
        dataset: LakeDataset,
        append: PendingAppend,
        seen: SeenEvents,
        started_at_ms: int,
        *,
        chunk_rows: int,
    ) -> None:
        self.entry = entry
        self.offset = offset
        self.dataset = dataset
        self.append = append
        self._home = home
        self._seen = seen
        self._started_at_ms = started_at_ms
        self._chunk_rows = chunk_rows
        self._read = self._added = 0
        self._pieces = self._loaded()

    def advance(self) -> bool:
        """Load a file of the claim, or a piece of it; returns False when all are loaded.

        Raises:
            FileNotFoundError: A file of the claim is gone.
        """
        return next(self._pieces, False)

    def _loaded(self) -> Generator[bool]:
        from headrace.storage.lake.json_lines import LineReader  # loads DuckDB, which streamed records do without

        reader = LineReader(self.append.schema) if self.entry.is_typed else None
        try:
            for name in self.entry.files:
                path = self._home / name
                columns = reader.read(path) if reader is not None else None
                if columns is not None:
                    self._add_columns(columns)
                    yield True
                else:
                    yield from self._rows_loaded(path)
        finally:
            if reader is not None:
                reader.close()

    def _add_columns(self, entities: pa.Table) -> None:
        numbers = range(self._read, self._read + entities.num_rows)
        self._read += entities.num_rows
        numbered = pa.array(numbers, pa.int32())
        if self.dataset.is_event and _ID in entities.column_names:
            places = [(self.offset, number) for number in numbers]
            are_new = pa.array(self._seen.are_new(self.dataset.number, entities.column(_ID).to_pylist(), places), pa.bool_())
            if are_new.false_count:
                entities, numbered = entities.filter(are_new), numbered.filter(are_new)
        self.append.add_columns(LakeColumns(entities, numbered, self.offset, self.entry.accepted_at_ms))
        self._added += entities.num_rows

    def _rows_loaded(self, path: Path) -> Generator[bool]:
        with path.open("rb") as file:
            numbered = zip(count(self._read), (line for line in file if line.strip()), strict=False)
            while chunk := list(islice(numbered, self._chunk_rows)):
                rows = [LakeRow(_decode(line), self.offset, number, self.entry.accepted_at_ms) for number, line in chunk]
                self._read += len(rows)
                fresh = self._seen.new_ones(self.dataset.number, rows) if self.dataset.is_event else rows
                self.append.add(fresh)
                self._added += len(fresh)
                yield True

    def promise(self) -> Promise:
        """Return the commit that makes the loaded rows visible."""
        return Promise(
            sandbox=self.entry.sandbox,
            dataset=self.entry.dataset,
            batch_id=self.entry.batch_id,
            committed_offset=self.offset + 1,
            is_claim=True,
            rows=self._added,
            skipped=self._read - self._added,
            input_bytes=self.entry.byte_count,
            started_at_ms=self._started_at_ms,
            predecessors=self.entry.predecessors,
        )

    def abort(self) -> None:
        """Forget the rows loaded so far."""
        self._pieces.close()
        self.append.abort()
