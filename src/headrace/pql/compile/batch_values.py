"""Relational expressions of values: arrays, maps, numbers, times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from headrace.engine.base import (
    Expression,
    all_of,
    binary,
    call,
    cast,
    coalesce,
    column,
    constant,
    equals,
    field_of,
    filtered,
    is_empty,
    is_known,
    is_null,
    item_at,
    length,
    list_of,
    mapped,
    struct_of,
    try_cast,
    when,
)
from headrace.pql import tree as t
from headrace.pql.compile.batch_json import json_field, json_kind
from headrace.pql.compile.batch_layout import column_name, sql_type
from headrace.pql.compile.instants import FIRST_MS, LAST_MS, make_date, part_of, shift, start_of
from headrace.pql.types import (
    DATE_TIME,
    AnyType,
    ArrayType,
    DoubleType,
    IntegerType,
    ObjectType,
    PqlType,
    is_time,
)

if TYPE_CHECKING:
    from headrace.pql.compile.batch_expression import Expressions

_DAY_MS = 86_400_000
_MAX_MONTHS = 240_000  # more than all the months of the years 1 to 9999

# --- paths, arrays, objects -----------------------------------------------------------------------------------------------


def _array_path(by: Expressions, node: t.ArrayPath) -> Expression:
    values = by.array(node.array)
    item: PqlType = node.array.result.item if isinstance(node.array.result, ArrayType) else AnyType()
    for name, of in zip(node.path, node.step_types, strict=True):
        values = _step(by, values, item, name, of)
        item = of.item if isinstance(of, ArrayType) else of
    return values


def _step(by: Expressions, values: Expression, item: PqlType, name: str, of: PqlType) -> Expression:
    parameter = by.parameter()
    if isinstance(item, AnyType):
        found = json_field(column(parameter), name)
        is_array = equals(json_kind(found), constant("ARRAY"))
        spliced = when(is_array, try_cast(found.copy(), "JSON[]"), when(is_known(found.copy()), list_of([found.copy()])))
        return known_items(call("flatten", mapped(values, parameter, spliced)), parameter)
    found = field_of(column(parameter), column_name(name))
    below = mapped(values, parameter, found)
    return known_items(call("flatten", below) if isinstance(of, ArrayType) else below, parameter)


def known_items(values: Expression, parameter: str) -> Expression:
    """Return the items that are not null."""
    return filtered(values, parameter, is_known(column(parameter)))


def _array_literal(by: Expressions, node: t.ArrayLiteral) -> Expression:
    items = list_of(by.typed(item, node.type.item) for item in node.items)
    return items if isinstance(node.type.item, ObjectType) and node.items else cast(items, sql_type(node.type))


def _object_literal(by: Expressions, node: t.ObjectLiteral) -> Expression:
    return struct_of((column_name(name), by.of(value)) for name, value in zip(node.names, node.values, strict=True))


def _filter(by: Expressions, node: t.Filter) -> Expression:
    return satisfying(by, node.array, node.variable, node.condition)


def satisfying(by: Expressions, array: t.Bound, variable: t.Variable, condition: t.Bound) -> Expression:
    """Return the items of an array for which a condition holds; null items are passed over."""
    name, inner = by.within(variable)
    tests = [is_known(column(name))]
    if condition != t.Constant(True):
        tests.append(inner.of(condition))
    return filtered(by.array(array), name, all_of(tests))


def _map(by: Expressions, node: t.Map) -> Expression:
    name, inner = by.within(node.variable)
    return mapped(by.array(node.array), name, inner.of(node.body))


def _flat_map(by: Expressions, node: t.FlatMap) -> Expression:
    name, inner = by.within(node.variable)
    return call("flatten", mapped(by.array(node.array), name, inner.array(node.body)))


def _group_by(by: Expressions, node: t.GroupBy) -> Expression:
    def grouped(items: Expression, inside: Expressions) -> Expression:
        name, inner = inside.within(node.variable)
        key = cast(inner.of(node.key), "VARCHAR")
        keys = call("list_distinct", mapped(items, name, key))
        # The key of a group and the items compared with it live in two functions, one inside the other.
        outer_name = inside.parameter()
        item_name, deepest = inside.deeper().within(node.variable)
        same = equals(cast(deepest.of(node.key), "VARCHAR"), column(outer_name))
        group = struct_of([("k", column(outer_name)), ("v", filtered(items.copy(), item_name, same))])
        return call("map_from_entries", mapped(keys, outer_name, group))

    return _unless_null(by, by.array(node.array), grouped)


def _unless_null(by: Expressions, value: Expression, body: Callable[[Expression, Expressions], Expression]) -> Expression:
    return by.bound(value, lambda one, inner: when(is_known(one), body(one.copy(), inner)))


def _map_entries(by: Expressions, node: t.MapEntries) -> Expression:
    def entries(source: Expression, inside: Expressions) -> Expression:
        name = inside.parameter()
        inner = inside.deeper().having(node.key_variable, column(name))
        inner = inner.having(node.value_variable, call("map_extract_value", source, column(name)))
        pair = struct_of([("k", inner.text(node.key)), ("v", inner.of(node.value))])
        pairs = mapped(call("list_sort", call("map_keys", source.copy())), name, pair)
        known = filtered(pairs, name, is_known(field_of(column(name), "k")))
        return call("map_from_entries", known if node.key == node.key_variable else _last_of_each_key(inside, known))

    return _unless_null(by, by.of(node.map), entries)


def _last_of_each_key(by: Expressions, pairs: Expression) -> Expression:
    def kept(items: Expression, inside: Expressions) -> Expression:
        name, index, later = inside.parameter(), inside.parameter() + "i", inside.deeper().parameter()
        rest = exp.Bracket(this=items.copy(), expressions=[exp.Slice(this=binary(exp.Add, column(index), constant(1)))])
        same = filtered(rest, later, equals(field_of(column(later), "k"), field_of(column(name), "k")))
        return filtered(items, name, is_empty(same), index)

    return by.bound(pairs, kept)


def _top(by: Expressions, node: t.TopN) -> Expression:
    name, inner = by.within(node.variable)
    index = name + "i"
    key = inner.typed(node.key, IntegerType() if isinstance(node.key.result, IntegerType) else DoubleType())
    wide = cast(key, "HUGEINT") if isinstance(node.key.result, IntegerType) else key
    rank = wide if node.is_bottom else exp.Neg(this=exp.Paren(this=wide))
    row = [("n", is_null(key.copy())), ("k", rank), ("i", column(index)), ("v", column(name))]
    ordered = call("list_sort", mapped(by.array(node.array), name, struct_of(row), index))
    count = by.typed(node.count, IntegerType())
    first = call("list_slice", ordered, constant(1), call("greatest", count, constant(0)))
    return when(is_known(count.copy()), mapped(first, name, field_of(column(name), "v")))


def _aggregate(by: Expressions, node: t.Aggregate) -> Expression:
    name, inner = by.within(node.variable)
    values = mapped(by.array(node.array), name, aggregated_value(inner, node))
    return finished_aggregate(node, call(LIST_AGGREGATES[node.function], values))


def aggregated_value(by: Expressions, node: t.Aggregate) -> Expression:
    """Return the value of one item, as the type that the aggregate needs."""
    if node.function in (t.AggregateFunction.SUM, t.AggregateFunction.AVERAGE):
        is_integer = isinstance(node.value.result, IntegerType) and node.function is t.AggregateFunction.SUM
        return by.typed(node.value, IntegerType() if is_integer else DoubleType())
    return by.of(node.value)


def finished_aggregate(node: t.Aggregate, result: Expression) -> Expression:
    """Return an aggregate with the value for no rows, and null for what its type cannot hold."""
    match node.function:
        case t.AggregateFunction.COUNT:
            return coalesce(result, constant(0))
        case t.AggregateFunction.SUM if isinstance(node.type, IntegerType):
            return try_cast(coalesce(result, constant(0)), "BIGINT")
        case t.AggregateFunction.SUM:
            return finite(coalesce(result, constant(0.0)))
        case t.AggregateFunction.AVERAGE:
            return finite(result)
        case _:
            return result


LIST_AGGREGATES: Mapping[t.AggregateFunction, str] = {
    t.AggregateFunction.COUNT: "list_count",
    t.AggregateFunction.SUM: "list_sum",
    t.AggregateFunction.AVERAGE: "list_avg",
    t.AggregateFunction.MIN: "list_min",
    t.AggregateFunction.MAX: "list_max",
}


# --- functions ------------------------------------------------------------------------------------------------------------


def _call(by: Expressions, node: t.Call) -> Expression:
    first, *rest = node.arguments
    match node.function:
        case t.Function.COUNT:
            return coalesce(length(by.array(first)), constant(0))
        case t.Function.HEAD:
            return item_at(by.array(first), 1)
        case t.Function.DISTINCT:
            return distinct(by, by.array(first))
        case t.Function.INTERSECTION:
            return _intersection(by, first, rest[0], node.type)
        case t.Function.MAKE_DATE:
            return _make_date(by, node)
        case _:
            return _map_function(by, node, by.of(first))


def _map_function(by: Expressions, node: t.Call, source: Expression) -> Expression:
    keys = call("list_sort", call("map_keys", source))
    match node.function:
        case t.Function.MAP_GET if isinstance(node.arguments[0].result, AnyType):
            key = node.arguments[1]
            name = key.value if isinstance(key, t.Literal) and isinstance(key.value, str) else ""
            return json_field(source, name)
        case t.Function.MAP_GET:
            return call("map_extract_value", source, by.text(node.arguments[1]))
        case t.Function.MAP_KEYS:
            return keys
        case _:
            name = by.parameter()
            return mapped(keys, name, call("map_extract_value", source.copy(), column(name)))


def distinct(by: Expressions, values: Expression) -> Expression:
    """Return the first occurrence of each value that is not null, in order."""

    def kept(items: Expression, inside: Expressions) -> Expression:
        name, index = inside.parameter(), inside.parameter() + "i"
        return filtered(items, name, equals(call("list_position", items.copy(), column(name)), column(index)), index)

    return by.bound(known_items(values, by.parameter()), kept)


def _intersection(by: Expressions, left: t.Bound, right: t.Bound, of: PqlType) -> Expression:
    name = by.parameter()
    others = by.deeper().typed(right, of)
    kept = filtered(distinct(by, by.typed(left, of)), name, call("list_contains", others, column(name)))
    return when(is_known(others.copy()), kept)


def _make_date(by: Expressions, node: t.Call) -> Expression:
    if all(isinstance(part, t.Literal) for part in node.arguments):
        values = [part.value for part in node.arguments if isinstance(part, t.Literal)]
        return cast(constant(make_date(*values)), "BIGINT")
    year, month, day = (by.typed(part, IntegerType()) for part in node.arguments)
    instant = call("epoch_ms", cast(call("make_date", year, month, day), "TIMESTAMP"))
    in_range = all_of([binary(exp.GTE, year.copy(), constant(1)), binary(exp.LTE, year.copy(), constant(9999))])
    return when(in_range, call("try", instant))


# --- numbers --------------------------------------------------------------------------------------------------------------

_OPERATORS: Mapping[str, type[exp.Binary]] = {"+": exp.Add, "-": exp.Sub, "*": exp.Mul, "/": exp.Div}


def _arithmetic(by: Expressions, node: t.Arithmetic) -> Expression:
    of = IntegerType() if isinstance(node.type, IntegerType) else DoubleType()
    left, right = by.typed(node.left, of), by.typed(node.right, of)
    if node.operator in ("/", "%"):
        right = call("nullif", right, constant(0) if isinstance(of, IntegerType) else constant(0.0))
    if isinstance(of, IntegerType):
        return call("try", _remainder(left, right) if node.operator == "%" else binary(_OPERATORS[node.operator], left, right))
    if node.operator == "%":
        return finite(call("fmod", left, right))
    return finite(binary(_OPERATORS[node.operator], left, right))


def _remainder(left: Expression, right: Expression) -> Expression:
    # Minus one divides everything; the processor overflows on the smallest integer instead of saying so.
    return when(equals(right, constant(-1)), left * 0, binary(exp.Mod, left.copy(), right.copy()))


def finite(value: Expression) -> Expression:
    """Return a double, null when it is not finite."""
    return when(call("isfinite", value), value.copy())


def _negate(by: Expressions, node: t.Negate) -> Expression:
    if isinstance(node.type, IntegerType):
        return call("try", exp.Neg(this=exp.Paren(this=by.typed(node.operand, IntegerType()))))
    return exp.Neg(this=exp.Paren(this=by.typed(node.operand, DoubleType())))


def _if(by: Expressions, node: t.If) -> Expression:
    return when(by.of(node.condition), by.typed(node.then, node.type), by.typed(node.otherwise, node.type))


def _let(by: Expressions, node: t.Let) -> Expression:
    return by.bound(by.of(node.value), lambda value, inner: inner.having(node.variable, value).of(node.body))


def _regex_group(by: Expressions, node: t.RegexGroup) -> Expression:
    found = call("regexp_extract_all", by.text(node.subject), constant(node.pattern), exp.Literal.number(node.group))
    return item_at(found, 1)


# --- times ----------------------------------------------------------------------------------------------------------------


def fixed_instant(node: t.Bound, now_ms: int) -> int | None:
    """Return a time that depends on nothing but the instant of the evaluation; None for any other."""
    match node:
        case t.Now():
            return now_ms
        case t.Literal() if is_time(node.type) and isinstance(node.value, int):
            return node.value
        case t.StartOf():
            return start_of(now_ms, node.unit, node.offset)
        case t.StartOfDay():
            base = fixed_instant(node.instant, now_ms)
            return None if base is None else start_of(base, t.Unit.DAY)
        case t.Shift():
            base = fixed_instant(node.instant, now_ms)
            return None if base is None else shift(base, node.amount, node.unit)
    return None


def instant(by: Expressions, node: t.Bound) -> Expression:
    """Return a time in epoch milliseconds; one that is fixed for the evaluation as a constant."""
    fixed = fixed_instant(node, by.now_ms)
    if fixed is not None:
        return constant(fixed)
    return by.typed(node, DATE_TIME)


def _time_word(by: Expressions, node: t.Bound) -> Expression:
    return constant(fixed_instant(node, by.now_ms))


def _label_time(by: Expressions, node: t.LabelTime) -> Expression:
    return by.labels[node.label].copy()


def _start_of_day(by: Expressions, node: t.StartOfDay) -> Expression:
    fixed = fixed_instant(node, by.now_ms)
    if fixed is not None:
        return constant(fixed)
    value = instant(by, node.instant)
    day = constant(_DAY_MS)
    within = binary(exp.Mod, binary(exp.Add, binary(exp.Mod, value, day), day.copy()), day.copy())
    return binary(exp.Sub, value.copy(), within)


def _shift(by: Expressions, node: t.Shift) -> Expression:
    fixed = fixed_instant(node, by.now_ms)
    if fixed is not None:
        return constant(fixed)
    value = instant(by, node.instant)
    length_ms = node.unit.fixed_ms
    if length_ms is not None:
        distance = min(max(node.amount * length_ms, -LAST_MS * 2), LAST_MS * 2)
        return _clamped(value, binary(exp.Add, value.copy(), constant(distance)))
    months = min(max(node.amount * node.unit.months, -_MAX_MONTHS), _MAX_MONTHS)
    moved = binary(exp.Add, _timestamp(value.copy()), call("to_months", exp.cast(exp.Literal.number(months), "INT")))
    return _clamped(value, call("epoch_ms", moved))


def _clamped(source: Expression, moved: Expression) -> Expression:
    bounded = call("greatest", call("least", moved, constant(LAST_MS)), constant(FIRST_MS))
    return when(is_known(source), bounded)  # least and greatest pass over nulls


def _timestamp(value: Expression) -> Expression:
    bounded = call("greatest", call("least", value, constant(LAST_MS)), constant(FIRST_MS))
    return call("make_timestamp_ms", bounded)


def _part_of(by: Expressions, node: t.PartOf) -> Expression:
    fixed = fixed_instant(node.instant, by.now_ms)
    if fixed is not None:
        return constant(part_of(fixed, node.part))
    value = instant(by, node.instant)
    moment = _timestamp(value)
    if node.part is t.DatePart.MONTH_DAY:
        hundreds = binary(exp.Mul, call("date_part", constant("month"), moment), constant(100))
        found: Expression = binary(exp.Add, hundreds, call("date_part", constant("day"), moment.copy()))
    else:
        found = call("date_part", constant(node.part.value), moment)
    return when(is_known(value.copy()), found)


RULES: Mapping[type[t.Bound], Callable[[Expressions, Any], Expression]] = {
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
    t.Arithmetic: _arithmetic,
    t.Negate: _negate,
    t.If: _if,
    t.Let: _let,
    t.RegexGroup: _regex_group,
    t.Now: _time_word,
    t.StartOf: _time_word,
    t.LabelTime: _label_time,
    t.StartOfDay: _start_of_day,
    t.Shift: _shift,
    t.PartOf: _part_of,
}
