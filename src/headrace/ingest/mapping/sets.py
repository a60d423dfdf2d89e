"""Mapping sets as the gateway reads them: stored by Data Prep, compiled once, kept until the configuration changes."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import select

from headrace.clock import Clock
from headrace.ingest.mapping.errors import MappingInvalid, MappingSetUnknown
from headrace.ingest.mapping.functions import functions_of
from headrace.ingest.mapping.mapper import FieldMapping, Mapper, SourceType
from headrace.ingest.mapping.paths import parse_path
from headrace.model import Sandbox
from headrace.schemas import SchemaRegistry
from headrace.storage.control import ControlStore
from headrace.storage.control.tables import mapping_sets

_TYPES: Mapping[str, SourceType] = {
    "ATTRIBUTE": "ATTRIBUTE",
    "text/x.schema-path": "ATTRIBUTE",
    "EXPRESSION": "EXPRESSION",
    "text/x.aep-xl": "EXPRESSION",
    "STATIC": "STATIC",
}


class MappingSets:
    """Compiles the mapping sets that dataflows name."""

    def __init__(self, control: ControlStore, schemas: SchemaRegistry, clock: Clock) -> None:
        self._functions = functions_of(clock)
        self._control = control
        self._schemas = schemas
        self._revision = -1
        self._known: dict[tuple[int, str, int, str], Mapper] = {}

    def mapper(self, sandbox: Sandbox, mapping_id: str, version: int, schema_id: str) -> Mapper:
        """Return a mapping set in a form that runs.

        Args:
            sandbox: Where it belongs.
            mapping_id: Its id.
            version: The version that the dataflow names; a set that keeps only its newest version gives that one.
            schema_id: Schema of the records that it makes.

        Raises:
            MappingSetUnknown: There is none of this id.
            MappingInvalid: One of its lines cannot run.
            NotFound: The schema does not exist.
        """
        revision = self._control.revision()
        if revision != self._revision:
            self._known, self._revision = {}, revision
        key = (sandbox.number, mapping_id, version, schema_id)
        mapper = self._known.get(key)
        if mapper is None:
            body = self._body(sandbox, mapping_id, version)
            form = self._schemas.full_form(sandbox, schema_id)
            mapper = self._known[key] = Mapper(field_mappings(body), form, self._functions)
        return mapper

    def _body(self, sandbox: Sandbox, mapping_id: str, version: int) -> Mapping[str, Any]:
        with self._control.read() as transaction:
            body = transaction.execute(
                select(mapping_sets.c.body).where(
                    mapping_sets.c.id == mapping_id, mapping_sets.c.sandbox == sandbox.number, mapping_sets.c.kind == "mapping"
                )
            ).scalar()
        if body is None:
            raise MappingSetUnknown(f"Mapping set '{mapping_id}' does not exist in sandbox '{sandbox.name}'.")
        earlier = body.get("versions")
        if isinstance(earlier, Mapping) and str(version) in earlier:
            found: Mapping[str, Any] = earlier[str(version)]
            return found
        whole: Mapping[str, Any] = body
        return whole


def field_mappings(body: Mapping[str, Any]) -> list[FieldMapping]:
    """Return the lines of a mapping set in either dialect.

    Raises:
        MappingInvalid: A line has no source or no target, or two lines have one target.
    """
    found = list(_field_mappings(body))
    targets = [mapping.destination for mapping in found]
    for target in targets:
        if targets.count(target) > 1:
            raise MappingInvalid(f"Two mappings write to '{target}'.", path="/mappings")
    return found


def _field_mappings(body: Mapping[str, Any]) -> Iterator[FieldMapping]:
    for index, line in enumerate(body.get("mappings") or ()):
        source = line.get("source", line.get("sourceAttribute"))
        destination = line.get("destination", line.get("destinationXdmPath"))
        if not isinstance(source, str) or not isinstance(destination, str):
            raise MappingInvalid("A mapping needs a source and a destination.", path=f"/mappings/{index}")
        yield FieldMapping(_source_type(line.get("sourceType"), source, index), source, destination)


def _source_type(name: Any, source: str, index: int) -> SourceType:
    if name is None:  # the old dialect: a bare path, else an expression
        try:
            parse_path(source)
        except MappingInvalid:
            return "EXPRESSION"
        return "ATTRIBUTE"
    found = _TYPES.get(name)
    if found is None:
        raise MappingInvalid(
            f"sourceType '{name}' is unknown.", path=f"/mappings/{index}/sourceType", hint="Use ATTRIBUTE, EXPRESSION or STATIC."
        )
    return found
