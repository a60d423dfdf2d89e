"""From a change to the message that a streaming dataflow sends: one JSON object per profile.

The object holds the mapped attributes at their XDM paths, the memberships under one merge policy, and all identities.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha1
from typing import Any

import msgspec

from headrace.activation.triggers import AudienceFacts, MappedAudience, triggering_audiences
from headrace.clock import iso_seconds
from headrace.destinations.base import Message
from headrace.destinations.stream_settings import ExportTriggers
from headrace.model import Change, Identity

EXITS_ARE_TOLD_MS = 30 * 24 * 3600 * 1000
"""How long a membership that ended is still told in messages that have another cause."""

NO_IDENTITY = "ACTIVATION-0011-IDENTITY"
NO_CONSENT = "ACTIVATION-0010-CONSENT"

ALL_TRIGGERS = ExportTriggers()

_encode = msgspec.json.Encoder().encode
_VARIANTS = {f"{nibble:x}": f"{nibble & 0x3 | 0x8:x}" for nibble in range(16)}  # of RFC 4122, by the digit it replaces


@lru_cache(maxsize=65_536)
def _iso(second: int) -> str:
    return iso_seconds(second * 1000)


class Excluded(msgspec.Struct, frozen=True):
    """The change would make a message, but the person may not be exported.

    Attributes:
        code: Which of the activation codes counts it.
    """

    code: str


class MessageBuilder:
    """Makes the messages of one dataflow, for one state of its configuration."""

    def __init__(
        self,
        flow_id: str,
        *,
        sandbox: int,
        mapped: Iterable[MappedAudience],
        attributes: Iterable[str],
        audiences: Mapping[int, AudienceFacts],
        namespaces: Mapping[int, str],
        triggers: ExportTriggers = ALL_TRIGGERS,
        includes_names: bool = False,
        includes_timestamps: bool = False,
    ) -> None:
        """Prepare what is the same for all messages.

        Args:
            flow_id: The dataflow.
            sandbox: Number of its sandbox.
            mapped: Its audiences.
            attributes: Its attributes as dotted paths.
            audiences: All audiences of the sandbox by number.
            namespaces: Codes of the sandbox's identity namespaces by id.
            triggers: Which causes make a message.
            includes_names: Whether mapped audiences are sent with their names.
            includes_timestamps: Whether mapped audiences are sent with the times of their making and mapping.
        """
        self.flow_id = flow_id
        self.sandbox = sandbox
        self.mapped = {item.number: item for item in mapped}
        self.attributes = frozenset(attributes)
        self.triggers = triggers
        self._projection = _projection(self.attributes)
        self._audiences = audiences
        self._includes_names = includes_names
        self._includes_timestamps = includes_timestamps
        self._codes = {number: code.lower() for number, code in namespaces.items()}
        self._id_seed = _namespace_of(flow_id)
        self._policies = {number: facts.merge_policy_id for number, facts in audiences.items()}
        self._entries: dict[frozenset[str], dict[int, _Entry]] = {}

    def _extras_of(self, number: int, facts: AudienceFacts) -> dict[str, Any]:
        mapped = self.mapped.get(number)
        return _extras(facts, mapped, self._includes_names, self._includes_timestamps) if mapped else {}

    def message(self, change: Change, sequence: int) -> Message | Excluded | None:
        """Return what the dataflow sends for a change; None when the change is none of its business.

        Args:
            change: The change.
            sequence: Its offset in the topic ``changes``; gives the message its id.
        """
        if change.sandbox != self.sandbox:
            return None
        triggering = triggering_audiences(change, self, self._audiences)
        if not triggering:
            return None
        identities = self._identities(change.identities)
        if not identities:
            return Excluded(NO_IDENTITY)
        body = _projected(change.attributes, self._projection)
        body["segmentMembership"] = self._memberships(change, triggering)
        body["identityMap"] = identities
        return Message(self.message_id(sequence), self.flow_id, change.person_id, _encode(body))

    def message_id(self, sequence: int) -> str:
        """Return the UUID (version 5) of the message of a change; the same whenever it is asked for."""
        text = sha1(self._id_seed + b"%d" % sequence, usedforsecurity=False).hexdigest()
        return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANTS[text[16]]}{text[17:20]}-{text[20:32]}"

    def _identities(self, identities: Iterable[Identity]) -> dict[str, list[dict[str, str]]]:
        found: dict[str, list[dict[str, str]]] = {}
        for identity in identities:
            code = self._codes.get(identity.namespace_id)
            if code is not None:
                found.setdefault(code, []).append({"id": identity.original or identity.value})
        return found

    def _memberships(self, change: Change, triggering: set[int]) -> dict[str, msgspec.Raw]:
        # JSON text is put together here: a person may be in hundreds of audiences, and all but two values of an entry are
        # the same for all persons. Most memberships of a person begin together, so the text of a time is kept for the next.
        policies = {self._policies[number] for number in triggering if number in self._policies}
        entry_of = self._entries_under(frozenset(policies)).get
        oldest_ms = change.at_ms - EXITS_ARE_TOLD_MS
        told: defaultdict[str, list[str]] = defaultdict(list)
        second, time = -1, ""
        for number, at_ms in change.member_since.items():
            entry = entry_of(number)
            if entry is None:
                continue
            if at_ms // 1000 != second:
                second = at_ms // 1000
                time = _iso(second)
            told[entry[0]].append(f"{entry[1]}{time}{entry[2]}")
        for number, at_ms in change.exited_at.items():
            entry = entry_of(number)
            if entry is not None and (at_ms >= oldest_ms or any(number == item.audience for item in change.memberships_changed)):
                told[entry[0]].append(f"{entry[1]}{_iso(at_ms // 1000)}{entry[3]}")
        return {namespace: msgspec.Raw(f"{{{','.join(entries)}}}".encode()) for namespace, entries in told.items()}

    def _entries_under(self, policies: frozenset[str]) -> dict[int, "_Entry"]:
        if policies not in self._entries:
            self._entries[policies] = {
                number: _entry(facts, self._extras_of(number, facts))
                for number, facts in self._audiences.items()
                if facts.merge_policy_id in policies
            }
        return self._entries[policies]


_Entry = tuple[str, str, str, str]
"""Namespace; JSON text up to the time of the membership; what follows it for members; what follows it after an exit."""


def _entry(facts: AudienceFacts, extras: Mapping[str, Any]) -> _Entry:
    more = "," + _encode(extras).decode()[1:] if extras else "}"
    before = f'{_encode(facts.id).decode()}:{{"lastQualificationTime":"'
    return facts.namespace, before, f'","status":"realized"{more}', f'","status":"exited"{more}'


def _extras(facts: AudienceFacts, mapped: MappedAudience, includes_names: bool, includes_timestamps: bool) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    if includes_timestamps:
        extras |= {
            "createdAt": facts.created_at_ms,
            "updatedAt": facts.updated_at_ms,
            "mappingCreatedAt": mapped.created_at_ms,
            "mappingUpdatedAt": mapped.updated_at_ms,
        }
    if includes_names:
        extras["name"] = facts.name
    return extras


def _namespace_of(flow_id: str) -> bytes:
    try:
        return uuid.UUID(flow_id).bytes
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_URL, f"headrace:flow:{flow_id}").bytes


_Projection = dict[str, Any]  # a field's name to the projection of what lies below, or to None: everything


def _projection(paths: Iterable[str]) -> _Projection:
    root: _Projection = {}
    for path in sorted(paths):  # a path comes before the paths below it, and then covers them
        *parents, last = path.split(".")
        node: _Projection | None = root
        for name in parents:
            node = node.setdefault(name, {}) if node is not None else None
        if node is not None:
            node[last] = None
    return root


def _projected(source: Mapping[str, Any], projection: _Projection) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, below in projection.items():
        value = source.get(name)
        if value is None:
            continue
        if below is None:
            result[name] = value
        elif isinstance(value, dict) and (part := _projected(value, below)):
            result[name] = part
    return result
