"""The public Python client, unchanged, against Flow Service: its requests are carried to the application in process."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from headrace.api.services import Services
from headrace.clock import ManualClock
from headrace.governance.accounts import credentials_of
from headrace.storage.control import ControlStore
from tests.unit.activation.flow_fakes import (
    PROFILE_STORE,
    S3_FLOW,
    STREAM_FLOW,
    STREAMING,
    ZONE,
    FakeDatasets,
    attribute_selector,
    audience_selector,
    file_selector,
    flow_service,
    http_bodies,
    source_body,
    spec,
)
from tests.unit.api.test_schema_registry_aepp import BASE, carrier

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    aepp = pytest.importorskip("aepp")
    aepp_flows = pytest.importorskip("aepp.flowservice")
    aepp_prep = pytest.importorskip("aepp.dataprep")

Client = Any
PARAMS = "/transformations/0/params"


@pytest.fixture
def services(services: Services, control: ControlStore, clock: ManualClock, tmp_path: Path) -> Services:
    return replace(services, flow_service=flow_service(control, clock, tmp_path), catalog=FakeDatasets())  # type: ignore[arg-type]


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
    return aepp_flows.FlowService()


def http_flow(api: Client, name: str = "Hooks") -> dict[str, Any]:
    base, target = http_bodies()
    source_id = api.createSourceConnection(source_body())["id"]
    base_id = api.createConnection(base)["id"]
    target_id = api.createTargetConnection(data={**target, "baseConnectionId": base_id})["id"]
    body = {
        "name": name,
        "flowSpec": spec(STREAM_FLOW),
        "sourceConnectionIds": [source_id],
        "targetConnectionIds": [target_id],
    }
    made: dict[str, Any] = api.createFlow(STREAM_FLOW, obj=body)
    return made


def test_client_finds_specs_by_name(api: Client) -> None:
    assert api.getConnectionSpecIdFromName("Data Landing Zone") == ZONE
    assert api.getConnectionSpecsMap()["Streaming Connection"] == STREAMING
    found = api.getFlowSpecIdFromNames("upsToAmazonS3", "Profile Store", "Amazon S3")
    assert found == S3_FLOW
    assert api.getFlowSpec(found)["name"] == "upsToAmazonS3"
    assert api.getConnectionSpec(PROFILE_STORE)["items"][0]["name"] == "Profile Store"


def test_client_sets_up_streaming_ingestion(api: Client) -> None:
    made = api.createConnectionStreaming(name="Shop", sourceId="shop-1", paramName="shop", authenticationRequired=True)
    connection = api.getConnection(made["id"])
    params = connection["auth"]["params"]
    assert params["inletUrl"] == f"{BASE}/collection/{params['inletId']}"
    assert params["authenticationRequired"] is True
    source = api.createSourceConnectionStreaming(connectionId=made["id"], name="Shop source", format="json")
    target = api.createTargetConnectionDataLake(name="Lake", datasetId="ds1", schemaId="https://ns.example/schemas/1")
    flow = api.createFlow(
        "d8a6f005-7eaf-4153-983e-e8574508b877",
        name="Shop flow",
        source_connection_id=source["id"],
        target_connection_id=target["id"],
    )
    assert api.getFlow(flow["id"])["inheritedAttributes"]["properties"] == {"isSourceFlow": True}
    assert [item["id"] for item in api.getFlows(onlySources=True)] == [flow["id"]]
    assert api.getFlows(onlyDestinations=True) == []


def test_client_activates_an_audience_to_an_endpoint(api: Client) -> None:
    made = http_flow(api)
    operations = [
        {"op": "add", "path": f"{PARAMS}/segmentSelectors/selectors/-", "value": audience_selector("aud-1")},
        {"op": "add", "path": f"{PARAMS}/profileSelectors/selectors/-", "value": attribute_selector("personalEmail.address")},
    ]
    changed = api.updateFlow(made["id"], made["etag"], operations)
    assert changed["etag"] != made["etag"]
    flow = api.getFlow(made["id"])
    assert flow["transformations"][0]["params"]["segmentSelectors"]["selectors"][0]["value"]["name"] == "Audience 1"
    assert api.postFlowAction(made["id"], "disable")["id"] == made["id"]
    assert api.getFlow(made["id"])["state"] == "disabled"
    stale = api.updateFlow(made["id"], made["etag"], operations)
    assert "does not match the current version" in stale["errorMessage"]


def test_client_sees_what_a_test_of_the_connection_says(api: Client) -> None:
    zone = api.createBaseConnectionDLZTarget("Zone")
    assert api.connectionTest(zone["id"]) == {"result": True}


def test_client_pages_through_everything(api: Client) -> None:
    for number in range(7):
        api.createBaseConnectionDLZTarget(f"Zone {number}")
        api.createSourceConnection(source_body())
        http_flow(api, f"Flow {number}")
    assert len(api.getConnections(limit=3, n_results="inf")) == 14
    assert len(api.getSourceConnections(n_results="inf", limit=2)) == 14
    assert len(api.getTargetConnections(n_results="inf", limit=5)) == 7
    assert {item["name"] for item in api.getFlows(limit=2, n_results="inf")} == {f"Flow {number}" for number in range(7)}
    assert api.getConnections(count=True) == {"count": 14}


def test_client_changes_credentials_with_the_published_names(api: Client) -> None:
    made = api.createBaseConnectionS3Target("Bucket", "A" * 20, "k" * 40)
    value = {"accessId": "B" * 20, "secretKey": "x" * 40}
    api.patchConnection(made["id"], [{"op": "replace", "path": "/auth/params", "value": value}])
    params = api.getConnection(made["id"])["auth"]["params"]
    assert (params["s3AccessKey"], params["s3SecretKey"]) == ("B" * 20, "********")


def test_client_exports_datasets_to_the_landing_zone(api: Client) -> None:
    flow = api.exportDatasetToDLZ(datasetIds=["ds1", "ds2"], scheduleStart="1802600000")
    body = api.getFlow(flow["id"])
    assert body["scheduleParams"]["folderNameTemplate"] == "%DESTINATION%_%DATASET_ID%_%DATETIME(YYYYMMdd_HHmmss)%"
    source = api.getSourceConnection(body["sourceConnectionIds"][0])
    assert [item["dataSetId"] for item in source["params"]["datasets"]] == ["ds1", "ds2"]


def test_client_runs_a_file_flow_and_reads_its_run(api: Client) -> None:
    base = api.createBaseConnectionS3Target("Bucket", "A" * 20, "k" * 40)
    params = {"bucketName": "crm-out", "path": "crm", "compression": "NONE", "fileType": "CSV"}
    target = api.createTargetConnection(
        data={"name": "t", "baseConnectionId": base["id"], "connectionSpec": spec(base_spec(api, base)), "params": params}
    )
    source = api.createSourceConnection(source_body())
    made = api.createFlow(S3_FLOW, name="Files", source_connection_id=source["id"], target_connection_id=target["id"])
    operation = {"op": "add", "path": f"{PARAMS}/segmentSelectors/selectors/-", "value": file_selector("aud-1")}
    api.updateFlow(made["id"], made["etag"], [operation])
    run = api.createRun(made["id"])
    assert [item["id"] for item in api.getRuns(prop=[f"flowId=={made['id']}", "metrics.statusSummary.status==Waiting"])] == [
        run["id"]
    ]
    assert api.getRun(run["id"])[0]["flowId"] == made["id"]


def base_spec(api: Client, base: dict[str, Any]) -> str:
    return str(api.getConnection(base["id"])["connectionSpec"]["id"])


def test_client_reads_the_landing_zone(api: Client) -> None:
    assert (api.getLandingZoneStorageName(), api.getLandingZoneStorageTTL()) == ("prod", 7)
    assert api.getLandingZoneSASUri("dlz_destination").startswith("file://")
    assert api.getLandingZoneSASToken()
    assert api.getLandingZoneNamespace() == "headrace"


def test_client_deletes_in_order(api: Client) -> None:
    made = http_flow(api)
    target_id = api.getFlow(made["id"])["targetConnectionIds"][0]
    base_id = api.getTargetConnection(target_id)["baseConnectionId"]
    assert "in use" in api.deleteConnection(base_id)["errorMessage"]
    assert [api.deleteFlow(made["id"]), api.deleteTargetConnection(target_id), api.deleteConnection(base_id)] == [202] * 3


def test_client_prepares_a_mapping(api: Client) -> None:
    prep = aepp_prep.DataPrep()
    rules = [{"sourceType": "ATTRIBUTE", "source": "first", "destination": "person.name.firstName"}]
    made = prep.createMappingSet(schemaId="https://ns.example/schemas/1", mappingList=rules)
    assert prep.getMappingSet(made["id"])["mappings"][0]["source"] == "first"
    assert prep.updateMappingSet(made["id"], [{**rules[0], "source": "given"}])["version"] == 1
    assert [item["source"] for item in prep.getMappingSetMappings(made["id"])] == ["given"]
    assert len(prep.getMappingSets()) == 1
    assert "concat" in {item["function"] for item in prep.getMappingSetFunctions()}
