"""``not`` moves towards the leaves, so that only simple predicates and ``exists`` are negated."""

from headrace.pql.tree import And, Bound, Constant, Exists, ForAll, Not, Or, map_children


def push_not_inward(root: Bound) -> Bound:
    """Apply De Morgan's laws, cancel double negation and turn "not all" into "some not".

    A comparison keeps its ``not``: with a null operand it is false, and so is its opposite.
    """
    if isinstance(root, Not):
        return _negated(root.operand, root)
    return map_children(root, push_not_inward)


def negation(node: Bound) -> Bound:
    """Return "not node" with the ``not`` as far inside as it goes."""
    return _negated(node, Not(node, span=node.span))


def _negated(operand: Bound, whole: Not) -> Bound:
    match operand:
        case Not():
            return push_not_inward(operand.operand)
        case Constant():
            return Constant(not operand.value, span=whole.span)
        case And():
            return Or(tuple(negation(part) for part in operand.operands), span=whole.span)
        case Or():
            return And(tuple(negation(part) for part in operand.operands), span=whole.span)
        case ForAll():
            array = push_not_inward(operand.array)
            return Exists(array, operand.variable, negation(operand.condition), span=whole.span)
        case _:
            return Not(push_not_inward(operand), span=whole.span)
