import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.ingest.inlet_kit import EVENTS, PROFILES, InletKit

INLET = "a" * 64
ONE, MANY = f"/collection/{INLET}", f"/collection/batch/{INLET}"
LINES = [
    {"sourceType": "ATTRIBUTE", "source": "id", "destination": "_id"},
    {"sourceType": "ATTRIBUTE", "source": "when", "destination": "timestamp"},
    {"sourceType": "STATIC", "source": "shop", "destination": "producedBy"},
    {"sourceType": "EXPRESSION", "source": "lower(kind)", "destination": "eventType"},
]
SOURCE = {"id": 17, "when": "2026-01-02 03:04:05", "kind": "ADD"}


@pytest.fixture
def kit(tmp_path: Path) -> InletKit:
    kit = InletKit(tmp_path)
    kit.add_inlet(INLET, dataType="raw")
    kit.add_mapping("m-1", LINES)
    kit.add_flow(INLET, "f-1", EVENTS, mapping_id="m-1")
    return kit


def stored(kit: InletKit) -> list[Any]:
    return [json.loads(record.body) for record in kit.stored()]


MAPPED = {"_id": "17", "timestamp": "2026-01-02T03:04:05.000Z", "producedBy": "shop", "eventType": "add"}


def test_raw_object_is_mapped_converted_and_stored(kit: InletKit) -> None:
    assert kit.post(ONE, SOURCE).status == 200
    assert stored(kit) == [MAPPED]
    assert kit.stored()[0].flow_id == "f-1"


def test_raw_envelope_names_flow_and_holds_the_source_in_its_body(kit: InletKit) -> None:
    kit.add_flow(INLET, "f-2", EVENTS, created_at=2)
    assert kit.post(ONE, SOURCE).status == 400
    assert kit.post(ONE, {"header": {"flowId": "f-1"}, "body": SOURCE}).status == 200
    assert kit.post(ONE, SOURCE, query="x-adobe-flow-id=f-1").status == 200
    assert kit.post(MANY, {"messages": [SOURCE, SOURCE]}, headers={"x-adobe-flow-id": "f-1"}).status == 207
    assert stored(kit) == [MAPPED] * 4


def test_object_with_header_and_body_but_no_flow_is_a_plain_source(kit: InletKit) -> None:
    assert kit.post(ONE, {**SOURCE, "header": {"x": 1}, "body": {}}).status == 200
    assert stored(kit) == [MAPPED]


def test_flow_without_mapping_takes_records_as_they_are(tmp_path: Path) -> None:
    kit = InletKit(tmp_path)
    kit.add_inlet(INLET, dataType="raw")
    kit.add_flow(INLET, "f-1", EVENTS)
    assert kit.post(ONE, {"_id": "e", "timestamp": "2026-01-02T03:04:05Z"}).status == 200
    assert stored(kit) == [{"_id": "e", "timestamp": "2026-01-02T03:04:05Z"}]


def test_failed_conversion_of_an_optional_target_is_left_out(kit: InletKit) -> None:
    assert kit.post(ONE, {**SOURCE, "kind": {"a": 1}}).status == 200
    assert "eventType" not in stored(kit)[0]
    assert not kit.quarantined()


def test_failed_conversion_of_a_required_target_goes_to_quarantine_with_both_reasons(kit: InletKit) -> None:
    assert kit.post(ONE, {**SOURCE, "when": "soon"}).status == 200
    (entry,) = kit.quarantined()
    assert entry.is_mapping
    assert [violation.code for violation in entry.violations] == ["DCVS-1111-400", "MAPPER-3700-400"]
    assert entry.violations[1].message.endswith("sourceField: when destinationField: timestamp")
    assert json.loads(entry.message) == {**SOURCE, "when": "soon"}


def test_upserts_in_raw_envelopes_carry_their_operation(tmp_path: Path) -> None:
    kit = InletKit(tmp_path)
    kit.add_inlet(INLET, dataType="raw")
    kit.add_flow(INLET, "f-1", PROFILES)
    body = {"header": {"flowId": "f-1", "operations": {"data": "delete"}}, "body": {"personID": "7"}}
    assert kit.post(ONE, body).status == 200
    assert kit.stored()[0].operation == "delete"


@pytest.mark.parametrize("body", [[], 7, "text", None])
def test_raw_inlets_take_only_objects(kit: InletKit, body: Any) -> None:
    assert kit.post(ONE, body).status == 400
    assert kit.post(MANY, {"messages": [body]}).body["responses"][0]["statusCode"] == 400


def test_broken_or_missing_mapping_set_is_refused_with_a_hint(kit: InletKit) -> None:
    kit.add_mapping("m-2", [{"sourceType": "EXPRESSION", "source": "nothing(", "destination": "_id"}])
    kit.add_flow(INLET, "f-2", EVENTS, mapping_id="m-2", created_at=2)
    kit.add_flow(INLET, "f-3", EVENTS, mapping_id="m-3", created_at=3)
    for flow_id, hint in (("f-2", "nothing"), ("f-3", "m-3")):
        reply = kit.post(ONE, SOURCE, headers={"x-adobe-flow-id": flow_id})
        assert reply.status == 400
        assert hint in reply.body["headrace"]["hint"]


def test_numbers_no_machine_integer_holds_are_answered(kit: InletKit) -> None:
    flow = {"x-adobe-flow-id": "f-9"}
    kit.add_flow(INLET, "f-9", EVENTS, created_at=9)
    body = f'{{"_id":"e","timestamp":"2026-01-02T03:04:05Z","producedBy":{10**30}}}'.encode()
    assert kit.post(ONE, body, headers=flow).status == 200


@pytest.mark.parametrize("depth", [100, 300, 480, 900, 3000])
@pytest.mark.parametrize("mapping_id", ["m-2", ""])
def test_deeply_nested_documents_are_answered(kit: InletKit, depth: int, mapping_id: str) -> None:
    kit.add_mapping("m-2", [*LINES[:2], {"source": "deep", "destination": "unknown", "sourceType": "ATTRIBUTE"}])
    kit.add_flow(INLET, "f-2", EVENTS, mapping_id=mapping_id, created_at=2)
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    body = b'{"id":1,"when":"2026-01-02","deep":' + deep + b"}"
    for path, whole in ((ONE, body), (MANY, b'{"messages":[' + body + b"]}")):
        assert kit.post(path, whole, headers={"x-adobe-flow-id": "f-2"}).status in (200, 207, 400)
    kit.quarantine.roll()
