"""Base, source and target connections: making, reading, changing, deleting, testing them."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headrace.activation import specs
from headrace.activation.connection_checks import ConnectionChecks, Datasets, with_implied_spec
from headrace.activation.credentials import CredentialStore, SecretBox, revealed
from headrace.activation.entities import (
    Author,
    authored,
    check_unchanged,
    check_version,
    common_fields,
    new_etag,
    new_id,
    object_of,
    state_of,
    without_server_fields,
)
from headrace.activation.errors import EntityInUse, EntityInvalid, EntityUnknown, VersionStale
from headrace.activation.store import ConnectionKind, FlowStore, StoredConnection
from headrace.clock import Clock
from headrace.destinations import registry
from headrace.destinations.base import Context, Destination
from headrace.ingest.inlets import inlet_url, new_inlet_id
from headrace.ingest.sources import kinds
from headrace.ingest.sources.exploring import explore
from headrace.ingest.sources.kinds import Account
from headrace.model import Sandbox
from headrace.storage.control import ControlStore

Change = Callable[[dict[str, Any]], dict[str, Any]]
"""Applies a patch to a document and returns the result."""

_PLAIN_FILES = {"fileType": "CSV", "compression": "NONE"}
_ROOTS: Mapping[str, Mapping[str, Any]] = {
    "36965a81-b1c6-401b-99f8-22508f1e6a26": {"remotePath": "/", **_PLAIN_FILES},
    specs.DATA_LANDING_ZONE: {"path": "/", **_PLAIN_FILES},
}
"""Places that every account of these destinations can reach, for tests before there is a target connection."""


class Reached(msgspec.Struct, frozen=True):
    """What a test of a connection found.

    Attributes:
        places: How many target connections were reached with the account; 0 when there was none to reach.
    """

    places: int


class Connections:
    """The connections of all sandboxes."""

    def __init__(
        self,
        control: ControlStore,
        clock: Clock,
        *,
        secrets: SecretBox,
        datasets: Datasets,
        context_of: Callable[[Sandbox], Context],
    ) -> None:
        """Keep what connections need.

        Args:
            control: Where they are stored.
            clock: Stamps them.
            secrets: Encrypts credentials.
            datasets: The catalog.
            context_of: Gives destinations what the server has for them.
        """
        self._store = FlowStore(control)
        self._clock = clock
        self._credentials = CredentialStore(secrets)
        self._context_of = context_of
        self._checks = ConnectionChecks(self._store, clock, self._credentials, datasets, context_of)

    def create(self, sandbox: Sandbox, kind: ConnectionKind, body: Mapping[str, Any], author: Author) -> StoredConnection:
        """Make a connection.

        Raises:
            InvalidInput: The body cannot be a connection of this kind.
        """
        document = with_implied_spec(body) if kind == "base" else dict(body)
        document["connectionSpec"] = specs.spec_reference(document)
        shown, secrets = self._checks.checked(sandbox, kind, document, {})
        source_id = inlet_id = ""
        if kind == "base" and specs.role_of(document["connectionSpec"]["id"]) == "streaming_source":
            inlet_id = new_inlet_id()
            shown["auth"]["params"]["inletId"] = inlet_id
            source_id = shown["auth"]["params"]["sourceId"]
        now = self._clock.now_ms()
        stored = StoredConnection(
            id=new_id(),
            kind=kind,
            sandbox=sandbox.number,
            spec_id=shown["connectionSpec"]["id"],
            base_connection_id=str(shown.get("baseConnectionId") or ""),
            state=state_of(body),
            etag=new_etag(),
            body=authored(shown, author),
            secrets=self._credentials.seal(secrets),
            created_at=now,
            updated_at=now,
        )
        if other := self._store.add_connection(stored, inlet_id=inlet_id, source_id=source_id):
            raise EntityInvalid(
                f"sourceId '{source_id}' is taken by connection {other}; it must be unique.", path="/auth/params/sourceId"
            )
        return stored

    def get(self, sandbox: Sandbox, kind: ConnectionKind, connection_id: str) -> StoredConnection:
        """Return one connection.

        Raises:
            EntityUnknown: There is none of this kind with this id.
        """
        stored = self._store.connection(sandbox, kind, connection_id)
        if stored is None:
            raise EntityUnknown(kind, connection_id)
        return stored

    def all(self, sandbox: Sandbox, kind: ConnectionKind) -> list[StoredConnection]:
        """Return all connections of a kind, newest first."""
        return self._store.connections(sandbox, kind)

    def patch(
        self,
        sandbox: Sandbox,
        kind: ConnectionKind,
        connection_id: str,
        change: Change,
        *,
        if_match: str | None,
        author: Author,
    ) -> StoredConnection:
        """Change a connection, wholly or not at all.

        Raises:
            EntityUnknown: There is none of this kind with this id.
            VersionMissing: ``if_match`` is missing.
            VersionStale: ``if_match`` is not its present version.
            InvalidInput: The result cannot be a connection.
        """
        stored = self.get(sandbox, kind, connection_id)
        check_version(if_match, stored.etag)
        before = {**without_server_fields(stored.body), "state": stored.state}
        after = change(before)
        check_unchanged(before, after, ("connectionSpec", "baseConnectionId", "providerId"))
        if inlet := _inlet_of(before):
            check_unchanged(inlet, _inlet_of(after), ("inletId", "sourceId"))
        shown, secrets = self._checks.checked(sandbox, kind, after, self._credentials.open(stored.secrets))
        changed = msgspec.structs.replace(
            stored,
            state=state_of(after),
            etag=new_etag(),
            body=authored(shown, author, previous=stored.body),
            secrets=self._credentials.seal(secrets),
            updated_at=self._clock.now_ms(),
        )
        if not self._store.replace_connection(changed, stored.etag):
            raise VersionStale(stored.etag, self.get(sandbox, kind, connection_id).etag)
        return changed

    def delete(self, sandbox: Sandbox, kind: ConnectionKind, connection_id: str) -> StoredConnection:
        """Delete a connection and return what it was.

        Raises:
            EntityUnknown: There is none of this kind with this id.
            EntityInUse: A connection or a flow depends on it.
        """
        stored = self.get(sandbox, kind, connection_id)
        if dependants := self._store.delete_connection(stored):
            raise EntityInUse(
                f"Connection {connection_id} is in use by {', '.join(dependants)}.",
                hint="Delete in the order flow, target connection, base connection.",
            )
        return stored

    def wire(self, sandbox: Sandbox, stored: StoredConnection, base_url: str) -> dict[str, Any]:
        """Return a connection as the wire shows it.

        Args:
            sandbox: Its sandbox.
            stored: The connection.
            base_url: Base URL of this server as the caller sees it; streaming inlets lie below it.
        """
        shown = common_fields(stored, sandbox)
        params = object_of(object_of(shown, "auth"), "params")
        if "inletId" in params:
            params["inletUrl"] = inlet_url(base_url, params["inletId"])
            shown["auth"] = {**shown["auth"], "params": params}
        if stored.kind == "source" and specs.role_of(stored.spec_id) == "profile_store":
            shown["typeInfo"] = {"type": "ProfileFragments", "id": "ups"}
        if stored.base_connection_id:
            shown["inheritedAttributes"] = {"baseConnection": self._reference(sandbox, stored.base_connection_id)}
        return shown

    async def test(self, sandbox: Sandbox, connection_id: str) -> Reached:
        """Reach the places of a base connection with its account.

        Raises:
            EntityUnknown: There is no base connection with this id.
            HeadraceError: A place cannot be reached; the error says which and why.
        """
        stored = self.get(sandbox, "base", connection_id)
        if kinds.is_source(stored.spec_id):
            return await self._read_source(sandbox, stored)
        if specs.role_of(stored.spec_id) != "destination":
            return Reached(0)
        places = [
            target.body["params"]
            for target in self._store.connections(sandbox, "target")
            if target.base_connection_id == connection_id
        ]
        for params in places or filter(None, [_ROOTS.get(stored.spec_id)]):
            destination = self.open(sandbox, stored, params)
            try:
                await destination.check()
            finally:
                await destination.close()
        return Reached(len(places))

    async def _read_source(self, sandbox: Sandbox, base: StoredConnection) -> Reached:
        sources = [item for item in self._store.connections(sandbox, "source") if item.base_connection_id == base.id]
        params: list[dict[str, Any]] = [item.body["params"] for item in sources]
        if not params and kinds.source_kind(base.spec_id).id != kinds.AMAZON_S3:  # a bucket is named by its source connections
            params = [{"path": "/"}]
        for place in params:
            reader, path = self.account(base.spec_id, base).reader(str(place["path"]), place, self._context_of(sandbox))
            async with reader:
                await reader.list(path.rpartition("/")[0])
        return Reached(len(sources))

    async def explore(self, sandbox: Sandbox, connection_id: str, query: Mapping[str, str]) -> Any:
        """Return what a source holds.

        Args:
            sandbox: The sandbox.
            connection_id: A base connection, or the connection spec of a source that needs none.
            query: ``objectType`` and what goes with it.

        Raises:
            EntityUnknown: There is no such connection.
            InvalidInput: It is no source of files, or the query is not acceptable.
        """
        base = self._store.connection(sandbox, "base", connection_id)
        if base is None and not kinds.is_source(connection_id):
            raise EntityUnknown("base", connection_id)
        spec_id = base.spec_id if base is not None else connection_id
        if not kinds.is_source(spec_id) or (base is None and kinds.source_kind(spec_id).needs_account):
            raise EntityInvalid(f"'{specs.spec_name(spec_id)}' cannot be explored here.", path="/connectionSpec/id")
        return await explore(self.account(spec_id, base), query, self._context_of(sandbox))

    def account(self, spec_id: str, base: StoredConnection | None) -> Account:
        """Return the account of a source; ``base`` is None for a source that needs none."""
        auth = object_of(base.body, "auth") if base is not None else {}
        secrets = self._credentials.open(base.secrets) if base is not None else {}
        params = revealed(object_of(auth, "params"), secrets)
        return Account(kinds.source_kind(spec_id), str(auth.get("specName") or ""), params)

    def open(self, sandbox: Sandbox, base: StoredConnection, target_params: Mapping[str, Any]) -> Destination:
        """Return the destination of a base connection, ready to use."""
        auth = object_of(base.body, "auth")
        params = revealed(object_of(auth, "params"), self._credentials.open(base.secrets))
        return registry.open_destination(
            base.spec_id,
            auth_name=str(auth.get("specName") or ""),
            auth_params=params,
            target_params=target_params,
            context=self._context_of(sandbox),
        )

    def _reference(self, sandbox: Sandbox, connection_id: str) -> dict[str, Any]:
        base = self._store.connection(sandbox, "base", connection_id)
        reference: dict[str, Any] = {"id": connection_id}
        if base is not None:
            reference["connectionSpec"] = base.body["connectionSpec"]
        return reference


def _inlet_of(document: Mapping[str, Any]) -> dict[str, Any]:
    params = object_of(object_of(document, "auth"), "params", path="/auth")
    return {name: params[name] for name in ("inletId", "sourceId") if "inletId" in params and name in params}
