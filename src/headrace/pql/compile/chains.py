"""Chains over what is kept of events: for each term, the sorted times of the events that satisfy its condition."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from headrace.pql.compile.instants import shift
from headrace.pql.compile.kept import Kept, entries
from headrace.pql.compile.runtime import Moment, Range
from headrace.pql.tree import Unit

_NEVER, _EVER = -(1 << 62), 1 << 62
Times = Sequence[int]


@dataclass(frozen=True, slots=True)
class LabelBound:
    """A bound that hangs on the event chosen for an earlier term: its time, or the start of its day, moved."""

    label: int
    shifts: tuple[tuple[int, Unit], ...]

    def at(self, chosen: Sequence[int]) -> int:
        """Return the bound for the chosen times, by position of the term."""
        value = chosen[self.label]
        for amount, unit in self.shifts:
            value = shift(value, amount, unit)
        return value


@dataclass(frozen=True, slots=True)
class LabelRange:
    """A time range with at least one bound that hangs on an earlier term."""

    lower: LabelBound | None
    upper: LabelBound | None
    is_lower_inclusive: bool
    is_upper_inclusive: bool

    def span(self, chosen: Sequence[int]) -> tuple[int, int]:
        """Return the first and the last time in the range."""
        low = _NEVER if self.lower is None else self.lower.at(chosen) + (0 if self.is_lower_inclusive else 1)
        high = _EVER if self.upper is None else self.upper.at(chosen) - (0 if self.is_upper_inclusive else 1)
        return low, high


@dataclass(frozen=True, slots=True)
class Term:
    """One step of a chain.

    Attributes:
        track: Key of the kept times of the events that satisfy the term's condition.
        ranges: Time ranges that do not hang on other terms.
        label_ranges: Time ranges that do.
        min_count: Events needed.
        max_count: Events allowed; None is unbounded.
    """

    track: int
    ranges: tuple[Range, ...]
    label_ranges: tuple[LabelRange, ...]
    min_count: int
    max_count: int | None

    def times(self, kept: Kept, moment: Moment) -> tuple[Times, int, int]:
        """Return the kept times and the part of them (first, end) that lies in ``ranges`` now; notes the next changes."""
        times: Times = entries(kept, self.track) or ()
        first, end = 0, len(times)
        for item in self.ranges:
            low, high = item.span(moment.now)
            first, end = max(first, bisect_left(times, low)), min(end, bisect_right(times, high))
            if item.lower is not None and item.lower.moves and first < len(times):
                moment.note(item.leaves(times[first], moment.now))
            if item.upper is not None and item.upper.moves and end < len(times):
                moment.note(item.enters(times[end], moment.now))
        return times, first, max(first, end)


class CountedTerm:
    """A chain of a single term without an upper count: at least ``min_count`` events in the window."""

    __slots__ = ("_count", "_ranges", "_track", "terms")

    def __init__(self, term: Term) -> None:
        self.terms = (term,)
        self._track = term.track
        self._ranges = term.ranges
        self._count = term.min_count

    def __call__(self, moment: Moment, kept: Kept) -> bool:
        """Return whether the chain holds now."""
        times = entries(kept, self._track)
        if not times:
            return False
        first, end = 0, len(times)
        for item in self._ranges:
            low, high = item.span(moment.now)
            first, end = max(first, bisect_left(times, low)), min(end, bisect_right(times, high))
        holds = end - first >= self._count
        for item in self._ranges:
            if holds and item.lower is not None and item.lower.moves:
                # It holds at least until the event that makes up the count, counted from the newest, leaves the window.
                moment.note(item.leaves(times[end - self._count], moment.now))
            if item.upper is not None and item.upper.moves and end < len(times):
                moment.note(item.enters(times[end], moment.now))
        return holds


class EventSequence:
    """A chain of any terms: some choice of events satisfies all of them in strict order of time."""

    __slots__ = ("terms",)

    def __init__(self, terms: tuple[Term, ...]) -> None:
        self.terms = terms

    def __call__(self, moment: Moment, kept: Kept) -> bool:
        """Return whether the chain holds now."""
        windows = []
        for term in self.terms:
            window = term.times(kept, moment)
            if term.min_count > window[2] - window[1]:
                return False
            windows.append(window)
        return _Search(self.terms, windows).found(0, _NEVER, ())


class _Search:
    """Looks for a choice of events; remembers what failed."""

    def __init__(self, terms: tuple[Term, ...], windows: list[tuple[Times, int, int]]) -> None:
        self._terms = terms
        self._windows = windows
        self._failed: set[tuple[int, int, tuple[int, ...]]] = set()
        self._labels = [_labels_used_from(terms, index) for index in range(len(terms) + 1)]

    def found(self, index: int, after: int, chosen: tuple[int, ...]) -> bool:
        """Whether the terms from ``index`` on can be satisfied by events later than ``after``."""
        if index == len(self._terms):
            return True
        key = (index, after, tuple(chosen[label] for label in self._labels[index] if label < len(chosen)))
        if key in self._failed:
            return False
        term = self._terms[index]
        result = self._anchor(index, after, chosen) if term.max_count is None else self._interval(index, after, chosen)
        if not result:
            self._failed.add(key)
        return result

    def _part(self, index: int, after: int, chosen: tuple[int, ...]) -> tuple[Times, int, int]:
        times, first, end = self._windows[index]
        low, high = after + 1, _EVER
        for item in self._terms[index].label_ranges:
            item_low, item_high = item.span(chosen)
            low, high = max(low, item_low), min(high, item_high)
        first = max(first, bisect_left(times, low))
        return times, first, max(first, min(end, bisect_right(times, high)))

    def _anchor(self, index: int, after: int, chosen: tuple[int, ...]) -> bool:
        times, first, end = self._part(index, after, chosen)
        need = self._terms[index].min_count
        last = None
        for position in range(first + need - 1, end):
            if times[position] != last:
                last = times[position]
                if self.found(index + 1, last, (*chosen, last)):
                    return True
        return False

    def _interval(self, index: int, after: int, chosen: tuple[int, ...]) -> bool:
        """Satisfy bounded terms up to the next unbounded one: they count between its neighbours' events."""
        stop = index
        while stop < len(self._terms) and self._terms[stop].max_count is not None:
            stop += 1
        if stop == len(self._terms):
            return self._interval_holds(index, stop, after, _EVER, chosen) is not None
        anchor = self._terms[stop]
        labels = (*chosen, *([_NEVER] * (stop - index)))
        times, first, end = self._part(stop, after, labels) if not anchor.label_ranges else self._windows[stop]
        for start in range(first, end - anchor.min_count + 1):
            begin = times[start]
            if begin <= after or (start > first and times[start - 1] == begin):
                continue
            inner = self._interval_holds(index, stop, after, begin, chosen)
            if inner is None:
                continue
            if self._anchor_from(stop, start, inner):
                return True
        return False

    def _anchor_from(self, index: int, start: int, chosen: tuple[int, ...]) -> bool:
        """Satisfy an unbounded term whose first event is the one at ``start``."""
        times, first, end = self._part(index, self._windows[index][0][start] - 1, chosen)
        if first > start or start >= end:
            return False
        need = self._terms[index].min_count
        if need == 1:
            return self.found(index + 1, times[start], (*chosen, times[start]))
        return any(
            self.found(index + 1, times[position], (*chosen, times[position])) for position in range(start + need - 1, end)
        )

    def _interval_holds(self, index: int, stop: int, after: int, before: int, chosen: tuple[int, ...]) -> tuple[int, ...] | None:
        """Check the bounded terms between two instants; returns the chosen times with theirs, None when one fails."""
        if stop - index == 1 or all(self._terms[item].min_count == 0 for item in range(index, stop)):
            return self._one_interval(index, stop, after, before, chosen)
        return self._many_intervals(index, stop, after, before, chosen)

    def _one_interval(self, index: int, stop: int, after: int, before: int, chosen: tuple[int, ...]) -> tuple[int, ...] | None:
        for position in range(index, stop):
            term = self._terms[position]
            times, first, end = self._part(position, after, chosen)
            end = max(first, min(end, bisect_left(times, before)))
            count = end - first
            if count < term.min_count or (term.max_count is not None and count > term.max_count):
                return None
            chosen = (*chosen, times[end - 1] if count and term.min_count else after)
        return chosen

    def _many_intervals(self, index: int, stop: int, after: int, before: int, chosen: tuple[int, ...]) -> tuple[int, ...] | None:
        """Several bounded terms of which one needs events: its neighbours' intervals end at its own events."""
        positive = next(position for position in range(index, stop) if self._terms[position].min_count > 0)
        upper = before
        following = next((p for p in range(positive + 1, stop) if self._terms[p].min_count > 0), None)
        candidates = [upper] if following is None else self._firsts(following, after, before, chosen)
        for edge in candidates:
            own = self._one_interval(positive, positive + 1, after, edge, (*chosen, *([after] * (positive - index))))
            if own is None:
                continue
            times, first, _ = self._part(positive, after, own)
            head = self._one_interval(index, positive, after, times[first], chosen) if positive > index else chosen
            if head is None:
                continue
            done = (*head, own[-1])
            rest = self._interval_holds(positive + 1, stop, own[-1], before, done) if positive + 1 < stop else done
            if rest is not None:
                return rest
        return None

    def _firsts(self, index: int, after: int, before: int, chosen: tuple[int, ...]) -> list[int]:
        times, first, end = self._windows[index]
        del chosen
        return sorted({time for time in times[first:end] if after < time < before})


def _labels_used_from(terms: tuple[Term, ...], index: int) -> tuple[int, ...]:
    used: set[int] = set()
    for term in terms[index:]:
        for item in term.label_ranges:
            used.update(bound.label for bound in (item.lower, item.upper) if bound is not None)
    return tuple(sorted(used))
