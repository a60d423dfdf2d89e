"""The key layout of the hot state, format 1. Numbers are big-endian, so that keys sort as their numbers do.

| prefix | rest of the key                                             | value                                   |
|--------|-------------------------------------------------------------|-----------------------------------------|
| ``p``  | sandbox, person id                                          | person document (`profile.person`)      |
| ``i``  | sandbox, namespace id, value                                | person id                               |
| ``e``  | sandbox, identity hash, event time, dataset, event hash     | stored event                            |
| ``d``  | sandbox, dataset, event hash                                | empty: the event is known               |
| ``t``  | due instant, sandbox, person id                             | empty: evaluate the person then         |
| ``n``  | sandbox, counter name                                       | counter, 8 bytes                        |
| ``c``  | sequence number                                             | change not yet trimmed from the outbox  |
| ``w``  | sandbox, sweep name                                         | sweep (`audience.sweep`)                |
| ``x``  | sandbox                                                     | purge: key to go on with (`pipeline_purges`) |
| ``m``  | name                                                        | meta: offset, sequence, format          |
"""

import struct
from functools import lru_cache
from hashlib import blake2b

FORMAT = 1

_SANDBOX = struct.Struct(">I")
_PERSON = struct.Struct(">cI16s")
_IDENTITY = struct.Struct(">cII")
_EVENT = struct.Struct(">cI12sQI12s")
_KNOWN_EVENT = struct.Struct(">cII12s")
_TIMER = struct.Struct(">cQI16s")
_TIMERS = struct.Struct(">cQ")
_U64 = struct.Struct(">Q")
_TIME_SHIFT = 1 << 62  # instants before 1970 sort before the later ones

META_OFFSET = b"m:offset"
META_ROW = b"m:row"
META_INSTANT = b"m:instant"
META_APPLIED = b"m:applied"
META_CLAIMS = b"m:claims"
META_CLAIMED_ROWS = b"m:claimed-rows"
META_SEQUENCE = b"m:sequence"
META_FORMAT = b"m:format"


def person_key(sandbox: int, person_id: bytes) -> bytes:
    """Return the key of a person's document."""
    return _PERSON.pack(b"p", sandbox, person_id)


def identity_key(sandbox: int, namespace_id: int, value: str) -> bytes:
    """Return the key under which an identity's person stands."""
    return _IDENTITY.pack(b"i", sandbox, namespace_id) + value.encode()


@lru_cache(maxsize=4096)
def identity_hash(namespace_id: int, value: str) -> bytes:
    """Return the 12 bytes that stand for an identity in the keys of its events."""
    return blake2b(value.encode(), digest_size=12, salt=_SANDBOX.pack(namespace_id)).digest()


def event_hash(event_id: str) -> bytes:
    """Return the 12 bytes that stand for an event's ``_id``."""
    return blake2b(event_id.encode(), digest_size=12).digest()


def event_key(sandbox: int, identity: bytes, timestamp_ms: int, dataset: int, event: bytes) -> bytes:
    """Return the key of a stored event; ``identity`` and ``event`` are hashes."""
    return _EVENT.pack(b"e", sandbox, identity, timestamp_ms + _TIME_SHIFT, dataset, event)


def event_range(sandbox: int, identity: bytes, since_ms: int | None, until_ms: int | None) -> tuple[bytes, bytes]:
    """Return the range of keys of an identity's events with ``since_ms`` <= time < ``until_ms``."""
    head = b"e" + _SANDBOX.pack(sandbox) + identity
    start = head if since_ms is None else head + _U64.pack(since_ms + _TIME_SHIFT)
    end = head + b"\xff" * 9 if until_ms is None else head + _U64.pack(until_ms + _TIME_SHIFT)
    return start, end


def known_event_key(sandbox: int, dataset: int, event: bytes) -> bytes:
    """Return the key that tells that an event of a dataset was applied; ``event`` is its hash."""
    return _KNOWN_EVENT.pack(b"d", sandbox, dataset, event)


def hash_of_known_event(key: bytes) -> bytes:
    """Return the event's hash, which ends the key of a known event."""
    return key[-12:]


def timer_key(due_ms: int, sandbox: int, person_id: bytes) -> bytes:
    """Return the key of a person's timer."""
    return _TIMER.pack(b"t", due_ms, sandbox, person_id)


def timers_from(due_ms: int) -> bytes:
    """Return where the timers due at and after an instant begin."""
    return _TIMERS.pack(b"t", due_ms)


def split_timer_key(key: bytes) -> tuple[int, int, bytes]:
    """Return (due instant, sandbox, person id) of a timer's key."""
    _, due_ms, sandbox, person_id = _TIMER.unpack(key)
    return due_ms, sandbox, person_id


def counter_key(sandbox: int, name: str) -> bytes:
    """Return the key of a counter of a sandbox."""
    return b"n" + _SANDBOX.pack(sandbox) + name.encode()


def member_counter(audience: int) -> str:
    """Return the name of the counter of an audience's members."""
    return f"members:{audience}"


PROFILE_COUNTER = "profiles"


def outbox_key(sequence: int) -> bytes:
    """Return the key of the outgoing changes of a micro-batch, by the sequence number of the first."""
    return b"c" + _U64.pack(sequence)


def split_outbox_key(key: bytes) -> int:
    """Return the sequence number of an outbox key."""
    return int(_U64.unpack_from(key, 1)[0])


def sweep_key(sandbox: int, name: str) -> bytes:
    """Return the key of a sweep over a sandbox's persons."""
    return b"w" + _SANDBOX.pack(sandbox) + name.encode()


def purge_key(sandbox: int) -> bytes:
    """Return the key of the purge of a sandbox."""
    return b"x" + _SANDBOX.pack(sandbox)


def split_purge_key(key: bytes) -> int:
    """Return the sandbox of a purge's key."""
    return int(_SANDBOX.unpack_from(key, 1)[0])


def sandbox_ranges(sandbox: int) -> list[tuple[bytes, bytes]]:
    """Return the ranges of all keys of a sandbox but its timers, which sort by time, in the order of the keys."""
    number = _SANDBOX.pack(sandbox)
    after = _SANDBOX.pack(sandbox + 1)
    return [(prefix + number, prefix + after) for prefix in (b"d", b"e", b"i", b"n", b"p", b"w")]


def pack_number(number: int) -> bytes:
    """Return a counter, offset or sequence number as it is stored."""
    return _U64.pack(number)


def unpack_number(data: bytes | None) -> int:
    """Return the number that `pack_number` wrote, 0 for a missing one."""
    return int(_U64.unpack(data)[0]) if data else 0


def split_sweep_key(key: bytes) -> tuple[int, str]:
    """Return (sandbox, name) of a sweep's key."""
    return int(_SANDBOX.unpack_from(key, 1)[0]), key[5:].decode()
