"""What a row of a person needs to know of the person's events: facts, all computed in one pass over the events.

A part of a query that speaks of events without tying two of them together becomes an aggregate over the rows of the events
(``bool_or``, a count, the list of times of a chain's term), which is how one would write it by hand. Only what ties events
together, or events to items of the profile, reads the list of a person's events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from headrace.engine.base import (
    Expression,
    aggregate,
    all_of,
    binary,
    call,
    cast,
    coalesce,
    column,
    constant,
    holds,
    is_known,
    list_of,
    not_,
    relaxed,
    sql,
    struct_of,
    truth,
)
from headrace.pql import tree as t
from headrace.pql.compile.batch_chain import chain_holds, names_label, steps_of
from headrace.pql.compile.batch_expression import Expressions, NotHere, Record
from headrace.pql.compile.batch_layout import Column, column_name, sql_type
from headrace.pql.compile.batch_predicates import exists
from headrace.pql.compile.batch_values import aggregated_value, finished_aggregate
from headrace.pql.types import DATE_TIME, ArrayType, ObjectType

PERSON, MEMBERS, TIME, EVENT_ID = "$person", "$members", "$time", "$id"
PROFILE_ROW, EVENT_ROW = "p", "e"
_AGGREGATES: Mapping[t.AggregateFunction, str] = {
    t.AggregateFunction.COUNT: "count",
    t.AggregateFunction.SUM: "sum",
    t.AggregateFunction.AVERAGE: "avg",
    t.AggregateFunction.MIN: "min",
    t.AggregateFunction.MAX: "max",
}
Conditions = tuple[tuple[t.Variable, t.Bound], ...]


@dataclass(slots=True)
class Facts:
    """Aggregates over the events, each known by a column name.

    Attributes:
        plain: Those that read events only, by their text.
        joined: Those that read the profile too.
    """

    plain: dict[str, tuple[str, Expression]] = field(default_factory=dict)
    joined: dict[str, tuple[str, Expression]] = field(default_factory=dict)

    def add(self, value: Expression, *, reads_profile: bool) -> Expression:
        """Return the column that holds an aggregate; equal ones share it."""
        known = self.joined if reads_profile else self.plain
        text = sql(value)
        if text not in known:
            known[text] = (f"$f{len(self.plain) + len(self.joined)}", value)
        return column(known[text][0])


@dataclass(slots=True)
class EventPlace:
    """Among the rows of the events, joined to the profile when something reads it."""

    members: Mapping[str, int]
    in_job: Mapping[str, int]
    reads_profile: bool = False

    def profile_field(self, name: str) -> Expression:
        """Return a column of the profile's row."""
        self.reads_profile = True
        return column(column_name(name), PROFILE_ROW)

    def events(self) -> Expression:
        """Refuse: a row knows of no other."""
        raise NotHere

    def is_member(self, audience_id: str) -> Expression:
        """Return whether the person was in an audience before this job, unless the job evaluates it."""
        if audience_id in self.in_job:
            raise NotHere
        self.reads_profile = True
        return membership(self.members, audience_id, column(MEMBERS, PROFILE_ROW))

    def found(self, node: t.Bound) -> Expression | None:
        """Know no better way for any node."""
        del node
        return None


def membership(numbers: Mapping[str, int], audience_id: str, members: Expression) -> Expression:
    """Return whether a list of audience numbers holds that of an audience; an unknown one has no members."""
    number = numbers.get(audience_id)
    if number is None:
        return truth(False)
    return holds(call("list_contains", members, cast(constant(number), "INTEGER")))


@dataclass(slots=True)
class RowPlace:
    """In the row of a person, beside the facts about the person's events.

    Attributes:
        facts: The facts of the statement; grows while expressions are made.
        event_columns: Columns of the events, for the list of a person's events.
        numbers: Audience id → number, of all audiences that ``inSegment`` may name.
        in_job: The same, of the audiences that this statement evaluates.
        now_ms: The instant of the evaluation.
    """

    facts: Facts
    event_columns: Sequence[Column]
    numbers: Mapping[str, int]
    in_job: Mapping[str, int]
    now_ms: int

    # --- the leaves -------------------------------------------------------------------------------------------------------

    def profile_field(self, name: str) -> Expression:
        """Return a column of the row."""
        return column(column_name(name))

    def events(self) -> Expression:
        """Return the list of the person's events, by (time, id)."""
        return self._event_list(())

    def is_member(self, audience_id: str) -> Expression:
        """Return the answer of this job where it evaluates the audience, else the stored membership."""
        if audience_id in self.in_job:
            return column(answer_column(self.in_job[audience_id]))
        return membership(self.numbers, audience_id, column(MEMBERS))

    # --- facts ------------------------------------------------------------------------------------------------------------

    def found(self, node: t.Bound) -> Expression | None:
        """Return a node as facts about the events, None when it cannot be one."""
        try:
            return self._fact(node)
        except NotHere:
            return None

    def _fact(self, node: t.Bound) -> Expression | None:
        match node:
            case t.Exists():
                return self._exists(node)
            case t.ForAll() if (chosen := conditions_of(node.array)) is not None:
                return not_(self._any((*chosen, (node.variable, t.Not(node.condition)))))
            case t.Call(function=t.Function.COUNT):
                return self._count(node.arguments[0])
            case t.Aggregate() if (chosen := conditions_of(node.array)) is not None:
                return self._aggregate(node, chosen)
            case t.Chain() if (chosen := conditions_of(node.array)) is not None:
                return self._chain(node, chosen)
            case t.Filter() if (chosen := conditions_of(node)) is not None:
                return self._event_list(chosen)
        return None

    def _exists(self, node: t.Exists) -> Expression | None:
        chosen = conditions_of(node.array)
        if chosen is not None:
            free, bound = _split(node.condition, node.variable)
            inner = self._any((*chosen, (node.variable, bound)))
            outside = [Expressions(self, self.now_ms).of(part) for part in free]
            return all_of([*outside, inner])
        if not isinstance(node.array, t.ArrayPath | t.FlatMap | t.Map):
            return None
        chosen = conditions_of(node.array.array)
        if chosen is None:
            return None
        return self._any_below(node, node.array, chosen)

    def _any_below(self, node: t.Exists, array: t.ArrayPath | t.FlatMap | t.Map, chosen: Conditions) -> Expression:
        """Whether an event has, at a path or in a value, something that satisfies the condition."""

        def test(by: Expressions) -> Expression:
            if isinstance(array, t.Map):
                value, inner = by.having(array.variable, Record(EVENT_ROW)).of(array.body), by
            elif isinstance(array, t.FlatMap):
                return exists(by.having(array.variable, Record(EVENT_ROW)), array.body, node.variable, node.condition)
            elif not any(isinstance(of, ArrayType) for of in array.step_types):
                value, inner = _column_at(array.path), by
            else:
                return _exists_along(by, array, node)
            return all_of([is_known(value), inner.having(node.variable, value).of(node.condition)])

        return self._row_test(chosen, test)

    def _any(self, conditions: Conditions) -> Expression:
        return self._row_test(conditions, lambda by: truth(True))

    def _row_test(self, conditions: Conditions, test: Callable[[Expressions], Expression]) -> Expression:
        place = self._event_place()
        by = Expressions(place, self.now_ms)
        parts = [part for part in (*_all_tests(by, conditions), test(by)) if part != truth(True)]
        value = aggregate("count", exp.Star(), all_of(parts) if parts else None)
        found = self.facts.add(value, reads_profile=place.reads_profile)
        return holds(binary(exp.GT, found, constant(0)))

    def _count(self, array: t.Bound) -> Expression | None:
        if isinstance(array, t.Call) and array.function is t.Function.DISTINCT:
            return self._count_distinct(array.arguments[0])
        path = array if isinstance(array, t.ArrayPath) else None
        chosen = conditions_of(path.array if path is not None else array)
        if chosen is None or (path is not None and _has_arrays(path)):
            return None
        place = self._event_place()
        tests = _all_tests(Expressions(place, self.now_ms), chosen)
        if path is not None:
            tests.append(is_known(_column_at(path.path)))
        value = aggregate("count", exp.Star(), all_of(tests) if tests else None)
        return coalesce(self.facts.add(value, reads_profile=place.reads_profile), constant(0))

    def _count_distinct(self, array: t.Bound) -> Expression | None:
        if not isinstance(array, t.ArrayPath) or _has_arrays(array):
            return None
        chosen = conditions_of(array.array)
        if chosen is None or isinstance(array.type.item, ObjectType):
            return None
        place = self._event_place()
        tests = _all_tests(Expressions(place, self.now_ms), chosen)
        value = aggregate("count", exp.Distinct(expressions=[_column_at(array.path)]), all_of(tests))
        return coalesce(self.facts.add(value, reads_profile=place.reads_profile), constant(0))

    def _aggregate(self, node: t.Aggregate, chosen: Conditions) -> Expression:
        place = self._event_place()
        by = Expressions(place, self.now_ms)
        value = aggregated_value(by.having(node.variable, Record(EVENT_ROW)), node)
        tests = _all_tests(by, chosen)
        found = aggregate(_AGGREGATES[node.function], value, all_of(tests) if tests else None)
        return finished_aggregate(node, self.facts.add(found, reads_profile=place.reads_profile))

    # --- chains -----------------------------------------------------------------------------------------------------------

    def _chain(self, node: t.Chain, chosen: Conditions) -> Expression:
        by = Expressions(self, self.now_ms)
        short = self._short_chain(node, chosen)
        if short is not None:
            return short

        def times(term: t.ChainTerm, own: tuple[t.Bound, ...]) -> Expression:
            return self._of_term(node, chosen, term, own, lambda time: call("list", time), after="list_sort")

        return chain_holds(by, node, steps_of(node, times))

    def _of_term(
        self,
        node: t.Chain,
        chosen: Conditions,
        term: t.ChainTerm,
        own: tuple[t.Bound, ...],
        made: Callable[[Expression], Expression],
        *,
        after: str = "",
    ) -> Expression:
        """Return an aggregate over the times of the events that match a term."""
        place = self._event_place()
        by = Expressions(place, self.now_ms)
        inner = by.having(node.variable, Record(EVENT_ROW))
        time = inner.typed(node.time, DATE_TIME)
        tests = [*_all_tests(by, chosen), is_known(time), inner.of(term.condition), *(inner.of(part) for part in own)]
        found = exp.Filter(this=made(time.copy()), expression=exp.Where(this=relaxed(all_of(tests))))
        held = self.facts.add(found, reads_profile=place.reads_profile)
        return call(after, held) if after else held

    def _short_chain(self, node: t.Chain, chosen: Conditions) -> Expression | None:
        """Return a chain of one or two terms that needs no more than counts, first and last times."""
        if any(names_label(part) for term in node.terms for part in term.when):
            return None

        def of(term: t.ChainTerm, name: str) -> Expression:
            return self._of_term(node, chosen, term, term.when, lambda time: call(name, time))

        match node.terms:
            case (only,):
                return self._counted(of, only)
            case (first, second) if _is_single(first) and _is_single(second):
                return holds(binary(exp.GT, of(second, "max"), of(first, "min")))
            case (first, second) if _is_single(first) and second.max_count == 0:
                last, excluded = of(first, "max"), of(second, "max")
                return holds(all_of([is_known(last), coalesce(binary(exp.LTE, excluded, last.copy()), truth(True))]))
            case (first, second) if first.max_count == 0 and _is_single(second):
                earliest, excluded = of(second, "min"), of(first, "min")
                return holds(all_of([is_known(earliest), coalesce(binary(exp.GTE, excluded, earliest.copy()), truth(True))]))
        return None

    def _counted(self, of: Callable[[t.ChainTerm, str], Expression], term: t.ChainTerm) -> Expression:
        if _is_single(term):
            return is_known(of(term, "min"))
        count = coalesce(of(term, "count"), constant(0))
        tests: list[Expression] = []
        if term.min_count:
            tests.append(binary(exp.GTE, count, constant(term.min_count)))
        if term.max_count is not None:
            tests.append(binary(exp.LTE, count.copy(), constant(term.max_count)))
        return all_of(tests)

    # --- the list of events -----------------------------------------------------------------------------------------------

    def _event_list(self, chosen: Conditions) -> Expression:
        place = self._event_place()
        tests = _all_tests(Expressions(place, self.now_ms), chosen)
        packed = struct_of([(item.name, column(item.name, EVENT_ROW)) for item in self.event_columns] or [("$", truth(True))])
        order = [column(TIME, EVENT_ROW), column(EVENT_ID, EVENT_ROW)]
        value = aggregate("list", packed, all_of(tests) if tests else None, order=order)
        held = self.facts.add(value, reads_profile=place.reads_profile)
        empty = cast(list_of([]), event_list_type(self.event_columns))
        return coalesce(held, empty)

    def _event_place(self) -> EventPlace:
        return EventPlace(self.numbers, self.in_job)


def event_list_type(columns: Sequence[Column]) -> str:
    """Return the engine's type of the list of a person's events."""
    of = ObjectType({item.field: item.type for item in columns})
    return f"{sql_type(of)}[]"


def answer_column(number: int) -> str:
    """Return the column that holds whether the person is in an audience by this job."""
    return f"$a{number}"


# --- the shape of queries -------------------------------------------------------------------------------------------------


def conditions_of(array: t.Bound) -> Conditions | None:
    """Return the conditions that choose an array from all events; None when it is something else."""
    match array:
        case t.Events():
            return ()
        case t.Filter():
            inner = conditions_of(array.array)
            return None if inner is None else (*inner, (array.variable, array.condition))
    return None


def _all_tests(by: Expressions, conditions: Conditions) -> list[Expression]:
    found = [by.having(variable, Record(EVENT_ROW)).of(condition) for variable, condition in conditions]
    return [test for test in found if test != truth(True)]


def _split(condition: t.Bound, variable: t.Variable) -> tuple[list[t.Bound], t.Bound]:
    """Part a condition into what does not depend on a variable and what does."""
    parts = condition.operands if isinstance(condition, t.And) else (condition,)
    free = [part for part in parts if _is_free_of(part, variable) and part != t.Constant(True)]
    bound = [part for part in parts if not any(part is other for other in free)]
    if not bound:
        return free, t.Constant(True)
    return free, bound[0] if len(bound) == 1 else t.And(tuple(bound))


def _is_free_of(node: t.Bound, variable: t.Variable) -> bool:
    slots = {part.slot for part in t.walk(node) if isinstance(part, t.Variable)}
    own = {item.slot for part in t.walk(node) for item in t.variables_of(part)}
    return variable.slot not in slots and slots <= own


def _is_single(term: t.ChainTerm) -> bool:
    return term.min_count == 1 and term.max_count is None


def _has_arrays(path: t.ArrayPath) -> bool:
    return any(isinstance(of, ArrayType) for of in path.step_types)


def _column_at(path: tuple[str, ...]) -> Expression:
    value: Expression = column(column_name(path[0]), EVENT_ROW)
    for name in path[1:]:
        value = call("struct_extract", value, constant(column_name(name)))
    return value


def _exists_along(by: Expressions, array: t.ArrayPath, node: t.Exists) -> Expression:
    """Whether a path that meets arrays leads, from one event, to something that satisfies the condition."""
    first_array = next(index for index, of in enumerate(array.step_types) if isinstance(of, ArrayType))
    head = _column_at(array.path[: first_array + 1])
    rest, types = array.path[first_array + 1 :], array.step_types[first_array + 1 :]
    own = array.step_types[first_array]
    held = t.Variable(-1, "", own)
    inner = by.having(held, head)
    source: t.Bound = held
    if rest:
        source = t.ArrayPath(held, rest, array.type, types)
    return exists(inner, source, node.variable, node.condition)
