"""Schedules in Quartz's notation."""

import pytest

from headrace.audience.cron import parse_cron
from headrace.audience.errors import ScheduleInvalid
from headrace.clock import iso_seconds, parse_iso

NOW = "2027-02-14T08:00:00Z"  # a Sunday


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 40 2 * * ?", ["2027-02-15T02:40:00Z", "2027-02-16T02:40:00Z"]),
        ("0 0 8 * * ?", ["2027-02-15T08:00:00Z", "2027-02-16T08:00:00Z"]),
        ("30 0 8 * * ?", ["2027-02-14T08:00:30Z", "2027-02-15T08:00:30Z"]),
        ("0 0/20 9-10 * * ?", ["2027-02-14T09:00:00Z", "2027-02-14T09:20:00Z"]),
        ("0 0 1 1,15 * ?", ["2027-02-15T01:00:00Z", "2027-03-01T01:00:00Z"]),
        ("0 0 1 L * ?", ["2027-02-28T01:00:00Z", "2027-03-31T01:00:00Z"]),
        ("0 0 1 L-3 * ?", ["2027-02-25T01:00:00Z", "2027-03-28T01:00:00Z"]),
        ("0 0 1 LW * ?", ["2027-02-26T01:00:00Z", "2027-03-31T01:00:00Z"]),
        ("0 0 1 15W * ?", ["2027-02-15T01:00:00Z", "2027-03-15T01:00:00Z"]),
        ("0 0 1 1W * ?", ["2027-03-01T01:00:00Z", "2027-04-01T01:00:00Z"]),
        ("0 0 1 ? * MON-FRI", ["2027-02-15T01:00:00Z", "2027-02-16T01:00:00Z"]),
        ("0 0 1 ? * fri-mon", ["2027-02-15T01:00:00Z", "2027-02-19T01:00:00Z"]),
        ("0 0 1 ? * 1", ["2027-02-21T01:00:00Z", "2027-02-28T01:00:00Z"]),
        ("0 0 1 ? * 5L", ["2027-02-25T01:00:00Z", "2027-03-25T01:00:00Z"]),
        ("0 0 1 ? * L", ["2027-02-20T01:00:00Z", "2027-02-27T01:00:00Z"]),
        ("0 0 1 ? * 6#2", ["2027-03-12T01:00:00Z", "2027-04-09T01:00:00Z"]),
        ("0 0 1 29 FEB ?", ["2028-02-29T01:00:00Z", "2032-02-29T01:00:00Z"]),
        ("0 0 1 1 JAN ? 2029/2", ["2029-01-01T01:00:00Z", "2031-01-01T01:00:00Z"]),
    ],
)
def test_next_instants_follow_the_notation(cron: str, expected: list[str]) -> None:
    schedule, instant, found = parse_cron(cron), parse_iso(NOW), []
    for _ in expected:
        following = schedule.next_after(instant)
        assert following is not None
        found.append(iso_seconds(following))
        instant = following
    assert found == expected


def test_a_past_year_never_comes() -> None:
    assert parse_cron("0 0 1 1 1 ? 2020").next_after(parse_iso(NOW)) is None


@pytest.mark.parametrize(
    ("cron", "reason"),
    [
        ("0 0 1 * *", "has 5 fields"),
        ("0 0 1 * * *", "exactly one of"),
        ("0 0 1 ? * ?", "exactly one of"),
        ("0 60 1 * * ?", "'60' is no value of the field minutes"),
        ("0 0 1 32 * ?", "'32' is no value of the field day of month"),
        ("0 0 1 ? * FOO", "'FOO' is no value of the field day of week"),
        ("0 0 1 * 13 ?", "'13' is no value of the field month"),
        ("0 0/0 1 * * ?", "no step of the field minutes"),
        ("x 0 1 * * ?", "'x' is no value of the field seconds"),
    ],
)
def test_wrong_notation_names_the_field(cron: str, reason: str) -> None:
    with pytest.raises(ScheduleInvalid, match=reason.replace("'", ".").replace("?", ".")):
        parse_cron(cron)
