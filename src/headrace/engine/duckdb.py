"""DuckDB as the engine: in this process, over tables in memory and Parquet files, spilling to a folder of its own."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

import duckdb
import pyarrow as pa
from sqlglot import exp

from headrace.engine.base import Expression, call, constant, identifier, list_of, relation, sql
from headrace.engine.errors import EngineOverloaded, EngineRefused

_ROWS_A_BATCH = 100_000


class DuckDbEngine:
    """One DuckDB database in memory, for one job. See `engine.base.Engine`."""

    def __init__(self, *, spill: Path | None = None, memory_limit: str = "", threads: int = 0) -> None:
        """Open an empty database.

        Args:
            spill: Folder for what does not fit into memory; a temporary one by default.
            memory_limit: Such as ``2GB``; by default what DuckDB takes, 80 % of the machine's.
            threads: Most threads to use; 0 is one a core.
        """
        self._owned = None if spill else Path(tempfile.mkdtemp(prefix="headrace-engine-"))
        settings: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": str(spill or self._owned),
            "preserve_insertion_order": "false",
            "enable_external_access": "true",
            "autoinstall_known_extensions": "false",  # nothing is fetched from the network
        }
        if memory_limit:
            settings["memory_limit"] = memory_limit
        if threads:
            settings["threads"] = threads
        self._connection = duckdb.connect(":memory:", config=settings)

    def register(self, name: str, table: pa.Table) -> None:
        """See `Engine.register`."""
        self._connection.register(name, table)

    def register_files(self, name: str, files: Sequence[Path | str]) -> None:
        """See `Engine.register_files`."""
        paths = list_of(constant(str(path)) for path in files)
        by_name = exp.Kwarg(this=exp.to_identifier("union_by_name"), expression=exp.true())
        self.define(name, exp.select("*").from_(call("read_parquet", paths, by_name)))

    def define(self, name: str, query: exp.Query, *, is_stored: bool = False) -> None:
        """See `Engine.define`."""
        kind = "TABLE" if is_stored else "VIEW"
        self._execute(exp.Create(this=relation(name), kind=kind, expression=query, replace=True, temporary=False))

    def run(self, query: exp.Query) -> Iterator[pa.RecordBatch]:
        """See `Engine.run`."""
        with _mapped_errors():
            yield from cast(Iterable[pa.RecordBatch], self._connection.sql(sql(query)).to_arrow_reader(_ROWS_A_BATCH))

    def write(self, query: exp.Query, path: Path) -> int:
        """Write the rows of a query to a Parquet file and return how many there are."""
        copied = f"COPY ({sql(query)}) TO {sql(constant(str(path)))} (FORMAT parquet, COMPRESSION zstd)"
        row = self._executed(copied).fetchone()
        return int(row[0]) if row else 0

    def columns(self, name: str) -> dict[str, str]:
        """See `Engine.columns`."""
        described = self._executed(f"DESCRIBE {sql(identifier(name))}").fetchall()
        return {str(row[0]): str(row[1]) for row in described}

    def close(self) -> None:
        """See `Engine.close`."""
        self._connection.close()
        if self._owned is not None:
            shutil.rmtree(self._owned, ignore_errors=True)

    def _execute(self, query: Expression | exp.Query) -> duckdb.DuckDBPyConnection:
        return self._executed(sql(query))

    def _executed(self, text: str) -> duckdb.DuckDBPyConnection:
        with _mapped_errors():
            return self._connection.execute(text)


@contextlib.contextmanager
def _mapped_errors() -> Iterator[None]:
    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        raise EngineOverloaded(f"The engine has no room for the statement: {error}", retry_after_seconds=60) from error
    except duckdb.Error as error:
        raise EngineRefused(f"The engine refuses a statement: {error}") from error
