"""Rows → columns.

The entities are taken apart level by level: a column that no row of the batch fills costs one look-up, not one per row, so a
wide schema with few filled fields is cheap. Values go to Arrow as they are; only a column with a value that does not fit is
converted value by value, and what its type cannot hold becomes null.
"""

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from headrace.clock import parse_iso
from headrace.storage.lake.arrow import ACCEPTED_AT, BATCH, INSTANT, META_NAMES, OFFSET, ROW, is_json_text
from headrace.storage.lake.base import LakeColumns, LakeRow

_INT_LIMITS = {32: (-(2**31), 2**31 - 1), 64: (-(2**63), 2**63 - 1)}
_encode = msgspec.json.Encoder().encode


def table_of(rows: Sequence[LakeRow], schema: pa.Schema, batch_id: str) -> pa.Table:
    """Return ``rows`` as a table with the columns of ``schema``, which holds those of Headrace too."""
    meta = {
        OFFSET: pa.array([row.offset for row in rows], pa.int64()),
        ROW: pa.array([row.number for row in rows], pa.int32()),
        BATCH: pa.array([batch_id] * len(rows), pa.string()),
        ACCEPTED_AT: pa.array([row.accepted_at_ms * 1000 for row in rows], INSTANT),
    }
    named = _Objects([row.entity for row in rows])
    arrays = [meta[field.name] if field.name in META_NAMES else _child(named, field) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def with_meta_columns(rows: LakeColumns, schema: pa.Schema, batch_id: str) -> pa.Table:
    """Return rows that are columns already as a table with the columns of ``schema``, which holds those of Headrace too."""
    count = rows.entities.num_rows
    meta = {
        OFFSET: pa.repeat(pa.scalar(rows.offset, pa.int64()), count),
        ROW: rows.numbers,
        BATCH: pa.repeat(pa.scalar(batch_id, pa.string()), count),
        ACCEPTED_AT: pa.repeat(pa.scalar(rows.accepted_at_ms * 1000, INSTANT), count),
    }
    columns = [meta[field.name] if field.name in META_NAMES else rows.entities.column(field.name) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


class _Objects:
    """Objects of one level, some of them missing, and what the columns below are made of."""

    def __init__(self, objects: Sequence[Mapping[str, Any] | None]) -> None:
        self._objects = objects
        self._keys: set[str] | None = None

    def __len__(self) -> int:
        return len(self._objects)

    def values(self, name: str) -> list[Any] | None:
        """Return what each object has under ``name``, None when no object has it."""
        try:
            return [item[name] for item in self._objects]  # type: ignore[index]  # what is none is told by the error
        except (KeyError, TypeError):  # not everywhere, as with most columns of a wide schema
            pass
        if self._keys is None:
            self._keys = set().union(*(item for item in self._objects if item))
        if name not in self._keys:
            return None
        return [None if item is None else item.get(name) for item in self._objects]


def _child(objects: _Objects, field: pa.Field) -> pa.Array:
    values = objects.values(field.name)
    return pa.nulls(len(objects), field.type) if values is None else _column(values, field)


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
    return scalars(values, type_)


def _only(kind: type, values: list[Any]) -> list[Any]:
    """Return ``values`` with None in the place of what is no ``kind``; values come from JSON, so no subclasses are met."""
    if set(map(type, values)) <= {kind, type(None)}:
        return values
    return [value if type(value) is kind else None for value in values]


def _mask(values: list[Any]) -> pa.Array | None:
    return pa.array([value is None for value in values], pa.bool_()) if None in values else None


def _structs(values: list[Any], type_: pa.DataType) -> pa.Array:
    objects = _only(dict, values)
    named = _Objects(objects)
    children = [_child(named, child) for child in type_.fields]
    return pa.StructArray.from_arrays(children, fields=list(type_.fields), mask=_mask(objects))


def _lists(values: list[Any], type_: pa.DataType) -> pa.Array:
    lists = _only(list, values)
    items = list(chain.from_iterable(filter(None, lists)))
    return pa.ListArray.from_arrays(_offsets(lists), _column(items, type_.value_field), type=type_, mask=_mask(lists))


def _maps(values: list[Any], type_: pa.DataType) -> pa.Array:
    maps = _only(dict, values)
    keys = list(chain.from_iterable(filter(None, maps)))
    items = [item for value in maps if value for item in value.values()]
    ends = _offsets(maps)
    if None in maps:  # a map array takes its nulls from null offsets, except for the last, which always ends the last entry
        starts = pa.array([None if value is None else start for value, start in zip(maps, ends.to_pylist(), strict=False)])
        ends = pa.concat_arrays([starts.cast(pa.int32()), ends[-1:]])
    return pa.MapArray.from_arrays(ends, pa.array(keys, pa.string()), _column(items, type_.item_field), type=type_)


def _offsets(values: Sequence[Any]) -> pa.Array:
    return pa.array(accumulate((len(value) if value else 0 for value in values), initial=0), pa.int32())


# --- leaves ---------------------------------------------------------------------------------------------------------------


def scalars(values: list[Any], type_: pa.DataType) -> pa.Array:
    """Return values as a column of a type that holds no others; what it cannot hold becomes null."""
    try:
        if pa.types.is_timestamp(type_):
            return instants(pa.array(values, pa.string()))
        if pa.types.is_date(type_):
            return pa.array(values, pa.string()).cast(type_)
        if not (_is_numeric(type_) and bool in set(map(type, values))):
            return pa.array(values, type_)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError, ValueError, OverflowError):
        pass  # some value does not fit: find out which
    convert = _converter(type_)
    return pa.array([_converted(convert, value) for value in values], type_)


def _is_numeric(type_: pa.DataType) -> bool:
    # Arrow takes a boolean for a number without a word.
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def instants(texts: pa.Array) -> pa.Array:
    """Return texts as instants of whole milliseconds.

    Raises:
        pyarrow.ArrowInvalid: A text is no instant with a zone, or not in the way that Arrow reads.
    """
    nanoseconds = texts.cast(pa.timestamp("ns", tz="UTC"))  # as many digits as RFC 3339 may have here
    return pc.floor_temporal(nanoseconds, unit="millisecond").cast(INSTANT)


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
