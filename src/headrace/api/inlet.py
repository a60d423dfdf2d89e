"""Streaming ingestion (``POST /collection/{inlet}``, ``POST /collection/batch/{inlet}``).

Everything that is streamed into the product comes through here, so the path of an accepted message holds nothing that it does not
need. Bodies of answers are in `headrace.api.wire.inlet`.
"""

import gc
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from headrace.api.inlet_call import MAX_BODY_BYTES, Calls, too_large
from headrace.api.inlet_connection import HandOver, InletConnection
from headrace.api.wire import inlet as wire
from headrace.clock import Clock
from headrace.errors import HeadraceError
from headrace.ingest.admission import RequestRate
from headrace.ingest.counting import InletCounter
from headrace.ingest.inlets import Inlets
from headrace.ingest.refusals import BodyUnreadable
from headrace.ingest.streaming import StreamingIntake

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_YOUNG_OBJECTS = 50_000


class InletApp:
    """Answers the requests of all inlets: as the protocol of a connection, or as an ASGI application behind a general server."""

    def __init__(
        self,
        inlets: Inlets,
        intake: StreamingIntake,
        counter: InletCounter,
        clock: Clock,
        is_token_valid: Callable[[str], bool],
        *,
        rate: RequestRate | None = None,
        lack_of_room: Callable[[], HeadraceError | None] = lambda: None,
    ) -> None:
        """Make the application.

        Args:
            inlets: Finds what stands behind an inlet's id.
            intake: Takes messages.
            counter: Counts for `status`.
            clock: Stamps the answers.
            is_token_valid: Whether a bearer token is valid now; asked only for inlets that want one.
            rate: How many requests an inlet takes; None sets no limit.
            lack_of_room: Returns why nothing more can be accepted; None when it can.
        """
        self._lack_of_room = lack_of_room
        self._intake = intake
        self._counter = counter
        self._calls = Calls(inlets, intake, clock, is_token_valid, rate or RequestRate(0, clock))
        self._calls.look_for_room = self.look_for_room

    def look_for_room(self) -> None:
        """Refuse from now on when there is no room, and accept again when there is."""
        self._intake.note_lack(self._lack_of_room())

    def status(self) -> dict[str, Any]:
        """Return the counters; the refused requests are those of this process."""
        fault = self._intake.fault
        return {
            "accepted": self._counter.accepted(),
            "quarantined": self._counter.quarantined(),
            "refused_requests": self._calls.refusals,
            **({"fault": fault} if fault else {}),
        }

    def close(self) -> None:
        """Sync what was accepted and stop."""
        self._intake.close()

    def connection(self, open_ones: set[Any], hand_over: HandOver) -> InletConnection:
        """Return the protocol of a fresh connection, see `InletConnection`."""
        return InletConnection(self._calls, open_ones, hand_over)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = self._calls.begin(scope["method"], scope["path"], scope["query_string"], dict(scope["headers"]))
        answer = call.admit()
        if answer is None:
            try:
                body = await _body(receive)
            except HeadraceError as error:
                answer = call.refused(error)
            else:
                waiting = call.take(body)
                answer = waiting if isinstance(waiting, wire.Answer) else call.answer(await waiting)
        await send({"type": "http.response.start", "status": answer.status, "headers": list(answer.headers)})
        await send({"type": "http.response.body", "body": answer.body})


def quieten_collector() -> None:
    """Keep the garbage collector from looking at what lives for ever, and from looking often.

    Decoded messages die by their reference count within milliseconds; a collector that runs every 700 objects would walk all
    those in flight again and again. For the process that serves inlets, once, after everything is loaded.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise BodyUnreadable("The request ended before its body did")
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise too_large()
        if not message.get("more_body"):
            return bytes(body)
