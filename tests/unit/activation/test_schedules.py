from typing import Any

import pytest

from headrace.activation.errors import ScheduleInvalid
from headrace.activation.schedules import FULL, INCREMENTAL, ExportMode, Schedule, parse_dataset_schedule, parse_schedule
from headrace.clock import iso_seconds, parse_iso

OFFERED = {
    FULL: ("ONCE", "DAILY", "WEEKLY", "MONTHLY"),
    INCREMENTAL: ("DAILY", "EVERY_3_HOURS", "EVERY_6_HOURS", "EVERY_8_HOURS", "EVERY_12_HOURS"),
}


def parsed(mode: ExportMode = FULL, **changes: Any) -> Schedule:
    given = {"frequency": "DAILY", "triggerType": "SCHEDULED", "startDate": "2027-01-04", "startTime": "04:00", **changes}
    given = {name: value for name, value in given.items() if value is not None}
    return parse_schedule(given, mode, "/schedule", offered=OFFERED[mode])


def dues(schedule: Schedule, after: str, count: int) -> list[str]:
    found: list[str] = []
    due = schedule.due_after(parse_iso(after))
    while due is not None and len(found) < count:
        found.append(iso_seconds(due))
        due = schedule.due_after(due)
    return found


def test_daily_exports_end_on_the_day_before_the_end_date() -> None:
    schedule = parsed(endDate="2027-01-07")
    assert dues(schedule, "2027-01-01T00:00:00Z", 9) == [f"2027-01-0{day}T04:00:00Z" for day in (4, 5, 6)]


def test_increments_begin_at_the_start_time_and_repeat_every_six_hours() -> None:
    schedule = parsed(INCREMENTAL, frequency="EVERY_6_HOURS", startTime="22:00")
    assert dues(schedule, "2027-01-04T21:00:00Z", 3) == ["2027-01-04T22:00:00Z", "2027-01-05T04:00:00Z", "2027-01-05T10:00:00Z"]


def test_monthly_exports_fall_on_the_last_day_of_short_months() -> None:
    schedule = parsed(frequency="MONTHLY", startDate="2027-01-31")
    assert dues(schedule, "2027-01-01T00:00:00Z", 4) == [
        "2027-01-31T04:00:00Z",
        "2027-02-28T04:00:00Z",
        "2027-03-31T04:00:00Z",
        "2027-04-30T04:00:00Z",
    ]


def test_monthly_exports_cross_the_year() -> None:
    schedule = parsed(frequency="MONTHLY", startDate="2026-11-30")
    assert dues(schedule, "2026-12-01T00:00:00Z", 3) == ["2026-12-30T04:00:00Z", "2027-01-30T04:00:00Z", "2027-02-28T04:00:00Z"]


def test_weekly_exports_keep_the_weekday_of_the_start_date() -> None:
    assert dues(parsed(frequency="WEEKLY"), "2027-01-05T00:00:00Z", 2) == ["2027-01-11T04:00:00Z", "2027-01-18T04:00:00Z"]


def test_a_single_export_is_due_once() -> None:
    assert dues(parsed(frequency="ONCE"), "2027-01-01T00:00:00Z", 3) == ["2027-01-04T04:00:00Z"]


def test_missed_instants_are_merged_into_the_last_one() -> None:
    due = parsed().due_between(parse_iso("2027-01-04T04:00:00Z"), parse_iso("2027-01-09T12:00:00Z"))
    assert due is not None
    assert iso_seconds(due) == "2027-01-09T04:00:00Z"


def test_exports_after_evaluation_have_no_instants_but_cover_days() -> None:
    schedule = parsed(triggerType="AFTER_SEGMENT_EVAL", startTime=None, endDate="2027-01-06")
    assert schedule.due_after(0) is None
    assert [schedule.covers(parse_iso(f"2027-01-0{day}T12:00:00Z")) for day in (3, 4, 5, 6)] == [False, True, True, False]


def test_trigger_defaults_to_scheduled() -> None:
    assert parsed(triggerType=None).trigger == "SCHEDULED"


@pytest.mark.parametrize(
    ("mode", "changes", "field"),
    [
        (FULL, {"frequency": "HOURLY"}, "frequency"),
        (FULL, {"frequency": "CHAINED"}, "frequency"),
        (FULL, {"frequency": "EVERY_3_HOURS"}, "frequency"),
        (INCREMENTAL, {"frequency": "ONCE"}, "frequency"),
        (INCREMENTAL, {"triggerType": "AFTER_SEGMENT_EVAL"}, "triggerType"),
        (FULL, {"frequency": "WEEKLY", "triggerType": "AFTER_SEGMENT_EVAL"}, "triggerType"),
        (FULL, {"triggerType": "AFTER_SEGMENT_EVAL"}, "startTime"),
        (FULL, {"startTime": "04:30"}, "startTime"),
        (FULL, {"startTime": None}, "startTime"),
        (FULL, {"startTime": "24:00"}, "startTime"),
        (FULL, {"startDate": None}, "startDate"),
        (FULL, {"startDate": "20270104"}, "startDate"),
        (FULL, {"endDate": "2027-01-04"}, "endDate"),
        (FULL, {"frequency": "ONCE", "endDate": "2027-02-01"}, "endDate"),
    ],
)
def test_schedule_that_breaks_a_rule_is_refused_by_field(mode: ExportMode, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ScheduleInvalid) as refused:
        parsed(mode, **changes)
    assert refused.value.path == f"/schedule/{field}"


def test_dataset_schedule_reads_seconds_and_either_spelling_of_the_folder() -> None:
    schedule = parse_dataset_schedule(
        {
            "exportMode": "FIRST_FULL_THEN_INCREMENTAL",
            "timeUnit": "hour",
            "interval": "6",
            "startTime": "1800000000",
            "foldernameTemplate": "%DATASET_ID%",
        },
        0,
    )
    assert (schedule.interval_hours, schedule.start_at_ms, schedule.folder_name_template) == (6, 1800000000000, "%DATASET_ID%")
    assert schedule.due_after(1800000000000) == 1800000000000 + 6 * 3_600_000


def test_single_dataset_export_is_day_zero() -> None:
    schedule = parse_dataset_schedule({"exportMode": "DAILY_FULL_EXPORT", "timeUnit": "day", "interval": 0, "startTime": 5}, 0)
    assert (schedule.due_after(0), schedule.due_after(5000)) == (5000, None)


@pytest.mark.parametrize(
    "params",
    [
        {"exportMode": "DAILY_FULL_EXPORT", "timeUnit": "day", "interval": 1},
        {"exportMode": "FIRST_FULL_THEN_INCREMENTAL", "timeUnit": "day", "interval": 0},
        {"exportMode": "FIRST_FULL_THEN_INCREMENTAL", "timeUnit": "hour", "interval": 5},
        {"exportMode": "FIRST_FULL_THEN_INCREMENTAL", "timeUnit": "hour", "interval": 3, "startTime": 9, "endTime": 9},
        {"exportMode": "WEEKLY", "timeUnit": "hour", "interval": 3},
        None,
    ],
)
def test_dataset_schedule_that_breaks_a_rule_is_refused(params: Any) -> None:
    with pytest.raises(ScheduleInvalid):
        parse_dataset_schedule(params, 0)
