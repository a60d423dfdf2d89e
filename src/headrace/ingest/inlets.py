"""Inlets as the gateway reads them: which connection, sandbox and dataflows stand behind an inlet id."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select

from headrace.errors import NotFound
from headrace.ingest.refusals import InletUnknown
from headrace.model import Sandbox
from headrace.storage.control import ControlStore
from headrace.storage.control.tables import connections, flows, inlets

_MOST_KNOWN = 10_000
_MAPPING = "mapping"


class InletFlow(msgspec.Struct, frozen=True):
    """A dataflow that an inlet feeds.

    Attributes:
        id: UUID of the flow.
        dataset_id: Dataset of its target connection; empty when it names none.
        schema_id: Schema of its target connection; empty when it names none.
        mapping_id: Mapping set; empty when records pass as they are.
        mapping_version: Version of the mapping set.
        is_enabled: Whether it takes records.
    """

    id: str
    dataset_id: str
    schema_id: str
    mapping_id: str
    mapping_version: int
    is_enabled: bool


class Inlet(msgspec.Struct, frozen=True):
    """Where one client posts.

    Attributes:
        id: 64 hexadecimal characters; the last segment of the URL.
        sandbox: Where everything that comes in belongs.
        connection_id: The base connection that made it.
        source_id: Name of the source for messages without one.
        is_raw: Whether messages are mapped before they are records.
        is_authenticated: Whether a token is asked for.
        flows: Dataflows by id, the oldest first.
    """

    id: str
    sandbox: Sandbox
    connection_id: str
    source_id: str
    is_raw: bool
    is_authenticated: bool
    flows: Mapping[str, InletFlow]


class Inlets:
    """Looks inlets up; what was found counts until the configuration changes."""

    def __init__(self, control: ControlStore, sandbox_of: Callable[[int], Sandbox]) -> None:
        """Open the read model.

        Args:
            control: Tables of Flow Service.
            sandbox_of: Returns the sandbox of a number.
        """
        self._control = control
        self._sandbox_of = sandbox_of
        self._revision = -1
        self._known: dict[str, Inlet | None] = {}

    def inlet(self, inlet_id: str) -> Inlet:
        """Return an inlet; no query unless something was configured since the last call.

        Raises:
            InletUnknown: There is none, or its connection is disabled.
        """
        revision = self._control.revision()
        if revision != self._revision:
            self._known, self._revision = {}, revision
        try:
            found = self._known[inlet_id]
        except KeyError:
            try:
                found = self._loaded(inlet_id)
            except NotFound:  # its sandbox is deleted
                found = None
            if len(self._known) >= _MOST_KNOWN:  # somebody is guessing ids
                self._known = {}
            self._known[inlet_id] = found
        if found is None:
            raise InletUnknown("Inlet not found")
        return found

    def create(self, transaction: Connection, *, sandbox: Sandbox, connection_id: str) -> str:
        """Give a streaming connection its inlet, in the transaction that stores the connection; returns the inlet's id."""
        inlet_id = new_inlet_id()
        transaction.execute(insert(inlets).values(id=inlet_id, sandbox=sandbox.number, connection_id=connection_id))
        return inlet_id

    def _loaded(self, inlet_id: str) -> Inlet | None:
        with self._control.read() as transaction:
            row = transaction.execute(
                select(connections)
                .join(inlets, inlets.c.connection_id == connections.c.id)
                .where(inlets.c.id == inlet_id, connections.c.state == "enabled")
            ).first()
            if row is None:
                return None
            found = {flow.id: flow for flow in _flows_of(transaction, row.id)}
        params = row.body.get("auth", {}).get("params", {})
        return Inlet(
            id=inlet_id,
            sandbox=self._sandbox_of(row.sandbox),
            connection_id=row.id,
            source_id=str(params.get("sourceId") or params.get("name") or row.id),
            is_raw=params.get("dataType") == "raw",
            is_authenticated=params.get("authenticationRequired") in (True, "true", "True"),
            flows=found,
        )


def new_inlet_id() -> str:
    """Return a fresh inlet id: 64 random hexadecimal characters."""
    return secrets.token_hex(32)


def inlet_url(base_url: str, inlet_id: str) -> str:
    """Return the URL that a client posts to."""
    return f"{base_url.rstrip('/')}/collection/{inlet_id}"


def _flows_of(transaction: Connection, base_connection_id: str) -> Iterator[InletFlow]:
    source = connections.alias("source")
    target = connections.alias("target")
    rows = transaction.execute(
        select(flows.c.id, flows.c.state, flows.c.body, target.c.body.label("target"))
        .join(source, source.c.id == flows.c.source_connection_id)
        .outerjoin(target, target.c.id == flows.c.target_connection_id)
        .where(source.c.base_connection_id == base_connection_id)
        .order_by(flows.c.created_at, flows.c.id)
    )
    for row in rows:
        yield _flow(row)


def _flow(row: Any) -> InletFlow:
    target = row.target or {}
    mapping_id, mapping_version = _mapping_of(row.body)
    return InletFlow(
        id=row.id,
        dataset_id=str(target.get("params", {}).get("dataSetId") or ""),
        schema_id=str((target.get("data") or {}).get("schema", {}).get("id") or ""),
        mapping_id=mapping_id,
        mapping_version=mapping_version,
        is_enabled=row.state == "enabled",
    )


def _mapping_of(flow: Mapping[str, Any]) -> tuple[str, int]:
    for step in flow.get("transformations") or ():
        if isinstance(step, Mapping) and str(step.get("name", "")).lower() == _MAPPING:
            params = step.get("params") or {}
            version = str(params.get("mappingVersion", 0))
            return str(params.get("mappingId", "")), int(version) if version.isdecimal() else 0
    return "", 0
