"""Segmentation over HTTP: shapes, codes and pages of the platform."""

import json
from typing import Any

import httpx
import pytest

from headrace.api.services import Services
from headrace.clock import ManualClock
from headrace.identity.graph import Vertex
from headrace.model import Identity
from headrace.profile.person import Fragment, Person, encode_record
from tests.unit.api.segmentation_world import Bell, Source, with_segmentation

BASE = "/data/core/ups"
STREAMED = 'person.gender = "male"'
EVER = 'chain(xEvent, timestamp, [A: WHAT(eventType = "checkout")])'
Json = dict[str, Any]


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def services(services: Services, source: Source, bell: Bell) -> Services:
    return with_segmentation(services, source, bell)


def body(name: str = "Runners", text: str = STREAMED, **more: Any) -> Json:
    expression = {"type": "PQL", "format": "pql/text", "value": text}
    return {"name": name, "expression": expression, "schema": {"name": "_xdm.context.profile"}, **more}


def make(client: httpx.Client, **fields: Any) -> Json:
    answer = client.post(f"{BASE}/segment/definitions", json=body(**fields))
    assert answer.status_code == 200, answer.text
    made: Json = answer.json()
    return made


# --- definitions ----------------------------------------------------------------------------------------------------------


def test_created_definition_has_the_whole_object(client: httpx.Client, services: Services) -> None:
    made = make(client, description="All", ttlInDays=60)
    now_ms = services.clock.now_ms()
    assert made["evaluationInfo"] == {
        "batch": {"enabled": False},
        "continuous": {"enabled": True},
        "synchronous": {"enabled": False},
    }
    assert made["expression"]["value"] == STREAMED
    assert (made["creationTime"], made["createEpoch"], made["updateTime"]) == (now_ms, now_ms // 1000, now_ms)
    assert made["sandbox"]["sandboxName"] == "prod"
    assert made["mergePolicyId"] == services.policies.default(services.sandboxes.default()).id
    assert (made["ttlInDays"], made["profileInstanceId"], made["description"]) == (60, "ups", "All")
    assert made["headrace"]["evaluation"] == {
        "method": "streaming",
        "requested": None,
        "class": "P",
        "reasons": [],
        "advice": [],
    }
    assert client.get(f"{BASE}/segment/definitions/{made['id']}").json() == made


def test_unmet_wish_is_answered_with_its_reason(client: httpx.Client) -> None:
    made = make(client, text=EVER, evaluationInfo={"continuous": {"enabled": True}})
    assert made["evaluationInfo"]["batch"] == {"enabled": True}
    (reason,) = made["headrace"]["evaluation"]["reasons"]
    assert reason["code"] == "W" and "24 hours" in reason["text"]
    explained = client.get(f"/headrace/audiences/{made['id']}/evaluation").json()
    assert explained["method"] == "batch"
    assert explained["methods"]["streaming"]["isPossible"] is False
    assert explained["methods"]["batch"]["isPossible"] is True


def test_wrong_queries_name_every_problem(client: httpx.Client) -> None:
    answer = client.post(f"{BASE}/segment/definitions", json=body(text='person.gendr = "male" and person.name.firstName > 3'))
    assert answer.status_code == 400
    wrong = answer.json()
    assert wrong["type"] == "https://ns.adobe.com/aep/errors/HRPQL-1-400"
    assert [item["message"].split(":")[0] for item in wrong["errors"]["400"]] == ["E-NAME at 1", "E-TYPE at 1"]
    assert wrong["headrace"] == {"path": "/expression/value", "hint": "Write gender."}


def test_duplicate_name_is_422_and_missing_members_400(client: httpx.Client) -> None:
    make(client)
    assert client.post(f"{BASE}/segment/definitions", json=body()).status_code == 422
    answer = client.post(f"{BASE}/segment/definitions", json={"description": "x"})
    assert answer.status_code == 400
    assert len(answer.json()["errors"]["400"]) == 2
    assert answer.json()["type"].endswith("UPLIB-101206-500")


def test_patch_overwrites_with_a_whole_object(client: httpx.Client, clock: ManualClock) -> None:
    made = make(client)
    clock.move_to(clock.now_ms() + 2_000)
    answer = client.patch(f"{BASE}/segment/definitions/{made['id']}", json=body(name="Walkers", text=EVER))
    changed = answer.json()
    assert (answer.status_code, changed["name"], changed["version"]) == (200, "Walkers", 2)
    assert changed["evaluationInfo"]["batch"]["enabled"] is True
    assert changed["updateTime"] - changed["creationTime"] == 2_000


def test_definition_may_be_json(client: httpx.Client) -> None:
    query = {
        "nodeType": "fnApply",
        "fnName": "=",
        "params": [
            {"nodeType": "fieldLookup", "fieldName": "gender", "object": {"nodeType": "fieldLookup", "fieldName": "person",
             "object": {"nodeType": "parameterReference", "position": 1}}},
            {"nodeType": "literal", "literalType": "String", "value": "male"},
        ],
    }  # fmt: skip
    expression = {"type": "PQL", "format": "pql/json", "value": json.dumps(query)}
    made = client.post(f"{BASE}/segment/definitions", json={**body(), "expression": expression}).json()
    assert made["expression"] == expression
    converted = client.post(f"{BASE}/segment/conversion", json={**body(), "expression": expression}).json()
    assert converted["expression"] == {"type": "PQL", "format": "pql/text", "value": STREAMED}
    back = client.post(f"{BASE}/segment/conversion", json=body()).json()
    assert json.loads(back["expression"]["value"])["fnName"] == "="


def test_definitions_are_listed_in_pages_and_by_method(client: httpx.Client) -> None:
    for number in range(3):
        make(client, name=f"S{number}")
    make(client, name="B", text=EVER)
    page = client.get(f"{BASE}/segment/definitions", params={"limit": 3, "page": 1, "sort": "name:asc"}).json()
    assert [item["name"] for item in page["segments"]] == ["S2"]
    assert page["page"]["totalCount"] == 4 and page["page"]["totalPages"] == 2
    batch = client.get(f"{BASE}/segment/definitions", params={"evaluationInfo.batch.enabled": "True"}).json()
    assert [item["name"] for item in batch["segments"]] == ["B"]
    assert client.get(f"{BASE}/segment/definitions", params={"page": 9}).json()["segments"] == []


def test_bulk_get_answers_207(client: httpx.Client) -> None:
    made = make(client)
    answer = client.post(f"{BASE}/segment/definitions/bulk-get", json={"ids": [{"id": made["id"]}, {"id": "none"}]})
    assert (answer.status_code, list(answer.json()["results"])) == (207, [made["id"]])
    assert client.post(f"{BASE}/segment/definitions/bulk-get", json={"ids": []}).status_code == 400
    unknown = client.post(f"{BASE}/audiences/bulk-get", json={"ids": [{"id": "none"}]})
    assert (unknown.status_code, unknown.json()["type"]) == (404, "https://ns.adobe.com/aep/errors/UPAPI-113000-404")


def test_delete_is_refused_while_another_audience_uses_it(client: httpx.Client) -> None:
    made = make(client)
    make(client, name="Child", text=f'inSegment("{made["id"]}")')
    refused = client.delete(f"{BASE}/segment/definitions/{made['id']}")
    assert refused.status_code == 400
    assert refused.json()["type"] == "https://ns.adobe.com/aep/errors/UPAPI-113631-403"
    shown = client.get(f"{BASE}/audiences/{made['id']}").json()
    (child,) = shown["dependents"]
    assert client.get(f"{BASE}/audiences/{child}").json()["dependencies"] == [made["id"]]
    assert client.delete(f"{BASE}/audiences/{child}").status_code == 204
    assert client.delete(f"{BASE}/segment/definitions/{made['id']}").json()["status"] is True
    gone = client.get(f"{BASE}/segment/definitions/{made['id']}")
    assert (gone.status_code, gone.json()["type"]) == (404, "https://ns.adobe.com/aep/errors/UPAPI-113430-404")


# --- audiences ------------------------------------------------------------------------------------------------------------


def test_audiences_show_definitions_and_external_ones(client: httpx.Client, source: Source, services: Services) -> None:
    made = make(client)
    external = {
        "audienceId": "88121",
        "name": "Partner",
        "namespace": "AAMSegments",
        "originName": "AUDIENCE_MANAGER",
        "type": "ExternalAudience",
    }
    answer = client.post(f"{BASE}/audiences", json=external)
    assert (answer.status_code, answer.json()["type"]) == (201, "ExternalSegment")
    assert client.post(f"{BASE}/audiences", json={**external, "name": "Again"}).status_code == 409
    number = services.audiences.get(services.sandboxes.default(), made["id"]).number
    source.count_members(services.sandboxes.default(), number, 9)
    listed = client.get(f"{BASE}/audiences", params={"sort": "name:asc"}).json()
    assert [item["name"] for item in listed["children"]] == ["Partner", "Runners"]
    runners = listed["children"][1]
    assert (runners["audienceId"], runners["namespace"]) == (made["id"], "AEPSegments")
    assert runners["metrics"]["data"]["totalProfiles"] == 9
    assert "next" not in listed["_page"] and listed["_links"]["next"] == {}
    one = client.get(f"{BASE}/audiences", params={"property": "audienceId==88121"}).json()
    assert [item["name"] for item in one["children"]] == ["Partner"]
    assert client.get(f"{BASE}/audiences", params={"name": "runn"}).json()["_page"]["totalCount"] == 1


def test_pages_of_audiences_are_counted(client: httpx.Client) -> None:
    for number in range(3):
        make(client, name=f"S{number}")
    first = client.get(f"{BASE}/audiences", params={"limit": 2}).json()
    assert first["_page"]["next"] == 1
    assert first["_links"]["next"]["href"] == "@/audiences?start=1&limit=2&totalCount=3"
    last = client.get(f"{BASE}/audiences", params={"limit": 2, "start": 1}).json()
    assert len(last["children"]) == 1 and "next" not in last["_page"]


def test_patch_of_an_audience_adds_only(client: httpx.Client) -> None:
    made = make(client)
    path = f"{BASE}/audiences/{made['id']}"
    expression = {"type": "PQL", "format": "pql/text", "value": EVER}
    changed = client.patch(path, json=[{"op": "add", "path": "/expression", "value": expression}])
    assert (changed.status_code, changed.json()["expression"]["value"]) == (200, EVER)
    for operation in (
        {"op": "remove", "path": "/name"},
        {"op": "add", "path": "/namespace", "value": "x"},
        {"op": "add", "path": "/lifecycleState", "value": "deleted"},
    ):
        refused = client.patch(path, json=[operation])
        assert (refused.status_code, refused.json()["type"][-16:]) == (400, "UPAPI-113434-400")


def test_put_replaces_and_keeps_the_namespace(client: httpx.Client) -> None:
    made = make(client)
    path = f"{BASE}/audiences/{made['id']}"
    assert client.put(path, json={**body(name="Walkers"), "type": "SegmentDefinition"}).json()["name"] == "Walkers"
    external = {"audienceId": "a1", "name": "Up", "namespace": "CustomerAudienceUpload", "type": "ExternalSegment"}
    other = client.post(f"{BASE}/audiences", json=external).json()
    refused = client.put(f"{BASE}/audiences/{other['id']}", json={**external, "namespace": "AAM"})
    assert refused.status_code == 400


def test_inactive_audiences_are_hidden_from_lists(client: httpx.Client) -> None:
    made = make(client)
    client.patch(f"{BASE}/audiences/{made['id']}", json=[{"op": "add", "path": "/lifecycleState", "value": "inactive"}])
    assert client.get(f"{BASE}/audiences").json()["children"] == []
    shown = client.get(f"{BASE}/audiences", params={"property": "lifecycleState==inactive"}).json()
    assert [item["id"] for item in shown["children"]] == [made["id"]]


# --- jobs and schedules ---------------------------------------------------------------------------------------------------


def test_job_is_made_listed_and_cancelled(client: httpx.Client, bell: Bell) -> None:
    made = make(client)
    answer = client.post(f"{BASE}/segment/jobs", json=[{"segmentId": made["id"]}])
    job = answer.json()
    assert (answer.status_code, job["status"], bell.count) == (200, "NEW", 1)
    assert job["segments"][0]["segment"]["expression"]["value"] == STREAMED
    assert job["metrics"] == {"totalTime": {}, "profileSegmentationTime": {}}
    listed = client.get(f"{BASE}/segment/jobs", params={"property": f"segments~segmentId=={made['id']}"}).json()
    assert [item["id"] for item in listed["children"]] == [job["id"]]
    assert client.get(f"{BASE}/segment/jobs", params={"status": "SUCCEEDED"}).json()["children"] == []
    assert client.delete(f"{BASE}/segment/jobs/{job['id']}").status_code == 204
    assert client.get(f"{BASE}/segment/jobs/{job['id']}").json()["status"] == "CANCELLED"


def test_job_for_all_names_all(client: httpx.Client) -> None:
    wanted = {"schema": {"name": "_xdm.context.profile"}, "segments": [{"segmentId": "*"}]}
    assert client.post(f"{BASE}/segment/jobs", json=wanted).json()["segments"] == [{"segmentId": "*"}]
    assert client.post(f"{BASE}/segment/jobs", json=[{"segmentId": "none"}]).status_code == 400
    assert client.get(f"{BASE}/segment/jobs/none").status_code == 404


def test_eleventh_waiting_job_is_too_many(client: httpx.Client) -> None:
    for _ in range(10):
        assert client.post(f"{BASE}/segment/jobs", json=[{"segmentId": "*"}]).status_code == 200
    refused = client.post(f"{BASE}/segment/jobs", json=[{"segmentId": "*"}])
    assert refused.status_code == 429 and refused.headers["Retry-After"] == "60"


def test_sandbox_has_a_daily_schedule(client: httpx.Client) -> None:
    (daily,) = client.get(f"{BASE}/config/schedules").json()["children"]
    assert (daily["type"], daily["frequency"], daily["state"]) == ("batch_segmentation", "daily", "active")
    path = f"{BASE}/config/schedules/{daily['id']}"
    patch = [{"op": "add", "path": "/schedule", "value": "0 30 4 * * ?"}]
    assert client.patch(path, json=patch).status_code == 204
    assert client.get(path).json()["schedule"] == "0 30 4 * * ?"
    assert client.delete(path).status_code == 400
    hourly = client.patch(path, json=[{"op": "add", "path": "/schedule", "value": "0 0 * * * ?"}])
    assert hourly.status_code == 400 and "more than once in 24 hours" in hourly.text


def test_schedule_is_made_stopped_and_deleted(client: httpx.Client) -> None:
    wanted = {"name": "Mine", "type": "batch_segmentation", "properties": {"segments": ["*"]}, "schedule": "0 0 1 * * ?"}
    made = client.post(f"{BASE}/config/schedules", json=wanted).json()
    assert (made["state"], made["properties"]["segments"]) == ("inactive", ["*"])
    path = f"{BASE}/config/schedules/{made['id']}"
    client.patch(path, json=[{"op": "add", "path": "/state", "value": "active"}])
    assert client.get(path).json()["state"] == "active"
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    assert client.post(f"{BASE}/config/schedules", json={**wanted, "properties": {}}).status_code == 400


# --- previews -------------------------------------------------------------------------------------------------------------


def person(number: int, gender: str) -> Person:
    fragment = Fragment(0, 1, 1, 1, number, encode_record({"person": {"gender": gender}}))
    return Person(bytes([number]) * 16, [Vertex(Identity(6, f"p{number}@acme.com"), 1, 1)], fragments=[fragment])


def test_preview_finds_persons_and_estimates_the_size(client: httpx.Client, source: Source, services: Services) -> None:
    source.add(services.sandboxes.default(), *(person(number, "male" if number < 3 else "female") for number in range(1, 9)))
    wanted = {"predicateExpression": STREAMED, "predicateType": "pql/text", "predicateModel": "_xdm.context.profile"}
    made = client.post(f"{BASE}/preview", json=wanted)
    assert (made.status_code, made.json()["state"]) == (201, "NEW")
    key = made.json()["previewId"]
    preview = client.get(f"{BASE}/preview/{key}").json()
    assert preview["state"] == "RESULT_READY" and len(preview["results"]) == 2
    estimate = client.get(f"{BASE}/estimate/{key}").json()
    assert (estimate["estimatedSize"], estimate["totalRows"], estimate["standardError"]) == (2, 8, 0)
    assert estimate["estimatedNamespaceDistribution"] == [{"namespaceId": "6", "profilesMatchedSoFar": 2}]
    assert client.delete(f"{BASE}/preview/{key}").status_code == 200
    assert client.get(f"{BASE}/estimate/{key}").status_code == 404


def test_preview_of_a_wrong_query_is_refused_and_an_old_one_forgotten(client: httpx.Client, clock: ManualClock) -> None:
    assert client.post(f"{BASE}/preview", json={"predicateExpression": "persn = 1"}).status_code == 400
    key = client.post(f"{BASE}/preview", json={"predicateExpression": STREAMED}).json()["previewId"]
    clock.move_to(clock.now_ms() + 3_600_000)
    assert client.get(f"{BASE}/preview/{key}").status_code == 404
