"""The API as one ASGI application: the services' routes behind the gateway."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace import __version__
from headrace.api import errors
from headrace.api.gateway import ROUTE_KEY, Gateway, Service
from headrace.api.routing import RouteTable
from headrace.api.services import Services

_FOUNDATION, _CORE = "/data/foundation", "/data/core"
_SMALLEST_COMPRESSED_BYTES = 2048

# Where a path's errors get their shape, and which checks come before it.
SERVICES = (
    Service("/ims", "oauth", is_open=True),
    Service("/headrace", "headrace"),
    Service("/headrace/health", "headrace", is_open=True),
    Service(f"{_FOUNDATION}/sandbox-management", "sandboxes", is_sandboxed=False),
    Service(f"{_FOUNDATION}/exim", "tooling"),
    Service(f"{_FOUNDATION}/schemaregistry", "schema_registry"),
    Service(f"{_FOUNDATION}/catalog", "catalog"),
    Service(f"{_FOUNDATION}/dataset", "dataset_service"),
    Service(f"{_FOUNDATION}/import", "ingestion"),
    Service(f"{_FOUNDATION}/export", "data_access"),
    Service(f"{_FOUNDATION}/conversion", "mapper"),
    Service(f"{_FOUNDATION}/flowservice", "flow"),
    Service(f"{_FOUNDATION}/connectors", "flow"),
    Service(f"{_FOUNDATION}/dulepolicy", "policy"),
    Service(f"{_FOUNDATION}/access-control", "access_control", is_sandboxed=False),
    Service(f"{_FOUNDATION}/audit", "audit"),
    Service("/data/infrastructure/observability", "observability"),
    Service(f"{_CORE}/idnamespace", "namespaces"),
    Service(f"{_CORE}/identity", "identity"),
    Service(f"{_CORE}/identity/v2/graph", "identity_graph"),
    Service(f"{_CORE}/ups", "ups"),
    Service(f"{_CORE}/ups/access", "profile"),
    Service(f"{_CORE}/ca", "ups"),
    Service(f"{_CORE}/ais", "ups"),
    Service(f"{_CORE}/activation/disflowprovider", "adhoc"),
    Service(f"{_CORE}/activation/authoring", "authoring"),
    Service(f"{_CORE}/privacy", "privacy", is_sandboxed=False),
    Service(f"{_CORE}/hygiene", "hygiene"),
)

# Modules of `headrace.api` that have a `router`; a new service adds its name here.
ROUTER_MODULES = (
    "activation",
    "batch_ingestion",
    "conversion",
    "data_access",
    "dataset_service",
    "dead_letters",
    "flow_service",
    "catalog",
    "catalog_batches",
    "catalog_several",
    "headrace",
    "identity",
    "identity_graphs",
    "ims",
    "merge_policies",
    "profile",
    "sandboxes",
    "segmentation",
    "schema_registry",
)


def build_api(services: Services, *, mounts: Mapping[str, ASGIApp] | None = None, cors_origins: Sequence[str] = ()) -> ASGIApp:
    """Return the whole wire API.

    Args:
        services: What the routes call.
        mounts: Further applications by path prefix (the console); the gateway's checks do not apply to them.
        cors_origins: Origins that browsers may call from; ``*`` for any.
    """
    routes = _routes()
    app = FastAPI(title="Headrace", version=__version__, openapi_url=None, docs_url=None, redoc_url=None)
    app.router.routes[:] = [_FoundRoute()]
    app.add_middleware(GZipMiddleware, minimum_size=_SMALLEST_COMPRESSED_BYTES, compresslevel=1)
    errors.install(app)
    return Gateway(app, services, RouteTable(routes), SERVICES, mounts=mounts or {}, cors_origins=cors_origins)


def _routes() -> list[APIRoute]:
    routers = [import_module(f"headrace.api.{name}").router for name in ROUTER_MODULES]
    return [route for router in routers for route in _routes_of(router)]


def _routes_of(router: APIRouter) -> list[APIRoute]:
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    if len(routes) != len(router.routes):
        raise TypeError("a service's router holds plain routes alone: no mounts and no included routers")
    return routes


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document of all routes."""
    return get_openapi(title="Headrace", version=__version__, routes=_routes())


class _FoundRoute(BaseRoute):
    """Hands every request to the route that the gateway has found."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return Match.FULL, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            route: APIRoute = scope[ROUTE_KEY]
            scope["route"], scope["endpoint"] = route, route.endpoint
            await route.app(scope, receive, send)
