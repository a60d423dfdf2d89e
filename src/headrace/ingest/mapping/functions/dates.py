"""Functions on dates; instants without a zone are UTC."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from headrace.clock import Clock, from_ms
from headrace.ingest.mapping import date_patterns
from headrace.ingest.mapping.conversion import as_instant
from headrace.ingest.mapping.errors import TransformFailed
from headrace.ingest.mapping.functions.base import Library, text, whole

LIBRARY = Library()

Part = Callable[[datetime], int]

_PARTS: Mapping[str, Part] = {
    name: part
    for names, part in (
        ("year yyyy yy", lambda each: each.year),
        ("quarter qq q", lambda each: (each.month + 2) // 3),
        ("month mm m", lambda each: each.month),
        ("dayofyear dy y", lambda each: each.timetuple().tm_yday),
        ("day dd d", lambda each: each.day),
        ("week ww w", lambda each: each.isocalendar().week),
        ("weekday dw", lambda each: each.isoweekday()),
        ("hour hh hh24", lambda each: each.hour),
        ("hh12", lambda each: each.hour % 12 or 12),
        ("minute mi n", lambda each: each.minute),
        ("second ss s", lambda each: each.second),
        ("millisecond ms", lambda each: each.microsecond // 1000),
    )
    for name in names.split()
}
_SETTABLE = {"year": "year", "month": "month", "day": "day", "hour": "hour", "hh": "hour", "minute": "minute", "second": "second"}


def clock_library(clock: Clock) -> Library:
    """Return the functions that tell the time."""
    library = Library()

    @library.add("now")
    def now() -> datetime:
        return from_ms(clock.now_ms())

    @library.add("timestamp")
    def timestamp() -> int:
        return clock.now_ms()

    return library


@LIBRARY.add("date", takes_nulls=True)
def date(value: Any, pattern: Any = None, default: Any = None) -> datetime | None:
    """Return the date-time of a text; the pattern says how the text is written."""
    if value is None:
        return None if default is None else as_instant(default)
    if pattern is None or not isinstance(value, str):
        return as_instant(value)
    return date_patterns.parsed(value, text(pattern))


@LIBRARY.add("format")
def format_date(value: Any, pattern: Any) -> str:
    """Write a date-time."""
    return date_patterns.formatted(as_instant(value), text(pattern))


@LIBRARY.add("dformat")
def dformat(value: Any, pattern: Any) -> str:
    """Write an instant given in epoch milliseconds."""
    return date_patterns.formatted(as_instant(whole(value)), text(pattern))


@LIBRARY.add("date_part")
def date_part(component: Any, value: Any) -> int:
    """Return one component of a date-time."""
    part = _PARTS.get(text(component).lower())
    if part is None:
        raise TransformFailed(f"'{component}' is no component of a date.")
    return part(as_instant(value))


@LIBRARY.add("set_date_part")
def set_date_part(component: Any, number: Any, value: Any) -> datetime:
    """Return a date-time with another component."""
    name = _SETTABLE.get(text(component).lower())
    if name is None:
        raise TransformFailed(f"'{component}' cannot be set.")
    changes: dict[str, Any] = {name: whole(number)}
    return as_instant(value).replace(**changes)


@LIBRARY.add("make_date_time", "make_timestamp")
def make_date_time(
    year: Any, month: Any, day: Any, hour: Any, minute: Any, second: Any, nanos: Any = 0, zone: Any = "UTC"
) -> datetime:
    """Return the date-time with these components."""
    found = datetime(whole(year), whole(month), whole(day), whole(hour), whole(minute), whole(second), tzinfo=_zone(zone))
    return found + timedelta(microseconds=whole(nanos) // 1000)


@LIBRARY.add("zone_date_to_utc")
def zone_date_to_utc(value: Any) -> datetime:
    """Return the same instant in UTC."""
    return as_instant(value).astimezone(UTC)


@LIBRARY.add("zone_date_to_zone")
def zone_date_to_zone(value: Any, zone: Any) -> datetime:
    """Return the same instant in another zone."""
    return as_instant(value).astimezone(_zone(zone))


def _zone(name: Any) -> ZoneInfo:
    try:
        return ZoneInfo(text(name))
    except (LookupError, ValueError, OSError) as error:
        raise TransformFailed(f"Zone '{name}' is unknown.") from error
