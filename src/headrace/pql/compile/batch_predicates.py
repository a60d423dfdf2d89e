"""Relational expressions of predicates; every one is true or false, never null."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from headrace.engine.base import (
    Expression,
    all_of,
    any_of,
    binary,
    call,
    cast,
    column,
    constant,
    equals,
    holds,
    is_known,
    length,
    mapped,
    not_,
    parenthesised,
    truth,
    when,
)
from headrace.pql import tree as t
from headrace.pql.compile.batch_json import is_json_number, json_kind, repacked
from headrace.pql.compile.batch_values import instant, known_items, satisfying
from headrace.pql.types import (
    ANY,
    BOOLEAN,
    DOUBLE,
    AnyType,
    ArrayType,
    BooleanType,
    DoubleType,
    IntegerType,
    MapType,
    NullType,
    ObjectType,
    PqlType,
    is_time,
)

if TYPE_CHECKING:
    from headrace.pql.compile.batch_expression import Expressions

_OPERATORS: Mapping[str, type[exp.Binary]] = {
    "=": exp.EQ,
    "!=": exp.NEQ,
    "<": exp.LT,
    "<=": exp.LTE,
    ">": exp.GT,
    ">=": exp.GTE,
}

# --- logic ----------------------------------------------------------------------------------------------------------------


def _and(by: Expressions, node: t.And) -> Expression:
    return all_of([by.of(operand) for operand in node.operands])


def _or(by: Expressions, node: t.Or) -> Expression:
    return any_of([by.of(operand) for operand in node.operands])


def _not(by: Expressions, node: t.Not) -> Expression:
    return not_(by.of(node.operand))


def _is_true(by: Expressions, node: t.IsTrue) -> Expression:
    return holds(by.typed(node.operand, BOOLEAN))


# --- comparison -----------------------------------------------------------------------------------------------------------


def _compare(by: Expressions, node: t.Compare) -> Expression:
    left, right = node.left.result, node.right.result
    if isinstance(left, NullType) or isinstance(right, NullType):
        return truth(False)
    of = _common(left, right)
    if isinstance(of, ArrayType):
        return _compare_sets(by, node, of)
    if isinstance(of, ObjectType | MapType):
        return _compare_deeply(by, node, of)
    if isinstance(of, AnyType):
        return _compare_open(by, node)
    if is_time(of):
        return holds(binary(_OPERATORS[node.operator], instant(by, node.left), instant(by, node.right)))
    if isinstance(of, BooleanType) and node.operator not in ("=", "!="):
        return truth(False)
    return holds(binary(_OPERATORS[node.operator], by.typed(node.left, of), by.typed(node.right, of)))


def _common(left: PqlType, right: PqlType) -> PqlType:
    """Return the type in which two values are compared."""
    if isinstance(left, AnyType):
        return right
    if isinstance(right, AnyType):
        return left
    if isinstance(left, IntegerType | DoubleType) and left != right:
        return DOUBLE
    if isinstance(left, ArrayType) and isinstance(right, ArrayType):
        return ArrayType(_common(left.item, right.item))
    if isinstance(left, ObjectType) and isinstance(right, ObjectType):
        return left if left is right else ObjectType({**right.fields, **left.fields})
    return left


def _compare_sets(by: Expressions, node: t.Compare, of: ArrayType) -> Expression:
    name = by.parameter()
    left, right = (known_items(_as(by, side, of), name) for side in (node.left, node.right))
    same = all_of([call("list_has_all", left, right), call("list_has_all", right.copy(), left.copy())])
    return holds(same if node.operator == "=" else not_(same)) if node.operator in ("=", "!=") else truth(False)


def _as(by: Expressions, node: t.Bound, of: ArrayType) -> Expression:
    """Return an array as one of another item type."""
    values = by.typed(node, of)
    return values if not isinstance(of.item, ObjectType) else _repacked_items(by, values, node.result, of)


def _repacked_items(by: Expressions, values: Expression, own: PqlType, of: ArrayType) -> Expression:
    if not isinstance(own, ArrayType) or own.item is of.item:
        return values
    name = by.parameter()
    return mapped(values, name, repacked(column(name), own.item, of.item))


def _compare_deeply(by: Expressions, node: t.Compare, of: PqlType) -> Expression:
    left, right = by.typed(node.left, of), by.typed(node.right, of)
    known = [is_known(left), is_known(right)]
    if isinstance(of, MapType):
        left, right = (call("list_sort", call("map_entries", side.copy())) for side in (left, right))
    elif node.left.result is not node.right.result:
        left, right = repacked(left.copy(), node.left.result, of), repacked(right.copy(), node.right.result, of)
    same = binary(exp.NullSafeEQ, left.copy(), right.copy())
    return holds(all_of([*known, same if node.operator == "=" else not_(same)]))


def _compare_open(by: Expressions, node: t.Compare) -> Expression:
    """Compare two values of open type: as numbers, as texts, or else (equality only) as a whole."""
    left, right = by.of(node.left), by.of(node.right)
    operator = _OPERATORS[node.operator]
    are_numbers = all_of([is_json_number(left), is_json_number(right)])
    as_numbers = binary(operator, cast(left.copy(), "DOUBLE"), cast(right.copy(), "DOUBLE"))
    are_texts = all_of([equals(json_kind(side.copy()), constant("VARCHAR")) for side in (left, right)])
    as_texts = binary(operator, *(call("json_extract_string", side.copy(), constant("$")) for side in (left, right)))
    as_whole: Expression = truth(False)
    if node.operator in ("=", "!="):
        are_same_kind = equals(json_kind(left.copy()), json_kind(right.copy()))
        texts = [cast(side.copy(), "VARCHAR") for side in (left, right)]
        as_whole = all_of([are_same_kind, binary(operator, texts[0], texts[1])])
    return holds(when(are_numbers, as_numbers, when(are_texts, as_texts, as_whole)))


# --- membership in arrays -------------------------------------------------------------------------------------------------


def _in(by: Expressions, node: t.In) -> Expression:
    if isinstance(node.item.result, NullType):
        return truth(False)
    array = node.array.result
    item_type = array.item if isinstance(array, ArrayType) else ANY
    of = _common(node.item.result, item_type)
    if _is_list_of_constants(node.array) and not isinstance(of, AnyType | ObjectType | ArrayType | MapType):
        return _in_constants(by, node, of)
    item = instant(by, node.item) if is_time(of) else by.typed(node.item, of)
    found = call("list_contains", known_items(_as(by, node.array, ArrayType(of)), by.parameter()), item)
    return holds(all_of([is_known(item.copy()), not_(found)]) if node.is_negated else found)


def _is_list_of_constants(node: t.Bound) -> bool:
    return isinstance(node, t.ArrayLiteral) and all(isinstance(item, t.Literal) for item in node.items)


def _in_constants(by: Expressions, node: t.In, of: PqlType) -> Expression:
    assert isinstance(node.array, t.ArrayLiteral)  # noqa: S101 - the caller has looked
    members = [by.typed(item, of) for item in node.array.items if isinstance(item, t.Literal) and item.value is not None]
    item = by.typed(node.item, of)
    if not members:
        return is_known(item) if node.is_negated else truth(False)
    found = exp.In(this=parenthesised(item), expressions=members)
    return holds(not_(found) if node.is_negated else found)


def _intersects(by: Expressions, node: t.Intersects) -> Expression:
    left, right = _pair(by, node.left, node.right)
    return holds(call("list_has_any", left, right))


def _subset_of(by: Expressions, node: t.SubsetOf) -> Expression:
    left, right = _pair(by, node.left, node.right)
    return holds(call("list_has_all", right, left))


def _pair(by: Expressions, left: t.Bound, right: t.Bound) -> tuple[Expression, Expression]:
    of = _common(left.result, right.result)
    of = of if isinstance(of, ArrayType) else ArrayType(ANY)
    name = by.parameter()
    return known_items(_as(by, left, of), name), known_items(_as(by, right, of), name)


def exists(by: Expressions, array: t.Bound, variable: t.Variable, condition: t.Bound) -> Expression:
    """Whether some item of an array satisfies a condition."""
    return holds(binary(exp.GT, length(satisfying(by, array, variable, condition)), constant(0)))


def _exists(by: Expressions, node: t.Exists) -> Expression:
    return exists(by, node.array, node.variable, node.condition)


def _for_all(by: Expressions, node: t.ForAll) -> Expression:
    return not_(exists(by, node.array, node.variable, t.Not(node.condition)))


# --- strings --------------------------------------------------------------------------------------------------------------

_TESTS: Mapping[t.TextTest, str] = {
    t.TextTest.STARTS_WITH: "starts_with",
    t.TextTest.ENDS_WITH: "suffix",
    t.TextTest.CONTAINS: "contains",
}


def _string_test(by: Expressions, node: t.StringTest) -> Expression:
    subject, argument = (_cased(by, side, node.ignores_case) for side in (node.subject, node.argument))
    is_equality = node.test is t.TextTest.EQUALS
    found = equals(subject, argument) if is_equality else call(_TESTS[node.test], subject, argument)
    return holds(not_(found) if node.is_negated else found)


def _cased(by: Expressions, node: t.Bound, ignores_case: bool) -> Expression:
    if not ignores_case:
        return by.text(node)
    if isinstance(node, t.Literal) and isinstance(node.value, str):
        return constant(node.value.lower())
    return call("lower", by.text(node))


def _like(by: Expressions, node: t.Like) -> Expression:
    if isinstance(node.pattern, t.Literal) and isinstance(node.pattern.value, str):
        pattern: Expression = constant(_escaped(node.pattern.value))
    else:
        pattern = by.text(node.pattern)
    found = exp.Escape(this=binary(exp.Like, by.text(node.subject), pattern), expression=constant("\\"))
    return holds(call("try", found))


def _escaped(pattern: str) -> str:
    """Return a pattern in which a backslash stands only before what needs it."""
    parts = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            character = next(characters, "\\")
            parts.append("\\" + character if character in "%_\\" else character)
        else:
            parts.append(character)
    return "".join(parts)


def _matches(by: Expressions, node: t.Matches) -> Expression:
    return holds(call("regexp_matches", by.text(node.subject), constant(node.pattern)))


# --- time -----------------------------------------------------------------------------------------------------------------


def _time_range(by: Expressions, node: t.TimeRange) -> Expression:
    return in_range(by, node, instant(by, node.operand))


def in_range(by: Expressions, node: t.TimeRange, value: Expression) -> Expression:
    """Whether a time lies in the range of a node."""
    tests = []
    if node.lower is not None:
        operator: type[exp.Binary] = exp.GTE if node.is_lower_inclusive else exp.GT
        tests.append(binary(operator, value, instant(by, node.lower)))
    if node.upper is not None:
        operator = exp.LTE if node.is_upper_inclusive else exp.LT
        tests.append(binary(operator, value.copy(), instant(by, node.upper)))
    return holds(all_of(tests))


RULES: Mapping[type[t.Bound], Callable[[Expressions, Any], Expression]] = {
    t.And: _and,
    t.Or: _or,
    t.Not: _not,
    t.IsTrue: _is_true,
    t.Compare: _compare,
    t.In: _in,
    t.Intersects: _intersects,
    t.SubsetOf: _subset_of,
    t.Exists: _exists,
    t.ForAll: _for_all,
    t.StringTest: _string_test,
    t.Like: _like,
    t.Matches: _matches,
    t.TimeRange: _time_range,
}
