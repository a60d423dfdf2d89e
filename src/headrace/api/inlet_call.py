"""What happens to one request of an inlet between its head and its answer; knows neither sockets nor ASGI."""

import asyncio
import itertools
import logging
import os
import uuid
import zlib
from collections.abc import Callable, Mapping
from email.utils import formatdate
from urllib.parse import parse_qs

from headrace.api.wire import inlet as wire
from headrace.clock import Clock
from headrace.errors import Bug, HeadraceError, Transient
from headrace.ingest.admission import RequestRate
from headrace.ingest.commit import Outcome
from headrace.ingest.inlets import Inlet, Inlets
from headrace.ingest.refusals import (
    BodyTooLarge,
    BodyUnreadable,
    MediaTypeUnsupported,
    SandboxDiffers,
    ServiceTokenInvalid,
    ServiceTokenMissing,
)
from headrace.ingest.streaming import Batch, StreamingIntake
from headrace.telemetry import log

Headers = Mapping[bytes, bytes]

MAX_BODY_BYTES = 1_048_576
_SHORT_LENGTH = 6  # digits of a length that cannot be over the limit
_MAX_REQUEST_ID = 128
_SINGLE, _BATCH = "/collection", "/collection/batch"
_PREFIXES = ("", "/data/foundation/import")
_IS_BATCH = {prefix + path: path == _BATCH for prefix in _PREFIXES for path in (_SINGLE, _BATCH)}
_USUAL_TYPE = b"application/json"
_SMILE = b"application/x-jackson-smile"
_FLOW_HEADER = b"x-adobe-flow-id"
_SYNCHRONOUS = ("syncValidation", "synchronousValidation")


class Calls:
    """What the requests of a process share.

    Attributes:
        inlets: Finds what stands behind an inlet's id.
        intake: Takes messages.
        clock: Stamps the answers.
        is_token_valid: Whether a bearer token is valid now; asked only for inlets that want one.
        rate: How many requests an inlet takes.
        process: Number of the process; part of the ids of transactions.
        refusals: Requests that were refused.
        look_for_room: Finds out anew whether there is room.
    """

    def __init__(
        self, inlets: Inlets, intake: StreamingIntake, clock: Clock, is_token_valid: Callable[[str], bool], rate: RequestRate
    ) -> None:
        self.inlets = inlets
        self.rate = rate
        self.intake = intake
        self.clock = clock
        self.is_token_valid = is_token_valid
        self.process = os.getpid()
        self.refusals = 0
        self.look_for_room: Callable[[], None] = lambda: None
        self._numbers = itertools.count(1)
        self._request_prefix = str(uuid.uuid4())[:23].encode()
        self._second = -1
        self._date_line = b""

    def begin(self, method: str, path: str, query_string: bytes, headers: Headers) -> "Call":
        """Return the call whose head has come; names of headers are lower case."""
        return Call(self, next(self._numbers), method, path, query_string, headers)

    def request_id(self, number: int) -> bytes:
        """Return an id for a request that brings none."""
        return b"%b-%012x" % (self._request_prefix, number)

    def date_line(self) -> bytes:
        """Return the header ``Date`` as it is written."""
        second = self.clock.now_ms() // 1000
        if second != self._second:
            self._second = second
            self._date_line = b"date: %b\r\n" % formatdate(second, usegmt=True).encode()
        return self._date_line


class Call:
    """One request: `admit` when its head has come, `take` when its body has, `answer` when what it brought is on disk."""

    __slots__ = (
        "_batch",
        "_calls",
        "_headers",
        "_inlet",
        "_inlet_id",
        "_is_batch",
        "_is_synchronous",
        "_method",
        "_number",
        "_path",
        "_query",
    )

    def __init__(self, calls: Calls, number: int, method: str, path: str, query_string: bytes, headers: Headers) -> None:
        self._calls = calls
        self._number = number
        self._method = method
        self._path = path
        self._query = query_string
        self._headers = headers
        self._inlet_id = ""
        self._inlet: Inlet | None = None  # known once the call is admitted
        self._is_batch = False
        self._batch: Batch | None = None
        self._is_synchronous = False

    def admit(self) -> wire.Answer | None:
        """Return the answer when the request can be refused before its body is read."""
        try:
            self._admit()
        except Exception as error:  # see `refused`
            return self.refused(error)
        return None

    def take(self, body: bytes) -> "asyncio.Future[Outcome] | wire.Answer":
        """Decide about the messages; returns the answer, or what is done when they are on disk."""
        try:
            return self._take(body)
        except Exception as error:  # see `refused`
            return self.refused(error)

    def answer(self, outcome: Outcome) -> wire.Answer:
        """Return the answer to a request whose messages were stored (None), or were not (why)."""
        if outcome is not None:
            return self.refused(outcome)
        calls, inlet = self._calls, self._known_inlet()
        now_ms = calls.clock.now_ms()
        if self._batch is None:
            return self._complete(wire.accepted(inlet, now_ms, calls.process, self._number, is_synchronous=self._is_synchronous))
        return self._complete(wire.batch_accepted(inlet, now_ms, calls.process, self._number, self._batch.refusals))

    def refused(self, error: Exception) -> wire.Answer:
        """Return the answer to a request that is not accepted.

        This is the edge: whatever the error is, the caller gets an answer, and the log the cause of a defect.
        """
        if not isinstance(error, HeadraceError):
            log("gateway", logging.ERROR, "An inlet request met a defect.", inlet=self._inlet_id, cause=repr(error))
            error = Bug("Internal error")
        self._calls.refusals += 1
        return self._complete(wire.refusal(error, self._inlet_id, self._inlet))

    def _known_inlet(self) -> Inlet:
        if self._inlet is None:
            raise Bug("The call was not admitted.")
        return self._inlet

    def _complete(self, answer: wire.Answer) -> wire.Answer:
        request_id = self._headers.get(b"x-request-id", b"")
        if not 0 < len(request_id) <= _MAX_REQUEST_ID:
            request_id = self._calls.request_id(self._number)
        length = b"%d" % len(answer.body)
        headers = (wire.JSON, (b"content-length", length), (b"x-request-id", request_id), *answer.headers)
        return wire.Answer(answer.status, answer.body, headers)

    def _admit(self) -> None:
        self._is_batch, self._inlet_id = _place_of(self._method, self._path)
        calls, headers = self._calls, self._headers
        inlet = self._inlet = calls.inlets.inlet(self._inlet_id)
        try:
            calls.intake.check_room()
        except Transient:  # the disk may have room again since it was last looked at
            calls.look_for_room()
            calls.intake.check_room()
        length = headers.get(b"content-length", b"")
        if len(length) > _SHORT_LENGTH and length.isdigit() and int(length) > MAX_BODY_BYTES:
            raise too_large()
        if inlet.is_authenticated:
            self._check_token(headers.get(b"authorization", b""))
        calls.rate.take(inlet.id)
        sandbox = headers.get(b"x-sandbox-name")
        if sandbox is not None and sandbox.decode("latin-1") != inlet.sandbox.name:
            raise SandboxDiffers(
                "Sandbox of the request is not the sandbox of the inlet",
                path="x-sandbox-name",
                hint=f"The inlet belongs to sandbox '{inlet.sandbox.name}'; leave the header out.",
            )
        media_type = headers.get(b"content-type", b"")
        if media_type != _USUAL_TYPE and media_type.lower().startswith(_SMILE):
            raise MediaTypeUnsupported("Smile is not supported", path="Content-Type", hint="Send application/json.")

    def _check_token(self, header: bytes) -> None:
        scheme, _, token = header.strip().partition(b" ")
        token = token.strip() if scheme.lower() == b"bearer" else b""
        if not token:
            raise ServiceTokenMissing("Ims service token is empty")
        if not self._calls.is_token_valid(token.decode("latin-1")):
            raise ServiceTokenInvalid("Ims service token is invalid")

    def _take(self, body: bytes) -> "asyncio.Future[Outcome]":
        inlet, headers = self._known_inlet(), self._headers
        if len(body) > MAX_BODY_BYTES or b"content-encoding" in headers:
            body = _plain(body, headers.get(b"content-encoding", b""))
        flow_id, self._is_synchronous = _choices_of(self._query, headers)
        if self._is_batch:
            self._batch = self._calls.intake.take_batch(inlet, body, flow_id=flow_id)
            return self._batch.stored
        return self._calls.intake.take(inlet, body, flow_id=flow_id, is_synchronous=self._is_synchronous)


def too_large() -> BodyTooLarge:
    """Return why a body is not read to its end."""
    return BodyTooLarge(f"Request body is larger than {MAX_BODY_BYTES} bytes", hint="Send fewer messages in one call.")


def _place_of(method: str, path: str) -> tuple[bool, str]:
    """Return whether the path is the batch endpoint's, and its inlet."""
    base, _, inlet_id = path.rstrip("/").rpartition("/")
    is_batch = _IS_BATCH.get(base)
    if is_batch is None:
        raise wire.PathUnknown("Resource not found")
    if method != "POST":
        raise wire.MethodNotAllowed(f"Method {method} is not allowed here; use POST")
    return is_batch, inlet_id


def _choices_of(query_string: bytes, headers: Headers) -> tuple[str, bool]:
    """Return the dataflow that a request names, and whether it asks for synchronous validation."""
    flow_id = headers.get(_FLOW_HEADER, b"").decode("latin-1")
    if not query_string:
        return flow_id, False
    query = parse_qs(query_string.decode("latin-1"))
    is_synchronous = any(query.get(name, [""])[0].lower() == "true" for name in _SYNCHRONOUS)
    return flow_id or query.get("x-adobe-flow-id", [""])[0], is_synchronous


def _plain(body: bytes, encoding: bytes) -> bytes:
    if len(body) > MAX_BODY_BYTES:
        raise too_large()
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return body
    if name != b"gzip":
        raise MediaTypeUnsupported("Content encoding is not supported", path="Content-Encoding", hint="Send gzip or none.")
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        plain = inflater.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise BodyUnreadable(f"The gzip body cannot be read: {error}") from error
    if len(plain) > MAX_BODY_BYTES:
        raise too_large()
    return plain
