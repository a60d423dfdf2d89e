"""Literals take the type of their other side; everything else keeps its own."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime

from headrace.clock import to_ms
from headrace.pql.tree import ArrayLiteral, Bound, Literal
from headrace.pql.types import (
    BOOLEAN,
    DATE,
    DATE_TIME,
    DOUBLE,
    INTEGER,
    AnyType,
    ArrayType,
    BooleanType,
    DateTimeType,
    DateType,
    DoubleType,
    IntegerType,
    MapType,
    NullType,
    ObjectType,
    PqlType,
    StringType,
    is_time,
)

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_DOUBLE = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")


class NoSuchDay(ValueError):
    """A text has the shape of a date, but the calendar lacks that day."""


def day_ms(year: int, month: int, day: int) -> int | None:
    """Return 00:00Z of a day in epoch milliseconds; None when there is no such day."""
    try:
        return (date(year, month, day).toordinal() - date(1970, 1, 1).toordinal()) * 86_400_000
    except (ValueError, OverflowError):
        return None


def coerced(node: Bound, target: PqlType) -> Bound | None:
    """Return ``node`` with the type ``target`` where it is a literal of another type.

    Args:
        node: Any node; all but literals and lists of them come back as they are.
        target: Type of the other side.

    Returns:
        The node to use, or None when the literal cannot have that type.

    Raises:
        NoSuchDay: The text of a date literal names no day.
    """
    if isinstance(node, ArrayLiteral) and isinstance(target, ArrayType):
        items = [coerced(item, target.item) for item in node.items]
        if any(item is None for item in items):
            return None
        return replace(node, items=tuple(item for item in items if item is not None), type=target)
    if not isinstance(node, Literal) or isinstance(target, AnyType | NullType) or isinstance(node.type, NullType | AnyType):
        return node
    if node.type == target:
        return node
    if isinstance(node.value, str):
        return _text_as(node, node.value, target)
    if isinstance(node.type, IntegerType) and isinstance(target, DoubleType) and node.value is not None:
        return replace(node, value=float(node.value), type=DOUBLE)
    return node if comparable(node.type, target) else None


def _text_as(node: Literal, text: str, target: PqlType) -> Literal | None:
    match target:
        case BooleanType() if text in ("true", "false"):
            return replace(node, value=text == "true", type=BOOLEAN)
        case DateType() | DateTimeType():
            return _text_as_time(node, text)
        case IntegerType() | DoubleType():
            return _text_as_number(node, text, target)
        case _:
            return None


def _text_as_number(node: Literal, text: str, target: PqlType) -> Literal | None:
    if isinstance(target, IntegerType) and _INTEGER.fullmatch(text) and -(2**63) <= int(text[:25]) < 2**63:
        return replace(node, value=int(text), type=INTEGER)
    return replace(node, value=float(text), type=DOUBLE) if _DOUBLE.fullmatch(text) else None


def _text_as_time(node: Literal, text: str) -> Literal | None:
    day = _DAY.match(text)
    if day is None:
        return None
    midnight = day_ms(*(int(part) for part in day.groups()))
    if midnight is None:
        raise NoSuchDay(text)
    if day.end() == len(text):
        return replace(node, value=midnight, type=DATE)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return replace(node, value=to_ms(instant if instant.tzinfo else instant.replace(tzinfo=UTC)), type=DATE_TIME)


def comparable(left: PqlType, right: PqlType) -> bool:
    """Whether values of the two types can be equal."""
    if isinstance(left, AnyType | NullType) or isinstance(right, AnyType | NullType):
        return True
    if isinstance(left, IntegerType | DoubleType):
        return isinstance(right, IntegerType | DoubleType)
    if is_time(left):
        return is_time(right)
    match left, right:
        case ArrayType(), ArrayType():
            return comparable(left.item, right.item)
        case MapType(), MapType():
            return comparable(left.value, right.value)
        case ObjectType(), ObjectType():
            return left.is_event == right.is_event
        case _:
            return left == right


def common_type(left: PqlType, right: PqlType) -> PqlType | None:
    """Return the type that holds values of both; None when there is none."""
    if isinstance(left, NullType | AnyType):
        return right
    if isinstance(right, NullType | AnyType) or left == right:
        return left
    if isinstance(left, IntegerType | DoubleType) and isinstance(right, IntegerType | DoubleType):
        return DOUBLE
    if is_time(left) and is_time(right):
        return DATE_TIME
    if isinstance(left, ArrayType) and isinstance(right, ArrayType):
        item = common_type(left.item, right.item)
        return None if item is None else ArrayType(item)
    return left if isinstance(left, StringType) and isinstance(right, StringType) else None
