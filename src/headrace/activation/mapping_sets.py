"""Mapping sets and their schemas: stored, versioned, read by ingestion and by file exports."""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Row, delete, insert, select, update

from headrace.activation.errors import EntityUnknown, MappingInvalid, MappingSetInUse
from headrace.activation.mapping import AttributeMapping, MappingReader, normalised_mappings
from headrace.clock import Clock
from headrace.model import Sandbox
from headrace.storage.control import ControlStore
from headrace.storage.control.tables import flows, mapping_sets

_VERSIONS = "versions"  # within the stored body: bodies of earlier versions by number
_KEPT = ("name", "inputSchema", "outputSchema", "allowNullValues", "strictMapping", "supportVersion", "status", "tags")


class MappingSet(msgspec.Struct, frozen=True):
    """One version of a mapping set, or a schema (which has but one).

    Attributes:
        id: 32 hexadecimal digits.
        version: Rises with each change; a dataflow keeps the version it names.
        body: The set without ids and dates; ``mappings`` in the new dialect, each with an ``id``.
        versions: Bodies of earlier versions by number.
        created_at: Epoch ms.
        updated_at: Epoch ms.
    """

    id: str
    version: int
    body: dict[str, Any]
    versions: dict[str, dict[str, Any]]
    created_at: int
    updated_at: int

    @property
    def mappings(self) -> list[dict[str, Any]]:
        """The mappings, in order."""
        return list(self.body.get("mappings", ()))


class MappingSets:
    """The mapping sets of all sandboxes."""

    def __init__(self, control: ControlStore, clock: Clock) -> None:
        self._control = control
        self._clock = clock

    def create(self, sandbox: Sandbox, body: Mapping[str, Any], user_id: str) -> MappingSet:
        """Store a mapping set.

        Raises:
            MappingInvalid: The body is none.
        """
        return self._add(sandbox, "mapping", {**_normalised(body), "createdBy": user_id, "modifiedBy": user_id})

    def create_schema(self, sandbox: Sandbox, body: Mapping[str, Any], user_id: str) -> MappingSet:
        """Store the input or output schema of a mapping set.

        Raises:
            MappingInvalid: The body holds no JSON Schema.
        """
        if not isinstance(body.get("jsonSchema"), str | Mapping):
            raise MappingInvalid("jsonSchema is required: a JSON Schema, as an object or as text.", path="/jsonSchema")
        kept = {"name": str(body.get("name") or ""), "jsonSchema": body["jsonSchema"]}
        return self._add(sandbox, "schema", {**kept, "createdBy": user_id, "modifiedBy": user_id})

    def replace(self, sandbox: Sandbox, set_id: str, body: Mapping[str, Any], user_id: str) -> MappingSet:
        """Store the next version of a mapping set; what ``body`` leaves out stays.

        Raises:
            EntityUnknown: There is no such mapping set.
            MappingInvalid: The body is none.
        """
        present = self.get(sandbox, set_id)
        merged = _normalised({**present.body, **body})
        merged |= {"createdBy": present.body.get("createdBy", user_id), "modifiedBy": user_id}
        versions = {**present.versions, str(present.version): present.body}
        now = self._clock.now_ms()
        changed = msgspec.structs.replace(present, version=present.version + 1, body=merged, versions=versions, updated_at=now)
        statement = update(mapping_sets).where(mapping_sets.c.id == set_id, mapping_sets.c.version == present.version)
        values = {"version": changed.version, "body": {**merged, _VERSIONS: versions}, "updated_at": now}
        with self._control.write() as connection:
            is_first = connection.execute(statement.values(**values)).rowcount == 1
        return changed if is_first else self.replace(sandbox, set_id, body, user_id)

    def get(self, sandbox: Sandbox, set_id: str, version: int | None = None) -> MappingSet:
        """Return a version of a mapping set, the newest by default.

        Raises:
            EntityUnknown: There is no such mapping set or version.
        """
        return self._get(sandbox, "mapping", set_id, version)

    def schema(self, sandbox: Sandbox, schema_id: str) -> MappingSet:
        """Return a schema.

        Raises:
            EntityUnknown: There is no such schema.
        """
        return self._get(sandbox, "schema", schema_id, None)

    def all(self, sandbox: Sandbox) -> list[MappingSet]:
        """Return the newest version of all mapping sets, newest first."""
        statement = (
            select(mapping_sets)
            .where(mapping_sets.c.sandbox == sandbox.number, mapping_sets.c.kind == "mapping")
            .order_by(mapping_sets.c.created_at.desc(), mapping_sets.c.id)
        )
        with self._control.read() as connection:
            return [_mapping_set(row) for row in connection.execute(statement)]

    def delete(self, sandbox: Sandbox, set_id: str) -> None:
        """Delete a mapping set with all its versions.

        Raises:
            EntityUnknown: There is no such mapping set.
            MappingSetInUse: A dataflow names it.
        """
        self.get(sandbox, set_id)
        with self._control.write() as connection:
            statement = select(flows.c.id, flows.c.body).where(flows.c.sandbox == sandbox.number)
            users = [row.id for row in connection.execute(statement) if set_id in mapping_ids(row.body)]
            if users:
                raise MappingSetInUse(f"Mapping set {set_id} is in use by flow {', '.join(users)}.")
            connection.execute(delete(mapping_sets).where(mapping_sets.c.id == set_id))

    def columns(self, sandbox: Sandbox, mapping_id: str, version: int, reader: MappingReader) -> list[AttributeMapping]:
        """Return the columns of a file export that a version of a mapping set describes, in order.

        Raises:
            MappingInvalid: The mapping set does not exist, or a mapping cannot be used.
            SelectorInvalid: A field is unknown.
        """
        try:
            found = self.get(sandbox, mapping_id, version)
        except EntityUnknown as error:
            raise MappingInvalid(
                f"Mapping set '{mapping_id}' with version {version} does not exist.",
                path="/transformations/0/params/profileMapping/mappingId",
            ) from error
        return [reader.column(entry, f"/mappings/{index}") for index, entry in enumerate(found.mappings)]

    def _add(self, sandbox: Sandbox, kind: str, body: dict[str, Any]) -> MappingSet:
        now = self._clock.now_ms()
        made = MappingSet(uuid.uuid4().hex, 0, body, {}, now, now)
        with self._control.write() as connection:
            row = {"id": made.id, "sandbox": sandbox.number, "kind": kind, "version": 0, "body": body}
            connection.execute(insert(mapping_sets).values(**row, created_at=now, updated_at=now))
        return made

    def _get(self, sandbox: Sandbox, kind: str, set_id: str, version: int | None) -> MappingSet:
        statement = select(mapping_sets).where(
            mapping_sets.c.id == set_id, mapping_sets.c.sandbox == sandbox.number, mapping_sets.c.kind == kind
        )
        with self._control.read() as connection:
            row = connection.execute(statement).first()
        if row is None:
            raise EntityUnknown("schema" if kind == "schema" else "mapping_set", set_id)
        newest = _mapping_set(row)
        if version is None or version == newest.version:
            return newest
        if str(version) not in newest.versions:
            raise EntityUnknown("mapping_set", f"{set_id}/{version}")
        return msgspec.structs.replace(newest, version=version, body=newest.versions[str(version)])


def mapping_ids(flow_body: Mapping[str, Any]) -> set[str]:
    """Return the ids of the mapping sets that a stored dataflow names."""
    found = set()
    for transformation in flow_body.get("transformations", ()):
        params = transformation.get("params", {})
        found.add(params.get("mappingId"))
        found.add((params.get("profileMapping") or {}).get("mappingId"))
    return {name for name in found if isinstance(name, str)}


def _normalised(body: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: body[name] for name in _KEPT if body.get(name) is not None}
    if "outputSchema" not in kept and isinstance(body.get("xdmSchema"), str):
        content_type = "application/vnd.adobe.xed-full+json;version=1"
        kept["outputSchema"] = {"schemaRef": {"id": body["xdmSchema"], "contentType": content_type}}
    mappings = normalised_mappings(body.get("mappings"))
    for mapping in mappings:
        mapping.setdefault("id", uuid.uuid4().hex)
    return {**kept, "mappings": mappings}


def _mapping_set(row: Row[Any]) -> MappingSet:
    body = dict(row.body)
    versions = body.pop(_VERSIONS, {})
    return MappingSet(row.id, row.version, body, versions, row.created_at, row.updated_at)
