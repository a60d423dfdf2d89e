"""The files that a table shows now, with what its manifests tell of their rows."""

import datetime
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from pyiceberg.conversions import from_bytes
from pyiceberg.expressions import AlwaysTrue, BooleanExpression, EqualTo
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from headrace.storage.lake.arrow import ACCEPTED_AT, BATCH, OFFSET
from headrace.storage.lake.filters import TIMESTAMP
from headrace.storage.lake.parquet import BatchPart, PathOf, parts_of

_DAY_US = 86_400_000_000


class Bounds(NamedTuple):
    """The smallest and the largest value of a column in a file; None where the manifests do not tell."""

    low: Any
    high: Any


class LiveFile(NamedTuple):
    """A file that the newest snapshot names.

    Attributes:
        entry: What the manifest says.
        path: Where it lies.
        batches: First and last id of the batches in it.
        first_offset: The smallest offset of its rows.
        day: The day (since 1970, UTC) on which its first row was accepted; None when unknown.
        instants: First and last ``timestamp``, in microseconds.
    """

    entry: DataFile
    path: Path
    batches: Bounds
    first_offset: int
    day: int | None
    instants: Bounds

    @property
    def batch_id(self) -> str | None:
        """The one batch of all rows; None when there are several."""
        low, high = self.batches
        return str(low or "") if low == high else None

    def parts(self) -> tuple[BatchPart, ...]:
        """Return the batches in the file; opens it when there are several."""
        if self.batch_id is not None:
            return (BatchPart(self.batch_id, self.path.name, self.entry.record_count),)
        return parts_of(self.path)

    def holds_any(self, batch_ids: Collection[str]) -> bool:
        """Whether rows of one of these batches are in the file."""
        if self.batch_id is None and not any(self.batches.low <= batch_id <= self.batches.high for batch_id in batch_ids):
            return False
        return any(part.batch_id in batch_ids for part in self.parts())

    def may_be_before(self, instant_us: int) -> bool:
        """Whether some row may have an earlier ``timestamp``."""
        return self.instants.low is not None and self.instants.low < instant_us

    def is_before(self, table: Table, instant_us: int) -> bool:
        """Whether every row has an earlier ``timestamp``."""
        field_id = table.schema().find_field(TIMESTAMP).field_id
        nulls = (self.entry.null_value_counts or {}).get(field_id)
        return nulls == 0 and self.instants.high is not None and self.instants.high < instant_us


def live_files(table: Table, path_of: PathOf, batch_id: str | None = None) -> list[LiveFile]:
    """Return the files of a table, or those that may hold rows of a batch, in the order of their rows."""
    tasks = table.scan(row_filter=_of_batch(batch_id)).plan_files()
    files = [_live_file(table, task.file, path_of) for task in tasks]
    if batch_id is not None:
        files = [file for file in files if file.holds_any((batch_id,))]
    return sorted(files, key=lambda file: (file.first_offset, file.path))


def day_of(instant_ms: int) -> int:
    """Return the day (since 1970, UTC) of an instant."""
    return instant_ms * 1000 // _DAY_US


def _of_batch(batch_id: str | None) -> BooleanExpression:
    return AlwaysTrue() if batch_id is None else EqualTo(BATCH, batch_id)  # type: ignore[call-arg, arg-type]


def _live_file(table: Table, file: DataFile, path_of: PathOf) -> LiveFile:
    accepted_us = _microseconds(_bounds(table, file, ACCEPTED_AT).low)
    return LiveFile(
        file,
        path_of(file.file_path),
        _bounds(table, file, BATCH),
        int(_bounds(table, file, OFFSET).low or 0),
        None if accepted_us is None else accepted_us // _DAY_US,
        Bounds(*map(_microseconds, _bounds(table, file, TIMESTAMP))),
    )


def _bounds(table: Table, file: DataFile, column: str) -> Bounds:
    if column not in table.schema().column_names:
        return Bounds(None, None)
    field = table.schema().find_field(column)
    low, high = (
        None if bound is None else from_bytes(field.field_type, bound)  # type: ignore[arg-type]
        for bound in ((file.lower_bounds or {}).get(field.field_id), (file.upper_bounds or {}).get(field.field_id))
    )
    return Bounds(low, high)


def _microseconds(value: Any) -> int | None:
    if isinstance(value, datetime.datetime):
        return int(value.timestamp() * 1_000_000)
    return value if isinstance(value, int) else None
