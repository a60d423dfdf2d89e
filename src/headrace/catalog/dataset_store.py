"""What datasets ask of the control store."""

from typing import Any

from sqlalchemy import Connection, delete, exists, insert, select, update

from headrace.storage.control.tables import batches, dataset_facts, datasets, retired_datasets

IN_LAKE = ("success", "active")
RUNNING = ("loading", "loaded", "staging", "staged", "processing", "queued", "retrying")


def rows(connection: Connection, sandbox: int) -> list[dict[str, Any]]:
    """Return a sandbox's datasets by number."""
    statement = select(datasets).where(datasets.c.sandbox == sandbox).order_by(datasets.c.number)
    return [dict(row) for row in connection.execute(statement).mappings()]


def row(connection: Connection, sandbox: int, dataset_id: str) -> dict[str, Any] | None:
    """Return one dataset, None when the sandbox has none of this id."""
    statement = select(datasets).where(datasets.c.sandbox == sandbox, datasets.c.id == dataset_id)
    found = connection.execute(statement).mappings().first()
    return dict(found) if found else None


def table_names(connection: Connection, sandbox: int) -> list[str]:
    """Return the table names in use, also those of deleted datasets, whose tables may still be there."""
    present = connection.execute(select(datasets.c.table_name).where(datasets.c.sandbox == sandbox)).scalars()
    former = connection.execute(select(retired_datasets.c.table_name).where(retired_datasets.c.sandbox == sandbox)).scalars()
    return [*present, *former]


def add(connection: Connection, values: dict[str, Any]) -> None:
    """Store a dataset."""
    connection.execute(insert(datasets).values(values))


def change(connection: Connection, number: int, **values: Any) -> None:
    """Change columns of a dataset."""
    connection.execute(update(datasets).where(datasets.c.number == number).values(values))


def retire(connection: Connection, dataset: dict[str, Any], now_ms: int) -> None:
    """Delete a dataset, and note that the stores still hold data of it."""
    number = dataset["number"]
    connection.execute(delete(datasets).where(datasets.c.number == number))
    connection.execute(delete(dataset_facts).where(dataset_facts.c.dataset == number))
    connection.execute(
        insert(retired_datasets).values(
            dataset=number,
            sandbox=dataset["sandbox"],
            dataset_id=dataset["id"],
            table_name=dataset["table_name"],
            created_at=now_ms,
            updated_at=now_ms,
        )
    )


def has_batch(connection: Connection, number: int, statuses: tuple[str, ...]) -> bool:
    """Tell whether a dataset has a batch in one of the states."""
    statement = select(exists().where(batches.c.dataset == number, batches.c.status.in_(statuses)))
    return bool(connection.execute(statement).scalar())


def has_rows(connection: Connection, number: int) -> bool:
    """Tell whether the lake has noted rows of a dataset."""
    body = connection.execute(select(dataset_facts.c.body).where(dataset_facts.c.dataset == number)).scalar()
    return bool(body and body.get("rowCount"))


def facts(connection: Connection, sandbox: int) -> dict[int, dict[str, Any]]:
    """Return what the lake has noted about datasets, by number."""
    statement = select(dataset_facts.c.dataset, dataset_facts.c.body).where(dataset_facts.c.sandbox == sandbox)
    return {row.dataset: row.body for row in connection.execute(statement)}


def set_facts(connection: Connection, sandbox: int, number: int, body: dict[str, Any], now_ms: int) -> None:
    """Replace what the lake has noted about a dataset."""
    changed = connection.execute(
        update(dataset_facts).where(dataset_facts.c.dataset == number).values(body=body, updated_at=now_ms)
    )
    if changed.rowcount == 0:
        values = {"dataset": number, "sandbox": sandbox, "body": body, "created_at": now_ms, "updated_at": now_ms}
        connection.execute(insert(dataset_facts).values(values))
