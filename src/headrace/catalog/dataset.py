"""A dataset, and what its tags say."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

PROFILE_TAG, IDENTITY_TAG = "unifiedProfile", "unifiedIdentity"
TABLE_TAG = "adobe/pqs/table"
VALIDATION_TAG = "acp_validationContext"
PLATFORM_PREFIX = "adobe/"
_NOT_IN_TABLE_NAMES = re.compile(r"[^a-z0-9]+")


class Dataset(msgspec.Struct, frozen=True):
    """One dataset at one version.

    Attributes:
        number: Small number, never reused; in records and keys of the hot state.
        id: 24 hex digits.
        name: For people.
        schema_id: ``$id`` of its schema or union.
        table_name: Name of its table in SQL.
        is_profile_enabled: Whether its records become profile fragments.
        is_identity_enabled: Whether its records link identities.
        is_upsert: Whether a record changes only the attributes that it holds.
        is_validation_disabled: Whether batches are taken without a look at their records.
        body: What is stored of its wire form: ``name``, ``schemaRef``, ``tags``, ``extensions``, ….
        version: Counts changes; ``1.0.{version}`` on the wire.
        created_at: Epoch ms.
        updated_at: Epoch ms.
    """

    number: int
    id: str
    name: str
    schema_id: str
    table_name: str
    is_profile_enabled: bool
    is_identity_enabled: bool
    is_upsert: bool
    is_validation_disabled: bool
    body: dict[str, Any]
    version: int
    created_at: int
    updated_at: int

    @property
    def wire_version(self) -> str:
        """The version as the wire shows it."""
        return f"1.0.{self.version}"


def dataset_of(row: Mapping[str, Any]) -> Dataset:
    """Return the dataset of a stored row."""
    body = row["body"]
    tags = body["tags"]
    return Dataset(
        number=row["number"],
        id=row["id"],
        name=row["name"],
        schema_id=row["schema_id"],
        table_name=row["table_name"],
        is_profile_enabled=is_enabled(tags, PROFILE_TAG),
        is_identity_enabled=is_enabled(tags, IDENTITY_TAG),
        is_upsert=is_enabled(tags, PROFILE_TAG) and flags_of(tags.get(PROFILE_TAG, ())).get("isUpsert") == "true",
        is_validation_disabled="disabled" in tags.get(VALIDATION_TAG, ()),
        body=body,
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def is_enabled(tags: Mapping[str, list[str]], name: str) -> bool:
    """Tell whether a tag such as ``unifiedProfile`` says ``enabled:true``."""
    return flags_of(tags.get(name, ())).get("enabled") == "true"


def flags_of(values: Iterable[str]) -> dict[str, str]:
    """Return the ``key:value`` entries of a tag; blanks around both count for nothing."""
    pairs = (value.partition(":") for value in values)
    return {key.strip(): value.strip() for key, _, value in pairs}


def trimmed_flags(values: Iterable[str]) -> list[str]:
    """Return ``key:value`` entries without blanks around key and value."""
    return [f"{key}:{value}" if value else key for key, value in flags_of(values).items()]


def table_name_of(name: str, taken: Iterable[str]) -> str:
    """Return a table name for a dataset's name: lower case, other characters as ``_``, a number behind it when it is taken."""
    base = _NOT_IN_TABLE_NAMES.sub("_", name.lower()).strip("_") or "dataset"
    known, candidate, number = frozenset(taken), base, 2
    while candidate in known:
        candidate, number = f"{base}_{number}", number + 1
    return candidate
