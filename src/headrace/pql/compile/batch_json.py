"""Values whose type the schema leaves open, which stand as JSON, and values that take another layout."""

from headrace.engine.base import (
    Expression,
    call,
    cast,
    column,
    constant,
    equals,
    field_of,
    is_known,
    list_of,
    mapped,
    struct_of,
    try_cast,
    when,
)
from headrace.pql.compile.batch_layout import column_name, sql_type
from headrace.pql.types import (
    AnyType,
    ArrayType,
    BooleanType,
    DoubleType,
    IntegerType,
    NullType,
    ObjectType,
    PqlType,
    StringType,
    is_time,
)


def json_field(value: Expression, name: str) -> Expression:
    """Return a field of a JSON object; null when absent or JSON's null."""
    escaped = name.replace('"', '\\"')
    found = call("json_extract", value, constant(f'$."{escaped}"'))
    return call("nullif", found, cast(constant("null"), "JSON"))


def json_kind(value: Expression) -> Expression:
    """Return the name of a JSON value's type."""
    return call("json_type", value)


def json_text(value: Expression) -> Expression:
    """Return the text of a JSON string."""
    return call("json_extract_string", value, constant("$"))


def is_json_number(value: Expression) -> Expression:
    """Whether a JSON value is a number."""
    return call("list_contains", list_of([constant(kind) for kind in ("BIGINT", "UBIGINT", "DOUBLE")]), json_kind(value))


def as_type(value: Expression, own: PqlType, target: PqlType) -> Expression:
    """Return a value of type ``own`` as one of type ``target``; only open types and integers change."""
    if isinstance(own, IntegerType) and isinstance(target, DoubleType):
        return cast(value, "DOUBLE")
    if isinstance(own, NullType):
        return cast(constant(None), sql_type(target))
    if isinstance(own, ArrayType) and isinstance(target, ArrayType):
        return _items_as(value, own, target)
    if not isinstance(own, AnyType) or isinstance(target, AnyType | NullType):
        return value
    return _json_as(value, target)


def _items_as(value: Expression, own: ArrayType, target: ArrayType) -> Expression:
    if isinstance(own.item, IntegerType) and isinstance(target.item, DoubleType):
        return cast(value, "DOUBLE[]")
    if isinstance(own.item, AnyType) and not isinstance(target.item, AnyType):
        return mapped(value, "$item", as_type(column("$item"), own.item, target.item))
    return value


def _json_as(value: Expression, target: PqlType) -> Expression:
    if is_time(target):
        instant = call("epoch_ms", try_cast(json_text(value.copy()), "TIMESTAMPTZ"))
        number = try_cast(value.copy(), "BIGINT")
        return when(equals(json_kind(value), constant("VARCHAR")), instant, when(is_json_number(value.copy()), number))
    match target:
        case StringType():
            return when(equals(json_kind(value), constant("VARCHAR")), json_text(value.copy()))
        case BooleanType():
            return when(equals(json_kind(value), constant("BOOLEAN")), try_cast(value.copy(), "BOOLEAN"))
        case IntegerType() | DoubleType():
            return when(is_json_number(value), try_cast(value.copy(), sql_type(target)))
        case _:
            return try_cast(value, sql_type(target))


def repacked(value: Expression, own: PqlType, target: PqlType) -> Expression:
    """Return an object with exactly the fields of ``target``, those that it lacks null."""
    if not isinstance(own, ObjectType) or not isinstance(target, ObjectType):
        return as_type(value, own, target)
    parts = []
    for name, of in target.fields.items():
        present = own.fields.get(name)
        if present is None:
            part = cast(constant(None), sql_type(of))
        else:
            part = repacked(field_of(value.copy(), column_name(name)), present, of)
        parts.append((column_name(name), part))
    return when(is_known(value), struct_of(parts))
