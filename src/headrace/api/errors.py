"""The one place where errors become answers.

A stage raises errors of the six kinds; here each gets its HTTP status and, by the service that was called, its body. An error
class may say more than its kind does, by class or instance attributes: `wire_code` (the service's code), `wire_title`,
`wire_status`, `wire_shape` (when another service's shape than the called one's is due) and `sub_errors`.
"""

import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from headrace.api.context import Exchange, exchange_of
from headrace.api.wire.answer import answer
from headrace.api.wire.problems import SHAPES, Fault, gateway, with_pointer
from headrace.errors import (
    Conflict,
    Denied,
    HeadraceError,
    InvalidInput,
    NotFound,
    Permanent,
    StateError,
    Transient,
)

_STATUS_OF_KIND: tuple[tuple[type[HeadraceError], int], ...] = (
    (InvalidInput, 400),
    (NotFound, 404),
    (Conflict, 409),
    (StateError, 409),
    (Denied, 403),
    (Transient, 503),
    (Permanent, 502),
)
_SHORTEST_WAIT_SECONDS = 1


class GatewayRefusal(HeadraceError):
    """The gateway refuses a request before any service sees it.

    Attributes:
        wire_code: Six digits; the first three are the HTTP status.
        headers: Further headers of the answer.
    """

    code = "gateway_refusal"

    def __init__(self, wire_code: str, message: str, *, headers: Mapping[str, str] | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.wire_code = wire_code
        self.wire_status = int(wire_code[:3])
        self.headers = dict(headers or {})


class SandboxRefused(NotFound):
    """The sandbox that the headers name does not exist or cannot be used; sandbox management's own problem, at every service."""

    code = "sandbox_refused"
    wire_shape = "sandboxes"
    wire_code = "SMS-1001"
    wire_title = "Sandbox not found"


class ContentTypeMissing(InvalidInput):
    """A body came without a media type that the service reads."""

    code = "content_type_missing"


class BodyMalformed(InvalidInput):
    """The body is not what its content type says."""

    code = "body_malformed"


class RequestRefused(InvalidInput):
    """The web framework refuses a request, for instance a form that it cannot read."""

    code = "request_refused"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.wire_status = status


def status_of(error: HeadraceError) -> int:
    """Return the HTTP status of an error: its own when it names one, else its kind's."""
    own = getattr(error, "wire_status", None)
    if own is not None:
        return int(own)
    return next((status for kind, status in _STATUS_OF_KIND if isinstance(error, kind)), 500)


def fault_of(error: HeadraceError, exchange: Exchange) -> Fault:
    """Return what an error body may need."""
    return Fault(
        status=status_of(error),
        message=error.message,
        title=str(getattr(error, "wire_title", "")),
        wire_code=str(getattr(error, "wire_code", "")),
        code=error.code,
        path=error.path,
        hint=error.hint,
        details=error.details,
        retry_after_seconds=getattr(error, "retry_after_seconds", None),
        sub_errors=tuple(getattr(error, "sub_errors", ())),
        **_circumstances(exchange),
    )


def _circumstances(exchange: Exchange) -> dict[str, Any]:
    sandbox = exchange.sandbox
    return {
        "request_id": exchange.request_id,
        "now_ms": exchange.services.clock.now_ms(),
        "request_path": exchange.path,
        "organization_id": exchange.caller.organization_id if exchange.caller else "",
        "sandbox": {"name": sandbox.name, "id": sandbox.id} if sandbox else {},
    }


def render(error: HeadraceError, exchange: Exchange) -> Response:
    """Return the answer to a request that failed with an error."""
    fault = fault_of(error, exchange)
    headers = {}
    if fault.status in (429, 503):
        headers["Retry-After"] = str(max(_SHORTEST_WAIT_SECONDS, math.ceil(fault.retry_after_seconds or 0)))
    if isinstance(error, GatewayRefusal):
        return answer(with_pointer(gateway(fault), fault), fault.status, headers={**headers, **error.headers})
    if isinstance(error, ContentTypeMissing):
        body = {"type": "/placeholder/type/uri", "status": 400, "title": "BadRequestError", "detail": error.message}
        return answer(with_pointer(body, fault), 400)
    body = SHAPES[getattr(error, "wire_shape", exchange.shape)](fault)
    return answer(with_pointer(body, fault) if isinstance(body, dict) else body, fault.status, headers=headers)


class ServiceFailed(HeadraceError):
    """Something went wrong that nobody foresaw; the log holds what."""

    code = "service_failed"


def internal_error(exchange: Exchange) -> Response:
    """Return the answer to a request that met a defect; it says nothing about the inside."""
    text = "Internal server error. The server's log has the cause under this request id."
    return render(ServiceFailed(text, hint=f"Look for request id {exchange.request_id} in the log."), exchange)


def install(app: FastAPI) -> None:
    """Make an application answer every error in the wire's shapes."""
    # Starlette's signature takes any exception, yet gives each handler only those of its class.
    app.add_exception_handler(HeadraceError, _on_headrace_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _on_validation_error)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _on_http_exception)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _on_defect)


async def _on_headrace_error(request: Request, error: HeadraceError) -> Response:
    return render(error, exchange_of(request.scope))


async def _on_defect(request: Request, error: Exception) -> Response:
    return internal_error(exchange_of(request.scope))


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    return render(RequestRefused(str(error.detail), error.status_code), exchange_of(request.scope))


async def _on_validation_error(request: Request, error: RequestValidationError) -> Response:
    return render(_as_invalid_input(error), exchange_of(request.scope))


def _as_invalid_input(error: RequestValidationError) -> InvalidInput:
    first = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "unreadable")
        return BodyMalformed(f"The request body is not valid JSON: {reason} at character {where[-1]}.", path="/")
    if where[:1] == ["body"]:
        path = "/" + "/".join(where[1:])
        if first["type"] == "missing" and len(where) == 1:
            return BodyMalformed("The request needs a JSON body.", path="/")
        if path == "/" and first["type"] == "dict_type":
            return BodyMalformed("The request body must be a JSON object.", path="/")
        return BodyMalformed(f"Body member '{path}' is not acceptable: {first['msg']}.", path=path)
    name = where[-1]
    return InvalidInput(f"Parameter '{name}' is not acceptable: {first['msg']}.", path=name)
