"""The streaming compiler: all streaming audiences of a sandbox become one program of generated Python.

A program knows which audiences an event or a changed attribute can affect, evaluates just those, and tells for each the next
instant at which time alone can change the answer. What it needs of past events it keeps itself, per person, in ``kept``.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from headrace.pql import tree as t
from headrace.pql.compile import tracks
from headrace.pql.compile.kept import NAMESPACE as KEPT_NAMESPACE
from headrace.pql.compile.kept import Kept
from headrace.pql.compile.observing import Observer, observer
from headrace.pql.compile.runtime import Moment
from headrace.pql.compile.source import Module, Unsupported
from headrace.pql.compile.specialised import source_of
from headrace.pql.compile.tracks import Track, TrackBook, TrackReader

_PREFIX_LENGTH = 2


@dataclass(frozen=True, slots=True)
class StreamingAudience:
    """An audience to compile.

    Attributes:
        number: Its number.
        id: Its id, as ``inSegment`` names it.
        query: Its bound query.
    """

    number: int
    id: str
    query: t.Bound


ProfileView = Callable[[], Mapping[str, Any]]
Query = Callable[[Mapping[str, Any], Kept, Mapping[int, int], Moment], bool]


class Program:
    """The compiled audiences of one sandbox.

    Attributes:
        numbers: Numbers of all audiences in it.
        reads_identities: Whether an audience reads ``identityMap`` of the profile.
        reads_memberships: Whether an audience reads ``segmentMembership`` of the profile.
        affected_by_identities: Audiences to evaluate when the person gains an identity.
        profile_paths: Paths of all attributes that audiences read.
        event_paths: Paths of all fields of events that audiences read.
        unsupported: Audience number → why it could not be compiled.
    """

    def __init__(
        self,
        queries: Mapping[int, Query],
        track_list: Iterable[Track],
        observers: Mapping[str | None, Observer],
        paths: Mapping[int, set[tuple[str, ...]]],
        parents: Mapping[int, set[int]],
        unsupported: Mapping[int, str],
        event_paths: Set[tuple[str, ...]] = frozenset(),
    ) -> None:
        self.profile_paths = frozenset(path for wanted in paths.values() for path in wanted)
        self.event_paths = frozenset(event_paths)
        self.numbers = frozenset(queries)
        self.unsupported = dict(unsupported)
        self._queries = dict(queries)
        self._tracks = {track.key: track for track in track_list}
        self._observe_any = observers.get(None)
        self._observe_typed = {event_type: observe for event_type, observe in observers.items() if event_type is not None}
        self._by_path: dict[tuple[str, ...], set[int]] = {}
        for number, wanted in paths.items():
            for path in wanted:
                self._by_path.setdefault(path[:_PREFIX_LENGTH], set()).add(number)
        self.affected_by_identities = frozenset(self._by_head("identityMap"))
        self.reads_identities = bool(self.affected_by_identities)
        self.reads_memberships = bool(self._by_head("segmentMembership"))
        self._children: dict[int, set[int]] = {}
        for number, referred in parents.items():
            for parent in referred:
                self._children.setdefault(parent, set()).add(number)
        self._rank = _ranks(self.numbers, parents)
        self._referring = frozenset(number for number, rank in self._rank.items() if rank)

    def _by_head(self, head: str) -> set[int]:
        return {number for path, numbers in self._by_path.items() if path[0] == head for number in numbers}

    def observe(self, kept: Kept, event: Mapping[str, Any], at_ms: int, now_ms: int) -> set[int]:
        """Keep what the audiences need of a new event; returns the audiences that it can affect."""
        affected: set[int] = set()
        event_type = event.get("eventType")
        if isinstance(event_type, str):
            observe = self._observe_typed.get(event_type.lower())
            if observe is not None:
                observe(event, kept, at_ms, now_ms, affected)
        if self._observe_any is not None:
            self._observe_any(event, kept, at_ms, now_ms, affected)
        if len(kept) > len(self._tracks):
            for key in [key for key in kept if key not in self._tracks]:
                del kept[key]
        return affected

    def affected_by_attributes(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> set[int]:
        """Return the audiences that read an attribute which differs between two merged profiles."""
        affected: set[int] = set()
        for path, numbers in self._by_path.items():
            if _at(before, path) != _at(after, path):
                affected |= numbers
        return affected

    def referring_to(self, numbers: Iterable[int]) -> set[int]:
        """Return the audiences whose queries refer to memberships of the given ones."""
        referring: set[int] = set()
        for number in numbers:
            referring |= self._children.get(number, set())
        return referring

    def evaluate(
        self,
        numbers: Set[int],
        profile: Mapping[str, Any],
        kept: Kept,
        members: dict[int, int],
        dues: dict[int, int],
        now_ms: int,
    ) -> list[int]:
        """Evaluate audiences, parents first; those that refer to one whose answer changes are evaluated too.

        Args:
            numbers: Audiences to evaluate; others than the program's are passed over.
            profile: The merged profile.
            kept: What is kept of the person's events.
            members: Number of each audience the person is in → since when; brought up to date.
            dues: Audience → next instant at which time alone can change the answer; brought up to date.
            now_ms: The instant of the evaluation.

        Returns:
            The audiences that the person has entered or left, in the order of evaluation.
        """
        changed: list[int] = []
        moment = Moment(now_ms)
        later = numbers & self._referring
        self._evaluate_each(numbers - later if later else numbers, profile, kept, members, dues, moment, changed)
        if later or not self._children.keys().isdisjoint(changed):
            self._evaluate_ranked(later, profile, kept, members, dues, moment, changed)
        return changed

    def _evaluate_each(
        self,
        numbers: Iterable[int],
        profile: Mapping[str, Any],
        kept: Kept,
        members: dict[int, int],
        dues: dict[int, int],
        moment: Moment,
        changed: list[int],
    ) -> None:
        queries = self._queries
        for number in numbers:
            query = queries.get(number)
            if query is None:
                continue
            moment.due = 0
            if query(profile, kept, members, moment) is not (number in members):
                changed.append(number)
                if members.pop(number, None) is None:
                    members[number] = moment.now
            if due := moment.due:
                dues[number] = due
            elif number in dues:
                del dues[number]

    def _evaluate_ranked(
        self,
        waiting: Set[int],
        profile: Mapping[str, Any],
        kept: Kept,
        members: dict[int, int],
        dues: dict[int, int],
        moment: Moment,
        changed: list[int],
    ) -> None:
        """Evaluate audiences that refer to others, rank by rank, and those that refer to what has changed on the way."""
        done: set[int] = set()
        seen = 0
        while True:
            waiting = (waiting | self.referring_to(changed[seen:])) - done
            seen = len(changed)
            if not waiting:
                return
            rank = min(self._rank.get(number, 0) for number in waiting)
            present = [number for number in waiting if self._rank.get(number, 0) == rank]
            done.update(present)
            self._evaluate_each(present, profile, kept, members, dues, moment, changed)

    def absorb(self, kept: Kept, other: Kept) -> None:
        """Join what is kept of another person's events, when both become one person."""
        tracks.absorb(kept, other)

    def lookback_ms(self, numbers: Iterable[int]) -> int | None:
        """Return how far back the events must be read to refill the tracks of ``numbers``.

        None when they have no tracks; a very long time when one keeps events for ever.
        """
        wanted = set(numbers)
        used = [track for track in self._tracks.values() if track.users & wanted]
        if not used:
            return None
        return max(1 << 50 if track.lookback_ms is None else track.lookback_ms for track in used)

    def refill(self, kept: Kept, numbers: Iterable[int], events: Iterable[tuple[Mapping[str, Any], int]], now_ms: int) -> None:
        """Make the tracks of some audiences anew from stored events: (event, time), in any order."""
        wanted = set(numbers)
        used = [track for track in self._tracks.values() if track.users & wanted]
        for track in used:
            kept[track.key] = []
        for event, at_ms in events:
            for track in used:
                if track.predicate(event):
                    track.add(kept, event, at_ms, now_ms)


def _at(record: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    node: Any = record
    for name in path:
        if not isinstance(node, dict):
            return None
        node = node.get(name)
    return node


def _ranks(numbers: Iterable[int], parents: Mapping[int, set[int]]) -> dict[int, int]:
    """Return for each audience how many audiences must be evaluated before it, along the longest way."""
    ranks: dict[int, int] = {}

    def rank(number: int, trail: frozenset[int]) -> int:
        if number not in ranks:
            above = [parent for parent in parents.get(number, ()) if parent not in trail]
            ranks[number] = max((rank(parent, trail | {number}) + 1 for parent in above), default=0)
        return ranks[number]

    for number in numbers:
        rank(number, frozenset({number}))
    return ranks


def compile_streaming(audiences: Iterable[StreamingAudience], numbers: Mapping[str, int]) -> Program:
    """Compile the streaming audiences of a sandbox.

    Args:
        audiences: The audiences.
        numbers: Audience id → number, of all audiences of the sandbox that ``inSegment`` may name.
    """
    book = TrackBook()
    module = Module(numbers)
    names: dict[int, str] = {}
    paths: dict[int, set[tuple[str, ...]]] = {}
    parents: dict[int, set[int]] = {}
    unsupported: dict[int, str] = {}
    event_paths: set[tuple[str, ...]] = set()
    for audience in audiences:
        try:
            names[audience.number] = _Compilation(module, book, audience).name()
        except Unsupported as reason:
            unsupported[audience.number] = str(reason)
            continue
        paths[audience.number] = set(profile_paths(audience.query))
        event_paths.update(tracks.event_paths(audience.query))
        parents[audience.number] = {
            numbers[node.audience_id]
            for node in t.walk(audience.query)
            if isinstance(node, t.InSegment) and node.audience_id in numbers
        }
    predicates = {
        track.key: module.event_predicate(track.condition, track.variable)
        for track in book.tracks.values()
        if track.condition is not None and track.variable is not None
    }
    watched: dict[str | None, list[Track]] = {}
    for track in book.tracks.values():
        watched.setdefault(track.event_type, []).append(track)
    observers = {event_type: observer(module, tracks_of_type) for event_type, tracks_of_type in watched.items()}
    namespace = module.build()
    for key, name in predicates.items():
        book.tracks[key].predicate = namespace[name]
    queries = {number: namespace[name] for number, name in names.items()}
    functions = {event_type: namespace[name] for event_type, name in observers.items()}
    return Program(queries, book.tracks.values(), functions, paths, parents, unsupported, event_paths)


class _Compilation:
    """The compilation of one audience."""

    def __init__(self, module: Module, book: TrackBook, audience: StreamingAudience) -> None:
        self._module = module
        self._book = book
        self._audience = audience
        self._reader = TrackReader(book, audience.number)
        module.namespace.update(KEPT_NAMESPACE, events_of=tracks.events_of, bisect_left=bisect_left, bisect_right=bisect_right)

    def name(self) -> str:
        test = self._reader.kept_test(self._audience.query)
        lines = source_of(test) if test is not None else None
        if lines is None:
            return self._module.query(self._audience.query, self._replaced)
        name = self._module.fresh("q")
        self._module.function(name, "p, k, m, x", lines)
        return name

    def _replaced(self, node: t.Bound) -> str | None:
        test = self._reader.kept_test(node)
        if test is not None:
            lines = source_of(test)
            if lines is None:
                return f"{self._module.constant(test)}(x, k)"
            name = self._module.fresh("c")
            self._module.function(name, "x, k", lines)
            return f"{name}(x, k)"
        if isinstance(node, t.Events):
            query = self._audience.query
            track = self._book.events(tracks.event_paths(query), tracks.query_lookback(query), self._audience.number)
            return f"events_of(k, {track.key}, x.now, {track.lookback_ms})"
        return None


def profile_paths(query: t.Bound) -> Iterator[tuple[str, ...]]:
    """Yield the attribute paths that a query reads from the profile."""
    for start, path in tracks.outer_fields(query):
        if isinstance(start, t.Profile):
            yield path
