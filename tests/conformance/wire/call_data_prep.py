"""Data Prep: mapping sets, their mappings, and the expression language."""

from typing import Any

import httpx

from tests.conformance.wire.calls import covers
from tests.conformance.wire.operations import DATA_PREP
from tests.conformance.wire.world import WireWorld
from tests.integration.world import checked, reference_to

BASE = DATA_PREP.base
SETS = f"{BASE}/mappingSets"


def _row(source: str = "first", destination: str = "person.name.firstName") -> dict[str, Any]:
    return {"sourceType": "ATTRIBUTE", "source": source, "destination": destination}


def _body(world: WireWorld, *rows: dict[str, Any]) -> dict[str, Any]:
    target = {"schemaRef": reference_to(world.profile_schema)}
    return {"name": "From the shop", "outputSchema": target, "mappings": list(rows or (_row(),))}


def _new_set(world: WireWorld, *rows: dict[str, Any]) -> str:
    return str(checked(world.call("POST", SETS, _body(world, *rows))).json()["id"])


def _mappings(world: WireWorld, set_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = checked(world.call("GET", f"{SETS}/{set_id}/mappings")).json()
    return found


@covers(DATA_PREP, "GET /mappingSets")
def list_sets(world: WireWorld) -> httpx.Response:
    set_id = _new_set(world)
    answer = world.call("GET", SETS, params={"limit": 100, "start": 0})
    assert set_id in [item["id"] for item in answer.json()["data"]]
    return answer


@covers(DATA_PREP, "POST /mappingSets")
def create_set(world: WireWorld) -> httpx.Response:
    answer = world.call("POST", SETS, _body(world), params={"validate": "true"})
    shown = world.call("GET", f"{SETS}/{answer.json()['id']}").json()
    assert [row["destination"] for row in shown["mappings"]] == ["person.name.firstName"]
    return answer


@covers(DATA_PREP, "GET /mappingSets/{id}")
def get_set(world: WireWorld) -> httpx.Response:
    return world.call("GET", f"{SETS}/{_new_set(world)}")


@covers(DATA_PREP, "PUT /mappingSets/{id}")
def replace_set(world: WireWorld) -> httpx.Response:
    set_id = _new_set(world)
    answer = world.call("PUT", f"{SETS}/{set_id}", _body(world, _row("last", "person.name.lastName")))
    shown = world.call("GET", f"{SETS}/{set_id}").json()
    assert (shown["version"], shown["mappings"][0]["source"]) == (1, "last")
    return answer


@covers(DATA_PREP, "DELETE /mappingSets/{id}")
def delete_set(world: WireWorld) -> httpx.Response:
    path = f"{SETS}/{_new_set(world)}"
    answer = world.call("DELETE", path)
    assert world.call("GET", path).status_code == httpx.codes.NOT_FOUND
    return answer


@covers(DATA_PREP, "GET /mappingSets/{id}/mappings")
def list_mappings(world: WireWorld) -> httpx.Response:
    return world.call("GET", f"{SETS}/{_new_set(world)}/mappings")


@covers(DATA_PREP, "GET /mappingSets/{id}/mappings/{m}")
def get_mapping(world: WireWorld) -> httpx.Response:
    set_id = _new_set(world)
    [mapping] = _mappings(world, set_id)
    return world.call("GET", f"{SETS}/{set_id}/mappings/{mapping['id']}")


@covers(DATA_PREP, "POST /mappingSets/{id}/mappings")
def add_mapping(world: WireWorld) -> httpx.Response:
    set_id = _new_set(world)
    answer = world.call("POST", f"{SETS}/{set_id}/mappings", _row("last", "person.name.lastName"))
    assert [row["source"] for row in _mappings(world, set_id)] == ["first", "last"]
    return answer


@covers(DATA_PREP, "PUT /mappingSets/{id}/mappings/{m}")
def replace_mapping(world: WireWorld) -> httpx.Response:
    set_id = _new_set(world)
    [mapping] = _mappings(world, set_id)
    answer = world.call("PUT", f"{SETS}/{set_id}/mappings/{mapping['id']}", _row("given"))
    assert [row["source"] for row in _mappings(world, set_id)] == ["given"]
    return answer


@covers(DATA_PREP, "DELETE /mappingSets/{id}/mappings/{m}")
def delete_mapping(world: WireWorld) -> httpx.Response:
    set_id = _new_set(world, _row(), _row("last", "person.name.lastName"))
    answer = world.call("DELETE", f"{SETS}/{set_id}/mappings/{_mappings(world, set_id)[0]['id']}")
    assert [row["source"] for row in _mappings(world, set_id)] == ["last"]
    return answer


@covers(DATA_PREP, "POST /mappingSets/validate")
def validate_set(world: WireWorld) -> httpx.Response:
    answer = world.call("POST", f"{SETS}/validate", _body(world, _row(), _row("x", "no.such.field")))
    assert [result["status"] for result in answer.json()["validationResponse"]] == ["SUCCESS", "FAILED"]
    return answer


@covers(DATA_PREP, "POST /mappingSets/preview")
def preview_set(world: WireWorld) -> httpx.Response:
    answer = world.call("POST", f"{SETS}/preview", {"data": [{"first": "Ada"}], "mappingSet": _body(world)})
    assert answer.json()[0]["data"] == {"person": {"name": {"firstName": "Ada"}}}
    return answer


@covers(DATA_PREP, "POST /languages/el/validate")
def validate_expression(world: WireWorld) -> httpx.Response:
    answer = world.call("POST", f"{BASE}/languages/el/validate", {"expression": {"expression": "concat(a, 'b')"}})
    assert answer.json() is True
    return answer


@covers(DATA_PREP, "GET /languages/el/functions")
def list_functions(world: WireWorld) -> httpx.Response:
    answer = world.call("GET", f"{BASE}/languages/el/functions")
    assert "concat" in [item["function"] for item in answer.json()]
    return answer


@covers(DATA_PREP, "GET /languages/el/operators")
def list_operators(world: WireWorld) -> httpx.Response:
    return world.call("GET", f"{BASE}/languages/el/operators")


@covers(DATA_PREP, "POST /schemas")
def create_schema(world: WireWorld) -> httpx.Response:
    body = {
        "name": "Columns of a file",
        "version": "1.0",
        "jsonSchema": {"type": "object", "properties": {"email": {"type": "string"}}},
    }
    answer = world.call("POST", f"{BASE}/schemas", body)
    shown = checked(world.call("GET", f"{BASE}/schemas/{checked(answer).json()['id']}")).json()
    assert "email" in str(shown)
    return answer
