"""Reading persons from the hot state, in the pipeline's process or in any other."""

from collections.abc import Iterator

from headrace.identity.clusters import Graph
from headrace.profile import keys
from headrace.profile.person import Person, StoredEvent, decode_event, decode_person
from headrace.storage.state import StateReader


class ProfileReader:
    """Finds persons and their events."""

    def __init__(self, state: StateReader) -> None:
        self._state = state

    def refresh(self) -> None:
        """Catch up with the pipeline's commits (about half a millisecond)."""
        self._state.refresh()

    def person(self, sandbox: int, person_id: bytes) -> Person | None:
        """Return the person with an id."""
        data = self._state.get(keys.person_key(sandbox, person_id))
        return decode_person(data) if data else None

    def find(self, sandbox: int, namespace_id: int, value: str) -> Person | None:
        """Return the person who has an identity; ``value`` is normalised."""
        person_id = self._state.get(keys.identity_key(sandbox, namespace_id, value))
        return self.person(sandbox, person_id) if person_id else None

    def graph(self, sandbox_number: int, namespace_id: int, value: str) -> Graph | None:
        """See `GraphReader.graph`."""
        self.refresh()
        person = self.find(sandbox_number, namespace_id, value)
        return Graph(person.vertices, person.links) if person and person.links else None

    def persons(self, sandbox: int, after: bytes = b"", limit: int | None = None) -> Iterator[Person]:
        """Yield persons by ascending id, beginning behind the id ``after``."""
        start = keys.person_key(sandbox, after + b"\x00" if after else b"")
        end = keys.person_key(sandbox, b"\xff" * 17)
        for _, data in self._state.scan(start, end, limit=limit):
            yield decode_person(data)

    def events(
        self,
        sandbox: int,
        person: Person,
        since_ms: int | None = None,
        until_ms: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> list[StoredEvent]:
        """Return the events of all identities of a person, by (event time, id).

        Args:
            sandbox: Number of the sandbox.
            person: The person.
            since_ms: Earliest event time, included.
            until_ms: Latest event time, excluded.
            newest_first: Whether to begin with the newest.
            limit: Most events to return.
        """
        found = [event for _, event in self.event_keys(sandbox, person, since_ms, until_ms)]
        found.sort(key=_by_time, reverse=newest_first)
        return found[:limit]

    def event_keys(
        self, sandbox: int, person: Person, since_ms: int | None = None, until_ms: int | None = None
    ) -> Iterator[tuple[bytes, StoredEvent]]:
        """Yield the events of all identities of a person with their keys, identity by identity in order of time."""
        for identity in person.identities:
            hashed = keys.identity_hash(identity.namespace_id, identity.value)
            start, end = keys.event_range(sandbox, hashed, since_ms, until_ms)
            for key, value in self._state.scan(start, end):
                yield key, decode_event(value)

    def member_count(self, sandbox: int, audience: int) -> int:
        """Return how many persons are in an audience now."""
        return keys.unpack_number(self._state.get(keys.counter_key(sandbox, keys.member_counter(audience))))

    def profile_count(self, sandbox: int) -> int:
        """Return how many persons a sandbox has."""
        return keys.unpack_number(self._state.get(keys.counter_key(sandbox, keys.PROFILE_COUNTER)))


def _by_time(event: StoredEvent) -> tuple[int, str]:
    return event.timestamp_ms, event.event_id
