"""Dataset service: the labels of datasets and of their fields."""

from typing import Any

import httpx

from tests.conformance.wire.calls import covers
from tests.conformance.wire.operations import DATASET_SERVICE
from tests.conformance.wire.world import WireWorld
from tests.integration.world import checked, reference_to

BASE = DATASET_SERVICE.base


def _path(dataset_id: str) -> str:
    return f"{BASE}/datasets/{dataset_id}/labels"


def _body(world: WireWorld, *labels: str) -> dict[str, Any]:
    field = {**reference_to(world.profile_schema), "schemaPath": "/properties/personalEmail/properties/address"}
    return {"labels": list(labels), "optionalLabels": [{"option": field, "labels": ["I1"]}]}


def _labelled(world: WireWorld, *labels: str) -> tuple[str, str]:
    """Make a dataset with labels, and return its id and their version."""
    dataset_id = world.dataset("Labelled", world.profile_schema, is_enabled=False)
    made = checked(world.call("POST", _path(dataset_id), _body(world, *labels)))
    return dataset_id, made.headers["etag"]


def _labels(answer: httpx.Response) -> Any:
    [labels] = checked(answer).json().values()
    return labels


@covers(DATASET_SERVICE, "GET /datasets/{id}/labels")
def get_labels(world: WireWorld) -> httpx.Response:
    dataset_id, etag = _labelled(world, "C1")
    answer = world.call("GET", _path(dataset_id))
    assert answer.headers["etag"] == etag
    assert _labels(answer)["labels"] == ["C1"]
    return answer


@covers(DATASET_SERVICE, "POST /datasets/{id}/labels")
def create_labels(world: WireWorld) -> httpx.Response:
    dataset_id = world.dataset("To label", world.profile_schema, is_enabled=False)
    assert world.call("GET", _path(dataset_id)).json()["code"] == "PES-404"
    answer = world.call("POST", _path(dataset_id), _body(world, "C2"))
    shown = _labels(world.call("GET", _path(dataset_id)))
    assert (shown["labels"], shown["optionalLabels"]) == (["C2"], _body(world)["optionalLabels"])
    assert world.call("POST", _path(dataset_id), _body(world, "C3")).status_code == httpx.codes.FORBIDDEN
    return answer


@covers(DATASET_SERVICE, "PUT /datasets/{id}/labels")
def replace_labels(world: WireWorld) -> httpx.Response:
    dataset_id, etag = _labelled(world, "C1")
    assert world.call("PUT", _path(dataset_id), {"labels": []}).status_code == httpx.codes.PRECONDITION_REQUIRED
    answer = world.call("PUT", _path(dataset_id), {"labels": ["C9"]}, headers={"If-Match": etag})
    shown = _labels(world.call("GET", _path(dataset_id)))
    assert (shown["labels"], shown["optionalLabels"]) == (["C9"], [])
    stale = world.call("PUT", _path(dataset_id), {"labels": []}, headers={"If-Match": etag})
    assert stale.status_code == httpx.codes.PRECONDITION_FAILED
    return answer


@covers(DATASET_SERVICE, "DELETE /datasets/{id}/labels")
def delete_labels(world: WireWorld) -> httpx.Response:
    dataset_id, etag = _labelled(world, "C1")
    answer = world.call("DELETE", _path(dataset_id), headers={"If-Match": etag})
    assert world.call("GET", _path(dataset_id)).status_code == httpx.codes.NOT_FOUND
    return answer


@covers(DATASET_SERVICE, "HEAD /datasets/{id}/labels")
def show_label_headers(world: WireWorld) -> httpx.Response:
    dataset_id, etag = _labelled(world, "C1")
    answer = world.call("HEAD", _path(dataset_id))
    assert answer.headers["etag"] == etag
    return answer
