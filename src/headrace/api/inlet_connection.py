"""HTTP/1.1 for the inlets alone: no task, no scope, no queue for a request.

A general server spends more on a small request than everything else that happens to it; figures in docs/architecture.md.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

import httptools

from headrace.api.inlet_call import MAX_BODY_BYTES, Call, Calls, too_large
from headrace.api.wire.inlet import Answer

HandOver = Callable[[bytes], asyncio.Protocol]
"""Makes the protocol of a general server, for a connection on which something else than an inlet is asked for: takes the bytes
with which that begins."""

_PATHS = (b"/collection/", b"/data/foundation/import/collection/")
_STARTS = tuple(b"POST " + path for path in _PATHS)
_MOST_HEAD_BYTES = 65_536
_MOST_WAITING = 64  # pipelined requests, then reading pauses
_QUIET_SECONDS = 75.0
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_UNREADABLE = Answer(400, b"Invalid HTTP request", ((b"content-type", b"text/plain"), (b"content-length", b"20")))
_HEAD_TOO_LARGE = Answer(431, b"", ((b"content-length", b"0"),))


class _Exchange:
    """A request and, when it is there, its answer."""

    __slots__ = ("answer", "call", "connection")

    def __init__(self, connection: "InletConnection", call: Call) -> None:
        self.connection = connection
        self.call = call
        self.answer: Answer | None = None

    def settle(self, stored: "asyncio.Future[Any]") -> None:
        self.answer = self.call.answer(stored.result())
        self.connection.flush()


class InletConnection(asyncio.Protocol):
    """One connection.

    Answers have the order of their requests. A connection on which something else than an inlet is asked for belongs to the
    general server from then on. One that has been silent for 75 to 150 seconds is closed.
    """

    def __init__(self, calls: Calls, open_ones: set[Any], hand_over: HandOver) -> None:
        """Make the protocol.

        Args:
            calls: Begins calls.
            open_ones: Holds the connection while it is open, for who wants to call `shutdown`.
            hand_over: See `HandOver`.
        """
        self._calls = calls
        self._open_ones = open_ones
        self._hand_over = hand_over
        self._parser = httptools.HttpRequestParser(self)
        self._unanswered: deque[_Exchange] = deque()
        self._is_between = True  # two requests
        self._is_stopping = False  # after the request that is being read
        self._is_closing = False  # nothing more is read
        self._is_quiet = False
        self._begun = b""  # read of a request, too little to tell where it goes
        self._head_bytes = 0  # read of a head that is not complete
        # The request that is being read
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._exchange: _Exchange | None = None
        self._parts: list[bytes] = []
        self._size = 0

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._open_ones.add(self)
        self._watch()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget who waits; what was taken is stored all the same."""
        self._is_closing = True
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Read requests."""
        self._is_quiet = False
        if self._is_closing:
            return
        if self._is_between:
            data, self._begun = self._begun + data, b""
            if not data.startswith(_STARTS):
                self._sort_out(data)
                return
        try:
            self._read(data)
        except httptools.HttpParserCallbackError:
            raise
        except httptools.HttpParserError:
            self._end_with(_UNREADABLE)
        if self._exchange is None and not self._is_between:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES:
                self._end_with(_HEAD_TOO_LARGE)

    def eof_received(self) -> bool:
        """Answer what has come whole; then close."""
        if self._exchange is not None and self._exchange.answer is None:
            self._unanswered.pop()
        self._close_after_answers()
        return True

    def pause_writing(self) -> None:
        """Read nothing from a client that does not read its answers."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._transport.resume_reading()

    # What the server tells

    def shutdown(self) -> None:
        """Close after the requests that have begun to come."""
        self._is_stopping = True
        if self._is_between:
            self._close_after_answers()

    # What the parser tells

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._is_between = False
        self._url = b""
        self._headers = {}

    def on_url(self, part: bytes) -> None:
        """Gather the target."""
        self._url += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Gather the headers."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Refuse what can be refused before the body is read."""
        if self._parser.should_upgrade():
            return  # the head is read again, see `_read`
        self._head_bytes = 0
        method = self._parser.get_method()
        if method != b"POST" or not self._url.startswith(_PATHS):
            self._close_after_answers()  # pipelined: the client will repeat it on another connection
            return
        target, _, query = self._url.partition(b"?")
        path = target.decode("latin-1")
        call = self._calls.begin("POST", unquote(path) if "%" in path else path, query, self._headers)
        exchange = self._exchange = _Exchange(self, call)
        self._parts, self._size = [], 0
        self._unanswered.append(exchange)
        if len(self._unanswered) == _MOST_WAITING:
            self._transport.pause_reading()
        exchange.answer = call.admit()
        if exchange.answer is not None:
            self.flush()
        elif self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(_CONTINUE)

    def on_body(self, part: bytes) -> None:
        """Gather the body; that of a refused request is read and forgotten."""
        exchange = self._exchange
        if exchange is None or exchange.answer is not None:
            return
        self._parts.append(part)
        self._size += len(part)
        if self._size > MAX_BODY_BYTES:
            self._parts = []
            exchange.answer = exchange.call.refused(too_large())
            self.flush()

    def on_message_complete(self) -> None:
        """Have the messages stored."""
        exchange, self._exchange = self._exchange, None
        self._is_between = True
        if exchange is None:
            return
        if self._is_stopping or not self._parser.should_keep_alive() or self._is_old():
            self._is_closing = True
        if exchange.answer is None:
            parts = self._parts
            waiting = exchange.call.take(parts[0] if len(parts) == 1 else b"".join(parts))
            if isinstance(waiting, Answer):
                exchange.answer = waiting
            else:
                waiting.add_done_callback(exchange.settle)
                return
        self.flush()

    def _is_old(self) -> bool:
        # HTTP/1.0 keeps a connection only when both sides say so, and we do not.
        return b"connection" in self._headers and self._parser.get_http_version() == "1.0"

    def _read(self, data: bytes) -> None:
        # A client may offer to go on in HTTP/2, as every Java client does unless told otherwise. Who does not want to answers as
        # if it had not, but the parser takes the body for the other protocol: it gets the request once more, without the offer.
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = self._plain_head() + data[offer.args[0] :]
                self._parser = httptools.HttpRequestParser(self)
            else:
                return

    def _plain_head(self) -> bytes:
        kept = [(name, value) for name, value in self._headers.items() if name not in (b"connection", b"upgrade")]
        if b"close" in self._headers.get(b"connection", b"").lower():
            kept.append((b"connection", b"close"))
        lines = [b"%b: %b\r\n" % header for header in kept]
        return b"%b %b HTTP/%b\r\n%b\r\n" % (
            self._parser.get_method(),
            self._url,
            self._parser.get_http_version().encode(),
            b"".join(lines),
        )

    # Answers and ends

    def flush(self) -> None:
        """Write the answers that are there, in order; close when they were the last."""
        unanswered = self._unanswered
        while unanswered and (answer := unanswered[0].answer) is not None:
            unanswered.popleft()
            if len(unanswered) == _MOST_WAITING - 1:
                self._transport.resume_reading()
            if not self._transport.is_closing():
                self._transport.write(self._written(answer, is_last=self._is_closing and not unanswered))
        if self._is_closing and not unanswered:
            self._transport.close()

    def _written(self, answer: Answer, *, is_last: bool) -> bytes:
        lines = [b"%b: %b\r\n" % header for header in answer.headers]
        end = b"connection: close\r\n\r\n" if is_last else b"\r\n"
        return b"".join((_STATUS_LINES[answer.status], self._calls.date_line(), *lines, end, answer.body))

    def _close_after_answers(self) -> None:
        self._is_closing = True
        self.flush()

    def _end_with(self, answer: Answer) -> None:
        """Give an answer to what cannot be read any further."""
        if not self._is_closing:  # else it is what follows the last request
            exchange, self._exchange = self._exchange, None
            if exchange is None:
                exchange = _Exchange(self, self._calls.begin("", "", b"", {}))
                self._unanswered.append(exchange)
            exchange.answer = exchange.answer or answer
            self._close_after_answers()

    def _sort_out(self, data: bytes) -> None:
        """Give away what begins like no request of an inlet."""
        if any(start.startswith(data) for start in _STARTS):
            self._begun = data
            return
        if self._unanswered:
            self._close_after_answers()  # the client will repeat it on another connection
            return
        self._leave()
        protocol = self._hand_over(data)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(data)

    def _leave(self) -> None:
        self._open_ones.discard(self)
        self._timer.cancel()

    def _watch(self) -> None:
        if self._is_quiet and not self._unanswered:
            self._transport.close()
            return
        self._is_quiet = True  # until something comes
        self._timer = self._loop.call_later(_QUIET_SECONDS, self._watch)
