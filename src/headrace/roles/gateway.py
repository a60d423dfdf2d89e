"""The gateway role: one HTTP server for the inlets, the wire API and what the operator asks."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Protocol, cast

import uvicorn
import uvloop
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headrace.clock import Clock
from headrace.roles.status import StatusBoard
from headrace.telemetry import log

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_STATUS_SECONDS = 0.5
_KEEP_ALIVE_SECONDS = 75
_STOPPING_SECONDS = 5
_HEAD_BYTES = 8192  # within which a client's wishes stand
INLET_PREFIXES = ("/collection/", "/data/foundation/import/collection/")


class Inlet(Protocol):
    """The streaming inlet as the gateway needs it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request that came through the general server."""
        ...

    def connection(self, open_ones: set[Any], hand_over: Callable[[bytes], asyncio.Protocol]) -> asyncio.Protocol:
        """Return the protocol of a fresh connection; it calls ``hand_over`` when that turns out to be none of an inlet's."""
        ...

    def look_for_room(self) -> None:
        """Refuse from now on when there is no room, and accept again when there is."""
        ...

    def status(self) -> dict[str, Any]:
        """Return the counters."""
        ...

    def close(self) -> None:
        """Sync what was accepted and stop."""
        ...


class Gateway:
    """Serves until it is told to stop."""

    def __init__(self, inlet: Inlet, api: AsgiApp, clock: Clock, board: StatusBoard, *, host: str, port: int) -> None:
        self._inlet = inlet
        self._api = api
        self._clock = clock
        self._board = board
        self._host = host
        self._port = port

    def run(self) -> None:
        """Serve until SIGTERM; requests in flight are answered first."""
        uvloop.run(self._serve())

    async def _serve(self) -> None:
        server = _Server(
            uvicorn.Config(
                self.app,
                host=self._host,
                port=self._port,
                http=cast("type[asyncio.Protocol]", self._connection),
                interface="asgi3",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level=logging.ERROR,  # below it every request that offers HTTP/2 is a line
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=2048,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_STOPPING_SECONDS,
            )
        )
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        serving = asyncio.create_task(server.serve())
        reporting = asyncio.create_task(self._report())
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait({serving, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.is_set():
            log("gateway", logging.ERROR, "The HTTP server has ended.", port=self._port)
        server.should_exit = True
        reporting.cancel()
        await asyncio.gather(serving, reporting, return_exceptions=True)
        self._inlet.close()

    def _connection(self, *, server_state: uvicorn.server.ServerState, **rest: Any) -> asyncio.Protocol:
        def hand_over(beginning: bytes) -> asyncio.Protocol:
            # The faster parser drops the bodies of clients that offer to go on in HTTP/2, as Java's do (uvicorn's issue 2722).
            is_offering = b"upgrade" in beginning[:_HEAD_BYTES].lower()
            kind = H11Protocol if is_offering else HttpToolsProtocol
            return kind(server_state=server_state, **rest)

        return self._inlet.connection(server_state.connections, hand_over)

    async def _report(self) -> None:
        while True:
            self._inlet.look_for_room()
            self._board.write("gateway", {**self._inlet.status(), "caught_up_ms": self._clock.now_ms()})
            await asyncio.sleep(_STATUS_SECONDS)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the inlet or to the API."""
        if scope["type"] == "http" and scope["path"].startswith(INLET_PREFIXES):
            await self._inlet(scope, receive, send)
        else:
            await self._api(dict(scope), receive, send)  # a copy: the server reads its own again when it sends the answer


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the role."""
        yield
