"""What a caller does wrong, and the answer: each service's own shape, the field, the remedy; and nothing is lost."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from .conftest import new_sandbox
from .world import (
    CATALOG,
    CORE,
    DEFINITIONS,
    ENTITIES,
    EXPORT,
    FLOWS,
    FOUNDATION,
    HTTP_API,
    IDENTITY_MAP,
    IMPORT,
    JOBS,
    LANDING_ZONE,
    LANDING_ZONE_FLOW,
    NAMESPACES,
    PARAMS,
    PERSON,
    PROFILE_CLASS,
    REGISTRY,
    STREAM_FLOW,
    Api,
    World,
    add,
    reference_to,
    schema_path,
    spec,
    until,
)


@pytest.fixture(scope="module")
def shared_world(api: Api) -> World:
    """A sandbox for the tests that leave nothing behind."""
    return new_sandbox(api).fill()


# --- the gateway --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"Authorization": None}, 403, "403010"),
        ({"Authorization": "Bearer nonsense"}, 401, "401013"),
        ({"x-api-key": None}, 403, "403000"),
        ({"x-api-key": "another"}, 403, "403003"),
        ({"x-gw-ims-org-id": None}, 400, "400003"),
        ({"x-gw-ims-org-id": "0000@AdobeOrg"}, 403, "403025"),
    ],
)
def test_gateway_names_the_header(shared_world: World, changed: dict[str, str | None], status: int, code: str) -> None:
    headers = {
        name: value for name, value in {**shared_world.api.headers(shared_world.sandbox), **changed}.items() if value is not None
    }
    for path in (f"{CATALOG}/dataSets", f"{REGISTRY}/schemas", DEFINITIONS, f"{FLOWS}/flows", "/headrace/progress"):
        answer = shared_world.api.http.get(path, headers=headers)
        assert answer.status_code == status, answer.text
        assert answer.json()["error_code"] == code
        assert answer.headers["x-request-id"]


def test_unknown_sandbox_is_not_found_at_every_service(shared_world: World) -> None:
    for path in (f"{CATALOG}/dataSets", f"{REGISTRY}/schemas", DEFINITIONS, f"{FLOWS}/flows", "/headrace/progress"):
        answer = shared_world.api.http.get(path, headers=shared_world.api.headers("no-such-sandbox"))
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (404, "SMS-1001-404"), answer.text


def test_path_and_method_that_do_not_exist_answer_json(shared_world: World) -> None:
    missing = shared_world.call("GET", "/data/foundation/nothing", headers={"x-request-id": "mine-1"})
    assert (missing.status_code, missing.json()["error_code"]) == (404, "404003")
    assert missing.headers["x-request-id"] == "mine-1"
    wrong = shared_world.call("DELETE", f"{CATALOG}/dataSets")
    assert (wrong.status_code, wrong.json()["error_code"]) == (405, "405000")
    assert "POST" in wrong.headers["allow"]
    long = shared_world.call("GET", f"{CATALOG}/dataSets", params={"name": "x" * 2100})
    assert long.status_code == 414


@pytest.mark.parametrize("path", [f"{CATALOG}/dataSets", f"{REGISTRY}/schemas", NAMESPACES, DEFINITIONS, f"{FLOWS}/flows"])
def test_body_that_is_no_json_is_refused_by_every_service(shared_world: World, path: str) -> None:
    for content in (b"{", b"", b'"text"', b"[1,", b"\xff\xfe"):
        answer = shared_world.call("POST", path, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, (content, answer.text)
        assert isinstance(answer.json(), dict)
    untyped = shared_world.call("POST", path, content=b"{}", headers={"Content-Type": "text/plain"})
    assert untyped.status_code == 400
    assert untyped.json()["detail"] == "A valid content-type must be specified"


# --- schemas, datasets, namespaces ----------------------------------------------------------------------------------------------


def schema_body(*references: str, **more: Any) -> dict[str, Any]:
    return {"title": "S", "type": "object", "allOf": [{"$ref": item} for item in references], **more}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (schema_body(IDENTITY_MAP), "/allOf"),
        (schema_body(PROFILE_CLASS, "https://ns.adobe.com/x/mixins/nothing"), "/allOf/1/$ref"),
        ({"type": "object", "allOf": [{"$ref": PROFILE_CLASS}]}, "/title"),
    ],
)
def test_registry_says_what_is_wrong_with_a_schema(shared_world: World, body: dict[str, Any], path: str) -> None:
    answer = shared_world.call("POST", f"{REGISTRY}/schemas", body)
    problem = answer.json()
    assert answer.status_code == 400
    assert {"type", "title", "status", "detail", "report"} <= set(problem)
    assert problem["report"]["registryRequestId"] == answer.headers["x-request-id"]
    assert problem["headrace"]["path"] == path


def test_registry_knows_no_such_schema(shared_world: World) -> None:
    accept = {"Accept": "application/vnd.adobe.xed+json; version=1"}
    answer = shared_world.call("GET", schema_path("https://ns.adobe.com/x/schemas/nothing"), headers=accept)
    assert answer.status_code == 404
    assert answer.json()["type"].endswith("-404")
    wrong = shared_world.call("GET", f"{REGISTRY}/schemas", headers={"Accept": "application/vnd.adobe.xed-nothing+json"})
    assert wrong.status_code in (400, 406)


def test_descriptor_needs_a_field_and_a_namespace_that_exist(world: World) -> None:
    schema_id = world.schema("S", PROFILE_CLASS, PERSON, is_enabled=False)
    body = {
        "@type": "xdm:descriptorIdentity",
        "xdm:sourceSchema": schema_id,
        "xdm:sourceVersion": 1,
        "xdm:sourceProperty": "/person/name/firstName",
        "xdm:namespace": "Nobody",
        "xdm:property": "xdm:code",
        "xdm:isPrimary": True,
    }
    unknown = world.call("POST", f"{REGISTRY}/descriptors", body)
    assert (unknown.status_code, unknown.json()["headrace"]["path"]) == (400, "/xdm:namespace")
    missing = {**body, "xdm:namespace": "Email", "xdm:sourceProperty": "/person/name/nickname"}
    answer = world.call("POST", f"{REGISTRY}/descriptors", missing)
    assert (answer.status_code, answer.json()["headrace"]["path"]) == (400, "/xdm:sourceProperty")
    unmarked = world.call("PATCH", schema_path(schema_id), [add("/meta:immutableTags", ["union"])])
    assert unmarked.status_code == 400
    assert "XDM-1528-400" in unmarked.json()["type"]


def test_catalog_says_what_is_wrong_with_a_dataset(world: World) -> None:
    schema_id = world.schema("S", PROFILE_CLASS, PERSON, is_enabled=False)
    tags = {"unifiedProfile": ["enabled:true"]}
    for body, path in (
        ({"name": "D"}, "/schemaRef/id"),
        ({"schemaRef": reference_to(schema_id)}, "/name"),
        ({"name": "D", "schemaRef": reference_to("https://ns.adobe.com/x/schemas/nothing")}, "/schemaRef/id"),
        ({"name": "D", "schemaRef": reference_to(schema_id), "tags": tags}, "/tags/unifiedProfile"),
    ):
        answer = world.call("POST", f"{CATALOG}/dataSets", body)
        assert answer.status_code == 400, body
        assert answer.json()["type"].startswith("http://ns.adobe.com/aep/errors/CTLG-")
        assert answer.json()["headrace"]["path"] == path
    assert world.call("GET", f"{CATALOG}/dataSets/{'0' * 24}").status_code == 404
    assert world.get(f"{CATALOG}/dataSets") == {}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "N", "code": "two words", "idType": "COOKIE"}, 400),
        ({"name": "N", "code": "N", "idType": "NOTHING"}, 400),
        ({"code": "N", "idType": "COOKIE"}, 400),
        ({"name": "Mine", "code": "email", "idType": "EMAIL"}, 409),
    ],
)
def test_identity_service_says_what_is_wrong_with_a_namespace(shared_world: World, body: dict[str, str], status: int) -> None:
    answer = shared_world.call("POST", NAMESPACES, body)
    assert answer.status_code == status
    assert {"type", "title", "status", "description", "report"} <= set(answer.json())


def test_unknown_namespace_is_named_wherever_it_is_given(shared_world: World) -> None:
    query = {"schema.name": "_xdm.context.profile", "entityId": "x", "entityIdNS": "Nobody"}
    profile = shared_world.call("GET", ENTITIES, params=query)
    assert profile.status_code == 400
    assert "Nobody" in profile.json()["message"]
    assert profile.json()["statusCode"] == "400"
    xid = shared_world.call("GET", f"{CORE}/identity/identity", params={"namespace": "Nobody", "id": "x"})
    assert (xid.status_code, xid.json()["title"]) == (400, "InvalidInput")


# --- streaming ------------------------------------------------------------------------------------------------------------------


def without(*path: str) -> Callable[[Any], None]:
    def change(message: Any) -> None:
        for name in path[:-1]:
            message = message[name]
        del message[path[-1]]

    return change


def with_value(value: Any, *path: str) -> Callable[[Any], None]:
    def change(message: Any) -> None:
        for name in path[:-1]:
            message = message[name]
        message[path[-1]] = value

    return change


ENVELOPE_FAULTS = [
    (without("body"), "Message has unknown xdm format"),
    (without("header"), "Message has unknown xdm format"),
    (without("header", "schemaRef"), "Message has unknown xdm format"),
    (without("header", "datasetId"), "Message has unknown xdm format"),
    (with_value(reference_to("https://ns.adobe.com/x/schemas/no"), "header", "schemaRef"), "Message has unknown xdm format"),
    (with_value("0" * 24, "header", "datasetId"), "Message has unknown xdm format"),
    (with_value("0000@AdobeOrg", "header", "imsOrgId"), "Message has an absent or wrong ims org in the header"),
]


@pytest.mark.parametrize(("change", "sentence"), ENVELOPE_FAULTS)
def test_inlet_refuses_a_wrong_envelope_at_once(shared_world: World, change: Callable[[Any], None], sentence: str) -> None:
    message = shared_world.customer("c-1")
    change(message)
    answer = shared_world.send(message)
    problem = answer.json()
    assert answer.status_code == problem["status"] == 400
    assert problem["type"] == "http://ns.adobe.com/adobecloud/problem/data-collection-service/inlet"
    assert sentence in problem["report"]["message"]
    assert problem["headrace"]["path"].startswith("/")
    many = shared_world.send_batch([shared_world.customer("c-2"), message])
    assert many.status_code == 207
    good, bad = many.json()["responses"]
    assert "xactionId" in good
    assert bad["statusCode"] == 400
    assert sentence in bad["message"]


def without_field(name: str) -> Callable[[Any], None]:
    return without("body", "xdmEntity", name)


def with_field(value: Any, name: str) -> Callable[[Any], None]:
    return with_value(value, "body", "xdmEntity", name)


NO_DATE = "not a valid date-time"
RECORD_FAULTS: list[tuple[Callable[[Any], None], str, str, str, str]] = [
    (without_field("_id"), "required", "#", "required key [_id] not found", "DCVS-1111-400"),
    (with_field(5, "_id"), "type", "#/_id", "String, found: Long", "DCVS-1104-400"),
    (with_field(None, "eventType"), "type", "#/eventType", "String, found: Null", "DCVS-1101-400"),
    (with_field(1, "foo"), "additionalProperties", "#", "extraneous key [foo]", "DCVS-1901-400"),
    (with_field("2027-02-30T00:00:00Z", "timestamp"), "format", "#/timestamp", NO_DATE, "DCVS-1105-400"),
    (with_field("2027-02-03T00:00:00", "timestamp"), "format", "#/timestamp", NO_DATE, "DCVS-1105-400"),
]


@pytest.mark.parametrize(("change", "keyword", "pointer", "text", "code"), RECORD_FAULTS)
def test_record_that_breaks_its_schema_is_refused_when_asked_and_kept_otherwise(
    shared_world: World, change: Callable[[Any], None], keyword: str, pointer: str, text: str, code: str
) -> None:
    before = len(failed_records(shared_world, shared_world.events))
    message = shared_world.event("e-1", "2026-02-03T04:05:06Z", "visit", "c-1")
    change(message)
    refused = shared_world.send(message, is_validated=True)
    assert refused.status_code == 400
    assert refused.json()["title"] == "Invalid XDM Message Format"
    [violation] = refused.json()["report"]["cause"]["_streamingValidation"]
    assert (violation["keyword"], violation["pointerToViolation"]) == (keyword, pointer)
    assert text in violation["message"]
    assert len(failed_records(shared_world, shared_world.events)) == before
    accepted = shared_world.send(message)
    assert accepted.status_code == 200
    records = until(lambda: failed_records(shared_world, shared_world.events), lambda found: len(found) > before)
    [kept] = [record for record in records if record["body"] == message["body"]]
    assert kept["header"] == message["header"]
    [reason] = kept["_validationErrors"]
    assert (reason["code"], reason["pointerToViolation"]) == (code, pointer)
    assert text in reason["message"]
    assert kept["_errors"]["_streamingValidation"] == kept["_validationErrors"]


def failed_records(world: World, dataset_id: str) -> list[Any]:
    """Return every streamed record that was set aside, as Data Access gives it."""
    records = []
    batches = world.get(f"{CATALOG}/batches", status="failed", dataSet=dataset_id)
    for batch_id in batches:
        for item in world.get(f"{EXPORT}/batches/{batch_id}/failed")["data"]:
            if item["name"] != "_SUCCESS":
                content = world.call("GET", f"{EXPORT}/batches/{batch_id}/failed", params={"path": item["name"]}).text
                records += [json.loads(line) for line in content.splitlines()]
    return records


def test_several_violations_are_told_together(shared_world: World) -> None:
    message = shared_world.event("e-1", "yesterday", "visit", "c-1", foo=1)
    [found] = shared_world.send(message, is_validated=True).json()["report"]["cause"]["_streamingValidation"]
    assert found["message"] == "2 schema violations found"
    assert {cause["keyword"] for cause in found["causingExceptions"]} == {"format", "additionalProperties"}


def test_batch_with_wrong_records_keeps_the_good_ones(filled: World) -> None:
    good = [filled.customer(f"c-{number}", person={"name": {"firstName": "Ada"}}) for number in range(3)]
    wrong = filled.customer("c-9", person={"name": {"firstName": 9}})
    answer = filled.send_batch([good[0], wrong, good[1], 5, good[2]])
    assert answer.status_code == 207
    assert ["xactionId" in response for response in answer.json()["responses"]] == [True, True, True, False, True]
    filled.settle()
    assert [filled.profile(f"c-{number}") is not None for number in (0, 1, 2, 9)] == [True, True, True, False]
    [kept] = failed_records(filled, filled.profiles)
    assert kept["body"]["xdmEntity"]["person"]["name"]["firstName"] == 9


def test_inlet_refuses_what_it_cannot_read(filled: World) -> None:
    send = filled.api.http.post
    unknown = send(f"/collection/{'0' * 64}", json=filled.customer("c-1"))
    assert unknown.status_code == 404
    assert "Inlet not found" in unknown.json()["report"]["message"]
    for content in (b"{", b"", b"[]", b"nonsense"):
        answer = send(filled.inlet, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
        assert answer.json()["report"]["message"]
    large = send(filled.inlet, json=filled.customer("c-1", person={"name": {"firstName": "x" * 1_100_000}}))
    assert large.status_code == 413
    assert "1048576" in large.json()["report"]["message"]
    bodies: tuple[Any, ...] = ({}, {"messages": []}, {"messages": {}}, [])
    for body in bodies:
        assert send(filled.inlet.replace("/collection/", "/collection/batch/"), json=body).status_code == 400
    foreign = send(filled.inlet, json=filled.customer("c-1"), headers={"x-sandbox-name": "prod"})
    assert foreign.status_code == 400
    assert foreign.json()["headrace"]["path"] == "x-sandbox-name"
    filled.settle()
    assert filled.profile("c-1") is None


def test_inlet_that_asks_for_a_token_refuses_a_call_without(filled: World) -> None:
    filled.inlet = filled.new_inlet("guarded", authenticationRequired=True)
    refused = filled.send(filled.customer("c-1"))
    assert refused.status_code == 401
    assert refused.json()["title"] == "Authorization"
    assert refused.json()["status"] == "401"
    wrong = filled.api.http.post(filled.inlet, json=filled.customer("c-1"), headers={"Authorization": "Bearer nonsense"})
    assert wrong.status_code in (401, 403)
    headers = filled.api.headers(filled.sandbox)
    assert filled.api.http.post(filled.inlet, json=filled.customer("c-1"), headers=headers).status_code == 200


def test_record_without_a_known_identity_stays_in_the_lake(filled: World) -> None:
    message = filled.message(filled.profile_schema, filled.profiles, {"identityMap": {"Nobody": [{"id": "n-1"}]}})
    assert filled.send(message).status_code == 200
    progress = filled.settle()
    assert sum(progress["profileRefusals"].values()) >= 1
    rows = until(lambda: filled.get(f"{EXPORT}/datasets/{filled.profiles}/preview")["data"], bool)
    assert rows == [{"identityMap": {"Nobody": [{"id": "n-1"}]}}]


# --- batches --------------------------------------------------------------------------------------------------------------------


def upload(world: World, content: bytes, **body: Any) -> str:
    made = world.post(f"{IMPORT}/batches", {"datasetId": world.profiles, "inputFormat": {"format": "json"}, **body})
    path = f"{IMPORT}/batches/{made['id']}/datasets/{world.profiles}/files/rows.json"
    answer = world.call("PUT", path, content=content, headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code in (200, 201)
    world.post(f"{IMPORT}/batches/{made['id']}", params={"action": "COMPLETE"})
    return str(made["id"])


def lines(world: World, *names: Any) -> bytes:
    rows = [
        {"identityMap": {"CRMID": [{"id": f"b-{number}", "primary": True}]}, "person": {"name": {"firstName": name}}}
        for number, name in enumerate(names)
    ]
    return "\n".join(json.dumps(row) for row in rows).encode()


def test_bad_row_fails_a_batch_that_allows_none(filled: World) -> None:
    batch = filled.batch(upload(filled, lines(filled, "Ada", {"a": 1})))
    assert batch["status"] == "failed"
    assert batch["errors"][0]["code"].startswith("INGEST-")
    filled.settle()
    assert filled.profile("b-0") is None


def test_bad_rows_within_the_threshold_are_set_aside_with_their_reasons(filled: World) -> None:
    content = lines(filled, "Ada", {"a": 1}, "Bob") + b'\n{"not json'
    batch_id = upload(filled, content, partialIngestionPercent=60, enableErrorDiagnostics=True)
    batch = filled.batch(batch_id)
    assert batch["status"] == "success"
    assert batch["failedRecordCount"] == 2
    assert {error["code"] for error in batch["errors"]} >= {"INGEST-1212-400"}
    filled.settle()
    assert [filled.profile(f"b-{number}") is not None for number in range(3)] == [True, False, True]
    files = filled.get(f"{EXPORT}/batches/{batch_id}/meta", path="row_errors")["data"]
    rows = []
    for item in files:
        found = filled.call("GET", f"{EXPORT}/batches/{batch_id}/meta", params={"path": f"row_errors/{item['name']}"})
        rows += [json.loads(line) for line in found.text.splitlines()]
    assert len(rows) == 2
    assert all(row["_errors"][0]["code"] and row["_errors"][0]["message"] for row in rows)


def test_batch_service_says_what_is_wrong(shared_world: World) -> None:
    for body, status in (
        ({"inputFormat": {"format": "json"}}, 400),
        ({"datasetId": "0" * 24, "inputFormat": {"format": "json"}}, 404),
        ({"datasetId": shared_world.profiles, "inputFormat": {"format": "xls"}}, 400),
    ):
        answer = shared_world.call("POST", f"{IMPORT}/batches", body)
        assert answer.status_code == status
        assert {"type", "title", "status", "detail", "report"} <= set(answer.json())
    made = shared_world.post(f"{IMPORT}/batches", {"datasetId": shared_world.profiles, "inputFormat": {"format": "json"}})
    path = f"{IMPORT}/batches/{made['id']}/datasets/{shared_world.profiles}/files/a.json"
    assert shared_world.call("PUT", path, content=b"{}", headers={"Content-Type": "application/json"}).status_code == 415
    assert shared_world.call("POST", f"{IMPORT}/batches/{made['id']}", params={"action": "NOTHING"}).status_code == 400
    assert shared_world.call("POST", f"{IMPORT}/batches/nothing", params={"action": "COMPLETE"}).status_code == 404
    shared_world.post(f"{IMPORT}/batches/{made['id']}", params={"action": "ABORT"})
    late = shared_world.call("PUT", path, content=b"{}", headers={"Content-Type": "application/octet-stream"})
    assert late.status_code == 409
    empty = shared_world.post(f"{IMPORT}/batches", {"datasetId": shared_world.profiles, "inputFormat": {"format": "json"}})
    shared_world.post(f"{IMPORT}/batches/{empty['id']}", params={"action": "COMPLETE"})
    assert shared_world.batch(empty["id"])["errors"][0]["code"] == "106"


def test_data_access_answers_json_whatever_is_asked(shared_world: World) -> None:
    batch_id = upload(shared_world, lines(shared_world, "Ada"))
    assert shared_world.batch(batch_id)["status"] == "success"
    file_id = shared_world.get(f"{EXPORT}/batches/{batch_id}/files")["data"][0]["dataSetFileId"]
    name = shared_world.get(f"{EXPORT}/files/{file_id}")["data"][0]["name"]
    beyond = shared_world.call("GET", f"{EXPORT}/files/{file_id}", params={"path": name}, headers={"Range": "bytes=99999999-"})
    assert beyond.status_code == 416
    assert beyond.json()["status"] == 416
    assert shared_world.call("GET", f"{EXPORT}/files/{file_id}", params={"path": "nothing"}).status_code == 404
    for path in (f"files/{'0' * 26}-1", "batches/nothing/files", "batches/nothing/failed", "datasets/nothing/preview"):
        answer = shared_world.call("GET", f"{EXPORT}/{path}")
        assert answer.status_code == 404
        assert answer.json()["status"] == 404


# --- audiences ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pql", "position", "words"),
    [
        ('person.name.firstNam = "Ada"', "1:13", "Did you mean firstName?"),
        ("person.name.firstName = ", "1:", "value is expected"),
        ("person.name.firstName > 5", "1:25", "string"),
        ('person.name.firstName = "Ada"\nand person.name.nothing = "x"', "2:17", "Unknown field nothing"),
        ("((", "1:3", "value is expected"),
        ('xEvent[eventTyp = "a"]', "1:8", "Did you mean eventType?"),
    ],
)
def test_bad_pql_is_told_with_its_position(shared_world: World, pql: str, position: str, words: str) -> None:
    body = {
        "name": "A",
        "expression": {"type": "PQL", "format": "pql/text", "value": pql},
        "schema": {"name": "_xdm.context.profile"},
    }
    answer = shared_world.call("POST", DEFINITIONS, body)
    problem = answer.json()
    assert answer.status_code == problem["status"] == 400
    assert position in problem["title"]
    assert words in problem["errors"]["400"][0]["message"]
    assert problem["headrace"]["path"] == "/expression/value"
    assert shared_world.get(DEFINITIONS)["segments"] == []
    preview = shared_world.call("POST", f"{CORE}/ups/preview", {"predicateExpression": pql, "predicateType": "pql/text"})
    assert (preview.status_code, preview.json()["headrace"]["path"]) == (400, "/predicateExpression")
    assert position in preview.json()["title"]


def test_segmentation_says_what_is_wrong(filled: World) -> None:
    made = filled.audience("A", 'person.name.firstName = "Ada"')
    again = filled.call("POST", DEFINITIONS, {**made, "id": None})
    assert again.status_code == 422
    for method, path in (("GET", f"{DEFINITIONS}/nothing"), ("DELETE", f"{DEFINITIONS}/nothing"), ("GET", f"{JOBS}/nothing")):
        answer = filled.call(method, path)
        assert answer.status_code == 404
        assert answer.json()["errors"]["404"][0]["message"]
    bodies: tuple[Any, ...] = ([], [{"segmentId": "nothing"}], {}, [{}])
    for body in bodies:
        assert filled.call("POST", JOBS, body).status_code == 400
    missing = filled.call("POST", DEFINITIONS, {"name": "B"})
    assert missing.json()["headrace"]["path"] == "/expression"


# --- activation -----------------------------------------------------------------------------------------------------------------


def test_flow_service_says_what_is_wrong(shared_world: World) -> None:
    unknown = shared_world.call("POST", f"{FLOWS}/connections", {"name": "C", "connectionSpec": spec("nothing")})
    assert (unknown.status_code, unknown.json()["message"]) == (400, "Please provide a valid spec id")
    unversioned = shared_world.call("POST", f"{FLOWS}/connections", {"name": "C", "connectionSpec": {"id": HTTP_API}})
    assert unversioned.status_code == 422
    for kind in ("connections", "sourceConnections", "targetConnections", "flows"):
        answer = shared_world.call("GET", f"{FLOWS}/{kind}/7c3a8c0e-0000-4000-8000-000000000000")
        assert answer.status_code == 404
        assert answer.json()["errorMessage"].startswith(f"{kind} not found with id")
    assert shared_world.call("GET", f"{FLOWS}/flows", params={"limit": 0}).status_code == 400
    assert shared_world.call("GET", f"{FLOWS}/flows", params={"property": "broken"}).status_code == 400


def test_flow_is_patched_at_its_version_alone(shared_world: World) -> None:
    flow = shared_world.flow(
        "F", HTTP_API, STREAM_FLOW, {"httpEndpoint": "http://127.0.0.1:9"}, {"specName": "None", "params": {}}
    )
    path = f"{FLOWS}/flows/{flow}"
    operation = [add("/description", "new")]
    assert shared_world.call("PATCH", path, operation).status_code in (400, 412, 428)
    stale = shared_world.call("PATCH", path, operation, headers={"If-Match": '"7c3a8c0e-0000-4000-8000-000000000000"'})
    assert stale.status_code == 412
    assert "does not match the current version" in stale.json()["errorMessage"]
    assert shared_world.patch_flow(flow, operation).status_code == 200


@pytest.mark.parametrize(
    ("operation", "word"),
    [
        (add(f"{PARAMS}/segmentSelectors/selectors/-", {"type": "PLATFORM_SEGMENT", "value": {"id": "nothing"}}), "nothing"),
        (add(f"{PARAMS}/profileSelectors/selectors/-", {"type": "JSON_PATH", "value": {"path": "person.nam"}}), "person.nam"),
        ({"op": "remove", "path": f"{PARAMS}/segmentSelectors/selectors/7"}, "selectors"),
        ({"op": "jump", "path": "/name"}, "op"),
    ],
)
def test_flow_refuses_a_change_that_does_not_fit(shared_world: World, operation: dict[str, Any], word: str) -> None:
    flow = shared_world.flow(
        "F", HTTP_API, STREAM_FLOW, {"httpEndpoint": "http://127.0.0.1:9"}, {"specName": "None", "params": {}}
    )
    before = shared_world.get(f"{FLOWS}/flows/{flow}")
    answer = shared_world.patch_flow(flow, [operation])
    assert answer.status_code == 400
    assert word in json.dumps(answer.json())
    assert shared_world.get(f"{FLOWS}/flows/{flow}") == before


def test_mapping_to_a_missing_field_is_named(shared_world: World) -> None:
    flow = shared_world.flow("F", LANDING_ZONE, LANDING_ZONE_FLOW, {"path": "out", "compression": "NONE", "fileType": "CSV"})
    rows = [{"sourceType": "ATTRIBUTE", "source": "person.name.nickname", "destination": "nick"}]
    made = shared_world.call("POST", f"{FOUNDATION}/conversion/mappingSets", {"xdmVersion": "1.0", "mappings": rows})
    answer = made
    if made.status_code == httpx.codes.OK:
        value = {"mappingId": made.json()["id"], "mappingVersion": 0}
        answer = shared_world.patch_flow(flow, [add(f"{PARAMS}/profileMapping", value)])
    assert answer.status_code == 400
    assert "person.name.nickname" in answer.text


def test_ingestion_mapping_to_a_missing_field_is_named(shared_world: World) -> None:
    body = {
        "outputSchema": {"schemaRef": reference_to(shared_world.profile_schema)},
        "mappings": [{"sourceType": "ATTRIBUTE", "source": "first", "destination": "person.name.nickname"}],
    }
    checked = shared_world.post(f"{FOUNDATION}/conversion/mappingSets/validate", body)
    [row] = checked["validationResponse"]
    assert row["status"] == "FAILED"
    assert "person.name.nickname" in json.dumps(row["errors"])
    answer = shared_world.call("POST", f"{FOUNDATION}/conversion/mappingSets", body, params={"validate": "true"})
    assert answer.status_code == 400
    assert "person.name.nickname" in answer.text


def test_secret_of_an_account_is_never_shown(api: Api, shared_world: World) -> None:
    auth = {"specName": "Bearer Token", "params": {"bearerToken": "s3cr3t-t0ken"}}
    made = shared_world.post(f"{FLOWS}/connections", {"name": "C", "connectionSpec": spec(HTTP_API), "auth": auth})
    shown = shared_world.call("GET", f"{FLOWS}/connections/{made['id']}").text
    assert "s3cr3t-t0ken" not in shown
    assert "********" in shown
    kept = [path for path in api.server.home.rglob("*") if path.is_file() and "control.sqlite" in path.name]
    assert kept
    assert all(b"s3cr3t-t0ken" not in path.read_bytes() for path in kept)
