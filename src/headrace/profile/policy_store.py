"""What merge policies ask of the control store."""

from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from headrace.storage.control.tables import merge_policies


def rows(connection: Connection, sandbox: int) -> list[dict[str, Any]]:
    """Return a sandbox's policies in the order in which they were made."""
    statement = select(merge_policies).where(merge_policies.c.sandbox == sandbox)
    found = connection.execute(statement.order_by(merge_policies.c.created_at, merge_policies.c.id)).mappings()
    return [dict(row) for row in found]


def add(connection: Connection, row: dict[str, Any]) -> None:
    """Store a policy."""
    connection.execute(insert(merge_policies).values(row))


def change(connection: Connection, policy_id: str, **values: Any) -> None:
    """Change columns of a policy."""
    connection.execute(update(merge_policies).where(merge_policies.c.id == policy_id).values(values))


def remove(connection: Connection, policy_id: str) -> None:
    """Delete a policy."""
    connection.execute(delete(merge_policies).where(merge_policies.c.id == policy_id))
