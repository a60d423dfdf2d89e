"""Limits of a definition that do not follow from its grammar: logical complexity, aggregation, nesting."""

from headrace.pql.errors import Advice, ProblemCode
from headrace.pql.tree import (
    Aggregate,
    And,
    Bound,
    Call,
    Exists,
    Filter,
    ForAll,
    Function,
    GroupBy,
    Let,
    Not,
    Or,
    TopN,
    is_outside,
    named_children,
    variables_of,
    walk,
)

MAX_CLAUSES = 10_000
"""Clauses of the conjunctive normal form."""
MAX_AGGREGATIONS = 3
MAX_NESTED_ARRAYS = 2


def clause_count(root: Bound) -> int:
    """Return how many clauses the conjunctive normal form of a normalised condition has, at most `MAX_CLAUSES` + 1."""
    match root:
        case And():
            total = sum(clause_count(operand) for operand in root.operands)
        case Or():
            total = 1
            for operand in root.operands:
                total = min(total * clause_count(operand), MAX_CLAUSES + 1)
        case Not():
            total = clause_count(root.operand)
        case Exists() | ForAll() | Filter():
            total = clause_count(root.condition)
        case _:
            total = 1
    return min(total, MAX_CLAUSES + 1)


def complexity_problem(root: Bound) -> tuple[ProblemCode, str] | None:
    """Return why a query is too complex to be saved; None when it is not."""
    if clause_count(root) > MAX_CLAUSES:
        return ProblemCode.LIMIT, f"The condition is too complex: more than {MAX_CLAUSES} clauses in conjunctive normal form."
    return None


def complexity_advice(root: Bound) -> tuple[Advice, ...]:
    """Return warnings about a query that is valid but costly."""
    advice: list[Advice] = []
    aggregations = [node for node in walk(root) if _is_aggregation(node)]
    if len(aggregations) > MAX_AGGREGATIONS:
        text = f"{len(aggregations)} aggregations; more than {MAX_AGGREGATIONS} make a definition slow."
        advice.append(Advice("too_many_aggregations", aggregations[MAX_AGGREGATIONS].span, text))
    if (levels := _nested_arrays(root)) > MAX_NESTED_ARRAYS:
        text = f"{levels} nested levels of arrays; more than {MAX_NESTED_ARRAYS} make a definition slow."
        advice.append(Advice("arrays_nested_deeply", root.span, text))
    return tuple(advice)


def _is_aggregation(node: Bound) -> bool:
    return isinstance(node, Aggregate | GroupBy | TopN) or (isinstance(node, Call) and node.function is Function.COUNT)


def _nested_arrays(node: Bound) -> int:
    """Return how deeply the walks over arrays are nested; a filter of a filter is beside it, not in it."""
    declares = bool(variables_of(node)) and not isinstance(node, Let)
    levels = (_nested_arrays(child) + (declares and not is_outside(node, name)) for name, child in named_children(node))
    return max(levels, default=int(declares))
