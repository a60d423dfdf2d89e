from typing import Any

import httpx
import pytest

from .registry import make_schema

CATALOG = "/data/foundation/catalog"


@pytest.fixture
def schema_id(client: httpx.Client) -> str:
    return make_schema(client, "Customers")


def dataset(schema_id: str, name: str = "CRM", request_id: str = "a") -> dict[str, Any]:
    body = {"name": name, "schemaRef": {"id": schema_id}}
    return {"id": request_id, "resource": "/dataSets", "method": "POST", "body": body}


def batch(of: str, request_id: str = "b", **more: Any) -> dict[str, Any]:
    body = {"status": "loading", "relatedObjects": [{"type": "dataSet", "id": of}]}
    return {"id": request_id, "resource": "/batches", "method": "post", "body": {**body, **more}}


def send(client: httpx.Client, *requests: Any) -> httpx.Response:
    return client.post(f"{CATALOG}/", json=list(requests))


def held(client: httpx.Client) -> tuple[int, int]:
    """Return how many datasets and batches there are."""
    return len(client.get(f"{CATALOG}/dataSets").json()), len(client.get(f"{CATALOG}/batches").json())


def test_later_requests_name_what_earlier_ones_made(client: httpx.Client, schema_id: str) -> None:
    look_up = {"id": "c", "resource": "/batches/<<b.id>>", "method": "GET"}
    answer = send(client, dataset(schema_id), batch("<<a.id>>"), look_up)
    assert answer.status_code == 200
    first, second, third = answer.json()
    assert [(part["id"], part["code"]) for part in (first, second, third)] == [("a", 201), ("b", 201), ("c", 200)]
    dataset_id = first["body"][0].removeprefix("@/dataSets/")
    [(batch_id, found)] = third["body"].items()
    assert second["body"] == [f"@/batches/{batch_id}"]
    assert found["relatedObjects"] == [{"type": "dataSet", "id": dataset_id}]


def test_batch_gets_the_id_of_its_resource(client: httpx.Client, schema_id: str) -> None:
    named = {**batch("<<a.id>>"), "resource": "/batches/nightly-7"}
    assert send(client, dataset(schema_id), named).json()[1]["body"] == ["@/batches/nightly-7"]
    assert "nightly-7" in client.get(f"{CATALOG}/batches/nightly-7").json()


def test_when_one_fails_nothing_is_left(client: httpx.Client, schema_id: str) -> None:
    answer = send(client, dataset(schema_id), batch("<<a.id>>"), batch("<<a.id>>", "c", status="no such state"))
    assert answer.status_code == 400
    assert answer.json()["headrace"]["path"] == "/2/status"
    assert held(client) == (0, 0)


@pytest.mark.parametrize(
    ("requests", "path"),
    [
        ([], "/"),
        (["x"], "/0"),
        ([{"id": "a", "resource": "/flows", "method": "GET"}], "/0/resource"),
        ([{"id": "a", "resource": "/dataSets", "method": "DELETE"}], "/0/method"),
        ([{"id": "a", "resource": "/batches", "method": "POST"}], "/0/body"),
        ([batch("<<z.id>>")], "/0"),
        ([batch("0" * 24)], "/0"),
    ],
)
def test_unacceptable_lists_are_refused_with_their_place(client: httpx.Client, requests: list[Any], path: str) -> None:
    answer = send(client, *requests)
    assert answer.status_code in (400, 404)
    assert answer.json()["headrace"]["path"] == path
    assert held(client) == (0, 0)


def test_two_requests_of_one_id_are_refused(client: httpx.Client, schema_id: str) -> None:
    answer = send(client, dataset(schema_id), dataset(schema_id, "Other"))
    assert answer.json()["headrace"]["path"] == "/1/id"
    assert held(client) == (0, 0)
