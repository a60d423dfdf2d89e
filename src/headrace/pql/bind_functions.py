"""Calls of functions to bound nodes: one handler for each name of `functions`; the number of arguments is checked before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from headrace.pql import syntax
from headrace.pql.coerce import common_type, comparable, day_ms
from headrace.pql.errors import ProblemCode
from headrace.pql.patterns import compiled
from headrace.pql.scope import Scope
from headrace.pql.tree import (
    AggregateFunction,
    And,
    ArrayLiteral,
    ArrayPath,
    Bound,
    Call,
    Constant,
    DatePart,
    Events,
    Exists,
    Field,
    ForAll,
    Function,
    GroupBy,
    If,
    InSegment,
    Intersects,
    IsNull,
    Literal,
    Lookup,
    Map,
    MapEntries,
    Matches,
    Not,
    Now,
    Or,
    PartOf,
    Profile,
    RegexGroup,
    StringTest,
    SubsetOf,
    TextTest,
    TopN,
    Variable,
    array_type,
    item_type,
)
from headrace.pql.types import (
    ANY,
    DATE,
    INTEGER,
    STRING,
    AnyType,
    ArrayType,
    BooleanType,
    IntegerType,
    MapType,
    NullType,
    ObjectType,
    StringType,
    is_time,
)

if TYPE_CHECKING:
    from headrace.pql.bind import Binder

Handler = Callable[["Binder", syntax.Call, Scope], Bound]

_TESTS: Mapping[str, tuple[TextTest, bool]] = {
    "equals": (TextTest.EQUALS, False),
    "notEqualTo": (TextTest.EQUALS, True),
    "startsWith": (TextTest.STARTS_WITH, False),
    "doesNotStartWith": (TextTest.STARTS_WITH, True),
    "endsWith": (TextTest.ENDS_WITH, False),
    "doesNotEndWith": (TextTest.ENDS_WITH, True),
    "contains": (TextTest.CONTAINS, False),
    "doesNotContain": (TextTest.CONTAINS, True),
}


# --- strings


def _string_test(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    subject, *rest = (binder.value(argument, scope) for argument in call.arguments)
    ignores_case, others = _case_flag(binder, rest)
    if not others:
        return binder.refuse_condition(ProblemCode.TYPE, call.span, f"{call.name} needs a text to compare with.")
    return _tested(binder, call.name, subject, others, ignores_case, call)


def _case_flag(binder: Binder, arguments: list[Bound]) -> tuple[bool, list[Bound]]:
    """Take the case-sensitivity flag off the end of the arguments."""
    if len(arguments) > 1 and isinstance(arguments[-1].result, BooleanType):
        flag = arguments[-1]
        if isinstance(flag, Literal):
            return not flag.value, arguments[:-1]
        binder.refuse(ProblemCode.TYPE, flag.span, "The case-sensitivity flag must be true or false.")
        return False, arguments[:-1]
    return False, arguments


def _tested(binder: Binder, name: str, subject: Bound, others: list[Bound], ignores_case: bool, call: syntax.Call) -> Bound:
    """Return the test of one subject against several texts: any of them for a positive name, all of them for a negative one."""
    test, is_negated = _TESTS[name]
    if isinstance(subject.result, ArrayType):
        if is_negated:
            return binder.refuse_negative(call.span, name)
        return binder.any_element(subject, lambda one: _tested(binder, name, one, others, ignores_case, call))
    if test is TextTest.EQUALS and not ignores_case and not isinstance(subject.result, StringType):
        operator = "!=" if is_negated else "="
        tests = [binder.compare(operator, subject, other, call.span) for other in others]
    else:
        subject = binder.string(subject, f"What {name} tests")
        tests = [_one_test(binder, test, subject, other, ignores_case, is_negated, call) for other in others]
    if len(tests) == 1:
        return tests[0]
    return And(tuple(tests), span=call.span) if is_negated else Or(tuple(tests), span=call.span)


def _one_test(
    binder: Binder, test: TextTest, subject: Bound, other: Bound, ignores_case: bool, is_negated: bool, call: syntax.Call
) -> Bound:
    if test is TextTest.EQUALS and not ignores_case:
        return binder.compare("!=" if is_negated else "=", subject, other, call.span)
    argument = binder.string(other, f"The text of {call.name}")
    return StringTest(test, subject, argument, ignores_case, is_negated, span=call.span)


def _string_compare(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    operator, subject, texts, *rest = (binder.value(argument, scope) for argument in call.arguments)
    ignores_case = False
    if rest:
        ignores_case, _ = _case_flag(binder, [texts, *rest])
    if not isinstance(operator, Literal) or operator.value not in _TESTS:
        known = ", ".join(_TESTS)
        return binder.refuse_condition(ProblemCode.TYPE, operator.span, f"The first argument must be one of {known}.")
    name = str(operator.value)
    if isinstance(texts, ArrayLiteral):
        if not texts.items:
            return Constant(False, span=call.span)
        return _tested(binder, name, subject, list(texts.items), ignores_case, call)
    if isinstance(texts.result, ArrayType):
        return _compare_with_each(binder, name, subject, texts, ignores_case, call)
    return _tested(binder, name, subject, [texts], ignores_case, call)


def _compare_with_each(binder: Binder, name: str, subject: Bound, texts: Bound, ignores_case: bool, call: syntax.Call) -> Bound:
    """Test against the texts of an array that the profile holds; a null array gives false for negative names too."""
    variable = binder.new_variable("_text", item_type(texts))
    test = _tested(binder, name, subject, [variable], ignores_case, call)
    if not _TESTS[name][1]:
        return Exists(texts, variable, test, span=call.span)
    known = [Not(IsNull(side)) for side in (subject, texts)]
    return And((*known, ForAll(texts, variable, test, span=call.span)), span=call.span)


def _matches(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    subject = binder.value(call.arguments[0], scope)
    pattern = _pattern(binder, call, scope)
    if pattern is None:
        return Constant(False, span=call.span)
    return binder.each(subject, lambda one: Matches(binder.string(one, "What matches tests"), pattern, span=call.span))


def _pattern(binder: Binder, call: syntax.Call, scope: Scope) -> str | None:
    """Return the regular expression of a call, checked; None after a problem was recorded."""
    node = binder.value(call.arguments[1], scope)
    if not isinstance(node, Literal) or not isinstance(node.value, str):
        binder.refuse(ProblemCode.TYPE, node.span, "The regular expression must be a string literal.")
        return None
    try:
        compiled(node.value)
    except ValueError as error:
        message = f"RE2 does not accept the regular expression ({error}); look-around and back-references are not supported."
        binder.refuse(ProblemCode.REGEX, node.span, message)
        return None
    return node.value


def _regex_group(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    subject = binder.string(binder.value(call.arguments[0], scope), "What regexGroup searches")
    pattern, group = _pattern(binder, call, scope), binder.value(call.arguments[2], scope)
    if pattern is None:
        return Literal(None, ANY, span=call.span)
    groups = compiled(pattern).groups
    if not isinstance(group, Literal) or not isinstance(group.value, int) or isinstance(group.value, bool):
        return binder.refuse(ProblemCode.TYPE, group.span, "The number of the group must be an integer literal.")
    if not 0 <= group.value <= groups:
        return binder.refuse(
            ProblemCode.REGEX, group.span, f"The regular expression has no group {group.value}; its last one is {groups}."
        )
    return RegexGroup(subject, pattern, group.value, span=call.span)


# --- conditions


def _if(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    condition = binder.condition(call.arguments[0], scope)
    then, otherwise = (binder.value(argument, scope) for argument in call.arguments[1:])
    if comparable(then.result, otherwise.result) or isinstance(then, Literal) or isinstance(otherwise, Literal):
        then, otherwise = binder.matched(then, otherwise)
    of = common_type(then.result, otherwise.result)
    if of is None:
        message = f"The branches have different types: {then.result.name} and {otherwise.result.name}."
        return binder.refuse(ProblemCode.TYPE, call.span, message)
    return If(condition, then, otherwise, ANY if isinstance(of, NullType) else of, span=call.span)


def _is_null(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    operand = binder.value(call.arguments[0], scope)
    if isinstance(operand, ArrayPath) and isinstance(operand.array, Events):
        binder.advise("array_path_never_null", call.span, "A path through xEvent is a list, never null; use exists.")
    test = IsNull(operand, span=call.span)
    return test if call.name == "isNull" else Not(test, span=call.span)


def _in_segment(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    argument = call.arguments[0]
    if not isinstance(argument, syntax.Constant) or not isinstance(argument.value, str):
        return binder.refuse_condition(
            ProblemCode.TYPE, argument.span, "inSegment takes the id of an audience as a string literal."
        )
    exists = binder.names.audience_exists
    if exists is not None and not exists(argument.value):
        return binder.refuse_condition(
            ProblemCode.SEGREF, argument.span, f'There is no audience "{argument.value}" on this schema in this sandbox.'
        )
    return InSegment(argument.value, span=call.span)


# --- arrays


def _pair(binder: Binder, call: syntax.Call, scope: Scope) -> tuple[Bound, Bound]:
    left, right = (binder.array(argument, scope) for argument in call.arguments)
    left, right = binder.matched(left, right)
    if not comparable(left.result, right.result):
        binder.refuse(ProblemCode.TYPE, call.span, f"{left.result.name} and {right.result.name} have no common items.")
    return left, right


def _intersects(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    return Intersects(*_pair(binder, call, scope), span=call.span)


def _intersection(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    left, right = _pair(binder, call, scope)
    return Call(Function.INTERSECTION, (left, right), left.result, span=call.span)


def _subset(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    left, right = _pair(binder, call, scope)
    return SubsetOf(left, right, span=call.span) if call.name == "subsetOf" else SubsetOf(right, left, span=call.span)


def _includes(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    array, item = binder.array(call.arguments[0], scope), binder.value(call.arguments[1], scope)
    return binder.membership(item, array, call.span, is_negated=False)


def _array_function(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    array = binder.array(call.arguments[0], scope)
    function = Function(call.name)
    of = {Function.COUNT: INTEGER, Function.HEAD: item_type(array)}.get(function, array.result)
    return Call(function, (array,), of, span=call.span)


def _quantifier(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    array = binder.array(call.arguments[0], scope)
    variable, condition = binder.per_item(array, call.arguments[1], scope, binder.condition)
    kind = Exists if call.name == "exists" else ForAll
    return kind(array, variable, binder.as_condition(condition), span=call.span)


def _aggregate(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    array = binder.array(call.arguments[0], scope)
    if len(call.arguments) == 2:
        variable, value = binder.per_item(array, call.arguments[1], scope, binder.value)
    else:
        variable = binder.new_variable("_item", item_type(array))
        value = replace(variable, span=array.span)
    return binder.aggregate(AggregateFunction(call.name), array, variable, value, call.span)


def _top(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    array = binder.array(call.arguments[0], scope)
    variable, key = binder.per_item(array, call.arguments[1], scope, binder.value)
    key = binder.number(key, f"{call.name} orders by a number")
    count = binder.value(call.arguments[2], scope)
    if not isinstance(count.result, IntegerType | AnyType):
        count = binder.refuse(ProblemCode.TYPE, count.span, f"The number of items must be an integer, got {count.result.name}.")
    return TopN(array, variable, key, count, call.name == "bottomN", array_type(array), span=call.span)


def _group_by(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    array = binder.array(call.arguments[0], scope)
    variable, key = binder.per_item(array, call.arguments[1], scope, binder.value)
    if not isinstance(key.result, StringType | IntegerType | BooleanType | AnyType):
        message = f"The key must be a string, an integer or a boolean, got {key.result.name}."
        key = binder.refuse(ProblemCode.TYPE, key.span, message)
    return GroupBy(array, variable, key, MapType(array_type(array)), span=call.span)


def _map(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    subject = binder.value(call.arguments[0], scope)
    if isinstance(subject.result, MapType):
        return _map_entries(binder, subject, subject.result, call, scope)
    array = binder.as_array(subject)
    variable, body = binder.per_item(array, call.arguments[1], scope, binder.value)
    return Map(array, variable, body, ArrayType(body.result), span=call.span)


def _map_entries(binder: Binder, subject: Bound, of: MapType, call: syntax.Call, scope: Scope) -> Bound:
    function = call.arguments[1]
    if not isinstance(function, syntax.Lambda) or len(function.names) != 2:
        return binder.refuse(
            ProblemCode.TYPE, function.span, "map over a map takes a lambda of two names: (K, V) => mapEntry(…)."
        )
    entry = function.body
    if not isinstance(entry, syntax.Call) or entry.name != "mapEntry" or len(entry.arguments) != 2:
        return binder.refuse(ProblemCode.TYPE, entry.span, "map over a map must give mapEntry(key, value).")
    inner, key_variable = binder.declared(function.names[0], STRING, scope, function.span)
    inner, value_variable = binder.declared(function.names[1], of.value, inner, function.span)
    key = binder.string(binder.value(entry.arguments[0], inner), "The key of an entry")
    value = binder.value(entry.arguments[1], inner)
    return MapEntries(subject, key_variable, value_variable, key, value, MapType(value.result), span=call.span)


def _map_entry(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    del scope
    return binder.refuse(ProblemCode.TYPE, call.span, "mapEntry stands only as the result of map over a map.")


# --- maps


def _map_function(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    subject = binder.value(call.arguments[0], scope)
    value_type = subject.result.value if isinstance(subject.result, MapType) else ANY
    if not isinstance(subject.result, MapType | AnyType):
        return binder.refuse(ProblemCode.TYPE, subject.span, f"{call.name} needs a map, this is {subject.result.name}.")
    if call.name == "get":
        key = binder.string(binder.value(call.arguments[1], scope), "The key of a map")
        return Call(Function.MAP_GET, (subject, key), value_type, span=call.span)
    if call.name == "keys":
        return Call(Function.MAP_KEYS, (subject,), ArrayType(STRING), span=call.span)
    return Call(Function.MAP_VALUES, (subject,), ArrayType(value_type), span=call.span)


def _lookup(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    key = binder.value(call.arguments[0], scope)
    path = _path(key)
    relationship = None if path is None else binder.names.relationships.get(path)
    if relationship is None:
        if isinstance(key.result, AnyType) and isinstance(key, Literal):
            return key
        message = f"{path or 'This'} is no field with a relationship to another schema."
        return binder.refuse(ProblemCode.NAME, key.span, message)
    return Lookup(key, relationship.entity, relationship.type, span=call.span)


def _path(node: Bound) -> str | None:
    """Return the dotted path of a field from the profile, or from an event (``xEvent.…``)."""
    names: list[str] = []
    while isinstance(node, Field):
        names.append(node.name)
        node = node.object
    if isinstance(node, Profile):
        return ".".join(reversed(names)) or None
    is_event = isinstance(node, Variable) and isinstance(node.type, ObjectType) and node.type.is_event
    return ".".join(["xEvent", *reversed(names)]) if is_event and names else None


# --- time


def _current(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    del binder, scope
    part = {"currentMonth": DatePart.MONTH, "currentYear": DatePart.YEAR, "currentDayOfMonth": DatePart.DAY}[call.name]
    return PartOf(part, Now(span=call.span), span=call.span)


def _part_of(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    instant = binder.coerce_time(binder.value(call.arguments[0], scope))
    parts = {
        "getMonth": DatePart.MONTH,
        "getYear": DatePart.YEAR,
        "getDayOfMonth": DatePart.DAY,
        "ignoreYear": DatePart.MONTH_DAY,
    }
    if not is_time(instant.result):
        message = f"{call.name} takes a date or date-time, got {instant.result.name}."
        instant = binder.refuse(ProblemCode.TYPE, instant.span, message)
    return PartOf(parts[call.name], instant, span=call.span)


def _date(binder: Binder, call: syntax.Call, scope: Scope) -> Bound:
    parts = [binder.value(argument, scope) for argument in call.arguments]
    for part in parts:
        if not isinstance(part.result, IntegerType | AnyType):
            return binder.refuse(ProblemCode.TYPE, part.span, f"date takes integers, got {part.result.name}.")
    numbers = [part.value for part in parts if isinstance(part, Literal) and isinstance(part.value, int)]
    if len(numbers) < 3:
        return Call(Function.MAKE_DATE, tuple(parts), DATE, span=call.span)
    midnight = day_ms(*numbers)
    if midnight is None:
        return binder.refuse(ProblemCode.DATE, call.span, "There is no day {}-{:02}-{:02}.".format(*numbers))
    return Literal(midnight, DATE, span=call.span)


HANDLERS: Mapping[str, Handler] = {
    **dict.fromkeys(_TESTS, _string_test),
    "stringCompare": _string_compare,
    "matches": _matches,
    "regexGroup": _regex_group,
    "if": _if,
    "isNull": _is_null,
    "isNotNull": _is_null,
    "inSegment": _in_segment,
    "intersects": _intersects,
    "intersection": _intersection,
    "subsetOf": _subset,
    "supersetOf": _subset,
    "includes": _includes,
    "distinct": _array_function,
    "head": _array_function,
    "count": _array_function,
    "exists": _quantifier,
    "forall": _quantifier,
    "sum": _aggregate,
    "average": _aggregate,
    "min": _aggregate,
    "max": _aggregate,
    "topN": _top,
    "bottomN": _top,
    "groupBy": _group_by,
    "map": _map,
    "mapEntry": _map_entry,
    "get": _map_function,
    "keys": _map_function,
    "values": _map_function,
    "lookup": _lookup,
    "currentMonth": _current,
    "currentYear": _current,
    "currentDayOfMonth": _current,
    "getMonth": _part_of,
    "getYear": _part_of,
    "getDayOfMonth": _part_of,
    "ignoreYear": _part_of,
    "date": _date,
}
"""How each function is bound."""
