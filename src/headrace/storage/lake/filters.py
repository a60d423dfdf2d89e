"""Some of the rows of a piece of a table."""

from collections.abc import Collection
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from headrace.storage.lake.arrow import BATCH

TIMESTAMP = "timestamp"
Part = TypeVar("Part", pa.Table, pa.RecordBatch)


def rows_except(part: Part, batch_ids: Collection[str]) -> Part:
    """Return the rows that belong to none of these batches."""
    return part.filter(pc.invert(pc.is_in(part.column(BATCH), value_set=pa.array(sorted(batch_ids), pa.string()))))


def rows_since(part: Part, instant_us: int) -> Part:
    """Return the rows whose ``timestamp`` is not before an instant, and those without one."""
    if TIMESTAMP not in part.schema.names:
        return part
    instant = pa.scalar(instant_us, pa.int64()).cast(part.schema.field(TIMESTAMP).type)
    return part.filter(pc.fill_null(pc.greater_equal(part.column(TIMESTAMP), instant), True))


def rows_of_batch(part: Part, batch_id: str) -> Part:
    """Return the rows of one batch."""
    return part.filter(pc.equal(part.column(BATCH), batch_id))
