"""The identity graph of one person: vertices, links by dataset, and how two graphs become one.

Positions of vertices are stable, since links and profile fragments refer to them.
"""

from collections.abc import Sequence

import msgspec

from headrace.model import Identity

_MAX_BATCHES = 10


class Vertex(msgspec.Struct, array_like=True, gc=False):
    """One identity of a person.

    Attributes:
        identity: The identity.
        first_seen_ms: Earliest time of a record that held it (event time, or ingestion time of a record).
        last_seen_ms: Latest such time.
    """

    identity: Identity
    first_seen_ms: int
    last_seen_ms: int


class Link(msgspec.Struct, array_like=True, gc=False):
    """A link between two identities, by the datasets that contributed it.

    Attributes:
        a: Position of the one vertex; always smaller than ``b``.
        b: Position of the other vertex.
        times: Dataset number → (first, last) time of a record of that dataset that held both (epoch ms).
        batches: Batches that contributed, newest last, at most ten.
    """

    a: int
    b: int
    times: dict[int, tuple[int, int]]
    batches: list[str]

    @property
    def first_ms(self) -> int:
        """When the link was first established."""
        return min(first for first, _ in self.times.values())

    @property
    def last_ms(self) -> int:
        """When the link was last established."""
        return max(last for _, last in self.times.values())


def see(vertices: list[Vertex], identity: Identity, at_ms: int) -> tuple[int, bool]:
    """Note that a record held an identity.

    Returns:
        The position of its vertex, and whether the vertex is new.
    """
    present = see_all(vertices, (identity,), at_ms)
    if present is not None:
        return present[0], False
    vertices.append(Vertex(identity, at_ms, at_ms))
    return len(vertices) - 1, True


def see_all(vertices: list[Vertex], identities: Sequence[Identity], at_ms: int) -> list[int] | None:
    """Note that a record held some identities that the person has already.

    Returns:
        The positions of their vertices; None when one of them is not there.
    """
    positions = []
    for identity in identities:
        value, namespace_id = identity.value, identity.namespace_id
        for position, vertex in enumerate(vertices):
            present = vertex.identity
            if present.value == value and present.namespace_id == namespace_id:
                if at_ms > vertex.last_seen_ms:
                    vertex.last_seen_ms = at_ms
                elif at_ms < vertex.first_seen_ms:
                    vertex.first_seen_ms = at_ms
                positions.append(position)
                break
        else:
            return None
    return positions


def link(links: list[Link], positions: list[int], *, dataset: int, at_ms: int, batch_id: str = "") -> None:
    """Link every pair of the vertices at ``positions``; a pair that is linked already is refreshed."""
    ordered = sorted(set(positions))
    for index, a in enumerate(ordered):
        for b in ordered[index + 1 :]:
            for present in links:
                if present.a == a and present.b == b:
                    _refresh(present, dataset, at_ms, at_ms)
                    _add_batch(present, batch_id)
                    break
            else:
                links.append(Link(a, b, {dataset: (at_ms, at_ms)}, [batch_id] if batch_id else []))


def _refresh(target: Link, dataset: int, first_ms: int, last_ms: int) -> None:
    first, last = target.times.get(dataset, (first_ms, last_ms))
    target.times[dataset] = (first if first < first_ms else first_ms, last if last > last_ms else last_ms)


def _add_batch(target: Link, batch_id: str) -> None:
    if batch_id and batch_id not in target.batches:
        target.batches = [*target.batches, batch_id][-_MAX_BATCHES:]


def absorb(vertices: list[Vertex], links: list[Link], other_vertices: list[Vertex], other_links: list[Link]) -> list[int]:
    """Add another graph's vertices and links to this one.

    Returns:
        For each position of the other graph, its position in this one.
    """
    moved = []
    for other in other_vertices:
        position, _ = see(vertices, other.identity, other.first_seen_ms)
        see(vertices, other.identity, other.last_seen_ms)
        moved.append(position)
    by_pair = {(item.a, item.b): item for item in links}
    for other_link in other_links:
        a, b = sorted((moved[other_link.a], moved[other_link.b]))
        present = by_pair.get((a, b))
        if present is None:
            present = by_pair[a, b] = Link(a, b, dict(other_link.times), list(other_link.batches))
            links.append(present)
            continue
        for dataset, (first, last) in other_link.times.items():
            _refresh(present, dataset, first, last)
        for batch_id in other_link.batches:
            _add_batch(present, batch_id)
    return moved
