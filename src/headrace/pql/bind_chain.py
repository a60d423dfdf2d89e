"""``chain`` to its bound form: labels resolved, counts checked, the event named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.pql import syntax
from headrace.pql.bind_time import Labels, bind_when
from headrace.pql.errors import ProblemCode
from headrace.pql.scope import Scope
from headrace.pql.tree import And, Bound, Chain, ChainTerm, Variable
from headrace.pql.types import AnyType, DateTimeType, DateType

if TYPE_CHECKING:
    from headrace.pql.bind import Binder

MAX_TERMS = 6
"""Sequential events in one chain."""


def bind_chain(binder: Binder, node: syntax.Chain, scope: Scope) -> Bound:
    """Bind a sequence of events."""
    array = binder.array(node.array, scope)
    variable, time = binder.per_item(array, node.time, scope, binder.value)
    if not isinstance(time.result, DateType | DateTimeType | AnyType):
        message = f"The second argument of chain must be a time field, this is {time.result.name}."
        binder.refuse(ProblemCode.TYPE, time.span, message)
    if len(node.terms) > MAX_TERMS:
        message = f"The sequence has {len(node.terms)} events; at most {MAX_TERMS} are allowed."
        binder.refuse(ProblemCode.LIMIT, node.terms[MAX_TERMS].label_span, message)
    _check_labels(binder, node)
    terms = tuple(_term(binder, node, index, variable, time, scope) for index in range(len(node.terms)))
    return Chain(array, variable, time, terms, span=node.span)


def _check_labels(binder: Binder, node: syntax.Chain) -> None:
    labels = [term.label for term in node.terms]
    for index, term in enumerate(node.terms):
        if term.label in labels[:index]:
            binder.refuse(ProblemCode.CHAIN, term.label_span, f"Label {term.label} stands twice in the chain.")
    if len(node.terms) > 1 and not any(term.min_count for term in node.terms):
        binder.refuse(ProblemCode.CHAIN, node.span, "A sequence needs at least one event that must occur.")


def _term(binder: Binder, node: syntax.Chain, index: int, variable: Variable, time: Bound, scope: Scope) -> ChainTerm:
    term = node.terms[index]
    conditions = [_condition(binder, part, variable, scope) for part in (term.what, term.where) if part is not None]
    condition = conditions[0] if len(conditions) == 1 else And(tuple(conditions), span=term.what.span)
    labels = _labels(node, index)
    when = tuple(bind_when(binder, time, part, scope, labels, part.span) for part in term.when)
    return ChainTerm(term.label, condition, when, term.min_count, term.max_count, span=term.span)


def _condition(binder: Binder, part: syntax.Syntax, variable: Variable, scope: Scope) -> Bound:
    """Bind WHAT or WHERE: the event is the receiver, or the one name of a lambda."""
    if isinstance(part, syntax.Lambda) and len(part.names) == 1:
        return binder.condition(part.body, scope.with_variable(part.names[0], variable))
    return binder.condition(part, scope.with_receiver(variable))


def _labels(node: syntax.Chain, index: int) -> Labels:
    """Return which labels the WHEN of term ``index`` may name, and why it may not name the others."""
    unusable = {term.label: f"Label {term.label} is declared later." for term in node.terms[index + 1 :]}
    unusable[node.terms[index].label] = f"Label {node.terms[index].label} is the term's own."
    earlier = {term.label: term for term in node.terms[:index]}
    for label, term in earlier.items():
        if not term.min_count:
            unusable[label] = f"Label {label} allows no event, so it has no time."
    return Labels(frozenset(label for label in earlier if label not in unusable), unusable)
