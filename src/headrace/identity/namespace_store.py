"""What namespaces ask of the control store."""

from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from headrace.storage.control.tables import namespaces


def rows(connection: Connection, sandbox: int) -> list[dict[str, Any]]:
    """Return a sandbox's own namespaces by id."""
    statement = select(namespaces).where(namespaces.c.sandbox == sandbox).order_by(namespaces.c.id)
    return [dict(row) for row in connection.execute(statement).mappings()]


def next_id(connection: Connection, first: int) -> int:
    """Return an id that no namespace of any sandbox has."""
    newest = connection.execute(select(func.max(namespaces.c.id))).scalar()
    return max(first, (newest or 0) + 1)


def add(connection: Connection, row: dict[str, Any]) -> None:
    """Store a namespace."""
    connection.execute(insert(namespaces).values(row))


def change(connection: Connection, namespace_id: int, **values: Any) -> None:
    """Change columns of a namespace."""
    connection.execute(update(namespaces).where(namespaces.c.id == namespace_id).values(values))
