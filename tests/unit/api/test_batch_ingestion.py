"""Batch Ingestion, from the call to the lake."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.requests import Request

from headrace.api.batch_ingestion import _received
from headrace.api.services import Services
from headrace.clock import ManualClock
from headrace.ingest.uploads import Upload
from headrace.model import BatchReady, BatchReverted, Sandbox, decode_entry
from headrace.storage.errors import StorageFull
from headrace.storage.lake import TableId
from tests.unit.api.batch_kit import (
    IMPORT,
    OCTETS,
    Backstage,
    act,
    catalog_batch,
    event,
    ingest,
    lines,
    open_batch,
    upload,
    zipped,
)
from tests.unit.api.registry import make_dataset, make_schema

VISITS = TableId(1, "visits")


@pytest.fixture
def backstage(services: Services, home: Path, clock: ManualClock) -> Iterator[Backstage]:
    stage = Backstage(services, home, clock)
    yield stage
    stage.close()


@pytest.fixture
def client(backstage: Backstage, headers: dict[str, str]) -> Iterator[httpx.Client]:
    from headrace.api.build import build_api
    from tests.asgi import AsgiTransport

    with httpx.Client(
        transport=AsgiTransport(build_api(backstage.services)), base_url="http://127.0.0.1:8900", headers=headers
    ) as made:
        yield made


@pytest.fixture
def visits(client: httpx.Client) -> str:
    """A dataset of events, table ``visits``."""
    return make_dataset(client, "Visits", make_schema(client, "Visits", is_event=True))


def stored_ids(backstage: Backstage, batch_id: str | None = None) -> list[str]:
    return [row.entity["_id"] for row in backstage.lake.read(VISITS, batch_id=batch_id)]


# --- life cycle -----------------------------------------------------------------------------------------------------------


def test_a_batch_is_answered_as_an_object(client: httpx.Client, visits: str, clock: ManualClock) -> None:
    body = {
        "datasetId": visits,
        "inputFormat": {"format": "JSON", "isMultiLineJson": True},
        "externalId": "crm-1",
        "partialIngestionPercentage": 5,
        "tags": {"source": ["crm"]},
    }
    answer = client.post(f"{IMPORT}/batches", json=body)
    assert answer.status_code == 201
    batch = answer.json()
    assert len(batch["id"]) == 26
    assert batch["status"] == "loading"
    assert batch["version"] == "1.0.0"
    assert batch["relatedObjects"] == [{"type": "dataSet", "id": visits}]
    assert batch["inputFormat"] == {"format": "json", "isMultiLineJson": True}
    assert batch["externalId"] == "crm-1"
    assert batch["created"] == batch["updated"] == clock.now_ms()
    assert batch["tags"] == {"source": ["crm"], "acp_enableErrorDiagnostics": True, "acp_partialIngestionPercent": 5}
    assert batch["imsOrg"].endswith("@AdobeOrg")


def test_a_batch_goes_from_loading_to_success(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    batch_id = open_batch(client, visits)
    assert upload(client, batch_id, visits, "a/part 1.json", lines(event(1), event(2))).status_code == 201
    assert upload(client, batch_id, visits, "b%2Fpart.json", lines(event(3))).status_code == 201
    assert act(client, batch_id, "complete").json()["status"] == "loaded"
    assert act(client, batch_id, "COMPLETE").status_code == 200
    backstage.load()
    assert catalog_batch(client, batch_id)["status"] == "staging"
    assert act(client, batch_id, "COMPLETE").json()["status"] == "staging"
    backstage.settle()
    batch = catalog_batch(client, batch_id)
    assert batch["status"] == "success"
    assert batch["metrics"]["inputFileCount"] == 2
    assert batch["metrics"]["inputRecordCount"] == batch["metrics"]["outputRecordCount"] == 3
    assert batch["metrics"]["failedRecordCount"] == 0
    assert batch["metrics"]["outputByteSize"] > 0
    assert batch["recordCount"] == 3
    assert {"started", "completed", "externalId", "inputFormat"} <= set(batch)
    assert stored_ids(backstage) == ["e1", "e2", "e3"]
    assert stored_ids(backstage, batch_id) == ["e1", "e2", "e3"]


def test_the_dataset_learns_what_it_holds(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    ingest(client, backstage, visits, event(1))
    body = client.get(f"/data/foundation/catalog/dataSets/{visits}").json()[visits]
    assert body["extensions"]["adobe_lakeHouse"]["metrics"]["rowCount"] == 1
    assert set(body["observableSchema"]["properties"]) == {"_id", "timestamp", "eventType"}


@pytest.mark.parametrize(("action", "status"), [("ABORT", "aborted"), ("FAIL", "failed")])
def test_an_open_batch_can_be_given_up(client: httpx.Client, backstage: Backstage, visits: str, action: str, status: str) -> None:
    batch_id = open_batch(client, visits)
    upload(client, batch_id, visits, "a.json", lines(event(1)))
    assert act(client, batch_id, action).json()["status"] == status
    assert not (backstage.home / "staging" / batch_id).exists()
    for again in ("COMPLETE", "ABORT", "FAIL", "REVERT"):
        answer = act(client, batch_id, again)
        assert answer.status_code == 409, again
        assert answer.json()["type"] == "http://ns.adobe.com/aep/errors/ING-1002-409"
    assert upload(client, batch_id, visits, "b.json", b"{}").status_code == 409


def test_a_completed_batch_takes_no_files_and_no_abort(client: httpx.Client, visits: str) -> None:
    batch_id = open_batch(client, visits)
    act(client, batch_id, "COMPLETE")
    assert upload(client, batch_id, visits, "a.json", lines(event(1))).status_code == 409
    assert act(client, batch_id, "ABORT").status_code == 409
    assert act(client, batch_id, "REVERT").status_code == 409


def test_a_batch_without_files_fails(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    batch_id = open_batch(client, visits)
    act(client, batch_id, "COMPLETE")
    backstage.settle()
    batch = catalog_batch(client, batch_id)
    assert batch["status"] == "failed"
    assert batch["errors"][0]["code"] == "106"


def test_an_idle_batch_is_abandoned_after_a_day(
    client: httpx.Client, backstage: Backstage, visits: str, clock: ManualClock, prod: Sandbox
) -> None:
    batch_id = open_batch(client, visits)
    clock.move_to(clock.now_ms() + 3_600_000)
    upload(client, batch_id, visits, "a.json", b"{}")
    due = backstage.book.abandon_idle()
    assert due == clock.now_ms() + 24 * 3_600_000
    clock.move_to(due - 1)
    backstage.book.abandon_idle()
    assert backstage.services.batches.batch(prod, batch_id).status == "loading"
    clock.move_to(due)
    assert backstage.book.abandon_idle() is None
    assert backstage.services.batches.batch(prod, batch_id).status == "abandoned"


def test_an_unknown_action_names_the_known_ones(client: httpx.Client, visits: str) -> None:
    answer = act(client, open_batch(client, visits), "DELETE")
    assert answer.status_code == 400
    assert "COMPLETE, ABORT, FAIL, REVERT" in answer.json()["detail"]


# --- revert and replay ------------------------------------------------------------------------------------------------------


def test_a_reverted_batch_leaves_the_lake_and_frees_its_events(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    first = ingest(client, backstage, visits, event(1), event(2))
    assert act(client, first, "REVERT").json()["status"] == "inactive"
    backstage.settle()
    assert stored_ids(backstage) == []
    entries = [decode_entry(data) for _, data in backstage.log.topic("records").read(0, limit=10)]
    assert isinstance(entries[-1], BatchReverted)
    assert act(client, first, "REVERT").status_code == 409
    ingest(client, backstage, visits, event(2))
    assert stored_ids(backstage) == ["e2"]


def test_a_replay_replaces_its_predecessors_only_when_it_succeeds(
    client: httpx.Client, backstage: Backstage, visits: str
) -> None:
    first = ingest(client, backstage, visits, event(1), event(2), externalId="day-1")
    replay = {"predecessorsByExternalId": ["$day-1"], "reason": "replace"}
    failed = ingest(client, backstage, visits, {"_id": 5}, event(3, hue=1), replay=replay)
    assert catalog_batch(client, failed)["status"] == "failed"
    assert catalog_batch(client, first)["status"] == "success"
    assert stored_ids(backstage) == ["e1", "e2"]
    second = ingest(client, backstage, visits, event(2), event(3), replay={"predecessors": [f"${{{first}}}"]})
    assert catalog_batch(client, second)["replay"] == {"predecessors": [first]}
    replaced = catalog_batch(client, first)
    assert (replaced["status"], replaced["tags"]["acp_successor"]) == ("inactive", [second])
    assert stored_ids(backstage) == ["e2", "e3"]
    entry = decode_entry(backstage.log.topic("records").read(0, limit=10)[-1][1])
    assert isinstance(entry, BatchReady)
    assert entry.predecessors == (first,)


def test_replay_by_patch_is_as_by_post(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    first = ingest(client, backstage, visits, event(1))
    body = {
        "datasetId": visits,
        "inputFormat": {"format": "json"},
        "replay": {"predecessors": [f"${first}"], "reason": "replace"},
    }
    answer = client.patch(f"{IMPORT}/batches", json=body)
    assert answer.status_code == 201
    assert answer.json()["replay"]["predecessors"] == [first]


def test_predecessors_must_be_batches_of_the_same_dataset(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    other = make_dataset(client, "Other", make_schema(client, "Other", is_event=True))
    foreign = ingest(client, backstage, other, event(1))
    for replay in (
        {"predecessors": [foreign]},
        {"predecessors": ["NONE"]},
        {"predecessorsByExternalId": ["none"]},
        {"predecessors": 5},
    ):
        body = {"datasetId": visits, "inputFormat": {"format": "json"}, "replay": replay}
        assert client.post(f"{IMPORT}/batches", json=body).status_code == 400


# --- rows -------------------------------------------------------------------------------------------------------------------


def test_partial_ingestion_keeps_the_good_rows(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    bad = [{"_id": "x"}, event(9, hue="red")]
    batch_id = ingest(client, backstage, visits, *[event(number) for number in range(8)], *bad, partialIngestionPercent=20)
    batch = catalog_batch(client, batch_id)
    assert batch["status"] == "success"
    assert batch["metrics"]["failedRecordCount"] == 2
    assert batch["metrics"]["outputRecordCount"] == 8
    assert batch["failedRecordCount"] == 2
    codes = {error["code"]: error.get("recordCount") for error in batch["errors"]}
    assert codes == {"INGEST-1212-400": None, "INGEST-1555-400": 1, "INGEST-1903-400": 1}
    assert len(stored_ids(backstage)) == 8


def test_events_that_are_there_already_are_skipped_and_counted(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    ingest(client, backstage, visits, event(1), event(2))
    second = ingest(client, backstage, visits, event(2), event(3))
    metrics = catalog_batch(client, second)["metrics"]
    assert (metrics["outputRecordCount"], metrics["skippedRecordCount"], metrics["failedRecordCount"]) == (1, 1, 0)


def test_arrays_parquet_csv_and_gzip_come_in_too(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    table = pa.table({"_id": ["p1"], "timestamp": pa.array([1_800_000_000_000], pa.timestamp("ms")), "eventType": ["visit"]})
    parquet = io.BytesIO()
    pq.write_table(table, parquet)
    uploads: list[tuple[dict[str, Any], bytes]] = [
        ({"format": "json", "isMultiLineJson": True}, b'[{"_id": "a1",\n "timestamp": "2027-02-01T09:00:00Z"}]'),
        ({"format": "parquet"}, parquet.getvalue()),
        ({"format": "CSV", "delimiter": ";"}, b"_id;timestamp;eventType\nc1;2027-02-01T09:00:00Z;visit\n"),
        ({"format": "json"}, zipped(event(7))),
    ]
    for format_, content in uploads:
        batch_id = open_batch(client, visits, inputFormat=format_)
        upload(client, batch_id, visits, "file", content)
        act(client, batch_id, "COMPLETE")
        backstage.settle()
        assert catalog_batch(client, batch_id)["status"] == "success", catalog_batch(client, batch_id)
    assert stored_ids(backstage) == ["a1", "p1", "c1", "e7"]


def test_columns_that_the_schema_lacks_fail_the_batch(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    batch_id = open_batch(client, visits, inputFormat={"format": "csv"}, partialIngestionPercent=100)
    upload(client, batch_id, visits, "rows.csv", b"_id,timestamp,hue\na,2027-02-01T09:00:00Z,red\n")
    act(client, batch_id, "COMPLETE")
    backstage.settle()
    batch = catalog_batch(client, batch_id)
    assert batch["status"] == "failed"
    assert "rows.csv" in batch["errors"][0]["description"]
    assert "'hue'" in batch["errors"][0]["description"]


# --- uploads ----------------------------------------------------------------------------------------------------------------


def test_a_file_of_the_same_name_is_replaced(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    batch_id = open_batch(client, visits)
    assert upload(client, batch_id, visits, "a.json", lines(event(1))).status_code == 201
    answer = upload(client, batch_id, visits, "a.json", lines(event(2)))
    assert (answer.status_code, answer.content) == (200, b"")
    act(client, batch_id, "COMPLETE")
    backstage.settle()
    assert stored_ids(backstage) == ["e2"]


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "%2e%2e/x", "a%2F..%2F..%2Fx", "a//b", "%2e/a", "a%00b", "a%0Ab", "..%5Cx", "x" * 1100]
)
def test_hostile_names_are_refused(client: httpx.Client, backstage: Backstage, visits: str, name: str) -> None:
    batch_id = open_batch(client, visits)
    before = sorted(backstage.home.parent.rglob("*"))
    place = f"{IMPORT}/batches/{batch_id}/datasets/{visits}/files/"
    # A client tidies a path up before it sends it; an attacker does not.
    url = httpx.URL(f"http://127.0.0.1:8900{place}x").copy_with(raw_path=(place + name).encode())
    answer = client.put(url, content=b"{}", headers=OCTETS)
    assert answer.status_code in (400, 404), answer.text
    assert sorted(backstage.home.parent.rglob("*")) == before


def test_a_batch_whose_id_is_a_path_does_not_exist(client: httpx.Client, visits: str) -> None:
    related = {"status": "loading", "relatedObjects": [{"type": "dataSet", "id": visits}], "inputFormat": {"format": "json"}}
    assert client.post("/data/foundation/catalog/batches/..%2F..%2Fx", json=related).status_code == 201
    assert upload(client, "..%2F..%2Fx", visits, "a", b"{}").status_code == 404
    assert act(client, "..%2F..%2Fx", "ABORT").status_code == 404


def test_uploads_are_octets(client: httpx.Client, visits: str) -> None:
    batch_id = open_batch(client, visits)
    url = f"{IMPORT}/batches/{batch_id}/datasets/{visits}/files/a.json"
    assert client.put(url, files={"file": b"{}"}).status_code == 415
    answer = client.put(url, content=b"{}", headers={"Content-Type": "application/json"})
    assert answer.status_code == 415
    assert answer.json()["type"] == "http://ns.adobe.com/aep/errors/ING-1013-415"
    too_large = client.put(url, content=b"x", headers={**OCTETS, "Content-Length": str(256 * 1024 * 1024 + 1)})
    assert too_large.status_code == 413


def test_the_batch_the_dataset_and_the_file_must_exist(client: httpx.Client, visits: str) -> None:
    other = make_dataset(client, "Other", make_schema(client, "Other", is_event=True))
    batch_id = open_batch(client, visits)
    assert upload(client, "01NONE", visits, "a", b"{}").status_code == 404
    assert upload(client, batch_id, "0" * 24, "a", b"{}").status_code == 404
    assert upload(client, batch_id, other, "a", b"{}").status_code == 404
    url = f"{IMPORT}/batches/{batch_id}/datasets/{visits}/files/none"
    assert client.head(url).status_code == 404
    assert client.post(url, params={"action": "COMPLETE"}).status_code == 404
    assert client.patch(url, content=b"x", headers={**OCTETS, "Content-Range": "bytes 0-0/1"}).status_code == 404
    assert client.post(url, params={"action": "BEGIN"}).status_code == 400


def test_a_batch_takes_1500_files(client: httpx.Client, visits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.ingest.batch_import.MOST_FILES", 2)
    batch_id = open_batch(client, visits)
    assert upload(client, batch_id, visits, "1", b"{}").status_code == 201
    assert upload(client, batch_id, visits, "2", b"{}").status_code == 201
    assert upload(client, batch_id, visits, "3", b"{}").status_code == 400
    assert upload(client, batch_id, visits, "2", b"{}").status_code == 200


def test_a_large_file_comes_in_parts_in_any_order(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    content = lines(event(1), event(2))
    batch_id = open_batch(client, visits)
    url = f"{IMPORT}/batches/{batch_id}/datasets/{visits}/files/big/file.json"
    answer = client.post(url, params={"action": "INITIALIZE"})
    assert (answer.status_code, answer.json()) == (201, {"name": "big/file.json", "sizeInBytes": 0})
    assert "range" not in client.head(url).headers
    half, total = len(content) // 2, len(content)

    def send(first: int, last: int, data: bytes) -> httpx.Response:
        return client.patch(url, content=data, headers={**OCTETS, "Content-Range": f"bytes {first}-{last}/{total}"})

    answer = send(half, total - 1, content[half:])
    assert answer.json() == {"name": "big/file.json", "sizeInBytes": total - half}
    assert answer.headers["range"] == f"bytes={half}-{total - 1}"
    incomplete = client.post(url, params={"action": "complete"})
    assert incomplete.status_code == 400
    assert "missing at byte 0" in incomplete.json()["detail"]
    assert act(client, batch_id, "COMPLETE").status_code == 409
    send(0, half - 1, b"?" * half)
    send(0, half - 1, content[:half])
    assert client.head(url).headers["range"] == f"bytes=0-{total - 1}"
    answer = client.post(url, params={"action": "COMPLETE"})
    assert (answer.status_code, answer.json()) == (201, {"name": "big/file.json", "sizeInBytes": total})
    assert send(0, half - 1, content[:half]).status_code == 409
    act(client, batch_id, "COMPLETE")
    backstage.settle()
    assert stored_ids(backstage) == ["e1", "e2"]


def test_overlapping_parts_are_noticed_at_the_end(client: httpx.Client, visits: str) -> None:
    batch_id = open_batch(client, visits)
    url = f"{IMPORT}/batches/{batch_id}/datasets/{visits}/files/f"
    client.post(url, params={"action": "INITIALIZE"})
    for first, last in ((0, 5), (5, 9)):
        content = b"x" * (last - first + 1)
        answer = client.patch(url, content=content, headers={**OCTETS, "Content-Range": f"bytes {first}-{last}/10"})
        assert answer.status_code == 200
    answer = client.post(url, params={"action": "COMPLETE"})
    assert answer.status_code == 400
    assert "overlapping at byte 5" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("given", "content"),
    [
        (None, b"x"),
        ("bytes 0-9/10", b"x" * 9),
        ("bytes 0-9/10", b"x" * 11),
        ("bytes 5-4/10", b""),
        ("bytes 0-10/10", b"x" * 11),
        ("bytes 0-512000000/512000001", b"x"),
        ("0-9", b"x" * 10),
    ],
)
def test_a_part_must_be_what_its_range_says(client: httpx.Client, visits: str, given: str | None, content: bytes) -> None:
    batch_id = open_batch(client, visits)
    url = f"{IMPORT}/batches/{batch_id}/datasets/{visits}/files/f"
    client.post(url, params={"action": "INITIALIZE"})
    answer = client.patch(url, content=content, headers={**OCTETS, **({"Content-Range": given} if given else {})})
    assert answer.status_code == 400
    assert answer.json()["headrace"]["path"] == "Content-Range"
    assert "range" not in client.head(url).headers


# --- creation ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"datasetId": None}, "/datasetId"),
        ({"datasetId": ""}, "/datasetId"),
        ({"inputFormat": "json"}, "/inputFormat"),
        ({"inputFormat": {}}, "/inputFormat/format"),
        ({"inputFormat": {"format": "avro"}}, "/inputFormat/format"),
        ({"inputFormat": {"format": "csv", "delimiter": "||"}}, "/inputFormat/delimiter"),
        ({"inputFormat": {"format": "csv", "charset": "UTF-7"}}, "/inputFormat/charset"),
        ({"partialIngestionPercent": 101}, "/partialIngestionPercent"),
        ({"partialIngestionPercent": "many"}, "/partialIngestionPercent"),
        ({"partialIngestionPercentage": -1}, "/partialIngestionPercentage"),
        ({"enableErrorDiagnostics": "perhaps"}, "/enableErrorDiagnostics"),
        ({"externalId": ""}, "/externalId"),
        ({"tags": ["a"]}, "/tags"),
        ({"replay": "all"}, "/replay"),
    ],
)
def test_a_bad_member_is_named(client: httpx.Client, visits: str, more: dict[str, Any], path: str) -> None:
    body = {"datasetId": visits, "inputFormat": {"format": "json"}, **more}
    answer = client.post(f"{IMPORT}/batches", json=body)
    assert answer.status_code == 400
    assert answer.json()["headrace"]["path"] == path
    assert answer.json()["type"] == "http://ns.adobe.com/aep/errors/ING-1000-400"


def test_an_unknown_dataset_is_not_found(client: httpx.Client) -> None:
    answer = client.post(f"{IMPORT}/batches", json={"datasetId": "0" * 24, "inputFormat": {"format": "json"}})
    assert answer.status_code == 404


def test_the_format_is_parquet_when_none_is_given(client: httpx.Client, visits: str) -> None:
    assert client.post(f"{IMPORT}/batches", json={"datasetId": visits}).json()["inputFormat"] == {"format": "parquet"}


def test_an_external_id_is_given_once(client: httpx.Client, visits: str) -> None:
    batch_id = open_batch(client, visits, externalId="x")
    assert open_batch(client, visits) != batch_id
    answer = client.post(f"{IMPORT}/batches", json={"datasetId": visits, "externalId": "x"})
    assert answer.status_code == 400


# --- preview ----------------------------------------------------------------------------------------------------------------


def test_a_preview_shows_the_first_rows_as_a_table(client: httpx.Client, visits: str) -> None:
    batch_id = open_batch(client, visits)
    upload(client, batch_id, visits, "a.json", lines({"_id": "a", "_acme": {"n": 1, "tags": ["x"]}}, {"_id": "b"}, {"_id": "c"}))
    url = f"{IMPORT}/batches/{batch_id}/datasets/{visits}/preview"
    answer = client.get(url, params={"format": "json", "nrow": 2}).json()
    assert answer["formatParams"] == {"format": "json", "isMultiLineJson": False}
    assert answer["preview"]["columns"] == [
        {"cid": "0", "name": "_id"},
        {"cid": "1", "name": "_acme/n"},
        {"cid": "2", "name": "_acme/tags"},
    ]
    assert answer["preview"]["rows"] == [{"0": "a", "1": "1", "2": '["x"]'}, {"0": "b", "1": "", "2": ""}]
    assert len(client.get(url).json()["preview"]["rows"]) == 3
    assert client.get(url, params={"format": "parquet"}).status_code == 400
    assert client.get(url, params={"format": "xml"}).status_code == 400
    csv = client.get(url, params={"format": "csv", "delimiter": "|", "header": "True", "nrow": 1}).json()
    assert csv["formatParams"]["delimiter"] == "|"


def test_upload_that_fails_takes_the_rest_of_the_body_before_it_is_answered(tmp_path: Path) -> None:
    class Full(Upload):
        def write(self, data: bytes) -> None:
            raise StorageFull("The disk is full.")

    left = [b"x" * 300_000] * 20

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": left.pop(), "more_body": bool(left)}

    place = Full(tmp_path / "events.json")
    request = Request({"type": "http", "method": "PUT", "headers": []}, receive)
    with pytest.raises(StorageFull):
        asyncio.run(_received(request, place, lambda: True))
    assert left == []
    assert list(tmp_path.iterdir()) == []
