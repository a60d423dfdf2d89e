"""What names mean at one place of a query."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from headrace.pql.tree import Bound


@dataclass(frozen=True, slots=True)
class Scope:
    """Variables and receivers that are visible.

    Attributes:
        variables: What each variable's name stands for.
        receivers: Implicit receivers, the profile first, the innermost last.
        later: Names that enclosing declarations introduce only after this place.
    """

    variables: Mapping[str, Bound]
    receivers: tuple[Bound, ...]
    later: frozenset[str] = frozenset()

    def with_variable(self, name: str, value: Bound) -> "Scope":
        """Return the scope in which ``name`` stands for ``value``."""
        return replace(self, variables={**self.variables, name: value})

    def with_receiver(self, item: Bound) -> "Scope":
        """Return the scope whose innermost receiver is ``item``."""
        return replace(self, receivers=(*self.receivers, item))

    def before(self, names: frozenset[str]) -> "Scope":
        """Return the scope in which ``names`` are known to come later."""
        return replace(self, later=names)
