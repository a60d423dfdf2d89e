"""What the generated code calls: null-safe operations, and time tests that note when their answer can change.

An evaluation short-circuits, and that is enough: a test that was not reached cannot matter before one that was reached
changes, and every reached time test has noted its next instant in the `Moment`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import re2

from headrace.pql.compile.bounds import MovingBound
from headrace.pql.compile.instants import part_of, start_of
from headrace.pql.tree import Unit

_MIN_64, _MAX_64 = -(1 << 63), (1 << 63) - 1
_PART_UNITS = {"year": Unit.YEAR, "month": Unit.MONTH, "day": Unit.DAY, "month_day": Unit.DAY}


class Moment:
    """One evaluation: its instant, and the next instant at which time alone can change the answer.

    Attributes:
        now: Instant of the evaluation (epoch ms).
        due: The next instant that matters; 0 when none does.
    """

    __slots__ = ("due", "now")

    def __init__(self, now: int) -> None:
        self.now = now
        self.due = 0

    def note(self, instant: int | None) -> None:
        """Note an instant at which the answer can change."""
        if instant is not None and instant > self.now and (self.due == 0 or instant < self.due):
            self.due = instant

    def start(self, unit: Unit, offset: int) -> int:
        """Return the start of a calendar unit, which moves when the next one starts."""
        self.note(start_of(self.now, unit, 1))
        return start_of(self.now, unit, offset)

    def part(self, part: str) -> int:
        """Return a part of now, which changes when the next such unit starts."""
        self.note(start_of(self.now, _PART_UNITS[part], 1))
        return part_of(self.now, part)

    def any_time(self) -> int:
        """Return now for a use whose next change nobody can tell; it is looked at again with the next minute."""
        self.note(start_of(self.now, Unit.MINUTE, 1))
        return self.now


class Range:
    """``lower <(=) time <(=) upper`` with bounds that are constants or move with now."""

    __slots__ = ("is_lower_inclusive", "is_upper_inclusive", "lower", "upper")

    def __init__(
        self, lower: MovingBound | None, upper: MovingBound | None, is_lower_inclusive: bool, is_upper_inclusive: bool
    ) -> None:
        self.lower = lower
        self.upper = upper
        self.is_lower_inclusive = is_lower_inclusive
        self.is_upper_inclusive = is_upper_inclusive

    def __call__(self, moment: Moment, time: int | None) -> bool:
        """Return whether ``time`` lies in the range now."""
        if time is None:
            return False
        low, high = self.span(moment.now)
        if self.lower is not None and self.lower.moves and time >= low:
            moment.note(self.leaves(time, moment.now))
        if self.upper is not None and self.upper.moves and time > high:
            moment.note(self.enters(time, moment.now))
        return low <= time <= high

    def span(self, now: int) -> tuple[int, int]:
        """Return the first and the last time that lie in the range at ``now``."""
        low, high = _MIN_64, _MAX_64
        if self.lower is not None:
            low = self.lower.at(now) + (0 if self.is_lower_inclusive else 1)
        if self.upper is not None:
            high = self.upper.at(now) - (0 if self.is_upper_inclusive else 1)
        return low, high

    def leaves(self, time: int, now: int) -> int | None:
        """Return the instant at which the lower bound passes ``time``."""
        return self.lower.passes(time, now, beyond=self.is_lower_inclusive) if self.lower is not None else None

    def enters(self, time: int, now: int) -> int | None:
        """Return the instant at which the upper bound reaches ``time``."""
        return self.upper.passes(time, now, beyond=not self.is_upper_inclusive) if self.upper is not None else None


# --- arithmetic -----------------------------------------------------------------------------------------------------------


def _checked(value: Any, is_integer: bool) -> Any:
    if is_integer:
        return value if _MIN_64 <= value <= _MAX_64 else None
    number = float(value)
    return number if math.isfinite(number) else None


def arithmetic(operator: str, left: Any, right: Any, is_integer: bool) -> Any:
    """Return ``left operator right``; None with a null operand, by zero, on overflow or when not finite."""
    if left is None or right is None:
        return None
    try:
        if operator == "+":
            return _checked(left + right, is_integer)
        if operator == "-":
            return _checked(left - right, is_integer)
        if operator == "*":
            return _checked(left * right, is_integer)
        if right == 0:
            return None
        if operator == "/":
            return _checked(left / right, False)
        if is_integer:
            return _checked(abs(left) % abs(right) * (-1 if left < 0 else 1), True)
        return _checked(math.fmod(left, right), False)
    except OverflowError:
        return None


def negate(value: Any) -> Any:
    """Return minus the value; None for null and for the smallest integer."""
    return None if value is None or value == _MIN_64 else -value


# --- arrays and maps ------------------------------------------------------------------------------------------------------


def flatten(array: Any, path: Sequence[str]) -> list[Any] | None:
    """Return all non-null values at ``path`` below the items of ``array``, arrays spliced in; None for null."""
    if array is None:
        return None
    level = [item for item in array if item is not None]
    for name in path:
        found: list[Any] = []
        for item in level:
            value = item.get(name)
            if isinstance(value, list):
                found.extend(part for part in value if part is not None)
            elif value is not None:
                found.append(value)
        level = found
    return level


def _key(value: Any) -> Any:
    if isinstance(value, dict):
        return ("object", frozenset((name, _key(item)) for name, item in value.items() if item is not None))
    if isinstance(value, list):
        return ("array", frozenset(_key(item) for item in value if item is not None))
    return value if not isinstance(value, bool) else ("boolean", value)


def equal(left: Any, right: Any) -> bool:
    """Whether two non-null values are equal: arrays as sets, objects deeply, numbers by value."""
    if isinstance(left, (list, dict)) or isinstance(right, (list, dict)):
        return bool(_key(left) == _key(right))
    return bool(left == right)


def as_set(array: Iterable[Any]) -> set[Any]:
    """Return the distinct non-null items."""
    return {_key(item) for item in array if item is not None}


def contains_item(item: Any, array: Any, is_negated: bool) -> bool:
    """Whether an item equals a member of an array (negated: none of them); false when either is null."""
    if item is None or array is None:
        return False
    return any(equal(item, member) for member in array if member is not None) is not is_negated


def intersects(left: Any, right: Any) -> bool:
    """Whether two arrays share a member; false when either is null."""
    return left is not None and right is not None and not as_set(left).isdisjoint(as_set(right))


def subset_of(left: Any, right: Any) -> bool:
    """Whether every member of ``left`` is in ``right``; false when either is null."""
    return left is not None and right is not None and as_set(left) <= as_set(right)


def distinct(array: Any) -> list[Any] | None:
    """Return the first occurrence of each non-null value; None for null."""
    if array is None:
        return None
    seen: set[Any] = set()
    result = []
    for item in array:
        if item is not None and (key := _key(item)) not in seen:
            seen.add(key)
            result.append(item)
    return result


def intersection(left: Any, right: Any) -> list[Any] | None:
    """Return the distinct items of ``left`` that occur in ``right``; None when either is null."""
    if left is None or right is None:
        return None
    members = as_set(right)
    return [item for item in distinct(left) or [] if _key(item) in members]


def map_get(values: Mapping[str, Any] | None, key: str | None) -> Any:
    """Return the value under a key; None when either is null or the key is absent."""
    return None if values is None or key is None else values.get(key)


def map_keys(values: Mapping[str, Any] | None) -> list[str] | None:
    """Return the keys in code point order; None for null."""
    return None if values is None else sorted(values)


def map_values(values: Mapping[str, Any] | None) -> list[Any] | None:
    """Return the values in the order of their keys; None for null."""
    return None if values is None else [values[key] for key in sorted(values)]


def group_key(value: Any) -> str | None:
    """Return the text by which items are grouped; None drops the item."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def top(pairs: list[tuple[Any, Any]], count: Any, is_bottom: bool) -> list[Any] | None:
    """Return the items of the (key, item) pairs with the ``count`` highest (or lowest) keys; null keys last."""
    if count is None:
        return None
    known = [pair for pair in pairs if pair[0] is not None]
    unknown = [item for key, item in pairs if key is None]
    known.sort(key=lambda pair: pair[0], reverse=not is_bottom)
    return [*(item for _, item in known), *unknown][: max(0, count)]


def aggregate(function: str, values: Iterable[Any], is_integer: bool) -> Any:
    """Return sum, average, min, max or count of the non-null values."""
    present = [value for value in values if value is not None]
    if function == "count":
        return len(present)
    if function == "sum":
        return _checked(sum(present) if is_integer else math.fsum(present), is_integer) if present else 0
    if not present:
        return None
    if function == "average":
        return _checked(math.fsum(present) / len(present), False)
    return min(present) if function == "min" else max(present)


# --- strings --------------------------------------------------------------------------------------------------------------


def like_pattern(pattern: str) -> Any:
    """Return the compiled RE2 of a ``like`` pattern."""
    parts = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            parts.append(re2.escape(next(characters, "\\")))
        elif character == "%":
            parts.append("(?s:.*)")
        elif character == "_":
            parts.append("(?s:.)")
        else:
            parts.append(re2.escape(character))
    return re2.compile("".join(parts))


def like(subject: Any, pattern: Any) -> bool:
    """Whether a ``like`` pattern that is not known beforehand matches the whole string."""
    return subject is not None and pattern is not None and like_pattern(pattern).fullmatch(subject) is not None


def matches(subject: Any, pattern: Any) -> bool:
    """Whether a compiled pattern is found in the subject."""
    return subject is not None and pattern.search(subject) is not None


def regex_group(subject: Any, pattern: Any, group: int) -> str | None:
    """Return a group of the first match; None without one."""
    found = pattern.search(subject) if subject is not None else None
    if found is None:
        return None
    text: str | None = found.group(group)
    return text
