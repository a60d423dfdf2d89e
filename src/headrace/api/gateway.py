"""The gateway: what is checked of every request, in this order, before and after its route.

URL length, token, API key, organisation, sandbox, path, method, content type, body. Every answer carries ``x-request-id``.
"""

import logging
import traceback
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace.api import auth, body
from headrace.api.context import Exchange, attach
from headrace.api.errors import ContentTypeMissing, GatewayRefusal, internal_error, render
from headrace.api.routing import Found, RouteTable
from headrace.api.services import Services
from headrace.api.wire.answer import empty
from headrace.errors import HeadraceError
from headrace.telemetry import log

_LONGEST_URL = 2000
_LONGEST_REQUEST_ID = 128
_CORS_HEADERS = "authorization,content-type,accept,if-match,x-api-key,x-gw-ims-org-id,x-sandbox-name,x-request-id"
ROUTE_KEY = "headrace.route"


@dataclass(frozen=True)
class Service:
    """One service of the wire API; the longest prefix that fits a path decides.

    Attributes:
        prefix: Path prefix, whole segments.
        shape: Name of its error shape.
        is_sandboxed: Whether it works inside a sandbox.
        is_open: Whether it can be called without a token.
    """

    prefix: str
    shape: str
    is_sandboxed: bool = True
    is_open: bool = False


class Gateway:
    """ASGI application that stands before the routes."""

    def __init__(
        self,
        app: ASGIApp,
        services: Services,
        table: RouteTable,
        service_list: Sequence[Service],
        *,
        mounts: Mapping[str, ASGIApp],
        cors_origins: Sequence[str],
    ) -> None:
        self._app = app
        self._services = services
        self._table = table
        self._service_list = sorted(service_list, key=lambda item: len(item.prefix), reverse=True)
        self._mounts = mounts
        self._cors_origins = frozenset(cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        exchange = self._exchange(scope, headers)
        attach(scope, exchange)
        sender = _Sender(send, exchange.request_id, is_head=scope["method"] == "HEAD", origin=self._cors_origin(headers))
        try:
            await self._answer(scope, receive, sender, headers, exchange)
        except Exception as error:  # the edge: whatever it is, the caller gets an answer and the log the cause
            log(
                "gateway",
                logging.ERROR,
                "A request met a defect.",
                request_id=exchange.request_id,
                path=exchange.path,
                cause=repr(error),
                trace=_trace(error),
            )
            if not sender.has_started:
                await internal_error(exchange)(scope, receive, sender)

    def _exchange(self, scope: Scope, headers: Headers) -> Exchange:
        given = headers.get("x-request-id", "")
        is_usable = 0 < len(given) <= _LONGEST_REQUEST_ID and given.isprintable()
        host = headers.get("host") or "127.0.0.1"
        origin = self._services.settings.public_url.rstrip("/") or f"{scope.get('scheme', 'http')}://{host}"
        return Exchange(self._services, given if is_usable else str(uuid.uuid4()), origin, scope["path"])

    async def _answer(self, scope: Scope, receive: Receive, send: "_Sender", headers: Headers, exchange: Exchange) -> None:
        for prefix, mounted in self._mounts.items():
            if _is_under(scope["path"], prefix):
                await mounted(scope, receive, send)
                return
        if scope["method"] == "OPTIONS" and send.origin:
            await self._preflight(send.origin)(scope, receive, send)
            return
        try:
            route, found = self._admit(scope, headers, exchange)
            receive = await body.prepared(receive, headers, is_raw=body.is_raw(route), most=body.longest_bytes(route))
        except HeadraceError as error:
            await render(error, exchange)(scope, receive, send)
            return
        scope["path_params"] = found.parameters(route)
        scope[ROUTE_KEY] = route
        if scope["method"] == "HEAD" and "HEAD" not in (route.methods or ()):
            scope["method"] = "GET"
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope, headers: Headers, exchange: Exchange) -> tuple[APIRoute, Found]:
        raw_path = _raw_path(scope)
        if len(raw_path) + len(scope.get("query_string", b"")) > _LONGEST_URL:
            raise GatewayRefusal("414000", f"The URL is longer than {_LONGEST_URL} characters")
        found = self._table.find(raw_path)
        # The route's own path decides, when there is one: in the decoded path an encoded slash may look like another service.
        service = self._service_of(found.template if found else scope["path"])
        exchange.shape = service.shape if service else "gateway"
        if service is None or not service.is_open:
            exchange.caller = auth.caller_of(headers, self._services.accounts)
            is_sandboxed = service is None or service.is_sandboxed
            exchange.sandbox = auth.sandbox_of(headers, self._services.sandboxes, is_sandboxed=is_sandboxed)
        if found is None:
            raise GatewayRefusal("404003", "Resource not found", path=exchange.path)
        route = found.route(scope["method"])
        if route is None:
            allowed = ", ".join(found.allowed)
            raise GatewayRefusal(
                "405000", f"Method {scope['method']} is not allowed here; use {allowed}", headers={"Allow": allowed}
            )
        if not body.is_raw(route) and body.has_body(headers) and not body.is_json(headers):
            raise ContentTypeMissing("A valid content-type must be specified", path="Content-Type", hint="Send application/json.")
        return route, found

    def _service_of(self, path: str) -> Service | None:
        return next((service for service in self._service_list if _is_under(path, service.prefix)), None)

    def _cors_origin(self, headers: Headers) -> str:
        origin = headers.get("origin", "")
        return origin if origin in self._cors_origins or (origin and "*" in self._cors_origins) else ""

    def _preflight(self, origin: str) -> Response:
        return empty(
            headers={
                "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
                "Access-Control-Allow-Headers": _CORS_HEADERS,
                "Access-Control-Max-Age": "600",
            }
        )


class _Sender:
    """Adds what every answer carries, and leaves out the body of an answer to HEAD."""

    def __init__(self, send: Send, request_id: str, *, is_head: bool, origin: str) -> None:
        self._send = send
        self._request_id = request_id
        self._is_head = is_head
        self.origin = origin
        self.has_started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self._request_id
            if self.origin:
                headers["Access-Control-Allow-Origin"] = self.origin
                headers["Access-Control-Expose-Headers"] = "x-request-id, etag, location, retry-after"
                headers.add_vary_header("Origin")
        elif message["type"] == "http.response.body" and self._is_head:
            message = {**message, "body": b""}
        await self._send(message)


def _raw_path(scope: Scope) -> bytes:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0]


def _is_under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix if prefix.endswith("/") else prefix + "/")


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
