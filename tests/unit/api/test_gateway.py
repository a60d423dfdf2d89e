import gzip

import httpx
import pytest

from headrace.catalog.sandboxes import Sandboxes
from headrace.clock import ManualClock
from headrace.storage.control import ControlStore

from .conftest import FakeOperations

SANDBOXES = "/data/foundation/sandbox-management"


def test_call_without_token_is_refused_first(anonymous: httpx.Client) -> None:
    answer = anonymous.get("/no/such/path")
    assert answer.status_code == 403
    assert answer.json() == {"error_code": "403010", "message": "Oauth token is missing."}


def test_token_that_we_did_not_sign_is_refused(anonymous: httpx.Client) -> None:
    answer = anonymous.get(SANDBOXES, headers={"Authorization": "Bearer abc"})
    assert answer.status_code == 401
    assert answer.json()["error_code"] == "401013"


def test_token_expires_by_the_injected_clock(client: httpx.Client, clock: ManualClock) -> None:
    assert client.get(SANDBOXES).status_code == 200
    clock.move_to(clock.now_ms() + 24 * 3_600_000)
    assert client.get(SANDBOXES).json()["error_code"] == "401013"


@pytest.mark.parametrize(
    ("header", "value", "status", "code"),
    [
        ("x-api-key", None, 403, "403000"),
        ("x-api-key", "another", 403, "403003"),
        ("x-gw-ims-org-id", None, 400, "400003"),
        ("x-gw-ims-org-id", "X@AdobeOrg", 403, "403025"),
    ],
)
def test_each_platform_header_is_checked(client: httpx.Client, header: str, value: str | None, status: int, code: str) -> None:
    client.headers.pop(header, None)
    if value is not None:
        client.headers[header] = value
    answer = client.get("/headrace/progress")
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


def test_bearer_scheme_is_case_insensitive(client: httpx.Client) -> None:
    client.headers["Authorization"] = client.headers["Authorization"].replace("Bearer", "bearer")
    assert client.get(SANDBOXES).status_code == 200


def test_sandbox_by_id_must_agree_with_its_name(client: httpx.Client, control: ControlStore, clock: ManualClock) -> None:
    sandboxes = Sandboxes(control, clock)
    dev = sandboxes.create("dev", "Dev", "development", user_id="me").sandbox
    assert client.get("/headrace/progress", headers={"x-sandbox-id": dev.id}).status_code == 200
    both = {"x-sandbox-id": dev.id, "x-sandbox-name": "prod"}
    refused = client.get("/headrace/progress", headers=both)
    assert (refused.status_code, refused.json()["headrace"]["path"]) == (404, "x-sandbox-id")


@pytest.mark.parametrize(
    "path", ["/headrace/progress", "/data/foundation/catalog/dataSets", "/data/core/ups/segment/definitions"]
)
@pytest.mark.parametrize("header", ["x-sandbox-name", "x-sandbox-id"])
def test_unknown_sandbox_is_sandbox_managements_problem_at_every_service(client: httpx.Client, path: str, header: str) -> None:
    answer = client.get(path, headers={header: "nowhere"})
    problem = answer.json()
    assert answer.status_code == problem["status"] == 404
    assert problem["type"] == "http://ns.adobe.com/aep/errors/SMS-1001-404"
    assert problem["title"] == "Sandbox not found"
    assert "nowhere" in problem["detail"]
    assert problem["headrace"]["path"] == header


def test_deleted_sandbox_is_refused_by_its_state(client: httpx.Client, control: ControlStore, clock: ManualClock) -> None:
    sandboxes = Sandboxes(control, clock)
    sandboxes.create("dev", "Dev", "development", user_id="me")
    sandboxes.delete("dev", user_id="me")
    answer = client.get("/headrace/progress", headers={"x-sandbox-name": "dev"})
    assert (answer.status_code, answer.json()["title"]) == (404, "Sandbox not found")
    assert "deleted" in answer.json()["detail"]


def test_unknown_path_is_404_in_the_gateways_shape(client: httpx.Client) -> None:
    answer = client.get("/data/foundation/nothing")
    assert answer.status_code == 404
    assert answer.json()["error_code"] == "404003"
    assert answer.json()["message"] == "Resource not found"


def test_known_path_with_wrong_method_names_those_allowed(client: httpx.Client) -> None:
    answer = client.put(f"{SANDBOXES}/sandboxes", json={})
    assert answer.status_code == 405
    assert answer.json()["error_code"] == "405000"
    assert answer.headers["allow"] == "GET, HEAD, POST"


def test_head_answers_as_get_without_a_body(client: httpx.Client) -> None:
    answer = client.head(f"{SANDBOXES}/sandboxTypes")
    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["", "/"])
def test_slash_at_the_end_means_nothing(client: httpx.Client, path: str) -> None:
    answer = client.get(f"{SANDBOXES}/sandboxes/prod{path}", follow_redirects=False)
    assert answer.status_code == 200


def test_encoded_slash_stays_inside_its_segment(client: httpx.Client) -> None:
    answer = client.get(f"{SANDBOXES}/sandboxes/https%3A%2F%2Fns.example.com%2Fa")
    assert answer.status_code == 404
    assert "'https://ns.example.com/a'" in answer.json()["detail"]


def test_plus_in_a_segment_is_a_space(client: httpx.Client) -> None:
    assert "'a b'" in client.get(f"{SANDBOXES}/sandboxes/a+b").json()["detail"]


def test_long_url_is_refused(client: httpx.Client) -> None:
    answer = client.get(f"{SANDBOXES}/sandboxes?property={'x' * 2000}")
    assert answer.status_code == 414
    assert answer.json()["error_code"] == "414000"


def test_body_without_json_content_type_is_refused(client: httpx.Client) -> None:
    answer = client.post(f"{SANDBOXES}/sandboxes", content=b"{}", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 400
    body = answer.json()
    assert body.pop("headrace")["path"] == "Content-Type"
    assert body == {
        "type": "/placeholder/type/uri",
        "status": 400,
        "title": "BadRequestError",
        "detail": "A valid content-type must be specified",
    }


def test_body_less_get_may_claim_json(client: httpx.Client) -> None:
    assert client.get(SANDBOXES, headers={"Content-Type": "application/json"}).status_code == 200


def test_malformed_json_is_refused_in_the_services_shape(client: httpx.Client) -> None:
    answer = client.post(f"{SANDBOXES}/sandboxes", content=b'{"name":', headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["type"].startswith("http://ns.adobe.com/aep/errors/SMS-")
    assert "not valid JSON" in answer.json()["detail"]


def test_gzip_body_is_read(client: httpx.Client) -> None:
    body = gzip.compress(b'{"name":"dev","title":"Dev","type":"development"}')
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert client.post(f"{SANDBOXES}/sandboxes", content=body, headers=headers).status_code == 202


def test_broken_gzip_body_is_refused(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = client.post(f"{SANDBOXES}/sandboxes", content=b"no gzip", headers=headers)
    assert answer.status_code == 400


def test_gzip_bomb_is_refused(client: httpx.Client) -> None:
    body = gzip.compress(b" " * 11_000_000)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = client.post(f"{SANDBOXES}/sandboxes", content=body, headers=headers)
    assert answer.status_code == 413


def test_large_body_is_refused(client: httpx.Client) -> None:
    answer = client.post(f"{SANDBOXES}/sandboxes", content=b" " * 10_000_001, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["error_code"] == "413000"


def test_request_id_is_echoed_or_made(client: httpx.Client) -> None:
    assert client.get(SANDBOXES, headers={"x-request-id": "r-1"}).headers["x-request-id"] == "r-1"
    assert len(client.get(SANDBOXES).headers["x-request-id"]) == 36
    assert client.get("/nothing", headers={"x-request-id": "r-2"}).headers["x-request-id"] == "r-2"


def test_defect_answers_500_without_its_inside(
    client: httpx.Client, operations: FakeOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(operations, "progress", fail)
    answer = client.get("/headrace/progress", headers={"x-request-id": "r-3"})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "r-3"
    assert "secret inside" not in answer.text
    assert answer.json()["report"]["requestId"] == "r-3"
