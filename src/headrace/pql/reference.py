"""The meaning of PQL: a slow and plain evaluator of the bound tree. The compilers must agree with it.

Strings, numbers and booleans are JSON values; times are epoch milliseconds inside. Nothing is cached, reordered or skipped
beyond what the definition of a node says.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from headrace.pql import tree as t
from headrace.pql.coerce import day_ms
from headrace.pql.patterns import compiled, is_like
from headrace.pql.reference_chain import Moment, chain_holds
from headrace.pql.reference_time import instant_ms, part_of, read, shifted, start_of
from headrace.pql.tree import Bound
from headrace.pql.types import AnyType, IntegerType, is_time

Lookup = Callable[[str, Any], Mapping[str, Any] | None]
"""Finds a related entity: its schema's name and the value of its primary identity."""

_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**63 - 1
_MEMBER_STATES = ("realized", "existing")


@dataclass(frozen=True, slots=True)
class _Context:
    """What one evaluation sees."""

    profile: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    now: int
    lookup: Lookup | None
    variables: Mapping[int, Any]
    labels: Mapping[str, int]

    def having(self, variable: t.Variable, value: Any) -> "_Context":
        return replace(self, variables={**self.variables, variable.slot: value})


def evaluate(
    root: Bound,
    profile: Mapping[str, Any],
    events: Iterable[Mapping[str, Any]] = (),
    *,
    now: int | datetime,
    lookup: Lookup | None = None,
) -> Any:
    """Return the value of a bound query for one profile.

    Args:
        root: A bound tree; a predicate gives True or False.
        profile: The merged profile, with ``segmentMembership`` when the query asks for audiences.
        events: Its events in any order; one of several with the same ``_id`` counts.
        now: The instant of the evaluation: epoch milliseconds or an aware date-time.
        lookup: Finds related entities; without it, ``lookup`` gives null.
    """
    instant = instant_ms(now)
    if instant is None:
        raise TypeError(f"now must be epoch milliseconds or a date-time, got {now!r}")
    return _value(root, _Context(profile, ordered(events), instant, lookup, {}, {}))


def ordered(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return events once per ``_id`` (the first given), by (timestamp, _id); those without a timestamp come first."""
    distinct: dict[Any, Mapping[str, Any]] = {}
    for position, event in enumerate(events):
        identity = event.get("_id")
        distinct.setdefault(identity if identity is not None else (position,), event)
    return sorted(distinct.values(), key=_order)


def _order(event: Mapping[str, Any]) -> tuple[float, str]:
    instant = instant_ms(event.get("timestamp"))
    return (-math.inf if instant is None else instant, str(event.get("_id") or ""))


# --- dispatch -------------------------------------------------------------------------------------------------------------


def _value(node: Bound, context: _Context) -> Any:
    return _RULES[type(node)](node, context)


def _holds(node: Bound, context: _Context) -> bool:
    return _value(node, context) is True


def _items(array: Bound, context: _Context) -> Sequence[Any] | None:
    value = _value(array, context)
    return value if isinstance(value, list | tuple) else None


# --- leaves, paths ---------------------------------------------------------------------------------------------------------


def _literal(node: t.Literal | t.Constant, context: _Context) -> Any:
    del context
    return node.value


def _variable(node: t.Variable, context: _Context) -> Any:
    return read(context.variables[node.slot], node.type)


def _field(node: t.Field, context: _Context) -> Any:
    value = _value(node.object, context)
    return read(value.get(node.name), node.type) if isinstance(value, Mapping) else None


def _array_path(node: t.ArrayPath, context: _Context) -> Any:
    values = _items(node.array, context)
    if values is None:
        return None
    for name in node.path:
        values = [leaf for value in values if isinstance(value, Mapping) for leaf in _spliced(value.get(name))]
    return [leaf for leaf in (read(value, node.type.item) for value in values) if leaf is not None]


def _spliced(value: Any) -> Iterable[Any]:
    """Return what a step of a path contributes: nothing for null, the items for an array, else the value."""
    if value is None:
        return ()
    return [item for item in value if item is not None] if isinstance(value, list | tuple) else (value,)


def _array_literal(node: t.ArrayLiteral, context: _Context) -> Any:
    return [_value(item, context) for item in node.items]


def _object_literal(node: t.ObjectLiteral, context: _Context) -> Any:
    return {name: _value(value, context) for name, value in zip(node.names, node.values, strict=True)}


# --- arrays and maps -------------------------------------------------------------------------------------------------------


def _filter(node: t.Filter, context: _Context) -> Any:
    items = _items(node.array, context)
    if items is None:
        return None
    return [item for item in items if item is not None and _holds(node.condition, context.having(node.variable, item))]


def _map(node: t.Map, context: _Context) -> Any:
    items = _items(node.array, context)
    return None if items is None else [_value(node.body, context.having(node.variable, item)) for item in items]


def _flat_map(node: t.FlatMap, context: _Context) -> Any:
    items = _items(node.array, context)
    if items is None:
        return None
    return [leaf for item in items for leaf in _items(node.body, context.having(node.variable, item)) or ()]


def _group_by(node: t.GroupBy, context: _Context) -> Any:
    items = _items(node.array, context)
    if items is None:
        return None
    groups: dict[str, list[Any]] = {}
    for item in items:
        key = _key_text(_value(node.key, context.having(node.variable, item)))
        if key is not None:
            groups.setdefault(key, []).append(item)
    return groups


def _key_text(key: Any) -> str | None:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key) if isinstance(key, int | str) else None


def _map_entries(node: t.MapEntries, context: _Context) -> Any:
    entries = _value(node.map, context)
    if not isinstance(entries, Mapping):
        return None
    result: dict[str, Any] = {}
    for name in sorted(entries):
        inner = context.having(node.key_variable, name).having(node.value_variable, entries[name])
        key = _value(node.key, inner)
        if isinstance(key, str):
            result[key] = _value(node.value, inner)
    return result


def _top(node: t.TopN, context: _Context) -> Any:
    items, count = _items(node.array, context), _value(node.count, context)
    if items is None or not isinstance(count, int):
        return None
    keyed = [(_number(_value(node.key, context.having(node.variable, item))), item) for item in items]
    known = [pair for pair in keyed if pair[0] is not None]
    known.sort(key=lambda pair: pair[0] or 0, reverse=not node.is_bottom)  # stable: ties keep the array's order, reversed too
    unknown = [pair for pair in keyed if pair[0] is None]
    return [item for _, item in [*known, *unknown][: max(count, 0)]]


def _aggregate(node: t.Aggregate, context: _Context) -> Any:
    items = _items(node.array, context) or ()
    values = [value for item in items if (value := _value(node.value, context.having(node.variable, item))) is not None]
    match node.function:
        case t.AggregateFunction.COUNT:
            return len(values)
        case t.AggregateFunction.SUM:
            return _sum(values, node.type)
        case t.AggregateFunction.AVERAGE:
            numbers = [number for value in values if (number := _number(value)) is not None]
            return _finite(sum(numbers) / len(numbers)) if numbers else None
        case t.AggregateFunction.MIN:
            return min(values, default=None)
        case t.AggregateFunction.MAX:
            return max(values, default=None)


def _sum(values: Iterable[Any], of: Any) -> Any:
    numbers = [number for value in values if (number := _number(value)) is not None]
    if isinstance(of, IntegerType):
        return _in_range(int(sum(numbers)))
    return _finite(float(sum(numbers)))


def _call(node: t.Call, context: _Context) -> Any:
    arguments = [_value(argument, context) for argument in node.arguments]
    if node.function is t.Function.COUNT:
        return len(arguments[0]) if isinstance(arguments[0], list | tuple) else 0
    if any(argument is None for argument in arguments):
        return None
    return _FUNCTIONS[node.function](*arguments) if node.function is not t.Function.MAP_GET else _get(node, *arguments)


def _get(node: t.Call, entries: Any, key: Any) -> Any:
    return read(entries.get(key), node.type) if isinstance(entries, Mapping) else None


def _distinct(items: Iterable[Any]) -> list[Any]:
    kept: list[Any] = []
    for item in items:
        if item is not None and not _contains(kept, item):
            kept.append(item)
    return kept


def _intersection(left: Iterable[Any], right: Sequence[Any]) -> list[Any]:
    return [item for item in _distinct(left) if _contains(right, item)]


_FUNCTIONS: Mapping[t.Function, Callable[..., Any]] = {
    t.Function.HEAD: lambda items: items[0] if items else None,
    t.Function.DISTINCT: _distinct,
    t.Function.INTERSECTION: _intersection,
    t.Function.MAP_KEYS: sorted,
    t.Function.MAP_VALUES: lambda entries: [entries[key] for key in sorted(entries)],
    t.Function.MAKE_DATE: day_ms,
}


def _lookup(node: t.Lookup, context: _Context) -> Any:
    key = _value(node.key, context)
    return None if key is None or context.lookup is None else context.lookup(node.entity, key)


# --- numbers, text, time ---------------------------------------------------------------------------------------------------


def _number(value: Any) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _in_range(number: int) -> int | None:
    return number if _INTEGER_MIN <= number <= _INTEGER_MAX else None


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _arithmetic(node: t.Arithmetic, context: _Context) -> Any:
    left, right = _number(_value(node.left, context)), _number(_value(node.right, context))
    if left is None or right is None:
        return None
    if isinstance(node.type, IntegerType):
        return _integer_result(node.operator, int(left), int(right))
    return _double_result(node.operator, float(left), float(right))


def _integer_result(operator: str, left: int, right: int) -> int | None:
    match operator:
        case "+":
            return _in_range(left + right)
        case "-":
            return _in_range(left - right)
        case "*":
            return _in_range(left * right)
        case _:
            return None if right == 0 else _in_range(int(math.copysign(1, left)) * (abs(left) % abs(right)))


def _double_result(operator: str, left: float, right: float) -> float | None:
    match operator:
        case "+":
            return _finite(left + right)
        case "-":
            return _finite(left - right)
        case "*":
            return _finite(left * right)
        case "/":
            return None if right == 0 else _finite(left / right)
        case _:
            return None if right == 0 else _finite(math.fmod(left, right))


def _negate(node: t.Negate, context: _Context) -> Any:
    value = _number(_value(node.operand, context))
    if value is None:
        return None
    return _in_range(-value) if isinstance(value, int) else -value


def _regex_group(node: t.RegexGroup, context: _Context) -> Any:
    subject = _value(node.subject, context)
    found = compiled(node.pattern).search(subject) if isinstance(subject, str) else None
    return None if found is None else found.group(node.group)


def _now(node: t.Now, context: _Context) -> Any:
    del node
    return context.now


def _label_time(node: t.LabelTime, context: _Context) -> Any:
    return context.labels.get(node.label)


def _start_of(node: t.StartOf, context: _Context) -> Any:
    return start_of(context.now, node.unit, node.offset)


def _start_of_day(node: t.StartOfDay, context: _Context) -> Any:
    instant = instant_ms(_value(node.instant, context))
    return None if instant is None else start_of(instant, t.Unit.DAY, 0)


def _shift(node: t.Shift, context: _Context) -> Any:
    instant = instant_ms(_value(node.instant, context))
    return None if instant is None else shifted(instant, node.amount, node.unit)


def _part_of(node: t.PartOf, context: _Context) -> Any:
    instant = instant_ms(_value(node.instant, context))
    return None if instant is None else part_of(instant, node.part)


# --- predicates ------------------------------------------------------------------------------------------------------------


def _if(node: t.If, context: _Context) -> Any:
    return _value(node.then if _holds(node.condition, context) else node.otherwise, context)


def _let(node: t.Let, context: _Context) -> Any:
    return _value(node.body, context.having(node.variable, _value(node.value, context)))


def _compare(node: t.Compare, context: _Context) -> bool:
    left, right = _value(node.left, context), _value(node.right, context)
    if is_time(node.left.result) and is_time(node.right.result) and not _is_unknown(node.left, node.right):
        left, right = instant_ms(left), instant_ms(right)
    if left is None or right is None or _kind(left) != _kind(right):
        return False
    match node.operator:
        case "=":
            return _are_equal(left, right)
        case "!=":
            return not _are_equal(left, right)
    if _kind(left) not in ("number", "string"):
        return False
    match node.operator:
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
        case _:
            return bool(left >= right)


def _is_unknown(left: Bound, right: Bound) -> bool:
    """Whether neither side is known to be a time."""
    return isinstance(left.result, AnyType) and isinstance(right.result, AnyType)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, Mapping) else "array"


def _are_equal(left: Any, right: Any) -> bool:
    """Whether two non-null values are equal: arrays as sets, everything else deeply."""
    if _kind(left) != _kind(right):
        return False
    if _kind(left) == "array":
        return all(_contains(right, item) for item in left if item is not None) and all(
            _contains(left, item) for item in right if item is not None
        )
    return _are_same(left, right)


def _are_same(left: Any, right: Any) -> bool:
    """Whether two values inside objects are the same: a missing field is null, arrays keep their order."""
    if left is None or right is None:
        return left is None and right is None
    if _kind(left) != _kind(right):
        return False
    if _kind(left) == "object":
        return all(_are_same(left.get(name), right.get(name)) for name in {*left, *right})
    if _kind(left) == "array":
        return len(left) == len(right) and all(_are_same(one, other) for one, other in zip(left, right, strict=True))
    return bool(left == right)


def _contains(items: Iterable[Any], wanted: Any) -> bool:
    return any(item is not None and _are_equal(item, wanted) for item in items)


def _string_test(node: t.StringTest, context: _Context) -> bool:
    subject, argument = _value(node.subject, context), _value(node.argument, context)
    if not isinstance(subject, str) or not isinstance(argument, str):
        return False
    if node.ignores_case:
        subject, argument = subject.lower(), argument.lower()
    match node.test:
        case t.TextTest.EQUALS:
            found = subject == argument
        case t.TextTest.STARTS_WITH:
            found = subject.startswith(argument)
        case t.TextTest.ENDS_WITH:
            found = subject.endswith(argument)
        case t.TextTest.CONTAINS:
            found = argument in subject
    return found != node.is_negated


def _like(node: t.Like, context: _Context) -> bool:
    subject, pattern = _value(node.subject, context), _value(node.pattern, context)
    return isinstance(subject, str) and isinstance(pattern, str) and is_like(subject, pattern)


def _matches(node: t.Matches, context: _Context) -> bool:
    subject = _value(node.subject, context)
    return isinstance(subject, str) and compiled(node.pattern).search(subject) is not None


def _in(node: t.In, context: _Context) -> bool:
    item, items = _value(node.item, context), _items(node.array, context)
    if item is None or items is None:
        return False
    return _contains(items, item) != node.is_negated


def _intersects(node: t.Intersects, context: _Context) -> bool:
    left, right = _items(node.left, context), _items(node.right, context)
    return left is not None and right is not None and any(item is not None and _contains(right, item) for item in left)


def _subset_of(node: t.SubsetOf, context: _Context) -> bool:
    left, right = _items(node.left, context), _items(node.right, context)
    return left is not None and right is not None and all(item is None or _contains(right, item) for item in left)


def _exists(node: t.Exists, context: _Context) -> bool:
    items = _items(node.array, context) or ()
    return any(item is not None and _holds(node.condition, context.having(node.variable, item)) for item in items)


def _for_all(node: t.ForAll, context: _Context) -> bool:
    items = _items(node.array, context) or ()
    return all(item is None or _holds(node.condition, context.having(node.variable, item)) for item in items)


def _time_range(node: t.TimeRange, context: _Context) -> bool:
    instant = instant_ms(_value(node.operand, context))
    if instant is None:
        return False
    if node.lower is not None:
        lower = instant_ms(_value(node.lower, context))
        if lower is None or instant < lower or (instant == lower and not node.is_lower_inclusive):
            return False
    if node.upper is not None:
        upper = instant_ms(_value(node.upper, context))
        if upper is None or instant > upper or (instant == upper and not node.is_upper_inclusive):
            return False
    return True


def _in_segment(node: t.InSegment, context: _Context) -> bool:
    entry: Any = context.profile
    for name in ("segmentMembership", "ups", node.audience_id):
        entry = entry.get(name) if isinstance(entry, Mapping) else None
    return isinstance(entry, Mapping) and entry.get("status") in _MEMBER_STATES


def _chain(node: t.Chain, context: _Context) -> bool:
    items = _items(node.array, context) or ()
    moments: list[Moment] = []
    for item in items:
        instant = instant_ms(_value(node.time, context.having(node.variable, item)))
        if item is not None and instant is not None:
            moments.append(Moment(instant, item))
    moments.sort(key=lambda moment: (moment.time, str(moment.event.get("_id") or "")))

    def matches(term: t.ChainTerm, event: Any, labels: Mapping[str, int]) -> bool:
        inner = replace(context.having(node.variable, event), labels=labels)
        return _holds(term.condition, inner) and all(_holds(part, inner) for part in term.when)

    return chain_holds(moments, node.terms, matches)


_RULES: Mapping[type[Bound], Callable[[Any, _Context], Any]] = {
    t.Literal: _literal,
    t.Constant: _literal,
    t.Profile: lambda _, context: context.profile,
    t.Events: lambda _, context: context.events,
    t.Variable: _variable,
    t.Now: _now,
    t.LabelTime: _label_time,
    t.Field: _field,
    t.ArrayPath: _array_path,
    t.ArrayLiteral: _array_literal,
    t.ObjectLiteral: _object_literal,
    t.Filter: _filter,
    t.Map: _map,
    t.FlatMap: _flat_map,
    t.GroupBy: _group_by,
    t.MapEntries: _map_entries,
    t.TopN: _top,
    t.Aggregate: _aggregate,
    t.Call: _call,
    t.RegexGroup: _regex_group,
    t.Lookup: _lookup,
    t.Arithmetic: _arithmetic,
    t.Negate: _negate,
    t.StartOf: _start_of,
    t.StartOfDay: _start_of_day,
    t.Shift: _shift,
    t.PartOf: _part_of,
    t.If: _if,
    t.Let: _let,
    t.IsTrue: lambda node, context: _value(node.operand, context) is True,
    t.IsNull: lambda node, context: _value(node.operand, context) is None,
    t.And: lambda node, context: all(_holds(operand, context) for operand in node.operands),
    t.Or: lambda node, context: any(_holds(operand, context) for operand in node.operands),
    t.Not: lambda node, context: not _holds(node.operand, context),
    t.Compare: _compare,
    t.StringTest: _string_test,
    t.Like: _like,
    t.Matches: _matches,
    t.In: _in,
    t.Intersects: _intersects,
    t.SubsetOf: _subset_of,
    t.Exists: _exists,
    t.ForAll: _for_all,
    t.TimeRange: _time_range,
    t.InSegment: _in_segment,
    t.Chain: _chain,
}
