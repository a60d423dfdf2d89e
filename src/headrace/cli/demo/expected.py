"""What should have happened, computed from the raw input alone.

Nothing here knows Headrace: plain lists, a union-find over identities, and each audience's rule as a Python function. A rule
is asked at every instant at which its answer can change: when a record arrives, and when a window's edge passes an event.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

HOUR_MS = 3_600_000


@dataclass
class Input:
    """One record of the raw input.

    Attributes:
        at_ms: When it happened.
        identities: Identities that it holds, as ``CODE:value``.
        kind: Type of an event; empty for a profile record.
        fields: What rules may ask of an event, or the attributes of a profile record.
    """

    at_ms: int
    identities: tuple[str, ...]
    kind: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class Person:
    """What is known about one person at an instant."""

    identities: set[str] = field(default_factory=set)
    events: list[Input] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    audiences: set[str] = field(default_factory=set)

    def times(self, kind: str, until_ms: int) -> list[int]:
        """Return the times of events of a kind up to an instant, ascending."""
        return sorted(event.at_ms for event in self.events if event.kind == kind and event.at_ms <= until_ms)


@dataclass(frozen=True)
class Rule:
    """One audience.

    Attributes:
        name: Its name.
        holds: Whether a person is in it at an instant.
        edges_ms: Distances after an event at which time alone can change the answer.
    """

    name: str
    holds: Callable[[Person, int], bool]
    edges_ms: tuple[int, ...] = ()


@dataclass(frozen=True)
class Transition:
    """Somebody entered or left an audience.

    Attributes:
        at_ms: When.
        audience: Which.
        is_entry: Entered or left.
        identity: One identity that the person had then.
        is_by_time: Whether no record caused it.
    """

    at_ms: int
    audience: str
    is_entry: bool
    identity: str
    is_by_time: bool


class Expectation:
    """Replays the input and notes every transition."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._owner: dict[str, Person] = {}
        self._edges: list[tuple[int, int, str]] = []
        self._count = 0
        self.transitions: list[Transition] = []

    def replay(self, inputs: Iterable[Input], until_ms: int) -> None:
        """Replay the input in order of time, then let time pass until an instant."""
        for item in sorted(inputs, key=lambda entry: entry.at_ms):
            self._pass_time(item.at_ms - 1)
            self._apply(item)
        self._pass_time(until_ms)

    def person_of(self, identity: str) -> Person | None:
        """Return the person who has an identity at the end."""
        return self._owner.get(identity)

    def persons(self) -> list[Person]:
        """Return all persons at the end."""
        return list({id(person): person for person in self._owner.values()}.values())

    def _apply(self, item: Input) -> None:
        person = self._joined(item.identities)
        if item.kind:
            person.events.append(item)
            for edge in {edge for rule in self._rules for edge in rule.edges_ms}:
                self._count += 1
                heappush(self._edges, (item.at_ms + edge, self._count, item.identities[0]))
        else:
            person.attributes.update(item.fields)
        self._evaluate(person, item.at_ms, is_by_time=False)

    def _joined(self, identities: Sequence[str]) -> Person:
        found = [self._owner[item] for item in identities if item in self._owner]
        person = found[0] if found else Person()
        for other in found[1:]:
            if other is person:
                continue
            person.events += other.events
            person.attributes = {**other.attributes, **person.attributes}
            person.audiences |= other.audiences
            person.identities |= other.identities
        person.identities |= set(identities)
        for identity in person.identities:
            self._owner[identity] = person
        return person

    def _pass_time(self, until_ms: int) -> None:
        while self._edges and self._edges[0][0] <= until_ms:
            at_ms, _, identity = heappop(self._edges)
            self._evaluate(self._owner[identity], at_ms, is_by_time=True)

    def _evaluate(self, person: Person, at_ms: int, *, is_by_time: bool) -> None:
        for rule in self._rules:
            is_in = rule.holds(person, at_ms)
            if is_in != (rule.name in person.audiences):
                (person.audiences.add if is_in else person.audiences.discard)(rule.name)
                identity = min(person.identities)
                self.transitions.append(Transition(at_ms, rule.name, is_in, identity, is_by_time))


def abandoned(begin: str, submit: str, patience_ms: int) -> Callable[[Person, int], bool]:
    """Return the rule "began at least ``patience_ms`` and at most a day ago, and has not submitted since"."""

    def holds(person: Person, now_ms: int) -> bool:
        begins = [at for at in person.times(begin, now_ms - patience_ms) if at >= now_ms - 24 * HOUR_MS]
        submits = [at for at in person.times(submit, now_ms) if at >= now_ms - 24 * HOUR_MS]
        return bool(begins) and not any(at > begins[-1] for at in submits)

    return holds


def counted(kind: str, count: int, window_ms: int) -> Callable[[Person, int], bool]:
    """Return the rule "at least ``count`` events of a kind within the window"."""

    def holds(person: Person, now_ms: int) -> bool:
        return sum(1 for at in person.times(kind, now_ms) if at >= now_ms - window_ms) >= count

    return holds


def followed(first: str, second: str, window_ms: int) -> Callable[[Person, int], bool]:
    """Return the rule "an event of the first kind, later one of the second, both within the window"."""

    def holds(person: Person, now_ms: int) -> bool:
        firsts = [at for at in person.times(first, now_ms) if at >= now_ms - window_ms]
        seconds = [at for at in person.times(second, now_ms) if at >= now_ms - window_ms]
        return bool(firsts and seconds) and firsts[0] < seconds[-1]

    return holds
