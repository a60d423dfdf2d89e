"""Streaming ingestion, batch ingestion, and Data Access to what came in."""

from itertools import count
from typing import Any

import httpx

from tests.conformance.wire.calls import covers
from tests.conformance.wire.operations import BATCH_INGESTION, DATA_ACCESS, STREAMING
from tests.conformance.wire.world import WireWorld, event_row, file_path
from tests.integration.world import checked

IMPORT, EXPORT = BATCH_INGESTION.base, DATA_ACCESS.base
OCTETS = {"Content-Type": "application/octet-stream"}
_NUMBERS = count(1)


# --- streaming ---


def _message(world: WireWorld) -> dict[str, Any]:
    return world.event(f"streamed-{next(_NUMBERS)}", "2027-02-01T09:00:00Z", "visit", "1")


def _send(world: WireWorld, prefix: str = "") -> httpx.Response:
    return world.api.http.post(f"{prefix}{world.inlet}", json=_message(world), params={"syncValidation": "true"})


def _send_batch(world: WireWorld, prefix: str = "") -> httpx.Response:
    path = prefix + world.inlet.replace("/collection/", "/collection/batch/")
    invalid = {**_message(world), "body": {}}
    answer = world.api.http.post(path, json={"messages": [_message(world), invalid]})
    assert len(answer.json()["responses"]) == 2
    return answer


@covers(STREAMING, "POST /collection/{inlet}")
def send(world: WireWorld) -> httpx.Response:
    return _send(world)


@covers(STREAMING, "POST /collection/batch/{inlet}")
def send_batch(world: WireWorld) -> httpx.Response:
    return _send_batch(world)


@covers(BATCH_INGESTION, "POST /collection/{inlet}")
def send_by_alias(world: WireWorld) -> httpx.Response:
    return _send(world, IMPORT)


@covers(BATCH_INGESTION, "POST /collection/batch/{inlet}")
def send_batch_by_alias(world: WireWorld) -> httpx.Response:
    return _send_batch(world, IMPORT)


# --- batch ingestion ---


@covers(BATCH_INGESTION, "POST /batches")
def open_batch(world: WireWorld) -> httpx.Response:
    return world.call("POST", f"{IMPORT}/batches", {"datasetId": world.events, "inputFormat": {"format": "json"}})


@covers(BATCH_INGESTION, "POST /batches/{b}")
def end_batch(world: WireWorld) -> httpx.Response:
    batch_id = world.open_batch(event_row("ended"))
    answer = world.call("POST", f"{IMPORT}/batches/{batch_id}", params={"action": "COMPLETE"})
    world.bring_in()
    assert world.batch(batch_id)["status"] == "success"
    return answer


@covers(BATCH_INGESTION, "PUT /batches/{b}/datasets/{d}/files/{path}")
def upload_file(world: WireWorld) -> httpx.Response:
    path = file_path(world.open_batch(), world.events, "folder/rows.json")
    assert checked(world.call("PUT", path, content=b"{}", headers=OCTETS)).status_code == httpx.codes.CREATED
    return world.call("PUT", path, content=b"{}\n", headers=OCTETS)


def _begun_file(world: WireWorld) -> str:
    path = file_path(world.open_batch(), world.events, "large.json")
    checked(world.call("POST", path, params={"action": "INITIALIZE"}, headers=OCTETS))
    return path


def _upload_part(world: WireWorld, path: str) -> httpx.Response:
    return world.call("PATCH", path, content=b"{}\n", headers={**OCTETS, "Content-Range": "bytes 0-2/3"})


@covers(BATCH_INGESTION, "PATCH /batches/{b}/datasets/{d}/files/{path}")
def upload_part(world: WireWorld) -> httpx.Response:
    return _upload_part(world, _begun_file(world))


@covers(BATCH_INGESTION, "POST /batches/{b}/datasets/{d}/files/{path}")
def finish_file(world: WireWorld) -> httpx.Response:
    path = _begun_file(world)
    checked(_upload_part(world, path))
    return world.call("POST", path, params={"action": "COMPLETE"}, headers=OCTETS)


@covers(BATCH_INGESTION, "HEAD /batches/{b}/datasets/{d}/files/{path}")
def show_file_status(world: WireWorld) -> httpx.Response:
    path = _begun_file(world)
    checked(_upload_part(world, path))
    answer = world.call("HEAD", path)
    assert answer.headers["range"].endswith("0-2")
    return answer


@covers(BATCH_INGESTION, "GET /batches/{b}/datasets/{d}/preview")
def preview_batch(world: WireWorld) -> httpx.Response:
    batch_id = world.open_batch(event_row("shown"))
    answer = world.call(
        "GET", f"{IMPORT}/batches/{batch_id}/datasets/{world.events}/preview", params={"format": "json", "nrow": 5}
    )
    assert "shown" in answer.json()["preview"]["rows"][0].values()
    return answer


# --- Data Access ---


def _first_file(world: WireWorld) -> str:
    listed = checked(world.call("GET", f"{EXPORT}/batches/{world.loaded_batch()}/files")).json()
    return str(listed["data"][0]["dataSetFileId"])


@covers(DATA_ACCESS, "GET /batches/{id}/files")
def list_files(world: WireWorld) -> httpx.Response:
    answer = world.call("GET", f"{EXPORT}/batches/{world.loaded_batch()}/files")
    assert answer.json()["data"][0]["records"] == "1"
    return answer


@covers(DATA_ACCESS, "GET /batches/{id}/failed")
def list_failed(world: WireWorld) -> httpx.Response:
    batch_id = world.ingested({"_id": "broken", "timestamp": "never"})
    assert world.batch(batch_id)["status"] == "failed"
    answer = world.call("GET", f"{EXPORT}/batches/{batch_id}/failed")
    assert answer.json()["data"]
    return answer


@covers(DATA_ACCESS, "GET /batches/{id}/meta")
def list_meta(world: WireWorld) -> httpx.Response:
    batch_id = world.ingested({"_id": "broken", "timestamp": "never"})
    answer = world.call("GET", f"{EXPORT}/batches/{batch_id}/meta")
    assert "row_errors" in [entry["name"] for entry in answer.json()["data"]]
    return answer


@covers(DATA_ACCESS, "GET /files/{id}")
def list_parts(world: WireWorld) -> httpx.Response:
    path = f"{EXPORT}/files/{_first_file(world)}"
    answer = world.call("GET", path)
    name = answer.json()["data"][0]["name"]
    part = world.call("GET", path, params={"path": name}, headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (httpx.codes.PARTIAL_CONTENT, b"PAR1")
    return answer


@covers(DATA_ACCESS, "HEAD /files/{id}")
def show_part_headers(world: WireWorld) -> httpx.Response:
    path = f"{EXPORT}/files/{_first_file(world)}"
    entry = checked(world.call("GET", path)).json()["data"][0]
    answer = world.call("HEAD", path, params={"path": entry["name"]})
    assert answer.headers["content-length"] == entry["length"]
    return answer


@covers(DATA_ACCESS, "GET /datasets/{id}/preview")
def preview_dataset(world: WireWorld) -> httpx.Response:
    world.loaded_batch()
    answer = world.call("GET", f"{EXPORT}/datasets/{world.events}/preview")
    assert answer.json()["data"]
    return answer
