"""What stands in the topic ``records``: single records, and claim checks that point at files."""

from typing import Literal

import msgspec

Operation = Literal["create", "merge", "delete"]


class Record(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """One accepted record: valid against its schema, mapped when its inlet says so.

    Attributes:
        sandbox: Number of the sandbox.
        dataset: Number of the dataset (control table ``datasets``).
        body: The XDM entity as JSON, UTF-8.
        accepted_at_ms: When the gateway accepted it (epoch ms); the ingestion time of profile fragments.
        operation: What a record does to its fragment; events are always ``create``.
        batch_id: The batch it belongs to; empty for streamed records.
        flow_id: The dataflow that counts it, when one is known.
        links_dataset: Number of the dataset on whose behalf identity links are made, 0 for the record's own, -1 for no links.
    """

    sandbox: int
    dataset: int
    body: bytes
    accepted_at_ms: int
    operation: Operation = "create"
    batch_id: str = ""
    flow_id: str = ""
    links_dataset: int = 0


class BatchReady(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A completed batch, as a claim check: its valid rows stand in files under the home folder.

    Attributes:
        sandbox: Number of the sandbox.
        dataset: Number of the dataset.
        batch_id: The batch.
        files: Paths relative to the home folder, in order; each a file of JSON lines, one valid XDM entity a line, UTF-8.
        row_count: Rows in all files together.
        byte_count: Bytes in all files together.
        accepted_at_ms: When the batch was accepted (epoch ms).
        is_upsert: Whether a row changes only the attributes that it holds.
        predecessors: Batches that this one replaces.
        is_typed: Whether every value was found to have the type that the schema demands.
    """

    sandbox: int
    dataset: int
    batch_id: str
    files: tuple[str, ...]
    row_count: int
    byte_count: int
    accepted_at_ms: int
    is_upsert: bool = False
    predecessors: tuple[str, ...] = ()
    is_typed: bool = False


class MembershipDiff(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """What a segment job found to differ from the memberships in the hot state, as a claim check.

    Attributes:
        sandbox: Number of the sandbox.
        job_id: The segment job.
        file: Path relative to the home folder; JSON lines ``[person id (hex), audience number, 1 entered | 0 left]``.
        evaluated_at_ms: The job's `now` (epoch ms), which becomes the qualification time.
        basis_offset: Offset in ``records`` that the job has seen; persons changed later keep their streaming results.
    """

    sandbox: int
    job_id: str
    file: str
    evaluated_at_ms: int
    basis_offset: int


class ProfileDelete(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """A request to delete the profile of one identity.

    Attributes:
        sandbox: Number of the sandbox.
        namespace_id: Namespace of the identity.
        value: Normalised value of the identity.
        accepted_at_ms: When it was accepted (epoch ms).
    """

    sandbox: int
    namespace_id: int
    value: str
    accepted_at_ms: int


class BatchReverted(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A batch that its owner takes back: its rows leave the lake, its fragments the profile where no later batch replaced them.

    Attributes:
        sandbox: Number of the sandbox.
        dataset: Number of the dataset.
        batch_id: The batch.
        accepted_at_ms: When it was taken back (epoch ms).
    """

    sandbox: int
    dataset: int
    batch_id: str
    accepted_at_ms: int


class SandboxPurged(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """A sandbox that was reset or deleted: nothing of its number is needed any more.

    Attributes:
        sandbox: Number that the sandbox had.
        accepted_at_ms: When the stores were asked to forget it (epoch ms).
    """

    sandbox: int
    accepted_at_ms: int


class DatasetPurged(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """A deleted dataset: its rows leave the lake, its fragments and events the profiles.

    Attributes:
        sandbox: Number of the sandbox; it may be gone too.
        dataset: Number that the dataset had.
        table_name: Its table.
        accepted_at_ms: When the stores were asked to forget it (epoch ms).
    """

    sandbox: int
    dataset: int
    table_name: str
    accepted_at_ms: int


LogEntry = Record | BatchReady | MembershipDiff | ProfileDelete | BatchReverted | SandboxPurged | DatasetPurged


def entry_instant(entry: LogEntry) -> int:
    """Return the instant at which an entry takes effect (epoch ms)."""
    return entry.evaluated_at_ms if isinstance(entry, MembershipDiff) else entry.accepted_at_ms


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[LogEntry] = msgspec.msgpack.Decoder(LogEntry)


def encode_entry(entry: LogEntry) -> bytes:
    """Return the bytes that stand in the topic ``records`` for ``entry``."""
    return _encoder.encode(entry)


def is_record(data: bytes) -> bool:
    """Whether the bytes of an entry are those of a single record, told without decoding them."""
    return data[1] == 1  # behind the byte that begins the array stands the tag


def decode_entry(data: bytes) -> LogEntry:
    """Return the entry that `encode_entry` wrote."""
    return _decoder.decode(data)
