"""A real HTTP endpoint on this machine that records what it is sent, and answers as told."""

import asyncio
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import msgspec


class Received(msgspec.Struct, frozen=True):
    """One request.

    Attributes:
        method: The method.
        target: Path and query.
        fields: Header fields as they were sent, in order.
        body: The body.
        connection: Number of the connection it came on, from 1.
    """

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes
    connection: int

    def field(self, name: str) -> str | None:
        """Return the value of a header field, None when it was not sent."""
        return next((value for key, value in self.fields if key.lower() == name.lower()), None)

    def json(self) -> Any:
        """Return the body's JSON value."""
        return msgspec.json.decode(self.body)


class Answer(msgspec.Struct, frozen=True):
    """What the receiver does with a request.

    Attributes:
        status: Status code to answer with.
        fields: Header fields to add.
        body: Body to answer with.
        raw: Bytes to send instead of a well-formed answer.
        hangs: Never answer.
        closes: Close the connection, after ``raw`` or the answer when there is one.
        is_chunked: Send the body in chunks of seven bytes.
        closes_before: Close the connection without an answer.
        resets: Reset the connection without an answer, as a server does whose process has died.
        drip_seconds: Time between two bytes of the answer; 0 sends it at once.
    """

    status: int = 200
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    raw: bytes | None = None
    hangs: bool = False
    closes: bool = False
    is_chunked: bool = False
    closes_before: bool = False
    resets: bool = False
    drip_seconds: float = 0.0

    def encoded(self) -> bytes:
        """Return the bytes of the answer."""
        if self.raw is not None:
            return self.raw
        fields = "".join(f"{name}: {value}\r\n" for name, value in self.fields)
        if self.is_chunked:
            pieces = [self.body[start : start + 7] for start in range(0, len(self.body), 7)]
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
            return f"HTTP/1.1 {self.status} -\r\nTransfer-Encoding: chunked\r\n{fields}\r\n".encode() + chunks
        return f"HTTP/1.1 {self.status} -\r\nContent-Length: {len(self.body)}\r\n{fields}\r\n".encode() + self.body


OK = Answer()
_RESET = struct.pack("ii", 1, 0)  # linger for no time at all: closing then drops what is unsent and sends RST


class Receiver:
    """The endpoint; used as ``with Receiver() as receiver``.

    It runs on a thread of its own. ``answers`` are given one a request, in order; ``answer`` decides for the rest.
    """

    def __init__(
        self,
        *,
        answers: list[Answer] | None = None,
        answer: Callable[[Received], Answer] = lambda request: OK,
        tls: ssl.SSLContext | None = None,
        is_recording: bool = True,
    ) -> None:
        """Prepare the endpoint; it listens from the beginning of the ``with`` block.

        Args:
            answers: Answers to the first requests.
            answer: Answers the others.
            tls: Makes it an https endpoint.
            is_recording: False counts requests only, for benchmarks.
        """
        self.answers = list(answers or [])
        self.answer = answer
        self.requests: list[Received] = []
        self.count = 0
        self.connections = 0
        self.is_recording = is_recording
        self._tls = tls
        self._loop = _new_loop()
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)
        self._started = threading.Event()
        self._stop: asyncio.Event
        self._changed = threading.Condition()
        self._open: set[_Connection] = set()
        self.port = 0

    @property
    def url(self) -> str:
        """The endpoint's URL without a path."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def message_ids(self) -> Counter[str]:
        """Return how often each message id was received."""
        return Counter(request.field("x-headrace-message-id") or "" for request in list(self.requests))

    def wait_for(self, count: int, *, seconds: float = 10) -> bool:
        """Block until ``count`` requests have come; False when they have not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.count >= count, seconds)

    def drop_connections(self) -> None:
        """Close all connections, as a restarted server does."""
        done = threading.Event()

        def drop() -> None:
            for connection in list(self._open):
                connection.drop()
            done.set()

        self._loop.call_soon_threadsafe(drop)
        done.wait(5)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait(5)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)

    def take(self, request: Received) -> Answer:
        """Record a request and return the answer to it."""
        with self._changed:
            self.count += 1
            if self.is_recording:
                self.requests.append(request)
            answer = self.answers.pop(0) if self.answers else None
            self._changed.notify_all()
        return answer or self.answer(request)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await self._loop.create_server(lambda: _Connection(self, self._open), "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        for connection in list(self._open):
            connection.drop()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: Receiver, open_connections: "set[_Connection]") -> None:
        self._receiver = receiver
        self._all = open_connections
        self._buffer = b""
        self._number = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._receiver.connections += 1
        self._number = self._receiver.connections
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.discard(self)

    def drop(self) -> None:
        """Close the connection."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].decode("latin-1").split("\r\n")
            fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:])]
            length = next((int(value) for name, value in fields if name.lower() == "content-length"), 0)
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            method, target, _ = head[0].split(" ")
            self._reply(self._receiver.take(Received(method, target, fields, body, self._number)))

    def _reply(self, answer: Answer) -> None:
        if answer.closes_before:
            self._transport.close()
        elif answer.resets:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()
        elif answer.drip_seconds:
            self._drip(answer.encoded(), answer.drip_seconds)
        elif not answer.hangs:
            self._transport.write(answer.encoded())
            if answer.closes:
                self._transport.close()

    def _drip(self, left: bytes, pause_seconds: float) -> None:
        if left and not self._transport.is_closing():
            self._transport.write(left[:1])
            asyncio.get_running_loop().call_later(pause_seconds, self._drip, left[1:], pause_seconds)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not made for Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
