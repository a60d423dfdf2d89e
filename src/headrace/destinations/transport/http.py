"""Sending HTTP/1.1 requests: keep-alive, one request at a time on a connection, no redirects, internal addresses refused.

Why not a library: one request per profile is the product's busiest path. Measured with bodies of 600 bytes, 64 connections
and one core, CPU per request: httpx 2.5 ms, niquests 0.75 ms, aiohttp 110 µs, a Rust client 60 µs, this one 15 µs
(``benchmarks/delivery.py``). It also decides which address it connects to, which the libraries leave to name resolution.
"""

import asyncio
import re
import ssl
from collections import defaultdict
from collections.abc import Awaitable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from headrace.clock import Clock, to_ms
from headrace.config import SettingInvalid
from headrace.destinations.base import Delivered, Outcome, Rejected, Retry
from headrace.destinations.errors import DestinationUnreachable
from headrace.destinations.transport.addresses import resolve
from headrace.destinations.transport.http_parser import (
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    ChunkedBody,
    Head,
    HttpProtocolViolated,
    parse_head,
)

RETRIED_STATUSES = frozenset({403, 408, 409, 429, 500, 502, 503, 504})
_FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_DELIVERED = Delivered()
_IDLE_SECONDS = 30.0  # many servers close an idle connection after 60 seconds or more


class HttpTimeout(DestinationUnreachable):
    """No complete answer came in time."""

    code = "destination_http_timeout"


class ConnectionBroken(DestinationUnreachable):
    """The connection ended before the answer did."""

    code = "destination_connection_broken"


class Reply(msgspec.Struct, frozen=True):
    """An answer.

    Attributes:
        status: The status code.
        fields: Header fields by lower-case name.
        body: The body, cut at one mebibyte.
    """

    status: int
    fields: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body's JSON value.

        Raises:
            HttpProtocolViolated: The body is not JSON.
        """
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError as error:
            raise HttpProtocolViolated(f"The answer is not JSON: {self.body[:80]!r}.") from error


class Endpoint:
    """A URL, taken apart once."""

    def __init__(self, url: str, *, path: str = "url") -> None:
        """Take the URL apart.

        Args:
            url: Absolute, ``http`` or ``https``.
            path: Name of the setting, for errors.

        Raises:
            SettingInvalid: It is no such URL, or holds a user name, a fragment or characters that must be encoded.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise SettingInvalid(f"'{url}' is not a URL: {error}.", path=path) from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingInvalid(f"'{url}' is not an absolute http or https URL.", path=path)
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise SettingInvalid(f"The URL of host '{parts.hostname}' may hold no user name and no fragment.", path=path)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not re.fullmatch(r"[\x21-\x7e]+", target) or not re.fullmatch(r"[\x21-\x7e]+", parts.netloc):
            raise SettingInvalid(f"'{url}' holds characters that must be percent-encoded.", path=path)
        self.url = url
        self.host: str = parts.hostname
        self.is_tls = parts.scheme == "https"
        self.port = port or (443 if self.is_tls else 80)
        self.origin = (self.is_tls, self.host, self.port)
        self.start = f"{target} HTTP/1.1\r\nHost: {parts.netloc}\r\n".encode("ascii")


def encode_fields(fields: Mapping[str, str]) -> bytes:
    """Return header fields as they stand in a request.

    Raises:
        SettingInvalid: A name or value may not stand in a header.
    """
    for name, value in fields.items():
        if not _FIELD_NAME.fullmatch(name):
            raise SettingInvalid(f"'{name}' cannot be the name of a header.", path="headers")
        if not _FIELD_VALUE.fullmatch(value):
            raise SettingInvalid(f"The value of header '{name}' holds characters that a header cannot.", path="headers")
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode("latin-1")


class _Connection(asyncio.Protocol):
    """One connection; at most one request is under way on it."""

    __slots__ = ("_body", "_buffer", "_chunks", "_head", "_transport", "has_answered", "idle_since", "is_open", "waiter")

    def __init__(self) -> None:
        self.waiter: asyncio.Future[Reply] | None = None
        self.is_open = False
        self.has_answered = False  # at least one byte of the present answer has come
        self.idle_since = 0.0
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._head: Head | None = None
        self._body = bytearray()
        self._chunks: ChunkedBody | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self.is_open = True

    def ask(self, request: bytes, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Reply]:
        """Write a request and return what gets the answer."""
        waiter = self.waiter = loop.create_future()
        self.has_answered = False
        self._transport.write(request)
        return waiter

    def data_received(self, data: bytes) -> None:
        if self.waiter is None:  # nobody asked: an answer to nothing must never become the answer to the next request
            self.abort()
            return
        self.has_answered = True
        try:
            self._consume(data)
        except HttpProtocolViolated as error:
            self._fail(error)

    def _consume(self, data: bytes) -> None:
        if self._head is None and not self._buffer and data.endswith(b"\r\n\r\n"):
            # The common case: a whole answer without a body in one piece.
            end = data.find(b"\r\n\r\n")
            if end == len(data) - 4:
                head = parse_head(data[:end])
                if head.framing == "none" and head.status >= 200:
                    self._finish(head, b"")
                    return
        self._buffer += data
        while self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > MAX_HEAD_BYTES:
                    raise HttpProtocolViolated("The head of the answer is too long.")
                return
            head = parse_head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
            if head.status < 200:  # 100 Continue, 103 Early Hints: the answer is still to come
                if head.status == 101:
                    raise HttpProtocolViolated("The server wants to switch protocols, which nobody asked for.")
                continue
            self._head = head
        self._read_body(self._head)

    def _read_body(self, head: Head) -> None:
        if head.framing == "none":
            self._finish(head, b"")
        elif head.framing == "length":
            if len(self._buffer) >= head.length:
                content = bytes(self._buffer[: head.length])
                del self._buffer[: head.length]
                self._finish(head, content)
            elif len(self._buffer) > MAX_BODY_BYTES:
                self._cut(head, self._buffer)
        elif head.framing == "chunked":
            if self._chunks is None:
                self._chunks = ChunkedBody()
            if self._chunks.feed(self._buffer):
                self._finish(head, bytes(self._chunks.content[:MAX_BODY_BYTES]))
            elif len(self._chunks.content) > MAX_BODY_BYTES:
                self._cut(head, self._chunks.content)
        elif len(self._buffer) > MAX_BODY_BYTES:
            self._cut(head, self._buffer)

    def _finish(self, head: Head, content: bytes) -> None:
        waiter, self.waiter = self.waiter, None
        has_more = bool(self._buffer)
        self._head = self._chunks = None
        self._buffer.clear()
        if head.closes or has_more:
            self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_result(Reply(head.status, head.fields, content))

    def _cut(self, head: Head, content: bytearray) -> None:
        cut = bytes(content[:MAX_BODY_BYTES])
        self._buffer.clear()
        self._finish(msgspec.structs.replace(head, closes=True), cut)

    def _fail(self, error: Exception) -> None:
        waiter, self.waiter = self.waiter, None
        self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def time_out(self) -> None:
        """End the request under way: its time is over."""
        self._fail(HttpTimeout("No answer in time."))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self.waiter is None:
            return
        head = self._head
        if head is not None and head.framing == "close" and exc is None:
            self._finish(head, bytes(self._buffer))
        else:
            self._fail(ConnectionBroken(f"The connection was closed before the answer was complete{_because(exc)}."))

    def abort(self) -> None:
        """Close at once."""
        self.is_open = False
        self._transport.abort()


def _because(error: Exception | None) -> str:
    return f" ({error})" if error else ""


class Http:
    """Connections to any number of hosts, kept open between requests."""

    def __init__(
        self, *, allow_private: bool, timeout_seconds: float, client_certificate: Path | None = None, trusted: Path | None = None
    ) -> None:
        """Make a client; nothing is opened.

        Args:
            allow_private: Whether internal addresses may be connected to.
            timeout_seconds: Longest time for connecting, and again for a request with its whole answer.
            client_certificate: PEM file with a certificate and its key, presented to servers that ask for one.
            trusted: PEM file with authorities to trust instead of the system's.
        """
        self._allow_private = allow_private
        self._timeout_seconds = timeout_seconds
        self._client_certificate = client_certificate
        self._trusted = trusted
        self._idle: defaultdict[tuple[bool, str, int], list[_Connection]] = defaultdict(list)
        self._busy: dict[_Connection, float] = {}  # and when the time of its request is over, the earliest first
        self._alarm: asyncio.TimerHandle | None = None
        self._context: ssl.SSLContext | None = None

    def post(self, endpoint: Endpoint, fields: bytes, body: bytes) -> Awaitable[Reply]:
        """Send a POST; ``fields`` come from `encode_fields` and hold neither Host nor Content-Length.

        A connection that its server closed while it was idle is replaced once; a request is never repeated after the first
        byte of an answer.

        Raises:
            HttpTimeout, ConnectionBroken, HttpProtocolViolated, DestinationUnreachable: No usable answer came.
            AddressForbidden: The host is internal, and that is not allowed.
        """
        return self._exchange(endpoint, b"POST %b%bContent-Length: %d\r\n\r\n%b" % (endpoint.start, fields, len(body), body))

    def get(self, endpoint: Endpoint, fields: bytes = b"") -> Awaitable[Reply]:
        """Send a GET; raises as `post`."""
        return self._exchange(endpoint, b"GET %b%b\r\n" % (endpoint.start, fields))

    async def _exchange(self, endpoint: Endpoint, request: bytes) -> Reply:
        # All of it stands in one coroutine: each more would be made, entered and left again for every message.
        loop = asyncio.get_running_loop()
        while True:
            connection = self._taken(endpoint, loop)
            is_fresh = connection is None
            if connection is None:
                connection = await self._connect(endpoint)
            self._watch(connection, loop)
            try:
                reply = await connection.ask(request, loop)
            except ConnectionBroken:
                connection.abort()
                if is_fresh or connection.has_answered:
                    raise
                continue
            except BaseException:
                connection.waiter = None
                connection.abort()
                raise
            finally:
                self._unwatch(connection)
            if connection.is_open:
                connection.idle_since = loop.time()
                self._idle[endpoint.origin].append(connection)
            return reply

    def _taken(self, endpoint: Endpoint, loop: asyncio.AbstractEventLoop) -> _Connection | None:
        """Return an idle connection that is open and fresh enough, no longer among the idle ones."""
        idle = self._idle[endpoint.origin]
        while idle:
            connection = idle.pop()
            if connection.is_open and loop.time() - connection.idle_since <= _IDLE_SECONDS:
                return connection
            connection.abort()
        return None

    def _watch(self, connection: _Connection, loop: asyncio.AbstractEventLoop) -> None:
        # All requests have the same time, so the one that began first ends first: one timer serves them all, and a request
        # costs an entry in a dictionary instead of a timer.
        self._busy[connection] = loop.time() + self._timeout_seconds
        if self._alarm is None:
            self._alarm = loop.call_later(self._timeout_seconds, self._end_overdue, loop)

    def _unwatch(self, connection: _Connection) -> None:
        self._busy.pop(connection, None)
        if not self._busy and self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _end_overdue(self, loop: asyncio.AbstractEventLoop) -> None:
        self._alarm = None
        for connection, deadline in list(self._busy.items()):
            if deadline > loop.time():
                self._alarm = loop.call_at(deadline, self._end_overdue, loop)
                return
            del self._busy[connection]
            connection.time_out()

    async def _connect(self, endpoint: Endpoint) -> _Connection:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._open(endpoint)
        except TimeoutError as error:
            raise HttpTimeout(f"{endpoint.host}:{endpoint.port} could not be connected to in time.") from error

    async def _open(self, endpoint: Endpoint) -> _Connection:
        loop = asyncio.get_running_loop()
        last: OSError | None = None
        for address in await resolve(endpoint.host, endpoint.port, allow_private=self._allow_private):
            try:
                _, connection = await loop.create_connection(
                    _Connection,
                    address,
                    endpoint.port,
                    ssl=self._tls() if endpoint.is_tls else None,
                    server_hostname=endpoint.host if endpoint.is_tls else None,
                )
            except OSError as error:  # ssl.SSLError is one too
                last = error
            else:
                return connection
        raise ConnectionBroken(f"{endpoint.host}:{endpoint.port} could not be connected to: {last}.") from last

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context(cafile=str(self._trusted) if self._trusted else None)
            if self._client_certificate:
                self._context.load_cert_chain(self._client_certificate)
        return self._context

    async def close(self) -> None:
        """Close all idle connections."""
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # transports report their end in the next turn of the loop


def outcome_of(reply: Reply, clock: Clock) -> Outcome:
    """Return what an answer means for the message, the same way for all HTTP destinations.

    2xx is delivered; 403, 408, 409, 429, 500, 502, 503 and 504 are tried again; everything else never succeeds.
    """
    status = reply.status
    if 200 <= status < 300:
        return _DELIVERED
    reason = f"The endpoint answered {status}{_excerpt(reply.body)}."
    if status in RETRIED_STATUSES:
        code = {403: "ACTIVATION_STREAM-0001-AUTH", 429: "ACTIVATION_STREAM-0004-THROTTLED"}.get(status)
        after = _retry_after_seconds(reply.fields.get("retry-after"), clock)
        return Retry(reason=reason, code=code or "ACTIVATION_STREAM-0002-HTTP", after_seconds=after, status=status)
    if status == 401:
        return Rejected("ACTIVATION_STREAM-0001-AUTH", reason, status)
    if 300 <= status < 400:
        reason = f"The endpoint answered {status}; redirects are not followed."
    return Rejected("ACTIVATION_STREAM-0002-HTTP", reason, status)


def outcome_of_failure(error: DestinationUnreachable) -> Outcome:
    """Return what a missing answer means for the message: it is tried again."""
    is_late = isinstance(error, HttpTimeout)
    return Retry(reason=error.message, code="ACTIVATION_STREAM-0003-TIMEOUT" if is_late else "ACTIVATION_STREAM-0002-HTTP")


def _excerpt(body: bytes) -> str:
    text = " ".join(body[:200].decode("utf-8", "replace").split())
    return f": {text}" if text else ""


def _retry_after_seconds(value: str | None, clock: Clock) -> float | None:
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        return max(0.0, (to_ms(parsedate_to_datetime(value)) - clock.now_ms()) / 1000)
    except (ValueError, TypeError, OverflowError):
        return None
