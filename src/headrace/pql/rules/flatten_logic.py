"""Nested and/or become flat; constants and repeated operands go."""

from headrace.pql.tree import And, Bound, Constant, Exists, ForAll, Or, transform


def flatten_logic(root: Bound) -> Bound:
    """Flatten ``and`` in ``and`` and ``or`` in ``or``, drop what decides nothing, and decide what a constant decides."""
    return transform(root, _flattened)


def _flattened(node: Bound) -> Bound:
    match node:
        case And() | Or():
            return _junction(node)
        case Exists(condition=Constant(value=False)):
            return Constant(False, span=node.span)
        case ForAll(condition=Constant(value=True)):
            return Constant(True, span=node.span)
        case _:
            return node


def _junction(node: And | Or) -> Bound:
    deciding = isinstance(node, Or)  # one true operand decides or, one false operand decides and
    operands: dict[Bound, None] = {}
    for operand in node.operands:
        parts = operand.operands if isinstance(operand, And | Or) and type(operand) is type(node) else (operand,)
        operands.update(dict.fromkeys(parts))
    if any(isinstance(operand, Constant) and operand.value is deciding for operand in operands):
        return Constant(deciding, span=node.span)
    kept = tuple(operand for operand in operands if not isinstance(operand, Constant))
    if not kept:
        return Constant(not deciding, span=node.span)
    return kept[0] if len(kept) == 1 else type(node)(kept, span=node.span)
