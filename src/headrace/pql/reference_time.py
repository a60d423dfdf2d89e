"""Time for the reference evaluator: plain date arithmetic in UTC, one obvious step after the other."""

import calendar
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from headrace.pql.tree import DatePart, Unit
from headrace.pql.types import AnyType, ArrayType, MapType, PqlType, is_time

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
_STEPS = {
    Unit.MILLISECOND: timedelta(milliseconds=1),
    Unit.SECOND: timedelta(seconds=1),
    Unit.MINUTE: timedelta(minutes=1),
    Unit.HOUR: timedelta(hours=1),
    Unit.DAY: timedelta(days=1),
    Unit.WEEK: timedelta(weeks=1),
}
_YEARS = {Unit.YEAR: 1, Unit.DECADE: 10, Unit.CENTURY: 100, Unit.MILLENNIUM: 1000}


def instant_ms(value: Any) -> int | None:
    """Return a record's time (RFC 3339 text, date text, date, date-time, epoch ms) in epoch milliseconds; null for anything else.

    Fractions of a millisecond are cut off; a text without zone is UTC.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return (aware - _EPOCH) // timedelta(milliseconds=1)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def read(value: Any, of: PqlType) -> Any:
    """Return a record's value with its times in epoch milliseconds, as far as the declared type says that they are times."""
    if isinstance(of, AnyType) or value is None:
        return value
    if is_time(of):
        return instant_ms(value)
    if isinstance(of, ArrayType) and is_time(of.item) and isinstance(value, list | tuple):
        return [read(item, of.item) for item in value]
    if isinstance(of, MapType) and is_time(of.value) and isinstance(value, Mapping):
        return {key: read(item, of.value) for key, item in value.items()}
    return value


def shifted(instant: int, amount: int, unit: Unit) -> int:
    """Return an instant moved by units; see `Shift`."""
    moment = _moment(instant)
    if unit in _STEPS:
        try:
            return _ms(moment + amount * _STEPS[unit])
        except OverflowError:
            return _ms(_LAST if amount > 0 else _FIRST)
    months = moment.year * 12 + (moment.month - 1) + amount * unit.months
    year, month = months // 12, months % 12 + 1
    if not 1 <= year <= 9999:
        return _ms(_LAST if amount > 0 else _FIRST)
    day = min(moment.day, calendar.monthrange(year, month)[1])
    return _ms(moment.replace(year=year, month=month, day=day))


def start_of(now: int, unit: Unit, offset: int) -> int:
    """Return the start of the calendar unit holding ``now``, moved by ``offset`` units; see `StartOf`."""
    moment = _moment(now)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    match unit:
        case Unit.MILLISECOND:
            start = moment
        case Unit.SECOND:
            start = moment.replace(microsecond=0)
        case Unit.MINUTE:
            start = moment.replace(second=0, microsecond=0)
        case Unit.HOUR:
            start = moment.replace(minute=0, second=0, microsecond=0)
        case Unit.DAY:
            start = midnight
        case Unit.WEEK:
            start = midnight - timedelta(days=moment.weekday())
        case Unit.MONTH:
            start = midnight.replace(day=1)
        case _:
            start = midnight.replace(year=max(moment.year // _YEARS[unit] * _YEARS[unit], 1), month=1, day=1)
    return shifted(_ms(start), offset, unit)


def part_of(instant: int, part: DatePart) -> int:
    """Return a part of an instant."""
    moment = _moment(instant)
    match part:
        case DatePart.YEAR:
            return moment.year
        case DatePart.MONTH:
            return moment.month
        case DatePart.DAY:
            return moment.day
        case DatePart.MONTH_DAY:
            return moment.month * 100 + moment.day


def _moment(instant: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=min(max(instant, _ms(_FIRST)), _ms(_LAST)))


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
