"""A synchronous httpx transport that calls an ASGI application in process."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import httpx
from starlette.types import ASGIApp


class AsgiTransport(httpx.BaseTransport):
    """Answers each request by one run of the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.partition(b"?")[0],
            "query_string": request.url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": (request.url.host, request.url.port),
            "client": ("127.0.0.1", 50000),
        }
        body, is_sent = request.read(), False
        answer: dict[str, Any] = {"body": b""}

        async def receive() -> MutableMapping[str, Any]:
            nonlocal is_sent
            if is_sent:
                await asyncio.Event().wait()  # a client stays until it has its answer
            is_sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.update(status=message["status"], headers=message["headers"])
            else:
                answer["body"] += message.get("body", b"")

        await self._app(scope, receive, send)
        return httpx.Response(answer["status"], headers=answer["headers"], content=answer["body"], request=request)
