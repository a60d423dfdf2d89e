"""What sandboxes ask of the control store."""

from typing import Any

from sqlalchemy import Connection, delete, insert, literal, select, update

from headrace.storage.control.tables import (
    batch_files,
    batches,
    datasets,
    metadata,
    organizations,
    retired_datasets,
    retired_sandboxes,
    sandboxes,
)

DELETED = "deleted"


def organization_id(connection: Connection) -> str:
    """Return the id of the organisation."""
    return str(connection.execute(select(organizations.c.id)).scalar_one())


def all_rows(connection: Connection) -> list[dict[str, Any]]:
    """Return all sandboxes, also deleted ones, by number."""
    return [dict(row) for row in connection.execute(select(sandboxes).order_by(sandboxes.c.number)).mappings()]


def add(connection: Connection, row: dict[str, Any]) -> int:
    """Store a sandbox and return its number."""
    return int(connection.execute(insert(sandboxes).values(row).returning(sandboxes.c.number)).scalar_one())


def change(connection: Connection, number: int, **values: Any) -> None:
    """Change columns of a sandbox."""
    connection.execute(update(sandboxes).where(sandboxes.c.number == number).values(values))


def renumber(connection: Connection, row: dict[str, Any], now_ms: int) -> int:
    """Give a sandbox a new number; what stands under the old one belongs to nobody any more."""
    old = row["number"]
    connection.execute(delete(sandboxes).where(sandboxes.c.number == old))
    new = add(connection, {name: value for name, value in row.items() if name != "number"})
    retire(connection, old, row["id"], now_ms)
    return new


def retire(connection: Connection, number: int, sandbox_id: str, now_ms: int) -> None:
    """Remove everything configured under a number, and note that the stores still hold data of it."""
    of_sandbox = select(batches.c.id).where(batches.c.sandbox == number)
    connection.execute(delete(batch_files).where(batch_files.c.batch_id.in_(of_sandbox)))
    columns = ("dataset", "sandbox", "dataset_id", "table_name", "created_at", "updated_at")
    held = select(
        datasets.c.number, datasets.c.sandbox, datasets.c.id, datasets.c.table_name, literal(now_ms), literal(now_ms)
    ).where(datasets.c.sandbox == number)
    connection.execute(insert(retired_datasets).from_select(columns, held))
    for table in metadata.sorted_tables:
        if table not in (sandboxes, retired_sandboxes, retired_datasets) and "sandbox" in table.c:
            connection.execute(delete(table).where(table.c.sandbox == number))
    connection.execute(
        insert(retired_sandboxes).values(sandbox=number, sandbox_id=sandbox_id, created_at=now_ms, updated_at=now_ms)
    )
