"""The bare reference: the same job, written by hand for nothing but this job, in the same run and on the same engines.

Three processes: an inlet that decodes an event and appends it to a synced log before it answers; a worker that finds the person
by either identity, keeps one document a person, evaluates the 500 audiences as plain Python conditions (indexed by the event's
type) and commits documents, memberships and offset in one synced write; a sender that posts one message per change of the mapped
audience, over 64 connections, in order per person.

It leaves out what a product needs: schema validation, quarantine, deduplication by event id, stored events, merge policies,
identity graphs (a person has the identities of the first record), exits by time alone, retries, dead letters, the lake, more than
one destination, any control plane.
"""

import asyncio
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import lmdb
import msgspec
import uvloop

from benchmarks import audiences, workload
from headrace.storage.log.lmdb import LmdbLog, LmdbTopic
from headrace.storage.state.rocksdb import RocksState

TENANT = "_bare"
_AT_ONCE = 2000
_KEPT = 20  # newest events kept of each type
_DAY_MS = 86_400_000
_SENDERS = 64
_OFFSET = struct.Struct(">Q")
_CODES = {workload.DEVICE: b"d", workload.CUSTOMER: b"c", workload.MAIL: b"m"}
_TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
_decode_json = msgspec.json.Decoder().decode
_encode_json = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


# --- the inlet ------------------------------------------------------------------------------------------------------------


class _Inlet:
    """Gathers what comes while a group is being synced."""

    def __init__(self, topic: LmdbTopic) -> None:
        self._topic = topic
        self._waiting: list[tuple[list[bytes], asyncio.Transport]] = []
        self._is_busy = False

    def take(self, entries: list[bytes], transport: asyncio.Transport) -> None:
        self._waiting.append((entries, transport))
        if not self._is_busy:
            self._is_busy = True
            asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(self._store()))

    async def _store(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting, []
            entries = [entry for part, _ in group for entry in part]
            await loop.run_in_executor(None, self._topic.append, entries)
            for _, transport in group:
                transport.write(_TAKEN)
            await asyncio.sleep(0.001 if len(group) > 4 else 0)  # lets the answered ones come back
        self._is_busy = False


class _Requests(asyncio.Protocol):
    def __init__(self, inlet: _Inlet) -> None:
        self._inlet = inlet
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        head = data.find(b"\r\n\r\n")
        if head >= 0:
            start = data.find(b"Content-Length: ", 0, head) + 16
            end = head + 4 + int(data[start : data.find(b"\r", start)])
            if len(data) >= end:
                body = _decode_json(data[head + 4 : end])
                events = body.get("messages", (body,))
                self._inlet.take([_pack(event) for event in events], self._transport)
                data = data[end:]
        self._buffer = data


async def _serve_inlet(folder: Path) -> None:
    log = LmdbLog(folder / "log", folder / "bells")
    inlet = _Inlet(log.topic("records"))
    server = await asyncio.get_running_loop().create_server(lambda: _Requests(inlet), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# --- the worker -----------------------------------------------------------------------------------------------------------

Conditions = Callable[[dict[str, Any], dict[str, Any], dict[int, int], bool, int], list[int]]


def conditions(count: int) -> dict[str, Conditions]:
    """Return a function per event type, and one under ``""`` for customer records: it gives the audiences that have changed."""
    generated = audiences.generate(count)
    by_key: dict[str, list[audiences.Audience]] = {name: [] for name in ("", *workload.TYPES)}
    for item in generated:
        keys = set(item.types) if item.types else set(by_key) if item.kind == "switch" else {""}
        if item.kind == "segment":
            keys |= set(generated[item.parent - 1].types)
        for key in keys:
            by_key[key].append(item)
    namespace: dict[str, Any] = {}
    lines = []
    for index, items in enumerate(by_key.values()):
        lines += [f"def f{index}(a, h, m, on, now):", "    changed = []"]
        for item in items:
            lines += [f"    if ({audiences.python(item)}) is not ({item.number} in m):", f"        turn(m, {item.number}, now)"]
            lines.append(f"        changed.append({item.number})")
        lines.append("    return changed")
    namespace["turn"] = _turn
    exec("\n".join(lines), namespace)
    return {key: namespace[f"f{index}"] for index, key in enumerate(by_key)}


def _turn(memberships: dict[int, int], number: int, now: int) -> None:
    if number in memberships:
        del memberships[number]
    else:
        memberships[number] = now


class _Worker:
    def __init__(self, folder: Path, audience_count: int) -> None:
        self._log = LmdbLog(folder / "log", folder / "bells")
        self._records, self._changes = self._log.topic("records"), self._log.topic("changes")
        self._bell = self._log.subscribe("worker", ["records"])
        self._state = RocksState(folder / "state")
        self._functions = conditions(audience_count)
        self._offset = _OFFSET.unpack(self._state.get(b"offset") or bytes(8))[0]

    def run(self) -> None:
        import gc

        gc.freeze()
        gc.disable()
        while True:
            entries = self._records.read(self._offset, limit=_AT_ONCE)
            if not entries:
                self._bell.wait(0.5)
                continue
            self._apply([_unpack(data) for _, data in entries])
            self._offset = entries[-1][0] + 1

    def _apply(self, records: list[dict[str, Any]]) -> None:
        now = time.time_ns() // 1_000_000
        keys = [_identities(record) for record in records]
        flat = list(dict.fromkeys(key for group in keys for key in group))
        owners = dict(zip(flat, self._state.get_many(flat), strict=True))
        wanted = list(dict.fromkeys(owner for owner in owners.values() if owner))
        stored = dict(zip(wanted, self._state.get_many(wanted), strict=True))
        persons: dict[bytes, Any] = {}
        writes: dict[bytes, bytes | None] = {}
        changes: list[bytes] = []
        for record, identities in zip(records, keys, strict=True):
            owner = next((found for key in identities if (found := owners[key])), None) or b"p" + identities[0]
            for key in identities:
                if owners[key] is None:
                    owners[key] = writes[key] = owner
            person = persons.get(owner)
            if person is None:
                data = stored.get(owner)
                person = persons[owner] = _unpack(data) if data else {"a": {}, "h": {}, "m": {}, "i": {}}
            self._apply_one(record, person, now, changes)
        for owner, person in persons.items():
            writes[owner] = _pack(person)
        writes[b"offset"] = _OFFSET.pack(self._offset + len(records))
        self._state.commit(writes)
        if changes:
            self._changes.append(changes)

    def _apply_one(self, record: dict[str, Any], person: Any, now: int, changes: list[bytes]) -> None:
        own = record[TENANT][workload.GROUP]
        person["i"].update(record["identityMap"])
        kind = record.get("eventType", "")
        is_on = False
        if kind:
            events = person["h"].setdefault(kind, [])
            events.append((_millis(record["timestamp"]), own["amount"]))
            while len(events) > _KEPT or events[0][0] < now - _DAY_MS:
                del events[0]
            is_on = own["isOn"]
        else:
            person["a"] = {"country": record["homeAddress"]["countryCode"], "name": record["person"]["name"], **own}
            person["a"]["city"] = record["homeAddress"]["city"]
        turned = self._functions[kind](person["a"], person["h"], person["m"], is_on, now)
        if audiences.SIGNAL in turned:
            changes.append(_pack((person["i"], person["a"], turned, person["m"])))


def _identities(record: dict[str, Any]) -> list[bytes]:
    return [_CODES[code] + items[0]["id"].encode() for code, items in record["identityMap"].items()]


def _millis(stamp: str) -> int:
    from datetime import datetime

    return round(datetime.fromisoformat(stamp).timestamp() * 1000)


# --- the sender -----------------------------------------------------------------------------------------------------------


class _Sender(asyncio.Protocol):
    """One connection; sends its messages one after the other."""

    def __init__(self) -> None:
        self.queue: deque[bytes] = deque()
        self.is_idle = asyncio.Event()
        self.is_idle.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def put(self, request: bytes) -> None:
        if self.is_idle.is_set():
            self.is_idle.clear()
            self._transport.write(request)
        else:
            self.queue.append(request)

    def data_received(self, data: bytes) -> None:
        assert data.startswith(b"HTTP/1.1 204"), data
        if self.queue:
            self._transport.write(self.queue.popleft())
        else:
            self.is_idle.set()


async def _send(folder: Path, port: int) -> None:
    log = LmdbLog(folder / "log", folder / "bells")
    topic = log.topic("changes")
    loop = asyncio.get_running_loop()
    environment = lmdb.open(str(folder / "sent"))
    bell = log.subscribe("sender", ["changes"])
    rung = asyncio.Event()

    def ring() -> None:
        bell.clear()
        rung.set()

    loop.add_reader(bell.fileno(), ring)
    senders = [(await loop.create_connection(_Sender, "127.0.0.1", port))[1] for _ in range(_SENDERS)]
    with environment.begin() as transaction:
        offset = _OFFSET.unpack(transaction.get(b"offset") or bytes(8))[0]
    head = f"POST /messages HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: ".encode()
    while True:
        rung.clear()
        entries = topic.read(offset, limit=_AT_ONCE)
        if not entries:
            with suppress(TimeoutError):  # a ring can be lost while a listener joins
                await asyncio.wait_for(rung.wait(), 0.25)
            continue
        for number, data in entries:
            identities, attributes, turned, memberships = _unpack(data)
            told = {str(item): memberships.get(item, 0) for item in turned}
            body = _encode_json({"person": attributes.get("name"), "identityMap": identities, "segmentMembership": told})
            person = int(identities[workload.CUSTOMER][0]["id"][1:])
            request = b"%s%d\r\nX-Message-Id: %d\r\n\r\n%s" % (head, len(body), number, body)
            senders[person % _SENDERS].put(request)
        for sender in senders:
            await sender.is_idle.wait()
        offset = entries[-1][0] + 1
        with environment.begin(write=True) as transaction:
            transaction.put(b"offset", _OFFSET.pack(offset))


# --- as a subject ---------------------------------------------------------------------------------------------------------


class Bare:
    """The running reference."""

    name = "bare"
    tenant = TENANT
    envelope = "@ENTITY@"

    def __init__(self, folder: Path, port: int, processes: dict[str, subprocess.Popen[bytes]]) -> None:
        """Remember where it listens."""
        self._folder = folder
        self._port = port
        self._processes = processes

    def inlet_url(self, *, is_batch: bool) -> str:
        """Return where events go; batches go to the same place."""
        del is_batch
        return f"http://127.0.0.1:{self._port}/events"

    def pids(self) -> dict[str, int]:
        """Return its processes."""
        return {name: process.pid for name, process in self._processes.items()}

    def wait_until_settled(self, timeout_seconds: float) -> None:
        """There is nothing behind the receiver."""

    def load_profiles(self, count: int) -> None:
        """Load customer records."""
        entries = [_pack(workload.profile(person, TENANT)) for person in range(count)]
        log = LmdbLog(self._folder / "log", self._folder / "bells")
        for start in range(0, count, _AT_ONCE):
            log.topic("records").append(entries[start : start + _AT_ONCE])
        log.close()


@contextmanager
def running(folder: Path, sink_port: int, audience_count: int) -> Iterator[Bare]:
    """Run the three processes."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, more in (("inlet", ""), ("worker", str(audience_count)), ("sender", str(sink_port))):
            command = [sys.executable, "-m", "benchmarks.bare", name, str(folder), more]
            processes[name] = subprocess.Popen(command, stdout=subprocess.PIPE)
        out = processes["inlet"].stdout
        assert out is not None
        yield Bare(folder, int(out.readline()), processes)
    finally:
        for process in processes.values():
            process.terminate()
            process.wait()


def main() -> None:
    """Run one of the three processes."""
    name, folder, more = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    if name == "inlet":
        uvloop.run(_serve_inlet(folder))
    elif name == "worker":
        _Worker(folder, int(more)).run()
    else:
        uvloop.run(_send(folder, int(more)))


if __name__ == "__main__":
    main()
