"""From what happened to a person to the outgoing change, when a dataflow wants to hear of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.activation.interest import Interest
from headrace.model import Change, MembershipChange
from headrace.profile.merge import restricted, value_at
from headrace.profile.person import Person

Paths = Sequence[tuple[str, ...]]


def written_paths(paths: Paths, record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return those of ``paths`` (dotted) that a record writes, null included."""
    return tuple(".".join(path) for path in paths if _is_named(record, path))


def _is_named(record: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    node: Any = record
    for name in path:
        if not isinstance(node, dict) or name not in node:
            return False
        node = node[name]
    return True


def changed_paths(paths: Paths, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return those of ``paths`` (dotted) whose value differs between two merged profiles."""
    return tuple(".".join(path) for path in paths if value_at(before, path) != value_at(after, path))


def outgoing_change(
    interest: Interest,
    paths: Paths,
    sandbox: int,
    person: Person,
    profile: Mapping[str, Any],
    *,
    at_ms: int,
    memberships: Sequence[MembershipChange] = (),
    written: tuple[str, ...] = (),
    changed: tuple[str, ...] = (),
    are_identities_changed: bool = False,
) -> Change | None:
    """Return the change to append to the topic ``changes``, None when no active dataflow asks for it.

    A dataflow asks for a membership change of an audience that it maps, and for a mapped attribute or an identity of a
    person who is in one of its audiences.
    """
    if not interest.audiences:
        return None
    is_wanted = any(item.audience in interest.audiences for item in memberships)
    if not is_wanted and (written or changed or are_identities_changed):
        is_wanted = not interest.audiences.isdisjoint(person.member_since)
    if not is_wanted:
        return None
    return Change(
        sandbox=sandbox,
        person_id=person.id,
        at_ms=at_ms,
        memberships_changed=tuple(memberships),
        attributes_written=written,
        attributes_changed=changed,
        are_identities_changed=are_identities_changed,
        attributes=restricted(profile, paths),
        identities=tuple(person.identities),
        member_since=person.member_since,
        exited_at=person.exited_at,
    )


def backfill_change(
    paths: Paths,
    sandbox: int,
    person: Person,
    profile: Mapping[str, Any],
    *,
    at_ms: int,
    flow_id: str,
    audiences: tuple[int, ...],
) -> Change:
    """Return the change that repeats a person's present state for one dataflow."""
    return Change(
        sandbox=sandbox,
        person_id=person.id,
        at_ms=at_ms,
        memberships_changed=(),
        attributes_written=(),
        attributes_changed=(),
        are_identities_changed=False,
        backfill_flow=flow_id,
        backfill_audiences=audiences,
        attributes=restricted(profile, paths),
        identities=tuple(person.identities),
        member_since=person.member_since,
        exited_at=person.exited_at,
    )
