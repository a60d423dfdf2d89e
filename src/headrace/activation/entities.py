"""What all entities of Flow Service have in common: who made them, their versions, and how the wire shows them."""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.activation.errors import EntityInvalid, VersionMissing, VersionStale
from headrace.activation.store import StoredConnection, StoredFlow
from headrace.model import Sandbox

STATES = ("enabled", "disabled")
_SERVER_FIELDS = ("createdBy", "updatedBy", "createdClient", "updatedClient")


class Author(msgspec.Struct, frozen=True):
    """Who makes a change.

    Attributes:
        user_id: Technical account or user.
        client_id: Client that calls for them.
    """

    user_id: str
    client_id: str


def new_id() -> str:
    """Return an id for a new entity."""
    return str(uuid.uuid4())


def new_etag() -> str:
    """Return a version for an entity that was just written; the double quotes are part of it."""
    return f'"{uuid.uuid4()}"'


def check_version(supplied: str | None, current: str) -> None:
    """Refuse a change that is not based on the present version.

    Raises:
        VersionMissing: No version was supplied.
        VersionStale: Another version was supplied, or one without its double quotes.
    """
    if not supplied:
        raise VersionMissing
    if supplied != current:
        raise VersionStale(supplied, current)


def authored(body: Mapping[str, Any], author: Author, *, previous: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a body with the fields that say who made it and who changed it last."""
    made = {"createdBy": author.user_id, "createdClient": author.client_id}
    if previous is not None:
        made = {name: previous.get(name, made[name]) for name in made}
    return {**body, **made, "updatedBy": author.user_id, "updatedClient": author.client_id}


def without_server_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a stored body that its owner can change."""
    return {name: value for name, value in body.items() if name not in _SERVER_FIELDS}


def common_fields(stored: StoredConnection | StoredFlow, sandbox: Sandbox) -> dict[str, Any]:
    """Return the fields that every entity has on the wire, its body included."""
    return {
        "id": stored.id,
        "createdAt": stored.created_at,
        "updatedAt": stored.updated_at,
        "imsOrgId": sandbox.organization_id,
        "sandboxId": sandbox.id,
        "sandboxName": sandbox.name,
        **stored.body,
        "state": stored.state,
        "version": stored.etag,
        "etag": stored.etag,
    }


def text_of(body: Mapping[str, Any], name: str, *, path: str = "") -> str:
    """Return a text that a body must hold.

    Raises:
        EntityInvalid: It is missing, empty or no text.
    """
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise EntityInvalid(f"'{name}' is required.", path=f"{path}/{name}")
    return value


def object_of(body: Mapping[str, Any], name: str, *, path: str = "") -> dict[str, Any]:
    """Return an object that a body may hold, an empty one when it does not.

    Raises:
        EntityInvalid: It is something else.
    """
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise EntityInvalid(f"'{name}' must be an object.", path=f"{path}/{name}")
    return dict(value)


def state_of(body: Mapping[str, Any]) -> str:
    """Return the state that a body asks for; ``enabled`` when it does not.

    Raises:
        EntityInvalid: There is no such state.
    """
    state = body.get("state", "enabled")
    if state not in STATES:
        raise EntityInvalid(f"state must be one of {', '.join(STATES)}, got {state!r}.", path="/state")
    return str(state)


def check_unchanged(before: Mapping[str, Any], after: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Refuse a change of fields that stay as they were made.

    Raises:
        EntityInvalid: One of them changed.
    """
    for name in names:
        if before.get(name) != after.get(name):
            raise EntityInvalid(f"'{name}' cannot be changed; create a new entity instead.", path=f"/{name}")
