"""Conversion of a mapped value to the type that its target has in the schema."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from math import isfinite
from typing import Any

from headrace.clock import from_ms, iso_millis, parse_iso, to_ms
from headrace.ingest.mapping.errors import TransformFailed
from headrace.schemas.types import MACHINE_RANGES, TYPE_KEY

_TRUE = frozenset(("y", "yes", "Y", "YES", "on", "ON", "true", "TRUE"))
_FALSE = frozenset(("n", "N", "no", "NO", "off", "OFF", "false", "FALSE"))
_WHOLE = re.compile(r"[+-]?\d{1,40}")
_LONGEST_TEXT_OF_NUMBER = 400

# The platform tries these in this order; the first that fits wins. ISO 8601 forms come before them.
_FORMS = (
    "%Y-%m-%d %H:%M:%S%z",
    "%Y-%m-%d %H:%M:%S.%f%z",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y-%b-%d",
    "%Y%m%d",
    "%m-%d-%Y",
    "%m%d%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%m/%d/%Y %I:%M:%S %p",
    "%d.%m.%Y %I:%M:%S %p",
    "%d.%b.%Y",
    "%d-%b-%Y",
)


def convert(value: Any, form: Mapping[str, Any] | None) -> Any:
    """Return a value as its target wants it.

    Args:
        value: JSON value, or a date-time.
        form: The target's part of the schema's full form; None when the schema does not have it (validation will say so).

    Raises:
        TransformFailed: The value does not fit the type.
    """
    if value is None:
        return None
    if form is None:
        return _copied(value)
    kind = form.get(TYPE_KEY) or form.get("type", "string")
    converter = _CONVERTERS.get(kind)
    if converter is not None:
        return converter(value, form)
    return _whole(value, kind) if kind in MACHINE_RANGES else _text(value, form)


def _copied(value: Any) -> Any:
    match value:
        case dict():
            return {key: _copied(item) for key, item in value.items()}
        case list():
            return [_copied(item) for item in value]
        case datetime():
            return iso_millis(to_ms(value))
    return value


def as_instant(value: Any) -> datetime:
    """Return the date-time of a text, of epoch milliseconds, or of itself; no zone means UTC.

    Raises:
        TransformFailed: The value is no date.
    """
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, int) and not isinstance(value, bool):
        return _instant_of_ms(value)
    if isinstance(value, str):
        found = _parsed(value.strip())
        if found is not None:
            return found
    raise _failed("DATETIME", value)


def _instant_of_ms(value: int) -> datetime:
    try:
        return from_ms(value)
    except (OverflowError, ValueError, OSError) as error:
        raise _failed("DATETIME", value) from error


def _parsed(text: str) -> datetime | None:
    if not re.fullmatch(r"\d{8}", text):  # by the order of forms these are tried as yyyyMMdd, then MMddyyyy
        try:
            return from_ms(parse_iso(text))
        except ValueError:
            pass
    for form in _FORMS:
        try:
            found = datetime.strptime(text, form)  # noqa: DTZ007 - the zone is set below
        except ValueError:
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def _instant(value: Any, _: Mapping[str, Any]) -> str:
    return iso_millis(to_ms(as_instant(value)))


def _day(value: Any, _: Mapping[str, Any]) -> str:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError as error:
            raise _failed("DATE", value) from error
    return as_instant(value).date().isoformat()


def _text(value: Any, _: Mapping[str, Any]) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(value)
        case datetime():
            return iso_millis(to_ms(value))
    raise _failed("STRING", value)


def _truth(value: Any, _: Mapping[str, Any]) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _TRUE | _FALSE:
        return value in _TRUE
    raise _failed("BOOLEAN", value)


def _number(value: Any, _: Mapping[str, Any]) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) < _LONGEST_TEXT_OF_NUMBER:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if isfinite(number):
            return int(value) if _WHOLE.fullmatch(value) else number
    raise _failed("NUMBER", value)


def _whole(value: Any, kind: str) -> int:
    number: Any = _number(value, {})
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    low, high = MACHINE_RANGES[kind]
    if not isinstance(number, int) or not low <= number <= high:
        raise _failed("INTEGER", value)
    return number


def _object(value: Any, form: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _failed("OBJECT", value)
    properties = form.get("properties")
    values = form.get("additionalProperties")
    if isinstance(values, Mapping):
        return {key: convert(item, values) for key, item in value.items() if item is not None}
    if properties is None:
        return {key: _copied(item) for key, item in value.items() if item is not None}
    # An object copy takes what both sides have; the rest has no place to go.
    return {key: convert(item, properties[key]) for key, item in value.items() if key in properties and item is not None}


def _array(value: Any, form: Mapping[str, Any]) -> list[Any]:
    if not isinstance(value, list):
        raise _failed("ARRAY", value)
    return [convert(item, form.get("items")) for item in value if item is not None]


_CONVERTERS: Mapping[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    "string": _text,
    "boolean": _truth,
    "number": _number,
    "date": _day,
    "date-time": _instant,
    "object": _object,
    "map": _object,
    "array": _array,
}


def type_name(value: Any) -> str:
    """Return the name of a value's type as messages spell it."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "BOOLEAN"
        case int() | float():
            return "NUMBER"
        case str():
            return "STRING"
        case datetime():
            return "DATETIME"
        case list():
            return "ARRAY"
        case _:
            return "OBJECT"


def _failed(expected: str, value: Any) -> TransformFailed:
    return TransformFailed("The value cannot be converted.", expected=expected, actual=type_name(value))
