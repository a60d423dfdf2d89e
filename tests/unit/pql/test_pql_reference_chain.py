"""Sequences of events, as the reference evaluator defines them."""

import pytest

from tests.unit.pql.retail import event, holds, track


def chain(terms: str, *steps: str) -> bool:
    """Evaluate a chain; a term ``A: view …`` asks for the event type ``view``."""
    return holds(f"chain(xEvent, timestamp, [{terms}])", {}, track(*steps))


A, B, C = ('A: WHAT(eventType = "a")', 'B: WHAT(eventType = "b")', 'C: WHAT(eventType = "c")')


def test_terms_are_strictly_ordered_in_time() -> None:
    assert chain(f"{A}, {B}", "09:00 a", "09:01 b")
    assert not chain(f"{A}, {B}", "09:01 a", "09:00 b")
    assert not chain(f"{A}, {B}", "09:00 a", "09:00 b")
    assert not chain(f"{B}, {A}", "09:00 a", "09:00 b")


def test_one_event_serves_one_term() -> None:
    both = 'A: WHAT(eventType = "a"), B: WHAT(eventType = "a")'
    assert not chain(both, "09:00 a")
    assert chain(both, "09:00 a", "09:01 a")


def test_choice_is_existential_not_the_first_match() -> None:
    terms = f"{A}, {B} WHEN(<= 10 minutes after A)"
    assert chain(terms, "08:00 a", "09:00 a", "09:05 b")
    assert not chain(terms, "08:00 a", "09:05 b")


def test_label_relative_window_has_both_ends() -> None:
    terms = f"{A}, {B} WHEN(>= 1 hour after A and <= 2 hours after A)"
    assert chain(terms, "07:00 a", "08:30 b")
    assert not chain(terms, "07:00 a", "07:30 b")
    assert not chain(terms, "07:00 a", "09:30 b")
    assert chain(terms, "07:00 a", "07:30 b", "09:00 b")


@pytest.mark.parametrize(
    ("count", "numbers"),
    [
        ("2", {2, 3, 4}),
        (">= 2", {2, 3, 4}),
        ("> 2", {3, 4}),
        ("= 2", {2}),
        ("<= 2", {0, 1, 2}),
        ("< 2", {0, 1}),
        ("1, 3", {1, 2, 3}),
        ("0", {0}),
        (">= 0", {0, 1, 2, 3, 4}),
    ],
)
def test_count_of_a_single_term(count: str, numbers: set[int]) -> None:
    found = {n for n in range(5) if chain(f"{A} COUNT({count})", *(f"09:0{i} a" for i in range(n)))}
    assert found == numbers


def test_next_term_starts_after_the_last_counted_event() -> None:
    assert chain(f"{A} COUNT(2), {B}", "09:00 a", "09:01 a", "09:02 b")
    assert not chain(f"{A} COUNT(2), {B}", "09:00 a", "09:02 b", "09:03 a")


def test_label_is_the_time_of_the_last_counted_event() -> None:
    terms = f"{A} COUNT(2), {B} WHEN(<= 5 minutes after A)"
    assert chain(terms, "08:00 a", "09:00 a", "09:04 b")
    assert not chain(terms, "09:00 a", "09:01 a", "09:30 b")


def test_bounded_count_counts_all_events_between_the_neighbours() -> None:
    terms = f"{A}, {B} COUNT(= 2), {C}"
    assert chain(terms, "09:00 a", "09:01 b", "09:02 b", "09:03 c")
    assert not chain(terms, "09:00 a", "09:01 b", "09:02 b", "09:03 b", "09:04 c")
    assert chain(terms, "09:00 a", "09:01 b", "09:01 a", "09:02 b", "09:03 b", "09:04 c")


def test_bounded_count_with_lower_end_zero_may_be_empty() -> None:
    terms = f"{A}, {B} COUNT(<= 1), {C}"
    assert chain(terms, "09:00 a", "09:04 c")
    assert chain(terms, "09:00 a", "09:01 b", "09:04 c")
    assert not chain(terms, "09:00 a", "09:01 b", "09:02 b", "09:04 c")


def test_absence_between_two_events() -> None:
    terms = f"{A}, {B} COUNT(0), {C}"
    assert chain(terms, "09:00 a", "09:02 c")
    assert not chain(terms, "09:00 a", "09:01 b", "09:02 c")
    assert chain(terms, "08:00 b", "09:00 a", "09:02 c", "09:03 b")
    assert chain(terms, "09:00 a", "09:01 b", "09:02 a", "09:03 c")


def test_absence_before_the_first_and_after_the_last() -> None:
    assert chain(f"{B} COUNT(0), {A}", "09:00 a", "09:01 b")
    assert not chain(f"{B} COUNT(0), {A}", "09:00 b", "09:01 a")
    assert chain(f"{A}, {B} COUNT(0)", "09:00 b", "09:01 a")
    assert not chain(f"{A}, {B} COUNT(0)", "09:00 a", "09:01 b")


def test_absence_after_the_last_is_limited_by_its_window() -> None:
    terms = f"{A}, {B} WHEN(<= 1 hour after A) COUNT(0)"
    assert chain(terms, "07:00 a", "09:00 b")
    assert not chain(terms, "07:00 a", "07:30 b")


def test_absence_alone_is_not_the_chain() -> None:
    assert chain(f"{A} WHEN(<= 1 hour before now) COUNT(0)", "08:00 a")
    assert not chain(f"{A} WHEN(<= 1 hour before now) COUNT(0)", "09:30 a")


def test_several_absences_share_an_interval() -> None:
    terms = f"{A}, {B} COUNT(0), {C} COUNT(0)"
    assert chain(terms, "09:00 a")
    assert not chain(terms, "09:00 a", "09:01 c")
    assert not chain(terms, "09:00 a", "09:01 b")


def test_where_sees_the_event_and_the_profile_through_a_caret() -> None:
    text = 'chain(xEvent, timestamp, [A: WHAT(eventType = "a") WHERE(price > ^.person.age)])'
    assert holds(text, {"person": {"age": 3}}, [event("1", "09:00", "a", price=4.0)])
    assert not holds(text, {"person": {"age": 5}}, [event("1", "09:00", "a", price=4.0)])


def test_events_without_time_take_no_part() -> None:
    untimed = {"_id": "1", "eventType": "a"}
    assert not holds(f"chain(xEvent, timestamp, [{A}])", {}, [untimed])
    assert holds(f"chain(xEvent, timestamp, [{A} COUNT(0)])", {}, [untimed])


def test_chain_over_an_array_of_the_profile() -> None:
    orders = [{"placedAt": "2025-03-01T00:00:00Z", "paid": True}, {"placedAt": "2025-03-02T00:00:00Z", "paid": False}]
    text = "chain(_acme.orders, placedAt, [A: WHAT(paid), B: WHAT(not paid)])"
    assert holds(text, {"_acme": {"orders": orders}})
    assert not holds(text, {"_acme": {"orders": orders[:1]}})
    assert not holds(text)


def test_chain_over_filtered_events() -> None:
    text = 'chain(xEvent[channel = "web"], timestamp, [A: WHAT(eventType = "a"), B: WHAT(eventType = "b")])'
    events = [event("1", "09:00", "a", channel="web"), event("2", "09:01", "b", channel="app")]
    assert not holds(text, {}, events)
    assert holds(text, {}, [*events, event("3", "09:02", "b", channel="web")])
