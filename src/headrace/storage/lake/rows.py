"""Columns → rows: the way back from a file to the entities that were accepted."""

import datetime
from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from headrace.clock import iso_millis
from headrace.storage.lake.arrow import ACCEPTED_AT, META_NAMES, OFFSET, ROW, is_json_text
from headrace.storage.lake.base import LakeRow

_EPOCH = datetime.date(1970, 1, 1)
_decode = msgspec.json.Decoder().decode


def rows_of(batch: pa.RecordBatch | pa.Table) -> Iterator[LakeRow]:
    """Yield the rows of ``batch``, which holds the columns of Headrace too."""
    entities = objects_of(batch)
    accepted = _one(batch.column(ACCEPTED_AT)).cast(pa.int64()).to_pylist()
    offsets, numbers = batch.column(OFFSET).to_pylist(), batch.column(ROW).to_pylist()
    for entity, offset, number, microseconds in zip(entities, offsets, numbers, accepted, strict=True):
        yield LakeRow(entity, offset, number, microseconds // 1000)


def objects_of(batch: pa.RecordBatch | pa.Table) -> list[dict[str, Any]]:
    """Return the rows of any Arrow data as JSON objects: nulls left out, instants and dates as text, maps as objects.

    Instants without a zone are taken as UTC. The columns of Headrace are left out. Values that JSON lacks (binary, decimal,
    time of day) come as Python's own.
    """
    fields = [field for field in batch.schema if field.name not in META_NAMES]
    return _objects(batch.num_rows, [(field, _one(batch.column(field.name))) for field in fields])


def _one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _objects(count: int, columns: list[tuple[pa.Field, pa.Array]]) -> list[dict[str, Any]]:
    objects: list[dict[str, Any]] = [{} for _ in range(count)]
    for field, array in columns:
        if array.null_count == count:
            continue
        name = field.name
        for item, value in zip(objects, _values(field, array), strict=True):
            if value is not None:
                item[name] = value
    return objects


def _values(field: pa.Field, array: pa.Array) -> list[Any]:
    type_ = array.type
    if is_json_text(field):
        return [None if text is None else _decode(text) for text in array.to_pylist()]
    if pa.types.is_struct(type_):
        return _structs(array, field.type)
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return _slices(array, _values(field.type.value_field, array.flatten()))
    if pa.types.is_map(type_):
        return _maps(array, field.type)
    if pa.types.is_timestamp(type_):
        milliseconds = array.cast(pa.timestamp("ms", tz=type_.tz), safe=False).cast(pa.int64())
        return [None if ms is None else iso_millis(ms) for ms in milliseconds.to_pylist()]
    if pa.types.is_date(type_):
        return [None if day is None else str(day) for day in array.to_pylist()]
    values: list[Any] = array.to_pylist()
    return values


def _structs(array: pa.Array, type_: pa.DataType) -> list[Any]:
    # `field` ignores the nulls of the struct itself; they are laid over the result.
    children = [(type_.field(index), array.field(index)) for index in range(type_.num_fields)]
    objects = _objects(len(array), children)
    if array.null_count == 0:
        return objects
    return [item if valid else None for item, valid in zip(objects, array.is_valid().to_pylist(), strict=True)]


def _slices(array: pa.Array, items: list[Any]) -> list[Any]:
    found: list[Any] = []
    start = 0
    for length in pc.list_value_length(array).to_pylist():
        found.append(None if length is None else items[start : start + length])
        start += length or 0
    return found


def _maps(array: pa.Array, type_: pa.DataType) -> list[Any]:
    # A map is a list of entries in Arrow; the keys and items of a slice begin where its first entry does.
    entries = array.cast(pa.list_(pa.struct([type_.key_field.with_nullable(True), type_.item_field])))
    flat = entries.flatten()
    pairs = list(zip(flat.field(0).to_pylist(), _values(type_.item_field, flat.field(1)), strict=True))
    return [None if part is None else dict(part) for part in _slices(entries, pairs)]
