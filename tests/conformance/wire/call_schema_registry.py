"""Schema Registry: one call for each operation; changes are read back."""

from collections.abc import Mapping
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import quote

import httpx

from tests.conformance.wire.calls import covers
from tests.conformance.wire.operations import SCHEMA_REGISTRY
from tests.conformance.wire.world import WireWorld
from tests.integration.world import PERSON, PROFILE_CLASS, checked

BASE = SCHEMA_REGISTRY.base
LIST = {"Accept": "application/vnd.adobe.xed+json"}
LOOK_UP = {"Accept": "application/vnd.adobe.xed+json; version=1"}
DESCRIPTOR = {"Accept": "application/vnd.adobe.xdm+json"}
BEHAVIOR = "https://ns.adobe.com/xdm/data/record"
_NUMBERS = count(1)
_STANDARD = {
    "schemas": "https://ns.adobe.com/xdm/context/profile__union",
    "classes": PROFILE_CLASS,
    "fieldgroups": PERSON,
    "mixins": PERSON,
    "datatypes": "https://ns.adobe.com/xdm/context/person",
}


def _path(kind: str, identifier: str, container: str = "tenant") -> str:
    return f"{BASE}/{container}/{kind}/{quote(identifier, safe='')}"


def _definition(world: WireWorld, title: str) -> dict[str, Any]:
    """Return members with one field under the tenant's namespace."""
    tenant = checked(world.call("GET", f"{BASE}/stats")).json()["tenantId"]
    field = {"type": "string", "title": title}
    return {f"_{tenant}": {"type": "object", "properties": {f"field{next(_NUMBERS)}": field}}}


def _body(world: WireWorld, kind: str, title: str) -> dict[str, Any]:
    """Return what creates a resource of a kind."""
    common: dict[str, Any] = {"title": f"{title} {next(_NUMBERS)}", "description": "Made by a test.", "type": "object"}
    if kind == "schemas":
        return {**common, "allOf": [{"$ref": PROFILE_CLASS}]}
    if kind == "datatypes":
        return {**common, "properties": _definition(world, title)}
    definitions = {"customFields": {"type": "object", "properties": _definition(world, title)}}
    local = {"$ref": "#/definitions/customFields"}
    if kind == "classes":
        return {**common, "definitions": definitions, "allOf": [{"$ref": BEHAVIOR}, local]}
    return {**common, "meta:intendedToExtend": [PROFILE_CLASS], "definitions": definitions, "allOf": [local]}


def _create(world: WireWorld, kind: str) -> httpx.Response:
    body = _body(world, kind, "Created")
    made = world.call("POST", f"{BASE}/tenant/{kind}", body)
    assert _shown(world, kind, made)["title"] == body["title"]
    return made


def _shown(world: WireWorld, kind: str, made: httpx.Response) -> Any:
    identifier = checked(made).json()["$id"]
    return checked(world.call("GET", _path(kind, identifier), headers=LOOK_UP)).json()


def _made(world: WireWorld, kind: str) -> str:
    return str(checked(world.call("POST", f"{BASE}/tenant/{kind}", _body(world, kind, "To change"))).json()["$id"])


def _list(world: WireWorld, kind: str) -> httpx.Response:
    if kind != "schemas":
        of_all = checked(world.call("GET", f"{BASE}/global/{kind}", headers=LIST)).json()
        assert _STANDARD[kind] in [row["$id"] for row in of_all["results"]]
    identifier = _made(world, kind)
    answer = world.call("GET", f"{BASE}/tenant/{kind}", headers=LIST, params={"orderby": "-updated"})
    assert identifier in [row["$id"] for row in checked(answer).json()["results"]]
    assert "next" in answer.json()["_page"]
    return answer


def _look_up(world: WireWorld, kind: str) -> httpx.Response:
    if kind != "schemas":
        assert checked(world.call("GET", _path(kind, _STANDARD[kind], "global"), headers=LOOK_UP)).json()["title"]
    answer = world.call("GET", _path(kind, _made(world, kind)), headers=LOOK_UP)
    assert answer.headers["content-type"].startswith("application/vnd.adobe.xed+json")
    return answer


def _replace(world: WireWorld, kind: str) -> httpx.Response:
    identifier = _made(world, kind)
    present = checked(world.call("GET", _path(kind, identifier), headers=LOOK_UP)).json()
    body = {name: present[name] for name in ("type", "allOf", "definitions", "properties") if name in present}
    extends = {"meta:intendedToExtend": [PROFILE_CLASS]} if kind in ("fieldgroups", "mixins") else {}
    answer = world.call("PUT", _path(kind, identifier), {**body, **extends, "title": f"Replaced {kind}"})
    assert _shown(world, kind, answer)["title"] == f"Replaced {kind}"
    return answer


def _patch(world: WireWorld, kind: str) -> httpx.Response:
    identifier = _made(world, kind)
    operations = [{"op": "replace", "path": "/title", "value": f"Patched {kind}"}]
    answer = world.call("PATCH", _path(kind, identifier), operations)
    assert _shown(world, kind, answer)["title"] == f"Patched {kind}"
    return answer


def _delete(world: WireWorld, kind: str) -> httpx.Response:
    path = _path(kind, _made(world, kind))
    answer = world.call("DELETE", path)
    assert world.call("GET", path, headers=LOOK_UP).status_code == httpx.codes.NOT_FOUND
    return answer


for _kind in ("schemas", "classes", "fieldgroups", "mixins", "datatypes"):
    covers(SCHEMA_REGISTRY, f"GET /{{c}}/{_kind}")(partial(_list, kind=_kind))
    covers(SCHEMA_REGISTRY, f"GET /{{c}}/{_kind}/{{id}}")(partial(_look_up, kind=_kind))
    covers(SCHEMA_REGISTRY, f"POST /tenant/{_kind}")(partial(_create, kind=_kind))
    covers(SCHEMA_REGISTRY, f"PUT /tenant/{_kind}/{{id}}")(partial(_replace, kind=_kind))
    covers(SCHEMA_REGISTRY, f"PATCH /tenant/{_kind}/{{id}}")(partial(_patch, kind=_kind))
    covers(SCHEMA_REGISTRY, f"DELETE /tenant/{_kind}/{{id}}")(partial(_delete, kind=_kind))


@covers(SCHEMA_REGISTRY, "GET /stats")
def stats(world: WireWorld) -> httpx.Response:
    answer = world.call("GET", f"{BASE}/stats")
    assert answer.json()["counts"]["schemas"] > 0
    return answer


# --- descriptors ---


def _descriptor(world: WireWorld, path: str) -> Mapping[str, Any]:
    return {
        "@type": "xdm:alternateDisplayInfo",
        "xdm:sourceSchema": world.profile_schema,
        "xdm:sourceVersion": 1,
        "xdm:sourceProperty": path,
        "xdm:title": {"en_us": "First name"},
    }


def _made_descriptor(world: WireWorld, path: str) -> Any:
    return checked(world.call("POST", f"{BASE}/tenant/descriptors", _descriptor(world, path))).json()


@covers(SCHEMA_REGISTRY, "GET /{c}/descriptors")
def list_descriptors(world: WireWorld) -> httpx.Response:
    made = _made_descriptor(world, "/person/name/firstName")
    assert checked(world.call("GET", f"{BASE}/global/descriptors", headers=DESCRIPTOR)).json() == {}
    answer = world.call("GET", f"{BASE}/tenant/descriptors", headers=DESCRIPTOR)
    assert made["@id"] in [row["@id"] for row in answer.json()[made["@type"]]]
    return answer


@covers(SCHEMA_REGISTRY, "GET /{c}/descriptors/{id}")
def get_descriptor(world: WireWorld) -> httpx.Response:
    body = {
        "@type": "xdm:descriptorIdentity",
        "xdm:sourceSchema": world.schema("Identified", PROFILE_CLASS, PERSON, is_enabled=False),
        "xdm:sourceVersion": 1,
        "xdm:sourceProperty": "/person/name/lastName",
        "xdm:namespace": "CRMID",
        "xdm:property": "xdm:code",
        "xdm:isPrimary": False,
    }
    made = checked(world.call("POST", f"{BASE}/tenant/descriptors", body)).json()
    answer = world.call("GET", _path("descriptors", made["@id"]), headers=DESCRIPTOR)
    assert answer.json()["xdm:namespace"] == "CRMID"
    return answer


@covers(SCHEMA_REGISTRY, "POST /tenant/descriptors")
def create_descriptor(world: WireWorld) -> httpx.Response:
    answer = world.call("POST", f"{BASE}/tenant/descriptors", _descriptor(world, "/person/name/lastName"))
    shown = world.call("GET", _path("descriptors", answer.json()["@id"]), headers=DESCRIPTOR)
    assert shown.json()["xdm:sourceProperty"] == "/person/name/lastName"
    return answer


@covers(SCHEMA_REGISTRY, "PUT /tenant/descriptors/{id}")
def replace_descriptor(world: WireWorld) -> httpx.Response:
    path = _path("descriptors", _made_descriptor(world, "/person/name/middleName")["@id"])
    body = {**_descriptor(world, "/person/name/middleName"), "xdm:title": {"en_us": "Second name"}}
    answer = world.call("PUT", path, body)
    assert world.call("GET", path, headers=DESCRIPTOR).json()["xdm:title"] == {"en_us": "Second name"}
    return answer


@covers(SCHEMA_REGISTRY, "DELETE /tenant/descriptors/{id}")
def delete_descriptor(world: WireWorld) -> httpx.Response:
    path = _path("descriptors", _made_descriptor(world, "/person/birthDate")["@id"])
    answer = world.call("DELETE", path)
    assert world.call("GET", path, headers=DESCRIPTOR).status_code == httpx.codes.NOT_FOUND
    return answer


# --- unions, behaviors, remote procedures ---


@covers(SCHEMA_REGISTRY, "GET /tenant/unions")
def list_unions(world: WireWorld) -> httpx.Response:
    return world.call("GET", f"{BASE}/tenant/unions", headers=LIST)


@covers(SCHEMA_REGISTRY, "GET /tenant/unions/{id}")
def get_union(world: WireWorld) -> httpx.Response:
    answer = world.call("GET", _path("unions", f"{PROFILE_CLASS}__union"), headers=LOOK_UP)
    assert world.profile_schema in [item["$ref"] for item in answer.json()["allOf"]] or answer.json()["allOf"]
    return answer


@covers(SCHEMA_REGISTRY, "GET /global/behaviors")
def list_behaviors(world: WireWorld) -> httpx.Response:
    answer = world.call("GET", f"{BASE}/global/behaviors", headers=LIST)
    assert len(answer.json()["results"]) == 3
    return answer


@covers(SCHEMA_REGISTRY, "GET /global/behaviors/{id}")
def get_behavior(world: WireWorld) -> httpx.Response:
    return world.call("GET", _path("behaviors", BEHAVIOR, "global"), headers=LOOK_UP)


@covers(SCHEMA_REGISTRY, "GET /rpc/sampledata/{id}")
def sample_data(world: WireWorld) -> httpx.Response:
    answer = world.call("GET", f"{BASE}/rpc/sampledata/{quote(world.profile_schema, safe='')}", headers=LOOK_UP)
    assert "person" in answer.json() or "xdm:person" in answer.json()
    return answer


def _exported(world: WireWorld, identifier: str) -> httpx.Response:
    return world.call("GET", f"{BASE}/rpc/export/{quote(identifier, safe='')}", headers=LIST)


@covers(SCHEMA_REGISTRY, "GET /rpc/export/{id}")
def export_resource(world: WireWorld) -> httpx.Response:
    return _exported(world, _made(world, "fieldgroups"))


@covers(SCHEMA_REGISTRY, "POST /rpc/import")
def import_resource(world: WireWorld) -> httpx.Response:
    identifier = _made(world, "fieldgroups")
    payload = checked(_exported(world, identifier)).json()
    checked(world.call("DELETE", _path("fieldgroups", identifier)))
    answer = world.call("POST", f"{BASE}/rpc/import", payload)
    assert world.call("GET", _path("fieldgroups", identifier), headers=LOOK_UP).is_success
    return answer


@covers(SCHEMA_REGISTRY, "GET /rpc/auditlog/{id}")
def audit_log(world: WireWorld) -> httpx.Response:
    identifier = _made(world, "datatypes")
    checked(world.call("PATCH", _path("datatypes", identifier), [{"op": "replace", "path": "/title", "value": "Seen"}]))
    answer = world.call("GET", f"{BASE}/rpc/auditlog/{quote(identifier, safe='')}", headers=LIST)
    assert answer.json()
    return answer
