"""What the lake writer knows of a dataset, and what it says about a batch."""

from dataclasses import dataclass

import pyarrow as pa

from headrace.storage.lake import TableId


@dataclass(frozen=True)
class LakeDataset:
    """A dataset as the lake sees it.

    Attributes:
        sandbox: Number of the sandbox.
        number: Number of the dataset.
        id: Its id on the wire.
        table: Its table.
        schema: Columns of its schema.
        is_event: Whether its records are events, which are told apart by their ``_id``.
    """

    sandbox: int
    number: int
    id: str
    table: TableId
    schema: pa.Schema
    is_event: bool


@dataclass(frozen=True)
class Counts:
    """What one commit has added.

    Attributes:
        rows: Rows added.
        skipped: Events left out because the table had them.
        input_bytes: Bytes of the entities as they came.
        output_bytes: Bytes of the files.
        output_files: Number of files.
        started_at_ms: When the first record was read (epoch ms); 0 when unknown.
        flow_ids: Dataflows that brought the records.
        total_rows: Rows that the table has now.
        total_bytes: Bytes of all its files.
        total_files: Number of all its files.
        filled_paths: Fields that the added rows fill, as dotted paths.
    """

    rows: int = 0
    skipped: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    output_files: int = 0
    started_at_ms: int = 0
    flow_ids: tuple[str, ...] = ()
    total_rows: int = 0
    total_bytes: int = 0
    total_files: int = 0
    filled_paths: frozenset[str] = frozenset()
