"""When an audience is exported as files.

All instants are UTC. The end date is exclusive: a schedule that ends on the 11th exports on the 10th for the last time.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, get_args

import msgspec

from headrace.activation.errors import ScheduleInvalid
from headrace.clock import from_ms, to_ms

ExportMode = Literal["DAILY_FULL_EXPORT", "FIRST_FULL_THEN_INCREMENTAL"]
Trigger = Literal["SCHEDULED", "AFTER_SEGMENT_EVAL"]

FULL: ExportMode = "DAILY_FULL_EXPORT"
INCREMENTAL: ExportMode = "FIRST_FULL_THEN_INCREMENTAL"

_EVERY_HOURS = re.compile(r"EVERY_(\d+)_HOURS")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class Schedule(msgspec.Struct, frozen=True):
    """When one audience of one dataflow is exported.

    Attributes:
        frequency: ``ONCE``, ``DAILY``, ``WEEKLY``, ``MONTHLY`` or ``EVERY_<n>_HOURS``.
        trigger: Whether the clock or the end of the daily evaluation starts an export.
        start_date: First day.
        end_date: First day without exports; None when it never ends.
        start_hour: Hour of the (first) export of a day; 0 for exports after evaluation.
    """

    frequency: str
    trigger: Trigger
    start_date: date
    end_date: date | None = None
    start_hour: int = 0

    def covers(self, at_ms: int) -> bool:
        """Whether the day of ``at_ms`` lies within the schedule; a schedule of ONCE covers every day from its start."""
        day = from_ms(at_ms).date()
        return self.start_date <= day and (self.end_date is None or day < self.end_date)

    def due_after(self, after_ms: int) -> int | None:
        """Return the first instant after ``after_ms`` at which the clock starts an export, None when there is none.

        Exports after evaluation have no such instants.
        """
        if self.trigger == "AFTER_SEGMENT_EVAL":
            return None
        after = from_ms(after_ms)
        for instant in self._instants_from(after):
            if self.end_date is not None and instant.date() >= self.end_date:
                return None
            if instant > after:
                return to_ms(instant)
        return None

    def due_between(self, after_ms: int, until_ms: int) -> int | None:
        """Return the last instant in ``(after_ms, until_ms]`` at which the clock starts an export.

        Instants that were missed while nothing ran are so merged into one.
        """
        found = None
        due = self.due_after(after_ms)
        while due is not None and due <= until_ms:
            found = due
            due = self.due_after(due)
        return found

    def _instants_from(self, after: datetime) -> Iterator[datetime]:
        first = datetime(self.start_date.year, self.start_date.month, self.start_date.day, self.start_hour, tzinfo=UTC)
        if self.frequency == "ONCE":
            yield first
        elif self.frequency == "MONTHLY":
            yield from _months_from(first, after)
        else:
            step = self._step()
            skipped = max(0, (after - first) // step)
            while True:
                yield first + skipped * step
                skipped += 1

    def _step(self) -> timedelta:
        if every := _EVERY_HOURS.fullmatch(self.frequency):
            return timedelta(hours=int(every[1]))
        return timedelta(weeks=1) if self.frequency == "WEEKLY" else timedelta(days=1)


def _months_from(first: datetime, after: datetime) -> Iterator[datetime]:
    """Yield the same day of every month; months that are too short have it on their last day."""
    month = max(0, (after.year - first.year) * 12 + after.month - first.month - 1)
    while True:
        year, index = divmod(first.month - 1 + month, 12)
        following = date(first.year + year + (index == 11), (index + 1) % 12 + 1, 1)
        last_day = (following - timedelta(days=1)).day
        yield first.replace(year=first.year + year, month=index + 1, day=min(first.day, last_day))
        month += 1


def parse_export_mode(value: Mapping[str, Any], path: str) -> ExportMode:
    """Return ``exportMode`` of an audience selector.

    Raises:
        ScheduleInvalid: It is missing or unknown.
    """
    return _one_of(value, "exportMode", get_args(ExportMode), path)  # type: ignore[return-value]


def parse_schedule(value: Any, mode: ExportMode, path: str, *, offered: Sequence[str] | None = None) -> Schedule:
    """Return the schedule that a selector's ``schedule`` describes.

    Args:
        value: The object as it came over the wire.
        mode: The selector's export mode.
        path: JSON pointer of the object, for errors.
        offered: Frequencies that the destination offers in this mode; None takes any, as for one that was checked before.

    Raises:
        ScheduleInvalid: A field is missing, unknown, or not allowed with the others.
    """
    if not isinstance(value, Mapping):
        raise ScheduleInvalid("A file destination needs a schedule for every audience.", path=path)
    if offered is None:
        offered = [str(value.get("frequency"))]
    frequency = _one_of(value, "frequency", offered, path, condition=f" with exportMode {mode}")
    trigger = _trigger(value, mode, frequency, path)
    start = _date(value, "startDate", path)
    if start is None:
        raise ScheduleInvalid("startDate is missing.", path=f"{path}/startDate")
    return Schedule(frequency, trigger, start, _end_date(value, frequency, start, path), _start_hour(value, trigger, path))


def _trigger(value: Mapping[str, Any], mode: ExportMode, frequency: str, path: str) -> Trigger:
    trigger = _one_of({"triggerType": value.get("triggerType") or "SCHEDULED"}, "triggerType", get_args(Trigger), path)
    if trigger == "AFTER_SEGMENT_EVAL" and (mode != FULL or frequency not in ("ONCE", "DAILY")):
        raise ScheduleInvalid(
            f"triggerType AFTER_SEGMENT_EVAL goes with exportMode {FULL} and frequency ONCE or DAILY only.",
            path=f"{path}/triggerType",
        )
    return trigger  # type: ignore[return-value]


def _one_of(value: Mapping[str, Any], name: str, offered: Sequence[str], path: str, *, condition: str = "") -> str:
    given = value.get(name)
    if not isinstance(given, str) or given not in offered:
        raise ScheduleInvalid(f"{name} must be one of {', '.join(offered)}{condition}, got {given!r}.", path=f"{path}/{name}")
    return given


def _date(value: Mapping[str, Any], name: str, path: str) -> date | None:
    text = value.get(name)
    if text in (None, ""):
        return None
    try:
        return date.fromisoformat(text if isinstance(text, str) and _DATE.fullmatch(text) else "")
    except ValueError as error:
        raise ScheduleInvalid(f"{name} must be a date YYYY-MM-DD, got {text!r}.", path=f"{path}/{name}") from error


def _end_date(value: Mapping[str, Any], frequency: str, start: date, path: str) -> date | None:
    end = _date(value, "endDate", path)
    if end is None:
        return None
    if frequency == "ONCE":
        raise ScheduleInvalid("endDate does not go with frequency ONCE.", path=f"{path}/endDate")
    if end <= start:
        raise ScheduleInvalid("endDate, which is excluded, must be after startDate.", path=f"{path}/endDate")
    return end


def _start_hour(value: Mapping[str, Any], trigger: Trigger, path: str) -> int:
    text = value.get("startTime")
    if trigger == "AFTER_SEGMENT_EVAL":
        if text:
            raise ScheduleInvalid("startTime does not go with triggerType AFTER_SEGMENT_EVAL.", path=f"{path}/startTime")
        return 0
    time = _TIME.fullmatch(text) if isinstance(text, str) else None
    if time is None:
        raise ScheduleInvalid(f"startTime must be HH:MM in UTC, got {text!r}.", path=f"{path}/startTime")
    if time[2] != "00":
        raise ScheduleInvalid(f"startTime must be on the hour (HH:00), got {text!r}.", path=f"{path}/startTime")
    return int(time[1])


class DatasetSchedule(msgspec.Struct, frozen=True):
    """When the datasets of a dataflow are exported.

    Attributes:
        mode: Whether one full export is made, or increments follow.
        interval_hours: Hours between two exports; 0 for a single one.
        start_at_ms: First export (epoch ms).
        end_at_ms: No export at or after this instant (epoch ms); None when it never ends.
        folder_name_template: Folder of an export, with macros; empty for the default.
    """

    mode: ExportMode
    interval_hours: int
    start_at_ms: int
    end_at_ms: int | None = None
    folder_name_template: str = ""

    def due_after(self, after_ms: int) -> int | None:
        """Return the first instant after ``after_ms`` at which an export starts, None when there is none."""
        due = self.start_at_ms
        if after_ms >= due:
            if self.interval_hours == 0:
                return None
            step = self.interval_hours * 3_600_000
            due += ((after_ms - due) // step + 1) * step
        return None if self.end_at_ms is not None and due >= self.end_at_ms else due


_INTERVALS = {("day", 1): 24, ("day", 0): 0, ("hour", 3): 3, ("hour", 6): 6, ("hour", 9): 9, ("hour", 12): 12}


def parse_dataset_schedule(value: Any, now_ms: int, path: str = "/scheduleParams") -> DatasetSchedule:
    """Return the schedule that ``scheduleParams`` of a dataset flow describes.

    Args:
        value: The object as it came over the wire.
        now_ms: Start when none is given (epoch ms).
        path: JSON pointer of the object, for errors.

    Raises:
        ScheduleInvalid: A field is missing, unknown, or not allowed with the others.
    """
    if not isinstance(value, Mapping):
        raise ScheduleInvalid("A dataset flow needs scheduleParams.", path=path)
    mode = parse_export_mode(value, path)
    unit = value.get("timeUnit") or value.get("frequency")
    interval = _whole_number(value, "interval", path)
    hours = _INTERVALS.get((str(unit), interval if interval is not None else -1))
    if hours is None:
        raise ScheduleInvalid(
            f"timeUnit and interval must be day/1, hour/3, hour/6, hour/9, hour/12, or day/0 for a single export,"
            f" got {unit}/{interval}.",
            path=f"{path}/interval",
        )
    if (mode == FULL) != (hours == 0):
        raise ScheduleInvalid(
            f"exportMode {FULL} goes with day/0 (a single full export), and day/0 with no other.", path=f"{path}/exportMode"
        )
    start = _whole_number(value, "startTime", path)
    end = _whole_number(value, "endTime", path)
    start_ms = now_ms if start is None else start * 1000
    if end is not None and end * 1000 <= start_ms:
        raise ScheduleInvalid("endTime must be after startTime.", path=f"{path}/endTime")
    template = value.get("folderNameTemplate") or value.get("foldernameTemplate") or ""
    return DatasetSchedule(mode, hours, start_ms, None if end is None else end * 1000, str(template))


def _whole_number(value: Mapping[str, Any], name: str, path: str) -> int | None:
    given = value.get(name)
    if given in (None, ""):
        return None
    if isinstance(given, bool) or not re.fullmatch(r"\d+", str(given)):
        raise ScheduleInvalid(f"{name} must be a whole number, got {given!r}.", path=f"{path}/{name}")
    return int(given)
