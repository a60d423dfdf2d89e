"""What the delivery loop must not forget: how far each dataflow has come, what waits for a retry, and the dead letters.

One LMDB environment, format 1. Every commit is one synced transaction. Messages are keyed by dataflow and sequence number,
so that repeating a commit changes nothing. Several processes may have it open: the API lists dead letters and asks for
replays, the activation role does the rest.
"""

import contextlib
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import lmdb
import msgspec

from headrace.storage.lmdb_files import mapped_errors, open_environment

_SEQUENCE = struct.Struct(">Q")
_MAP_BYTES = 1 << 38
_TABLES = ("positions", "waiting", "dead", "dead_by_time", "replays", "meta")
_META_CHECKED = b"checked_offset"
T = TypeVar("T")


class Position(msgspec.Struct, array_like=True):
    """How far a dataflow has come in the topic ``changes``.

    Attributes:
        read: Everything before this offset is handled: sent, not wanted, waiting or dead…
        open: …except these half-open ranges of offsets, which are still to be handled.
        counters: What has happened so far, by name.
    """

    read: int
    open: list[tuple[int, int]] = []
    counters: dict[str, int] = {}


class Waiting(msgspec.Struct, array_like=True):
    """A message that waits for its next attempt, or behind one of the same person that does.

    Attributes:
        message_id: UUID of the message.
        person_id: Whom it is about.
        body: What is sent.
        attempts: Attempts made so far.
        due_ms: When it is due (epoch ms); 0 for one that waits behind another.
        reason: What the last attempt ended with.
        code: Activation code of that.
        status: HTTP status of that, 0 when there was none.
        first_failed_at_ms: When the first attempt failed (epoch ms), 0 when none has.
    """

    message_id: str
    person_id: bytes
    body: bytes
    attempts: int = 0
    due_ms: int = 0
    reason: str = ""
    code: str = ""
    status: int = 0
    first_failed_at_ms: int = 0


class Dead(msgspec.Struct, array_like=True):
    """A message that was given up.

    Attributes:
        letter: The message as it last waited.
        dead_at_ms: When it was given up (epoch ms).
    """

    letter: Waiting
    dead_at_ms: int


class Commit:
    """Changes of several dataflows that become durable together."""

    def __init__(self) -> None:
        self.positions: dict[str, Position] = {}
        self.waiting: dict[tuple[str, int], Waiting | None] = {}
        self.dead: dict[tuple[str, int], Dead] = {}
        self.checked_offset: int | None = None


_encode = msgspec.msgpack.Encoder().encode
_position = msgspec.msgpack.Decoder(Position).decode
_waiting = msgspec.msgpack.Decoder(Waiting).decode
_dead = msgspec.msgpack.Decoder(Dead).decode

_open: dict[Path, tuple[lmdb.Environment, int]] = {}
_open_lock = threading.Lock()


class DeliveryStore:
    """The store of one home folder."""

    def __init__(self, folder: Path) -> None:
        """Open the store below ``folder``, made when it does not exist."""
        self._path = (folder / "delivery").absolute()
        self._environment = _opened(self._path)
        with mapped_errors(self._path, "be opened"):
            self._tables = {name: self._environment.open_db(name.encode()) for name in _TABLES}

    def close(self) -> None:
        """Release the store."""
        with _open_lock:
            environment, users = _open[self._path]
            if users > 1:
                _open[self._path] = (environment, users - 1)
            else:
                del _open[self._path]
                environment.close()

    def commit(self, changes: Commit) -> None:
        """Make ``changes`` durable, all or none (fsync).

        Raises:
            StorageFull: There is no room; nothing was changed.
        """
        with self._writing() as transaction:
            for flow_id, position in changes.positions.items():
                transaction.put(flow_id.encode(), _encode(position), db=self._tables["positions"])
            for (flow_id, sequence), row in changes.waiting.items():
                key = _key(flow_id, sequence)
                if row is None:
                    transaction.delete(key, db=self._tables["waiting"])
                else:
                    transaction.put(key, _encode(row), db=self._tables["waiting"])
            for (flow_id, sequence), dead in changes.dead.items():
                key = _key(flow_id, sequence)
                transaction.put(key, _encode(dead), db=self._tables["dead"])
                transaction.put(_SEQUENCE.pack(dead.dead_at_ms) + key, b"", db=self._tables["dead_by_time"])
            if changes.checked_offset is not None:
                transaction.put(_META_CHECKED, _SEQUENCE.pack(changes.checked_offset), db=self._tables["meta"])

    def position(self, flow_id: str) -> Position | None:
        """Return how far a dataflow has come, None when it is new."""
        with self._reading() as transaction:
            data = transaction.get(flow_id.encode(), db=self._tables["positions"])
        return _position(data) if data else None

    def checked_offset(self) -> int | None:
        """Return the end of the topic when the dataflows were last known to be up to date."""
        with self._reading() as transaction:
            data = transaction.get(_META_CHECKED, db=self._tables["meta"])
        return int(_SEQUENCE.unpack(data)[0]) if data else None

    def waiting(self, flow_id: str) -> Iterator[tuple[int, Waiting]]:
        """Yield (sequence, message) of what waits in a dataflow, by ascending sequence."""
        yield from self._rows("waiting", flow_id, _waiting)

    def waiting_message(self, flow_id: str, sequence: int) -> Waiting | None:
        """Return one message that waits."""
        with self._reading() as transaction:
            data = transaction.get(_key(flow_id, sequence), db=self._tables["waiting"])
        return _waiting(data) if data else None

    def dead(self, flow_id: str, *, after: int = -1, limit: int | None = None) -> list[tuple[int, Dead]]:
        """Return (sequence, message) of a dataflow's dead letters behind the sequence ``after``, ascending."""
        found: list[tuple[int, Dead]] = []
        for row in self._rows("dead", flow_id, _dead, first=after + 1):
            found.append(row)
            if len(found) == limit:
                break
        return found

    def dead_count(self, flow_id: str) -> int:
        """Return how many dead letters a dataflow has."""
        count = 0
        prefix = flow_id.encode() + b"\0"
        with self._reading() as transaction, transaction.cursor(db=self._tables["dead"]) as cursor:
            if cursor.set_range(prefix):
                for key in cursor.iternext(values=False):
                    if not bytes(key).startswith(prefix):
                        break
                    count += 1
        return count

    def ask_for_replay(self, flow_id: str, sequences: Sequence[int]) -> int:
        """Move dead letters to where the activation role picks them up; returns how many there were."""
        moved = 0
        with self._writing() as transaction:
            for sequence in sequences:
                key = _key(flow_id, sequence)
                data = transaction.pop(key, db=self._tables["dead"])
                if data is None:
                    continue
                dead = _dead(data)
                transaction.delete(_SEQUENCE.pack(dead.dead_at_ms) + key, db=self._tables["dead_by_time"])
                letter = dead.letter
                row = Waiting(letter.message_id, letter.person_id, letter.body)
                transaction.put(key, _encode(row), db=self._tables["replays"])
                moved += 1
        return moved

    def take_replays(self, flow_ids: Iterable[str]) -> list[tuple[str, int, Waiting]]:
        """Turn the replays asked for in these dataflows into waiting messages, and return them."""
        wanted = set(flow_ids)
        with self._reading() as transaction, transaction.cursor(db=self._tables["replays"]) as cursor:
            rows = [(bytes(key), bytes(value)) for key, value in cursor]
        found = [(key, value) for key, value in rows if _split(key)[0] in wanted]
        if not found:
            return []
        with self._writing() as transaction:
            for key, value in found:
                transaction.delete(key, db=self._tables["replays"])
                transaction.put(key, value, db=self._tables["waiting"])
        return [(*_split(key), _waiting(value)) for key, value in found]

    def forget_dead_before(self, instant_ms: int) -> int:
        """Delete the dead letters that were given up before an instant, and return how many."""
        removed = 0
        with self._writing() as transaction, transaction.cursor(db=self._tables["dead_by_time"]) as cursor:
            cursor.first()
            while (key := bytes(cursor.key())) and _SEQUENCE.unpack_from(key)[0] < instant_ms:
                transaction.delete(key[_SEQUENCE.size :], db=self._tables["dead"])
                cursor.delete()  # and go to the next
                removed += 1
        return removed

    def forget_flow(self, flow_id: str) -> None:
        """Delete everything about a dataflow."""
        dead = [(sequence, row.dead_at_ms) for sequence, row in self._rows("dead", flow_id, _dead)]
        waiting = [sequence for sequence, _ in self.waiting(flow_id)]
        with self._writing() as transaction:
            transaction.delete(flow_id.encode(), db=self._tables["positions"])
            for sequence in waiting:
                transaction.delete(_key(flow_id, sequence), db=self._tables["waiting"])
            for sequence, dead_at_ms in dead:
                key = _key(flow_id, sequence)
                transaction.delete(key, db=self._tables["dead"])
                transaction.delete(_SEQUENCE.pack(dead_at_ms) + key, db=self._tables["dead_by_time"])

    def _rows(self, table: str, flow_id: str, decode: Callable[[bytes], T], first: int = 0) -> Iterator[tuple[int, T]]:
        prefix = flow_id.encode() + b"\0"
        with self._reading() as transaction, transaction.cursor(db=self._tables[table]) as cursor:
            if not cursor.set_range(prefix + _SEQUENCE.pack(first)):
                return
            for key, value in cursor:
                if not bytes(key).startswith(prefix):
                    return
                yield _split(bytes(key))[1], decode(bytes(value))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[lmdb.Transaction]:
        with mapped_errors(self._path, "be read"), self._environment.begin() as transaction:
            yield transaction

    @contextlib.contextmanager
    def _writing(self) -> Iterator[lmdb.Transaction]:
        with mapped_errors(self._path, "be written"), self._environment.begin(write=True) as transaction:
            yield transaction


def _key(flow_id: str, sequence: int) -> bytes:
    return flow_id.encode() + b"\0" + _SEQUENCE.pack(sequence)


def _split(key: bytes) -> tuple[str, int]:
    return key[: -_SEQUENCE.size - 1].decode(), int(_SEQUENCE.unpack(key[-_SEQUENCE.size :])[0])


def _opened(path: Path) -> lmdb.Environment:
    # LMDB forbids opening one environment twice in a process, as happens when all roles run in one.
    with _open_lock:
        if path in _open:
            environment, users = _open[path]
        else:
            environment = open_environment(path, map_bytes=_MAP_BYTES, max_dbs=len(_TABLES))
            users = 0
        _open[path] = (environment, users + 1)
        return environment
