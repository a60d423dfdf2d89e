"""What batch ingestion asks of the control store beside the catalog."""

from collections.abc import Collection

from sqlalchemy import Connection, select

from headrace.storage.control.tables import batches


def ids_by_external_id(connection: Connection, external_ids: Collection[str]) -> dict[str, tuple[int, str]]:
    """Return external id → (sandbox, batch id) for those ids that clients gave to batches; the newest batch of each."""
    external = batches.c.body["externalId"].as_string()
    statement = select(external, batches.c.sandbox, batches.c.id).where(external.in_(external_ids)).order_by(batches.c.created_at)
    return {name: (sandbox, batch_id) for name, sandbox, batch_id in connection.execute(statement)}
