"""What activation asks of the control store: connections, flows, mapping sets, inlets; runs are in `headrace.activation.runs`."""

from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Row, and_, delete, insert, select, update

from headrace.model import Sandbox
from headrace.storage.control import ControlStore
from headrace.storage.control.tables import connections, flows, inlets, source_files

ConnectionKind = Literal["base", "source", "target"]


class StoredConnection(msgspec.Struct, frozen=True):
    """A base, source or target connection.

    Attributes:
        id: UUID.
        kind: Which of the three.
        sandbox: Number of the sandbox.
        spec_id: Connection spec.
        base_connection_id: Base connection of a source or target connection; may be empty.
        state: ``enabled`` or ``disabled``.
        etag: Version, double quotes included.
        body: What the caller set, secrets masked.
        secrets: Encrypted secret parameters; empty when there are none.
        created_at: Epoch ms.
        updated_at: Epoch ms.
    """

    id: str
    kind: ConnectionKind
    sandbox: int
    spec_id: str
    base_connection_id: str
    state: str
    etag: str
    body: dict[str, Any]
    secrets: bytes
    created_at: int
    updated_at: int


class StoredFlow(msgspec.Struct, frozen=True):
    """A dataflow.

    Attributes:
        id: UUID.
        sandbox: Number of the sandbox.
        spec_id: Flow spec.
        source_connection_id: Its source.
        target_connection_id: Its target.
        state: ``enabled`` or ``disabled``.
        etag: Version, double quotes included.
        body: What the caller set, normalised.
        created_at: Epoch ms.
        updated_at: Epoch ms.
    """

    id: str
    sandbox: int
    spec_id: str
    source_connection_id: str
    target_connection_id: str
    state: str
    etag: str
    body: dict[str, Any]
    created_at: int
    updated_at: int


class FlowStore:
    """Statements on connections, flows and inlets."""

    def __init__(self, control: ControlStore) -> None:
        self._control = control

    # connections

    def connections(self, sandbox: Sandbox, kind: ConnectionKind) -> list[StoredConnection]:
        """Return all connections of a kind, newest first."""
        statement = (
            select(connections)
            .where(connections.c.sandbox == sandbox.number, connections.c.kind == kind)
            .order_by(connections.c.created_at.desc(), connections.c.id)
        )
        with self._control.read() as connection:
            return [_connection(row) for row in connection.execute(statement)]

    def connection(self, sandbox: Sandbox, kind: ConnectionKind, connection_id: str) -> StoredConnection | None:
        """Return one connection, None when there is none with this id."""
        statement = select(connections).where(
            connections.c.id == connection_id, connections.c.sandbox == sandbox.number, connections.c.kind == kind
        )
        with self._control.read() as connection:
            row = connection.execute(statement).first()
        return None if row is None else _connection(row)

    def connections_by_id(self, sandbox: Sandbox) -> dict[str, StoredConnection]:
        """Return all connections of a sandbox."""
        statement = select(connections).where(connections.c.sandbox == sandbox.number)
        with self._control.read() as connection:
            return {row.id: _connection(row) for row in connection.execute(statement)}

    def add_connection(self, stored: StoredConnection, *, inlet_id: str = "", source_id: str = "") -> str:
        """Insert a connection, with its inlet when it is a streaming source.

        Args:
            stored: The connection.
            inlet_id: Id of its inlet; empty when it has none.
            source_id: The inlet's ``sourceId``.

        Returns:
            Id of another connection that has the same ``sourceId`` in the sandbox, and then nothing was inserted; else "".
        """
        with self._control.write() as connection:
            if inlet_id and (other := _holder_of(connection, stored.sandbox, source_id)):
                return other
            connection.execute(insert(connections).values(**_columns(stored)))
            if inlet_id:
                values = {"id": inlet_id, "sandbox": stored.sandbox, "connection_id": stored.id}
                connection.execute(insert(inlets).values(**values))
        return ""

    def replace_connection(self, stored: StoredConnection, previous_etag: str) -> bool:
        """Write a changed connection; False when it no longer has the version ``previous_etag``."""
        with self._control.write() as connection:
            statement = update(connections).where(connections.c.id == stored.id, connections.c.etag == previous_etag)
            return connection.execute(statement.values(**_columns(stored))).rowcount == 1

    def delete_connection(self, stored: StoredConnection) -> list[str]:
        """Delete a connection and its inlet, unless something depends on it.

        Returns:
            What depends on it, as ``<kind> <id>``; empty when it was deleted.
        """
        with self._control.write() as connection:
            dependants = _dependants(connection, stored)
            if not dependants:
                connection.execute(delete(connections).where(connections.c.id == stored.id))
                connection.execute(delete(inlets).where(inlets.c.connection_id == stored.id))
        return dependants

    # flows

    def flows(self, sandbox: Sandbox) -> list[StoredFlow]:
        """Return all flows, newest first."""
        statement = select(flows).where(flows.c.sandbox == sandbox.number).order_by(flows.c.created_at.desc(), flows.c.id)
        with self._control.read() as connection:
            return [_flow(row) for row in connection.execute(statement)]

    def flow(self, sandbox: Sandbox, flow_id: str) -> StoredFlow | None:
        """Return one flow, None when there is none with this id."""
        statement = select(flows).where(flows.c.id == flow_id, flows.c.sandbox == sandbox.number)
        with self._control.read() as connection:
            row = connection.execute(statement).first()
        return None if row is None else _flow(row)

    def add_flow(self, stored: StoredFlow) -> None:
        """Insert a flow."""
        with self._control.write() as connection:
            connection.execute(insert(flows).values(**_columns(stored)))

    def replace_flow(self, stored: StoredFlow, previous_etag: str) -> bool:
        """Write a changed flow; False when it no longer has the version ``previous_etag``."""
        with self._control.write() as connection:
            statement = update(flows).where(flows.c.id == stored.id, flows.c.etag == previous_etag)
            return connection.execute(statement.values(**_columns(stored))).rowcount == 1

    def delete_flow(self, stored: StoredFlow) -> None:
        """Delete a flow; its runs stay. What it has taken from a source is forgotten."""
        with self._control.write() as connection:
            connection.execute(delete(source_files).where(source_files.c.flow_id == stored.id))
            connection.execute(delete(flows).where(flows.c.id == stored.id))


def _dependants(connection: Connection, stored: StoredConnection) -> list[str]:
    if stored.kind == "base":
        statement = select(connections.c.kind, connections.c.id).where(
            and_(connections.c.base_connection_id == stored.id, connections.c.sandbox == stored.sandbox)
        )
        return [f"{row.kind} connection {row.id}" for row in connection.execute(statement)]
    column = flows.c.source_connection_id if stored.kind == "source" else flows.c.target_connection_id
    statement = select(flows.c.id).where(and_(column == stored.id, flows.c.sandbox == stored.sandbox))
    return [f"flow {row.id}" for row in connection.execute(statement)]


def _holder_of(connection: Connection, sandbox: int, source_id: str) -> str:
    statement = (
        select(connections.c.id, connections.c.body)
        .join(inlets, inlets.c.connection_id == connections.c.id)
        .where(connections.c.sandbox == sandbox)
    )
    for row in connection.execute(statement):
        if row.body.get("auth", {}).get("params", {}).get("sourceId") == source_id:
            return str(row.id)
    return ""


def _columns(stored: StoredConnection | StoredFlow) -> dict[str, Any]:
    return {name: getattr(stored, name) for name in stored.__struct_fields__}


def _connection(row: Row[Any]) -> StoredConnection:
    return StoredConnection(**row._asdict())


def _flow(row: Row[Any]) -> StoredFlow:
    return StoredFlow(**row._asdict())
