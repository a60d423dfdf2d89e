"""Sequences of events for the reference evaluator: try every choice of events, and keep to the definition of `Chain`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.pql.tree import ChainTerm

Labels = Mapping[str, int]
Matcher = Callable[[ChainTerm, Any, Labels], bool]


@dataclass(frozen=True, slots=True)
class Moment:
    """An event with its time in epoch milliseconds."""

    time: int
    event: Any


@dataclass(frozen=True, slots=True)
class _Pending:
    """A term whose events are counted up to the next positive term, once that one's first event is known.

    ``count`` is the number of events already chosen for it; None for a term that needs none.
    """

    term: ChainTerm
    after: int | None
    labels: Labels
    count: int | None


def chain_holds(moments: Sequence[Moment], terms: Sequence[ChainTerm], matches: Matcher) -> bool:
    """Whether some choice of events satisfies all terms.

    Args:
        moments: The events that have a time, in their order.
        terms: The chain's terms.
        matches: Tells whether an event matches a term, given the times of earlier labels.
    """
    return _Search(moments, terms, matches).holds(0, None, {}, ())


class _Search:
    def __init__(self, moments: Sequence[Moment], terms: Sequence[ChainTerm], matches: Matcher) -> None:
        self._moments = moments
        self._terms = terms
        self._matches = matches

    def holds(self, index: int, after: int | None, labels: Labels, pending: tuple[_Pending, ...]) -> bool:
        """Whether the terms from ``index`` on can be satisfied by events later than ``after``."""
        if index == len(self._terms):
            return all(self._is_settled(one, None) for one in pending)
        term = self._terms[index]
        if not term.is_positive:
            return self.holds(index + 1, after, labels, (*pending, _Pending(term, after, labels, None)))
        matching = self._matching(term, labels, after, None)
        for first, last in _choices(term, len(matching)):
            if not all(self._is_settled(one, matching[first].time) for one in pending):
                continue
            end = matching[last].time
            counted = () if term.max_count is None else (_Pending(term, after, labels, last - first + 1),)
            if self.holds(index + 1, end, {**labels, term.label: end}, counted):
                return True
        return False

    def _matching(self, term: ChainTerm, labels: Labels, after: int | None, before: int | None) -> list[Moment]:
        return [
            moment
            for moment in self._moments
            if (after is None or moment.time > after)
            and (before is None or moment.time < before)
            and self._matches(term, moment.event, labels)
        ]

    def _is_settled(self, pending: _Pending, before: int | None) -> bool:
        """Whether the number of events up to ``before`` is what the term allows."""
        found = len(self._matching(pending.term, pending.labels, pending.after, before))
        if pending.count is not None:
            return found == pending.count
        return pending.term.max_count is None or found <= pending.term.max_count


def _choices(term: ChainTerm, matching: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last matching event of each way to choose a positive term's events."""
    if term.max_count is not None:  # all matching events of the interval: begins with the first one
        yield from ((0, last) for last in range(term.min_count - 1, min(term.max_count, matching)))
        return
    for first in range(matching):
        if term.min_count == 1:
            yield first, first
        else:
            yield from ((first, last) for last in range(first + term.min_count - 1, matching))
