"""Schedules in Quartz's notation: seconds, minutes, hours, day of month, month, day of week, optional year; always UTC.

Exactly one of the two day fields is ``?``. Source: Segmentation, schedules; Quartz, "CronTrigger".
"""

import calendar
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from headrace.audience.errors import ScheduleInvalid
from headrace.clock import from_ms, to_ms

_MONTHS = {name: number for number, name in enumerate(("JAN", "FEB", "MAR", "APR", "MAY", "JUN"), start=1)}
_MONTHS |= {name: number for number, name in enumerate(("JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), start=7)}
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), start=1)}
_LAST_YEAR = 2099
_FURTHEST = timedelta(days=366 * 30)
DayTest = Callable[[date], bool]


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    first: int
    last: int
    names: Mapping[str, int]


_SECONDS = _Field("seconds", 0, 59, {})
_MINUTES = _Field("minutes", 0, 59, {})
_HOURS = _Field("hours", 0, 23, {})
_DAY_OF_MONTH = _Field("day of month", 1, 31, {})
_MONTH = _Field("month", 1, 12, _MONTHS)
_DAY_OF_WEEK = _Field("day of week", 1, 7, _DAYS)
_YEAR = _Field("year", 1970, _LAST_YEAR, {})


@dataclass(frozen=True, slots=True)
class Cron:
    """A schedule that was read.

    Attributes:
        text: As it was written.
        seconds: Seconds at which it fires, ascending; the next two alike.
        minutes: Minutes.
        hours: Hours.
        months: Months.
        years: Years.
        is_day: Whether it fires on a day of its months and years.
    """

    text: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    years: frozenset[int]
    is_day: DayTest

    def next_after(self, instant_ms: int) -> int | None:
        """Return the first instant after ``instant_ms`` at which it fires (epoch ms); None when it never does again."""
        after = from_ms(instant_ms).replace(microsecond=0) + timedelta(seconds=1)
        day = after.date()
        while day - after.date() <= _FURTHEST and day.year <= _LAST_YEAR:
            if day.month in self.months and day.year in self.years and self.is_day(day):
                found = self._first_on(day, after)
                if found is not None:
                    return to_ms(found)
            day += timedelta(days=1)
        return None

    def _first_on(self, day: date, after: datetime) -> datetime | None:
        for hour in self.hours:
            for minute in self.minutes:
                for second in self.seconds:
                    found = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC)
                    if found >= after:
                        return found
        return None


def parse_cron(text: str) -> Cron:
    """Read a schedule.

    Raises:
        ScheduleInvalid: It is not in Quartz's notation; the message names the field.
    """
    parts = text.split()
    if len(parts) not in (6, 7):
        raise _refused(text, f"it has {len(parts)} fields, and needs 6 or 7: seconds minutes hours day month weekday [year]")
    seconds, minutes, hours, day, month, weekday = parts[:6]
    if (day == "?") == (weekday == "?"):
        raise _refused(text, "exactly one of day of month and day of week must be '?'")
    return Cron(
        text,
        tuple(sorted(_values(text, seconds, _SECONDS))),
        tuple(sorted(_values(text, minutes, _MINUTES))),
        tuple(sorted(_values(text, hours, _HOURS))),
        frozenset(_values(text, month, _MONTH)),
        frozenset(_values(text, parts[6] if len(parts) == 7 else "*", _YEAR)),
        _day_of_week(text, weekday) if day == "?" else _day_of_month(text, day),
    )


def _refused(text: str, reason: str) -> ScheduleInvalid:
    return ScheduleInvalid(
        f"'{text}' is no schedule: {reason}.", path="/schedule", hint="A daily run at 02:40 UTC is '0 40 2 * * ?'."
    )


def _values(text: str, part: str, field: _Field) -> set[int]:
    found: set[int] = set()
    for piece in part.split(","):
        found.update(_piece(text, piece, field))
    return found


def _piece(text: str, piece: str, field: _Field) -> Iterator[int]:
    span, _, step = piece.partition("/")
    if step and (not step.isdigit() or int(step) == 0):
        raise _refused(text, f"'{piece}' is no step of the field {field.name}")
    if span in ("*", ""):
        low, high = field.first, field.last
    elif "-" in span:
        low, high = (_number(text, side, field) for side in span.split("-", 1))
    else:
        low = _number(text, span, field)
        high = field.last if step else low
    if low > high:  # such as FRI-MON or 22-2
        yield from range(low, field.last + 1, int(step or 1))
        low = field.first
    yield from range(low, high + 1, int(step or 1))


def _number(text: str, value: str, field: _Field) -> int:
    named = field.names.get(value.upper())
    if named is not None:
        return named
    if not value.isdigit() or not field.first <= int(value) <= field.last:
        raise _refused(text, f"'{value}' is no value of the field {field.name} ({field.first} to {field.last})")
    return int(value)


# --- days -----------------------------------------------------------------------------------------------------------------


def _any_of(tests: list[DayTest]) -> DayTest:
    return lambda day: any(test(day) for test in tests)


def _day_of_month(text: str, part: str) -> DayTest:
    return _any_of([_day_of_month_piece(text, piece) for piece in part.split(",")])


def _day_of_month_piece(text: str, piece: str) -> DayTest:
    upper = piece.upper()
    if upper == "LW":
        return lambda day: day == _nearest_weekday(day, _last_of_month(day))
    if last := re.fullmatch(r"L(?:-([0-9]{1,2}))?", upper):
        before = int(last[1] or 0)
        return lambda day: day.day == _last_of_month(day) - before
    if weekday := re.fullmatch(r"([0-9]{1,2})W", upper):
        wanted = _number(text, weekday[1], _DAY_OF_MONTH)
        return lambda day: day == _nearest_weekday(day, min(wanted, _last_of_month(day)))
    values = set(_piece(text, piece, _DAY_OF_MONTH))
    return lambda day: day.day in values


def _day_of_week(text: str, part: str) -> DayTest:
    return _any_of([_day_of_week_piece(text, piece) for piece in part.split(",")])


def _day_of_week_piece(text: str, piece: str) -> DayTest:
    upper = piece.upper()
    if upper == "L":
        upper = "SAT"
    if last := re.fullmatch(r"([A-Z]{3}|[0-9])L", upper):
        wanted = _number(text, last[1], _DAY_OF_WEEK)
        return lambda day: _quartz_day(day) == wanted and day.day > _last_of_month(day) - 7
    if nth := re.fullmatch(r"([A-Z]{3}|[0-9])#([1-5])", upper):
        wanted, which = _number(text, nth[1], _DAY_OF_WEEK), int(nth[2])
        return lambda day: _quartz_day(day) == wanted and (day.day - 1) // 7 + 1 == which
    values = set(_piece(text, upper, _DAY_OF_WEEK))
    return lambda day: _quartz_day(day) in values


def _quartz_day(day: date) -> int:
    return day.isoweekday() % 7 + 1  # 1 is Sunday


def _last_of_month(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _nearest_weekday(day: date, number: int) -> date:
    """Return the Monday to Friday nearest to a day of the month, without leaving the month."""
    wanted = day.replace(day=number)
    if wanted.isoweekday() == 6:
        return wanted - timedelta(days=1) if number > 1 else wanted + timedelta(days=2)
    if wanted.isoweekday() == 7:
        return wanted + timedelta(days=1) if number < _last_of_month(day) else wanted - timedelta(days=2)
    return wanted
