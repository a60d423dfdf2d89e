"""How one record or event changes a person's document."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from headrace.clock import parse_iso
from headrace.identity.graph import absorb
from headrace.model import Operation
from headrace.profile.merge import apply_upsert
from headrace.profile.person import Fragment, Person, encode_record

_MIN_64, _MAX_64 = -(1 << 63), (1 << 63) - 1
_FLOAT_BITS = 1023  # more do not fit into a floating-point number


def bounded(value: Any) -> Any:
    """Return a record with integers beyond 64 bits as floating-point numbers: a valid ``number``, but none for the store."""
    if isinstance(value, dict):
        return {name: bounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [bounded(item) for item in value]
    if type(value) is int and not _MIN_64 <= value <= _MAX_64:
        return float(value) if value.bit_length() <= _FLOAT_BITS else None
    return value


def source_time_ms(record: Mapping[str, Any]) -> int | None:
    """Return the source's own time of the record (``extSourceSystemAudit.lastUpdatedDate``), None without a valid one."""
    audit = record.get("extSourceSystemAudit")
    stated = audit.get("lastUpdatedDate") if isinstance(audit, dict) else None
    if isinstance(stated, str):
        with suppress(ValueError):
            return parse_iso(stated)
    return None


def write_fragment(
    person: Person,
    vertex: int,
    dataset: int,
    record: dict[str, Any],
    operation: Operation,
    *,
    accepted_at_ms: int,
    offset: int,
    batch_id: str = "",
) -> bool:
    """Apply a record to the fragment of (vertex, dataset).

    Returns:
        Whether anything was written: a record whose source time is not newer than the stored one is discarded.
    """
    position = _fragment_position(person, vertex, dataset)
    present = person.fragments[position] if position is not None else None
    if operation == "delete":
        if position is not None:
            del person.fragments[position]
        return position is not None
    stated = source_time_ms(record)
    if present is not None and stated is not None:
        stored = source_time_ms(present.record())
        if stored is not None and stated <= stored:
            return False
    body = apply_upsert(present.record(), record) if operation == "merge" and present is not None else record
    written = Fragment(vertex, dataset, stated or accepted_at_ms, accepted_at_ms, offset, encode_record(body), batch_id)
    if position is None:
        person.fragments.append(written)
    else:
        person.fragments[position] = written
    return True


def _fragment_position(person: Person, vertex: int, dataset: int) -> int | None:
    for position, fragment in enumerate(person.fragments):
        if fragment.vertex == vertex and fragment.dataset == dataset:
            return position
    return None


def absorb_person(person: Person, other: Person) -> None:
    """Make ``other``'s graph, fragments and memberships ``person``'s.

    Memberships become the union: being a member wins over having left, the later time is kept. What is kept of events and
    the dues are not joined here: whoever calls evaluates the person anew.
    """
    moved = absorb(person.vertices, person.links, other.vertices, other.links)
    for fragment in other.fragments:
        fragment.vertex = moved[fragment.vertex]
        position = _fragment_position(person, fragment.vertex, fragment.dataset)
        if position is None:
            person.fragments.append(fragment)
        elif person.fragments[position].offset < fragment.offset:
            person.fragments[position] = fragment
    _join_memberships(person, other)
    person.events += other.events
    person.updated_at_ms = max(person.updated_at_ms, other.updated_at_ms)
    person.last_event_ms = max(person.last_event_ms, other.last_event_ms)
    person.offset = max(person.offset, other.offset)


def _join_memberships(person: Person, other: Person) -> None:
    for into, joined in ((person.member_since, other.member_since), (person.exited_at, other.exited_at)):
        for audience, at_ms in joined.items():
            into[audience] = max(at_ms, into.get(audience, at_ms))
    for audience in person.exited_at.keys() & person.member_since.keys():
        del person.exited_at[audience]


def is_larger(a: Person, b: Person) -> bool:
    """Whether ``a`` keeps its id when both become one person: the larger graph does, then the older, then the smaller id."""
    return _rank(a) < _rank(b)


def _rank(person: Person) -> tuple[int, int, bytes]:
    return -len(person.vertices), min(vertex.first_seen_ms for vertex in person.vertices), person.id
