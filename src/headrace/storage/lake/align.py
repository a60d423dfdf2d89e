"""Columns of an older file under the table's present schema: what it lacks is null, an integer may have become wider."""

import pyarrow as pa
import pyarrow.compute as pc


def aligned(part: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return ``part`` with exactly the columns of ``schema``.

    Raises:
        ValueError: ``part`` has a column, or a field of one, that ``schema`` has no place for.
    """
    _check_known(part.column_names, schema.names)
    known = set(part.column_names)
    columns = [
        _column(part.column(field.name), field.type) if field.name in known else pa.nulls(part.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _check_known(present: list[str], wanted: list[str]) -> None:
    unknown = set(present) - set(wanted)
    if unknown:
        raise ValueError(f"The table has no column '{min(unknown)}', which one of its files has.")


def _column(column: pa.ChunkedArray, type_: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if column.type == type_:
        return column
    return pa.chunked_array([_array(chunk, type_) for chunk in column.chunks], type_)


def _whole(array: pa.Array) -> pa.Array:
    """Return an array whose buffers hold its rows alone: lists of a slice cannot be built anew with nulls."""
    return array.take(pa.array(range(len(array)), pa.int64())) if array.offset else array


def _array(array: pa.Array, type_: pa.DataType) -> pa.Array:
    if array.type == type_:
        return array
    if pa.types.is_struct(type_) and pa.types.is_struct(array.type):
        return _structs(array, type_)
    if pa.types.is_list(type_) and pa.types.is_list(array.type):
        array = _whole(array)
        items = _array(array.values, type_.value_type)
        return pa.ListArray.from_arrays(array.offsets, items, type=type_, mask=_mask(array))
    if pa.types.is_map(type_) and pa.types.is_map(array.type):
        array = _whole(array)
        return pa.MapArray.from_arrays(_starts(array), array.keys, _array(array.items, type_.item_type), type=type_)
    if pa.types.is_int32(array.type) and pa.types.is_int64(type_):
        return array.cast(type_)
    raise ValueError(f"A file has values of type {array.type} where the table has {type_}.")


def _structs(array: pa.StructArray, type_: pa.StructType) -> pa.Array:
    places = {field.name: index for index, field in enumerate(array.type.fields)}
    _check_known(list(places), [field.name for field in type_.fields])
    children = [
        _array(array.field(places[field.name]), field.type) if field.name in places else pa.nulls(len(array), field.type)
        for field in type_.fields
    ]
    return pa.StructArray.from_arrays(children, fields=list(type_.fields), mask=_mask(array))


def _mask(array: pa.Array) -> pa.Array | None:
    return array.is_null() if array.null_count else None


def _starts(array: pa.MapArray) -> pa.Array:
    """Return the offsets of a map's entries, null where the map is: what its constructor takes its nulls from."""
    if not array.null_count:
        return array.offsets
    valid = pa.concat_arrays([array.is_valid(), pa.array([True])])
    return pc.if_else(valid, array.offsets, pa.scalar(None, pa.int32()))
