"""Operators and methods of the expression language.

Arithmetic with null is null; comparing with null is false, but for equality.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from math import fmod, isfinite
from typing import Any

import re2

from headrace.ingest.mapping.errors import TransformFailed

Binary = Callable[[Any, Any], Any]

_MOST_BITS = 2**63


def truth(value: Any) -> bool:
    """Return whether a value counts as true: null, false, zero and what is empty do not."""
    return bool(value)


def is_number(value: Any) -> bool:
    """Tell whether a value is a number; a truth is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def text_of(value: Any) -> str:
    """Return a value as text, as joining writes it."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat()
        case int() | float():
            return str(value)
        case None:
            return ""
    raise TransformFailed("A list or an object is no text.")


def key_text(value: Any) -> str:
    """Return the key of an object literal or a map."""
    if value is None:
        raise TransformFailed("A key cannot be null.")
    return text_of(value)


def number_of(value: Any) -> int | float:
    """Return a number, also of a text that holds one.

    Raises:
        TransformFailed: The value is no number.
    """
    if is_number(value):
        number: int | float = value
        return number
    if isinstance(value, str):
        try:
            return int(value) if value.strip().lstrip("+-").isdigit() and len(value) < 20 else _finite(float(value))
        except ValueError as error:
            raise TransformFailed(f"'{value[:40]}' is no number.") from error
    raise TransformFailed("A number is expected.")


def _finite(value: int | float) -> int | float:
    if not isfinite(value) or abs(value) > 1e300:
        raise TransformFailed("The number is too large.")
    if isinstance(value, int) and abs(value) >= _MOST_BITS:
        return float(value)
    return value


def arithmetic(function: Callable[[Any, Any], Any]) -> Binary:
    """Return an operator on numbers."""

    def apply(left: Any, right: Any) -> Any:
        if left is None or right is None:
            return None
        return _finite(function(number_of(left), number_of(right)))

    return apply


def add(left: Any, right: Any) -> Any:
    """Add numbers; join when a side is a text that is no number."""
    if left is None or right is None:
        return None
    if _is_plain_text(left) or _is_plain_text(right):
        return text_of(left) + text_of(right)
    return _finite(number_of(left) + number_of(right))


def _is_plain_text(value: Any) -> bool:
    return isinstance(value, str) and not _holds_number(value)


def _holds_number(text: str) -> bool:
    try:
        number_of(text)
    except TransformFailed:
        return False
    return True


def divide(left: Any, right: Any) -> Any:
    """Divide; whole numbers give a whole number, cut towards zero."""
    if left is None or right is None:
        return None
    one, other = number_of(left), number_of(right)
    if other == 0:
        raise TransformFailed("Division by zero.")
    if isinstance(one, int) and isinstance(other, int):
        quotient = abs(one) // abs(other)
        return quotient if (one < 0) == (other < 0) else -quotient
    return _finite(one / other)


def modulo(left: Any, right: Any) -> Any:
    """Return the rest of a division, with the sign of the left side."""
    if left is None or right is None:
        return None
    one, other = number_of(left), number_of(right)
    if other == 0:
        raise TransformFailed("Division by zero.")
    rest = fmod(one, other)
    return int(rest) if isinstance(one, int) and isinstance(other, int) else rest


def bitwise(function: Callable[[int, int], int]) -> Binary:
    """Return an operator on the bits of whole numbers."""

    def apply(left: Any, right: Any) -> Any:
        if left is None or right is None:
            return None
        return function(_whole(left), _whole(right))

    return apply


def complement(value: Any) -> Any:
    """Flip the bits of a whole number."""
    return None if value is None else ~_whole(value)


def negative(value: Any) -> Any:
    """Return a number with the other sign."""
    return None if value is None else -number_of(value)


def inverted(value: Any) -> bool:
    """Return the opposite truth."""
    return not truth(value)


def _whole(value: Any) -> int:
    number = number_of(value)
    if isinstance(number, float) and not number.is_integer():
        raise TransformFailed("A whole number is expected.")
    return int(number)


def equal(left: Any, right: Any) -> bool:
    """Tell whether two values are equal; a number equals the text that holds it."""
    if is_number(left) and isinstance(right, str) and _holds_number(right):
        return bool(left == number_of(right))
    if is_number(right) and isinstance(left, str) and _holds_number(left):
        return bool(right == number_of(left))
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    return bool(left == right)


def compared(function: Callable[[Any, Any], bool]) -> Binary:
    """Return an operator on the order of two values of one kind."""

    def apply(left: Any, right: Any) -> bool:
        if left is None or right is None:
            return False
        if isinstance(left, str) and isinstance(right, str):
            return function(left, right)
        if isinstance(left, datetime) and isinstance(right, datetime):
            return function(left, right)
        return function(number_of(left), number_of(right))

    return apply


def matches(left: Any, right: Any) -> bool:
    """Tell whether the left side is in the list on the right, or matches the pattern there as a whole."""
    if isinstance(right, list | dict):
        return any(equal(left, item) for item in right)
    if left is None or right is None:
        return False
    return pattern(text_of(right)).fullmatch(text_of(left)) is not None


def starts_with(left: Any, right: Any) -> bool:
    """Tell whether a text begins with another."""
    return left is not None and right is not None and text_of(left).startswith(text_of(right))


def ends_with(left: Any, right: Any) -> bool:
    """Tell whether a text ends with another."""
    return left is not None and right is not None and text_of(left).endswith(text_of(right))


def negated(function: Binary) -> Binary:
    """Return the opposite of an operator."""
    return lambda left, right: not function(left, right)


def item(owner: Any, index: Any) -> Any:
    """Return an item of a list or a member of an object, null when there is none."""
    if isinstance(owner, list) and is_number(index) and 0 <= index < len(owner):
        return owner[int(index)]
    if isinstance(owner, dict) and index is not None:
        return owner.get(text_of(index))
    return None


def pattern(text: str) -> Any:
    """Compile a regular expression; matching time is linear whatever it is.

    Raises:
        TransformFailed: It cannot be compiled.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        raise TransformFailed(f"'{text[:40]}' is no regular expression.") from error


def _equals(owner: Any, other: Any) -> bool:
    return owner is not None and equal(owner, other)


def _equals_ignoring_case(owner: Any, other: Any) -> bool:
    return owner is not None and other is not None and text_of(owner).casefold() == text_of(other).casefold()


METHODS: Mapping[str, Binary] = {"equals": _equals, "equalsIgnoreCase": _equals_ignoring_case, "get": item}
"""Methods by name; each takes one argument."""
