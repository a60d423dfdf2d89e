"""Rules that bring bound trees of one meaning to one form. Each keeps the value of every node for every profile."""

from collections.abc import Callable, Sequence

from headrace.pql.rules.flatten_logic import flatten_logic
from headrace.pql.rules.fold_constants import fold_constants
from headrace.pql.rules.merge_filters import merge_filters
from headrace.pql.rules.push_not_inward import push_not_inward
from headrace.pql.rules.unchain_single_terms import unchain_single_terms
from headrace.pql.tree import Bound, renumbered

Rule = Callable[[Bound], Bound]

RULES: tuple[Rule, ...] = (unchain_single_terms, merge_filters, push_not_inward, fold_constants, flatten_logic)
"""In this order: the first two make conditions that ``not`` then enters; constants that folding leaves go last."""


def normalised(root: Bound, rules: Sequence[Rule] = RULES) -> Bound:
    """Return the tree after every rule, with the slots of variables renumbered."""
    for rule in rules:
        root = rule(root)
    return renumbered(root)


__all__ = [
    "RULES",
    "Rule",
    "flatten_logic",
    "fold_constants",
    "merge_filters",
    "normalised",
    "push_not_inward",
    "unchain_single_terms",
]
