"""The person document: everything the hot state knows about one person, by where it came from (format 1).

Fragments stay apart by (primary identity, dataset) and links by dataset, so that a graph that splits can be undone exactly.
Events stand under their identity beside the document; the document holds only what streaming audiences need of them.
"""

from typing import Any

import msgspec

from headrace.identity.graph import Link, Vertex
from headrace.model import Identity, MembershipChange


class Fragment(msgspec.Struct, array_like=True, gc=False):
    """What one dataset says about one primary identity.

    Attributes:
        vertex: Position of the primary identity among the person's vertices.
        dataset: Dataset number.
        written_at_ms: Merge time: the source's own ``lastUpdatedDate`` when it gives one, else the ingestion time.
        accepted_at_ms: Ingestion time of the last write.
        offset: Offset of the last write in ``records``; breaks ties.
        body: The record as MessagePack, decoded only when somebody looks.
        batch_id: The batch of the last write, empty for streamed records.
    """

    vertex: int
    dataset: int
    written_at_ms: int
    accepted_at_ms: int
    offset: int
    body: msgspec.Raw
    batch_id: str = ""

    def record(self) -> dict[str, Any]:
        """Return the record, decoded."""
        return read_record(self.body)


class Person(msgspec.Struct, array_like=True):
    """One person.

    Attributes:
        id: 16 bytes, stable while the graph lives; a merge keeps the id of the larger graph.
        vertices: Identities; positions are stable, since links and fragments refer to them.
        links: Links between them.
        fragments: Record fragments.
        member_since: Number of each audience that the person is in → when it began (epoch ms).
        exited_at: Number of each audience that the person has left within the last 30 days → when (epoch ms).
        kept: Track → what streaming audiences need of past events (`pql.compile.kept`).
        dues: Audience number → instant at which time alone can change the membership.
        timer_ms: The earliest of ``dues``, as set in the timer queue; 0 without one.
        events: Events applied.
        updated_at_ms: Ingestion time of the last record applied.
        last_event_ms: Newest event time; 0 without events.
        offset: Offset in ``records`` of the last entry applied.
    """

    id: bytes
    vertices: list[Vertex]
    links: list[Link] = []
    fragments: list[Fragment] = []
    member_since: dict[int, int] = {}
    exited_at: dict[int, int] = {}
    kept: dict[int, msgspec.Raw] = {}
    dues: dict[int, int] = {}
    timer_ms: int = 0
    events: int = 0
    updated_at_ms: int = 0
    last_event_ms: int = 0
    offset: int = -1

    @property
    def identities(self) -> list[Identity]:
        """All identities of the person."""
        return [vertex.identity for vertex in self.vertices]

    def position_of(self, identity: Identity) -> int | None:
        """Return the position of an identity among the vertices, None when it is not the person's."""
        value, namespace_id = identity.value, identity.namespace_id
        for position, vertex in enumerate(self.vertices):
            present = vertex.identity
            if present.value == value and present.namespace_id == namespace_id:
                return position
        return None

    def membership(self, audience: int) -> MembershipChange | None:
        """Return how the person last entered or left an audience, None without either."""
        if audience in self.member_since:
            return MembershipChange(audience, True, self.member_since[audience])
        left_at_ms = self.exited_at.get(audience)
        return None if left_at_ms is None else MembershipChange(audience, False, left_at_ms)


class StoredEvent(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An event as it stands in the hot state.

    Attributes:
        dataset: Dataset number.
        event_id: Its ``_id``.
        timestamp_ms: Event time.
        accepted_at_ms: Ingestion time.
        batch_id: Its batch, empty for streamed events.
        body: The event as JSON.
    """

    dataset: int
    event_id: str
    timestamp_ms: int
    accepted_at_ms: int
    batch_id: str
    body: bytes


_encoder = msgspec.msgpack.Encoder()
_person_decoder = msgspec.msgpack.Decoder(Person)
_event_decoder = msgspec.msgpack.Decoder(StoredEvent)
_record_decoder = msgspec.msgpack.Decoder()
_NIL = b"\xc0"


def encode_person(person: Person) -> bytes:
    """Return a person's document."""
    return _encoder.encode(person)


def decode_person(data: bytes) -> Person:
    """Return the person of a document."""
    return _person_decoder.decode(data)


def encode_event(event: StoredEvent) -> bytes:
    """Return a stored event's value."""
    return _encoder.encode(event)


def decode_event(data: bytes) -> StoredEvent:
    """Return a stored event."""
    return _event_decoder.decode(data)


def read_record(body: bytes) -> dict[str, Any]:
    """Return the record of a fragment's body."""
    record: dict[str, Any] = _record_decoder.decode(body)
    return record


def encode_record(record: dict[str, Any]) -> msgspec.Raw:
    """Return a record as a fragment holds it: without nulls, which say as much as absence does."""
    encoded = _encoder.encode(record)
    if _NIL in encoded and _holds_null(record):  # UTF-8 never has that byte, so that nearly every record is done here
        encoded = _encoder.encode(_without_nulls(record))
    return msgspec.Raw(encoded)


def _holds_null(record: dict[str, Any]) -> bool:
    return any(value is None or (type(value) is dict and _holds_null(value)) for value in record.values())


def _without_nulls(record: dict[str, Any]) -> dict[str, Any]:
    return {name: _without_nulls(value) if type(value) is dict else value for name, value in record.items() if value is not None}
