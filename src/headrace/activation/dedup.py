"""Making the rows of one run unique by a key.

Of rows with the same key the one whose person changed last stays; among equals the one whose other values come first. With
an identity as key, persons who share any value of its namespace compete as a whole, and all rows of the winner stay.

Only keys are held, in a DuckDB database that spills to disk, so the size of a run does not matter.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import msgspec
import pyarrow as pa

from headrace.activation.rows import Row

_FLUSH_ROWS = 50_000
_SCHEMA = pa.schema(
    [
        ("ordinal", pa.int64()),
        ("person", pa.int64()),
        ("key", pa.string()),
        ("updated_at_ms", pa.int64()),
        ("others", pa.string()),
    ]
)


class Deduplicator:
    """Collects the keys of a run and tells which rows do not stay.

    Used as ``with Deduplicator(folder, by_identity=…) as dedup``.
    """

    def __init__(self, folder: Path, *, by_identity: bool) -> None:
        """Open a temporary database below ``folder``."""
        self._by_identity = by_identity
        self._connection = duckdb.connect(str(folder / "keys.duckdb"))
        self._connection.execute("SET threads = 1; SET memory_limit = '256MB'")
        self._connection.execute(
            "CREATE TABLE keys (ordinal BIGINT, person BIGINT, key VARCHAR, updated_at_ms BIGINT, others VARCHAR)"
        )
        self._buffer: list[tuple[int, int, str | None, int, str]] = []

    def add(self, ordinal: int, person: int, key: Sequence[str | None], updated_at_ms: int, row: Row) -> None:
        """Note a row.

        Args:
            ordinal: Number of the row in the run.
            person: Number of the person in the run.
            key: Parts of an attribute key, or the identities under which the row competes. A row that misses a part of an
                attribute key has no rival.
            updated_at_ms: When the person changed last.
            row: The row's values; they decide between equals.
        """
        others = "\x1f".join(_plain(value) for value in row)
        if self._by_identity:
            self._buffer += [(ordinal, person, value, updated_at_ms, others) for value in key]
        elif all(part is not None for part in key):
            self._buffer.append((ordinal, person, msgspec.json.encode(key).decode(), updated_at_ms, others))
        if len(self._buffer) >= _FLUSH_ROWS:
            self._flush()

    def losers(self) -> list[int]:
        """Return the ordinals of the rows that do not stay, ascending."""
        self._flush()
        found = self._losers_by_person() if self._by_identity else self._losers_by_row()
        return sorted(found)

    def _losers_by_row(self) -> Iterable[int]:
        return [
            row[0]
            for row in self._connection.execute(
                "SELECT ordinal FROM keys QUALIFY row_number() OVER "
                "(PARTITION BY key ORDER BY updated_at_ms DESC, others, ordinal) > 1"
            ).fetchall()
        ]

    def _losers_by_person(self) -> Iterable[int]:
        shared = self._connection.execute(
            "SELECT key, list(DISTINCT person) FROM keys GROUP BY key HAVING count(DISTINCT person) > 1"
        ).fetchall()
        groups = _connected(persons for _, persons in shared)
        losing: list[int] = []
        for group in groups:
            best = self._connection.execute(
                "SELECT person FROM keys WHERE list_contains(?, person) ORDER BY updated_at_ms DESC, others, ordinal LIMIT 1",
                [group],
            ).fetchall()
            losing += [person for person in group if person != best[0][0]]
        if not losing:
            return []
        rows = self._connection.execute("SELECT DISTINCT ordinal FROM keys WHERE list_contains(?, person)", [losing]).fetchall()
        return [row[0] for row in rows]

    def _flush(self) -> None:
        if not self._buffer:
            return
        columns = list(zip(*self._buffer, strict=True))
        table = pa.table([pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA)
        self._connection.register("more", table)
        self._connection.execute("INSERT INTO keys SELECT * FROM more")
        self._connection.unregister("more")
        self._buffer.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()


def _plain(value: Any) -> str:
    # Arrays, maps and objects take no part in the comparison.
    return "" if value is None or isinstance(value, list | dict) else str(value)


def _connected(edges: Iterable[Sequence[int]]) -> list[list[int]]:
    """Return the groups of numbers that are connected by sharing an edge."""
    parents: dict[int, int] = {}

    def root(number: int) -> int:
        while parents.setdefault(number, number) != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    for first, *rest in edges:
        for other in rest:
            parents[root(other)] = root(first)
    groups: dict[int, list[int]] = defaultdict(list)
    for number in parents:
        groups[root(number)].append(number)
    return [sorted(group) for group in groups.values()]
