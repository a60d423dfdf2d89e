"""The persons, identities and writes of one micro-batch, before they are committed together."""

from collections.abc import Iterable
from heapq import heappop, heappush

from headrace.identity.graph import Vertex
from headrace.model import Change, Identity, encode_change
from headrace.profile import keys
from headrace.profile.person import Person, StoredEvent, decode_person, encode_event, encode_person
from headrace.storage.state import StateStore

_NEVER = 1 << 62


class WorkingSet:
    """What one micro-batch has read and will write.

    Everything read stays valid until the commit, since nobody else writes hot state. Persons live decoded only between two
    calls of `rest`: a document that is decoded, changed and encoded again at once costs half of one that has left the caches
    of the processor in between (measured with 2,000 documents of 2 KB).
    """

    def __init__(self, state: StateStore, *, sequence: int, instant_ms: int = 0) -> None:
        """Start a micro-batch.

        Args:
            state: The hot state.
            sequence: Sequence number of the first outgoing change.
            instant_ms: Instant of the last evaluation: no timer is due before it.
        """
        self._state = state
        self._documents: dict[bytes, bytes | None] = {}
        self._persons: dict[bytes, Person | None] = {}
        self._owners: dict[bytes, bytes | None] = {}  # key of an identity → key of its person's document
        self._known_events: dict[bytes, bool] = {}
        self._dirty: dict[bytes, Person] = {}
        self._deltas: dict[tuple[int, str], int] = {}
        self._member_deltas: dict[tuple[int, int], int] = {}
        self._writes: dict[bytes, bytes | None] = {}
        self._sequence = sequence
        self._timers_from = keys.timers_from(instant_ms)  # skips the tombstones of the timers that fired
        self._stored_timer: bytes | None = None
        self._is_stored_timer_known = False
        self._new_timers: list[bytes] = []
        self._no_timer_before = 0  # at most the due instant of the earliest timer
        self.changes: list[bytes] = []

    @property
    def next_sequence(self) -> int:
        """Sequence number of the next outgoing change."""
        return self._sequence + len(self.changes)

    def load(self, identities: Iterable[bytes], events: Iterable[bytes]) -> None:
        """Read ahead, in three round trips: the owners of identities, their documents, and which events are known."""
        distinct = dict.fromkeys(identities)
        unknown = [key for key in distinct if key not in self._owners]
        for key, owner in zip(unknown, self._state.get_many(unknown), strict=True):
            self._owners[key] = owner and b"p" + key[1:5] + owner
        wanted = dict.fromkeys(owner for key in distinct if (owner := self._owners[key]))
        missing = [key for key in wanted if key not in self._persons and key not in self._writes]
        self._documents = dict(zip(missing, self._state.get_many(missing), strict=True))
        unseen = [key for key in dict.fromkeys(events) if key not in self._known_events]
        for key, data in zip(unseen, self._state.get_many(unseen), strict=True):
            self._known_events[key] = data is not None

    def person(self, sandbox: int, person_id: bytes) -> Person | None:
        """Return a person by id."""
        key = keys.person_key(sandbox, person_id)
        return self._persons[key] if key in self._persons else self._decoded(key)

    def _decoded(self, key: bytes) -> Person | None:
        if key in self._writes:
            data = self._writes[key]
        elif key in self._documents:
            data = self._documents[key]
        else:
            data = self._state.get(key)
        person = self._persons[key] = decode_person(data) if data else None
        return person

    def owner(self, key: bytes) -> Person | None:
        """Return the person who has the identity of a key, None when nobody has it."""
        if key not in self._owners:
            owner = self._state.get(key)
            self._owners[key] = owner and b"p" + key[1:5] + owner
        document = self._owners[key]
        if document is None:
            return None
        return self._persons[document] if document in self._persons else self._decoded(document)

    def create(self, sandbox: int, identity: Identity, at_ms: int) -> Person:
        """Return a new person with one identity; the id follows from the identity, so that a replay makes the same."""
        person_id = keys.identity_hash(identity.namespace_id, identity.value) + b"\x00" * 4
        salt = 0
        while self.person(sandbox, person_id) is not None:  # its first owner lost this identity to a split
            salt += 1
            person_id = person_id[:12] + salt.to_bytes(4, "big")
        person = Person(person_id, [Vertex(identity, at_ms, at_ms)])
        self.own(sandbox, identity, person)
        self.touch(sandbox, person)
        self.count(sandbox, keys.PROFILE_COUNTER, 1)
        return person

    def own(self, sandbox: int, identity: Identity, person: Person) -> None:
        """Make an identity the person's."""
        key = keys.identity_key(sandbox, identity.namespace_id, identity.value)
        self._owners[key] = keys.person_key(sandbox, person.id)
        self._writes[key] = person.id

    def touch(self, sandbox: int, person: Person) -> None:
        """Note that a person's document must be written."""
        key = keys.person_key(sandbox, person.id)
        self._persons[key] = person
        self._dirty[key] = person

    def forget(self, sandbox: int, person: Person) -> None:
        """Remove a person's document and timer; identities and events are the caller's to move."""
        key = keys.person_key(sandbox, person.id)
        self._persons[key] = None
        self._dirty.pop(key, None)
        self._writes[key] = None
        self._drop_timer(sandbox, person)
        self.count(sandbox, keys.PROFILE_COUNTER, -1)

    def add_event(self, sandbox: int, identity: Identity, event: StoredEvent, known: bytes) -> bool:
        """Store an event under its primary identity.

        Args:
            sandbox: Number of the sandbox.
            identity: The primary identity.
            event: The event.
            known: The key that tells whether the dataset has an event of that id.

        Returns:
            False when it has one already; nothing is stored then.
        """
        if known not in self._known_events:
            self._known_events[known] = self._state.get(known) is not None
        if self._known_events[known]:
            return False
        self._known_events[known] = True
        owner = keys.identity_hash(identity.namespace_id, identity.value)
        self._writes[known] = b""
        key = keys.event_key(sandbox, owner, event.timestamp_ms, event.dataset, keys.hash_of_known_event(known))
        self._writes[key] = encode_event(event)
        return True

    def set_timer(self, sandbox: int, person: Person, due_ms: int) -> None:
        """Set the person's one timer to ``due_ms``; 0 removes it."""
        if person.timer_ms == due_ms:
            return
        self._drop_timer(sandbox, person)
        if due_ms:
            key = keys.timer_key(due_ms, sandbox, person.id)
            self._writes[key] = b""
            heappush(self._new_timers, key)
            self._no_timer_before = min(self._no_timer_before, due_ms)
        person.timer_ms = due_ms

    def _drop_timer(self, sandbox: int, person: Person) -> None:
        if person.timer_ms:
            key = keys.timer_key(person.timer_ms, sandbox, person.id)
            self._writes[key] = None
            if key == self._stored_timer:
                self._is_stored_timer_known = False

    def next_timer(self, until_ms: int) -> tuple[int, int, bytes] | None:
        """Return (due, sandbox, person id) of the earliest timer due at or before ``until_ms``, None without one."""
        if until_ms < self._no_timer_before:
            return None
        while self._new_timers and self._writes[self._new_timers[0]] is None:
            heappop(self._new_timers)
        stored = self._first_stored_timer()
        first = self._new_timers[0] if self._new_timers else stored
        if first is None:
            self._no_timer_before = _NEVER
            return None
        due, sandbox, person_id = keys.split_timer_key(first if stored is None else min(first, stored))
        self._no_timer_before = due
        return (due, sandbox, person_id) if due <= until_ms else None

    def _first_stored_timer(self) -> bytes | None:
        if not self._is_stored_timer_known:
            start = self._stored_timer or self._timers_from
            present = (key for key, _ in self._state.scan(start, b"u") if self._writes.get(key, b"") is not None)
            self._stored_timer = next(present, None)
            self._is_stored_timer_known = True
        return self._stored_timer

    def count(self, sandbox: int, name: str, delta: int) -> None:
        """Add to a counter."""
        counter = (sandbox, name)
        self._deltas[counter] = self._deltas.get(counter, 0) + delta

    def count_member(self, sandbox: int, audience: int, delta: int) -> None:
        """Add to the counter of an audience's members."""
        counter = (sandbox, audience)
        self._member_deltas[counter] = self._member_deltas.get(counter, 0) + delta

    def emit(self, change: Change) -> None:
        """Add an outgoing change."""
        self.changes.append(encode_change(change))

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write any other key; None deletes it."""
        self._writes[key] = value

    def is_deleted(self, key: bytes) -> bool:
        """Whether this micro-batch deletes a key."""
        return key in self._writes and self._writes[key] is None

    @property
    def size(self) -> int:
        """Roughly how many keys will be written."""
        return len(self._writes) + len(self._dirty)

    def rest(self) -> None:
        """Encode the persons that were touched and let go of all; call it where no `Person` is held."""
        for key, person in self._dirty.items():
            self._writes[key] = encode_person(person)
        self._dirty.clear()
        self._persons.clear()
        self._documents.clear()

    def commit(self) -> None:
        """Write everything in one atomic, synced step."""
        self.rest()
        for (sandbox, audience), delta in self._member_deltas.items():
            self.count(sandbox, keys.member_counter(audience), delta)
        self._member_deltas.clear()
        for (sandbox, name), delta in self._deltas.items():
            key = keys.counter_key(sandbox, name)
            self._writes[key] = keys.pack_number(max(0, keys.unpack_number(self._state.get(key)) + delta))
        self._state.commit(self._writes)
