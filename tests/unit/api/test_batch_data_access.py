"""Data Access: what a batch brought, what it set aside, and the first rows of a dataset."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from headrace.api.build import build_api
from headrace.api.services import Services
from headrace.clock import ManualClock
from headrace.ingest.quarantine import Quarantine, QuarantinedMessage, encode_quarantined
from headrace.model import Sandbox
from headrace.schemas import Violation
from tests.asgi import AsgiTransport
from tests.unit.api.batch_kit import EXPORT, Backstage, act, event, ingest, lines, open_batch, upload
from tests.unit.api.registry import make_dataset, make_schema


@pytest.fixture
def backstage(services: Services, home: Path, clock: ManualClock) -> Iterator[Backstage]:
    stage = Backstage(services, home, clock)
    yield stage
    stage.close()


@pytest.fixture
def client(backstage: Backstage, headers: dict[str, str]) -> Iterator[httpx.Client]:
    transport = AsgiTransport(build_api(backstage.services))
    with httpx.Client(transport=transport, base_url="http://127.0.0.1:8900", headers=headers) as made:
        yield made


@pytest.fixture
def visits(client: httpx.Client) -> str:
    """A dataset of events, table ``visits``."""
    return make_dataset(client, "Visits", make_schema(client, "Visits", is_event=True))


def data(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


def href(row: dict[str, Any]) -> str:
    return str(row["_links"]["self"]["href"])


def test_a_promoted_batch_can_be_followed_from_list_to_bytes(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    batch_id = ingest(client, backstage, visits, event(1), event(2))
    listed = client.get(f"{EXPORT}/batches/{batch_id}/files")
    [entry] = data(listed)
    assert entry["dataSetFileId"] == f"{batch_id}-1"
    assert (entry["records"], entry["isValid"]) == ("2", True)
    assert all(isinstance(entry[name], str) for name in ("created", "updated", "size", "version", "dataSetViewId"))
    assert listed.json()["_page"] == {"limit": 100, "count": 1}
    assert listed.json()["_links"]["page"]["templated"] is True
    assert "next" not in listed.json()["_links"]
    [part] = data(client.get(href(entry)))
    assert part["length"] == entry["size"]
    answer = client.get(href(part))
    assert answer.headers["content-type"] == "application/parquet"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-length"] == part["length"]
    rows = pq.read_table(io.BytesIO(answer.content)).to_pylist()
    assert [row["_id"] for row in rows] == ["e1", "e2"]


def test_ranges_end_inclusively(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    batch_id = ingest(client, backstage, visits, event(1))
    [part] = data(client.get(f"{EXPORT}/files/{batch_id}-1"))
    url, whole = href(part), client.get(href(part)).content
    length = len(whole)

    def fetch(text: str) -> httpx.Response:
        return client.get(url, headers={"Range": text})

    first = fetch("bytes=0-99")
    assert (first.status_code, first.content) == (206, whole[:100])
    assert first.headers["content-range"] == f"bytes 0-99/{length}"
    assert first.headers["content-length"] == "100"
    assert fetch(f"bytes={length - 5}-").content == whole[-5:]
    assert fetch("bytes=-7").content == whole[-7:]
    assert fetch(f"bytes=10-{length + 500}").content == whole[10:]
    beyond = fetch(f"bytes={length}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{length}")
    for text in ("bytes=0-1,5-6", "lines=0-1", "bytes=-", "bytes=9-2"):
        assert (fetch(text).status_code, len(fetch(text).content)) == (200, length), text
    by_query = client.get(url, params={"path": part["name"], "range": "bytes=0-3"})
    assert (by_query.status_code, by_query.content) == (206, whole[:4])


def test_head_tells_length_and_type(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    batch_id = ingest(client, backstage, visits, event(1))
    [part] = data(client.get(f"{EXPORT}/files/{batch_id}-1"))
    answer = client.head(f"{EXPORT}/files/{batch_id}-1", params={"path": part["name"]})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == part["length"]
    assert answer.headers["accept-ranges"] == "bytes"
    assert client.head(f"{EXPORT}/files/{batch_id}-1").status_code == 400
    assert client.head(f"{EXPORT}/files/{batch_id}-1", params={"path": "none"}).status_code == 404


def test_a_batch_that_is_not_promoted_has_no_files(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    batch_id = open_batch(client, visits)
    assert data(client.get(f"{EXPORT}/batches/{batch_id}/files")) == []
    promoted = ingest(client, backstage, visits, event(1))
    act(client, promoted, "REVERT")
    assert data(client.get(f"{EXPORT}/batches/{promoted}/files")) == []
    assert client.get(f"{EXPORT}/files/{promoted}-1").status_code == 404


@pytest.mark.parametrize("file_id", ["none", "none-1", "..%2F..-1", "-1"])
def test_unknown_files_are_not_found(client: httpx.Client, file_id: str) -> None:
    answer = client.get(f"{EXPORT}/files/{file_id}")
    assert answer.status_code == 404
    assert answer.json()["type"] == "http://ns.adobe.com/aep/errors/DAS-1001-404"


def test_unknown_batches_are_not_found(client: httpx.Client) -> None:
    for place in ("files", "failed", "meta"):
        assert client.get(f"{EXPORT}/batches/NONE/{place}").status_code == 404
        assert client.get(f"{EXPORT}/batches/..%2F..%2Fx/{place}").status_code == 404


def test_a_batch_whose_id_is_a_path_shows_no_folder(client: httpx.Client, visits: str) -> None:
    body = {"status": "failed", "relatedObjects": [{"type": "dataSet", "id": visits}]}
    client.post("/data/foundation/catalog/batches/..", json=body)
    client.post("/data/foundation/catalog/batches/%2E%2E%2Fstaging", json=body)
    for name in ("..", "%2E%2E", "%2E%2E%2Fstaging"):
        for place in ("failed", "meta"):
            assert client.get(f"{EXPORT}/batches/{name}/{place}").status_code == 404


def test_row_errors_are_served_under_meta(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    batch_id = ingest(client, backstage, visits, event(1), event(2, timestamp="soon"), {"_id": "x"}, partialIngestionPercent=90)
    url = f"{EXPORT}/batches/{batch_id}/meta"
    assert [row["name"] for row in data(client.get(url))] == ["row_errors", "input_files", "row_errors_sample.json"]
    listed = data(client.get(url, params={"path": "row_errors"}))
    assert [row["name"] for row in listed] == ["conversion_errors_0.json", "validation_errors_0.json"]
    content = client.get(href(listed[0]))
    assert content.headers["content-type"] == "application/json"
    [line] = [json.loads(text) for text in content.text.splitlines()]
    assert line["_errors"][0]["code"] == "1902"
    assert line["_filename"] == "rows.json"
    assert client.get(url, params={"path": "row_errors/conversion_errors_0.json"}).content == content.content
    assert client.get(url, params={"path": "input_files/fileMetaData1.json"}).text == '{"path":"rows.json"}\n'
    for sample in ("row_errors_sample.json", "row_error_samples.json"):
        assert len(client.get(url, params={"path": sample}).text.splitlines()) == 2
    for wrong in ("row_errors/none.json", "other", "row_errors/../row_errors_sample.json", "input_files/x"):
        assert client.get(url, params={"path": wrong}).status_code == 404
    assert data(client.get(f"{EXPORT}/batches/{batch_id}/failed")) == []


def test_a_failed_batch_lists_its_errors(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    batch_id = ingest(client, backstage, visits, {"_id": "x"}, enableErrorDiagnostics=True)
    listed = data(client.get(f"{EXPORT}/batches/{batch_id}/failed"))
    assert [(row["name"], row["length"] == "0") for row in listed] == [("_SUCCESS", True), ("validation_errors_0.json", False)]
    assert client.get(href(listed[0])).content == b""
    assert json.loads(client.get(href(listed[1])).text)["_id"] == "x"
    assert client.get(f"{EXPORT}/batches/{batch_id}/failed", params={"path": "none"}).status_code == 404


def test_streamed_messages_that_failed_are_served(client: httpx.Client, backstage: Backstage, visits: str, prod: Sandbox) -> None:
    dataset = backstage.services.catalog.dataset(prod, visits)
    violation = Violation("#/_id", "type", "DCVS-1104-400", "expected type: String, found: Long", "#/properties/_id")
    message = b'{"header":{"datasetId":"d"},"body":{"xdmEntity":{"_id":5}}}'
    entry = QuarantinedMessage(prod.number, dataset.number, "inlet", "flow", message, (violation,), False, 1_800_000_000_000)
    backstage.log.topic("quarantine").append([encode_quarantined(entry)])
    found: list[str] = []

    class Book:
        def put(self, batch: Any) -> None:
            backstage.services.batches.create(prod, dataset, {"metrics": batch.metrics}, batch_id=batch.id, status="failed")
            found.append(batch.id)

    Quarantine(backstage.log.topic("quarantine"), backstage.home / "quarantine", Book()).roll()
    [batch_id] = found
    listed = data(client.get(f"{EXPORT}/batches/{batch_id}/failed"))
    assert [row["name"] for row in listed] == ["_SUCCESS", "failed_records.json"]
    record = json.loads(client.get(href(listed[1])).text)
    assert record["body"] == {"xdmEntity": {"_id": 5}}
    assert record["_errors"]["_streamingValidation"][0]["message"] == "expected type: String, found: Long"


def test_lists_are_paged_by_offset_or_by_name(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    batch_id = ingest(client, backstage, visits, event(1, timestamp="soon"), {"_id": "x"}, enableErrorDiagnostics=True)
    url = f"{EXPORT}/batches/{batch_id}/failed"
    first = client.get(url, params={"limit": 2}).json()
    assert [row["name"] for row in first["data"]] == ["_SUCCESS", "conversion_errors_0.json"]
    assert first["_page"] == {"limit": 2, "count": 2}
    second = client.get(first["_links"]["next"]["href"]).json()
    assert [row["name"] for row in second["data"]] == ["validation_errors_0.json"]
    assert "next" not in second["_links"]
    named = client.get(url, params={"start": "validation_errors_0.json"}).json()
    assert [row["name"] for row in named["data"]] == ["validation_errors_0.json"]
    assert client.get(url, params={"limit": "many"}).status_code == 400


def test_a_preview_shows_at_most_a_hundred_rows(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    assert data(client.get(f"{EXPORT}/datasets/{visits}/preview")) == []
    ingest(client, backstage, visits, *[event(number) for number in range(120)])
    rows = data(client.get(f"{EXPORT}/datasets/{visits}/preview"))
    assert len(rows) == 100
    assert rows[0] == {**event(0), "timestamp": "2027-02-01T09:00:00.000Z"}
    assert client.get(f"{EXPORT}/datasets/{'0' * 24}/preview").status_code == 404


def test_another_sandbox_sees_nothing(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    batch_id = ingest(client, backstage, visits, event(1), event(2, hue=1), partialIngestionPercent=60)
    backstage.services.sandboxes.create("dev", "Development", "development", user_id="u")
    elsewhere = {"x-sandbox-name": "dev"}
    assert client.get(f"{EXPORT}/batches/{batch_id}/files").status_code == 200
    for place in (
        f"batches/{batch_id}/files",
        f"batches/{batch_id}/failed",
        f"batches/{batch_id}/meta",
        f"files/{batch_id}-1",
        f"datasets/{visits}/preview",
    ):
        assert client.get(f"{EXPORT}/{place}", headers=elsewhere).status_code == 404, place
    other = open_batch(client, visits)
    client.headers.update(elsewhere)
    assert upload(client, other, visits, "a", lines(event(3))).status_code == 404
    assert act(client, other, "COMPLETE").status_code == 404
