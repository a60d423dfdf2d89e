import httpx

from headrace.clock import parse_iso
from headrace.errors import StateError

from .conftest import FakeOperations


def test_health_needs_no_token(anonymous: httpx.Client) -> None:
    answer = anonymous.get("/headrace/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "roles": {"gateway": {"pid": 7}}}


def test_health_is_200_and_tells_the_fault_while_a_role_has_one(anonymous: httpx.Client, operations: FakeOperations) -> None:
    operations.fault = "KeyError: '_id'"
    answer = anonymous.get("/headrace/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "degraded", "roles": {"gateway": {"pid": 7, "fault": "KeyError: '_id'"}}}


def test_health_is_503_until_every_role_runs(anonymous: httpx.Client, operations: FakeOperations) -> None:
    operations.is_ready = False
    answer = anonymous.get("/headrace/health")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["status"] == "starting"


def test_progress_needs_the_platforms_headers(anonymous: httpx.Client) -> None:
    assert anonymous.get("/headrace/progress").status_code == 403


def test_clock_moves_to_an_instant(client: httpx.Client) -> None:
    answer = client.post("/headrace/clock", json={"now": "2027-03-01T00:00:00Z"})
    assert answer.json() == {"now": parse_iso("2027-03-01T00:00:00Z")}


def test_clock_refuses_what_is_no_instant(client: httpx.Client) -> None:
    answer = client.post("/headrace/clock", json={"now": "tomorrow"})
    assert answer.status_code == 400
    assert answer.json()["headrace"]["path"] == "/now"


def test_clock_of_the_machine_is_not_moved(client: httpx.Client, operations: FakeOperations) -> None:
    def refuse(now_ms: int) -> None:
        raise StateError("This server runs on the machine's clock.")

    operations.move_clock = refuse  # type: ignore[assignment, method-assign]
    assert client.post("/headrace/clock", json={"now": "2027-03-01T00:00:00Z"}).status_code == 409
