"""Files of JSON lines → columns, by DuckDB's reader: a whole file at once, without an object of Python for each value.

The reader converts where it can ("5" becomes 5), so it is for rows whose values were found to have their columns' types. What it
cannot hold (a number beyond its column, a key twice in an object, columns whose names differ by case alone) makes no columns:
such a file is read row by row (`headrace.storage.lake.columns`), and gives what it would have given here.
"""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from headrace.storage.lake.arrow import entity_columns, is_json_text
from headrace.storage.lake.columns import instants, scalars

_QUERY = "select * from read_json(?, format = 'newline_delimited', columns = {columns})"
_LEAVES = {
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.float64(): "DOUBLE",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
}
_AS_TEXT = "VARCHAR"  # dates and instants: what is one is decided in one place, `columns`


class LineReader:
    """Reads files of JSON lines into columns of one schema."""

    def __init__(self, schema: pa.Schema) -> None:
        """Prepare to read columns of a table's ``schema``, without those of Headrace."""
        self._schema = entity_columns(schema)
        columns = ", ".join(f"{_quoted(field.name)}: {_literal(_sql_type(field))}" for field in self._schema)
        self._query = _QUERY.format(columns=f"{{{columns}}}")
        self._connection = duckdb.connect(config={"threads": 1, "preserve_insertion_order": True})

    def read(self, path: Path) -> pa.Table | None:
        """Return the rows of a file in their order, None when a value does not fit its column as it is.

        Raises:
            FileNotFoundError: There is no such file.
        """
        if path.stat().st_size == 0:
            return self._schema.empty_table()
        try:
            found = self._connection.sql(self._query, params=[str(path)]).to_arrow_table()
        except duckdb.Error:
            return None
        arrays = [_fitted(found.column(at).combine_chunks(), field) for at, field in enumerate(self._schema)]
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def close(self) -> None:
        """Release the reader."""
        self._connection.close()


# --- what DuckDB is asked for -----------------------------------------------------------------------------------------------


def _sql_type(field: pa.Field) -> str:
    if is_json_text(field):
        return "JSON"
    type_ = field.type
    if pa.types.is_struct(type_):
        return f"STRUCT({', '.join(f'{_quoted(child.name)} {_sql_type(child)}' for child in type_)})"
    if pa.types.is_list(type_):
        return f"{_sql_type(type_.value_field)}[]"
    if pa.types.is_map(type_):
        return f"MAP(VARCHAR, {_sql_type(type_.item_field)})"
    return _LEAVES.get(type_, _AS_TEXT)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# --- what it answers, in the types of the lake --------------------------------------------------------------------------------


def _fitted(array: pa.Array, field: pa.Field) -> pa.Array:
    type_ = field.type
    if is_json_text(field):
        return array.cast(pa.string())
    if pa.types.is_struct(type_):
        children = [_fitted(array.field(at), child) for at, child in enumerate(type_)]
        return pa.StructArray.from_arrays(children, fields=list(type_), mask=_mask(array))
    if pa.types.is_list(type_):
        items = _fitted(array.flatten(), type_.value_field)
        return pa.ListArray.from_arrays(_starts(array), items, type=type_, mask=_mask(array))
    if pa.types.is_map(type_):
        return _map(array, type_)
    if pa.types.is_timestamp(type_):
        return _instants(array, type_)
    if pa.types.is_date(type_):
        return _dates(array, type_)
    return array.cast(type_)


def _mask(array: pa.Array) -> pa.Array | None:
    return array.is_null() if array.null_count else None


def _starts(array: pa.Array) -> pa.Array:
    """Return the offsets of lists whose items stand without gaps, as `pyarrow.ListArray.flatten` gives them."""
    lengths = pc.fill_null(pc.list_value_length(array), 0)
    return pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])


def _map(array: pa.Array, type_: pa.MapType) -> pa.Array:
    offsets = array.offsets
    first, last = offsets[0].as_py(), offsets[-1].as_py()
    keys = array.keys.slice(first, last - first).cast(pa.string())
    items = _fitted(array.items.slice(first, last - first), type_.item_field)
    ends = pc.subtract(offsets, pa.scalar(first, pa.int32()))
    if array.null_count:  # a map array takes its nulls from null offsets, except for the last, which always ends the last entry
        nulls = pa.concat_arrays([array.is_null(), pa.array([False])])
        ends = pc.if_else(nulls, pa.scalar(None, pa.int32()), ends)
    return pa.MapArray.from_arrays(ends, keys, items, type=type_)


def _instants(array: pa.Array, type_: pa.DataType) -> pa.Array:
    texts = array.cast(pa.string())
    try:
        return instants(texts)
    except pa.ArrowInvalid:
        return scalars(texts.to_pylist(), type_)


def _dates(array: pa.Array, type_: pa.DataType) -> pa.Array:
    texts = array.cast(pa.string())
    try:
        return texts.cast(type_)
    except pa.ArrowInvalid:
        return scalars(texts.to_pylist(), type_)
