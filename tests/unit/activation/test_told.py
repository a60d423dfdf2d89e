"""A backfill does not repeat what live messages have told."""

from headrace.activation.told import Told
from headrace.model import Change, MembershipChange

ADA, BOB = b"a" * 16, b"b" * 16
MAPPED = frozenset({1, 2})


def live(person_id: bytes, *changed: MembershipChange) -> Change:
    return Change(1, person_id, 5, changed, (), (), False, {}, (), {}, {})


def backfill(person_id: bytes, audiences: tuple[int, ...], *memberships: MembershipChange) -> Change:
    since = {item.audience: item.changed_at_ms for item in memberships}
    return Change(1, person_id, 9, (), (), (), False, {}, (), since, {}, "flow", audiences)


def entry(audience: int, at_ms: int = 5) -> MembershipChange:
    return MembershipChange(audience, True, at_ms)


def test_entry_that_was_told_is_not_told_again() -> None:
    told = Told()
    told.note(live(ADA, entry(1)), MAPPED)
    assert told.has_told(backfill(ADA, (1,), entry(1)))
    assert not told.has_told(backfill(BOB, (1,), entry(1)))


def test_everything_that_the_backfill_tells_must_have_been_told() -> None:
    told = Told()
    told.note(live(ADA, entry(1)), MAPPED)
    assert not told.has_told(backfill(ADA, (1, 2), entry(1), entry(2)))
    assert told.has_told(backfill(ADA, (1,), entry(1), entry(2)))


def test_another_entry_into_the_same_audience_is_news() -> None:
    told = Told()
    told.note(live(ADA, entry(1, 5)), MAPPED)
    assert not told.has_told(backfill(ADA, (1,), entry(1, 7)))


def test_exit_and_audiences_that_are_not_mapped_are_not_remembered() -> None:
    told = Told()
    told.note(live(ADA, entry(3)), MAPPED)
    assert not told.has_told(backfill(ADA, (3,), entry(3)))
    told.note(live(ADA, entry(1)), MAPPED)
    told.note(live(ADA, MembershipChange(1, False, 6)), MAPPED)
    assert not told.has_told(backfill(ADA, (1,), entry(1)))


def test_memory_is_bounded_and_forgets_the_oldest() -> None:
    told = Told(most=2)
    for person_id in (ADA, BOB, b"c" * 16):
        told.note(live(person_id, entry(1)), MAPPED)
    assert not told.has_told(backfill(ADA, (1,), entry(1)))
    assert told.has_told(backfill(BOB, (1,), entry(1)))
