"""Relational expressions of chains: sequences of events in strict order of time.

For each term there is the list of times of the events that match it. A *state* is one way to have satisfied the terms so far: the
time of the last event chosen, the latest time at which the next one may begin (where a count is bounded), and the times of the
labels that later terms name. Each positive term turns the list of states into the next one; the chain holds when a state is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from headrace.engine.base import (
    Expression,
    all_of,
    any_of,
    binary,
    call,
    coalesce,
    column,
    constant,
    equals,
    field_of,
    filtered,
    holds,
    is_known,
    item_at,
    length,
    list_of,
    mapped,
    not_,
    struct_of,
    truth,
    when,
)
from headrace.pql import tree as t
from headrace.pql.types import DATE_TIME

if TYPE_CHECKING:
    from headrace.pql.compile.batch_expression import Expressions

EVER, NEVER = 1 << 62, -(1 << 62)
_LAST, _LIMIT = "last", "limit"


@dataclass(frozen=True, slots=True)
class Step:
    """One term of a chain, with the sorted times of the events that match what does not hang on other terms.

    Attributes:
        term: The term.
        times: List of times; null when there is none.
        ranges: Conditions of time that hang on earlier labels.
    """

    term: t.ChainTerm
    times: Expression
    ranges: tuple[t.Bound, ...]


def names_label(node: t.Bound) -> bool:
    """Whether a condition of time hangs on the event of another term."""
    return any(isinstance(part, t.LabelTime) for part in t.walk(node))


def steps_of(chain: t.Chain, times: Callable[[t.ChainTerm, tuple[t.Bound, ...]], Expression]) -> list[Step]:
    """Return the steps of a chain; ``times`` makes the list for a term and those of its conditions that hang on no label."""
    steps = []
    for term in chain.terms:
        ranges = tuple(part for part in term.when if names_label(part))
        own = tuple(part for part in term.when if not names_label(part))
        steps.append(Step(term, times(term, own), ranges))
    return steps


def _chain(by: Expressions, node: t.Chain) -> Expression:
    def times(term: t.ChainTerm, own: tuple[t.Bound, ...]) -> Expression:
        name, inner = by.within(node.variable)
        tests = [is_known(column(name)), is_known(inner.of(node.time)), inner.of(term.condition)]
        tests += [inner.of(part) for part in own]
        matching = filtered(by.array(node.array), name, all_of(tests))
        return call("list_sort", mapped(matching, name, inner.typed(node.time, DATE_TIME)))

    return chain_holds(by, node, steps_of(node, times))


def chain_holds(by: Expressions, chain: t.Chain, steps: Sequence[Step]) -> Expression:
    """Return whether some choice of events satisfies all steps."""
    if len(steps) == 1 and not steps[0].ranges:
        found = coalesce(length(steps[0].times), constant(0))
        return _is_count_allowed(steps[0].term, found)
    needed = [is_known(step.times.copy()) for step in steps if step.term.is_positive]
    return holds(when(all_of(needed), _Search(chain, steps).holds(by)))


def _is_count_allowed(term: t.ChainTerm, count: Expression) -> Expression:
    tests: list[Expression] = []
    if term.min_count:
        tests.append(binary(exp.GTE, count, constant(term.min_count)))
    if term.max_count is not None:
        tests.append(binary(exp.LTE, count.copy(), constant(term.max_count)))
    return all_of(tests)


class _Search:
    """Builds the expression of one chain's search."""

    def __init__(self, chain: t.Chain, steps: Sequence[Step]) -> None:
        self._chain = chain
        self._steps = steps
        self._has_limits = any(step.term.is_positive and step.term.max_count is not None for step in steps)

    def holds(self, by: Expressions) -> Expression:
        states = list_of([struct_of(self._state(constant(NEVER), constant(EVER), {}))])
        waiting: list[Step] = []
        for index, step in enumerate(self._steps):
            if not step.term.is_positive:
                waiting.append(step)
                continue
            states = self._next_states(by, states, waiting, index)
            waiting = []
        name = by.parameter()
        state = self._seen(by.deeper(), column(name))
        tests = [self._is_within(state.by, waiting_step, state, constant(EVER)) for waiting_step in waiting]
        if self._has_limits:
            tests.append(equals(state.limit, constant(EVER)))
        left = filtered(states, name, all_of(tests)) if tests else states
        return binary(exp.GT, length(left), constant(0))

    # --- states -----------------------------------------------------------------------------------------------------------

    def _state(self, last: Expression, limit: Expression, labels: Mapping[str, Expression]) -> list[tuple[str, Expression]]:
        fields = [(_LAST, last)]
        if self._has_limits:
            fields.append((_LIMIT, limit))
        return fields + [(f"label:{name}", value) for name, value in labels.items()]

    def _seen(self, by: Expressions, state: Expression, labels: Sequence[str] | None = None) -> _State:
        named = [term.label for term in self._chain.terms] if labels is None else labels
        found = {name: field_of(state.copy(), f"label:{name}") for name in named}
        return _State(replace(by, labels=found), field_of(state, _LAST), field_of(state.copy(), _LIMIT))

    def _labels_after(self, index: int) -> list[str]:
        """Return the labels up to step ``index`` that later steps name."""
        later = {
            part.label
            for step in self._steps[index + 1 :]
            for item in step.ranges
            for part in t.walk(item)
            if isinstance(part, t.LabelTime)
        }
        return [step.term.label for step in self._steps[: index + 1] if step.term.label in later]

    def _next_states(self, by: Expressions, states: Expression, waiting: Sequence[Step], index: int) -> Expression:
        name = by.parameter()
        state = self._seen(by.deeper(), column(name))
        chosen = call("flatten", mapped(states, name, self._choices(state, waiting, index)))
        if self._is_earliest_enough(index):
            return call("list_slice", call("list_sort", chosen), constant(1), constant(1))
        return call("list_distinct", chosen)

    def _is_earliest_enough(self, index: int) -> bool:
        """Whether nothing that follows can prefer a later event for step ``index``."""
        following = self._steps[index + 1 :]
        is_open = self._steps[index].term.max_count is None
        return is_open and all(step.term.max_count is None and not step.ranges for step in following)

    # --- the events of one step -------------------------------------------------------------------------------------------

    def _choices(self, state: _State, waiting: Sequence[Step], index: int) -> Expression:
        step = self._steps[index]
        name = state.by.parameter()
        tests = [binary(exp.GT, column(name), state.last)]
        tests += [_in_range(state.by.deeper(), part, column(name)) for part in step.ranges]
        matching = filtered(step.times.copy(), name, all_of(tests))
        if step.term.min_count == 1 and step.term.max_count is None:
            return self._single_choices(state, waiting, index, matching)
        return state.by.bound(matching, lambda one, inner: self._counted_choices(state, waiting, index, one, inner))

    def _single_choices(self, state: _State, waiting: Sequence[Step], index: int, matching: Expression) -> Expression:
        name = state.by.parameter()
        inner = state.by.deeper()
        allowed = self._beginnings(state, inner, waiting, column(name))
        kept = filtered(matching, name, all_of(allowed)) if allowed else matching
        return mapped(kept, name, struct_of(self._state(column(name), constant(EVER), self._carried(state, index, column(name)))))

    def _counted_choices(
        self, state: _State, waiting: Sequence[Step], index: int, matching: Expression, inner: Expressions
    ) -> Expression:
        """Choices of a step that needs several events or bounds their number; ``matching`` is a column."""
        term = self._steps[index].term
        name, position = inner.parameter(), inner.parameter() + "i"
        is_last = [binary(exp.GTE, column(position), constant(term.min_count))]
        limit: Expression = constant(EVER)
        if term.max_count is not None:
            is_last.append(binary(exp.LTE, column(position), constant(term.max_count)))
            following = call("list_extract", matching.copy(), binary(exp.Add, column(position), constant(1)))
            limit = coalesce(following, constant(EVER))
        made = struct_of(self._state(column(name), limit, self._carried(state, index, column(name))))
        marked = mapped(matching, name, when(all_of(is_last), made), position)
        choices = filtered(marked, name, is_known(column(name)))
        allowed = self._beginnings(state, inner, waiting, item_at(matching.copy(), 1))
        nothing = call("list_slice", choices.copy(), constant(1), constant(0))
        return when(all_of(allowed), choices, nothing) if allowed else choices

    def _beginnings(self, state: _State, by: Expressions, waiting: Sequence[Step], first: Expression) -> list[Expression]:
        """Return the conditions on the first event of a step."""
        tests = [self._is_within(replace(by, labels=state.by.labels), step, state, first.copy()) for step in waiting]
        if self._has_limits:
            tests.append(holds(binary(exp.LTE, first.copy(), state.limit.copy())))
        return tests

    def _carried(self, state: _State, index: int, own: Expression) -> dict[str, Expression]:
        label = self._steps[index].term.label
        return {name: own.copy() if name == label else state.by.labels[name].copy() for name in self._labels_after(index)}

    def _is_within(self, by: Expressions, step: Step, state: _State, before: Expression) -> Expression:
        """Whether a step that needs no event has no more than it allows between the last event and ``before``."""
        name = by.parameter()
        tests = [binary(exp.GT, column(name), state.last.copy()), binary(exp.LT, column(name), before)]
        tests += [_in_range(by.deeper(), part, column(name)) for part in step.ranges]
        found = coalesce(length(filtered(step.times.copy(), name, all_of(tests))), constant(0))
        return binary(exp.LTE, found, constant(step.term.max_count or 0)) if step.term.max_count is not None else truth(True)


@dataclass(frozen=True, slots=True)
class _State:
    by: Expressions
    last: Expression
    limit: Expression


def _in_range(by: Expressions, node: t.Bound, value: Expression) -> Expression:
    """Return a condition of the chain's time for one time; the operand of every range in it is that time."""
    match node:
        case t.TimeRange():
            from headrace.pql.compile.batch_predicates import in_range

            return in_range(by, node, value.copy())
        case t.And():
            return all_of([_in_range(by, part, value) for part in node.operands])
        case t.Or():
            return any_of([_in_range(by, part, value) for part in node.operands])
        case t.Not():
            return not_(_in_range(by, node.operand, value))
        case _:
            return by.of(node)


RULES: Mapping[type[t.Bound], Callable[[Expressions, Any], Expression]] = {t.Chain: _chain}
