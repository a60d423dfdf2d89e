"""What list endpoints share: limits, order, `property` filters and continuation tokens."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from headrace.errors import InvalidInput

Row = TypeVar("Row", bound=Mapping[str, Any])

_CONDITION = re.compile(r"^\s*(?P<field>[^=!<>~]+?)\s*(?P<operator>==|!=|<=|>=|~|<|>|=)\s*(?P<value>.*)$", re.DOTALL)


class PageInvalid(InvalidInput):
    """A limit, offset, order or token of a list request is not acceptable."""

    code = "page_invalid"


class FilterInvalid(InvalidInput):
    """A ``property`` filter cannot be read."""

    code = "filter_invalid"


def limit_of(value: int | str | None, *, default: int, most: int, is_capped: bool = False, name: str = "limit") -> int:
    """Return the page size that a request asks for.

    Args:
        value: The query's value, None when absent.
        default: Size when nothing is asked for.
        most: Largest size.
        is_capped: Whether a larger value means ``most`` instead of an error.
        name: Name of the parameter in error texts.

    Raises:
        PageInvalid: The value is no number from 1 to ``most``.
    """
    if value is None or value == "":
        return default
    number = _integer(value, name)
    if is_capped and number > most:
        return most
    if not 1 <= number <= most:
        raise PageInvalid(f"'{name}' is {number}; it must be from 1 to {most}.", path=name)
    return number


def start_of(value: int | str | None, *, name: str = "start") -> int:
    """Return the zero-based offset that a request asks for, 0 when absent.

    Raises:
        PageInvalid: The value is no number from 0 upwards.
    """
    number = 0 if value is None or value == "" else _integer(value, name)
    if number < 0:
        raise PageInvalid(f"'{name}' is {number}; it must be 0 or more.", path=name)
    return number


def _integer(value: int | str, name: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise PageInvalid(f"'{name}' is '{value}'; it must be a whole number.", path=name) from None


def parse_order(text: str | None, *, default: str = "") -> list[tuple[str, bool]]:
    """Return (field, is descending) pairs of an order such as ``name,desc:created``, ``-title`` or ``updateTime:desc``."""
    order = []
    for part in (text or default).split(","):
        name, is_descending = part.strip(), False
        if name[:1] in ("-", "+"):
            name, is_descending = name[1:], name[0] == "-"
        lowered = name.lower()
        for direction in ("asc", "desc"):
            if lowered.startswith(direction + ":"):
                name, is_descending = name[len(direction) + 1 :], direction == "desc"
            elif lowered.endswith(":" + direction):
                name, is_descending = name[: -len(direction) - 1], direction == "desc"
        if name.strip():
            order.append((name.strip(), is_descending))
    return order


def ordered(rows: Iterable[Row], order: Sequence[tuple[str, bool]]) -> list[Row]:
    """Return the rows in an order; rows without a field come last, equal ones keep their order."""
    result = list(rows)
    for name, is_descending in reversed(order):
        present = [row for row in result if value_at(row, name) is not None]
        absent = [row for row in result if value_at(row, name) is None]
        present.sort(key=lambda row: _sort_key(value_at(row, name)), reverse=is_descending)
        result = present + absent
    return result


def _sort_key(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool):
        return 0, int(value)
    if isinstance(value, int | float):
        return 1, value
    return 2, value.lower() if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def value_at(row: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted path; a member whose own name holds the dots goes first. None when there is none."""
    if path in row:
        return row[path]
    place: Any = row
    for part in path.split("."):
        if not isinstance(place, Mapping) or part not in place:
            return None
        place = place[part]
    return place


@dataclass(frozen=True)
class Condition:
    """One ``property`` filter.

    Attributes:
        field: Dotted path.
        operator: ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``~`` (regular expression), ``exists`` or ``absent``.
        values: Alternatives of ``==`` and ``!=``; the one value of the others.
    """

    field: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row satisfies the condition; text is compared as text, numbers as numbers."""
        value = value_at(row, self.field)
        match self.operator:
            case "exists":
                return value is not None
            case "absent":
                return value is None
            case "==":
                return any(_equals(value, wanted) for wanted in self.values)
            case "!=":
                return not any(_equals(value, wanted) for wanted in self.values)
            case "~":
                return value is not None and re.search(self.values[0], as_text(value)) is not None
            case _:
                return value is not None and _compares(value, self.operator, self.values[0])


def as_text(value: Any) -> str:
    """Return a JSON scalar as a query spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _equals(value: Any, wanted: str) -> bool:
    if isinstance(value, list):
        return any(_equals(item, wanted) for item in value)
    if isinstance(value, bool) or value is None:
        return as_text(value) == wanted.lower()
    return as_text(value) == wanted


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _compares(value: Any, operator: str, wanted: str) -> bool:
    compare = _COMPARISONS[operator]
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return compare(value, float(wanted))
        except ValueError:
            return False
    return compare(as_text(value), wanted)


def parse_property(text: str) -> Condition:
    """Return the condition of one ``property`` value: ``name==a,b``, ``!name``, ``name`` (exists), ``name~^a``, ``created>5``.

    Raises:
        FilterInvalid: The text is empty or its regular expression cannot be read.
    """
    found = _CONDITION.match(text)
    if found is None:
        name = text.strip()
        if not name.strip("!"):
            raise FilterInvalid(f"The filter property={text!r} names no field.", path="property")
        return Condition(name[1:].strip(), "absent") if name.startswith("!") else Condition(name, "exists")
    operator = "==" if found["operator"] == "=" else found["operator"]
    value = found["value"].strip()
    if operator == "~":
        try:
            re.compile(value)
        except re.error as error:
            raise FilterInvalid(
                f"The filter property={text!r} has no valid regular expression: {error}.", path="property"
            ) from None
        return Condition(found["field"], operator, (value,))
    if operator in ("==", "!="):
        return Condition(found["field"], operator, tuple(part.strip() for part in value.split(",")))
    return Condition(found["field"], operator, (value,))


def parse_properties(texts: Iterable[str]) -> list[Condition]:
    """Return the conditions of all ``property`` values of a request; a value may hold several, joined by ``&property=``."""
    return [parse_property(part) for text in texts for part in text.split("&property=") if part]


def filtered(rows: Iterable[Row], conditions: Sequence[Condition]) -> list[Row]:
    """Return the rows that satisfy every condition."""
    return [row for row in rows if all(condition.holds(row) for condition in conditions)]


def encode_token(value: Any) -> str:
    """Return an opaque continuation token: URL-safe, without ``=``."""
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


def decode_token(token: str, *, name: str = "continuationToken") -> Any:
    """Return what `encode_token` was given.

    Raises:
        PageInvalid: The token is none of ours.
    """
    try:
        return json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise PageInvalid(f"'{name}' is no token of a former page.", path=name, hint="Ask for the first page again.") from None
