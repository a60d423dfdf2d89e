"""Where a query reads events: each place with its window, whether it is negated, and what it computes."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from headrace.pql.rules.push_not_inward import negation
from headrace.pql.tree import (
    Aggregate,
    And,
    ArrayPath,
    Bound,
    Call,
    Chain,
    Compare,
    Events,
    Exists,
    Field,
    Filter,
    FlatMap,
    ForAll,
    Function,
    GroupBy,
    In,
    Intersects,
    IsTrue,
    Literal,
    Map,
    MapEntries,
    Not,
    Now,
    Or,
    Shift,
    StartOf,
    TimeRange,
    TopN,
    Unit,
    Variable,
    children,
    walk,
)
from headrace.pql.types import ObjectType

DAY_MS = 86_400_000


class ReferenceKind(StrEnum):
    """What a query asks of the events it reads at one place."""

    EXISTENCE = "existence"
    """Whether there is one."""
    COUNT = "count"
    """Whether there are at least n, or an ordered sequence of them."""
    AGGREGATE = "aggregate"
    """A value computed from them."""


@dataclass(frozen=True, slots=True)
class EventReference:
    """One place where a query reads events.

    Attributes:
        node: The node that reads them.
        kind: What it asks.
        is_negated: Whether their absence is what is asked for.
        lookback_ms: Greatest age of an event that can matter; None when no window bounds it.
        has_window: Whether any condition on the event's time is stated at all.
    """

    node: Bound
    kind: ReferenceKind
    is_negated: bool
    lookback_ms: int | None
    has_window: bool


def event_references(root: Bound) -> tuple[EventReference, ...]:
    """Return every place where a normalised query reads ``xEvent``, in the order of the text."""
    return tuple(_references(root, is_negated=False))


def _references(node: Bound, *, is_negated: bool) -> Iterator[EventReference]:
    match node:
        case Not():
            yield from _references(node.operand, is_negated=not is_negated)
        case And() | Or() | IsTrue():
            for child in children(node):
                yield from _references(child, is_negated=is_negated)
        case Chain() if _reads_events(node.array):
            yield from _chain_references(node, is_negated)
        case Exists() | ForAll() if _reads_events(node.array):
            yield from _quantifier_references(node, is_negated)
        case Compare() if (least := _least_count(node)) is not None:
            yield from _count_references(node, least, is_negated)
        case In() | Intersects():
            yield from _membership_references(node, is_negated)
        case _ if _reads_events(node):
            yield _aggregate(node)
            yield from _inside_pipeline(node, is_negated)
        case _:
            for child in children(node):
                yield from _references(child, is_negated=is_negated)


# --- pipelines: arrays made from xEvent step by step ----------------------------------------------------------------------


def _source(node: Bound) -> Bound | None:
    """Return what a step of a pipeline takes its items from; None when the node is no step."""
    match node:
        case Filter() | Map() | FlatMap() | GroupBy() | TopN() | Aggregate() | ArrayPath():
            return node.array
        case MapEntries():
            return node.map
        case Call():
            return node.arguments[0] if node.arguments else None
        case Field():
            return node.object
        case _:
            return None


def _steps(node: Bound) -> Iterator[Bound]:
    """Yield the steps of a pipeline from its end to its source."""
    current: Bound | None = node
    while current is not None:
        yield current
        current = _source(current)


def _reads_events(node: Bound) -> bool:
    return any(isinstance(step, Events) for step in _steps(node))


def _inside_pipeline(node: Bound, is_negated: bool) -> Iterator[EventReference]:
    """Yield the places inside the conditions, keys and bodies of a pipeline's steps."""
    for step in _steps(node):
        source = _source(step)
        for child in children(step):
            if child is not source:
                yield from _references(child, is_negated=is_negated)


# --- the kinds of places ---------------------------------------------------------------------------------------------------


def _chain_references(node: Chain, is_negated: bool) -> Iterator[EventReference]:
    outer = _pipeline_windows(node.array)
    for term in node.terms:
        ages = [_max_age(part) for part in term.when]
        ages += [_condition_age(term.condition, node.variable), *outer]
        is_absence = is_negated != (term.min_count == 0)
        is_plain = term.min_count == 1 and term.max_count is None
        kind = ReferenceKind.EXISTENCE if is_plain else ReferenceKind.COUNT
        has_window = bool(term.when) or _mentions_time(term.condition, node.variable)
        yield EventReference(term, kind, is_absence, _tightest(ages), has_window)
        yield from _references(term.condition, is_negated=is_negated)
    yield from _inside_pipeline(node.array, is_negated)


def _quantifier_references(node: Exists | ForAll, is_negated: bool) -> Iterator[EventReference]:
    condition = node.condition if isinstance(node, Exists) else negation(node.condition)
    is_absence = is_negated != isinstance(node, ForAll)
    ages = [_condition_age(condition, node.variable), *_pipeline_windows(node.array)]
    has_window = _mentions_time(condition, node.variable) or _pipeline_mentions_time(node.array)
    kind = ReferenceKind.AGGREGATE if _computes(node.array) else ReferenceKind.EXISTENCE
    yield EventReference(node, kind, is_absence, _tightest(ages), has_window)
    yield from _references(condition, is_negated=is_absence)
    yield from _inside_pipeline(node.array, is_negated)


def _count_references(node: Compare, least: int, is_negated: bool) -> Iterator[EventReference]:
    assert isinstance(node.left, Call)  # noqa: S101 - seen by _least_count
    array = node.left.arguments[0]
    kind = ReferenceKind.AGGREGATE if _computes(array) else ReferenceKind.EXISTENCE if least == 1 else ReferenceKind.COUNT
    yield EventReference(node, kind, is_negated, _tightest(_pipeline_windows(array)), _pipeline_mentions_time(array))
    yield from _inside_pipeline(array, is_negated)


def _membership_references(node: In | Intersects, is_negated: bool) -> Iterator[EventReference]:
    is_absence = is_negated != (isinstance(node, In) and node.is_negated)
    for child in children(node):
        if not _reads_events(child):
            yield from _references(child, is_negated=is_negated)
        elif _computes(child):
            yield _aggregate(child)
        else:
            age, has_window = _tightest(_pipeline_windows(child)), _pipeline_mentions_time(child)
            yield EventReference(node, ReferenceKind.EXISTENCE, is_absence, age, has_window)
            yield from _inside_pipeline(child, is_negated)


def _aggregate(node: Bound) -> EventReference:
    age = _tightest(_pipeline_windows(node))
    return EventReference(node, ReferenceKind.AGGREGATE, False, age, _pipeline_mentions_time(node))


def _computes(array: Bound) -> bool:
    """Whether an array is more than a selection of events or of their fields."""
    return any(not isinstance(step, Filter | ArrayPath | Map | Events) for step in _steps(array))


def _least_count(node: Compare) -> int | None:
    """Return n for "count of events is at least n", n > 0; None for anything else."""
    left, right = node.left, node.right
    if not isinstance(left, Call) or left.function is not Function.COUNT or not _reads_events(left):
        return None
    if not isinstance(right, Literal) or isinstance(right.value, bool) or not isinstance(right.value, int):
        return None
    least = right.value + 1 if node.operator == ">" else right.value
    return least if node.operator in (">", ">=") and least > 0 else None


# --- windows ---------------------------------------------------------------------------------------------------------------


def _pipeline_windows(array: Bound) -> list[int | None]:
    return [_condition_age(step.condition, step.variable) for step in _steps(array) if isinstance(step, Filter)]


def _pipeline_mentions_time(array: Bound) -> bool:
    return any(isinstance(step, Filter) and _mentions_time(step.condition, step.variable) for step in _steps(array))


def _tightest(ages: list[int | None]) -> int | None:
    return min((age for age in ages if age is not None), default=None)


def _condition_age(condition: Bound, event: Variable) -> int | None:
    """Return the greatest age of an event that satisfies a condition; None when it sets no limit."""
    match condition:
        case TimeRange() if _is_time_of(condition.operand, event):
            return _max_age(condition)
        case And():
            return _tightest([_condition_age(operand, event) for operand in condition.operands])
        case Or():
            ages = [_condition_age(operand, event) for operand in condition.operands]
            known = [age for age in ages if age is not None]
            return max(known) if len(known) == len(ages) else None
        case Exists():
            return _condition_age(condition.condition, event)
        case _:
            return None


def _mentions_time(condition: Bound, event: Variable) -> bool:
    return any(_is_time_of(node, event) for node in walk(condition))


def _is_time_of(node: Bound, event: Variable) -> bool:
    """Whether a node is the time of the event that a variable holds."""
    is_event = isinstance(event.type, ObjectType) and event.type.is_event
    return is_event and isinstance(node, Field) and node.name == "timestamp" and node.object == event


def _max_age(condition: Bound) -> int | None:
    """Return the greatest age that a range of time allows, in milliseconds before now; None when there is none."""
    match condition:
        case TimeRange():
            return None if condition.lower is None else _age_of(condition.lower)
        case And():
            return _tightest([_max_age(operand) for operand in condition.operands])
        case Or():
            ages = [_max_age(operand) for operand in condition.operands]
            known = [age for age in ages if age is not None]
            return max(known) if len(known) == len(ages) else None
        case _:
            return None


def _age_of(bound: Bound) -> int | None:
    """Return how far before now a bound can lie; calendar units count as their longest length."""
    match bound:
        case Now():
            return 0
        case StartOf():
            return max(0, (1 - bound.offset) * _longest_ms(bound.unit))
        case Shift():
            age = _age_of(bound.instant)
            return None if age is None else max(0, age - bound.amount * _longest_ms(bound.unit, is_shortest=bound.amount > 0))
        case _:
            return None


def _longest_ms(unit: Unit, *, is_shortest: bool = False) -> int:
    if unit.fixed_ms is not None:
        return unit.fixed_ms
    return (unit.months * 28 if is_shortest else unit.months * 31) * DAY_MS
