"""Parquet files of an export: types by column, also of arrays, maps and objects, which the rows themselves decide."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.activation.mapping import AttributeMapping
from headrace.activation.rows import Row

_PLAIN = {
    "integer": pa.int64(),
    "int": pa.int64(),
    "long": pa.int64(),
    "short": pa.int64(),
    "byte": pa.int64(),
    "number": pa.float64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
}
_COMPLEX = ("array", "map", "object")


def is_complex(column: AttributeMapping) -> bool:
    """Whether a column's values keep a structure that only the rows tell."""
    return column.kind == "attribute" and column.type in _COMPLEX


class ColumnTypes:
    """The Arrow types of the columns.

    Text stays text, dates and times too (ISO 8601). A complex column gets the type that all of its values fit, which `see`
    learns; when they fit none, its values are written as JSON text.
    """

    def __init__(self, columns: Sequence[AttributeMapping]) -> None:
        self.names = [column.target for column in columns]
        self._plain = [_PLAIN.get(column.type, pa.string()) for column in columns]
        self._complex: dict[int, pa.DataType] = {index: pa.null() for index, column in enumerate(columns) if is_complex(column)}

    @property
    def must_see_rows(self) -> bool:
        """Whether the rows must be shown to `see` before the first is written."""
        return bool(self._complex)

    def see(self, rows: Sequence[Row]) -> None:
        """Learn the types of complex columns from some rows."""
        for index, known in self._complex.items():
            if known != pa.string():
                self._complex[index] = _joined(known, [row[index] for row in rows])

    def schema(self) -> pa.Schema:
        """Return the schema of the files."""
        kinds = [self._complex.get(index, kind) for index, kind in enumerate(self._plain)]
        named = zip(self.names, kinds, strict=True)
        return pa.schema([pa.field(name, pa.string() if kind == pa.null() else kind) for name, kind in named])


def _joined(known: pa.DataType, values: Sequence[Any]) -> pa.DataType:
    try:
        found = pa.infer_type(values)
        one, other = pa.schema([pa.field("value", known)]), pa.schema([pa.field("value", found)])
        return pa.unify_schemas([one, other], promote_options="permissive").field("value").type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.string()


class ParquetPart:
    """One Parquet file being written."""

    def __init__(self, path: Path, *, compression: str, types: ColumnTypes) -> None:
        self._schema = types.schema()
        self._writer = pq.ParquetWriter(path, self._schema, compression="gzip" if compression == "GZIP" else "none")

    def write(self, rows: Sequence[Row]) -> None:
        """Add rows."""
        if not rows:
            return
        columns = zip(*rows, strict=True)
        arrays = [_array(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if kind == pa.string():
        return pa.array([value if value is None or isinstance(value, str) else _text(value) for value in values], kind)
    return pa.array(values, kind)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
