"""The receiving end, a process of its own: answers every message with 204 and notes whose it was and when it came.

As cheap as Python allows, since it shares the cores with what is measured. `GET /count` tells how many messages came, `GET /dump`
returns (person, nanoseconds of the monotonic clock) of each as 64-bit integers, `GET /reset` forgets them.
"""

import array
import asyncio
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import uvloop

_CUSTOMER = b'"id":"C'
_DIGITS = 9
_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
_receipts = array.array("q")


class _Receiver(asyncio.Protocol):
    """Takes requests from one connection, several at a time when they come so."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        answers = 0
        while True:
            head = data.find(b"\r\n\r\n")
            if head < 0:
                break
            if data.startswith(b"GET"):
                self._transport.write(_asked(data[5:head].partition(b" ")[0].decode()))
                data = data[head + 4 :]
                continue
            end = head + 4 + _length(data, head)
            if len(data) < end:
                break
            _note(data, head, end)
            answers += 1
            data = data[end:]
        if answers:
            self._transport.write(_TAKEN * answers)
        self._buffer = data


def _length(data: bytes, head: int) -> int:
    start = data.find(b"ontent-", 0, head)
    while data[start + 7 : start + 13].lower() != b"length":
        start = data.find(b"ontent-", start + 1, head)
    return int(data[start + 14 : data.find(b"\r", start)])


def _note(data: bytes, head: int, end: int) -> None:
    start = data.find(_CUSTOMER, head, end) + len(_CUSTOMER)
    _receipts.append(int(data[start : start + _DIGITS]))
    _receipts.append(time.monotonic_ns())


def _asked(what: str) -> bytes:
    body = b""
    if what == "count":
        last = _receipts[-1] if _receipts else 0
        body = f"{len(_receipts) // 2} {last}".encode()
    elif what == "dump":
        body = _receipts.tobytes()
    elif what == "reset":
        del _receipts[:]
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Receiver, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Sink:
    """The running receiver."""

    def __init__(self, port: int, pid: int) -> None:
        """Remember where it listens."""
        self.port = port
        self.pid = pid
        self.url = f"http://127.0.0.1:{port}/messages"

    def count(self) -> tuple[int, int]:
        """Return how many messages came, and when the last one did (monotonic ns)."""
        number, last = self._ask("count").split()
        return int(number), int(last)

    def reset(self) -> None:
        """Forget all messages."""
        self._ask("reset")

    def receipts(self) -> list[tuple[int, int]]:
        """Return (person, monotonic ns) of each message in the order of receipt."""
        flat = array.array("q", self._ask("dump"))
        return list(zip(flat[::2], flat[1::2], strict=True))

    def _ask(self, what: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{what}", timeout=60) as reply:
            body: bytes = reply.read()
            return body


@contextmanager
def sink() -> Iterator[Sink]:
    """Run the receiver."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.sink"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield Sink(int(process.stdout.readline()), process.pid)
        finally:
            process.terminate()


if __name__ == "__main__":
    uvloop.run(_serve())
