import httpx
import pytest

from headrace.api.services import Services
from headrace.catalog.batches import BatchFilter
from headrace.clock import ManualClock

from .registry import make_dataset, make_schema

BATCHES = "/data/foundation/catalog/batches"


@pytest.fixture
def dataset_id(client: httpx.Client) -> str:
    return make_dataset(client, "CRM", make_schema(client, "Customers"))


def related(dataset_id: str) -> list[dict[str, str]]:
    return [{"type": "dataSet", "id": dataset_id}]


def test_batch_is_created_and_looked_up_by_its_id(client: httpx.Client, dataset_id: str) -> None:
    body = {"status": "LOADING", "relatedObjects": related(dataset_id), "inputFormat": {"format": "json"}}
    answer = client.post(BATCHES, json=body)
    assert answer.status_code == 201
    batch_id = answer.json()[0].removeprefix("@/batches/")
    assert len(batch_id) == 26
    found = client.get(f"{BATCHES}/{batch_id}").json()[batch_id]
    assert found["status"] == "loading"
    assert found["version"] == "1.0.0"
    assert found["externalId"] == batch_id
    assert found["relatedObjects"] == related(dataset_id)
    assert client.get(f"/data/foundation/catalog/batch/{batch_id}").status_code == 200


@pytest.mark.parametrize("body", [{}, {"status": "sleeping"}, {"status": 5}])
def test_batch_needs_a_known_status(client: httpx.Client, body: dict[str, object]) -> None:
    assert client.post(BATCHES, json=body).status_code == 400


def test_batch_of_unknown_dataset_is_refused(client: httpx.Client) -> None:
    assert client.post(BATCHES, json={"status": "loading", "relatedObjects": related("66aa")}).status_code == 404


def test_id_of_a_batch_is_given_once(client: httpx.Client) -> None:
    assert client.post(f"{BATCHES}/b1", json={"status": "loading"}).status_code == 201
    assert client.post(f"{BATCHES}/b1", json={"status": "loading"}).status_code == 409


def test_changes_raise_the_version(client: httpx.Client) -> None:
    client.post(f"{BATCHES}/b1", json={"status": "loading", "size": 5})
    assert client.patch(f"{BATCHES}/b1", json={"status": "success", "recordCount": 7}).json() == ["@/batches/b1"]
    assert client.patch(f"{BATCHES}/b1", json=[{"op": "replace", "path": "/recordCount", "value": 8}]).status_code == 200
    operation = {"op": "add", "path": "/tags/a", "value": ["x"]}
    assert client.patch(f"{BATCHES}/b1", json=operation).status_code == 200
    found = client.get(f"{BATCHES}/b1").json()["b1"]
    assert (found["status"], found["recordCount"], found["size"], found["tags"]) == ("success", 8, 5, {"a": ["x"]})
    assert found["version"] == "1.0.3"
    assert client.put(f"{BATCHES}/b1", json={"status": "failed"}).status_code == 200
    found = client.get(f"{BATCHES}/b1").json()["b1"]
    assert found["status"] == "failed"
    assert "size" not in found


def test_stale_version_of_a_batch_is_refused(client: httpx.Client) -> None:
    client.post(f"{BATCHES}/b1", json={"status": "loading"})
    assert client.patch(f"{BATCHES}/b1", json={"size": 1}, headers={"If-Match": '"1.0.0"'}).status_code == 200
    assert client.patch(f"{BATCHES}/b1", json={"size": 2}, headers={"If-Match": '"1.0.0"'}).status_code == 412


def test_deleted_batch_is_gone(client: httpx.Client) -> None:
    client.post(f"{BATCHES}/b1", json={"status": "loading"})
    assert client.delete(f"{BATCHES}/b1").json() == ["@/batches/b1"]
    answer = client.get(f"{BATCHES}/b1")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "batch b1 was not found"


@pytest.fixture
def four(client: httpx.Client, dataset_id: str, clock: ManualClock) -> None:
    for batch_id, status, has_dataset in (
        ("b1", "success", True),
        ("b2", "active", False),
        ("b3", "failed", True),
        ("b4", "loading", True),
    ):
        body = {"status": status, "relatedObjects": related(dataset_id) if has_dataset else []}
        client.post(f"{BATCHES}/{batch_id}", json=body)
        clock.move_to(clock.now_ms() + 1000)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, "b4 b3 b2 b1"),
        ({"status": "success"}, "b2 b1"),
        ({"status": "failure,loading"}, "b4 b3"),
        ({"dataSet": "DATASET"}, "b4 b3 b1"),
        ({"dataSet": "66aa"}, ""),
        ({"batch": "b1,b3"}, "b3 b1"),
        ({"orderBy": "asc:created", "limit": "2"}, "b1 b2"),
        ({"start": "3"}, "b1"),
        ({"createdAfter": "1802592001000"}, "b4 b3"),
        ({"createdBefore": "1802592001000"}, "b1"),
        ({"property": "status!=loading"}, "b3 b2 b1"),
        ({"batch": "!b1,b3"}, "b4 b2"),
        ({"dataSet": "!DATASET"}, "b2"),
    ],
)
@pytest.mark.usefixtures("four")
def test_batches_are_listed(client: httpx.Client, dataset_id: str, query: dict[str, str], ids: str) -> None:
    query = {name: value.replace("DATASET", dataset_id) for name, value in query.items()}
    assert list(client.get(BATCHES, params=query).json()) == ids.split()


@pytest.mark.usefixtures("four")
def test_unique_values_of_a_member(client: httpx.Client) -> None:
    assert client.get(f"{BATCHES}/uniques/status").json() == ["loading", "failed", "active", "success"]
    assert client.get(f"{BATCHES}/uniques/id", params={"status": "failed"}).json() == ["b3"]


@pytest.mark.usefixtures("four")
def test_last_batches_of_each_dataset(client: httpx.Client, dataset_id: str) -> None:
    found = client.get("/data/foundation/catalog/lastBatches", params={"dataSetId": dataset_id}).json()[dataset_id]
    assert found["lastBatchId"] == "b4"
    assert found["lastBatchStatus"] == "loading"
    assert found["lastSuccessfulBatchId"] == "b1"
    assert found["lastFailedBatchId"] == "b3"
    dataset = client.get(f"/data/foundation/catalog/dataSets/{dataset_id}").json()[dataset_id]
    assert (dataset["lastBatchId"], dataset["lastSuccessfulBatch"]) == ("b4", "b1")


def test_many_batches_are_read_piece_by_piece(services: Services) -> None:
    sandbox = services.sandboxes.default()
    for number in range(1203):
        services.batches.create(sandbox, None, {}, batch_id=f"b{number:04}", status="success")
    assert len(list(services.batches.list(sandbox))) == 1203
    assert not list(services.batches.list(sandbox, BatchFilter(statuses=("failed",))))


def test_files_of_a_batch_are_noted(services: Services) -> None:
    sandbox = services.sandboxes.default()
    batch = services.batches.create(sandbox, None, {})
    assert services.batches.put_file(batch.id, "a/b.json", size_bytes=3, is_complete=False)
    assert not services.batches.put_file(batch.id, "a/b.json", size_bytes=9, body={"x": 1})
    [file] = services.batches.files(batch.id)
    assert (file.name, file.size_bytes, file.is_complete, file.body) == ("a/b.json", 9, True, {"x": 1})
