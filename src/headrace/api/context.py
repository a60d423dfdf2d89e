"""What a route knows about the call: who asks, in which sandbox, and the services that answer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Request
from starlette.types import Scope

from headrace.errors import Bug
from headrace.model import Sandbox

if TYPE_CHECKING:
    from headrace.api.services import Services

_KEY = "headrace.exchange"


@dataclass(frozen=True)
class Caller:
    """Who calls, as the token says.

    Attributes:
        client_id: The client (``x-api-key``).
        user_id: Its technical account.
        organization_id: Its organisation.
    """

    client_id: str
    user_id: str
    organization_id: str


@dataclass
class Exchange:
    """One request on its way through the gateway, filled in as its checks pass.

    Attributes:
        services: What answers.
        request_id: Given by the caller or made here.
        origin: Scheme and authority that links in bodies start with.
        path: Path of the request, decoded.
        shape: Name of the error shape of the service.
        caller: Who calls; None until the token is checked, and for open paths.
        sandbox: Sandbox of the call; None until it is resolved, and for open paths.
    """

    services: "Services"
    request_id: str
    origin: str
    path: str
    shape: str = "gateway"
    caller: Caller | None = None
    sandbox: Sandbox | None = None


@dataclass(frozen=True)
class Context:
    """What a handler is given.

    Attributes:
        services: What answers.
        request_id: Id of the request.
        origin: Scheme and authority for links in bodies, without a slash at the end.
        sandbox: Sandbox of the call; the default one for services that ignore the header.
        organization_id: Organisation of the caller.
        client_id: Client that calls.
        user_id: Technical account that calls.
    """

    services: "Services"
    request_id: str
    origin: str
    sandbox: Sandbox
    organization_id: str
    client_id: str
    user_id: str


def attach(scope: Scope, exchange: Exchange) -> None:
    """Keep a request's exchange with its scope."""
    scope[_KEY] = exchange


def exchange_of(scope: Scope) -> Exchange:
    """Return the exchange of a request that has come through the gateway."""
    exchange: Exchange = scope[_KEY]
    return exchange


# Both are coroutines because a plain function would cost each request a turn through the thread pool.


async def context_of(request: Request) -> Context:
    """Return the context of an authenticated call; handlers take it by ``Depends(context_of)``."""
    exchange = exchange_of(request.scope)
    if exchange.caller is None or exchange.sandbox is None:
        raise Bug(f"{exchange.path} is open to callers without a token, but its route asks who calls.")
    return Context(
        services=exchange.services,
        request_id=exchange.request_id,
        origin=exchange.origin,
        sandbox=exchange.sandbox,
        organization_id=exchange.caller.organization_id,
        client_id=exchange.caller.client_id,
        user_id=exchange.caller.user_id,
    )


async def services_of(request: Request) -> "Services":
    """Return the services, for routes that need no caller."""
    return exchange_of(request.scope).services
