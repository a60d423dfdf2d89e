"""Sources over HTTP: what is published, what is refused, and what a zone holds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.api.services import Services
from headrace.clock import ManualClock
from headrace.storage.control import ControlStore
from tests.unit.activation.flow_fakes import LAKE_TARGET, FakeDatasets, flow_service

FLOWS = "/data/foundation/flowservice"
ZONE = "26f526f2-58f4-4712-961d-e41bf1ccc0e8"
S3 = "ecadc60c-7455-4d87-84dc-2a0e293d997b"
FLOW_SPEC = "9753525b-82c7-4dce-8a9b-5ccfce2b9876"
Json = dict[str, Any]


@pytest.fixture
def services(services: Services, control: ControlStore, clock: ManualClock, tmp_path: Path) -> Services:
    return replace(services, flow_service=flow_service(control, clock, tmp_path), catalog=FakeDatasets())  # type: ignore[arg-type]


def spec(spec_id: str) -> Json:
    return {"id": spec_id, "version": "1.0"}


def source_body(**more: Any) -> Json:
    return {"name": "In", "connectionSpec": spec(ZONE), "data": {"format": "json"}, "params": {"path": "in/"}, **more}


def created(client: httpx.Client, kind: str, body: Json) -> str:
    reply = client.post(f"{FLOWS}/{kind}", json=body)
    assert reply.status_code == 201, reply.text
    found: str = reply.json()["id"]
    return found


def flow_body(client: httpx.Client, **more: Any) -> Json:
    target = {"name": "Lake", "connectionSpec": spec(LAKE_TARGET), "params": {"dataSetId": "ds1"}}
    return {
        "name": "Files",
        "flowSpec": spec(FLOW_SPEC),
        "sourceConnectionIds": [created(client, "sourceConnections", source_body())],
        "targetConnectionIds": [created(client, "targetConnections", target)],
        **more,
    }


def test_sources_and_their_flow_spec_are_published(client: httpx.Client) -> None:
    found = {item["name"]: item for item in client.get(f"{FLOWS}/connectionSpecs").json()["items"]}
    assert found["landing-zone"]["id"] == ZONE
    assert found["landing-zone"]["authSpec"] == []
    assert [auth["name"] for auth in found["amazon-s3"]["authSpec"]] == ["Access Key", "Assumed Role"]
    assert found["sftp"]["attributes"]["isSource"] is True
    (flow,) = client.get(f"{FLOWS}/flowSpecs", params={"property": "name==CloudStorageToAEP"}).json()["items"]
    assert (flow["id"], ZONE in flow["sourceConnectionSpecIds"]) == (FLOW_SPEC, True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"params": {}}, "'path' is required"),
        ({"params": {"path": "../dev"}}, "neither"),
        ({"params": {"path": "a*/b.csv"}}, "last part"),
        ({"params": {"path": "in", "type": "pipe"}}, "file or folder"),
        ({"params": {"path": "in", "recursive": "deep"}}, "recursive"),
        ({"data": {"format": "xml"}}, "delimited, json or parquet"),
        ({"data": {"format": "delimited", "columnDelimiter": "::"}}, "one character"),
        ({"data": {"format": "json", "properties": {"compressionType": "tar"}}}, "Archives"),
        ({"connectionSpec": spec(S3)}, "needs its base connection"),
    ],
)
def test_a_source_connection_that_cannot_work_is_refused(client: httpx.Client, change: Json, words: str) -> None:
    reply = client.post(f"{FLOWS}/sourceConnections", json=source_body(**change))
    assert reply.status_code == 400
    assert words in reply.text


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"frequency": "monthly"}, "frequency"),
        ({"frequency": "minute", "interval": 14}, "at least 15"),
        ({"frequency": "hour"}, "at least 1"),
        ({"frequency": "once", "startTime": "soon"}, "startTime"),
        ({"frequency": "once", "backfill": "perhaps"}, "backfill"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused(client: httpx.Client, params: Json, words: str) -> None:
    reply = client.post(f"{FLOWS}/flows", json=flow_body(client, scheduleParams=params))
    assert reply.status_code == 400
    assert words in reply.text


def test_a_flow_runs_on_demand_once_at_a_time_and_not_when_disabled(client: httpx.Client) -> None:
    flow_id = created(client, "flows", flow_body(client, scheduleParams={"frequency": "hour", "interval": "6"}))
    shown = client.get(f"{FLOWS}/flows/{flow_id}").json()["items"][0]
    assert shown["inheritedAttributes"]["properties"] == {"isSourceFlow": True}
    assert isinstance(shown["scheduleParams"]["startTime"], int)
    run = client.post(f"{FLOWS}/runs", json={"flowId": flow_id})
    assert run.status_code == 201
    assert "runs already" in client.post(f"{FLOWS}/runs", json={"flowId": flow_id}).text
    (listed,) = client.get(f"{FLOWS}/runs", params={"property": f"flowId=={flow_id}"}).json()["items"]
    assert (listed["id"], listed["metrics"]["statusSummary"]["status"]) == (run.json()["id"], "waiting")
    reply = client.post(f"{FLOWS}/runs/{listed['id']}/action", params={"op": "RE_TRIGGER"})
    assert (reply.status_code, "only a failed run" in reply.text) == (400, True)
    client.post(f"{FLOWS}/flows/{flow_id}/action", params={"op": "disable"})
    assert "disabled" in client.post(f"{FLOWS}/runs", json={"flowId": flow_id}).text
    assert client.delete(f"{FLOWS}/flows/{flow_id}").status_code == 204


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    root = tmp_path / "landing-zone" / "prod"
    (root / "in" / "below").mkdir(parents=True)
    (root / "in" / "people.csv").write_text("name;age\nann;7\n")
    (root / "in" / "people.json").write_text('[{"name": "ann", "age": 7}]')
    return root


def explored(client: httpx.Client, **query: str) -> Any:
    reply = client.get(f"{FLOWS}/connectionSpecs/{ZONE}/explore", params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_a_zone_shows_folders_and_files(client: httpx.Client, zone: Path) -> None:
    assert [item["path"] for item in explored(client, objectType="root")] == ["in"]
    found = explored(client, objectType="FOLDER", object="in")
    assert [(item["type"], item["name"]) for item in found] == [
        ("folder", "below"),
        ("file", "people.csv"),
        ("file", "people.json"),
    ]
    assert found[1]["canPreview"] is True


def test_a_file_shows_its_columns_and_rows(client: httpx.Client, zone: Path) -> None:
    found = explored(client, objectType="file", object="in/people.csv", determineProperties="true", preview="true")
    assert found["data"] == [{"name": "ann", "age": "7"}]
    assert found["properties"] == {"fileType": "delimited", "compressionType": "", "columnDelimiter": ";"}
    found = explored(client, objectType="file", object="in/people.json", fileType="json")
    assert (found["format"], "data" in found) == ("hierarchical", False)
    assert [column["xdm"]["type"] for column in found["schema"]["columns"]] == ["string", "integer"]


@pytest.mark.parametrize(
    "query",
    [
        {"objectType": "table"},
        {"objectType": "folder", "object": "../dev"},
        {"objectType": "file", "object": "in/people.csv"},
        {"objectType": "file", "object": "in/people.csv", "fileType": "parquet"},
        {"objectType": "file", "object": "in/none.csv", "fileType": "delimited"},
    ],
)
def test_what_cannot_be_explored_is_refused(client: httpx.Client, zone: Path, query: Json) -> None:
    assert client.get(f"{FLOWS}/connectionSpecs/{ZONE}/explore", params=query).status_code == 400
