import importlib
import json
import pkgutil
from collections.abc import Iterator

import httpx
import pytest

import headrace
from headrace.api.context import Exchange
from headrace.api.errors import GatewayRefusal, fault_of, render, status_of
from headrace.api.services import Services
from headrace.api.wire.problems import SHAPES, Fault
from headrace.errors import (
    Bug,
    Conflict,
    Denied,
    HeadraceError,
    InvalidInput,
    NotFound,
    Permanent,
    StateError,
    Transient,
)


def all_errors() -> Iterator[type[HeadraceError]]:
    for module in pkgutil.walk_packages(headrace.__path__, "headrace."):
        # Migrations run inside Alembic's environment alone.
        if ".migrations" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    waiting = [HeadraceError]
    while waiting:
        error = waiting.pop()
        yield error
        waiting += error.__subclasses__()


def made(kind: type[HeadraceError]) -> HeadraceError:
    """Return an error of a class, whatever its own arguments are."""
    if kind is GatewayRefusal:
        return GatewayRefusal("403003", "What went wrong.")
    error = kind.__new__(kind)
    HeadraceError.__init__(error, "What went wrong.", path="/a/b", hint="What to do.")
    for name, value in (("retry_after_seconds", 1.5), ("wire_status", getattr(kind, "wire_status", None))):
        if not hasattr(error, name) and value is not None:
            setattr(error, name, value)
    return error


@pytest.fixture
def exchange(services: Services) -> Exchange:
    return Exchange(services, "r-1", "http://127.0.0.1:8900", "/data/x")


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_every_error_is_rendered_in_every_shape(exchange: Exchange, shape: str) -> None:
    exchange.shape = shape
    for kind in all_errors():
        error = made(kind)
        answer = render(error, exchange)
        assert 400 <= answer.status_code < 600, kind
        assert "What went wrong." in bytes(answer.body).decode(), kind


def test_every_error_has_a_code_of_its_own() -> None:
    codes: dict[str, set[str]] = {}
    for kind in all_errors():
        if "code" in vars(kind):
            codes.setdefault(kind.code, set()).add(kind.__name__)
            assert kind.code == kind.code.lower().replace(" ", "_"), kind


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInput("x"), 400),
        (NotFound("x"), 404),
        (Conflict("x"), 409),
        (StateError("x"), 409),
        (Denied("x"), 403),
        (Transient("x"), 503),
        (Permanent("x"), 502),
        (Bug("x"), 500),
    ],
)
def test_kind_decides_the_status(error: HeadraceError, status: int) -> None:
    assert status_of(error) == status


def test_transient_error_says_when_to_come_back(exchange: Exchange) -> None:
    assert render(Transient("x", retry_after_seconds=2.2), exchange).headers["retry-after"] == "3"
    assert render(Transient("x"), exchange).headers["retry-after"] == "1"


def test_body_names_the_field_and_the_remedy(exchange: Exchange) -> None:
    exchange.shape = "catalog"
    body = json.loads(bytes(render(InvalidInput("x", path="/name", hint="Name it."), exchange).body))
    assert body["headrace"] == {"path": "/name", "hint": "Name it."}
    assert body["report"] == {"requestId": "r-1"}


def fault(status: int, **members: object) -> Fault:
    return Fault(status=status, message="Text", request_id="r-1", now_ms=1_802_592_000_250, **members)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "status", "members", "body"),
    [
        ("gateway", 404, {"wire_code": "404003"}, {"error_code": "404003", "message": "Text"}),
        (
            "schema_registry",
            404,
            {"wire_code": "XDM-1012-404", "title": "Resource not found"},
            {
                "type": "http://ns.adobe.com/aep/errors/XDM-1012-404",
                "title": "Resource not found",
                "status": 404,
                "report": {
                    "registryRequestId": "r-1",
                    "timestamp": "02-14-2027 08:00:00",
                    "detailed-message": "Text",
                    "sub-errors": [],
                },
                "detail": "Text",
            },
        ),
        (
            "privacy",
            400,
            {},
            {
                "type": "http://ns.adobe.com/aep/errors/PRIV-1000-400",
                "title": "BadRequest",
                "status": 400,
                "detail": "Text",
                "report": {"requestId": "r-1"},
                "error-chain": [{"serviceId": "PRIV", "errorCode": "PRIV-1000-400", "unixTimeStampMs": 1_802_592_000_250}],
            },
        ),
        (
            "dataset_service",
            404,
            {"request_path": "/datasets/1/labels"},
            {
                "timestamp": "2027-02-14 08:00:00.250000+00:00",
                "status": "NOT_FOUND",
                "code": "PES-404",
                "message": "Text",
                "path": "/datasets/1/labels",
            },
        ),
        ("profile", 404, {}, {"message": "Text", "cause": "Status Code - 404 : Text", "statusCode": "404"}),
        (
            "ups",
            404,
            {},
            {
                "requestId": "r-1",
                "errors": {"404": [{"code": "UPAPI-113000-404", "message": "Text"}]},
                "type": "https://ns.adobe.com/aep/errors/UPAPI-113000-404",
                "title": "Text",
                "status": 404,
            },
        ),
        (
            "ups",
            429,
            {"retry_after_seconds": 0.5},
            [{"message": "Text", "cause": "Text", "retryAfterMs": "500", "statusCode": "429"}],
        ),
        ("flow", 404, {}, {"errorMessage": "Text", "errorDetails": "Text"}),
        ("adhoc", 400, {}, {"message": "Text"}),
        (
            "authoring",
            400,
            {"path": "/name"},
            {"status": 400, "title": "BadRequest", "detail": "Text", "errors": [{"path": "/name", "message": "Text"}]},
        ),
        ("policy", 404, {}, {"type": "/placeholder/type/uri", "status": 404, "title": "NotFound", "detail": "Text"}),
        ("observability", 400, {}, {"errorCode": "OI-400", "httpStatus": 400, "title": "BadRequest", "details": "Text"}),
        ("oauth", 400, {}, {"error": "invalid_request", "error_description": "Text"}),
        (
            "streaming",
            401,
            {},
            {
                "type": "https://ns.adobe.com/adobecloud/problem/data-collection-service-authorization",
                "status": "401",
                "title": "Authorization",
                "report": {"message": "Text"},
            },
        ),
    ],
)
def test_shape_of_each_service(shape: str, status: int, members: dict[str, object], body: object) -> None:
    assert SHAPES[shape](fault(status, **members)) == body


def test_code_without_its_status_gets_it() -> None:
    assert fault(404, wire_code="UPAPI-113430").numbered("UPAPI") == "UPAPI-113430-404"
    assert fault(400, wire_code="UPAPI-113631-403").numbered("UPAPI") == "UPAPI-113631-403"


def test_fault_holds_who_called_in_which_sandbox(exchange: Exchange) -> None:
    assert fault_of(InvalidInput("x"), exchange).sandbox == {}
    exchange.sandbox = exchange.services.sandboxes.default()
    assert fault_of(InvalidInput("x"), exchange).sandbox["name"] == "prod"


def test_parameter_of_the_wrong_type_is_named(client: httpx.Client) -> None:
    path = "/data/foundation/sandbox-management/sandboxes/prod"
    answer = client.delete(path, params={"validationOnly": "perhaps"})
    assert answer.status_code == 400
    assert answer.json()["headrace"]["path"] == "validationOnly"


def test_missing_body_is_named(client: httpx.Client) -> None:
    answer = client.post("/data/foundation/sandbox-management/sandboxes")
    assert answer.status_code == 400
    assert answer.json()["detail"] == "The request needs a JSON body."
    listed = client.post("/data/foundation/sandbox-management/sandboxes", json=[])
    assert listed.status_code == 400
