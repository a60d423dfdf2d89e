"""Bound tree to text for people: explanations, messages and the tests of rules. It is not PQL and is not parsed again.

Every variable is named after its slot (``v0``), every range of time shows its bounds, and calls carry their own names.
"""

from collections.abc import Callable, Mapping
from typing import Any

from headrace.clock import iso_millis
from headrace.pql import tree as t
from headrace.pql.tree import Bound
from headrace.pql.types import DateTimeType, DateType


def rendered(node: Bound) -> str:
    """Return a readable text of a bound tree; equal trees give equal texts."""
    return _WRITERS[type(node)](node)


def _literal(node: t.Literal) -> str:
    match node.value:
        case None:
            return "null"
        case bool():
            return "true" if node.value else "false"
        case int() if isinstance(node.type, DateType):
            return f"date {iso_millis(node.value)[:10]}"
        case int() if isinstance(node.type, DateTimeType):
            return iso_millis(node.value)
        case str():
            return f'"{node.value}"'
        case _:
            return repr(node.value)


def _call(name: str, *parts: Bound | str) -> str:
    return f"{name}({', '.join(part if isinstance(part, str) else rendered(part) for part in parts)})"


def _walk(name: str, node: Any, body: Bound) -> str:
    return f"{name}({rendered(node.variable)} in {rendered(node.array)}: {rendered(body)})"


def _joined(operator: str, operands: tuple[Bound, ...]) -> str:
    return "(" + f" {operator} ".join(rendered(operand) for operand in operands) + ")"


def _time_range(node: t.TimeRange) -> str:
    lower = "" if node.lower is None else f"{rendered(node.lower)} {'<=' if node.is_lower_inclusive else '<'} "
    upper = "" if node.upper is None else f" {'<=' if node.is_upper_inclusive else '<'} {rendered(node.upper)}"
    return f"({lower}{rendered(node.operand)}{upper})"


def _shift(node: t.Shift) -> str:
    return f"{rendered(node.instant)}{node.amount:+d} {node.unit}"


def _start_of(node: t.StartOf) -> str:
    return f"start of {node.unit}{f'{node.offset:+d}' if node.offset else ''}"


def _string_test(node: t.StringTest) -> str:
    name = f"{'not ' if node.is_negated else ''}{node.test}{' ignoring case' if node.ignores_case else ''}"
    return f"({rendered(node.subject)} {name} {rendered(node.argument)})"


def _term(node: t.ChainTerm) -> str:
    count = f"{node.min_count}.." + ("" if node.max_count is None else str(node.max_count))
    when = "".join(f" when {rendered(part)}" for part in node.when)
    return f"{node.label} {count}: {rendered(node.condition)}{when}"


def _chain(node: t.Chain) -> str:
    terms = "; ".join(rendered(term) for term in node.terms)
    return f"chain({rendered(node.variable)} in {rendered(node.array)} by {rendered(node.time)}: {terms})"


def _map_entries(node: t.MapEntries) -> str:
    names = f"{rendered(node.key_variable)}, {rendered(node.value_variable)}"
    return f"entries({names} in {rendered(node.map)}: {rendered(node.key)} => {rendered(node.value)})"


def _top(node: t.TopN) -> str:
    return f"{_walk('bottom' if node.is_bottom else 'top', node, node.key)[:-1]}; {rendered(node.count)})"


def _object(node: t.ObjectLiteral) -> str:
    entries = (f"{name}: {rendered(value)}" for name, value in zip(node.names, node.values, strict=True))
    return "{" + ", ".join(entries) + "}"


_WRITERS: Mapping[type[Bound], Callable[[Any], str]] = {
    t.Literal: _literal,
    t.Constant: lambda node: "true" if node.value else "false",
    t.Profile: lambda _: "profile",
    t.Events: lambda _: "xEvent",
    t.Variable: lambda node: f"v{node.slot}",
    t.Now: lambda _: "now",
    t.LabelTime: lambda node: f"time of {node.label}",
    t.Field: lambda node: f"{rendered(node.object)}.{node.name}",
    t.ArrayPath: lambda node: f"{rendered(node.array)}[*].{'.'.join(node.path)}",
    t.ArrayLiteral: lambda node: "[" + ", ".join(rendered(item) for item in node.items) + "]",
    t.ObjectLiteral: _object,
    t.Filter: lambda node: _walk("filter", node, node.condition),
    t.Map: lambda node: _walk("map", node, node.body),
    t.FlatMap: lambda node: _walk("flatMap", node, node.body),
    t.GroupBy: lambda node: _walk("groupBy", node, node.key),
    t.MapEntries: _map_entries,
    t.TopN: _top,
    t.Aggregate: lambda node: _walk(node.function.value, node, node.value),
    t.Call: lambda node: _call(node.function.value, *node.arguments),
    t.RegexGroup: lambda node: _call("regexGroup", node.subject, f'"{node.pattern}"', str(node.group)),
    t.Lookup: lambda node: _call("lookup", node.entity, node.key),
    t.Arithmetic: lambda node: f"({rendered(node.left)} {node.operator} {rendered(node.right)})",
    t.Negate: lambda node: f"-{rendered(node.operand)}",
    t.StartOf: _start_of,
    t.StartOfDay: lambda node: _call("startOfDay", node.instant),
    t.Shift: _shift,
    t.PartOf: lambda node: _call(node.part.value, node.instant),
    t.If: lambda node: _call("if", node.condition, node.then, node.otherwise),
    t.Let: lambda node: f"let {rendered(node.variable)} = {rendered(node.value)} in {rendered(node.body)}",
    t.IsTrue: lambda node: _call("isTrue", node.operand),
    t.IsNull: lambda node: _call("isNull", node.operand),
    t.And: lambda node: _joined("and", node.operands),
    t.Or: lambda node: _joined("or", node.operands),
    t.Not: lambda node: _call("not", node.operand),
    t.Compare: lambda node: f"({rendered(node.left)} {node.operator} {rendered(node.right)})",
    t.StringTest: _string_test,
    t.Like: lambda node: f"({rendered(node.subject)} like {rendered(node.pattern)})",
    t.Matches: lambda node: f'({rendered(node.subject)} matches "{node.pattern}")',
    t.In: lambda node: f"({rendered(node.item)} {'not in' if node.is_negated else 'in'} {rendered(node.array)})",
    t.Intersects: lambda node: _call("intersects", node.left, node.right),
    t.SubsetOf: lambda node: _call("subsetOf", node.left, node.right),
    t.Exists: lambda node: _walk("exists", node, node.condition),
    t.ForAll: lambda node: _walk("forAll", node, node.condition),
    t.TimeRange: _time_range,
    t.InSegment: lambda node: _call("inSegment", f'"{node.audience_id}"'),
    t.ChainTerm: _term,
    t.Chain: _chain,
}
