"""Arrow types as the lake uses them: pyiceberg answers with large text and list types, rows are built with the small ones."""

from collections.abc import Callable

import pyarrow as pa


def small_schema(schema: pa.Schema) -> pa.Schema:
    """Return ``schema`` with small text and list types; what fields say about themselves (ids, documentation) stays."""
    return pa.schema([_field(field, lambda item: item.metadata) for field in schema])


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return ``schema`` with small text and list types and without field ids."""
    return pa.schema([_field(field, _documentation) for field in schema])


Metadata = dict[bytes, bytes] | None


def _documentation(field: pa.Field) -> Metadata:
    kept = {key: value for key, value in (field.metadata or {}).items() if key == b"doc"}
    return kept or None


def _field(field: pa.Field, metadata_of: Callable[[pa.Field], Metadata]) -> pa.Field:
    return pa.field(field.name, _type(field.type, metadata_of), nullable=field.nullable, metadata=metadata_of(field))


def _type(type_: pa.DataType, metadata_of: Callable[[pa.Field], Metadata]) -> pa.DataType:
    if pa.types.is_large_string(type_):
        return pa.string()
    if pa.types.is_struct(type_):
        return pa.struct([_field(field, metadata_of) for field in type_.fields])
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return pa.list_(_field(type_.value_field, metadata_of))
    if pa.types.is_map(type_):
        return pa.map_(_field(type_.key_field, metadata_of), _field(type_.item_field, metadata_of))
    return type_
