import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from headrace.catalog.errors import SandboxUnknown
from headrace.ingest.inlets import Inlets
from headrace.model import Sandbox
from headrace.schemas import PROFILE_CLASS
from tests.unit.ingest.inlet_kit import EVENT, EVENTS, LINKS, NOW, ORGANIZATION, PROFILES, InletKit, call, message

INLET = "a" * 64
ONE, MANY = f"/collection/{INLET}", f"/collection/batch/{INLET}"
PERSON = {"_id": "p-1", "personID": "7"}


@pytest.fixture
def kit(tmp_path: Path) -> InletKit:
    kit = InletKit(tmp_path)
    kit.add_inlet(INLET)
    return kit


def problem(text: str, *, status: int = 400, title: str = "Invalid XDM Message Format") -> dict[str, Any]:
    return {
        "type": "http://ns.adobe.com/adobecloud/problem/data-collection-service/inlet",
        "status": status,
        "title": title,
        "report": {"message": f"inletId: [{INLET}] imsOrgId: [{ORGANIZATION}] {text}"},
    }


def without_hint(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != "headrace"}


def test_valid_message_is_stored_as_it_came_and_acknowledged(kit: InletKit) -> None:
    entity = b'{ "_id":"e-1",  "timestamp":"2026-01-02T03:04:05Z" }'
    data = json.dumps(message("@", flowId="f-9")).encode().replace(b'"@"', entity)
    reply = kit.post(ONE, data)
    assert reply.status == 200
    assert reply.headers[b"content-type"] == b"application/json"
    assert int(reply.headers[b"content-length"]) == len(reply.content)
    assert reply.body["inletId"] == INLET
    assert reply.body["receivedTimeMs"] == NOW
    assert reply.body["syncValidation"] == {"skipped": True}
    assert reply.body["xactionId"].split(":")[0] == str(NOW)
    (record,) = kit.stored()
    assert (record.sandbox, record.dataset, record.body, record.accepted_at_ms) == (1, 11, entity, NOW)
    assert (record.operation, record.links_dataset, record.flow_id) == ("create", 0, "")


@pytest.mark.parametrize("path", [ONE, f"{ONE}/", f"/data/foundation/import{ONE}"])
def test_all_spellings_of_the_path_are_one_endpoint(kit: InletKit, path: str) -> None:
    assert kit.post(path, message()).status == 200


def test_unknown_path_and_method_get_gateway_bodies(kit: InletKit) -> None:
    reply = kit.post("/collection/x/y", message())
    assert (reply.status, reply.body) == (404, {"error_code": "404003", "message": "Resource not found"})
    reply = kit.post(ONE, b"", method="GET")
    assert (reply.status, reply.body["error_code"], reply.headers[b"allow"]) == (405, "405000", b"POST")


def test_request_id_is_echoed_or_made(kit: InletKit) -> None:
    assert kit.post(ONE, message(), headers={"x-request-id": "abc"}).headers[b"x-request-id"] == b"abc"
    assert len(kit.post(ONE, message()).headers[b"x-request-id"]) == 36


def test_unknown_inlet_is_404(kit: InletKit) -> None:
    reply = kit.post("/collection/ffff", message())
    assert reply.status == 404
    assert reply.body["report"]["message"] == "inletId: [ffff] imsOrgId: [] Inlet not found"
    assert reply.body["title"] == "Not Found"


def test_disabled_connection_is_404(kit: InletKit) -> None:
    kit.add_inlet("b" * 64, state="disabled")
    assert kit.post(f"/collection/{'b' * 64}", message()).status == 404


def test_inlet_of_a_deleted_sandbox_is_404(kit: InletKit) -> None:
    def deleted(number: int) -> Sandbox:
        raise SandboxUnknown(str(number))

    kit.inlets = Inlets(kit.control, deleted)
    assert kit.post(ONE, message()).status == 404


def test_inlet_appears_as_soon_as_it_is_configured(kit: InletKit) -> None:
    assert kit.post(f"/collection/{'c' * 64}", message()).status == 404
    kit.add_inlet("c" * 64)
    assert kit.post(f"/collection/{'c' * 64}", message()).status == 200


def test_authenticated_inlet_wants_a_valid_token(kit: InletKit) -> None:
    inlet = kit.add_inlet("d" * 64, authenticationRequired=True)
    path = f"/collection/{inlet}"
    missing = kit.post(path, message())
    assert missing.status == 401
    assert missing.body == {
        "type": "https://ns.adobe.com/adobecloud/problem/data-collection-service-authorization",
        "status": "401",
        "title": "Authorization",
        "report": {"message": f"[{inlet}] Ims service token is empty"},
    }
    bad = kit.post(path, message(), headers={"Authorization": "Bearer bad"})
    assert (bad.status, bad.body["title"]) == (403, "Forbidden")
    assert bad.body["report"]["message"].endswith("Ims service token is invalid")
    assert kit.post(path, message(), headers={"Authorization": "Bearer good"}).status == 200


def test_other_sandbox_in_header_is_400(kit: InletKit) -> None:
    assert kit.post(ONE, message(), headers={"x-sandbox-name": "prod"}).status == 200
    reply = kit.post(ONE, message(), headers={"x-sandbox-name": "dev"})
    assert (reply.status, reply.body["title"]) == (400, "Bad Request")


@pytest.mark.parametrize("media_type", ["application/x-jackson-smile", "Application/X-Jackson-Smile; v=1"])
def test_smile_is_415(kit: InletKit, media_type: str) -> None:
    assert kit.post(ONE, b":)\n", headers={"Content-Type": media_type}).status == 415


def test_body_over_one_megabyte_is_413(kit: InletKit) -> None:
    exact = json.dumps(message()).encode().ljust(1_048_576)
    assert kit.post(ONE, exact).status == 200
    assert kit.post(ONE, exact + b" ").status == 413
    assert kit.post(ONE, b"{}", headers={"Content-Length": "1048577"}).status == 413


def test_body_in_pieces_and_compressed_body_are_read(kit: InletKit) -> None:
    async def both() -> list[int]:
        app = kit.app()
        data = json.dumps(message()).encode()
        replies = [
            await call(app, ONE, data, {}, pieces=3),
            await call(app, ONE, gzip.compress(data), {"Content-Encoding": "gzip"}),
            await call(app, ONE, gzip.compress(b" " * 2_000_000), {"Content-Encoding": "gzip"}),
            await call(app, ONE, b"no gzip", {"Content-Encoding": "gzip"}),
            await call(app, ONE, data, {"Content-Encoding": "br"}),
            await call(app, ONE, b" " * 1_500_000, {}, pieces=3),
        ]
        app.close()
        return [reply.status for reply in replies]

    assert asyncio.run(both()) == [200, 200, 413, 400, 415, 413]


@pytest.mark.parametrize("body", [b"", b"{", b'"\xff"', b"[" * 5000 + b"]" * 5000, b'{"header":', b"nonsense"])
def test_malformed_json_is_400(kit: InletKit, body: bytes) -> None:
    reply = kit.post(ONE, body)
    assert (reply.status, reply.body["title"]) == (400, "Bad Request")


def test_wrong_organisation_is_refused(kit: InletKit) -> None:
    reply = kit.post(ONE, message(imsOrgId="OTHER@AdobeOrg"))
    assert reply.status == 400
    assert without_hint(reply.body) == problem("Message has an absent or wrong ims org in the header")


def test_absent_organisation_is_filled_in(kit: InletKit) -> None:
    assert kit.post(ONE, message(imsOrgId=None)).status == 200


def legacy() -> dict[str, Any]:
    return {
        "header": {"msgType": "xdmEntityCreate", "xdmSchema": {"name": "_xdm.context.experienceevent"}, "datasetId": EVENTS},
        "body": {"xdmEntity": EVENT},
    }


def other_body_schema() -> dict[str, Any]:
    whole = message()
    whole["body"]["xdmMeta"] = {"schemaRef": {"id": PROFILE_CLASS, "contentType": "x;version=1"}}
    return whole


@pytest.mark.parametrize(
    "body",
    [
        [],
        7,
        {},
        {"header": {}, "body": {}},
        {"header": message()["header"]},
        {"body": message()["body"]},
        {"header": message()["header"], "body": {"xdmEntity": EVENT}},
        {"header": 5, "body": {}},
        legacy(),
        other_body_schema(),
        message(schema=PROFILE_CLASS),
        message(dataset="nowhere"),
        message(dataset=None),
        message(schemaRef={"id": message()["header"]["schemaRef"]["id"], "contentType": "x;version=2"}),
        message(operations={"data": "replace"}),
        message(operations={"data": "merge"}),
    ],
)
def test_unknown_formats_are_refused_and_say_where(kit: InletKit, body: Any) -> None:
    reply = kit.post(ONE, body)
    assert reply.status == 400
    assert without_hint(reply.body) == problem("Message has unknown xdm format")
    assert reply.body["headrace"]["hint"]
    assert not kit.stored()
    assert not kit.quarantined()


@pytest.mark.parametrize("content_type", ["application/vnd.adobe.xed-full-notext+json; version=1", "x;1", "x; version=1.0", ""])
def test_schema_references_agree_by_id_and_major_version(kit: InletKit, content_type: str) -> None:
    whole = message()
    whole["header"]["schemaRef"] = {**whole["header"]["schemaRef"], "contentType": content_type}
    assert kit.post(ONE, whole).status == 200


def test_invalid_record_is_acknowledged_and_quarantined(kit: InletKit) -> None:
    reply = kit.post(ONE, message({**EVENT, "foo": 1}))
    assert (reply.status, reply.body["syncValidation"]) == (200, {"skipped": True})
    assert not kit.stored()
    (entry,) = kit.quarantined()
    assert (entry.dataset, entry.violations[0].code) == (11, "DCVS-1901-400")


@pytest.mark.parametrize("query", ["syncValidation=true", "syncValidation=True", "synchronousValidation=TRUE"])
def test_synchronous_validation_refuses_and_drops(kit: InletKit, query: str) -> None:
    reply = kit.post(ONE, message({**EVENT, "foo": 1}), query=query)
    assert reply.status == 400
    expected = problem("Message is invalid")
    expected["report"]["cause"] = {
        "_streamingValidation": [
            {
                "schemaLocation": "#",
                "pointerToViolation": "#",
                "causingExceptions": [],
                "keyword": "additionalProperties",
                "message": "extraneous key [foo] is not permitted",
            }
        ]
    }
    assert reply.body == expected
    assert not kit.stored()
    assert not kit.quarantined()


def test_several_violations_are_wrapped(kit: InletKit) -> None:
    reply = kit.post(ONE, message({**EVENT, "foo": 1, "_id": 5}), query="syncValidation=true")
    (cause,) = reply.body["report"]["cause"]["_streamingValidation"]
    assert cause["message"] == "2 schema violations found"
    assert {each["pointerToViolation"] for each in cause["causingExceptions"]} == {"#", "#/_id"}


def test_synchronous_validation_passes_a_valid_record(kit: InletKit) -> None:
    reply = kit.post(ONE, message(), query="syncValidation=true")
    assert (reply.status, reply.body["syncValidation"]) == (200, {"status": "pass"})
    assert kit.post(ONE, message(), query="syncValidation=False").body["syncValidation"] == {"skipped": True}


def test_sixty_synchronous_calls_a_minute(kit: InletKit) -> None:
    async def calls() -> list[Any]:
        app = kit.app()
        replies = [await call(app, ONE, message(), {}, "syncValidation=true") for _ in range(61)]
        kit.clock.move_to(NOW + 60_000)
        replies.append(await call(app, ONE, message(), {}, "syncValidation=true"))
        app.close()
        return replies

    replies = asyncio.run(calls())
    assert [reply.status for reply in replies] == [200] * 60 + [429, 200]
    assert replies[60].headers[b"retry-after"] == b"60"


@pytest.mark.parametrize("query", ["", "syncValidation=true"])
def test_missing_entity_and_nameless_source_are_failures_of_validation(kit: InletKit, query: str) -> None:
    without_entity = message()
    del without_entity["body"]["xdmEntity"]
    nameless = message(source={})
    texts = ["Payload body is missing xdmEntity", "Payload header is missing Source Name"]
    replies = [kit.post(ONE, body, query=query) for body in (without_entity, nameless)]
    if query:
        causes = [reply.body["report"]["cause"]["_streamingValidation"][0]["message"] for reply in replies]
        assert causes == texts
    else:
        assert [reply.status for reply in replies] == [200, 200]
        assert [entry.violations[0].message for entry in kit.quarantined()] == texts


def test_batch_answers_one_entry_per_message_in_order(kit: InletKit) -> None:
    bad_format: dict[str, Any] = {"header": {}, "body": {}}
    invalid = message({**EVENT, "foo": 1})
    reply = kit.post(MANY, {"messages": [message(), bad_format, invalid, message(imsOrgId="O"), 5, message()]})
    assert reply.status == 207
    responses = reply.body["responses"]
    batch_id = reply.body["batchId"]
    assert [each.get("xactionId") for each in responses] == [
        f"{batch_id}:0", None, f"{batch_id}:2", None, None, f"{batch_id}:5"
    ]  # fmt: skip
    assert responses[1] == {
        "statusCode": 400,
        "message": f"inletId: [{INLET}] imsOrgId: [{ORGANIZATION}] Message has unknown xdm format",
    }
    assert len(kit.stored()) == 2
    assert len(kit.quarantined()) == 1


def test_batch_of_envelopes_alone_takes_the_fast_way_with_the_same_result(kit: InletKit) -> None:
    reply = kit.post(MANY, {"messages": [message(), message({**EVENT, "foo": 1}), message()]}, query="syncValidation=true")
    assert [set(each) for each in reply.body["responses"]] == [{"xactionId"}] * 3
    assert (len(kit.stored()), len(kit.quarantined())) == (2, 1)
    assert json.loads(kit.quarantined()[0].message)["body"]["xdmEntity"]["foo"] == 1


@pytest.mark.parametrize("body", [{}, {"messages": {}}, {"messages": []}, [], b"{", {"messages": None}])
def test_batch_without_messages_fails_as_a_whole(kit: InletKit, body: Any) -> None:
    assert kit.post(MANY, body).status == 400


def test_batch_of_nothing_but_refusals_is_still_207(kit: InletKit) -> None:
    reply = kit.post(MANY, {"messages": [{}, {}]})
    assert (reply.status, len(reply.body["responses"])) == (207, 2)


def test_dataset_comes_from_header_or_named_flow_or_only_flow(kit: InletKit) -> None:
    kit.add_flow(INLET, "f-1", EVENTS)
    assert kit.post(ONE, message(dataset=None)).status == 200
    kit.add_flow(INLET, "f-2", PROFILES, created_at=2)
    assert kit.post(ONE, message(dataset=None)).status == 400
    assert kit.post(ONE, message(dataset=None, flowId="f-1")).status == 200
    assert kit.post(ONE, message(dataset=None), headers={"x-adobe-flow-id": "f-1"}).status == 200
    assert kit.post(ONE, message(dataset=None), query="x-adobe-flow-id=f-1").status == 200
    assert kit.post(ONE, message(dataset=None, flowId="f-2")).status == 400
    assert kit.post(ONE, message()).status == 200
    assert [record.flow_id for record in kit.stored()] == ["f-1"] * 5


def test_disabled_flow_is_400(kit: InletKit) -> None:
    kit.add_flow(INLET, "f-1", EVENTS, state="disabled")
    assert kit.post(ONE, message()).status == 400
    assert kit.post(ONE, message(flowId="f-1")).status == 400


def test_upserts_carry_operation_and_links(kit: InletKit) -> None:
    def person(entity: Any = PERSON, **header: Any) -> dict[str, Any]:
        return message(entity, dataset=PROFILES, schema=PROFILE_CLASS, **header)

    bodies = [
        person(),
        person({"personID": None}, operations={"data": "merge"}),
        person(operations={"data": "merge", "identity": "create", "identityDatasetId": LINKS}),
        person(operations={"data": "delete"}),
        person(msgType="xdmEntityUpdate"),
    ]
    assert [kit.post(ONE, body).status for body in bodies] == [200] * 5
    assert [(record.operation, record.links_dataset) for record in kit.stored()] == [
        ("create", 0), ("merge", -1), ("merge", 13), ("delete", -1), ("merge", 0)
    ]  # fmt: skip
    refused = [
        {"data": "merge", "identity": "create"},
        {"data": "merge", "identity": "create", "identityDatasetId": PROFILES},
        {"data": "merge", "identity": "create", "identityDatasetId": "nowhere"},
        {"data": "merge", "identity": "remove", "identityDatasetId": LINKS},
    ]
    assert [kit.post(ONE, person(operations=each)).status for each in refused] == [400] * 4


def test_status_counts_durably(kit: InletKit) -> None:
    kit.post(ONE, message())
    kit.post(ONE, message({**EVENT, "foo": 1}))
    app = kit.app()
    assert (app.status()["accepted"], app.status()["quarantined"]) == (1, 1)
    app.close()


@pytest.mark.parametrize("depth", [100, 300, 480, 900, 3000])
def test_deeply_nested_records_are_answered(kit: InletKit, depth: int) -> None:
    deep = b'{"identityMap":' * depth + b"1" + b"}" * depth
    for header in ({}, {"operations": {"data": "merge"}}):
        whole = message("@", dataset=PROFILES, schema=PROFILE_CLASS, **header)
        body = json.dumps(whole).encode().replace(b'"@"', deep)
        assert kit.post(ONE, body).status in (200, 400)
        assert kit.post(MANY, b'{"messages":[' + body + b"]}").status in (207, 400)
    kit.quarantine.roll()
