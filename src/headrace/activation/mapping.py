"""What a column of an exported file, or an attribute of a message, is made of."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from headrace.activation.errors import MappingInvalid
from headrace.activation.fields import Step, find_field
from headrace.model import Sandbox

SourceKind = Literal["attribute", "identity", "membership_status", "membership_time", "expression", "static"]

_SOURCE_TYPES = {
    "ATTRIBUTE": "ATTRIBUTE",
    "text/x.schema-path": "ATTRIBUTE",
    "EXPRESSION": "EXPRESSION",
    "text/x.aep-xl": "EXPRESSION",
    "STATIC": "STATIC",
}
_MEMBERSHIP = re.compile(r"segmentMembership\.(?:[^.]+\.seg_id\.)?(status|lastQualificationTime)")
_IDENTITY = "identityMap."
_BARE_PATH = re.compile(r"[\w$@\\/]+(?:\[(?:\d+|\*)\])?(?:\.[\w$@\\/]+(?:\[(?:\d+|\*)\])?)*")
MAX_EXPRESSION_CHARACTERS = 4096


class AttributeMapping(msgspec.Struct, frozen=True):
    """One column of a file, or one attribute of a message.

    Attributes:
        kind: Where the value comes from.
        source: The source as it was written: a dotted path, a namespace's code, an expression or a literal.
        target: Name of the column; the dotted path for messages.
        path: Steps of the attribute; empty for other kinds.
        namespace: Code of the identity namespace; empty for other kinds.
        type: The platform's type name of the value (``string``, ``date``, ``integer``…).
    """

    kind: SourceKind
    source: str
    target: str
    path: tuple[Step, ...] = ()
    namespace: str = ""
    type: str = "string"

    @property
    def is_identity(self) -> bool:
        """Whether the value is an identity."""
        return self.kind == "identity"


class DedupKey(msgspec.Struct, frozen=True):
    """One part of the key by which the rows of an export are made unique.

    Attributes:
        field_type: Whether the part is an identity or an attribute.
        name: Code of the namespace, or dotted path of the attribute.
    """

    field_type: Literal["IDENTITY", "ATTRIBUTE"]
    name: str


class Schemas(Protocol):
    """What mappings ask of the schema registry."""

    def union_form(self, sandbox: Sandbox, class_id: str = ...) -> Mapping[str, Any]:
        """Return the union schema of a class."""
        ...


class NamespaceCodes(Protocol):
    """What mappings ask of the identity namespaces."""

    def by_code(self, sandbox: Sandbox, code: str) -> Any | None:
        """Return the namespace with this code, None when there is none."""
        ...


ExpressionCheck = Callable[[str], object]
"""Raises `headrace.errors.InvalidInput` when the text is no expression of the Data Prep language."""

EVENT_CLASS = "https://ns.adobe.com/xdm/context/experienceevent"


class MappingReader:
    """Reads mappings of one sandbox against its union schema and namespaces."""

    def __init__(self, sandbox: Sandbox, schemas: Schemas, namespaces: NamespaceCodes, check_expression: ExpressionCheck) -> None:
        self._sandbox = sandbox
        self._schemas = schemas
        self._namespaces = namespaces
        self._check_expression = check_expression

    def column(self, entry: Mapping[str, Any], pointer: str) -> AttributeMapping:
        """Return the column that one stored mapping (new dialect) describes.

        Raises:
            MappingInvalid: Its target cannot be the name of a column, or its namespace or expression is unknown.
            SelectorInvalid: Its field is unknown.
        """
        target = entry["destination"]
        if "." in target:
            raise MappingInvalid(
                f"Destination '{target}' must not contain a dot.", path=f"{pointer}/destination", hint="Use '_' instead."
            )
        source, kind = entry["source"], entry["sourceType"]
        if kind == "STATIC":
            return AttributeMapping("static", source, target)
        if kind == "EXPRESSION":
            self._check_expression(source)
            return AttributeMapping("expression", source, target)
        return self.source(source, target, f"{pointer}/source")

    def source(self, source: str, target: str, pointer: str) -> AttributeMapping:
        """Return the mapping of a path: a field, an identity or a part of the exported audience's membership.

        Raises:
            MappingInvalid: The namespace is unknown.
            SelectorInvalid: The field is unknown.
        """
        if membership := _MEMBERSHIP.fullmatch(source):
            if membership[1] == "status":
                return AttributeMapping("membership_status", source, target)
            return AttributeMapping("membership_time", source, target, type="date-time")
        if source.startswith(_IDENTITY):
            return self.identity(source.removeprefix(_IDENTITY).replace("//.", "."), target, pointer, source=source)
        field = find_field(self._union(), source, pointer, event_form=self._event_union)
        return AttributeMapping("attribute", source, target, path=field.path, type=field.type)

    def identity(self, code: str, target: str, pointer: str, *, source: str = "") -> AttributeMapping:
        """Return the mapping of an identity namespace.

        Raises:
            MappingInvalid: The namespace is unknown.
        """
        namespace = self._namespaces.by_code(self._sandbox, code)
        if namespace is None:
            raise MappingInvalid(f"No identity namespace has the code '{code}'.", path=pointer)
        return AttributeMapping("identity", source or code, target, namespace=str(namespace.code))

    def is_namespace(self, code: str) -> bool:
        """Whether an identity namespace has this code."""
        return self._namespaces.by_code(self._sandbox, code) is not None

    def check_attribute(self, path: str, pointer: str) -> None:
        """Refuse a path that no field of the profile has.

        Raises:
            SelectorInvalid: The field is unknown.
        """
        find_field(self._union(), path, pointer, event_form=self._event_union)

    def _union(self) -> Mapping[str, Any]:
        return self._schemas.union_form(self._sandbox)

    def _event_union(self) -> Mapping[str, Any]:
        return self._schemas.union_form(self._sandbox, EVENT_CLASS)


def default_target(path: str) -> str:
    """Return the column's name of a path when none is given."""
    return path.replace(".", "_")


def check_columns(columns: Sequence[AttributeMapping], pointer: str, *, exports_complex_types: bool) -> None:
    """Refuse a set of columns that no file export can write.

    Args:
        columns: The columns, in order.
        pointer: JSON pointer of the mappings, for errors.
        exports_complex_types: Whether arrays, maps and objects may be written with their structure.

    Raises:
        MappingInvalid: Two columns have one name, two identities are mapped, or a value is not a plain one.
    """
    seen: set[str] = set()
    identities = [column for column in columns if column.is_identity]
    if len(identities) > 1:
        codes = ", ".join(column.namespace for column in identities)
        raise MappingInvalid(
            f"Only one identity namespace can be exported per dataflow, got {codes}.",
            path=pointer,
            hint="Map the others as attributes.",
        )
    for index, column in enumerate(columns):
        if column.target in seen:
            raise MappingInvalid(f"Two mappings have the destination '{column.target}'.", path=f"{pointer}/{index}/destination")
        seen.add(column.target)
        if column.type in ("array", "map", "object") and column.kind == "attribute" and not exports_complex_types:
            raise MappingInvalid(
                f"Field '{column.source}' is of type {column.type}, which a file takes only as text.",
                path=f"{pointer}/{index}/source",
                hint="Map one of its fields, use array_to_string in an EXPRESSION, or set exportComplexTypes on the target.",
            )


def normalised_mappings(value: Any, pointer: str = "/mappings") -> list[dict[str, Any]]:
    """Return the mappings of a request in the new dialect, whichever of the two dialects they came in.

    Raises:
        MappingInvalid: An entry has no source or destination, or an unknown source type.
    """
    if not isinstance(value, list):
        raise MappingInvalid("mappings must be a list.", path=pointer)
    return [_normalised(entry, f"{pointer}/{index}") for index, entry in enumerate(value)]


def _normalised(entry: Any, pointer: str) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise MappingInvalid("A mapping must be an object.", path=pointer)
    source = entry.get("source", entry.get("sourceAttribute"))
    destination = entry.get("destination", entry.get("destinationXdmPath"))
    for name, text in (("source", source), ("destination", destination)):
        if not isinstance(text, str) or (not text and name == "destination"):
            raise MappingInvalid(f"A mapping needs a {name}.", path=f"{pointer}/{name}")
    assert isinstance(source, str)  # noqa: S101 - narrowed by the loop above
    kind = entry.get("sourceType")
    if kind in (None, ""):
        kind = "ATTRIBUTE" if _BARE_PATH.fullmatch(source) else "EXPRESSION"
    if kind not in _SOURCE_TYPES:
        raise MappingInvalid(f"sourceType must be ATTRIBUTE, EXPRESSION or STATIC, got {kind!r}.", path=f"{pointer}/sourceType")
    if len(source) > MAX_EXPRESSION_CHARACTERS:
        raise MappingInvalid(f"A source has at most {MAX_EXPRESSION_CHARACTERS} characters.", path=f"{pointer}/source")
    kept = {name: entry[name] for name in _KEPT if name in entry}
    return {**kept, "sourceType": _SOURCE_TYPES[kind], "source": source, "destination": destination}


_KEPT = ("id", "name", "description", "identity", "primaryIdentity", "identityGroup", "namespaceCode")
