"""Data Prep over HTTP."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.api.services import Services
from headrace.clock import ManualClock
from headrace.errors import NotFound
from headrace.model import Sandbox
from headrace.storage.control import ControlStore
from tests.unit.activation.flow_fakes import UNION, flow_service

BASE = "/data/foundation/conversion"
SCHEMA = "https://ns.example/schemas/1"


class FullForms:
    def full_form(self, sandbox: Sandbox, schema_id: str) -> Mapping[str, Any]:
        if schema_id != SCHEMA:
            raise NotFound("no such schema")
        return UNION


@pytest.fixture
def services(services: Services, control: ControlStore, clock: ManualClock, tmp_path: Path) -> Services:
    return replace(services, flow_service=flow_service(control, clock, tmp_path), schemas=FullForms())  # type: ignore[arg-type]


OLD_DIALECT: dict[str, Any] = {
    "xdmSchema": SCHEMA,
    "xdmVersion": "1.0",
    "mappings": [
        {"sourceAttribute": "first", "destinationXdmPath": "person.name.firstName", "identity": False, "version": 0},
        {"sourceAttribute": "upper(last)", "destinationXdmPath": "person.name.lastName"},
    ],
}
NEW_DIALECT: dict[str, Any] = {
    "outputSchema": {"schemaRef": {"id": SCHEMA, "contentType": "application/vnd.adobe.xed-full+json;version=1"}},
    "mappings": [{"sourceType": "ATTRIBUTE", "source": "first", "destination": "person.name.firstName"}],
}


def created(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    reply = client.post(f"{BASE}/mappingSets", json=body)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def test_created_set_answers_id_version_and_dates(client: httpx.Client, clock: ManualClock) -> None:
    made = created(client, NEW_DIALECT)
    assert (len(made["id"]), made["version"], made["createdDate"]) == (32, 0, clock.now_ms())


def test_old_dialect_is_stored_in_the_new_one_and_read_in_both(client: httpx.Client) -> None:
    found = client.get(f"{BASE}/mappingSets/{created(client, OLD_DIALECT)['id']}").json()
    assert (found["xdmSchema"], found["outputSchema"]["schemaRef"]["id"]) == (SCHEMA, SCHEMA)
    first, second = found["mappings"]
    assert (first["sourceType"], first["source"], first["sourceAttribute"]) == ("text/x.schema-path", "first", "first")
    assert (second["sourceType"], second["destinationXdmPath"]) == ("text/x.aep-xl", "person.name.lastName")


def test_replaced_set_has_the_next_version_and_keeps_the_former(client: httpx.Client) -> None:
    set_id = created(client, NEW_DIALECT)["id"]
    body = {"mappings": [{"source": "other", "destination": "person.name.firstName"}]}
    assert client.put(f"{BASE}/mappingSets/{set_id}", json=body).json()["version"] == 1
    former = client.get(f"{BASE}/mappingSets/{set_id}", params={"version": 0}).json()
    assert (former["version"], former["mappings"][0]["source"]) == (0, "first")
    assert client.get(f"{BASE}/mappingSets/{set_id}", params={"version": 7}).status_code == 404


def test_single_mappings_are_added_changed_and_removed(client: httpx.Client) -> None:
    path = f"{BASE}/mappingSets/{created(client, NEW_DIALECT)['id']}/mappings"
    added = client.post(path, json={"source": "last", "destination": "person.name.lastName"}).json()
    assert [item["source"] for item in client.get(path).json()] == ["first", "last"]
    changed = client.put(f"{path}/{added['id']}", json={"source": "surname", "destination": "person.name.lastName"}).json()
    assert (changed["id"], client.get(f"{path}/{added['id']}").json()["source"]) == (added["id"], "surname")
    assert client.delete(f"{path}/{added['id']}").status_code == 204
    assert client.get(f"{path}/{added['id']}").status_code == 404


def test_list_is_paged_by_start_and_limit(client: httpx.Client) -> None:
    for number in range(3):
        created(client, {**NEW_DIALECT, "name": f"set {number}"})
    page = client.get(f"{BASE}/mappingSets", params={"limit": 2, "orderBy": "+createdDate"}).json()
    assert (len(page["data"]), page["_page"]) == (2, {"count": 2, "limit": 2})
    rest = client.get(page["_links"]["next"]["href"]).json()
    assert (len(rest["data"]), rest["_links"]) == (1, {})
    assert len(client.get(f"{BASE}/mappingSets", params={"name": "set 1"}).json()["data"]) == 1


def test_wrong_mappings_are_refused_by_field(client: httpx.Client) -> None:
    for mappings, path in (
        ("x", "/mappings"),
        ([{"destination": "a"}], "/mappings/0/source"),
        ([{"source": "a", "sourceType": "MAGIC", "destination": "b"}], "/mappings/0/sourceType"),
    ):
        reply = client.post(f"{BASE}/mappingSets", json={"mappings": mappings})
        assert (reply.status_code, reply.json()["headrace"]["path"]) == (400, path)


def test_validation_answers_one_result_a_mapping(client: httpx.Client) -> None:
    mappings = [
        {"source": "a", "destination": "person.name.firstName"},
        {"source": "a", "destination": "person.name.fristName"},
        {"sourceType": "EXPRESSION", "source": "upper(", "destination": "person.birthDate"},
        {"source": "a", "destination": "personalEmail.address"},
        {"source": "b", "destination": "personalEmail.address"},
    ]
    body = {**NEW_DIALECT, "mappings": mappings}
    found = client.post(f"{BASE}/mappingSets/validate", json=body).json()["validationResponse"]
    assert [item["status"] for item in found] == ["SUCCESS", "FAILED", "FAILED", "FAILED", "FAILED"]
    assert found[0]["errors"] is None
    assert set(found[1]["errors"][0]) == {"source", "sourceType", "destination", "columnName", "exception"}
    assert client.post(f"{BASE}/mappingSets", json=body, params={"validate": "True"}).status_code == 400
    assert client.post(f"{BASE}/mappingSets", json=body, params={"validate": "False"}).status_code == 200


def test_preview_converts_to_the_target_types(client: httpx.Client) -> None:
    body = {"data": {"first": 1234}, "mappingSet": NEW_DIALECT}
    reply = client.post(f"{BASE}/mappingSets/preview", json=body)
    assert reply.json() == [{"data": {"person": {"name": {"firstName": "1234"}}}, "errors": None}]


def test_expressions_are_validated(client: httpx.Client) -> None:
    path = f"{BASE}/languages/el/validate"
    assert client.post(path, json={"expression": "concat('a', b)"}).json() is True
    assert client.post(path, json={"expression": {"expression": "1 + 2"}}).json() is True
    assert client.post(path, json={"expression": "concat('a'"}).status_code == 400
    assert client.post(path, json={}).status_code == 400


def test_functions_and_operators_are_listed(client: httpx.Client) -> None:
    functions = {item["function"]: item for item in client.get(f"{BASE}/languages/el/functions").json()}
    assert functions["concat"]["syntax"].startswith("concat(")
    symbols = [item["operatorSymbol"] for item in client.get(f"{BASE}/languages/el/operators").json()]
    assert {"+", "==", "?:", "!~"} <= set(symbols)


def test_schemas_are_stored_and_read(client: httpx.Client) -> None:
    made = client.post(f"{BASE}/schemas", json={"name": "in", "jsonSchema": {"type": "object"}}).json()
    assert client.get(f"{BASE}/schemas/{made['id']}").json()["jsonSchema"] == {"type": "object"}
    assert client.post(f"{BASE}/schemas", json={"name": "in"}).status_code == 400
    assert client.get(f"{BASE}/schemas/nobody").status_code == 404


def test_set_that_no_flow_names_is_deleted(client: httpx.Client) -> None:
    path = f"{BASE}/mappingSets/{created(client, NEW_DIALECT)['id']}"
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
