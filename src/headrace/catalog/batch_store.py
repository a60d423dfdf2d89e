"""What batches ask of the control store."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, func, insert, or_, select, update

from headrace.storage.control.tables import batch_files, batches

_CHUNK_ROWS = 500


@dataclass(frozen=True)
class BatchFilter:
    """Which batches of a sandbox are wanted; what is None does not count.

    Attributes:
        datasets: Numbers of their datasets.
        statuses: Their states.
        created_after: Epoch ms, exclusive.
        created_before: Epoch ms, exclusive.
        updated_after: Epoch ms, exclusive.
        updated_before: Epoch ms, exclusive.
    """

    datasets: Collection[int] | None = None
    statuses: Collection[str] | None = None
    created_after: int | None = None
    created_before: int | None = None
    updated_after: int | None = None
    updated_before: int | None = None


def row(connection: Connection, sandbox: int, batch_id: str) -> dict[str, Any] | None:
    """Return one batch, None when the sandbox has none of this id."""
    found = connection.execute(select(batches).where(batches.c.id == batch_id, batches.c.sandbox == sandbox)).mappings().first()
    return dict(found) if found else None


def is_taken(connection: Connection, batch_id: str) -> bool:
    """Tell whether any sandbox has a batch of this id."""
    return connection.execute(select(batches.c.id).where(batches.c.id == batch_id)).first() is not None


def newest_first(connection: Connection, sandbox: int, wanted: BatchFilter) -> Iterator[dict[str, Any]]:
    """Yield batches, the newest first; equal times by id."""
    place: tuple[int, str] | None = None
    while True:
        statement = _wanted(select(batches).where(batches.c.sandbox == sandbox), wanted)
        if place is not None:
            older = and_(batches.c.created_at == place[0], batches.c.id > place[1])
            statement = statement.where(or_(batches.c.created_at < place[0], older))
        statement = statement.order_by(batches.c.created_at.desc(), batches.c.id).limit(_CHUNK_ROWS)
        found = connection.execute(statement).mappings().all()
        yield from (dict(item) for item in found)
        if len(found) < _CHUNK_ROWS:
            return
        place = (found[-1]["created_at"], found[-1]["id"])


def _wanted(statement: Select[Any], wanted: BatchFilter) -> Select[Any]:
    if wanted.datasets is not None:
        statement = statement.where(batches.c.dataset.in_(wanted.datasets))
    if wanted.statuses is not None:
        statement = statement.where(batches.c.status.in_(wanted.statuses))
    for column, after, before in (
        (batches.c.created_at, wanted.created_after, wanted.created_before),
        (batches.c.updated_at, wanted.updated_after, wanted.updated_before),
    ):
        if after is not None:
            statement = statement.where(column > after)
        if before is not None:
            statement = statement.where(column < before)
    return statement


def newest_by_status(connection: Connection, sandbox: int) -> list[dict[str, Any]]:
    """Return for each dataset and status the newest batch, without its body."""
    place = func.row_number().over(
        partition_by=(batches.c.dataset, batches.c.status), order_by=(batches.c.created_at.desc(), batches.c.id)
    )
    columns = (batches.c.id, batches.c.dataset, batches.c.status, batches.c.created_at, batches.c.updated_at)
    numbered = select(*columns, place.label("place")).where(batches.c.sandbox == sandbox).subquery()
    return [dict(item) for item in connection.execute(select(numbered).where(numbered.c.place == 1)).mappings()]


def add(connection: Connection, values: dict[str, Any]) -> None:
    """Store a batch."""
    connection.execute(insert(batches).values(values))


def change(connection: Connection, batch_id: str, **values: Any) -> None:
    """Change columns of a batch."""
    connection.execute(update(batches).where(batches.c.id == batch_id).values(values))


def remove(connection: Connection, batch_id: str) -> None:
    """Delete a batch and what is noted of its files."""
    connection.execute(delete(batch_files).where(batch_files.c.batch_id == batch_id))
    connection.execute(delete(batches).where(batches.c.id == batch_id))


def files(connection: Connection, batch_id: str) -> list[dict[str, Any]]:
    """Return the files of a batch by name."""
    statement = select(batch_files).where(batch_files.c.batch_id == batch_id).order_by(batch_files.c.name)
    return [dict(item) for item in connection.execute(statement).mappings()]


def put_file(connection: Connection, batch_id: str, name: str, values: dict[str, Any], now_ms: int) -> bool:
    """Store or replace what is noted of a file.

    Returns:
        Whether the file is new.
    """
    place = (batch_files.c.batch_id == batch_id, batch_files.c.name == name)
    changed = connection.execute(update(batch_files).where(*place).values(**values, updated_at=now_ms))
    if changed.rowcount:
        return False
    row = {"batch_id": batch_id, "name": name, **values, "created_at": now_ms, "updated_at": now_ms}
    connection.execute(insert(batch_files).values(row))
    return True
