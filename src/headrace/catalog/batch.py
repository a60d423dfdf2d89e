"""A batch, and the states that it goes through. Source: Catalog Service, "Batches"."""

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

STATUSES = (
    "loading",
    "loaded",
    "staging",
    "staged",
    "processing",
    "queued",
    "active",
    "success",
    "failed",
    "failure",
    "aborted",
    "abandoned",
    "retrying",
    "stalled",
    "inactive",
    "deleted",
    "archived",
    "retained",
)
_SYNONYMS = (frozenset({"active", "success"}), frozenset({"failed", "failure"}))
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS = 80
_ID_CHARACTERS = 26


class Batch(msgspec.Struct, frozen=True):
    """One batch at one version.

    Attributes:
        id: Opaque id; a ULID when we made it.
        sandbox: Number of the sandbox.
        dataset: Number of the dataset, 0 for bookkeeping without one.
        status: One of `STATUSES`.
        body: What is stored of its wire form.
        version: Counts changes; ``1.0.{version}`` on the wire.
        created_at: Epoch ms.
        updated_at: Epoch ms.
    """

    id: str
    sandbox: int
    dataset: int
    status: str
    body: dict[str, Any]
    version: int
    created_at: int
    updated_at: int

    @property
    def wire_version(self) -> str:
        """The version as the wire shows it."""
        return f"1.0.{self.version}"


class BatchFile(msgspec.Struct, frozen=True):
    """One file of a batch that is being uploaded.

    Attributes:
        name: Path inside the batch.
        size_bytes: Bytes received.
        is_complete: Whether all of it is here.
        body: What its uploader notes about it.
    """

    name: str
    size_bytes: int
    is_complete: bool
    body: dict[str, Any]


def batch_of(row: Mapping[str, Any]) -> Batch:
    """Return the batch of a stored row."""
    return Batch(
        row["id"],
        row["sandbox"],
        row["dataset"],
        row["status"],
        row["body"],
        row["version"],
        row["created_at"],
        row["updated_at"],
    )


def with_synonyms(status: str) -> frozenset[str]:
    """Return a status with those that mean the same."""
    return next((group for group in _SYNONYMS if status in group), frozenset({status}))


def new_batch_id(now_ms: int) -> str:
    """Return a ULID: 26 characters that sort by time."""
    number = now_ms << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    return "".join(_CROCKFORD[number >> 5 * place & 31] for place in reversed(range(_ID_CHARACTERS)))
