from typing import Any

import httpx
import pytest

from headrace.api.services import Services
from headrace.clock import ManualClock

from .registry import make_dataset, make_schema

CATALOG = "/data/foundation/catalog"


@pytest.fixture
def schema_id(client: httpx.Client) -> str:
    return make_schema(client, "Customers")


def read(client: httpx.Client, dataset_id: str) -> dict[str, Any]:
    body: dict[str, Any] = client.get(f"{CATALOG}/dataSets/{dataset_id}").json()[dataset_id]
    return body


def test_root_links_to_the_kinds_of_objects(client: httpx.Client) -> None:
    links = client.get(f"{CATALOG}/").json()
    assert links["dataSets"] == "@/dataSets"
    for link in links.values():
        assert client.get(f"{CATALOG}{link[1:]}").status_code in (200, 404)


def test_create_answers_a_reference_and_its_location(client: httpx.Client, schema_id: str) -> None:
    answer = client.post(f"{CATALOG}/dataSets", json={"name": "CRM", "schemaRef": {"id": schema_id}})
    assert answer.status_code == 201
    [reference] = answer.json()
    dataset_id = reference.removeprefix("@/dataSets/")
    assert len(dataset_id) == 24
    assert answer.headers["location"] == f"http://127.0.0.1:8900{CATALOG}/dataSets/{dataset_id}"


def test_look_up_is_keyed_by_id_and_holds_what_clients_read(client: httpx.Client, schema_id: str) -> None:
    dataset_id = make_dataset(client, "CRM Daily (EU)", schema_id)
    answer = client.get(f"{CATALOG}/dataSets/{dataset_id}")
    body = answer.json()[dataset_id]
    assert "id" not in body
    assert body["tags"]["adobe/pqs/table"] == ["crm_daily_eu"]
    assert body["tags"]["unifiedProfile"] == ["enabled:true", "enabledAt:2027-02-14 08:00:00"]
    assert body["classification"] == {"dataBehavior": "record", "managedBy": "CUSTOMER"}
    assert body["schemaRef"] == {"id": schema_id, "contentType": "application/vnd.adobe.xed+json;version=1"}
    assert body["state"] == "ACTIVE"
    assert body["version"] == "1.0.0"
    assert body["files"] == f"@/dataSetFiles?dataSetId={dataset_id}"
    assert body["observableSchema"] == {}
    assert answer.headers["etag"] == '"1.0.0"'


def test_table_names_of_equal_names_are_numbered(client: httpx.Client, schema_id: str) -> None:
    tables = [read(client, make_dataset(client, "Orders", schema_id))["tags"]["adobe/pqs/table"] for _ in range(3)]
    assert tables == [["orders"], ["orders_2"], ["orders_3"]]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "/name"),
        ({"name": "A"}, "/schemaRef/id"),
        ({"name": "A", "schemaRef": {"id": "https://ns.adobe.com/none"}}, "/schemaRef/id"),
        ({"name": "A", "schemaRef": {"id": "SCHEMA"}, "tags": {"a": {"b": 1}}}, "/tags/a"),
        ({"name": "A", "schemaRef": {"id": "SCHEMA"}, "tags": []}, "/tags"),
        ({"name": "A", "schemaRef": {"id": "SCHEMA"}, "description": 5}, "/description"),
        (
            {
                "name": "A",
                "schemaRef": {"id": "SCHEMA"},
                "extensions": {"adobe_lakeHouse": {"rowExpiration": {"ttlValue": "P3M"}}},
            },
            "/extensions/adobe_lakeHouse/rowExpiration/ttlValue",
        ),
    ],
)
def test_definition_that_is_not_acceptable_names_the_member(
    client: httpx.Client, schema_id: str, body: dict[str, Any], path: str
) -> None:
    if body.get("schemaRef", {}).get("id") == "SCHEMA":
        body = {**body, "schemaRef": {"id": schema_id}}
    answer = client.post(f"{CATALOG}/dataSets", json=body)
    assert answer.status_code == 400
    assert answer.json()["headrace"]["path"] == path
    assert answer.json()["type"].startswith("http://ns.adobe.com/aep/errors/CTLG-")


def test_profile_tag_needs_a_schema_enabled_for_profile(client: httpx.Client) -> None:
    plain = make_schema(client, "Plain", is_profile_enabled=False)
    body = {"name": "A", "schemaRef": {"id": plain}, "tags": {"unifiedProfile": ["enabled: true"]}}
    answer = client.post(f"{CATALOG}/dataSets", json=body)
    assert answer.status_code == 400
    assert answer.json()["title"] == "Schema is not enabled for Profile"


def test_union_schema_may_be_a_datasets_schema(client: httpx.Client, schema_id: str) -> None:
    union = "https://ns.adobe.com/xdm/context/profile__union"
    dataset_id = make_dataset(client, "Profile Data Export", union, is_profile_enabled=False)
    assert read(client, dataset_id)["schemaRef"]["id"] == union


def test_validate_only_stores_nothing(client: httpx.Client, schema_id: str) -> None:
    body = {"name": "A", "schemaRef": {"id": schema_id}}
    assert client.post(f"{CATALOG}/dataSets", json=body, headers={"Pragma": "validate-only"}).status_code == 200
    refused = client.post(f"{CATALOG}/dataSets", json={}, headers={"Pragma": "validate-only"})
    assert refused.status_code == 400
    assert client.get(f"{CATALOG}/dataSets").json() == {}


def test_merge_patch_replaces_members_and_merges_tags(client: httpx.Client, schema_id: str) -> None:
    dataset_id = make_dataset(client, "CRM", schema_id)
    answer = client.patch(f"{CATALOG}/dataSets/{dataset_id}", json={"description": "d", "tags": {"team": ["a"]}})
    assert (answer.status_code, answer.json()) == (200, [f"@/dataSets/{dataset_id}"])
    body = read(client, dataset_id)
    assert body["description"] == "d"
    assert body["tags"]["team"] == ["a"]
    assert body["tags"]["unifiedIdentity"] == ["enabled:true"]
    assert body["version"] == "1.0.1"
    client.patch(f"{CATALOG}/dataSets/{dataset_id}", json={"description": None, "tags": {"team": None}})
    body = read(client, dataset_id)
    assert "description" not in body
    assert "team" not in body["tags"]


def test_json_patch_is_read_whatever_its_content_type(client: httpx.Client, schema_id: str) -> None:
    dataset_id = make_dataset(client, "CRM", schema_id, is_profile_enabled=False)
    patch = [{"op": "ADD", "path": "/tags/unifiedProfile", "value": ["enabled:true", "isUpsert:true"]}]
    assert client.patch(f"{CATALOG}/dataSets/{dataset_id}", json=patch).status_code == 200
    assert read(client, dataset_id)["tags"]["unifiedProfile"][:2] == ["enabled:true", "isUpsert:true"]
    off = [{"op": "replace", "path": "/tags/unifiedProfile", "value": ["enabled:false"]}]
    headers = {"Content-Type": "application/json-patch+json"}
    assert client.patch(f"{CATALOG}/dataSets/{dataset_id}", json=off, headers=headers).status_code == 200
    assert read(client, dataset_id)["tags"]["unifiedProfile"] == ["enabled:false"]


def test_time_of_enablement_stays_until_it_is_disabled(client: httpx.Client, schema_id: str, clock: ManualClock) -> None:
    dataset_id = make_dataset(client, "CRM", schema_id)
    clock.move_to(clock.now_ms() + 3_600_000)
    patch = [{"op": "add", "path": "/tags/unifiedProfile", "value": ["enabled:true", "isUpsert:true"]}]
    client.patch(f"{CATALOG}/dataSets/{dataset_id}", json=patch)
    assert read(client, dataset_id)["tags"]["unifiedProfile"][-1] == "enabledAt:2027-02-14 08:00:00"


def test_read_only_members_and_system_tags_stay(client: httpx.Client, schema_id: str) -> None:
    dataset_id = make_dataset(client, "CRM", schema_id)
    refused = client.patch(f"{CATALOG}/dataSets/{dataset_id}", json=[{"op": "replace", "path": "/viewId", "value": "x"}])
    assert refused.status_code == 400
    client.put(f"{CATALOG}/dataSets/{dataset_id}", json={"name": "New", "schemaRef": {"id": schema_id}, "viewId": "x"})
    body = read(client, dataset_id)
    assert body["name"] == "New"
    assert body["viewId"] != "x"
    assert body["tags"]["adobe/pqs/table"] == ["crm"]
    assert "unifiedProfile" not in body["tags"]


def test_deep_patch_makes_parents_and_keeps_neighbours(client: httpx.Client) -> None:
    dataset_id = make_dataset(client, "Events", make_schema(client, "Events", is_event=True))
    for member, value in (("rowExpiration", {"ttlValue": "P3M"}), ("other", 1)):
        body = {"extensions": {"adobe_lakeHouse": {member: value}}}
        assert client.patch(f"{CATALOG}/v2/dataSets/{dataset_id}", json=body).json() == [f"@/dataSets/{dataset_id}"]
    lake_house = read(client, dataset_id)["extensions"]["adobe_lakeHouse"]
    assert lake_house["rowExpiration"] == {"ttlValue": "P3M"}
    assert lake_house["other"] == 1
    bounds = client.get(f"{CATALOG}/ttl/{dataset_id}").json()["extensions"]["adobe_lakeHouse"]["rowExpiration"]
    assert bounds == {"defaultValue": "P12M", "maxValue": "P10Y", "minValue": "P30D", "ttlValue": "P3M"}


@pytest.mark.parametrize("value", ["P1D", "P11Y", "3 months", "P"])
def test_row_expiration_has_bounds_and_a_form(client: httpx.Client, value: str) -> None:
    dataset_id = make_dataset(client, "Events", make_schema(client, "Events", is_event=True))
    body = {"extensions": {"adobe_lakeHouse": {"rowExpiration": {"ttlValue": value}}}}
    assert client.patch(f"{CATALOG}/v2/dataSets/{dataset_id}", json=body).status_code == 400


def test_stale_version_is_refused(client: httpx.Client, schema_id: str) -> None:
    dataset_id = make_dataset(client, "CRM", schema_id)
    path = f"{CATALOG}/dataSets/{dataset_id}"
    assert client.patch(path, json={"description": "a"}, headers={"If-Match": '"1.0.0"'}).status_code == 200
    assert client.patch(path, json={"description": "b"}, headers={"If-Match": "1.0.0"}).status_code == 412
    assert client.get(path, headers={"If-None-Match": '"1.0.1"'}).status_code == 304


def test_unknown_dataset_is_404(client: httpx.Client) -> None:
    answer = client.get(f"{CATALOG}/dataSets/66aa")
    assert answer.status_code == 404
    assert answer.json()["type"] == "http://ns.adobe.com/aep/errors/CTLG-1001-404"
    assert answer.json()["detail"] == "dataSet 66aa was not found"


def test_other_sandbox_does_not_see_a_dataset(client: httpx.Client, schema_id: str) -> None:
    dataset_id = make_dataset(client, "CRM", schema_id)
    client.post("/data/foundation/sandbox-management/sandboxes", json={"name": "dev", "title": "Dev", "type": "development"})
    answer = client.get(f"{CATALOG}/dataSets/{dataset_id}", headers={"x-sandbox-name": "dev"})
    assert answer.status_code == 404
    assert client.get(f"{CATALOG}/dataSets", headers={"x-sandbox-name": "dev"}).json() == {}


def test_schema_cannot_change_under_data(client: httpx.Client, schema_id: str) -> None:
    dataset_id = make_dataset(client, "CRM", schema_id)
    other = {"id": make_schema(client, "Other")}
    assert client.patch(f"{CATALOG}/dataSets/{dataset_id}", json={"schemaRef": other}).status_code == 200
    batch = {"status": "success", "relatedObjects": [{"type": "dataSet", "id": dataset_id}]}
    client.post(f"{CATALOG}/batches", json=batch)
    refused = client.patch(f"{CATALOG}/dataSets/{dataset_id}", json={"schemaRef": {"id": schema_id}})
    assert refused.status_code == 400
    assert refused.json()["title"] == "Schema cannot change"


def test_dataset_with_running_batch_cannot_be_deleted(client: httpx.Client, schema_id: str) -> None:
    dataset_id = make_dataset(client, "CRM", schema_id)
    batch = {"status": "loading", "relatedObjects": [{"type": "dataSet", "id": dataset_id}]}
    [reference] = client.post(f"{CATALOG}/batches", json=batch).json()
    assert client.delete(f"{CATALOG}/dataSets/{dataset_id}").status_code == 400
    client.patch(f"{CATALOG}{reference[1:]}", json={"status": "aborted"})
    answer = client.delete(f"{CATALOG}/dataSets/{dataset_id}")
    assert (answer.status_code, answer.json()) == (200, [f"@/dataSets/{dataset_id}"])
    assert client.get(f"{CATALOG}/dataSets/{dataset_id}").status_code == 404


def test_observable_schema_holds_fields_with_data(client: httpx.Client, schema_id: str, services: Services) -> None:
    dataset_id = make_dataset(client, "CRM", schema_id)
    sandbox = services.sandboxes.default()
    dataset = services.catalog.dataset(sandbox, dataset_id)
    services.catalog.note_facts(sandbox, dataset.number, row_count=2, storage_bytes=512, observed_paths=["_id"])
    answer = client.get(f"{CATALOG}/dataSets/{dataset_id}", params={"properties": "observableSchema"})
    assert list(answer.json()[dataset_id]["observableSchema"]["properties"]) == ["_id"]
    metrics = read(client, dataset_id)["extensions"]["adobe_lakeHouse"]["metrics"]
    assert (metrics["rowCount"], metrics["storageSize"]) == (2, 512)


def test_views_and_files_of_a_dataset(client: httpx.Client, schema_id: str) -> None:
    dataset_id = make_dataset(client, "CRM", schema_id)
    client.post(f"{CATALOG}/batches/b1", json={"status": "success", "relatedObjects": [{"type": "dataSet", "id": dataset_id}]})
    [view_id] = client.get(f"{CATALOG}/dataSets/{dataset_id}/views").json()
    assert view_id in client.get(f"{CATALOG}/dataSets/{dataset_id}/views/{view_id}").json()
    assert list(client.get(f"{CATALOG}/dataSets/{dataset_id}/views/{view_id}/files").json()) == ["b1-1"]
    assert list(client.get(f"{CATALOG}/dataSetFiles", params={"dataSetId": dataset_id}).json()) == ["b1-1"]
    assert client.get(f"{CATALOG}/dataSets/{dataset_id}/views/none").status_code == 404
    assert list(client.get(f"{CATALOG}/dataSetViews").json()) == [view_id]
    assert client.get(f"{CATALOG}/dataSets/{dataset_id}/credentials").status_code == 403
    assert client.get(f"{CATALOG}/connections").json() == {}


@pytest.fixture
def three(client: httpx.Client, schema_id: str, clock: ManualClock) -> list[str]:
    """Datasets ``Alpha``, ``beta`` and ``a*c``, a second apart."""
    ids = []
    for name in ("Alpha", "beta", "a*c"):
        ids.append(make_dataset(client, name, schema_id))
        clock.move_to(clock.now_ms() + 1000)
    client.patch(f"{CATALOG}/dataSets/{ids[0]}", json={"tags": {"team/x": ["crm-eu"]}, "description": "first"})
    return ids


@pytest.mark.parametrize(
    ("query", "positions"),
    [
        ({}, [2, 1, 0]),
        ({"orderBy": "name"}, [2, 0, 1]),
        ({"orderBy": "asc:created"}, [0, 1, 2]),
        ({"orderBy": "desc:name,asc:created"}, [1, 0, 2]),
        ({"limit": "1", "start": "1"}, [1]),
        ({"name": "beta"}, [1]),
        ({"name": "!beta"}, [2, 0]),
        ({"name": "beta,Alpha"}, [1, 0]),
        ({"name": "!beta,Alpha"}, [2]),
        ({"property": "name==*a*"}, [2, 1, 0]),
        ({"property": "name==a**c"}, [2]),
        ({"property": "name~^A"}, [0]),
        ({"property": "name~pha$"}, [0]),
        ({"property": "description"}, [0]),
        ({"property": "!description"}, [2, 1]),
        ({"property": "version>1.0.0"}, [0]),
        ({"property": "version==1.0.0"}, [2, 1]),
        ({"tags": "team/x:crm*"}, [0]),
        ({"tags": "team/x:crm*,adobe/pqs/table:beta"}, []),
        ({"tags": "adobe/pqs/table:beta"}, [1]),
        ({"createdAfter": "1802592000500"}, [2, 1]),
        ({"createdBefore": "1802592001000"}, [0]),
        ({"requestDataSource": "False"}, [2, 1, 0]),
    ],
)
def test_list_filters_and_orders(client: httpx.Client, three: list[str], query: dict[str, str], positions: list[int]) -> None:
    assert list(client.get(f"{CATALOG}/dataSets", params=query).json()) == [three[place] for place in positions]


def test_list_shows_the_members_asked_for(client: httpx.Client, three: list[str]) -> None:
    answer = client.get(f"{CATALOG}/dataSets", params={"properties": "name,description", "orderBy": "name"})
    assert list(answer.json().values()) == [
        {"name": "a*c"},
        {"name": "Alpha", "description": "first"},
        {"name": "beta"},
    ]
    assert "observableSchema" not in client.get(f"{CATALOG}/dataSets").json()[three[0]]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "-1"},
        {"limit": "101"},
        {"limit": "x"},
        {"start": "-1"},
        {"property": "name~("},
        {"tags": "a"},
        {"createdAfter": "soon"},
    ],
)
def test_list_refuses_what_it_cannot_read(client: httpx.Client, query: dict[str, str]) -> None:
    answer = client.get(f"{CATALOG}/dataSets", params=query)
    assert answer.status_code == 400
    assert answer.json()["type"].startswith("http://ns.adobe.com/aep/errors/CTLG-")
