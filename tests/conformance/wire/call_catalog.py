"""Catalog: batches, datasets and what belongs to them."""

from itertools import count
from typing import Any

import httpx

from tests.conformance.wire.calls import covers
from tests.conformance.wire.operations import CATALOG
from tests.conformance.wire.world import WireWorld
from tests.integration.world import checked, reference_to

BASE = CATALOG.base
_NUMBERS = count(1)


def _only(answer: httpx.Response) -> str:
    """Return the id in an answer of one reference."""
    [reference] = checked(answer).json()
    assert reference.startswith("@/")
    return str(reference).rpartition("/")[2]


# --- batches ---


def _batch_body(world: WireWorld, **more: Any) -> dict[str, Any]:
    return {"status": "loading", "relatedObjects": [{"type": "dataSet", "id": world.profiles}], **more}


def _new_batch(world: WireWorld) -> str:
    return _only(world.call("POST", f"{BASE}/batches", _batch_body(world)))


def _batch(world: WireWorld, batch_id: str) -> Any:
    return checked(world.call("GET", f"{BASE}/batches/{batch_id}")).json()[batch_id]


@covers(CATALOG, "GET /batches")
def list_batches(world: WireWorld) -> httpx.Response:
    batch_id = _new_batch(world)
    answer = world.call("GET", f"{BASE}/batches", params={"dataSet": world.profiles, "limit": 100})
    assert batch_id in answer.json()
    return answer


@covers(CATALOG, "POST /batches")
def create_batch(world: WireWorld) -> httpx.Response:
    answer = world.call("POST", f"{BASE}/batches", _batch_body(world, recordCount=7))
    batch_id = _only(answer)
    assert answer.headers["location"].endswith(f"/batches/{batch_id}")
    assert _batch(world, batch_id)["recordCount"] == 7
    return answer


@covers(CATALOG, "GET /batches/{id}")
def get_batch(world: WireWorld) -> httpx.Response:
    batch_id = _new_batch(world)
    answer = world.call("GET", f"{BASE}/batches/{batch_id}")
    assert list(answer.json()) == [batch_id]
    assert answer.headers["etag"]
    return answer


@covers(CATALOG, "PATCH /batches/{id}")
def change_batch(world: WireWorld) -> httpx.Response:
    batch_id = _new_batch(world)
    answer = world.call("PATCH", f"{BASE}/batches/{batch_id}", {"recordCount": 9})
    assert _batch(world, batch_id)["recordCount"] == 9
    return answer


@covers(CATALOG, "DELETE /batches/{id}")
def delete_batch(world: WireWorld) -> httpx.Response:
    path = f"{BASE}/batches/{_new_batch(world)}"
    answer = world.call("DELETE", path)
    assert world.call("GET", path).status_code == httpx.codes.NOT_FOUND
    return answer


@covers(CATALOG, "PUT /batches/{id}")
def replace_batch(world: WireWorld) -> httpx.Response:
    batch_id = _only(world.call("POST", f"{BASE}/batches", _batch_body(world, recordCount=1)))
    answer = world.call("PUT", f"{BASE}/batches/{batch_id}", _batch_body(world, status="failed", failedRecordCount=2))
    batch = _batch(world, batch_id)
    assert (batch["status"], batch["failedRecordCount"]) == ("failed", 2)
    assert "recordCount" not in batch
    return answer


@covers(CATALOG, "POST /batches/{id}")
def create_batch_with_id(world: WireWorld) -> httpx.Response:
    batch_id = f"named-{next(_NUMBERS)}"
    answer = world.call("POST", f"{BASE}/batches/{batch_id}", _batch_body(world))
    assert _only(answer) == batch_id
    assert _batch(world, batch_id)["status"] == "loading"
    return answer


@covers(CATALOG, "GET /batches/uniques/{field}")
def list_uniques(world: WireWorld) -> httpx.Response:
    _new_batch(world)
    answer = world.call("GET", f"{BASE}/batches/uniques/status", params={"dataSet": world.profiles})
    assert "loading" in answer.json()
    return answer


@covers(CATALOG, "GET /lastBatches")
def list_last_batches(world: WireWorld) -> httpx.Response:
    dataset_id = _new_dataset(world)
    related = [{"type": "dataSet", "id": dataset_id}]
    batch_id = _only(world.call("POST", f"{BASE}/batches", {"status": "loading", "relatedObjects": related}))
    answer = world.call("GET", f"{BASE}/lastBatches", params={"dataSetId": dataset_id})
    assert answer.json()[dataset_id]["lastBatchId"] == batch_id
    return answer


# --- datasets ---


def _dataset_body(world: WireWorld, **more: Any) -> dict[str, Any]:
    return {"name": f"Dataset {next(_NUMBERS)}", "schemaRef": reference_to(world.event_schema), **more}


def _new_dataset(world: WireWorld) -> str:
    return _only(world.call("POST", f"{BASE}/dataSets", _dataset_body(world)))


def _dataset(world: WireWorld, dataset_id: str) -> Any:
    return checked(world.call("GET", f"{BASE}/dataSets/{dataset_id}")).json()[dataset_id]


@covers(CATALOG, "GET /dataSets")
def list_datasets(world: WireWorld) -> httpx.Response:
    answer = world.call("GET", f"{BASE}/dataSets", params={"limit": 100})
    assert {world.profiles, world.events} <= set(answer.json())
    return answer


@covers(CATALOG, "POST /dataSets")
def create_dataset(world: WireWorld) -> httpx.Response:
    answer = world.call("POST", f"{BASE}/dataSets", _dataset_body(world, description="Of a test."))
    assert _dataset(world, _only(answer))["description"] == "Of a test."
    return answer


@covers(CATALOG, "GET /dataSets/{id}")
def get_dataset(world: WireWorld) -> httpx.Response:
    answer = world.call("GET", f"{BASE}/dataSets/{world.events}")
    assert answer.headers["etag"]
    assert answer.json()[world.events]["schemaRef"]["id"] == world.event_schema
    return answer


@covers(CATALOG, "PUT /dataSets/{id}")
def replace_dataset(world: WireWorld) -> httpx.Response:
    dataset_id = _new_dataset(world)
    answer = world.call("PUT", f"{BASE}/dataSets/{dataset_id}", _dataset_body(world, name="Replaced"))
    assert _dataset(world, dataset_id)["name"] == "Replaced"
    return answer


@covers(CATALOG, "PATCH /dataSets/{id}")
def change_dataset(world: WireWorld) -> httpx.Response:
    dataset_id = _new_dataset(world)
    answer = world.call("PATCH", f"{BASE}/dataSets/{dataset_id}", {"description": "Changed."})
    assert _dataset(world, dataset_id)["description"] == "Changed."
    return answer


@covers(CATALOG, "DELETE /dataSets/{id}")
def delete_dataset(world: WireWorld) -> httpx.Response:
    path = f"{BASE}/dataSets/{_new_dataset(world)}"
    answer = world.call("DELETE", path)
    assert world.call("GET", path).status_code == httpx.codes.NOT_FOUND
    return answer


@covers(CATALOG, "PATCH /v2/dataSets/{id}")
def change_dataset_deeply(world: WireWorld) -> httpx.Response:
    dataset_id = _new_dataset(world)
    retention = {"extensions": {"adobe_lakeHouse": {"rowExpiration": {"ttlValue": "P3M"}}}}
    answer = world.call("PATCH", f"{BASE}/v2/dataSets/{dataset_id}", retention)
    assert _dataset(world, dataset_id)["extensions"]["adobe_lakeHouse"]["rowExpiration"]["ttlValue"] == "P3M"
    return answer


# --- views, expiration, several kinds at once ---


@covers(CATALOG, "GET /dataSets/{id}/views")
def list_views(world: WireWorld) -> httpx.Response:
    answer = world.call("GET", f"{BASE}/dataSets/{world.events}/views")
    assert list(answer.json()) == [_dataset(world, world.events)["viewId"]]
    return answer


@covers(CATALOG, "GET /dataSets/{id}/views/{v}")
def get_view(world: WireWorld) -> httpx.Response:
    return world.call("GET", f"{BASE}/dataSets/{world.events}/views/{_dataset(world, world.events)['viewId']}")


@covers(CATALOG, "GET /dataSets/{id}/views/{v}/files")
def list_view_files(world: WireWorld) -> httpx.Response:
    batch_id = world.loaded_batch()
    view = _dataset(world, world.events)["viewId"]
    answer = world.call("GET", f"{BASE}/dataSets/{world.events}/views/{view}/files", params={"limit": 100})
    assert batch_id in [file["batchId"] for file in answer.json().values()]
    return answer


@covers(CATALOG, "GET /ttl/{id}")
def get_retention(world: WireWorld) -> httpx.Response:
    return world.call("GET", f"{BASE}/ttl/{world.events}")


@covers(CATALOG, "GET /")
def list_kinds(world: WireWorld) -> httpx.Response:
    return world.call("GET", f"{BASE}/")


@covers(CATALOG, "POST /")
def several_requests(world: WireWorld) -> httpx.Response:
    made = {"id": "first", "resource": "/dataSets", "method": "post", "body": _dataset_body(world)}
    related = [{"type": "dataSet", "id": "<<first.id>>"}]
    batch = {"id": "second", "resource": "/batches", "method": "post", "body": {"status": "loading", "relatedObjects": related}}
    answer = world.call("POST", f"{BASE}/", [made, batch])
    dataset_id, batch_id = (part["body"][0].rpartition("/")[2] for part in checked(answer).json())
    assert {"type": "dataSet", "id": dataset_id} in _batch(world, batch_id)["relatedObjects"]
    return answer
