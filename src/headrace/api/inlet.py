"""Streaming ingestion (``POST /collection/{inlet}``, ``POST /collection/batch/{inlet}``) as a bare ASGI application.

Everything that is streamed into the product comes through here, so the path of an accepted message holds nothing that it does not
need. Bodies of answers are in `headrace.api.wire.inlet`.
"""

import gc
import itertools
import logging
import os
import uuid
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from headrace.api.wire import inlet as wire
from headrace.clock import Clock
from headrace.errors import Bug, HeadraceError
from headrace.ingest.counting import InletCounter
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

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Mapping[bytes, bytes]

MAX_BODY_BYTES = 1_048_576
_SHORT_LENGTH = 6  # digits of a length that cannot be over the limit
_MAX_REQUEST_ID = 128
_SINGLE, _BATCH = "/collection", "/collection/batch"
_PREFIXES = ("", "/data/foundation/import")
_IS_BATCH = {prefix + path: path == _BATCH for prefix in _PREFIXES for path in (_SINGLE, _BATCH)}
_SMILE = b"application/x-jackson-smile"
_FLOW_HEADER = b"x-adobe-flow-id"
_SYNCHRONOUS = ("syncValidation", "synchronousValidation")
_YOUNG_OBJECTS = 50_000


class InletApp:
    """Answers the requests of all inlets."""

    def __init__(
        self,
        inlets: Inlets,
        intake: StreamingIntake,
        counter: InletCounter,
        clock: Clock,
        is_token_valid: Callable[[str], bool],
    ) -> None:
        """Make the application.

        Args:
            inlets: Finds what stands behind an inlet's id.
            intake: Takes messages.
            counter: Counts for `status`.
            clock: Stamps the answers.
            is_token_valid: Whether a bearer token is valid now; asked only for inlets that want one.
        """
        self._inlets = inlets
        self._intake = intake
        self._counter = counter
        self._clock = clock
        self._is_token_valid = is_token_valid
        self._process = os.getpid()
        self._numbers = itertools.count(1)
        self._request_prefix = str(uuid.uuid4())[:23].encode()
        self._refusals = 0

    def status(self) -> dict[str, Any]:
        """Return the counters; the refused requests are those of this process."""
        fault = self._intake.fault
        return {
            "accepted": self._counter.accepted(),
            "quarantined": self._counter.quarantined(),
            "refused_requests": self._refusals,
            **({"fault": fault} if fault else {}),
        }

    def close(self) -> None:
        """Sync what was accepted and stop."""
        self._intake.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        number = next(self._numbers)
        headers: Headers = dict(scope["headers"])
        inlet_id, inlet = "", None
        try:
            is_batch, inlet_id = _place_of(scope)
            inlet = self._inlets.inlet(inlet_id)
            self._admit(inlet, headers)
            message = await receive()
            body: bytes = message.get("body", b"")
            if message.get("more_body"):
                body = await _rest(receive, body)
            if len(body) > MAX_BODY_BYTES or b"content-encoding" in headers:
                body = _plain(body, headers.get(b"content-encoding", b""))
            flow_id, is_synchronous = _choices_of(scope["query_string"], headers)
            batch: Batch | None = None
            if is_batch:
                batch = self._intake.take_batch(inlet, body, flow_id=flow_id)
                outcome = await batch.stored
            else:
                outcome = await self._intake.take(inlet, body, flow_id=flow_id, is_synchronous=is_synchronous)
            if outcome is None:
                answer = self._accepted(inlet, batch, number, is_synchronous=is_synchronous)
            else:
                answer = self._refused(outcome, inlet_id, inlet)
        except HeadraceError as error:
            answer = self._refused(error, inlet_id, inlet)
        except Exception as error:  # the edge: whatever it is, the caller gets an answer and the log the cause
            log("gateway", logging.ERROR, "An inlet request met a defect.", inlet=inlet_id, cause=repr(error))
            answer = self._refused(Bug("Internal error"), inlet_id, inlet)
        request_id = headers.get(b"x-request-id", b"")
        if not 0 < len(request_id) <= _MAX_REQUEST_ID:
            request_id = b"%b-%012x" % (self._request_prefix, number)
        length = b"%d" % len(answer.body)
        answer_headers = [wire.JSON, (b"content-length", length), (b"x-request-id", request_id), *answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": answer_headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _accepted(self, inlet: Inlet, batch: Batch | None, number: int, *, is_synchronous: bool) -> wire.Answer:
        now_ms = self._clock.now_ms()
        if batch is None:
            return wire.accepted(inlet, now_ms, self._process, number, is_synchronous=is_synchronous)
        return wire.batch_accepted(inlet, now_ms, self._process, number, batch.refusals)

    def _refused(self, error: HeadraceError, inlet_id: str, inlet: Inlet | None) -> wire.Answer:
        self._refusals += 1
        return wire.refusal(error, inlet_id, inlet)

    def _admit(self, inlet: Inlet, headers: Headers) -> None:
        """Refuse what can be refused before the body is read."""
        self._intake.check_room()
        length = headers.get(b"content-length", b"")
        if len(length) > _SHORT_LENGTH and length.isdigit() and int(length) > MAX_BODY_BYTES:
            raise _too_large()
        if inlet.is_authenticated:
            self._check_token(headers.get(b"authorization", b""))
        sandbox = headers.get(b"x-sandbox-name")
        if sandbox is not None and sandbox.decode("latin-1") != inlet.sandbox.name:
            raise SandboxDiffers(
                "Sandbox of the request is not the sandbox of the inlet",
                path="x-sandbox-name",
                hint=f"The inlet belongs to sandbox '{inlet.sandbox.name}'; leave the header out.",
            )
        if headers.get(b"content-type", b"").startswith(_SMILE):
            raise MediaTypeUnsupported("Smile is not supported", path="Content-Type", hint="Send application/json.")

    def _check_token(self, header: bytes) -> None:
        scheme, _, token = header.strip().partition(b" ")
        token = token.strip() if scheme.lower() == b"bearer" else b""
        if not token:
            raise ServiceTokenMissing("Ims service token is empty")
        if not self._is_token_valid(token.decode("latin-1")):
            raise ServiceTokenInvalid("Ims service token is invalid")


def quieten_collector() -> None:
    """Keep the garbage collector from looking at what lives for ever, and from looking often.

    Decoded messages die by their reference count within milliseconds; a collector that runs every 700 objects would walk all
    those in flight again and again. For the process that serves inlets, once, after everything is loaded.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)


def _place_of(scope: Scope) -> tuple[bool, str]:
    """Return whether the path is the batch endpoint's, and its inlet."""
    base, _, inlet_id = scope["path"].rstrip("/").rpartition("/")
    is_batch = _IS_BATCH.get(base)
    if is_batch is None:
        raise wire.PathUnknown("Resource not found")
    if scope["method"] != "POST":
        raise wire.MethodNotAllowed(f"Method {scope['method']} is not allowed here; use POST")
    return is_batch, inlet_id


def _choices_of(query_string: bytes, headers: Headers) -> tuple[str, bool]:
    """Return the dataflow that a request names, and whether it asks for synchronous validation."""
    flow_id = headers.get(_FLOW_HEADER, b"").decode("latin-1")
    if not query_string:
        return flow_id, False
    query = parse_qs(query_string.decode("latin-1"))
    is_synchronous = any(query.get(name, [""])[0].lower() == "true" for name in _SYNCHRONOUS)
    return flow_id or query.get("x-adobe-flow-id", [""])[0], is_synchronous


async def _rest(receive: Receive, first: bytes) -> bytes:
    body = bytearray(first)
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise BodyUnreadable("The request ended before its body did")
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
        if not message.get("more_body"):
            return bytes(body)


def _plain(body: bytes, encoding: bytes) -> bytes:
    if len(body) > MAX_BODY_BYTES:
        raise _too_large()
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
        raise _too_large()
    return plain


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"Request body is larger than {MAX_BODY_BYTES} bytes", hint="Send fewer messages in one call.")
