"""A quantifier or filter over a filter becomes one: ``xEvent[a].exists(b)`` asks for an event with a and b."""

from headrace.pql.tree import And, Bound, Exists, Filter, ForAll, Not, Or, Variable, transform


def merge_filters(root: Bound) -> Bound:
    """Take the condition of a filter into the quantifier or filter around it."""
    return transform(root, _merged)


def substituted(node: Bound, variable: Variable, replacement: Bound) -> Bound:
    """Return the tree with each use of ``variable`` replaced."""
    return transform(node, lambda one: replacement if isinstance(one, Variable) and one.slot == variable.slot else one)


def _merged(node: Bound) -> Bound:
    if not isinstance(node, Exists | ForAll | Filter) or not isinstance(node.array, Filter):
        return node
    inner = node.array
    condition = substituted(node.condition, node.variable, inner.variable)
    match node:
        case Exists():
            return Exists(inner.array, inner.variable, And((inner.condition, condition)), span=node.span)
        case Filter():
            return Filter(inner.array, inner.variable, And((inner.condition, condition)), node.type, span=node.span)
        case ForAll():
            either = Or((Not(inner.condition, span=inner.span), condition))
            return ForAll(inner.array, inner.variable, either, span=node.span)
