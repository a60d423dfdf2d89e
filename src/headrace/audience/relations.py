"""Records to the columns that a batch statement reads. A value that its column's type cannot hold is null, as everywhere."""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import msgspec
import pyarrow as pa
from sqlglot import exp

from headrace.engine.base import Engine, cast, column, identifier, relation
from headrace.pql.compile.batch import EVENTS, PROFILES
from headrace.pql.compile.batch_facts import EVENT_ID, MEMBERS, PERSON, TIME
from headrace.pql.compile.batch_layout import PRESENCE, Column, column_name, sql_type
from headrace.pql.compile.instants import instant_of
from headrace.pql.types import (
    AnyType,
    ArrayType,
    BooleanType,
    DoubleType,
    IntegerType,
    MapType,
    ObjectType,
    PqlType,
    is_time,
)

_MIN_64, _MAX_64 = -(1 << 63), (1 << 63) - 1
_encode = msgspec.json.Encoder().encode
Records = Sequence[Mapping[str, Any]]


def profile_table(
    columns: Sequence[Column], ids: Sequence[bytes], members: Sequence[Sequence[int]], records: Records
) -> pa.Table:
    """Return merged profiles as the relation ``profiles``; one entry a person in each argument."""
    return pa.table(
        {
            PERSON: pa.array(ids, pa.binary()),
            MEMBERS: pa.array(members, pa.list_(pa.int32())),
            **record_columns(columns, records),
        }
    )


def event_table(columns: Sequence[Column], persons: Sequence[bytes], records: Records) -> pa.Table:
    """Return events, one a person and ``_id``, as the relation ``events``."""
    return pa.table(
        {
            PERSON: pa.array(persons, pa.binary()),
            TIME: pa.array([instant_of(record.get("timestamp")) for record in records], pa.int64()),
            EVENT_ID: pa.array([str(record.get("_id") or "") for record in records], pa.string()),
            **record_columns(columns, records),
        }
    )


def define_profiles(engine: Engine, source: str, columns: Sequence[Column]) -> None:
    """Make the relation ``profiles`` of one whose columns hold open values as text."""
    engine.define(PROFILES, _typed((PERSON, MEMBERS), source, columns))


def define_events(engine: Engine, source: str, columns: Sequence[Column]) -> None:
    """Make the relation ``events`` of one whose columns hold open values as text."""
    engine.define(EVENTS, _typed((PERSON, TIME, EVENT_ID), source, columns))


def _typed(own: Sequence[str], source: str, columns: Sequence[Column]) -> exp.Select:
    typed = [
        cast(column(item.name), sql_type(item.type)).as_(identifier(item.name)) if _is_open(item.type) else column(item.name)
        for item in columns
    ]
    return exp.select(*(column(name) for name in own), *typed).from_(relation(source))


def _is_open(of: PqlType) -> bool:
    match of:
        case ArrayType():
            return _is_open(of.item)
        case MapType():
            return _is_open(of.value)
        case ObjectType():
            return any(_is_open(part) for part in of.fields.values())
        case _:
            return isinstance(of, AnyType)


def record_columns(columns: Sequence[Column], records: Records) -> dict[str, pa.Array]:
    """Return the columns of some records by name."""
    return {item.name: _column([record.get(item.field) for record in records], item.type) for item in columns}


def _column(values: list[Any], of: PqlType) -> pa.Array:
    match of:
        case ObjectType():
            return _structs(values, of)
        case ArrayType():
            return _lists(values, of)
        case MapType():
            return _maps(values, of)
        case IntegerType():
            return pa.array([_integer(value) for value in values], pa.int64())
        case DoubleType():
            return pa.array([_double(value) for value in values], pa.float64())
        case BooleanType():
            return pa.array([value if isinstance(value, bool) else None for value in values], pa.bool_())
        case AnyType():
            return pa.array([None if value is None else _encode(value).decode() for value in values], pa.string())
        case _ if is_time(of):
            return pa.array([instant_of(value) for value in values], pa.int64())
        case _:
            return pa.array([value if isinstance(value, str) else None for value in values], pa.string())


def _integer(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if _MIN_64 <= value <= _MAX_64 else None


def _double(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _structs(values: list[Any], of: ObjectType) -> pa.Array:
    objects = [value if isinstance(value, dict) else None for value in values]
    mask = pa.array([value is None for value in objects], pa.bool_())
    if not of.fields:
        present = pa.array([value is not None for value in objects], pa.bool_())
        return pa.StructArray.from_arrays([present], names=[PRESENCE], mask=mask)
    children = [
        _column([None if value is None else value.get(name) for value in objects], part) for name, part in of.fields.items()
    ]
    return pa.StructArray.from_arrays(children, names=[column_name(name) for name in of.fields], mask=mask)


def _lists(values: list[Any], of: ArrayType) -> pa.Array:
    lists = [value if isinstance(value, list) else None for value in values]
    items = _column([item for value in lists if value for item in value], of.item)
    mask = pa.array([value is None for value in lists], pa.bool_())
    return pa.ListArray.from_arrays(_offsets(lists), items, mask=mask)


def _maps(values: list[Any], of: MapType) -> pa.Array:
    maps = [value if isinstance(value, dict) else None for value in values]
    keys = pa.array([key for value in maps if value for key in value], pa.string())
    items = _column([item for value in maps if value for item in value.values()], of.value)
    offsets = _offsets(maps)
    starts = pa.array([None if value is None else start for value, start in zip(maps, offsets.to_pylist(), strict=False)])
    return pa.MapArray.from_arrays(pa.concat_arrays([starts.cast(pa.int32()), offsets[-1:]]), keys, items)


def _offsets(values: Sequence[Any]) -> pa.Array:
    return pa.array(accumulate((len(value) if value else 0 for value in values), initial=0), pa.int32())
