from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from headrace.api import build
from headrace.api.gateway import Service
from headrace.api.routing import RouteTable
from headrace.api.wire.problems import SHAPES


def handler() -> None:
    """Do nothing."""


def table(*routes: str) -> RouteTable:
    router = APIRouter()
    for route in routes:
        method, path = route.split(" ")
        router.add_api_route(path, handler, methods=[method])
    return RouteTable([route for route in router.routes if isinstance(route, APIRoute)])


def found(routes: RouteTable, method: str, path: str) -> tuple[str, dict[str, str]] | None:
    place = routes.find(path.encode())
    route = place.route(method) if place else None
    return (route.path, place.parameters(route)) if place and route else None


def test_literal_goes_before_parameter_and_parameter_before_tail() -> None:
    routes = table("GET /a/{id}", "GET /a/list", "GET /a/{rest:path}")
    assert found(routes, "GET", "/a/list") == ("/a/list", {})
    assert found(routes, "GET", "/a/7") == ("/a/{id}", {"id": "7"})
    assert found(routes, "GET", "/a/7/8") == ("/a/{rest:path}", {"rest": "7/8"})
    assert found(routes, "GET", "/b") is None


def test_search_goes_back_when_a_literal_leads_nowhere() -> None:
    routes = table("GET /a/list/x", "GET /a/{id}/y")
    assert found(routes, "GET", "/a/list/y") == ("/a/{id}/y", {"id": "list"})


def test_parameters_of_one_place_may_have_different_names() -> None:
    routes = table("GET /a/{id}", "PUT /a/{name}")
    assert found(routes, "GET", "/a/7") == ("/a/{id}", {"id": "7"})
    assert found(routes, "PUT", "/a/7") == ("/a/{name}", {"name": "7"})
    place = routes.find(b"/a/7")
    assert place is not None
    assert place.allowed == ["GET", "HEAD", "PUT"]


@pytest.mark.parametrize(
    ("raw", "value"),
    [("/a/x%2Fy", "x/y"), ("/a/x+y", "x y"), ("/a/x%2By", "x+y"), ("/a/%C3%A9", "é"), ("/a/x/", "x")],
)
def test_segment_is_decoded_after_it_is_found(raw: str, value: str) -> None:
    assert found(table("GET /a/{id}"), "GET", raw) == ("/a/{id}", {"id": value})


def test_plus_in_a_tail_stays() -> None:
    assert found(table("PUT /f/{path:path}"), "PUT", "/f/a/b+c%20d") == ("/f/{path:path}", {"path": "a/b+c d"})


def test_empty_segment_is_no_parameter() -> None:
    assert found(table("GET /a/{id}/b"), "GET", "/a//b") is None


def test_two_routes_for_one_call_are_refused() -> None:
    with pytest.raises(ValueError, match="two routes answer"):
        table("GET /a/{id}", "GET /a/{name}")


def test_every_route_belongs_to_a_service() -> None:
    prefixes = [service.prefix for service in build.SERVICES]
    for route in build._routes():
        assert any(route.path.startswith(prefix) for prefix in prefixes), route.path


@pytest.mark.parametrize("service", build.SERVICES, ids=lambda service: service.prefix)
def test_every_service_has_a_shape(service: Service) -> None:
    assert service.shape in SHAPES


def test_document_of_all_routes_is_made() -> None:
    document: dict[str, Any] = build.openapi()
    assert "/data/foundation/catalog/dataSets" in document["paths"]
