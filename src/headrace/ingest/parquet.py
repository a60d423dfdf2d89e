"""Parquet files of batches, apart from the other formats, so that only whoever reads one loads Arrow."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.ingest.files import FileUnreadable, SourceRow
from headrace.storage.lake.rows import objects_of


def parquet_rows(path: Path, accept_columns: Callable[[pa.Schema], None], chunk_rows: int) -> Iterator[list[SourceRow]]:
    """Yield the rows of a file in chunks.

    Raises:
        FileUnreadable: The file is damaged or no Parquet, or `accept_columns` refuses its columns.
    """
    try:
        with pq.ParquetFile(path) as file:
            accept_columns(file.schema_arrow)
            for batch in file.iter_batches(batch_size=chunk_rows):
                yield [SourceRow(row) for row in objects_of(batch)]
    except (pa.ArrowException, ValueError, OverflowError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system, not of the file's content
            raise
        raise FileUnreadable(f"The Parquet file cannot be read: {error}.") from error


def unknown_field(fields: Any, node: Any) -> str | None:
    """Return the dotted path of the first field that a schema's full form does not have, None when it has them all.

    Args:
        fields: An Arrow schema, or the fields of a struct.
        node: The full form of the schema, or of the object inside it.
    """
    properties = node.get("properties") if isinstance(node, Mapping) else None
    if not properties:
        return None
    for field in fields:
        if field.name not in properties:
            return str(field.name)
        inner = _unknown_inside(field.type, properties[field.name])
        if inner is not None:
            return f"{field.name}.{inner}"
    return None


def _unknown_inside(type_: pa.DataType, node: Any) -> str | None:
    if pa.types.is_struct(type_):
        return unknown_field(type_.fields, node)
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return _unknown_inside(type_.value_type, node.get("items") if isinstance(node, Mapping) else None)
    return None
