"""Columns of a dataset's table, made from the full form of its schema.

XDM type → column: string → UTF-8; date → DATE; date-time → TIMESTAMP with zone UTC (values have milliseconds; Iceberg's column
counts microseconds); boolean; number → DOUBLE; byte, short, int → INT32; long → INT64; array → list; object → struct; map → map
with string keys. What JSON Schema leaves open (an object without declared fields, an array without items) is kept as JSON text,
and its column says so in its documentation.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

OFFSET, ROW, BATCH, ACCEPTED_AT = "_headrace_offset", "_headrace_row", "_headrace_batch", "_headrace_accepted_at"

INSTANT = pa.timestamp("us", tz="UTC")
META_SCHEMA = pa.schema(
    [
        pa.field(OFFSET, pa.int64()),
        pa.field(ROW, pa.int32()),
        pa.field(BATCH, pa.string()),
        pa.field(ACCEPTED_AT, INSTANT),
    ]
)
META_NAMES = frozenset(META_SCHEMA.names)

JSON_TEXT = b"JSON text"
_DOC = b"doc"  # the key under which pyiceberg keeps a column's documentation
_INTEGERS = {"byte": pa.int32(), "short": pa.int32(), "int": pa.int32(), "long": pa.int64()}
_INT_LIMIT = 2**31


def entity_schema(full_form: Mapping[str, Any]) -> pa.Schema:
    """Return the columns of the entity described by a schema's full form, in the form's order."""
    return pa.schema(_fields(full_form.get("properties") or {}))


def with_meta(schema: pa.Schema) -> pa.Schema:
    """Return ``schema`` with the four columns of Headrace at its end."""
    return pa.schema([*(field for field in schema if field.name not in META_NAMES), *META_SCHEMA])


def entity_columns(schema: pa.Schema) -> pa.Schema:
    """Return ``schema`` without the columns of Headrace."""
    return pa.schema([field for field in schema if field.name not in META_NAMES])


def is_json_text(field: pa.Field) -> bool:
    """Whether a column keeps any JSON value as its text."""
    return bool(field.metadata and field.metadata.get(_DOC) == JSON_TEXT)


def leaf_paths(schema: pa.Schema) -> list[str]:
    """Return the dotted path of each leaf column in Parquet's order; a map has one more than its items, for the keys.

    Lists add nothing to a path, and all leaves of a map have the map's own.
    """
    return [path for field in schema for path in _leaves(field.type, field.name)]


def grown(present: pa.Schema, wanted: pa.Schema) -> pa.Schema:
    """Return ``present`` with the columns of ``wanted`` that it lacks, at any depth.

    A column never changes its type, except from INT32 to INT64; where both schemas disagree the present type stays.
    """
    return pa.schema(_grown_fields(list(present), list(wanted)))


def _leaves(type_: pa.DataType, path: str) -> list[str]:
    if pa.types.is_struct(type_):
        return [leaf for field in type_.fields for leaf in _leaves(field.type, f"{path}.{field.name}")]
    if pa.types.is_list(type_):
        return _leaves(type_.value_type, path)
    if pa.types.is_map(type_):
        return [path] * (1 + len(_leaves(type_.item_type, path)))
    return [path]


def _fields(properties: Mapping[str, Any]) -> list[pa.Field]:
    return [_field(name, node) for name, node in properties.items() if isinstance(node, Mapping)]


def _field(name: str, node: Mapping[str, Any]) -> pa.Field:
    type_ = _type_of(node)
    return pa.field(name, pa.string(), metadata={_DOC: JSON_TEXT}) if type_ is None else pa.field(name, type_)


def _type_of(node: Mapping[str, Any]) -> pa.DataType | None:
    """Return the type of a column, None for one that is kept as JSON text."""
    match _json_type(node):
        case "string":
            return {"date": pa.date32(), "date-time": INSTANT}.get(node.get("format", ""), pa.string())
        case "boolean":
            return pa.bool_()
        case "number":
            return pa.float64()
        case "integer":
            return _integer(node)
        case "array":
            return _list(node)
        case "object":
            return _object(node)
        case _:
            return None


def _json_type(node: Mapping[str, Any]) -> str:
    declared = node.get("type")
    if isinstance(declared, list):
        declared = next((name for name in declared if name != "null"), None)
    if declared is None and "properties" in node:
        declared = "object"
    return declared if isinstance(declared, str) else ""


def _integer(node: Mapping[str, Any]) -> pa.DataType:
    named = _INTEGERS.get(str(node.get("meta:xdmType")))
    if named is not None:
        return named
    bounds = [abs(node[key]) for key in ("minimum", "maximum") if isinstance(node.get(key), int | float)]
    return pa.int32() if all(bound <= _INT_LIMIT for bound in bounds) else pa.int64()


def _list(node: Mapping[str, Any]) -> pa.DataType | None:
    items = node.get("items")
    item = _type_of(items) if isinstance(items, Mapping) else None
    return None if item is None else pa.list_(pa.field("element", item))


def _object(node: Mapping[str, Any]) -> pa.DataType | None:
    properties = node.get("properties")
    if properties:
        return pa.struct(_fields(properties))
    values = node.get("additionalProperties")
    value = _type_of(values) if isinstance(values, Mapping) else None
    return None if value is None else pa.map_(pa.string(), pa.field("value", value))


def _grown_fields(present: list[pa.Field], wanted: list[pa.Field]) -> list[pa.Field]:
    by_name = {field.name: field for field in wanted}
    known = {field.name for field in present}
    grown_fields = [_grown_field(field, by_name[field.name]) if field.name in by_name else field for field in present]
    return grown_fields + [field for field in wanted if field.name not in known]


def _grown_field(present: pa.Field, wanted: pa.Field) -> pa.Field:
    return present.with_type(_grown_type(present.type, wanted.type))


def _grown_type(present: pa.DataType, wanted: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(present) and pa.types.is_struct(wanted):
        return pa.struct(_grown_fields(list(present.fields), list(wanted.fields)))
    if pa.types.is_list(present) and pa.types.is_list(wanted):
        return pa.list_(_grown_field(present.value_field, wanted.value_field))
    if pa.types.is_map(present) and pa.types.is_map(wanted):
        return pa.map_(present.key_field, _grown_field(present.item_field, wanted.item_field))
    if pa.types.is_int32(present) and pa.types.is_int64(wanted):
        return wanted
    return present
