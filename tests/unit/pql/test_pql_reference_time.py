"""Time, as the reference evaluator defines it. Now is Friday 2025-03-14T10:00Z unless a case says otherwise."""

from datetime import UTC, date, datetime

import pytest

from headrace.clock import parse_iso
from headrace.pql import evaluate
from tests.unit.pql.retail import bound, event, holds, value


def joined(at: str | int | datetime) -> dict[str, object]:
    return {"loyalty": {"joinDate": at}}


def born(day: str | date) -> dict[str, object]:
    return {"person": {"birthDate": day}}


@pytest.mark.parametrize(
    ("when", "inside", "outside"),
    [
        ("today", ["2025-03-14T00:00:00Z", "2025-03-14T23:59:59.999Z"], ["2025-03-13T23:59:59.999Z", "2025-03-15T00:00:00Z"]),
        ("on yesterday", ["2025-03-13T12:00:00Z"], ["2025-03-14T00:00:00Z"]),
        ("this hour", ["2025-03-14T10:00:00Z", "2025-03-14T10:59:59Z"], ["2025-03-14T09:59:59Z", "2025-03-14T11:00:00Z"]),
        ("last week", ["2025-03-03T00:00:00Z", "2025-03-09T23:59:59Z"], ["2025-03-10T00:00:00Z", "2025-03-02T23:59:59Z"]),
        ("last month", ["2025-02-01T00:00:00Z", "2025-02-28T23:59:59Z"], ["2025-03-01T00:00:00Z", "2025-01-31T23:59:59Z"]),
        ("this year", ["2025-01-01T00:00:00Z"], ["2024-12-31T23:59:59Z"]),
        ("next decade", ["2030-01-01T00:00:00Z"], ["2029-12-31T23:59:59Z", "2040-01-01T00:00:00Z"]),
        ("this century", ["2000-01-01T00:00:00Z", "2099-12-31T00:00:00Z"], ["1999-12-31T00:00:00Z"]),
        ("now", ["2025-03-14T10:00:00Z"], ["2025-03-14T10:00:00.001Z"]),
        ("before today", ["2025-03-13T23:59:59.999Z"], ["2025-03-14T00:00:00Z"]),
        ("after today", ["2025-03-15T00:00:00Z"], ["2025-03-14T23:59:59Z"]),
        ("after now", ["2025-03-14T10:00:00.001Z"], ["2025-03-14T10:00:00Z"]),
        ("before this month", ["2025-02-28T23:59:59Z"], ["2025-03-01T00:00:00Z"]),
        (
            "between date(2025, 1, 8) and date(2025, 2, 1)",
            ["2025-01-08T00:00:00Z", "2025-02-01T23:59:59Z"],
            ["2025-01-07T23:59:59Z", "2025-02-02T00:00:00Z"],
        ),
        ("between yesterday and now", ["2025-03-13T00:00:00Z", "2025-03-14T10:00:00Z"], ["2025-03-14T10:00:00.001Z"]),
        (
            "<= 3 days before now",
            ["2025-03-11T10:00:00Z", "2025-03-14T10:00:00Z"],
            ["2025-03-11T09:59:59.999Z", "2025-03-14T10:00:00.001Z"],
        ),
        ("< 3 days before now", ["2025-03-11T10:00:00.001Z"], ["2025-03-11T10:00:00Z"]),
        (">= 3 days before now", ["2025-03-11T10:00:00Z"], ["2025-03-11T10:00:00.001Z"]),
        ("> 3 days before now", ["2025-03-11T09:59:59.999Z"], ["2025-03-11T10:00:00Z"]),
        (
            "<= 30 days after now",
            ["2025-03-14T10:00:00Z", "2025-04-13T10:00:00Z"],
            ["2025-03-14T09:59:59Z", "2025-04-13T10:00:00.001Z"],
        ),
        (
            "<= 1 month before today",
            ["2025-02-14T00:00:00Z", "2025-03-14T00:00:00Z"],
            ["2025-02-13T23:59:59Z", "2025-03-14T00:00:00.001Z"],
        ),
        ("<= 7 days from date(2025, 6, 1)", ["2025-05-25T00:00:00Z", "2025-06-08T00:00:00Z"], ["2025-06-08T00:00:00.001Z"]),
        ("> 7 days from date(2025, 6, 1)", ["2025-05-24T23:59:59Z", "2025-06-08T00:00:00.001Z"], ["2025-06-08T00:00:00Z"]),
        (
            "= 3 hours before now",
            ["2025-03-14T07:00:00Z", "2025-03-14T06:00:00.001Z"],
            ["2025-03-14T06:00:00Z", "2025-03-14T07:00:00.001Z"],
        ),
        (
            "= 3 days before today",
            ["2025-03-11T00:00:00Z", "2025-03-11T23:59:59Z"],
            ["2025-03-12T00:00:00Z", "2025-03-17T12:00:00Z"],
        ),
        ("= 3 days from today", ["2025-03-11T12:00:00Z", "2025-03-17T12:00:00Z"], ["2025-03-12T12:00:00Z"]),
        (
            "!= 3 days before today",
            ["2025-03-10T12:00:00Z", "2025-03-13T12:00:00Z"],
            ["2025-03-11T12:00:00Z", "2025-03-15T00:00:00Z"],
        ),
        (
            "!= 3 days from today",
            ["2025-03-10T12:00:00Z", "2025-03-16T12:00:00Z"],
            ["2025-03-11T12:00:00Z", "2025-03-17T00:00:00Z"],
        ),
        ('before "2025-03-01"', ["2025-02-28T23:59:59Z"], ["2025-03-01T00:00:00Z"]),
        ('on "2025-03-01"', ["2025-03-01T13:00:00Z"], ["2025-03-02T00:00:00Z"]),
    ],
)
def test_occurs_form(when: str, inside: list[str], outside: list[str]) -> None:
    for at in inside:
        assert holds(f"loyalty.joinDate occurs {when}", joined(at)), at
    for at in outside:
        assert not holds(f"loyalty.joinDate occurs {when}", joined(at)), at


@pytest.mark.parametrize(
    ("day", "now", "expected"),
    [
        ("2007-03-14", "2025-03-14T00:00:00Z", True),
        ("2007-03-15", "2025-03-14T23:59:59Z", False),
        ("2004-02-29", "2022-02-28T12:00:00Z", False),
        ("2004-02-29", "2022-03-01T00:00:00Z", True),
    ],
)
def test_at_least_eighteen_years_turns_true_on_the_birthday(day: str, now: str, expected: bool) -> None:
    assert holds("person.birthDate occurs >= 18 years before today", born(day), now=now) is expected


def test_month_shift_clamps_to_the_last_day_of_the_month() -> None:
    text = "loyalty.joinDate occurs >= 1 month before now"
    assert holds(text, joined("2025-02-28T10:00:00Z"), now="2025-03-31T10:00:00Z")
    assert not holds(text, joined("2025-02-28T10:00:00.001Z"), now="2025-03-31T10:00:00Z")


def test_leap_day_is_its_own_day() -> None:
    assert holds("person.birthDate occurs = 4 years before today", born("2020-02-29"), now="2024-02-29T08:00:00Z")
    assert not holds("person.birthDate occurs = 5 years before today", born("2020-02-29"), now="2025-02-28T08:00:00Z")
    assert not holds("ignoreYear(person.birthDate) = ignoreYear(today)", born("2020-02-29"), now="2025-02-28T08:00:00Z")
    assert value("ignoreYear(person.birthDate)", born("2020-02-29")) == 229


def test_parts_of_times_are_in_utc() -> None:
    at = joined("2025-01-01T00:30:00+01:00")
    assert value("loyalty.joinDate.getYear()", at) == 2024
    assert value("loyalty.joinDate.getMonth()", at) == 12
    assert value("loyalty.joinDate.getDayOfMonth()", at) == 31
    assert value("currentMonth() * 10000 + currentDayOfMonth() * 100 + currentYear() % 100") == 31425


def test_record_times_may_be_text_date_time_or_epoch_milliseconds() -> None:
    instant = datetime(2025, 3, 14, 9, tzinfo=UTC)
    for at in (
        "2025-03-14T09:00:00Z",
        "2025-03-14T10:00:00+01:00",
        instant,
        instant.replace(tzinfo=None),
        parse_iso("2025-03-14T09:00:00Z"),
    ):
        assert holds("loyalty.joinDate occurs = 1 hour before now", joined(at)), at
    for day in ("2025-03-14", date(2025, 3, 14)):
        assert holds("person.birthDate occurs today", born(day)), day
    assert not holds("loyalty.joinDate.isNotNull()", joined("soon"))


def test_evaluation_instant_may_be_a_date_time() -> None:
    root = bound("loyalty.joinDate occurs today")
    assert evaluate(root, joined("2025-03-14T09:00:00Z"), now=datetime(2025, 3, 14, 20, tzinfo=UTC))


def test_date_and_date_time_compare_as_instants() -> None:
    profile = {"person": {"birthDate": "2025-03-14"}, "loyalty": {"joinDate": "2025-03-14T00:00:00Z"}}
    assert holds("person.birthDate = loyalty.joinDate and person.birthDate = today and loyalty.joinDate < now", profile)
    assert holds('person.birthDate = "2025-03-14" and loyalty.joinDate >= "2025-03-14T00:00:00Z"', profile)


def test_dates_are_made_from_their_parts() -> None:
    assert value("date(1970, 1, 2)") == 86_400_000
    assert value("date(1970, 1, person.age)", {"person": {"age": 2}}) == 86_400_000
    assert value("date(1970, 2, person.age)", {"person": {"age": 30}}) is None


def test_any_time_of_a_path_may_be_the_one() -> None:
    events = [event("1", "2025-03-01T00:00:00Z"), event("2", "09:30")]
    assert holds("xEvent.timestamp occurs <= 1 hour before now", {}, events)
    assert not holds("xEvent.timestamp occurs <= 1 minute before now", {}, events)


def test_far_shifts_stay_within_the_calendar() -> None:
    assert holds("loyalty.joinDate occurs <= 999999999 millennia before now", joined("1000-01-01T00:00:00Z"))
    assert holds("loyalty.joinDate occurs <= 999999999 weeks after now", joined("3000-01-01T00:00:00Z"))
