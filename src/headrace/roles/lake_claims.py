"""A completed batch on its way from its files of valid rows into its table, piece by piece."""

from collections.abc import Generator
from itertools import islice
from pathlib import Path

import msgspec

from headrace.model import BatchReady
from headrace.roles.lake_datasets import LakeDataset
from headrace.roles.lake_position import Promise
from headrace.roles.lake_seen import SeenEvents
from headrace.storage.lake import LakeRow, PendingAppend

_decode = msgspec.json.Decoder().decode


class ClaimLoad:
    """Reads the rows of one claim check into one append."""

    def __init__(
        self,
        home: Path,
        entry: BatchReady,
        offset: int,
        dataset: LakeDataset,
        append: PendingAppend,
        seen: SeenEvents,
        started_at_ms: int,
    ) -> None:
        self.entry = entry
        self.offset = offset
        self.dataset = dataset
        self.append = append
        self._seen = seen
        self._started_at_ms = started_at_ms
        self._lines = _lines(home, entry.files)
        self._read = self._added = 0

    def advance(self, limit: int) -> bool:
        """Load up to ``limit`` rows; returns False when all are loaded.

        Raises:
            FileNotFoundError: A file of the claim is gone.
        """
        lines = list(islice(self._lines, limit))
        rows = [
            LakeRow(_decode(line), self.offset, self._read + index, self.entry.accepted_at_ms) for index, line in enumerate(lines)
        ]
        self._read += len(lines)
        fresh = self._seen.new_ones(self.dataset.number, rows) if self.dataset.is_event else rows
        self.append.add(fresh)
        self._added += len(fresh)
        return bool(lines)

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
        self._lines.close()
        self.append.abort()


def _lines(home: Path, files: tuple[str, ...]) -> Generator[bytes]:
    for name in files:
        with (home / name).open("rb") as file:
            for line in file:
                if line.strip():
                    yield line
