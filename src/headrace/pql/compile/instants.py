"""Instants in epoch milliseconds: parsing, calendar shifts, starts of calendar units; all in UTC."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from headrace.pql.tree import Unit

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
FIRST_MS = -62_135_596_800_000  # 0001-01-01T00:00:00Z
LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
_DAY_MS = 86_400_000
_FIXED = {unit: unit.fixed_ms for unit in Unit if unit.fixed_ms is not None}


def instant_of(value: Any) -> int | None:
    """Return a record's time value (RFC 3339 text, date text, date-time or epoch ms) in epoch milliseconds.

    None for null and for a text that is no time.
    """
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, str):
        return _parsed(value)
    if isinstance(value, datetime):
        return (value - _EPOCH) // _MILLISECOND
    return None


@lru_cache(maxsize=65_536)
def _parsed(text: str) -> int | None:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return ((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND


def instants_of(values: Any) -> list[int | None] | None:
    """Return a list of time values in epoch milliseconds, None for null."""
    return None if values is None else [instant_of(value) for value in values]


def date_time(instant_ms: int) -> datetime:
    """Return the aware UTC date-time of an instant."""
    return _EPOCH + timedelta(milliseconds=instant_ms)


def to_ms(moment: datetime) -> int:
    """Return the instant of an aware date-time."""
    return (moment - _EPOCH) // _MILLISECOND


def shift(instant_ms: int, amount: int, unit: Unit) -> int:
    """Return the instant moved by ``amount`` units, clamped to the years 1 to 9999.

    Fixed units add their length; calendar units keep the time of day and clamp the day to the last one of the month.
    """
    fixed = _FIXED.get(unit)
    if fixed is not None:
        return min(max(instant_ms + amount * fixed, FIRST_MS), LAST_MS)
    moment = date_time(min(max(instant_ms, FIRST_MS), LAST_MS))
    months = moment.year * 12 + moment.month - 1 + amount * unit.months
    year, month = divmod(months, 12)
    if year < 1:
        return FIRST_MS
    if year > 9999:
        return LAST_MS
    day = min(moment.day, monthrange(year, month + 1)[1])
    return to_ms(moment.replace(year=year, month=month + 1, day=day))


def start_of(instant_ms: int, unit: Unit, offset: int = 0) -> int:
    """Return the first instant of the calendar unit that holds ``instant_ms``, moved by ``offset`` units."""
    if unit is Unit.WEEK:
        days = instant_ms // _DAY_MS
        return ((days + 3) // 7 * 7 - 3 + 7 * offset) * _DAY_MS  # day 0 was a Thursday; weeks start on Monday
    fixed = _FIXED.get(unit)
    if fixed is not None:
        return (instant_ms // fixed + offset) * fixed
    moment = date_time(min(max(instant_ms, FIRST_MS), LAST_MS))
    if unit is Unit.MONTH:
        start = datetime(moment.year, moment.month, 1, tzinfo=UTC)
    else:
        years = unit.months // 12
        start = datetime(max(1, moment.year // years * years), 1, 1, tzinfo=UTC)
    return shift(to_ms(start), offset, unit) if offset else to_ms(start)


def part_of(instant_ms: int, part: str) -> int:
    """Return the year, month, day or month_day (month * 100 + day) of an instant."""
    moment = date_time(instant_ms)
    if part == "year":
        return moment.year
    if part == "month":
        return moment.month
    return moment.day if part == "day" else moment.month * 100 + moment.day


def make_date(year: Any, month: Any, day: Any) -> int | None:
    """Return 00:00Z of a day, None when a part is null or there is no such day."""
    try:
        return to_ms(datetime(year, month, day, tzinfo=UTC))
    except (TypeError, ValueError, OverflowError):
        return None
