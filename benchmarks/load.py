"""The load generator, a process of its own: many kept-alive connections that write prepared requests.

Closed loop: each connection sends its next request when the last one is answered; measures throughput. Open loop: requests fall
due at a fixed rate, whether or not the server keeps up, and a latency counts from the instant at which its request fell due;
it measures latency without omitting those that had to wait.

The requests stand in memory before the first is sent. What happened is written to a file: when each request was due, and when
it was answered (nanoseconds of the monotonic clock).
"""

import array
import asyncio
import gc
import json
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

from benchmarks import workload

_TICK_SECONDS = 0.001


@dataclass(frozen=True)
class Load:
    """What to send.

    Attributes:
        url: Where the events go: one a call, or ``messages`` when ``batch`` is above 1.
        envelope: The message around an event, as JSON text with ``@ENTITY@`` in its place; empty sends the bare event.
        tenant: Name under which the tenant's own fields stand.
        events: How many.
        persons: Whose, in turn.
        first: Number of the first event; a multiple of ``persons``.
        base_ms: Time of the first event of each person.
        batch: Events a call.
        connections: Connections.
        rate: Events a second that fall due; 0 is a closed loop.
    """

    url: str
    envelope: str
    tenant: str
    events: int
    persons: int
    first: int
    base_ms: int
    batch: int = 1
    connections: int = 64
    rate: float = 0.0


@dataclass(frozen=True)
class Sent:
    """What happened.

    Attributes:
        due_ns: When each request fell due.
        answered_ns: When it was answered.
        failures: Requests that were not answered with success.
        first_failure: The first such answer.
    """

    due_ns: "array.array[int]"
    answered_ns: "array.array[int]"
    failures: int
    first_failure: str


def requests_of(load: Load) -> list[bytes]:
    """Return the requests, ready to be written."""
    where = urlsplit(load.url)
    before, _, after = load.envelope.partition("@ENTITY@")
    start, end = before.encode(), after.encode()
    bodies = [
        start + workload.encoded(event) + end
        for event in workload.events(load.events, load.persons, load.tenant, load.base_ms, first=load.first)
    ]
    if load.batch > 1:
        groups = [bodies[index : index + load.batch] for index in range(0, len(bodies), load.batch)]
        bodies = [b'{"messages":[' + b",".join(group) + b"]}" for group in groups]
    head = f"POST {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: application/json\r\nContent-Length: ".encode()
    return [b"%s%d\r\n\r\n%s" % (head, len(body), body) for body in bodies]


class _Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next one."""

    def __init__(self, run: "_Run") -> None:
        self._run = run
        self._buffer = b""
        self.number = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, number: int) -> None:
        self.number = number
        self._transport.write(self._run.requests[number])

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        head = data.find(b"\r\n\r\n")
        if head < 0 or len(data) < head + 4 + _length(data[:head]):
            self._buffer = data
            return
        self._buffer = b""
        self._run.answered(self, data)

    def connection_lost(self, error: Exception | None) -> None:
        self._run.lost(self)


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0] or 0)


class _Run:
    def __init__(self, load: Load) -> None:
        self.load = load
        self.requests = requests_of(load)
        count = len(self.requests)
        self.due = array.array("q", bytes(8 * count))
        self.done = array.array("q", bytes(8 * count))
        self._next = 0
        self._left = count
        self._idle: deque[_Connection] = deque()
        self._failures: list[str] = []
        self._over = asyncio.Event()

    async def run(self) -> Sent:
        loop = asyncio.get_running_loop()
        where = urlsplit(self.load.url)
        for _ in range(self.load.connections):
            _, connection = await loop.create_connection(lambda: _Connection(self), str(where.hostname), int(where.port or 80))
            self._idle.append(connection)
        gc.disable()
        if self.load.rate:
            await self._open_loop(loop)
        else:
            while self._idle and self._next < len(self.requests):
                self._send(self._idle.popleft(), time.monotonic_ns())
        await self._over.wait()
        return Sent(self.due, self.done, len(self._failures), self._failures[0] if self._failures else "")

    async def _open_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        step = 1e9 * self.load.batch / self.load.rate
        start = time.monotonic_ns() + 10_000_000
        self.due = array.array("q", [start + round(number * step) for number in range(len(self.requests))])
        while self._next < len(self.requests):
            self._send_due()
            await asyncio.sleep(_TICK_SECONDS)

    def _send_due(self) -> None:
        now = time.monotonic_ns()
        while self._idle and self._next < len(self.requests) and self.due[self._next] <= now:
            self._send(self._idle.popleft(), self.due[self._next])

    def _send(self, connection: _Connection, due_ns: int) -> None:
        self.due[self._next] = due_ns
        connection.send(self._next)
        self._next += 1

    def answered(self, connection: _Connection, data: bytes) -> None:
        now = time.monotonic_ns()
        self.done[connection.number] = now
        if data[9:12] not in (b"200", b"207", b"204") or b'"statusCode"' in data:
            self._failures.append(data[:500].decode("utf-8", "replace"))
        self._left -= 1
        if not self._left:
            self._over.set()
        elif self.load.rate:
            self._idle.append(connection)
            self._send_due()
        elif self._next < len(self.requests):
            self._send(connection, now)

    def lost(self, connection: _Connection) -> None:
        if self._left and not self._over.is_set():
            self._failures.append("the server closed a connection")
            self._left = 0
            self._over.set()


def send(load: Load, folder: Path) -> Sent:
    """Run the generator as a process and return what happened."""
    out = folder / "sent.bin"
    command = [sys.executable, "-m", "benchmarks.load", json.dumps(asdict(load)), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"The load generator failed: {done.stderr[-2000:]}")
    summary: dict[str, Any] = json.loads(done.stdout)
    flat = array.array("q", out.read_bytes())
    half = len(flat) // 2
    return Sent(flat[:half], flat[half:], summary["failures"], summary["first_failure"])


def main() -> None:
    """Send what the first argument says; write the times into the file that the second one names."""
    sent = uvloop.run(_Run(Load(**json.loads(sys.argv[1]))).run())
    Path(sys.argv[2]).write_bytes(sent.due_ns.tobytes() + sent.answered_ns.tobytes())
    json.dump({"failures": sent.failures, "first_failure": sent.first_failure}, sys.stdout)


if __name__ == "__main__":
    main()
