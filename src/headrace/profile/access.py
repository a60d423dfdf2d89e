"""Looking persons up as the Profile access API shows them: one merged entity, or the events of a profile."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from headrace.catalog.datasets import Catalog
from headrace.clock import iso_seconds
from headrace.errors import InvalidInput, NotFound
from headrace.identity.namespaces import Namespaces
from headrace.identity.normalise import normalised
from headrace.identity.xid import decode_xid, encode_xid
from headrace.model import Sandbox
from headrace.profile.merge import merge_records, ordered_fragments, restricted
from headrace.profile.person import Person, StoredEvent
from headrace.profile.policies import MergePolicies, MergePolicy
from headrace.profile.reader import ProfileReader
from headrace.profile.rules import PolicyRules
from headrace.profile.view import identity_map, membership_map

PROFILE_CLASS = "_xdm.context.profile"
EVENT_CLASS = "_xdm.context.experienceevent"
MAX_EVENTS = 1000
_PROPERTY_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "!=": lambda value, wanted: value != wanted,
    "<=": lambda value, wanted: value <= wanted,
    ">=": lambda value, wanted: value >= wanted,
    "=": lambda value, wanted: value == wanted,
    "<": lambda value, wanted: value < wanted,
    ">": lambda value, wanted: value > wanted,
}


class EntityNotFound(NotFound):
    """No profile has the identity."""

    code = "entity_not_found"


class EntityRequestInvalid(InvalidInput):
    """A look-up names no identity, or one in a namespace that does not exist."""

    code = "entity_request_invalid"


@dataclass(frozen=True, slots=True)
class Asked:
    """The identity that a look-up asks for."""

    namespace_id: int
    value: str

    @property
    def xid(self) -> str:
        """Its XID."""
        return encode_xid(self.namespace_id, self.value)


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events of a profile are wanted.

    Attributes:
        since_ms: Earliest event time, included; None without a bound.
        until_ms: Latest event time, excluded; None without a bound.
        limit: Most events to return.
        is_newest_first: Order.
        after: Token of the page; empty for the first.
        fields: Paths to show; empty shows all.
        conditions: (path, operator, value) that an event must satisfy.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    limit: int = MAX_EVENTS
    is_newest_first: bool = False
    after: str = ""
    fields: tuple[tuple[str, ...], ...] = ()
    conditions: tuple[tuple[tuple[str, ...], str, Any], ...] = ()


class AudienceIds(Protocol):
    """Gives the ids of audiences by number."""

    def __call__(self, sandbox: Sandbox) -> Mapping[int, str]:
        """Return audience number → id."""
        ...


class ProfileAccess:
    """Answers look-ups from the hot state."""

    def __init__(
        self,
        reader: Callable[[], ProfileReader],
        namespaces: Namespaces,
        policies: MergePolicies,
        catalog: Catalog,
        audience_ids: AudienceIds,
    ) -> None:
        self._reader = reader
        self._namespaces = namespaces
        self._policies = policies
        self._catalog = catalog
        self._audience_ids = audience_ids
        self._rules = PolicyRules(policies, catalog)

    def asked(self, sandbox: Sandbox, entity_id: str, namespace: str | None) -> Asked:
        """Return the identity that ``entity_id`` and a namespace code, or an XID alone, stand for.

        Raises:
            EntityRequestInvalid: There is no such namespace, or the XID is none.
        """
        if not entity_id:
            raise EntityRequestInvalid("entityId is missing.", path="entityId")
        if namespace:
            found = self._namespaces.by_code(sandbox, namespace)
            if found is None:
                raise EntityRequestInvalid(f"There is no identity namespace '{namespace}'.", path="entityIdNS")
            return Asked(found.id, normalised(found.id, entity_id))
        decoded = decode_xid(entity_id)
        if decoded is None:
            raise EntityRequestInvalid(
                f"'{entity_id}' is no XID.", path="entityId", hint="Give the namespace of the value in entityIdNS."
            )
        return Asked(*decoded)

    def entity(
        self, sandbox: Sandbox, asked: Asked, *, fields: Sequence[str] = (), policy_id: str | None = None
    ) -> dict[str, Any]:
        """Return the merged entity of an identity, as the wire shows it.

        Args:
            sandbox: The sandbox.
            asked: The identity.
            fields: Dotted paths to show inside ``entity``; empty shows all.
            policy_id: Merge policy; None takes the default of the class.

        Raises:
            EntityNotFound: No fragment or event belongs to the identity under the policy.
        """
        policy = self._policy(sandbox, policy_id)
        reader = self._reader()
        reader.refresh()
        person = reader.find(sandbox.number, asked.namespace_id, asked.value)
        if person is None:
            raise EntityNotFound("XDM objects not found")
        return self._shown(sandbox, asked, person, policy, fields)

    def _policy(self, sandbox: Sandbox, policy_id: str | None) -> MergePolicy:
        return self._policies.policy(sandbox, policy_id) if policy_id else self._policies.default(sandbox)

    def _shown(
        self, sandbox: Sandbox, asked: Asked, person: Person, policy: MergePolicy, fields: Sequence[str]
    ) -> dict[str, Any]:
        rule = self._rules.of(sandbox, policy)
        vertex = next(
            (place for place, item in enumerate(person.identities) if item.key == (asked.namespace_id, asked.value)), None
        )
        fragments = ordered_fragments(person, rule, vertex=vertex)
        if not fragments and not (rule.is_stitched and person.events):
            raise EntityNotFound("XDM objects not found")
        entity = merge_records([fragment.record() for fragment in fragments])
        codes = {item.id: item.code if item.custom else item.code.lower() for item in self._namespaces.all(sandbox)}
        entity["identityMap"] = identity_map(person, codes)
        memberships = membership_map(person, self._audience_ids(sandbox))
        if memberships:
            entity["segmentMembership"] = {"ups": memberships}
        datasets = {item.number: item.id for item in self._catalog.datasets(sandbox)}
        newest = max([person.updated_at_ms, *(fragment.accepted_at_ms for fragment in fragments)])
        return {
            "entityId": asked.xid,
            "mergePolicy": {"id": policy.id},
            "sources": list(dict.fromkeys(datasets[item.dataset] for item in fragments if item.dataset in datasets)),
            "tags": list(dict.fromkeys(item.batch_id for item in fragments if item.batch_id)),
            "identityGraph": [encode_xid(item.namespace_id, item.value) for item in person.identities],
            "entity": restricted(entity, [tuple(path.split(".")) for path in fields]) if fields else entity,
            "lastModifiedAt": iso_seconds(newest),
        }

    def events(self, sandbox: Sandbox, asked: Asked, query: EventQuery) -> dict[str, Any]:
        """Return a page of the events of a profile: ``{"_page", "children", "_links"}``; empty when there is none."""
        reader = self._reader()
        reader.refresh()
        person = reader.find(sandbox.number, asked.namespace_id, asked.value)
        found = [] if person is None else self._events(reader, sandbox, person, query)
        page, rest = found[: query.limit], found[query.limit :]
        datasets = {item.number: item.id for item in self._catalog.datasets(sandbox)}
        children = [self._event(asked, datasets, event, query) for event in page]
        token = _token(rest[0]) if rest else ""
        order = "-timestamp" if query.is_newest_first else "timestamp"
        href = f"/entities?start={token}&offsets={token}&orderby={order}&schema.name={EVENT_CLASS}&limit={query.limit}"
        return {
            "_page": {
                "orderby": order,
                "start": page[0].event_id if page else "",
                "count": len(children),
                "next": rest[0].event_id if rest else "",
            },
            "children": children,
            "_links": {"next": {"href": href if rest else ""}},
        }

    def _events(self, reader: ProfileReader, sandbox: Sandbox, person: Person, query: EventQuery) -> list[StoredEvent]:
        found = reader.events(sandbox.number, person, query.since_ms, query.until_ms, query.is_newest_first)
        if query.conditions:
            found = [event for event in found if _satisfies(event, query.conditions)]
        if query.after:
            start = _position(query.after)
            if query.is_newest_first:
                found = [event for event in found if (event.timestamp_ms, event.event_id) <= start]
            else:
                found = [event for event in found if (event.timestamp_ms, event.event_id) >= start]
        return found

    def _event(self, asked: Asked, datasets: Mapping[int, str], event: StoredEvent, query: EventQuery) -> dict[str, Any]:
        body = msgspec.json.decode(event.body)
        return {
            "relatedEntityId": asked.xid,
            "entityId": event.event_id,
            "sourceId": datasets.get(event.dataset, ""),
            "timestamp": event.timestamp_ms,
            "entity": restricted(body, query.fields) if query.fields else body,
            "lastModifiedAt": iso_seconds(event.accepted_at_ms),
        }


def parse_condition(text: str) -> tuple[tuple[str, ...], str, Any]:
    """Return (path, operator, value) of a ``property`` parameter such as ``commerce.order.priceTotal>=20``.

    Raises:
        EntityRequestInvalid: The text has no operator.
    """
    for operator in _PROPERTY_OPERATORS:
        path, found, value = text.partition(operator)
        if found:
            return tuple(path.strip().split(".")), operator, _literal(value.strip())
    raise EntityRequestInvalid(
        f"'{text}' is no condition.", path="property", hint="Write path, one of = != < <= > >=, and a value."
    )


def _literal(text: str) -> Any:
    if text[:1] == '"':
        return text.strip('"')
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def _satisfies(event: StoredEvent, conditions: Sequence[tuple[tuple[str, ...], str, Any]]) -> bool:
    body = msgspec.json.decode(event.body)
    for path, operator, wanted in conditions:
        value: Any = body
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        try:
            if value is None or not _PROPERTY_OPERATORS[operator](value, wanted):
                return False
        except TypeError:
            return False
    return True


def _token(event: StoredEvent) -> str:
    raw = f"{event.timestamp_ms}|{event.event_id}".encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _position(token: str) -> tuple[int, str]:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        time, _, event_id = raw.partition("|")
        return int(time), event_id
    except (binascii.Error, ValueError) as error:
        raise EntityRequestInvalid("The page token is none of ours.", path="offsets") from error
