"""Flow Service over HTTP: statuses, bodies, versions and pages."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.api.services import Services
from headrace.clock import ManualClock
from headrace.storage.control import ControlStore
from tests.unit.activation.flow_fakes import (
    DATA_LAKE,
    HTTP_API,
    PROFILE_STORE,
    S3,
    S3_FLOW,
    SFTP,
    STREAM_FLOW,
    STREAMING,
    ZONE,
    FakeDatasets,
    audience_selector,
    file_selector,
    flow_service,
    http_bodies,
    s3_bodies,
    source_body,
    spec,
)

FLOWS = "/data/foundation/flowservice"
PARAMS = "/transformations/0/params"
Json = dict[str, Any]


@pytest.fixture
def services(services: Services, control: ControlStore, clock: ManualClock, tmp_path: Path) -> Services:
    return replace(services, flow_service=flow_service(control, clock, tmp_path), catalog=FakeDatasets())  # type: ignore[arg-type]


def created(client: httpx.Client, kind: str, body: Json) -> Json:
    reply = client.post(f"{FLOWS}/{kind}", json=body)
    assert reply.status_code == 201, reply.text
    found: Json = reply.json()
    assert set(found) == {"id", "etag"}
    return found


def shown(client: httpx.Client, kind: str, entity_id: str) -> Json:
    reply = client.get(f"{FLOWS}/{kind}/{entity_id}")
    assert reply.status_code == 200, reply.text
    (item,) = reply.json()["items"]
    found: Json = item
    return found


def made_flow(client: httpx.Client, bodies: tuple[Json, Json], flow_spec_id: str) -> Json:
    base, target = bodies
    source_id = created(client, "sourceConnections", source_body())["id"]
    base_id = created(client, "connections", base)["id"]
    target_id = created(client, "targetConnections", {**target, "baseConnectionId": base_id})["id"]
    ends = {"sourceConnectionIds": [source_id], "targetConnectionIds": [target_id]}
    return created(client, "flows", {"name": "Flow", "flowSpec": spec(flow_spec_id), **ends})


def patched(client: httpx.Client, flow: Json, operations: list[Json], **headers: str) -> httpx.Response:
    return client.patch(f"{FLOWS}/flows/{flow['id']}", json=operations, headers={"If-Match": flow["etag"], **headers})


def test_catalogue_lists_the_destinations_and_sources(client: httpx.Client) -> None:
    found = {item["name"]: item["id"] for item in client.get(f"{FLOWS}/connectionSpecs").json()["items"]}
    assert {
        "HTTP API": HTTP_API,
        "Amazon S3": S3,
        "SFTP": SFTP,
        "Data Landing Zone": ZONE,
        "Streaming Connection": STREAMING,
        "activation-datalake": DATA_LAKE,
        "Profile Store": PROFILE_STORE,
    }.items() <= found.items()
    filtered = client.get(f"{FLOWS}/connectionSpecs", params={"property": "name==HTTP API"}).json()["items"]
    assert [item["id"] for item in filtered] == [HTTP_API]


def test_spec_of_a_destination_tells_what_it_needs(client: httpx.Client) -> None:
    item = shown(client, "connectionSpecs", S3)
    auth = {entry["name"]: entry for entry in item["authSpec"]}
    assert auth["Access Key"]["type"] == "KeyBased"
    assert auth["Access Key"]["spec"]["properties"]["s3SecretKey"]["format"] == "password"
    assert {"bucketName", "path", "fileType", "datasetFileType", "compression"} <= set(item["targetSpec"]["spec"]["required"])
    assert item["targetSpec"]["spec"]["properties"]["csvOptions"]["conditional"] == {
        "field": "fileType",
        "operator": "EQUALS",
        "value": "CSV",
    }
    assert shown(client, "connectionSpecs", ZONE)["authSpec"] == []


def test_flow_specs_name_their_ends(client: httpx.Client) -> None:
    found = client.get(f"{FLOWS}/flowSpecs", params={"property": f"id=={S3_FLOW}"}).json()["items"]
    assert [(item["sourceConnectionSpecIds"], item["targetConnectionSpecIds"]) for item in found] == [([PROFILE_STORE], [S3])]
    assert shown(client, "flowSpecs", STREAM_FLOW)["attributes"]["isDestinationFlow"]


@pytest.mark.parametrize("kind", ["connections", "sourceConnections", "targetConnections", "flows", "runs", "connectionSpecs"])
def test_unknown_id_is_404_in_the_published_words(client: httpx.Client, kind: str) -> None:
    reply = client.get(f"{FLOWS}/{kind}/nobody")
    assert reply.status_code == 404
    text = f"{kind} not found with id = [nobody]"
    assert reply.json() == {"errorMessage": text, "errorDetails": text}


def test_unknown_spec_is_a_plain_message(client: httpx.Client) -> None:
    reply = client.post(f"{FLOWS}/connections", json={"name": "x", "connectionSpec": {"id": "nope", "version": "1.0"}})
    assert (reply.status_code, reply.json()["message"]) == (400, "Please provide a valid spec id")
    assert "errorMessage" not in reply.json()


def test_spec_without_version_is_422(client: httpx.Client) -> None:
    reply = client.post(f"{FLOWS}/connections", json={"name": "x", "connectionSpec": {"id": HTTP_API}})
    assert (reply.status_code, reply.json()["errorMessage"]) == (
        422,
        "connectionSpec.version 'version' is required for spec info",
    )


def test_error_names_field_and_remedy(client: httpx.Client) -> None:
    base, target = http_bodies()
    base_id = created(client, "connections", base)["id"]
    target = {**target, "baseConnectionId": base_id, "params": {"httpEndpoint": "https://127.0.0.1/x"}}
    reply = client.post(f"{FLOWS}/targetConnections", json=target)
    assert reply.status_code == 400
    assert reply.json()["headrace"]["path"] == "/params/httpEndpoint"
    assert "allow_private_destinations" in reply.json()["headrace"]["hint"]


def test_streaming_connection_answers_its_inlet_url(client: httpx.Client) -> None:
    body = {
        "name": "Shop",
        "connectionSpec": spec(STREAMING),
        "auth": {"specName": "Streaming Connection", "params": {"dataType": "xdm", "name": "shop"}},
    }
    item = shown(client, "connections", created(client, "connections", body)["id"])
    params = item["auth"]["params"]
    assert params["inletUrl"] == f"http://127.0.0.1:8900/collection/{params['inletId']}"
    assert (item["state"], item["version"], item["imsOrgId"]) == ("enabled", item["etag"], item["imsOrgId"])
    assert client.delete(f"{FLOWS}/connections/{item['id']}").status_code == 204


def test_destination_is_deleted_in_order_with_202(client: httpx.Client) -> None:
    flow = made_flow(client, http_bodies(), STREAM_FLOW)
    item = shown(client, "flows", flow["id"])
    target_id = item["targetConnectionIds"][0]
    base_id = item["inheritedAttributes"]["targetConnections"][0]["baseConnection"]["id"]
    refused = client.delete(f"{FLOWS}/connections/{base_id}")
    assert (refused.status_code, target_id in refused.json()["errorMessage"]) == (400, True)
    for path in (f"flows/{flow['id']}", f"targetConnections/{target_id}", f"connections/{base_id}"):
        reply = client.delete(f"{FLOWS}/{path}")
        assert (reply.status_code, reply.content) == (202, b"")
        assert client.get(f"{FLOWS}/{path}").status_code == 404


def test_flow_shows_what_it_inherits(client: httpx.Client) -> None:
    flow = made_flow(client, http_bodies(), STREAM_FLOW)
    item = shown(client, "flows", flow["id"])
    assert item["inheritedAttributes"]["properties"] == {"isDestinationFlow": True}
    assert item["inheritedAttributes"]["sourceConnections"][0]["typeInfo"] == {"type": "ProfileFragments", "id": "ups"}
    assert item["runs"] == f"/runs?property=flowId=={flow['id']}"
    assert item["lastOperation"]["operation"] == "create"


def test_patch_answers_the_new_version_and_shows_the_patch(client: httpx.Client) -> None:
    flow = made_flow(client, http_bodies(), STREAM_FLOW)
    operation = {"op": "ADD", "path": f"{PARAMS}/segmentSelectors/selectors/-", "value": audience_selector("aud-1")}
    reply = patched(client, flow, [operation])
    assert reply.status_code == 200
    assert set(reply.json()) == {"id", "etag"}
    assert reply.json()["etag"] != flow["etag"]
    item = shown(client, "flows", flow["id"])
    assert item["lastOperation"]["ops"] == [{**operation, "op": "add"}]
    assert item["lastOperation"]["operation"] == "update"


def test_stale_unquoted_and_missing_versions(client: httpx.Client) -> None:
    flow = made_flow(client, http_bodies(), STREAM_FLOW)
    operation = {"op": "replace", "path": "/name", "value": "New"}
    unquoted = patched(client, {**flow, "etag": flow["etag"].strip('"')}, [operation])
    assert unquoted.status_code == 412
    current = flow["etag"]
    assert unquoted.json()["errorMessage"] == (
        f"Supplied version=[{current.strip(chr(34))}] does not match the current version on entity=[{current}]"
    )
    assert client.patch(f"{FLOWS}/flows/{flow['id']}", json=[operation]).status_code == 400
    assert patched(client, flow, [operation]).status_code == 200
    assert patched(client, flow, [operation]).status_code == 412


def test_version_is_accepted_in_the_query_string(client: httpx.Client) -> None:
    flow = made_flow(client, http_bodies(), STREAM_FLOW)
    reply = client.patch(
        f"{FLOWS}/flows/{flow['id']}",
        params={"if-match": flow["etag"]},
        json=[{"op": "Replace", "path": "/name", "value": "New"}],
    )
    assert reply.status_code == 200


def test_patch_that_does_not_fit_is_400_and_changes_nothing(client: httpx.Client) -> None:
    flow = made_flow(client, http_bodies(), STREAM_FLOW)
    operations = [
        {"op": "replace", "path": "/name", "value": "New"},
        {"op": "remove", "path": f"{PARAMS}/segmentSelectors/selectors/3"},
    ]
    assert patched(client, flow, operations).status_code == 400
    assert shown(client, "flows", flow["id"])["name"] == "Flow"


@pytest.mark.parametrize(("op", "state"), [("disable", "disabled"), ("DISABLE", "disabled"), ("enable", "enabled")])
def test_flow_is_switched(client: httpx.Client, op: str, state: str) -> None:
    flow = made_flow(client, http_bodies(), STREAM_FLOW)
    reply = client.post(f"{FLOWS}/flows/{flow['id']}/action", params={"op": op})
    assert (reply.status_code, set(reply.json())) == (200, {"id", "etag"})
    assert shown(client, "flows", flow["id"])["state"] == state
    assert client.post(f"{FLOWS}/flows/{flow['id']}/action", params={"op": "PUBLISH"}).status_code == 400


def test_list_is_paged_with_a_token_that_stands_alone(client: httpx.Client) -> None:
    for number in range(5):
        created(client, "connections", {"name": f"Zone {number}", "connectionSpec": spec(ZONE)})
    found, path = [], "/connections?limit=2&orderby=name"
    while path:
        page = client.get(FLOWS + path).json()
        found += [item["name"] for item in page["items"]]
        path = page["_links"].get("next", {}).get("href", "")
        assert path == "" or (path.startswith("/connections?continuationToken=") and path.count("=") == 1)
    assert found == [f"Zone {number}" for number in range(5)]


def test_count_answers_the_number_alone(client: httpx.Client) -> None:
    for number in range(3):
        created(client, "connections", {"name": f"Zone {number}", "connectionSpec": spec(ZONE)})
    params = {"count": "true", "limit": "1", "property": f"connectionSpec.id=={ZONE}"}
    assert client.get(f"{FLOWS}/connections", params=params).json() == {"count": 3}


def test_malformed_filter_is_400_and_unknown_path_is_empty(client: httpx.Client) -> None:
    created(client, "connections", {"name": "Zone", "connectionSpec": spec(ZONE)})
    assert client.get(f"{FLOWS}/connections", params={"property": "name"}).status_code == 400
    assert client.get(f"{FLOWS}/connections", params={"property": "no.such==x"}).json()["items"] == []


def test_flows_are_found_by_audience_and_by_search(client: httpx.Client) -> None:
    flow = made_flow(client, http_bodies(), STREAM_FLOW)
    made_flow(client, http_bodies(), STREAM_FLOW)
    patched(client, flow, [{"op": "add", "path": f"{PARAMS}/segmentSelectors/selectors/-", "value": audience_selector("aud-1")}])
    condition = "transformations[].params.segmentSelectors.selectors[].value.id==aud-1"
    found = client.get(f"{FLOWS}/flows", params={"property": condition}).json()["items"]
    assert [item["id"] for item in found] == [flow["id"]]
    searched = client.post(f"{FLOWS}/flows/search", json={"queryString": f"property={condition}"}).json()["items"]
    assert [item["id"] for item in searched] == [flow["id"]]


def test_runs_of_a_flow_are_started_listed_and_counted(client: httpx.Client) -> None:
    flow = made_flow(client, s3_bodies(), S3_FLOW)
    patched(client, flow, [{"op": "add", "path": f"{PARAMS}/segmentSelectors/selectors/-", "value": file_selector("aud-1")}])
    reply = client.post(f"{FLOWS}/runs", json={"flowId": flow["id"]})
    assert reply.status_code == 201
    found = client.get(f"{FLOWS}/runs", params={"property": f"flowId=={flow['id']}", "count": "False"}).json()["items"]
    assert [item["id"] for item in found] == [reply.json()["id"]]
    assert found[0]["metrics"]["statusSummary"]["status"] == "waiting"
    condition = "metrics.recordSummary.targetSummaries[].entitySummaries[].id==segment:aud-1"
    assert client.get(f"{FLOWS}/runs", params={"property": condition, "count": "true"}).json() == {"count": 1}
    assert shown(client, "flows", flow["id"])["lastRunDetails"]["state"] == "waiting"


def test_runs_are_paged(client: httpx.Client) -> None:
    flow = made_flow(client, s3_bodies(), S3_FLOW)
    operations = [
        {"op": "add", "path": f"{PARAMS}/segmentSelectors/selectors/-", "value": file_selector(f"aud-{number}")}
        for number in range(1, 6)
    ]
    patched(client, flow, operations)
    made = client.post(f"{FLOWS}/runs", json={"flowId": flow["id"]}).json()["runs"]
    for condition in (f"flowId=={flow['id']}", "metrics.statusSummary.status==waiting"):
        found: list[str] = []
        page = client.get(f"{FLOWS}/runs", params={"property": condition, "limit": 2}).json()
        while True:
            found += [item["id"] for item in page["items"]]
            if "next" not in page["_links"]:
                break
            page = client.get(FLOWS + page["_links"]["next"]["href"]).json()
        assert sorted(found) == sorted(made)
    assert client.get(f"{FLOWS}/runs", params={"property": f"flowId=={flow['id']}", "count": "true"}).json() == {"count": 5}


def test_export_on_demand_links_to_its_run(client: httpx.Client) -> None:
    flow = made_flow(client, s3_bodies(), S3_FLOW)
    patched(client, flow, [{"op": "add", "path": f"{PARAMS}/segmentSelectors/selectors/-", "value": file_selector("aud-1")}])
    path, body = "/data/core/activation/disflowprovider/adhocrun", {"activationInfo": {flow["id"]: ["aud-1"]}}
    reply = client.post(path, json=body, headers={"Accept": "application/vnd.adobe.adhoc.activation+json; version=2"})
    assert reply.status_code == 200
    (order,) = reply.json()["order"]
    assert (order["segment"], order["order"]) == ("aud-1", flow["id"])
    assert client.get(order["statusURL"]).status_code == 200
    again = client.post(path, json=body)
    assert again.status_code == 400
    assert again.json()["message"].startswith("Run already going on for audience aud-1")


def test_exportable_datasets_are_paged(client: httpx.Client) -> None:
    params: dict[str, str | int] = {"outputType": "activationDatasets", "outputField": "datasets", "start": 0, "limit": 2}
    page = client.get(f"{FLOWS}/connectionSpecs/{DATA_LAKE}/configs", params=params).json()
    assert [item["id"] for item in page["items"]] == ["ds1", "ds2"]
    assert page["pageInfo"] == {"start": 0, "end": 2, "total": 3, "hasNext": True}


def test_connection_is_tested(client: httpx.Client, tmp_path: Path) -> None:
    zone = created(client, "connections", {"name": "Zone", "connectionSpec": spec(ZONE)})["id"]
    reply = client.get(f"{FLOWS}/connections/{zone}/test")
    assert (reply.status_code, reply.json()) == (200, {"result": True})
    account = {"domain": "127.0.0.1", "username": "u", "password": "p", "port": 1}
    assert client.get(f"{FLOWS}/connections/nobody/test").status_code == 404
    body = {"name": "S", "connectionSpec": spec(SFTP), "auth": {"specName": "SFTP with Password", "params": account}}
    assert client.post(f"{FLOWS}/connections", json=body).json()["headrace"]["path"] == "/auth/params/domain"


def test_landing_zone_is_a_folder_of_the_sandbox(client: httpx.Client, home: Path) -> None:
    path = "/data/foundation/connectors/landingzone"
    assert client.get(path, params={"type": "user_drop_zone"}).json() == {"containerName": "prod", "containerTTL": "7"}
    found = client.get(f"{path}/credentials", params={"type": "dlz_destination"}).json()
    assert found["SASUri"] == (home / "landing-zone" / "prod").as_uri()
    assert (home / "landing-zone" / "prod").is_dir()
    refreshed = client.post(f"{path}/credentials", params={"type": "dlz_destination", "action": "refresh"}).json()
    assert refreshed["SASToken"] != found["SASToken"]
    assert client.get(path, params={"type": "other"}).status_code == 400
