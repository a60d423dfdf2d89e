"""What is kept of a person's past events, so that the cost of an event does not grow with their history.

A track holds, for one condition on events, the sorted times of the events that satisfy it, as far back as the audiences
that use it look. Parts of a query that need more than times (fields of past events beside each other or beside the
profile) use an event track: the events of the window, cut down to the fields that the query reads.
"""

import re
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from headrace.pql import tree as t
from headrace.pql.compile.bounds import depends_on_now, moving_bound
from headrace.pql.compile.chains import CountedTerm, EventSequence, LabelBound, LabelRange, Term
from headrace.pql.compile.kept import Kept
from headrace.pql.compile.kept import entries as entries_of
from headrace.pql.compile.runtime import Range

TIMESTAMP = "timestamp"
_VARIABLE = re.compile(r"Variable\(slot=(\d+), name='[^']*'\)")
EventPredicate = Callable[[Mapping[str, Any]], bool]


@dataclass(slots=True)
class Track:
    """Something that is kept of a person's events.

    Attributes:
        key: Stable over recompilations, since persons' documents hold it.
        condition: Which events are kept; None keeps all.
        variable: The event in ``condition``.
        paths: Fields to keep of each event; None keeps times only.
        lookback_ms: How far back; None is for ever.
        cap: How many of the newest past times suffice; None keeps all.
        users: Numbers of the audiences that read the track.
        event_type: The one event type (lower case) that can satisfy the condition; None when others can.
        predicate: ``condition``, compiled.
    """

    key: int
    condition: t.Bound | None
    variable: t.Variable | None
    paths: tuple[tuple[str, ...], ...] | None
    lookback_ms: int | None
    cap: int | None
    users: set[int] = field(default_factory=set)
    event_type: str | None = None
    predicate: EventPredicate = lambda event: True

    def add(self, kept: Kept, event: Mapping[str, Any], at_ms: int, now_ms: int) -> None:
        """Add an event that satisfies the condition, and drop what no audience looks back to any more."""
        entries = entries_of(kept, self.key)
        if entries is None:
            entries = kept[self.key] = []
        if self.paths is not None:
            insort(entries, [at_ms, str(event.get("_id", "")), project(event, self.paths)], key=_event_order)
            if self.lookback_ms is not None:
                del entries[: bisect_left(entries, now_ms - self.lookback_ms, key=_event_time)]
            return
        if not entries or at_ms >= entries[-1]:
            entries.append(at_ms)
        else:
            insort(entries, at_ms)
        if self.lookback_ms is not None and entries[0] < now_ms - self.lookback_ms:
            del entries[: bisect_left(entries, now_ms - self.lookback_ms)]
        if self.cap is not None and len(entries) > self.cap:
            excess = bisect_right(entries, now_ms) - self.cap
            if excess > 0:
                del entries[:excess]


def _event_time(entry: list[Any]) -> int:
    time: int = entry[0]
    return time


def _event_order(entry: list[Any]) -> tuple[int, str]:
    return entry[0], entry[1]


def events_of(kept: Kept, key: int, now_ms: int, lookback_ms: int | None) -> list[Any]:
    """Return the kept events of an event track in order of time."""
    entries = entries_of(kept, key) or []
    first = 0 if lookback_ms is None else bisect_left(entries, now_ms - lookback_ms, key=_event_time)
    return [entry[2] for entry in entries[first:]]


def absorb(into: Kept, other: Kept) -> None:
    """Join what is kept of another person's events."""
    for key in other:
        entries, present = entries_of(other, key), entries_of(into, key)
        if not present:
            into[key] = list(entries or ())
        elif entries:
            is_events = isinstance(present[0], list)
            into[key] = sorted([*present, *entries], key=_event_order if is_events else None)


def project(record: Any, paths: tuple[tuple[str, ...], ...]) -> dict[str, Any]:
    """Return the part of a record that the paths name; a path goes through the items of arrays."""
    result: dict[str, Any] = {}
    heads: dict[str, list[tuple[str, ...]]] = {}
    for path in paths:
        heads.setdefault(path[0], []).append(path[1:])
    for name, rests in heads.items():
        value = record.get(name)
        if value is None:
            continue
        deeper = tuple(rest for rest in rests if rest)
        if len(deeper) < len(rests):
            result[name] = value
        elif isinstance(value, list):
            result[name] = [project(item, deeper) for item in value if isinstance(item, dict)]
        elif isinstance(value, dict):
            result[name] = project(value, deeper)
    return result


class TrackBook:
    """All tracks of a program, shared by the audiences whose conditions are the same."""

    def __init__(self) -> None:
        self.tracks: dict[int, Track] = {}

    def times(self, condition: t.Bound, variable: t.Variable, lookback_ms: int | None, cap: int | None, user: int) -> Track:
        """Return the track of times of a condition, widened to what this user needs."""
        key = _key("times", _canonical(condition, variable))
        track = self.tracks.get(key)
        if track is None:
            track = Track(key, condition, variable, None, lookback_ms, cap, event_type=_event_type(condition, variable))
            self.tracks[key] = track
        else:
            track.lookback_ms = _wider(track.lookback_ms, lookback_ms)
            track.cap = _wider(track.cap, cap)
        track.users.add(user)
        return track

    def events(self, paths: tuple[tuple[str, ...], ...], lookback_ms: int | None, user: int) -> Track:
        """Return the track of events cut down to ``paths``."""
        key = _key("events", repr((paths, lookback_ms)))
        track = self.tracks.setdefault(key, Track(key, None, None, paths, lookback_ms, None))
        track.users.add(user)
        return track


def _wider(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else max(a, b)


def _key(kind: str, text: str) -> int:
    return int.from_bytes(blake2b(f"{kind}:{text}".encode(), digest_size=7).digest(), "big")


def _canonical(condition: t.Bound, variable: t.Variable) -> str:
    return _VARIABLE.sub(lambda match: f"v{int(match[1]) - variable.slot}", repr(condition))


def _event_type(condition: t.Bound, variable: t.Variable) -> str | None:
    """Return the event type that a condition asks for, in lower case."""
    return next((name for item in conjuncts(condition) if (name := names_type(item, variable)) is not None), None)


def names_type(item: t.Bound, variable: t.Variable) -> str | None:
    """Return the event type, in lower case, that a condition asks for and nothing else; None when it is another condition."""
    if isinstance(item, t.Compare) and item.operator == "=":
        sides = ((item.left, item.right), (item.right, item.left))
    elif isinstance(item, t.StringTest) and item.test is t.TextTest.EQUALS and not item.is_negated:
        sides = ((item.subject, item.argument), (item.argument, item.subject))
    else:
        return None
    for side, other in sides:
        if side == t.Field(variable, "eventType", side.result) and isinstance(other, t.Literal):
            return str(other.value).lower()
    return None


def conjuncts(condition: t.Bound) -> Iterator[t.Bound]:
    """Yield the conditions that are and-ed."""
    if isinstance(condition, t.And):
        for item in condition.operands:
            yield from conjuncts(item)
    elif not (isinstance(condition, t.Constant) and condition.value):
        yield condition


def joined(conditions: list[t.Bound]) -> t.Bound:
    """Return one condition from several and-ed ones."""
    if not conditions:
        return t.Constant(True)
    return conditions[0] if len(conditions) == 1 else t.And(tuple(conditions))


KeptTest = CountedTerm | EventSequence


class TrackReader:
    """Turns the event parts of one audience's query into tests of tracks."""

    def __init__(self, book: TrackBook, user: int) -> None:
        self._book = book
        self._user = user

    def kept_test(self, node: t.Bound) -> KeptTest | None:
        """Return the test of tracks that means the same as ``node``, None when times do not suffice for it."""
        if isinstance(node, t.Chain) and isinstance(node.array, t.Events):
            return self._chain(node)
        if isinstance(node, t.Exists) and isinstance(node.array, t.Events):
            return self._counted(node.variable, node.condition, 1, None)
        if isinstance(node, t.Compare) and isinstance(node.right, t.Literal) and isinstance(node.right.value, int):
            return self._count_compared(node.left, node.operator, node.right.value)
        return None

    def _count_compared(self, left: t.Bound, operator: str, value: int) -> KeptTest | None:
        if not (isinstance(left, t.Call) and left.function is t.Function.COUNT):
            return None
        filtered = left.arguments[0]
        if not (isinstance(filtered, t.Filter) and isinstance(filtered.array, t.Events)):
            return None
        limits = {
            ">=": (value, None),
            ">": (value + 1, None),
            "=": (value, value),
            "<=": (0, value),
            "<": (0, value - 1),
        }.get(operator)
        if limits is None or limits[0] < 0 or (limits[1] is not None and limits[1] < 0) or limits == (0, None):
            return None
        return self._counted(filtered.variable, filtered.condition, *limits)

    def _counted(self, variable: t.Variable, condition: t.Bound, min_count: int, max_count: int | None) -> KeptTest | None:
        time = t.Field(variable, TIMESTAMP, variable.result)
        when = [item for item in conjuncts(condition) if isinstance(item, t.TimeRange) and item.operand == time]
        rest = [item for item in conjuncts(condition) if item not in when]
        term = t.ChainTerm("", joined(rest), tuple(when), min_count, max_count)
        return self._terms(variable, time, (term,))

    def _chain(self, node: t.Chain) -> KeptTest | None:
        if node.time != t.Field(node.variable, TIMESTAMP, node.time.result):
            return None
        return self._terms(node.variable, node.time, node.terms)

    def _terms(self, variable: t.Variable, time: t.Bound, terms: tuple[t.ChainTerm, ...]) -> KeptTest | None:
        if not all(_is_of_event_alone(term.condition, variable) for term in terms):
            return None
        labels = {term.label: position for position, term in enumerate(terms)}
        shapes = []
        for term in terms:
            ranges = _ranges(term.when, time, labels)
            if ranges is None:
                return None
            shapes.append((term, *ranges))
        is_counted = len(terms) == 1 and terms[0].max_count is None and not shapes[0][2]
        built = tuple(self._term(variable, *shape, is_counted=is_counted) for shape in shapes)
        return CountedTerm(built[0]) if is_counted else EventSequence(built)

    def _term(
        self,
        variable: t.Variable,
        term: t.ChainTerm,
        ranges: tuple[Range, ...],
        label_ranges: tuple[LabelRange, ...],
        *,
        is_counted: bool,
    ) -> Term:
        lookback_ms = _lookback(ranges)
        has_late_start = any(item.upper is not None and _distance(item) < 0 for item in ranges)
        cap = term.min_count if is_counted and not has_late_start else None
        track = self._book.times(term.condition, variable, lookback_ms, cap, self._user)
        return Term(track.key, ranges, label_ranges, term.min_count, term.max_count)


def _distance(item: Range) -> int:
    """Return how far before now the upper bound lies (negative); 0 when it is now itself."""
    assert item.upper is not None  # noqa: S101 - the caller has looked
    distance = item.upper.distance_ms
    return -1 if distance is None else distance


def _lookback(ranges: tuple[Range, ...]) -> int | None:
    """Return how far back the ranges reach, None when for ever."""
    reaches = [item.lower.longest_ms() for item in ranges if item.lower is not None and item.lower.moves]
    known = [reach for reach in reaches if reach is not None]
    return min(known) + 1 if known else None


def _is_of_event_alone(condition: t.Bound, variable: t.Variable) -> bool:
    """Whether a condition can be decided once, when the event arrives."""
    if depends_on_now(condition):
        return False
    declared = {variable.slot}
    for node in t.walk(condition):
        declared.update(item.slot for item in t.variables_of(node))
    for node in t.walk(condition):
        if isinstance(node, (t.Profile, t.Events, t.InSegment, t.LabelTime, t.Lookup)):
            return False
        if isinstance(node, t.Variable) and node.slot not in declared:
            return False
    return True


def _ranges(
    when: tuple[t.Bound, ...], time: t.Bound, labels: Mapping[str, int]
) -> tuple[tuple[Range, ...], tuple[LabelRange, ...]] | None:
    plain: list[Range] = []
    labelled: list[LabelRange] = []
    for condition in when:
        for item in conjuncts(condition):
            if not isinstance(item, t.TimeRange) or item.operand != time:
                return None
            if not _add_range(item, labels, plain, labelled):
                return None
    return tuple(plain), tuple(labelled)


def _add_range(item: t.TimeRange, labels: Mapping[str, int], plain: list[Range], labelled: list[LabelRange]) -> bool:
    for lower, upper in ((item.lower, None), (None, item.upper)):
        bound = lower or upper
        if bound is None:
            continue
        moving = moving_bound(bound)
        if moving is not None:
            side = Range(moving if lower else None, moving if upper else None, item.is_lower_inclusive, item.is_upper_inclusive)
            plain.append(side)
            continue
        label = _label_bound(bound, labels)
        if label is None:
            return False
        labelled.append(
            LabelRange(label if lower else None, label if upper else None, item.is_lower_inclusive, item.is_upper_inclusive)
        )
    return True


def _label_bound(node: t.Bound, labels: Mapping[str, int]) -> LabelBound | None:
    shifts = []
    while isinstance(node, t.Shift):
        shifts.append((node.amount, node.unit))
        node = node.instant
    if not isinstance(node, t.LabelTime):
        return None
    return LabelBound(labels[node.label], tuple(reversed(shifts)))


def event_paths(query: t.Bound) -> tuple[tuple[str, ...], ...]:
    """Return the fields of events that a query reads, as paths; ``timestamp`` and ``_id`` always."""
    event_slots = _event_slots(query)
    paths: set[tuple[str, ...]] = {(TIMESTAMP,), ("_id",)}
    for node, path in outer_fields(query):
        if isinstance(node, t.Variable) and node.slot in event_slots:
            paths.add(path)
    for node in t.walk(query):
        if isinstance(node, t.ArrayPath) and isinstance(node.array, t.Events):
            paths.add(node.path)
    return tuple(sorted(path for path in paths if not any(path[:length] in paths for length in range(1, len(path)))))


def outer_fields(query: t.Bound) -> Iterator[tuple[t.Bound, tuple[str, ...]]]:
    """Yield (what the path starts from, path) of every field access, the longest ones only."""
    inner = {id(node.object) for node in t.walk(query) if isinstance(node, t.Field)}
    for node in t.walk(query):
        if isinstance(node, t.Field) and id(node) not in inner:
            path: list[str] = []
            start: t.Bound = node
            while isinstance(start, t.Field):
                path.append(start.name)
                start = start.object
            yield start, tuple(reversed(path))


def _event_slots(query: t.Bound) -> set[int]:
    # Generous on purpose: an array made from events (a filter, a map over them) may hand events on.
    slots: set[int] = set()
    for node in t.walk(query):
        array = getattr(node, "array", None)
        if isinstance(array, t.Bound) and any(isinstance(item, t.Events) for item in t.walk(array)):
            slots.update(item.slot for item in t.variables_of(node))
    return slots


def query_lookback(query: t.Bound) -> int | None:
    """Return how far back a query's conditions on event times reach, None when for ever."""
    reaches: list[int] = []
    for node in t.walk(query):
        if isinstance(node, t.TimeRange) and node.lower is not None:
            bound = moving_bound(node.lower)
            reach = bound.longest_ms() if bound is not None else None
            if reach is not None:
                reaches.append(reach)
    return max(reaches) + 1 if reaches else None
