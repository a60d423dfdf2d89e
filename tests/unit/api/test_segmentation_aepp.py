"""The public Python client, unchanged, against our segmentation."""

import warnings
from typing import Any

import httpx
import pytest
import requests

from headrace.api.services import Services
from headrace.governance.accounts import credentials_of
from tests.unit.api.segmentation_world import Bell, Source, with_segmentation
from tests.unit.api.test_schema_registry_aepp import BASE, carrier

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    aepp = pytest.importorskip("aepp")
    aepp_segmentation = pytest.importorskip("aepp.segmentation")

Client = Any
DEFINITION = {
    "name": "Men",
    "description": "All of them",
    "expression": {"type": "PQL", "format": "pql/text", "value": 'person.gender = "male"'},
    "schema": {"name": "_xdm.context.profile"},
    "ttlInDays": 30,
}


@pytest.fixture
def services(services: Services) -> Services:
    return with_segmentation(services, Source(), Bell())


@pytest.fixture
def api(anonymous: httpx.Client, services: Services, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", carrier(anonymous))
    credentials = credentials_of(services.settings.home)
    aepp.configure(
        org_id=credentials["organization_id"],
        client_id=credentials["client_id"],
        secret=credentials["client_secret"],
        scopes="openid",
        sandbox="prod",
        retry=0,
    )
    monkeypatch.setitem(aepp.config.endpoints, "global", BASE)
    monkeypatch.setitem(aepp.config.config_object, "oauthTokenEndpointV2", f"{BASE}/ims/token/v3")
    return aepp_segmentation.Segmentation()


def test_client_writes_and_reads_definitions(api: Client) -> None:
    made = api.createSegment(DEFINITION)
    assert api.getSegment(made["id"])["name"] == "Men"
    changed = api.updateSegment(made["id"], {**DEFINITION, "name": "Gentlemen"})
    assert changed["name"] == "Gentlemen"
    assert list(api.getMultipleSegments({"ids": [{"id": made["id"]}]})) == [made["id"]]
    assert [item["id"] for item in api.getSegments(onlyRealTime=True)] == [made["id"]]
    assert api.convertSegmentDef("x", DEFINITION["expression"], "y")["expression"]["format"] == "pql/json"
    assert api.extractAudiences(made) == []
    assert api.deleteSegment(made["id"]) == 200
    assert api.getSegments() == []


def test_client_reads_more_than_one_page(api: Client) -> None:
    for number in range(103):
        api.createSegment({**DEFINITION, "name": f"S{number}"})
    assert len({item["id"] for item in api.getSegments()}) == 103
    assert len({item["id"] for item in api.getAudiences(limit=40)}) == 103


def test_client_writes_and_reads_audiences(api: Client) -> None:
    made = api.createAudience({**api.PLATFORM_AUDIENCE_DICT, **DEFINITION, "name": "US"})
    assert made["evaluationInfo"]["continuous"]["enabled"] is True
    patched = api.patchAudience(made["id"], [{"op": "add", "path": "/description", "value": "Ours"}])
    assert patched["description"] == "Ours"
    assert api.putAudience(made["id"], {**DEFINITION, "name": "Us"})["name"] == "Us"
    assert api.getAudience(made["id"])["name"] == "Us"
    assert [item["id"] for item in api.getAudiences(name="us")] == [made["id"]]
    assert api.deleteAudience(made["id"]) == 204


def test_client_makes_jobs_and_schedules(api: Client) -> None:
    made = api.createSegment(DEFINITION)
    job = api.createJob([made["id"]])
    assert api.getJob(job["id"])["status"] == "NEW"
    assert [item["id"] for item in api.getJobs()] == [job["id"]]
    assert api.deleteJob(job["id"]) == 204
    api.updateScheduledBatchSegmentationJob("0 0 5 * * ?")
    (daily,) = api.getSchedules()
    assert api.getSchedule(daily["id"])["schedule"] == "0 0 5 * * ?"
    mine = {"name": "Mine", "type": "batch_segmentation", "properties": {"segments": ["*"]}, "schedule": "0 0 1 * * ?"}
    own = api.createSchedule(mine)
    api.updateSchedule(own["id"], [{"op": "add", "path": "/state", "value": "active"}])
    assert api.deleteSchedule(own["id"]) == 204


def test_client_previews(api: Client) -> None:
    preview = api.createPreview('person.gender = "male"')
    assert api.getPreview(preview["previewId"])["state"] == "RESULT_READY"
    assert api.getEstimate(preview["previewId"])["estimatedSize"] == 0
    assert api.deletePreview(preview["previewId"]) == 200
