"""``occurs`` to ranges of time: every form becomes one or two `TimeRange`, joined by logic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.pql import syntax
from headrace.pql.errors import ProblemCode
from headrace.pql.scope import Scope
from headrace.pql.tree import (
    And,
    Bound,
    LabelTime,
    Literal,
    Not,
    Or,
    Shift,
    Span,
    StartOf,
    StartOfDay,
    TimeRange,
    Unit,
)
from headrace.pql.types import DATE, DATE_TIME, ArrayType, DateType, is_time

if TYPE_CHECKING:
    from headrace.pql.bind import Binder

_OFFSETS = {"last": -1, "this": 0, "next": 1}
_DAY_OFFSETS = {"yesterday": -1, "today": 0, "tomorrow": 1}


@dataclass(frozen=True, slots=True)
class Anchor:
    """A time as an interval: ``end`` is exclusive; None makes it a point. ``is_day``: it is a whole calendar day."""

    start: Bound
    end: Bound | None
    is_day: bool


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of a chain that a WHEN may name.

    Attributes:
        earlier: Labels of terms before that need an event.
        unusable: Why another label cannot be named.
    """

    earlier: frozenset[str]
    unusable: Mapping[str, str]


def bind_occurs(binder: Binder, node: syntax.Occurs, scope: Scope) -> Bound:
    """Bind ``t occurs when``; a path through an array means any of its times."""
    operand = binder.coerce_time(binder.value(node.operand, scope))
    if isinstance(operand.result, ArrayType):
        return binder.any_element(operand, lambda one: bind_when(binder, one, node.when, scope, None, node.span))
    return bind_when(binder, operand, node.when, scope, None, node.span)


def bind_when(binder: Binder, operand: Bound, when: syntax.When, scope: Scope, labels: Labels | None, span: Span) -> Bound:
    """Bind the tail of ``occurs`` for an operand."""
    if not is_time(operand.result):
        return binder.refuse_condition(
            ProblemCode.TYPE, operand.span, f"occurs takes a date or date-time, got {operand.result.name}."
        )
    anchor = _anchor(binder, when.anchor, scope, labels)
    if when.operator is not None:
        return _distance(operand, when, anchor, span)
    if when.anchor_end is not None:
        return _between(binder, operand, anchor, _anchor(binder, when.anchor_end, scope, labels), span)
    if when.direction == "before":
        return TimeRange(operand, None, anchor.start, is_upper_inclusive=False, span=span)
    if when.direction == "after":
        is_point = anchor.end is None
        return TimeRange(operand, anchor.end or anchor.start, None, is_lower_inclusive=not is_point, span=span)
    if anchor.end is None:
        return TimeRange(operand, anchor.start, anchor.start, span=span)
    return TimeRange(operand, anchor.start, anchor.end, is_upper_inclusive=False, span=span)


def _between(binder: Binder, operand: Bound, first: Anchor, last: Anchor, span: Span) -> Bound:
    one, other = first.start, last.start
    values = [side.value for side in (one, other) if isinstance(side, Literal) and isinstance(side.value, int)]
    if len(values) == 2 and values[0] > values[1]:
        binder.advise("range_empty", span, "The first time lies after the second; no time is between them.")
    is_point = last.end is None
    return TimeRange(operand, first.start, last.end or last.start, is_upper_inclusive=is_point, span=span)


# --- anchors


def _anchor(binder: Binder, node: syntax.Syntax, scope: Scope, labels: Labels | None) -> Anchor:
    match node:
        case syntax.TimeWord() if node.word != "now":
            return _day_of_now(_DAY_OFFSETS[node.word], node.span)
        case syntax.CalendarUnit():
            return _unit_of_now(node)
        case syntax.Name() if labels is not None and node.name not in scope.variables:
            if node.name in labels.earlier:
                return Anchor(LabelTime(node.name, span=node.span), None, is_day=False)
            if (reason := labels.unusable.get(node.name)) is not None:
                return Anchor(binder.refuse(ProblemCode.CHAIN, node.span, reason), None, is_day=False)
    return _expression_anchor(binder, node, scope)


def _day_of_now(offset: int, span: Span) -> Anchor:
    start, end = (StartOf(Unit.DAY, offset + step, DATE, span=span) for step in (0, 1))
    return Anchor(start, end, is_day=True)


def _unit_of_now(node: syntax.CalendarUnit) -> Anchor:
    offset, of = _OFFSETS[node.which], DATE if node.unit is Unit.DAY else DATE_TIME
    start, end = (StartOf(node.unit, offset + step, of, span=node.span) for step in (0, 1))
    return Anchor(start, end, is_day=node.unit is Unit.DAY)


def _expression_anchor(binder: Binder, node: syntax.Syntax, scope: Scope) -> Anchor:
    value = binder.coerce_time(binder.value(node, scope))
    if not is_time(value.result):
        value = binder.refuse(ProblemCode.TYPE, value.span, f"A date or date-time is needed here, got {value.result.name}.")
    if isinstance(value, StartOf) and value.unit is Unit.DAY:
        return _day_of_now(value.offset, value.span)
    if isinstance(value.result, DateType):
        return Anchor(value, Shift(value, 1, Unit.DAY, span=value.span), is_day=True)
    return Anchor(value, None, is_day=False)


# --- distances


def _distance(operand: Bound, when: syntax.When, anchor: Anchor, span: Span) -> Bound:
    assert when.operator is not None and when.amount is not None and when.unit is not None  # noqa: S101
    if when.direction != "from":
        return _one_side(operand, when.operator, when, anchor, -1 if when.direction == "before" else 1, span)
    if when.operator in ("<=", "<"):
        lower, upper = (Shift(anchor.start, sign * when.amount, when.unit) for sign in (-1, 1))
        is_inclusive = when.operator == "<="
        return TimeRange(operand, lower, upper, is_inclusive, is_inclusive, span=span)
    if when.operator == "!=":
        either = Or(tuple(_side(operand, anchor, sign, span) for sign in (-1, 1)), span=span)
        return And((either, Not(_both_sides(operand, "=", when, anchor, span))), span=span)
    return _both_sides(operand, when.operator, when, anchor, span)


def _both_sides(operand: Bound, operator: str, when: syntax.When, anchor: Anchor, span: Span) -> Bound:
    return Or(tuple(_one_side(operand, operator, when, anchor, sign, span) for sign in (-1, 1)), span=span)


def _one_side(operand: Bound, operator: str, when: syntax.When, anchor: Anchor, sign: int, span: Span) -> Bound:
    """Return the test of the distance on one side of the anchor; ``sign`` is -1 for before, 1 for after."""
    assert when.amount is not None and when.unit is not None  # noqa: S101
    bound = Shift(anchor.start, sign * when.amount, when.unit, span=when.span)
    match operator:
        case "<=" | "<":
            return _range(operand, near=anchor.start, far=bound, is_far_inclusive=operator == "<=", sign=sign, span=span)
        case ">=" | ">":
            return _range(operand, near=bound, far=None, is_near_inclusive=operator == ">=", sign=sign, span=span)
        case "=":
            return _exactly(operand, when, anchor, bound, sign, span)
        case _:
            return And((_side(operand, anchor, sign, span), Not(_exactly(operand, when, anchor, bound, sign, span))), span=span)


def _range(
    operand: Bound,
    *,
    near: Bound,
    far: Bound | None,
    sign: int,
    span: Span,
    is_near_inclusive: bool = True,
    is_far_inclusive: bool = True,
) -> Bound:
    """Return the range between the ends nearer to and farther from the anchor."""
    if sign < 0:
        return TimeRange(operand, far, near, is_far_inclusive, is_near_inclusive, span=span)
    return TimeRange(operand, near, far, is_near_inclusive, is_far_inclusive, span=span)


def _side(operand: Bound, anchor: Anchor, sign: int, span: Span) -> Bound:
    return _range(operand, near=anchor.start, far=None, sign=sign, span=span)


def _exactly(operand: Bound, when: syntax.When, anchor: Anchor, bound: Bound, sign: int, span: Span) -> Bound:
    """Return ``= n units``: the same calendar day where days are meant, else n whole units elapsed."""
    assert when.amount is not None and when.unit is not None  # noqa: S101
    is_by_day = (anchor.is_day or isinstance(operand.result, DateType)) and _is_day_or_longer(when.unit)
    if is_by_day:
        day = bound if anchor.is_day else StartOfDay(bound, span=when.span)
        return TimeRange(operand, day, Shift(day, 1, Unit.DAY, span=when.span), is_upper_inclusive=False, span=span)
    beyond = Shift(anchor.start, sign * (when.amount + 1), when.unit, span=when.span)
    return _range(operand, near=bound, far=beyond, is_far_inclusive=False, sign=sign, span=span)


def _is_day_or_longer(unit: Unit) -> bool:
    return unit.fixed_ms is None or unit.fixed_ms >= 86_400_000
