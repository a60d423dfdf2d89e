"""What a dataset's definition must satisfy, and how its wire form is stored. Source: Catalog Service, "Datasets"."""

import re
from collections.abc import Mapping
from typing import Any

from headrace.catalog.dataset import (
    IDENTITY_TAG,
    PLATFORM_PREFIX,
    PROFILE_TAG,
    flags_of,
    is_enabled,
    trimmed_flags,
)
from headrace.catalog.errors import DatasetInvalid, DatasetSchemaNotEnabled, DatasetSchemaUnknown
from headrace.clock import from_ms
from headrace.model import Sandbox
from headrace.schemas import SchemaRegistry

WRITABLE = (
    "name",
    "description",
    "schemaRef",
    "tags",
    "fileDescription",
    "enableErrorDiagnostics",
    "unifiedTags",
    "systemLabels",
    "extensions",
)
_SYSTEM_TAGS = ("acp_granular_validation_flags", "acp_granular_plugin_validation_flags")
_DEFAULT_CONTENT_TYPE = "application/vnd.adobe.xed+json;version=1"
_DEFAULT_FILES = {"persisted": True, "containerFormat": "parquet", "format": "parquet"}
_DURATION = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?")
_DAYS = (365, 30, 7, 1)
SHORTEST_RETENTION, LONGEST_RETENTION, DEFAULT_RETENTION = "P30D", "P10Y", "P12M"
_RETENTIONS = ("adobe_lakeHouse", "adobe_unifiedProfile")


class DatasetRules:
    """Checks definitions against the schema registry."""

    def __init__(self, schemas: SchemaRegistry) -> None:
        self._schemas = schemas

    def checked(self, sandbox: Sandbox, definition: Mapping[str, Any], present: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
        """Return what is stored of a definition.

        Args:
            sandbox: The sandbox.
            definition: Writable members as they shall be; others are ignored.
            present: What is stored now, empty for a new dataset; system members and tags are kept from it.
            now_ms: Stamp of an enablement (epoch ms).

        Raises:
            DatasetInvalid: A member is missing or not acceptable.
        """
        name = definition.get("name")
        if not isinstance(name, str) or not name.strip():
            raise DatasetInvalid("A dataset needs a name.", path="/name")
        reference = self._reference(sandbox, definition.get("schemaRef"))
        behavior = self._schemas.behavior(sandbox, reference["id"])
        tags = self._tags(sandbox, reference["id"], definition.get("tags"), present.get("tags", {}), now_ms)
        stored = {
            **{member: value for member, value in present.items() if member not in WRITABLE},
            **{member: definition[member] for member in WRITABLE if definition.get(member) is not None},
            "name": name,
            "schemaRef": reference,
            "tags": tags,
            "fileDescription": _object(definition, "fileDescription") or dict(_DEFAULT_FILES),
            "extensions": _extensions(definition, behavior),
            "classification": {"managedBy": "CUSTOMER", **present.get("classification", {}), "dataBehavior": behavior},
        }
        return _typed(stored)

    def _reference(self, sandbox: Sandbox, reference: Any) -> dict[str, Any]:
        schema_id = reference.get("id") if isinstance(reference, Mapping) else None
        if not isinstance(schema_id, str) or not schema_id:
            raise DatasetInvalid("A dataset needs a schemaRef with the $id of its schema.", path="/schemaRef/id")
        if not self._schemas.exists(sandbox, schema_id):
            raise DatasetSchemaUnknown(f"Schema '{schema_id}' does not exist in sandbox '{sandbox.name}'.", path="/schemaRef/id")
        return {"contentType": _DEFAULT_CONTENT_TYPE, **reference}

    def _tags(
        self, sandbox: Sandbox, schema_id: str, given: Any, present: Mapping[str, list[str]], now_ms: int
    ) -> dict[str, list[str]]:
        tags = {**_tag_map(given), **{name: values for name, values in present.items() if is_system_tag(name)}}
        for name in (PROFILE_TAG, IDENTITY_TAG):
            if name in tags:
                tags[name] = trimmed_flags(tags[name])
        if is_enabled(tags, PROFILE_TAG):
            if not self._schemas.is_profile_enabled(sandbox, schema_id):
                raise DatasetSchemaNotEnabled(
                    f"Schema '{schema_id}' is not enabled for Profile, so its datasets cannot be.",
                    path="/tags/unifiedProfile",
                    hint="Add 'union' to the schema's meta:immutableTags first.",
                )
            tags[PROFILE_TAG] = _with_enabled_at(tags[PROFILE_TAG], present.get(PROFILE_TAG, []), now_ms)
        return tags


def is_system_tag(name: str) -> bool:
    """Tell whether a tag is the platform's, so that no client changes it."""
    return name.startswith(PLATFORM_PREFIX) or name in _SYSTEM_TAGS


def system_tags(table_name: str) -> dict[str, list[str]]:
    """Return the tags that every dataset has."""
    return {
        "adobe/pqs/table": [table_name],
        "adobe/siphon/table/format": ["iceberg"],
        "acp_granular_validation_flags": ["requiredFieldCheck:enabled"],
        "acp_granular_plugin_validation_flags": ["identity:enabled", "profile:disabled"],
    }


def _with_enabled_at(values: list[str], present: list[str], now_ms: int) -> list[str]:
    before = flags_of(present)
    since = before.get("enabledAt") if before.get("enabled") == "true" else None
    since = since or from_ms(now_ms).strftime("%Y-%m-%d %H:%M:%S")
    return [value for value in values if not value.startswith("enabledAt:")] + [f"enabledAt:{since}"]


def _tag_map(given: Any) -> dict[str, list[str]]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise DatasetInvalid("'tags' is an object of lists of strings.", path="/tags")
    return {name: _tag_values(name, values) for name, values in given.items()}


def _tag_values(name: str, values: Any) -> list[str]:
    listed = values if isinstance(values, list) else [values]
    if not all(isinstance(value, str | int | float) for value in listed):
        raise DatasetInvalid(f"Tag '{name}' is a list of strings.", path=f"/tags/{name.replace('/', '~1')}")
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in listed]


def _object(definition: Mapping[str, Any], member: str) -> dict[str, Any]:
    value = definition.get(member)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise DatasetInvalid(f"'{member}' is an object.", path=f"/{member}")
    return dict(value)


def _typed(stored: dict[str, Any]) -> dict[str, Any]:
    for member, kind, words in (
        ("description", str, "a text"),
        ("enableErrorDiagnostics", bool, "true or false"),
        ("unifiedTags", list, "a list"),
        ("systemLabels", list, "a list"),
    ):
        if member in stored and not isinstance(stored[member], kind):
            raise DatasetInvalid(f"'{member}' is {words}.", path=f"/{member}")
    return stored


def _extensions(definition: Mapping[str, Any], behavior: str) -> dict[str, Any]:
    extensions = _object(definition, "extensions")
    for owner in _RETENTIONS:
        part = extensions.get(owner)
        retention = part.get("rowExpiration") if isinstance(part, Mapping) else None
        if isinstance(retention, Mapping) and retention.get("ttlValue") is not None:
            _check_retention(retention["ttlValue"], behavior, f"/extensions/{owner}/rowExpiration/ttlValue")
    return extensions


def _check_retention(value: Any, behavior: str, path: str) -> None:
    if behavior != "time-series":
        raise DatasetInvalid("Row expiration is for datasets of events alone.", path=path)
    days = days_of(value)
    if days is None:
        raise DatasetInvalid(f"'{value}' is no ISO 8601 duration of days, weeks, months or years.", path=path, hint="Write P3M.")
    if not (days_of(SHORTEST_RETENTION) or 0) <= days <= (days_of(LONGEST_RETENTION) or 0):
        raise DatasetInvalid(f"Row expiration must be from {SHORTEST_RETENTION} to {LONGEST_RETENTION}.", path=path)


def days_of(value: Any) -> int | None:
    """Return the days of an ISO 8601 duration (a month counts 30, a year 365), None for what is none."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None or not any(found.groups()):
        return None
    return sum(int(count or 0) * days for count, days in zip(found.groups(), _DAYS, strict=True))
