from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus

import httpx
import pytest

from headrace.api.services import Services
from headrace.clock import ManualClock
from headrace.schemas import SchemaRegistry
from headrace.storage.control import ControlStore
from tests.unit.schemas.samples import EVENT, IDENTITY_MAP, PERSON_DETAILS, PROFILE, TEXT, acme, group, identity, schema

BASE = "/data/foundation/schemaregistry"
ADOBE = "application/vnd.adobe."
Make = Callable[[str, Any], dict[str, Any]]


@pytest.fixture
def registry(control: ControlStore, clock: ManualClock) -> SchemaRegistry:
    return SchemaRegistry(control, clock, "acme")


@pytest.fixture
def services(services: Services, registry: SchemaRegistry) -> Services:
    return replace(services, schemas=registry)


@pytest.fixture
def make(client: httpx.Client) -> Make:
    def post(collection: str, body: Any) -> dict[str, Any]:
        answer = client.post(f"{BASE}/tenant/{collection}", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    return post


def get(client: httpx.Client, path: str, accept: str = "", **query: Any) -> httpx.Response:
    headers = {"Accept": ADOBE + accept} if accept else {}
    return client.get(BASE + path, headers=headers, params=query)


def test_create_answers_the_resource_with_all_assigned_keys(client: httpx.Client, make: Make) -> None:
    made = make("schemas", schema("Members", PERSON_DETAILS, description="Our members"))
    assert made["$id"].startswith("https://ns.adobe.com/acme/schemas/")
    assert made["meta:altId"] == "_acme.schemas." + made["$id"].rpartition("/")[2]
    assert made["version"] == "1.0"
    assert made["meta:resourceType"] == "schemas"
    assert made["meta:class"] == PROFILE
    assert made["meta:containerId"] == "tenant"
    assert made["meta:tenantNamespace"] == "_acme"
    assert made["meta:extensible"] is False
    assert PERSON_DETAILS in made["meta:extends"]
    assert made["allOf"][0]["$ref"] == PROFILE
    metadata = made["meta:registryMetadata"]
    assert metadata["repo:createdDate"] == metadata["repo:lastModifiedDate"] == 1802592000000
    assert len(metadata["eTag"]) == 64
    assert metadata["xdm:createdClientId"]


def test_look_up_by_encoded_id_by_alt_id_and_with_a_slash_at_the_end(client: httpx.Client, make: Make) -> None:
    made = make("schemas", schema("Members"))
    for name in (quote_plus(made["$id"]), made["meta:altId"], made["meta:altId"] + "/"):
        answer = get(client, f"/tenant/schemas/{name}", "xed+json; version=1")
        assert answer.status_code == 200
        assert answer.json()["$id"] == made["$id"]
        assert answer.headers["content-type"].startswith(ADOBE + "xed+json")


def test_full_form_has_no_references_and_both_spellings(client: httpx.Client, make: Make) -> None:
    made = make("schemas", schema("Members", PERSON_DETAILS))
    path = f"/tenant/schemas/{made['meta:altId']}"
    xed = get(client, path, "xed-full+json;version=1").json()
    assert "allOf" not in xed
    assert "definitions" not in xed
    assert xed["properties"]["person"]["meta:xdmField"] == "xdm:person"
    xdm = get(client, path, "xdm-full+json; version=1").json()
    assert {"xdm:person", "@id", "repo:createDate"} <= set(xdm["properties"])
    assert "xdm:firstName" in xdm["properties"]["xdm:person"]["properties"]["xdm:name"]["properties"]


def test_suffixes_combine(client: httpx.Client, make: Make) -> None:
    made = make("schemas", schema("Members", PERSON_DETAILS, IDENTITY_MAP))
    body = {**identity(made["$id"], "/person/name/firstName"), "xdm:isPrimary": False}
    client.post(f"{BASE}/tenant/descriptors", json=body)
    path = f"/tenant/schemas/{made['meta:altId']}"
    assert "title" not in get(client, path, "xed-full-notext+json; version=1").json()["properties"]["person"]
    shown = get(client, path, "xed-full-desc+json; version=1").json()
    assert shown["meta:descriptors"][0]["xdm:namespace"] == "CRMID"
    flat = get(client, path, "xed-flat+json; version=1").json()["properties"]
    assert flat["person.name.firstName"]["type"] == "string"
    assert get(client, path, "xed-flat-notext-full+json; version=1.0").status_code == 200


def test_deprecated_field_is_marked_on_request(client: httpx.Client, make: Make) -> None:
    made = make("schemas", schema("Members", PERSON_DETAILS))
    body = {
        "@type": "xdm:descriptorDeprecated",
        "xdm:sourceSchema": made["$id"],
        "xdm:sourceVersion": 1,
        "xdm:sourceProperty": ["/person/gender", "/person/birthDate"],
    }
    assert client.post(f"{BASE}/tenant/descriptors", json=body).status_code == 201
    shown = get(client, f"/tenant/schemas/{made['meta:altId']}", "xed-deprecatefield+json; version=1").json()
    assert shown["properties"]["person"]["properties"]["gender"]["meta:status"] == "deprecated"
    assert shown["properties"]["person"]["properties"]["birthDate"]["meta:status"] == "deprecated"


@pytest.mark.parametrize(
    ("path", "accept", "code"),
    [
        ("/tenant/schemas", "xed+json; version=1", "XDM-1006-400"),
        ("/tenant/schemas", "xed-full+json", "XDM-1006-400"),
        ("/global/mixins/_xdm.context.identitymap", "xed-odd+json; version=1", "XDM-1007-400"),
        ("/tenant/descriptors", "xed+json", "XDM-1008-400"),
        ("/tenant/descriptors", "xdm+json; version=1", "XDM-1008-400"),
        ("/tenant/descriptors/abc", "xed+json", "XDM-1009-400"),
    ],
)
def test_wrong_media_type_has_its_code(client: httpx.Client, path: str, accept: str, code: str) -> None:
    answer = get(client, path, accept)
    assert answer.status_code == 400
    assert answer.json()["type"] == f"http://ns.adobe.com/aep/errors/{code}"
    assert answer.json()["title"] == "Accept header invalid"
    assert answer.json()["detail"].startswith(f"The supplied Accept header is not valid: {ADOBE}{accept}")


def test_missing_media_type_is_lenient_unless_the_server_is_strict(
    client: httpx.Client, services: Services, headers: dict[str, str]
) -> None:
    path = "/global/fieldgroups/_xdm.context.identitymap"
    assert client.get(BASE + path, headers={"Accept": "*/*"}).status_code == 200
    object.__setattr__(services.settings, "strict_accept", True)
    refused = client.get(BASE + path, headers={"Accept": "application/json"})
    assert refused.status_code == 406
    assert refused.json()["title"] == "NotAcceptableError"
    assert get(client, path, "xed+json").json()["type"].endswith("XDM-1007-400")
    assert get(client, path, "xed+json; version=1").status_code == 200


def test_unknown_resource_answers_the_published_body(client: httpx.Client) -> None:
    answer = get(client, "/tenant/classes/_acme.classes.none", "xed+json; version=1")
    assert answer.status_code == 404
    body = answer.json()
    assert body["type"] == "http://ns.adobe.com/aep/errors/XDM-1010-404"
    assert body["title"] == "Resource not found"
    assert body["detail"] == "The requested class resource _acme.classes.none with version 1 is not found."
    assert body["report"]["detailed-message"] == body["detail"]
    assert body["report"]["timestamp"] == "02-14-2027 08:00:00"
    assert body["report"]["registryRequestId"] == answer.headers["x-request-id"]


def test_published_and_own_error_types(client: httpx.Client, make: Make) -> None:
    make("schemas", schema("Members"))
    taken = client.post(f"{BASE}/tenant/schemas", json=schema("Members")).json()
    assert taken["type"] == "http://ns.adobe.com/aep/errors/XDM-1521-400"
    outside = client.post(f"{BASE}/tenant/fieldgroups", json=group("G", {"level": TEXT}))
    assert outside.status_code == 400
    assert outside.json()["type"] == "http://ns.adobe.com/aep/errors/XDM-1021-400"
    unnamed = client.post(f"{BASE}/tenant/fieldgroups", json=group("G", acme(_x=TEXT))).json()
    assert unnamed["type"] == "urn:headrace:schema:invalid-field-name"
    assert unnamed["headrace"]["path"] == "/_acme/_x"


def test_breaking_change_lists_every_path(client: httpx.Client, make: Make, registry: SchemaRegistry) -> None:
    loyalty = make("fieldgroups", group("Loyalty", acme(a=TEXT, b=TEXT)))
    made = make("schemas", schema("Members", loyalty["$id"]))
    registry.connect(is_schema_in_use=lambda _, schema_id: schema_id == made["$id"])
    answer = client.put(f"{BASE}/tenant/fieldgroups/{loyalty['meta:altId']}", json=group("Loyalty", acme(c=TEXT)))
    assert answer.status_code == 400
    body = answer.json()
    assert body["type"] == "urn:headrace:schema:breaking-change"
    assert [cause["detail"].partition(":")[0] for cause in body["report"]["sub-errors"]] == ["/_acme/a", "/_acme/b"]


def test_list_forms_filters_and_pages(client: httpx.Client, make: Make, clock: ManualClock) -> None:
    for number in range(5):
        make("schemas", schema(f"S{number}", base=EVENT if number == 4 else PROFILE))
        clock.move_to(clock.now_ms() + 1000)
    listed = get(client, "/tenant/schemas", "xed-id+json", orderby="title", limit=2).json()
    assert [row["title"] for row in listed["results"]] == ["S0", "S1"]
    assert set(listed["results"][0]) == {"$id", "meta:altId", "title", "version"}
    assert listed["_page"] == {"orderby": "title", "next": "S1", "count": 2}
    assert listed["_links"]["global_schemas"]["href"].startswith(f"http://127.0.0.1:8900{BASE}/global/schemas?")
    rest = get(client, "/tenant/schemas", "xed-id+json", orderby="title", limit=3, start="S1").json()
    assert [row["title"] for row in rest["results"]] == ["S2", "S3", "S4"]
    assert rest["_page"]["next"] is None
    filters = ["meta:class==" + PROFILE, "title!=S0"]
    found = get(client, "/tenant/schemas", "xed+json", property=filters, orderby="-title").json()["results"]
    assert [row["title"] for row in found] == ["S3", "S2", "S1"]
    joined = get(client, "/tenant/schemas", "xed-id+json", property=",".join(filters)).json()["results"]
    assert len(joined) == 3
    events = get(client, "/tenant/schemas", "xed-id+json", property=f"meta:extends!={PROFILE}").json()["results"]
    assert [row["title"] for row in events] == ["S4"]
    first = get(client, "/tenant/schemas", "xed-id+json", limit=2).json()
    second = get(client, "/tenant/schemas", "xed-id+json", limit=500, start=first["_page"]["next"]).json()
    assert [row["title"] for row in first["results"] + second["results"]] == [f"S{number}" for number in range(5)]
    assert get(client, "/tenant/schemas", "xed-id+json", limit=501).status_code == 400


def test_standard_components_are_listed_and_read_only(client: httpx.Client) -> None:
    groups = get(client, "/global/fieldgroups", "xed-id+json").json()["results"]
    assert "Demographic Details" in [row["title"] for row in groups]
    assert len(get(client, "/global/behaviors", "xed+json").json()["results"]) == 3
    behavior = get(
        client, f"/global/behaviors/{quote_plus('https://ns.adobe.com/xdm/data/record')}", "xdm-full+json; version=1.0"
    )
    assert behavior.json()["title"] == "Record Schema"
    assert client.post(f"{BASE}/global/schemas", json=schema("S")).status_code == 403
    refused = client.delete(f"{BASE}/tenant/fieldgroups/_xdm.context.identitymap")
    assert refused.status_code == 403


def test_raw_standard_resource_in_both_spellings(client: httpx.Client) -> None:
    path = "/global/mixins/_xdm.context.profile-person-details"
    xed = get(client, path, "xed+json; version=1").json()
    assert "person" in next(iter(xed["definitions"].values()))["properties"]
    xdm = get(client, path, "xdm+json; version=1").json()
    assert "xdm:person" in next(iter(xdm["definitions"].values()))["properties"]


def test_put_patch_delete(client: httpx.Client, make: Make) -> None:
    made = make("schemas", schema("Members"))
    path = f"{BASE}/tenant/schemas/{made['meta:altId']}"
    replaced = client.put(path, json={**made, "title": "Customers"})
    assert (replaced.status_code, replaced.json()["version"]) == (200, "1.1")
    operations = [{"op": "add", "path": "/allOf/-", "value": {"$ref": PERSON_DETAILS}}]
    patched = client.patch(path, json=operations, headers={"If-Match": replaced.json()["meta:registryMetadata"]["eTag"]})
    assert patched.json()["version"] == "1.2"
    stale = client.patch(path, json=operations, headers={"If-Match": made["meta:registryMetadata"]["eTag"]})
    assert stale.status_code == 412
    deleted = client.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert client.get(path).status_code == 404


def test_exact_version_shows_the_schema_as_it_was(client: httpx.Client, make: Make) -> None:
    loyalty = make("fieldgroups", group("Loyalty", acme(a=TEXT)))
    made = make("schemas", schema("Members", loyalty["$id"]))
    change = [{"op": "add", "path": "/definitions/customFields/properties/_acme/properties/b", "value": TEXT}]
    client.patch(f"{BASE}/tenant/fieldgroups/{loyalty['meta:altId']}", json=change)
    path = f"/tenant/schemas/{made['meta:altId']}"
    newest = get(client, path, "xed-full+json; version=1").json()
    assert newest["version"] == "1.1"
    assert set(newest["properties"]["_acme"]["properties"]) == {"a", "b"}
    assert get(client, path, "xed-full+json; version=1.1").json()["version"] == "1.1"
    client.patch(f"{BASE}/tenant/fieldgroups/{loyalty['meta:altId']}", json=[{"op": "remove", "path": change[0]["path"]}])
    old = get(client, path, "xed-full+json; version=1.1").json()
    assert set(old["properties"]["_acme"]["properties"]) == {"a", "b"}
    assert get(client, path, "xed-full+json; version=1.9").status_code == 404
    assert get(client, path, "xed-full+json; version=2").status_code == 404


def test_descriptor_lists_in_all_forms(client: httpx.Client, make: Make) -> None:
    made = make("schemas", schema("Members", PERSON_DETAILS))
    assert get(client, "/tenant/descriptors", "xdm+json").json() == {}
    posted = client.post(f"{BASE}/tenant/descriptors", json=identity(made["$id"], "/xdm:person/xdm:name/xdm:firstName"))
    assert posted.status_code == 201
    identifier = posted.json()["@id"]
    assert posted.json()["version"] == "1"
    assert get(client, "/tenant/descriptors", "xdm-id+json").json() == {"xdm:descriptorIdentity": [identifier]}
    links = get(client, "/tenant/descriptors", "xdm-link+json").json()
    assert links == {"xdm:descriptorIdentity": [f"/tenant/descriptors/{identifier}"]}
    whole = get(client, "/tenant/descriptors/", "xdm+json").json()
    assert whole["xdm:descriptorIdentity"][0]["xdm:sourceSchema"] == made["$id"]
    paged = get(client, "/tenant/descriptors", "xdm-v2+json", property="@type==xdm:descriptorIdentity").json()
    assert paged["_page"]["next"] is None
    assert [row["@id"] for row in paged["results"]] == [identifier]
    both = f"@type==xdm:descriptorIdentity,xdm:sourceSchema=={made['$id']}"
    assert len(get(client, "/tenant/descriptors", "xdm-v2-id+json", property=both).json()["results"]) == 1
    assert get(client, "/tenant/descriptors", "xdm-v2+json", limit=500).status_code == 400
    assert get(client, "/global/descriptors", "xdm+json").json() == {}
    assert get(client, f"/tenant/descriptors/{identifier}").json()["@id"] == identifier
    changed = client.put(f"{BASE}/tenant/descriptors/{identifier}", json={**posted.json(), "xdm:namespace": "Email"})
    assert (changed.status_code, changed.json()["xdm:namespace"]) == (200, "Email")
    assert client.delete(f"{BASE}/tenant/descriptors/{identifier}").status_code == 204
    gone = get(client, f"/tenant/descriptors/{identifier}", "xdm+json")
    assert (gone.status_code, gone.json()["type"]) == (404, "http://ns.adobe.com/aep/errors/XDM-1014-404")


def test_enabled_schema_appears_in_the_union(client: httpx.Client, make: Make) -> None:
    made = make("schemas", schema("Members", IDENTITY_MAP, PERSON_DETAILS))
    path = f"{BASE}/tenant/schemas/{made['meta:altId']}/"
    refused = client.patch(path, json=[{"op": "add", "path": "/meta:immutableTags", "value": ["other"]}])
    assert refused.status_code == 400
    enabled = client.patch(path, json=[{"op": "add", "path": "/meta:immutableTags", "value": ["union"]}])
    assert enabled.json()["meta:immutableTags"] == ["union"]
    unions = get(client, "/tenant/unions", "xed-id+json").json()["results"]
    assert [row["$id"] for row in unions] == [f"{PROFILE}__union"]
    union = get(client, f"/tenant/unions/{quote_plus(PROFILE + '__union')}", "xdm-full+json; version=1").json()
    assert "xdm:person" in union["properties"]
    raw = get(client, "/tenant/schemas/_xdm.context.profile__union", "xed+json; version=1").json()
    assert [part["$ref"] for part in raw["allOf"]] == [PROFILE, IDENTITY_MAP, PERSON_DETAILS]
    members = get(
        client, "/tenant/schemas", "xed-id+json", property=["meta:immutableTags==union", f"meta:class=={PROFILE}"]
    ).json()["results"]
    assert [row["$id"] for row in members] == [made["$id"]]
    missing = get(client, f"/tenant/unions/{quote_plus(EVENT + '__union')}", "xed+json; version=1")
    assert (missing.status_code, missing.json()["type"]) == (404, "http://ns.adobe.com/aep/errors/XDM-1016-404")


def test_statistics(client: httpx.Client, make: Make) -> None:
    made = make("schemas", schema("Members"))
    stats = client.get(f"{BASE}/stats/").json()
    assert stats["tenantId"] == "acme"
    assert stats["counts"]["schemas"] == 1
    assert stats["counts"]["unions"] == 1
    assert stats["recentlyCreatedResources"][0]["$id"] == made["$id"]
    assert stats["classUsage"][0]["numberOfSchemas"] == 1


def test_sample_data_is_in_standard_spelling(client: httpx.Client, make: Make) -> None:
    made = make("schemas", schema("Members", IDENTITY_MAP, PERSON_DETAILS))
    sample = client.get(f"{BASE}/rpc/sampledata/{quote_plus(made['$id'])}").json()
    assert sample["@id"] == "/uri-reference"
    assert sample["repo:createDate"]
    assert sample["xdm:person"]["xdm:name"]["xdm:firstName"] == "string"
    assert sample["xdm:identityMap"]["key"][0]["xdm:id"] == "string"


def test_export_and_import_into_another_place(client: httpx.Client, make: Make) -> None:
    point = make("datatypes", {"title": "Point", "type": "object", "properties": {"x": {"type": "number"}}})
    loyalty = make("fieldgroups", group("Loyalty", acme(at={"$ref": point["$id"]})))
    made = make("schemas", schema("Members", loyalty["$id"]))
    export = client.get(f"{BASE}/rpc/export/{quote_plus(made['$id'])}").json()
    assert [item["title"] for item in export] == ["Point", "Loyalty", "Members"]
    assert "acme" not in str(export)
    assert "_<XDM_TENANTID_PLACEHOLDER>" in export[1]["definitions"]["customFields"]["properties"]
    again = client.post(f"{BASE}/rpc/import", json=export)
    assert (again.status_code, again.json()["type"]) == (400, "http://ns.adobe.com/aep/errors/XDM-3005-400")
    for kind, item in (("schemas", made), ("fieldgroups", loyalty), ("datatypes", point)):
        assert client.delete(f"{BASE}/tenant/{kind}/{item['meta:altId']}").status_code == 204
    back = client.post(f"{BASE}/rpc/export/", json=export)
    assert back.status_code == 200
    assert [item["$id"] for item in back.json()] == [point["$id"], loyalty["$id"], made["$id"]]


def test_audit_log_is_newest_first_and_names_the_cause(client: httpx.Client, make: Make) -> None:
    loyalty = make("fieldgroups", group("Loyalty", acme(a=TEXT)))
    made = make("schemas", schema("Members", loyalty["$id"]))
    change = [{"op": "add", "path": "/definitions/customFields/properties/_acme/properties/b", "value": TEXT}]
    client.patch(f"{BASE}/tenant/fieldgroups/{loyalty['meta:altId']}", json=change)
    trail = client.get(f"{BASE}/rpc/auditlog/{quote_plus(made['$id'])}").json()
    assert [entry["id"] for entry in trail] == [made["$id"], made["$id"]]
    assert trail[0]["updates"][0]["id"] == loyalty["$id"]
    assert trail[0]["updates"][0]["path"] == change[0]["path"]
    assert trail[0]["auditTrails"] == trail[0]["updates"]
    assert trail[1]["updates"][0]["action"] == "add"
    assert client.get(f"{BASE}/rpc/auditlog/_acme.schemas.none").status_code == 404
