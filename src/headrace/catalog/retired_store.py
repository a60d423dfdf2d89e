"""What clearing away asks of the control store."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, delete, select

from headrace.storage.control.tables import batches, retired_datasets, retired_sandboxes, sandboxes

_ACTIVE = "active"
_IDS_A_QUERY = 500


def sandbox_rows(connection: Connection) -> list[dict[str, Any]]:
    """Return the retired sandboxes with their names, by number."""
    statement = (
        select(retired_sandboxes.c.sandbox, sandboxes.c.name)
        .join(sandboxes, sandboxes.c.id == retired_sandboxes.c.sandbox_id)
        .order_by(retired_sandboxes.c.sandbox)
    )
    return [dict(row) for row in connection.execute(statement).mappings()]


def active_names(connection: Connection) -> set[str]:
    """Return the names of the active sandboxes."""
    return set(connection.execute(select(sandboxes.c.name).where(sandboxes.c.state == _ACTIVE)).scalars())


def dataset_rows(connection: Connection) -> list[dict[str, Any]]:
    """Return the retired datasets, by number."""
    statement = select(retired_datasets).order_by(retired_datasets.c.dataset)
    return [dict(row) for row in connection.execute(statement).mappings()]


def known_batches(connection: Connection, batch_ids: Collection[str]) -> set[str]:
    """Return those of some ids that a batch has."""
    ids, found = list(batch_ids), set[str]()
    for start in range(0, len(ids), _IDS_A_QUERY):
        statement = select(batches.c.id).where(batches.c.id.in_(ids[start : start + _IDS_A_QUERY]))
        found.update(connection.execute(statement).scalars())
    return found


def forget_sandbox(connection: Connection, number: int) -> None:
    """Remove the note of a retired sandbox."""
    connection.execute(delete(retired_sandboxes).where(retired_sandboxes.c.sandbox == number))


def forget_dataset(connection: Connection, number: int) -> None:
    """Remove the note of a retired dataset."""
    connection.execute(delete(retired_datasets).where(retired_datasets.c.dataset == number))
