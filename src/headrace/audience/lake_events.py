"""Events of the lake as the relation ``events``: rows of tables, each given to the person of its primary identity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from sqlglot import exp

from headrace.audience.snapshot import NAMESPACE, VALUE
from headrace.engine.base import (
    Engine,
    Expression,
    all_of,
    binary,
    call,
    cast,
    coalesce,
    column,
    constant,
    equals,
    field_of,
    filtered,
    identifier,
    is_known,
    item_at,
    mapped,
    not_,
    relation,
    struct_of,
    try_cast,
    when,
)
from headrace.identity.normalise import BLOCKED_VALUES, LOWER_CASE_NAMESPACES
from headrace.pql.compile.batch import EVENTS
from headrace.pql.compile.batch_facts import EVENT_ID, PERSON, TIME
from headrace.pql.compile.batch_layout import PRESENCE, Column, column_name, sql_type
from headrace.pql.types import AnyType, ArrayType, MapType, ObjectType, PqlType, is_time

MAX_AHEAD_MS = 5 * 60_000
"""Events that lie further ahead of their arrival reach the lake but no profile."""

_WHITESPACE = " \t\n\r\x0b\x0c"


@dataclass(frozen=True, slots=True)
class EventTable:
    """One dataset of events.

    Attributes:
        files: Its Parquet files.
        schema: Its columns.
        primary: Path and namespace id of the field that is the primary identity; None when ``identityMap`` tells.
    """

    files: tuple[str, ...]
    schema: pa.Schema
    primary: tuple[tuple[str, ...], int] | None


def define_lake_events(
    engine: Engine,
    tables: Sequence[EventTable],
    columns: Sequence[Column],
    namespaces: Mapping[str, int],
    identities: str,
    *,
    is_stored: bool,
) -> None:
    """Make the relation ``events``.

    Args:
        engine: The engine.
        tables: Datasets whose events count.
        columns: What is needed of the events.
        namespaces: Code, lower case → namespace id, of the namespaces that ``identityMap`` may name.
        identities: Name of the relation (``$namespace``, ``$value``, ``$person``).
        is_stored: Whether several statements will read the events.
    """
    parts = []
    for number, table in enumerate(item for item in tables if item.files):
        name = f"events of table {number}"
        engine.register_files(name, table.files)
        parts.append(_rows(name, table, columns, namespaces, identities))
    if not parts:
        engine.define(EVENTS, _none(columns))
        return
    union: exp.Query = parts[0]
    for part in parts[1:]:
        union = union.union(part, distinct=False)
    engine.define(EVENTS, union, is_stored=is_stored)


def _none(columns: Sequence[Column]) -> exp.Select:
    own = [(PERSON, "BLOB"), (TIME, "BIGINT"), (EVENT_ID, "VARCHAR"), *((item.name, sql_type(item.type)) for item in columns)]
    empty = [cast(constant(None), kind).as_(identifier(name)) for name, kind in own]
    return exp.select(*empty).where(constant(False))


def _rows(name: str, table: EventTable, columns: Sequence[Column], namespaces: Mapping[str, int], identities: str) -> exp.Select:
    fields = {item.name: item for item in table.schema}
    time = call("epoch_ms", column("timestamp", "t"))
    accepted = call("epoch_ms", column("_headrace_accepted_at", "t"))
    kept = all_of(
        [
            is_known(column("_id", "t")),
            is_known(column("timestamp", "t")),
            binary(exp.LTE, time, binary(exp.Add, accepted, constant(MAX_AHEAD_MS))),
        ]
    )
    shown = [
        projected(column(item.field, "t"), fields[item.field].type, item.type).as_(identifier(item.name))
        if item.field in fields
        else cast(constant(None), sql_type(item.type)).as_(identifier(item.name))
        for item in columns
    ]
    own = [time.copy().as_(identifier(TIME)), column("_id", "t").as_(identifier(EVENT_ID))]
    owner = _primary(table, fields, namespaces).as_(identifier("$primary"))
    rows = exp.select(*own, *shown, owner).from_(relation(name, "t")).where(kept).subquery(alias=identifier("r"))
    primary = column("$primary", "r")
    same = all_of(
        [
            equals(column(NAMESPACE, "i"), field_of(primary, "namespace")),
            equals(column(VALUE, "i"), field_of(primary.copy(), "value")),
        ]
    )
    names = [TIME, EVENT_ID, *(item.name for item in columns)]
    found = exp.select(column(PERSON, "i"), *(column(item, "r") for item in names)).from_(rows)
    return found.join(relation(identities, "i"), on=same)


# --- columns --------------------------------------------------------------------------------------------------------------


def projected(value: Expression, stored: pa.DataType, of: PqlType, depth: int = 0) -> Expression:
    """Return a stored value in the layout that a statement reads: times as epoch milliseconds, open values as JSON."""
    parameter = f"$c{depth}"
    match of:
        case AnyType():
            text = pa.types.is_string(stored) or pa.types.is_large_string(stored)
            return try_cast(value, "JSON") if text else call("to_json", value)
        case ObjectType() if pa.types.is_struct(stored):
            return _projected_struct(value, stored, of, depth)
        case ArrayType() if pa.types.is_list(stored) or pa.types.is_large_list(stored):
            return mapped(value, parameter, projected(column(parameter), stored.value_type, of.item, depth + 1))
        case MapType() if pa.types.is_map(stored):
            item = projected(field_of(column(parameter), "value"), stored.item_type, of.value, depth + 1)
            entry = struct_of([("k", field_of(column(parameter), "key")), ("v", item)])
            entries = call("map_from_entries", mapped(call("map_entries", value), parameter, entry))
            return when(is_known(value.copy()), entries)
        case _ if is_time(of) and (pa.types.is_timestamp(stored) or pa.types.is_date(stored)):
            return call("epoch_ms", cast(value, "TIMESTAMP") if pa.types.is_date(stored) else value)
        case ObjectType() | ArrayType() | MapType():
            return cast(constant(None), sql_type(of))
        case _:
            return try_cast(value, sql_type(of))


def _projected_struct(value: Expression, stored: pa.DataType, of: ObjectType, depth: int) -> Expression:
    if not of.fields:
        return when(is_known(value), struct_of([(PRESENCE, constant(True))]))
    parts = []
    for name, below in of.fields.items():
        index = stored.get_field_index(name)
        if index < 0:
            part = cast(constant(None), sql_type(below))
        else:
            part = projected(field_of(value.copy(), name), stored.field(index).type, below, depth)
        parts.append((column_name(name), part))
    return when(is_known(value.copy()), struct_of(parts))


# --- whose an event is ----------------------------------------------------------------------------------------------------


def _primary(table: EventTable, fields: Mapping[str, pa.Field], namespaces: Mapping[str, int]) -> Expression:
    """Return the primary identity of an event as a struct of ``namespace`` and ``value``; null when it has none."""
    if table.primary is not None:
        path, namespace = table.primary
        if path[0] not in fields:
            return _identity(constant(None), constant(None))
        value = _along(column(path[0], "t"), fields[path[0]].type, path[1:])
        return _identity(constant(namespace), _normalised(cast(value, "VARCHAR"), constant(namespace)))
    if "identityMap" not in fields:
        return _identity(constant(None), constant(None))
    return _primary_of_map(column("identityMap", "t"), fields["identityMap"].type, namespaces)


def _identity(namespace: Expression, value: Expression) -> Expression:
    return struct_of([("namespace", cast(namespace, "INTEGER")), ("value", cast(value, "VARCHAR"))])


def _along(value: Expression, stored: pa.DataType, path: Sequence[str], depth: int = 0) -> Expression:
    """Return the first value at a path; arrays on the way give their first item that has one."""
    if pa.types.is_list(stored):
        parameter = f"$w{depth}"
        below = mapped(value, parameter, _along(column(parameter), stored.value_type, path, depth + 1))
        return item_at(filtered(below, parameter, is_known(column(parameter))), 1)
    if not path:
        return value
    index = stored.get_field_index(path[0]) if pa.types.is_struct(stored) else -1
    if index < 0:
        return cast(constant(None), "VARCHAR")
    return _along(field_of(value, path[0]), stored.field(index).type, path[1:], depth)


def _primary_of_map(identity_map: Expression, stored: pa.DataType, namespaces: Mapping[str, int]) -> Expression:
    """Return the first entry that is marked primary, else the first one."""
    entry, item = "$entry", "$item"
    has_flag = stored.item_type.value_type.get_field_index("primary") >= 0
    flag = field_of(column(item), "primary") if has_flag else constant(False)
    parts = [("code", field_of(column(entry), "key")), ("id", field_of(column(item), "id")), ("primary", flag)]
    items = mapped(coalesce(field_of(column(entry), "value"), call("list_value")), item, struct_of(parts))
    every = call("flatten", mapped(call("map_entries", identity_map), entry, items))
    marked = item_at(filtered(every, entry, coalesce(field_of(column(entry), "primary"), constant(False))), 1)
    first = coalesce(marked, item_at(every.copy(), 1))
    namespace = _namespace_of(field_of(first, "code"), namespaces)
    return _identity(namespace, _normalised(field_of(first.copy(), "id"), namespace.copy()))


def _namespace_of(code: Expression, namespaces: Mapping[str, int]) -> Expression:
    cases = [
        exp.If(this=equals(call("lower", code.copy()), constant(name)), true=constant(number))
        for name, number in sorted(namespaces.items())
    ]
    return exp.Case(ifs=cases) if cases else constant(None)


def _normalised(value: Expression, namespace: Expression) -> Expression:
    trimmed = call("trim", value, constant(_WHITESPACE))
    lowered = when(_is_lower_case(namespace), call("lower", trimmed), trimmed.copy())
    blocked = exp.In(this=call("lower", trimmed.copy()), expressions=[constant(item) for item in sorted(BLOCKED_VALUES)])
    return when(not_(blocked), lowered)


def _is_lower_case(namespace: Expression) -> Expression:
    lower = sorted(LOWER_CASE_NAMESPACES)
    return exp.In(this=namespace, expressions=[constant(number) for number in lower])
