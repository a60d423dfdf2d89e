"""Keeping a person's memberships of streaming audiences true, at each record and at each instant that matters."""

from collections.abc import Mapping, Set
from typing import Any

from headrace.model import MembershipChange
from headrace.pql.compile.streaming import Program
from headrace.profile.person import Person
from headrace.profile.working_set import WorkingSet

EXITED_KEPT_MS = 30 * 86_400_000


def evaluate(
    working: WorkingSet,
    sandbox: int,
    program: Program,
    person: Person,
    numbers: Set[int],
    profile: Mapping[str, Any],
    now_ms: int,
) -> list[MembershipChange]:
    """Evaluate some audiences for a person and write what changed into the document, the counters and the timer queue.

    Args:
        working: The micro-batch.
        sandbox: Number of the sandbox.
        program: The sandbox's streaming audiences.
        person: The person; its document must be touched by the caller.
        numbers: Audiences to evaluate; those that refer to a changed one follow by themselves.
        profile: The merged profile.
        now_ms: The instant of the evaluation.

    Returns:
        What changed, in the order of evaluation.
    """
    members = person.member_since
    changes = []
    for number in program.evaluate(numbers, profile, person.kept, members, person.dues, now_ms):
        is_member = number in members
        if is_member:
            person.exited_at.pop(number, None)
        else:
            person.exited_at[number] = now_ms
        working.count_member(sandbox, number, 1 if is_member else -1)
        changes.append(MembershipChange(number, is_member, now_ms))
    set_timer(working, sandbox, person)
    return changes


def set_membership(
    working: WorkingSet, sandbox: int, person: Person, number: int, is_member: bool, at_ms: int
) -> MembershipChange | None:
    """Set one membership; returns the change, None when it was so already."""
    if (number in person.member_since) is is_member:
        return None
    if is_member:
        person.exited_at.pop(number, None)
        person.member_since[number] = at_ms
    else:
        del person.member_since[number]
        person.exited_at[number] = at_ms
    working.count_member(sandbox, number, 1 if is_member else -1)
    return MembershipChange(number, is_member, at_ms)


def set_timer(working: WorkingSet, sandbox: int, person: Person) -> None:
    """Set the person's timer to the earliest due instant."""
    working.set_timer(sandbox, person, min(person.dues.values()) if person.dues else 0)


def take_due(program: Program, person: Person, now_ms: int) -> list[int]:
    """Return the audiences whose instant has come, and drop the dues of audiences that are no longer evaluated."""
    due = [number for number, due_ms in person.dues.items() if due_ms <= now_ms]
    for number in due:
        del person.dues[number]
    return [number for number in due if number in program.numbers]


def forget_long_exited(person: Person, now_ms: int) -> None:
    """Drop memberships that ended more than 30 days ago."""
    limit = now_ms - EXITED_KEPT_MS
    for number in [number for number, at_ms in person.exited_at.items() if at_ms < limit]:
        del person.exited_at[number]
