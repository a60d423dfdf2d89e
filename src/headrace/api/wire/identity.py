"""Identities on the wire: in which forms a request names them, and how an answer names them again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.api.context import Context
from headrace.errors import InvalidInput
from headrace.identity.namespaces import Namespace
from headrace.identity.normalise import normalised
from headrace.identity.xid import decode_xid, encode_xid
from headrace.model import Identity


class IdentityQueryInvalid(InvalidInput):
    """A request names no identity, or one in a namespace that does not exist."""

    code = "identity_query_invalid"


@dataclass(frozen=True)
class Named:
    """An identity as a request names it.

    Attributes:
        identity: The identity, None when its namespace or XID cannot be resolved.
        form: ``xid``, ``nsid``, ``ns`` or ``namespace``: the form of the request, which the answer takes up.
        given: What the request said, for the list of what was not processed.
    """

    identity: Identity | None
    form: str
    given: Any


def namespace_named(context: Context, name: str, *, is_number: bool) -> Namespace | None:
    """Return the namespace that a request names by code or number, None when the sandbox has none."""
    namespaces = context.services.namespaces
    if not is_number:
        return namespaces.by_code(context.sandbox, name)
    return namespaces.by_id(context.sandbox, int(name)) if name.isdecimal() else None


def named_by_xid(xid: str) -> Named:
    """Return the identity of a native XID."""
    decoded = decode_xid(xid)
    return Named(Identity(*decoded) if decoded else None, "xid", xid)


def named_by_pair(context: Context, given: Mapping[str, Any]) -> Named:
    """Return the identity of ``{"ns" | "namespace" | "nsid": …, "id": …}``; a code goes before a number."""
    form = next((name for name in ("ns", "namespace", "nsid", "nsId") if given.get(name) not in (None, "")), "nsid")
    value = given.get("id")
    name = str(given.get(form, ""))
    found = namespace_named(context, name, is_number=form in ("nsid", "nsId"))
    form = "nsid" if form == "nsId" else form
    if found is None or not isinstance(value, str | int) or value == "":
        return Named(None, form, dict(given))
    text = str(value)
    plain = normalised(found.id, text)
    return Named(Identity(found.id, plain, text if text != plain else ""), form, dict(given))


class Spelling:
    """Writes identities in the form of a request."""

    def __init__(self, context: Context) -> None:
        self._codes = {item.id: item.code for item in context.services.namespaces.all(context.sandbox)}

    def pair(self, identity: Identity, form: str) -> dict[str, Any]:
        """Return ``{"nsid", "id"}``, or the code under the member that the request used."""
        if form == "nsid":
            return {"nsid": identity.namespace_id, "id": identity.shown}
        return {form: self._codes.get(identity.namespace_id, str(identity.namespace_id)), "id": identity.shown}

    def written(self, identity: Identity, form: str) -> Any:
        """Return an XID as text, or a pair."""
        return encode_xid(*identity.key) if form == "xid" else self.pair(identity, form)
