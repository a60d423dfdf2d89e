from typing import Any

import httpx
import pytest

from .registry import make_dataset, make_schema

CATALOG = "/data/foundation/catalog"
DATASETS = "/data/foundation/dataset/datasets"
ABSENT = "0" * 24


@pytest.fixture
def schema_id(client: httpx.Client) -> str:
    return make_schema(client, "Customers")


@pytest.fixture
def dataset_id(client: httpx.Client, schema_id: str) -> str:
    return make_dataset(client, "CRM", schema_id)


def labelled_field(schema_id: str, path: str = "/properties/_id", *labels: str) -> dict[str, Any]:
    content_type = "application/vnd.adobe.xed-full+json;version=1"
    return {"option": {"id": schema_id, "contentType": content_type, "schemaPath": path}, "labels": list(labels or ("I1",))}


def create(client: httpx.Client, dataset_id: str, **body: Any) -> httpx.Response:
    return client.post(f"{DATASETS}/{dataset_id}/labels", json=body)


def shown(client: httpx.Client, dataset_id: str) -> dict[str, Any]:
    body: dict[str, Any] = client.get(f"{DATASETS}/{dataset_id}/labels").json()[f"AEP:dataset:{dataset_id}"]
    return body


def test_dataset_without_labels_is_told_in_the_published_words(client: httpx.Client, dataset_id: str) -> None:
    answer = client.get(f"{DATASETS}/{dataset_id}/labels")
    assert answer.status_code == 404
    body = answer.json()
    assert (body["status"], body["code"], body["message"]) == ("NOT_FOUND", "PES-404", "GET Entities Not Found")
    assert body["path"] == f"/entities/AEP:dataset:{dataset_id}"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_unknown_dataset_is_404(client: httpx.Client, method: str) -> None:
    body: dict[str, Any] = {"json": {"labels": []}} if method in ("POST", "PUT") else {}
    answer = client.request(method, f"{DATASETS}/{ABSENT}/labels", headers={"If-Match": '"x"'}, **body)
    assert (answer.status_code, answer.json()["code"]) == (404, "PES-404")
    assert ABSENT in answer.json()["message"]


def test_labels_of_dataset_and_field_are_stored_once_each(client: httpx.Client, dataset_id: str, schema_id: str) -> None:
    field = labelled_field(schema_id)
    made = create(client, dataset_id, labels=["C1", "C2", "C1"], optionalLabels=[field])
    assert made.status_code == 201
    assert made.json() == {"labels": ["C1", "C2"], "optionalLabels": [field]}
    found = shown(client, dataset_id)
    assert (found["labels"], found["optionalLabels"]) == (["C1", "C2"], [field])


def test_labels_outlast_a_change_of_the_dataset_and_are_no_part_of_it(
    client: httpx.Client, dataset_id: str, schema_id: str
) -> None:
    etag = create(client, dataset_id, labels=["C1"]).headers["etag"]
    path = f"{CATALOG}/dataSets/{dataset_id}"
    before = client.get(path).json()[dataset_id]
    replaced = {"name": "Other", "schemaRef": {"id": schema_id}, "usageLabels": {"labels": ["C9"]}}
    assert client.put(path, json=replaced).status_code == 200
    after = client.get(path).json()[dataset_id]
    assert (before["version"], after["version"]) == ("1.0.0", "1.0.1")
    assert "usageLabels" not in after
    assert shown(client, dataset_id)["labels"] == ["C1"]
    assert client.get(f"{DATASETS}/{dataset_id}/labels").headers["etag"] == etag


def test_labels_belong_to_one_sandbox(client: httpx.Client, dataset_id: str) -> None:
    body = {"name": "dev", "title": "Dev", "type": "development"}
    assert client.post("/data/foundation/sandbox-management/sandboxes", json=body).is_success
    create(client, dataset_id, labels=["C1"])
    answer = client.get(f"{DATASETS}/{dataset_id}/labels", headers={"x-sandbox-name": "dev"})
    assert answer.status_code == 404


def test_labels_are_replaced_by_who_has_read_them(client: httpx.Client, dataset_id: str) -> None:
    path = f"{DATASETS}/{dataset_id}/labels"
    first = create(client, dataset_id, labels=["C1"]).headers["etag"]
    assert client.put(path, json={"labels": ["C2"]}).status_code == 428
    second = client.put(path, json={"labels": ["C2"]}, headers={"If-Match": first}).headers["etag"]
    assert first != second
    assert client.put(path, json={"labels": ["C3"]}, headers={"If-Match": first}).status_code == 412
    assert client.delete(path, headers={"If-Match": first}).status_code == 412
    assert shown(client, dataset_id)["labels"] == ["C2"]
    assert client.delete(path, headers={"If-Match": second}).status_code == 200
    assert client.get(path).status_code == 404
    assert client.put(path, json={"labels": ["C2"]}, headers={"If-Match": second}).status_code == 404


def test_second_create_is_refused_and_changes_nothing(client: httpx.Client, dataset_id: str) -> None:
    create(client, dataset_id, labels=["C1"])
    answer = create(client, dataset_id, labels=["C2"])
    assert (answer.status_code, answer.json()["code"]) == (403, "PES-403")
    assert "PUT" in answer.json()["headrace"]["hint"]
    assert shown(client, dataset_id)["labels"] == ["C1"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"labels": "C1"}, "/labels"),
        ({"labels": [1]}, "/labels"),
        ({"labels": ["no label"]}, "/labels"),
        ({"labels": [], "optionalLabels": {}}, "/optionalLabels"),
        ({"labels": [], "optionalLabels": [{"labels": ["C1"]}]}, "/optionalLabels/0/option"),
        ({"labels": [], "optionalLabels": [{"option": {"id": "other"}}]}, "/optionalLabels/0/option/id"),
    ],
)
def test_unacceptable_labels_are_refused_with_their_place(
    client: httpx.Client, dataset_id: str, body: dict[str, Any], path: str
) -> None:
    answer = create(client, dataset_id, **body)
    assert (answer.status_code, answer.json()["headrace"]["path"]) == (400, path)
    assert client.get(f"{DATASETS}/{dataset_id}/labels").status_code == 404


@pytest.mark.parametrize("place", ["", "/", "/properties/nowhere", "properties/_id", "/properties/_id/type"])
def test_only_fields_of_the_schema_can_be_labelled(client: httpx.Client, dataset_id: str, schema_id: str, place: str) -> None:
    answer = create(client, dataset_id, labels=[], optionalLabels=[labelled_field(schema_id, place)])
    assert (answer.status_code, answer.json()["headrace"]["path"]) == (400, "/optionalLabels/0/option/schemaPath")


def test_catalog_has_the_same_labels_under_its_path(client: httpx.Client, dataset_id: str) -> None:
    path = f"{CATALOG}/dataSets/{dataset_id}/labels"
    etag = client.post(path, json={"labels": ["C1"]}).headers["etag"]
    assert shown(client, dataset_id)["labels"] == ["C1"]
    assert client.delete(path, headers={"If-Match": etag}).status_code == 200
    assert client.get(path).status_code == 404
