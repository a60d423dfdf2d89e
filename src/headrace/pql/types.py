"""The types of PQL: what a field, a literal or an expression can hold.

Values at run time: String ``str``; Integer ``int`` (signed 64-bit); Double ``float``; Boolean ``bool``; Date and DateTime
``int`` epoch milliseconds (a Date is 00:00Z of its day); Array a list; Map and Object a dictionary; null ``None``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class PqlType:
    """Base of all types; two types are equal when they hold the same values."""

    @property
    def name(self) -> str:
        """The word that messages use, such as ``integer`` or ``array of string``."""
        return type(self).__name__.removesuffix("Type").lower()


@dataclass(frozen=True, slots=True)
class AnyType(PqlType):
    """Not known from the schema; every use is allowed and mismatches are false or null at run time."""


@dataclass(frozen=True, slots=True)
class NullType(PqlType):
    """The type of the literal ``null`` alone."""


@dataclass(frozen=True, slots=True)
class BooleanType(PqlType):
    """True or false."""


@dataclass(frozen=True, slots=True)
class IntegerType(PqlType):
    """Signed 64-bit integer."""


@dataclass(frozen=True, slots=True)
class DoubleType(PqlType):
    """64-bit floating point number, never NaN or infinite."""


@dataclass(frozen=True, slots=True)
class StringType(PqlType):
    """Text; ``enum`` holds the values the schema allows, empty when it allows any."""

    enum: frozenset[str] = field(default=frozenset(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class DateType(PqlType):
    """Calendar day, held as epoch milliseconds of 00:00Z."""


@dataclass(frozen=True, slots=True)
class DateTimeType(PqlType):
    """Instant, held as epoch milliseconds."""

    @property
    def name(self) -> str:
        """The word that messages use."""
        return "date-time"


@dataclass(frozen=True, slots=True)
class ArrayType(PqlType):
    """Ordered items of one type."""

    item: PqlType

    @property
    def name(self) -> str:
        """The word that messages use."""
        return f"array of {self.item.name}"


@dataclass(frozen=True, slots=True)
class MapType(PqlType):
    """String keys to values of one type."""

    value: PqlType

    @property
    def name(self) -> str:
        """The word that messages use."""
        return f"map of {self.value.name}"


@dataclass(frozen=True, slots=True, eq=False)
class ObjectType(PqlType):
    """Named fields. Compared by identity: one schema, one instance.

    Attributes:
        fields: Type of each field, by its name in compatibility spelling.
        is_event: True for the item of ``xEvent``, which is identified by ``_id`` and ordered by ``timestamp``.
    """

    fields: Mapping[str, PqlType]
    is_event: bool = False

    @property
    def name(self) -> str:
        """The word that messages use."""
        return "event" if self.is_event else "object"


ANY = AnyType()
NULL = NullType()
BOOLEAN = BooleanType()
INTEGER = IntegerType()
DOUBLE = DoubleType()
STRING = StringType()
DATE = DateType()
DATE_TIME = DateTimeType()

_MAX_SCHEMA_DEPTH = 64
_SCALARS: Mapping[str, PqlType] = {
    "date": DATE,
    "date-time": DATE_TIME,
    "boolean": BOOLEAN,
    "number": DOUBLE,
    "byte": INTEGER,
    "short": INTEGER,
    "int": INTEGER,
    "long": INTEGER,
    "integer": INTEGER,
}


def is_number(of: PqlType) -> bool:
    """Whether values of this type can be calculated with."""
    return isinstance(of, IntegerType | DoubleType | AnyType)


def is_time(of: PqlType) -> bool:
    """Whether values of this type are dates or instants."""
    return isinstance(of, DateType | DateTimeType | AnyType)


def is_ordered(of: PqlType) -> bool:
    """Whether values of this type have an order."""
    return is_number(of) or is_time(of) or isinstance(of, StringType)


def object_type_from_schema(full_form: Mapping[str, Any], *, is_event: bool = False) -> ObjectType:
    """Return the type of a record of a schema.

    Args:
        full_form: Resolved schema in compatibility spelling: one tree of ``properties``, no ``$ref``, no ``allOf``.
        is_event: Whether the schema describes ExperienceEvents.

    Returns:
        The object type; a field whose schema says nothing about its type is `ANY`.
    """
    return _object_type(full_form, is_event, 0)


def _object_type(schema: Mapping[str, Any], is_event: bool, depth: int) -> ObjectType:
    properties = schema.get("properties") or {}
    return ObjectType({name: _type_of(part, depth + 1) for name, part in properties.items()}, is_event)


def _type_of(schema: Mapping[str, Any], depth: int) -> PqlType:
    if not isinstance(schema, Mapping) or depth > _MAX_SCHEMA_DEPTH:
        return ANY
    kind = _kind(schema)
    if kind is not None and kind in _SCALARS:
        return _SCALARS[kind]
    match kind:
        case "string":
            return StringType(frozenset(value for value in schema.get("enum") or () if isinstance(value, str)))
        case "array":
            return ArrayType(_type_of(schema.get("items") or {}, depth + 1))
        case "map":
            return MapType(_type_of(_map_value(schema), depth + 1))
        case "object":
            return _object_type(schema, False, depth)
        case _:
            return ANY


def _kind(schema: Mapping[str, Any]) -> str | None:
    """Name the type as ``meta:xdmType`` would, whichever of its keys the schema carries."""
    json_type = schema.get("type")
    if isinstance(json_type, list):
        json_type = next((name for name in json_type if name != "null"), None)
    if schema.get("properties"):
        return "object"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return "map"
    if json_type == "string" and schema.get("format") in ("date", "date-time"):
        return str(schema["format"])
    if isinstance(declared := schema.get("meta:xdmType"), str):
        return declared
    if isinstance(json_type, str):
        return json_type
    return "array" if "items" in schema else None


def _map_value(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    value = schema.get("additionalProperties")
    return value if isinstance(value, Mapping) else {}
