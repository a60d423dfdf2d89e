"""What depends on literals alone is computed once, by the reference evaluator."""

from headrace.pql.reference import evaluate
from headrace.pql.tree import (
    Arithmetic,
    ArrayLiteral,
    Bound,
    Call,
    Compare,
    Constant,
    Function,
    If,
    In,
    IsNull,
    IsTrue,
    Like,
    Literal,
    Matches,
    Negate,
    Not,
    PartOf,
    Predicate,
    RegexGroup,
    Shift,
    StartOfDay,
    StringTest,
    TimeRange,
    children,
    transform,
)

_PURE = (
    Arithmetic,
    Compare,
    In,
    IsNull,
    IsTrue,
    Like,
    Matches,
    Negate,
    Not,
    PartOf,
    RegexGroup,
    Shift,
    StartOfDay,
    StringTest,
    TimeRange,
)


def fold_constants(root: Bound) -> Bound:
    """Replace each node whose operands are all literals by its value, and drop shifts of nothing and decided branches."""
    return transform(root, _folded)


def _folded(node: Bound) -> Bound:
    match node:
        case If(condition=Constant(value=decided)):
            return node.then if decided else node.otherwise
        case Shift(amount=0):
            return node.instant
        case Call(function=Function.MAKE_DATE):
            return _computed(node)
    return _computed(node) if isinstance(node, _PURE) else node


def _computed(node: Bound) -> Bound:
    if not all(_is_literal(child) for child in children(node)):
        return node
    value = evaluate(node, {}, now=0)
    if isinstance(node, Predicate):
        return Constant(bool(value), span=node.span)
    return Literal(value, node.result, span=node.span)


def _is_literal(node: Bound) -> bool:
    if isinstance(node, ArrayLiteral):
        return all(isinstance(item, Literal) for item in node.items)
    return isinstance(node, Literal | Constant)
