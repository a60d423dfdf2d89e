"""The gateway role: one HTTP server for the inlets, the wire API and what the operator asks."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server

from headrace.clock import Clock
from headrace.roles.status import StatusBoard
from headrace.telemetry import log

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_STATUS_SECONDS = 0.5
INLET_PREFIXES = ("/collection/", "/data/foundation/import/collection/")


class Inlet(Protocol):
    """The streaming inlet as the gateway needs it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
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
        server = Server(
            self.app,
            address=self._host,
            port=self._port,
            interface=Interfaces.ASGINL,
            backlog=2048,
            websockets=False,
            log_enabled=False,
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
        server.stop()  # type: ignore[no-untyped-call]
        reporting.cancel()
        await asyncio.gather(serving, reporting, return_exceptions=True)
        self._inlet.close()

    async def _report(self) -> None:
        while True:
            self._board.write("gateway", {**self._inlet.status(), "caught_up_ms": self._clock.now_ms()})
            await asyncio.sleep(_STATUS_SECONDS)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the inlet or to the API."""
        if scope["type"] == "http" and scope["path"].startswith(INLET_PREFIXES):
            await self._inlet(scope, receive, send)
        else:
            await self._api(scope, receive, send)
