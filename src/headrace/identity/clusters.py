"""Identity graphs as they are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from headrace.identity.graph import Link, Vertex


@dataclass(frozen=True)
class Graph:
    """The identity graph of one person.

    Attributes:
        vertices: Its identities.
        links: Links between them; ``a`` and ``b`` are positions in ``vertices``.
    """

    vertices: Sequence[Vertex]
    links: Sequence[Link]


class GraphReader(Protocol):
    """Finds the graph of an identity."""

    def graph(self, sandbox_number: int, namespace_id: int, value: str) -> Graph | None:
        """Return the graph that holds an identity, None when it was never seen.

        Args:
            sandbox_number: Number of the sandbox.
            namespace_id: Namespace of the identity.
            value: Its normalised value.
        """
        ...
