"""Rows → columns.

The entities are taken apart level by level: a column that no row of the batch fills costs one look-up, not one per row, so a
wide schema with few filled fields is cheap. Values go to Arrow as they are; only a column with a value that does not fit is
converted value by value, and what its type cannot hold becomes null.
"""

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from headrace.clock import parse_iso
from headrace.storage.lake.arrow import ACCEPTED_AT, BATCH, META_NAMES, OFFSET, ROW, is_json_text
from headrace.storage.lake.base import LakeRow

_INT_LIMITS = {32: (-(2**31), 2**31 - 1), 64: (-(2**63), 2**63 - 1)}
_encode = msgspec.json.Encoder().encode


def table_of(rows: Sequence[LakeRow], schema: pa.Schema, batch_id: str) -> pa.Table:
    """Return ``rows`` as a table with the columns of ``schema``, which holds those of Headrace too."""
    entities = [row.entity for row in rows]
    present = _keys(entities)
    meta = {
        OFFSET: pa.array([row.offset for row in rows], pa.int64()),
        ROW: pa.array([row.number for row in rows], pa.int32()),
        BATCH: pa.array([batch_id] * len(rows), pa.string()),
        ACCEPTED_AT: pa.array([row.accepted_at_ms * 1000 for row in rows], pa.timestamp("us", tz="UTC")),
    }
    arrays = [
        meta[field.name] if field.name in META_NAMES else _child(entities, field, field.name in present) for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _keys(objects: Sequence[Mapping[str, Any] | None]) -> set[str]:
    return set().union(*(item for item in objects if item))


def _child(objects: Sequence[Mapping[str, Any] | None], field: pa.Field, is_present: bool) -> pa.Array:
    if not is_present:
        return pa.nulls(len(objects), field.type)
    name = field.name
    return _column([None if item is None else item.get(name) for item in objects], field)


def _column(values: list[Any], field: pa.Field) -> pa.Array:
    type_ = field.type
    if is_json_text(field):
        return pa.array([None if value is None else _encode(value).decode() for value in values], pa.string())
    if pa.types.is_struct(type_):
        return _structs(values, type_)
    if pa.types.is_list(type_):
        return _lists(values, type_)
    if pa.types.is_map(type_):
        return _maps(values, type_)
    return _scalars(values, type_)


def _structs(values: list[Any], type_: pa.DataType) -> pa.Array:
    objects = [value if isinstance(value, dict) else None for value in values]
    present = _keys(objects)
    children = [_child(objects, child, child.name in present) for child in type_.fields]
    mask = pa.array([item is None for item in objects], pa.bool_())
    return pa.StructArray.from_arrays(children, fields=list(type_.fields), mask=mask)


def _lists(values: list[Any], type_: pa.DataType) -> pa.Array:
    lists = [value if isinstance(value, list) else None for value in values]
    items = [item for value in lists if value for item in value]
    mask = pa.array([value is None for value in lists], pa.bool_())
    return pa.ListArray.from_arrays(_offsets(lists), _column(items, type_.value_field), type=type_, mask=mask)


def _maps(values: list[Any], type_: pa.DataType) -> pa.Array:
    maps = [value if isinstance(value, dict) else None for value in values]
    keys = [key for value in maps if value for key in value]
    items = [item for value in maps if value for item in value.values()]
    offsets = _offsets(maps)
    # A map array takes its nulls from null offsets, except for the last, which always ends the last entry.
    starts = pa.array([None if value is None else start for value, start in zip(maps, offsets.to_pylist(), strict=False)])
    ends = pa.concat_arrays([starts.cast(pa.int32()), offsets[-1:]])
    return pa.MapArray.from_arrays(ends, pa.array(keys, pa.string()), _column(items, type_.item_field), type=type_)


def _offsets(values: Sequence[Any]) -> pa.Array:
    return pa.array(accumulate((len(value) if value else 0 for value in values), initial=0), pa.int32())


# --- leaves ---------------------------------------------------------------------------------------------------------------


def _scalars(values: list[Any], type_: pa.DataType) -> pa.Array:
    try:
        if pa.types.is_timestamp(type_):
            return _instants(values)
        if pa.types.is_date(type_):
            return pa.array(values, pa.string()).cast(type_)
        if not (_is_numeric(type_) and any(map(_is_boolean, values))):
            return pa.array(values, type_)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError, ValueError, OverflowError):
        pass  # some value does not fit: find out which
    convert = _converter(type_)
    return pa.array([_converted(convert, value) for value in values], type_)


def _is_numeric(type_: pa.DataType) -> bool:
    # Arrow takes a boolean for a number without a word.
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _instants(values: list[Any]) -> pa.Array:
    texts = pa.array(values, pa.string())
    nanoseconds = texts.cast(pa.timestamp("ns", tz="UTC"))  # as many digits as RFC 3339 may have here
    return pc.floor_temporal(nanoseconds, unit="millisecond").cast(pa.timestamp("us", tz="UTC"))


def _converted(convert: Callable[[Any], Any], value: Any) -> Any:
    if value is None:
        return None
    try:
        return convert(value)
    except (ValueError, TypeError, OverflowError):
        return None


def _converter(type_: pa.DataType) -> Callable[[Any], Any]:
    if pa.types.is_timestamp(type_):
        return _instant
    if pa.types.is_date(type_):
        return datetime.date.fromisoformat
    if pa.types.is_boolean(type_):
        return _boolean
    if pa.types.is_floating(type_):
        return _number
    if pa.types.is_integer(type_):
        low, high = _INT_LIMITS[type_.bit_width]
        return lambda value: _integer(value, low, high)
    return _text


def _instant(value: Any) -> int:
    microseconds = parse_iso(value) * 1000
    if not isinstance(value, str) or abs(microseconds) >= 2**63:
        raise ValueError(value)
    return microseconds


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise ValueError(value)
    return float(value)


def _integer(value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError(value)
    if not low <= value <= high:
        raise ValueError(value)
    return int(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode()
