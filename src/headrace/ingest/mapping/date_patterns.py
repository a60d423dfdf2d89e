"""Date patterns in the letters of the Java platform (``yyyy-MM-dd'T'HH:mm:ss.SSSXXX``)."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from headrace.ingest.mapping.errors import TransformFailed

_PIECE = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+", re.DOTALL)
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_OFFSET = r"(?:Z|[+-]\d{2}(?::?\d{2})?)"
_ZONE_LETTERS = "XxZ"

Write = Callable[[datetime, int], str]


@lru_cache(maxsize=256)
def _pieces(pattern: str) -> tuple[tuple[str, int, str], ...]:
    """Return (letter, count, "") and ("", 0, literal text) in order."""
    return tuple(_scanned(pattern))


def _scanned(pattern: str) -> Iterator[tuple[str, int, str]]:
    position = 0
    while position < len(pattern):
        found = _PIECE.match(pattern, position)
        if found is None:
            raise TransformFailed(f"'{pattern}' is no date pattern.")
        if found[1] is not None:
            yield "", 0, found[1].replace("''", "'") or "'"
        elif found[2] is not None:
            if found[2] not in _WRITERS:
                raise TransformFailed(f"Letter '{found[2]}' of the date pattern is not supported.")
            yield found[2], len(found[0]), ""
        else:
            yield "", 0, found[0]
        position = found.end()


def formatted(instant: datetime, pattern: str) -> str:
    """Return a date-time written after a pattern.

    Raises:
        TransformFailed: The pattern cannot be read.
    """
    return "".join(literal or _WRITERS[letter](instant, count) for letter, count, literal in _pieces(pattern))


def parsed(text: str, pattern: str) -> datetime:
    """Return the date-time that a text stands for; no zone means UTC.

    Raises:
        TransformFailed: The text does not fit the pattern, or there is no such date.
    """
    found = _matcher(pattern).fullmatch(text.strip())
    if found is None:
        raise TransformFailed("The text does not fit the date pattern.", expected="DATETIME", actual="STRING")
    try:
        return _assembled({name: value for name, value in found.groupdict().items() if value is not None})
    except (ValueError, OverflowError) as error:
        raise TransformFailed("There is no such date.", expected="DATETIME", actual="STRING") from error


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> re.Pattern[str]:
    parts, seen = [], set()
    for letter, count, literal in _pieces(pattern):
        if not letter:
            parts.append(re.escape(literal))
            continue
        name, expression = _reader(letter, count)
        parts.append(f"(?:{expression})" if name in seen else f"(?P<{name}>{expression})")
        seen.add(name)
    return re.compile("".join(parts), re.IGNORECASE)


def _reader(letter: str, count: int) -> tuple[str, str]:
    """Return the name of a component and the expression that finds it."""
    digits = rf"\d{{{count}}}" if count > 1 else r"\d{1,19}"
    match letter:
        case "y" | "u" | "Y":
            return "year", r"\d{2}" if count == 2 else r"\d{4}"
        case "M" | "L":
            if count >= 3:
                return "month_name", "|".join(name[: None if count > 3 else 3] for name in _MONTHS)
            return "month", digits
        case "d":
            return "day", digits
        case "D":
            return "day_of_year", r"\d{1,3}"
        case "H" | "k":
            return "hour", digits
        case "h" | "K":
            return "hour12", digits
        case "m":
            return "minute", digits
        case "s":
            return "second", digits
        case "S":
            return "fraction", digits
        case "a":
            return "half", "AM|PM"
        case "E":
            return "weekday", "|".join(name[: None if count > 3 else 3] for name in _DAYS)
    if letter in _ZONE_LETTERS:
        return "offset", _OFFSET
    raise TransformFailed(f"Letter '{letter}' of the date pattern can only be written, not read.")


def _assembled(parts: Mapping[str, str]) -> datetime:
    year = int(parts.get("year", "1970"))
    month = int(parts.get("month", "1"))
    if "month_name" in parts:
        month = 1 + next(index for index, name in enumerate(_MONTHS) if name.lower().startswith(parts["month_name"].lower()))
    hour = int(parts.get("hour", "0")) % 24
    if "hour12" in parts:
        hour = int(parts["hour12"]) % 12 + (12 if parts.get("half", "AM").upper() == "PM" else 0)
    micros = int(parts["fraction"].ljust(6, "0")[:6]) if "fraction" in parts else 0
    found = datetime(
        year + 2000 if len(parts.get("year", "1970")) == 2 else year,
        month,
        int(parts.get("day", "1")),
        hour,
        int(parts.get("minute", "0")),
        int(parts.get("second", "0")),
        micros,
        _zone(parts.get("offset", "Z")),
    )
    return found + timedelta(days=int(parts["day_of_year"]) - 1) if "day_of_year" in parts else found


def _zone(text: str) -> timezone:
    if text.upper() == "Z":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _padded(component: Callable[[datetime], int]) -> Write:
    return lambda instant, count: str(component(instant)).rjust(count, "0")


def _year(instant: datetime, count: int) -> str:
    return f"{instant.year % 100:02d}" if count == 2 else str(instant.year).rjust(count, "0")


def _week_year(instant: datetime, count: int) -> str:
    year = instant.isocalendar().year
    return f"{year % 100:02d}" if count == 2 else str(year).rjust(count, "0")


def _month(instant: datetime, count: int) -> str:
    if count < 3:
        return str(instant.month).rjust(count, "0")
    name = _MONTHS[instant.month - 1]
    return name[:3] if count == 3 else name


def _weekday(instant: datetime, count: int) -> str:
    name = _DAYS[instant.weekday()]
    return name if count > 3 else name[:3]


def _fraction(instant: datetime, count: int) -> str:
    return f"{instant.microsecond:06d}".ljust(count, "0")[:count]


def _offset(instant: datetime, *, separator: str, is_short: bool = False) -> str:
    offset = instant.utcoffset() or timedelta()
    sign = "-" if offset < timedelta() else "+"
    hours, minutes = divmod(abs(offset) // timedelta(minutes=1), 60)
    if is_short and not minutes:
        return f"{sign}{hours:02d}"
    return f"{sign}{hours:02d}{separator}{minutes:02d}"


def _offset_x(instant: datetime, count: int) -> str:
    return _offset(instant, separator=":" if count >= 3 else "", is_short=count == 1)


def _offset_with_z(instant: datetime, count: int) -> str:
    return _offset_x(instant, count) if instant.utcoffset() else "Z"


def _zone_name(instant: datetime, _: int) -> str:
    return instant.tzname() or "UTC"


_WRITERS: Mapping[str, Write] = {
    "G": lambda _, __: "AD",
    "y": _year,
    "u": _year,
    "Y": _week_year,
    "M": _month,
    "L": _month,
    "w": _padded(lambda each: each.isocalendar().week),
    "W": _padded(lambda each: (each.day + each.replace(day=1).weekday() - 1) // 7 + 1),
    "D": _padded(lambda each: each.timetuple().tm_yday),
    "d": _padded(lambda each: each.day),
    "F": _padded(lambda each: (each.day - 1) // 7 + 1),
    "E": _weekday,
    "a": lambda each, _: "AM" if each.hour < 12 else "PM",
    "H": _padded(lambda each: each.hour),
    "k": _padded(lambda each: each.hour or 24),
    "K": _padded(lambda each: each.hour % 12),
    "h": _padded(lambda each: each.hour % 12 or 12),
    "m": _padded(lambda each: each.minute),
    "s": _padded(lambda each: each.second),
    "S": _fraction,
    "z": _zone_name,
    "V": _zone_name,
    "Z": lambda each, count: _offset(each, separator=":" if count == 5 else ""),
    "X": _offset_with_z,
    "x": _offset_x,
    "O": lambda each, _: "GMT" + _offset(each, separator=":"),
    "Q": _padded(lambda each: (each.month + 2) // 3),
    "q": _padded(lambda each: (each.month + 2) // 3),
}
