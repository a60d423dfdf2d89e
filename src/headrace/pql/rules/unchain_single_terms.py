"""A sequence of one event is no sequence: it becomes ``exists``, ``not exists`` or a count."""

from headrace.pql.tree import (
    And,
    Bound,
    Call,
    Chain,
    ChainTerm,
    Compare,
    Constant,
    Exists,
    Filter,
    Function,
    IsNull,
    Literal,
    Not,
    array_type,
    transform,
)
from headrace.pql.types import INTEGER


def unchain_single_terms(root: Bound) -> Bound:
    """Rewrite chains of one term, but those with an upper bound other than 0."""
    return transform(root, _unchained)


def _unchained(node: Bound) -> Bound:
    if not isinstance(node, Chain) or len(node.terms) != 1:
        return node
    term = node.terms[0]
    if term.max_count == 0:
        return Not(Exists(node.array, node.variable, _condition(node, term), span=node.span), span=node.span)
    if term.max_count is not None:
        return node
    if term.min_count == 0:
        return Constant(True, span=node.span)
    if term.min_count == 1:
        return Exists(node.array, node.variable, _condition(node, term), span=node.span)
    chosen = Filter(node.array, node.variable, _condition(node, term), array_type(node.array), span=node.span)
    count = Call(Function.COUNT, (chosen,), INTEGER, span=node.span)
    return Compare(">=", count, Literal(term.min_count, INTEGER, span=node.span), span=node.span)


def _condition(node: Chain, term: ChainTerm) -> Bound:
    """Return what an event must satisfy; one without a time takes part in no chain, and WHEN refuses it by itself."""
    has_time = () if term.when else (Not(IsNull(node.time, span=term.span), span=term.span),)
    parts = (term.condition, *term.when, *has_time)
    return And(parts, span=term.span) if len(parts) > 1 else parts[0]
