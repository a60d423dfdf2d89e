import httpx
import pytest

from headrace.api.services import Services

from .registry import make_dataset, make_schema

BASE = "/data/foundation/sandbox-management"
DEV = {"name": "dev-1", "title": "Development", "type": "development"}


def test_first_sandbox_is_prod(client: httpx.Client) -> None:
    body = client.get(f"{BASE}/").json()
    [prod] = body["sandboxes"]
    assert (prod["name"], prod["type"], prod["isDefault"], prod["state"]) == ("prod", "production", True, "active")
    assert prod["createdDate"] == "2027-02-14 08:00:00"
    assert body["_page"] == {"limit": 20, "count": 1}
    assert "next" not in body["_links"]


def test_types_are_listed(client: httpx.Client) -> None:
    types = client.get(f"{BASE}/sandboxTypes").json()["sandboxTypes"]
    assert [item["id"] for item in types] == ["production", "development"]


def test_created_sandbox_is_usable_at_once(client: httpx.Client) -> None:
    answer = client.post(f"{BASE}/sandboxes", json=DEV)
    assert answer.status_code == 202
    assert answer.json()["state"] == "creating"
    found = client.get(f"{BASE}/sandboxes/dev-1").json()
    assert (found["state"], found["isDefault"], found["eTag"], found["etag"]) == ("active", False, 1, 1)
    assert found["id"] == answer.json()["id"]
    assert client.get("/data/foundation/catalog/dataSets", headers={"x-sandbox-name": "dev-1"}).json() == {}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"name": "Dev"}, "/name"),
        ({"name": "1dev"}, "/name"),
        ({"name": "de_v"}, "/name"),
        ({"name": "d" * 257}, "/name"),
        ({"name": None}, "/name"),
        ({"title": " "}, "/title"),
        ({"type": "test"}, "/type"),
    ],
)
def test_sandbox_that_is_not_acceptable_names_the_member(client: httpx.Client, change: dict[str, str | None], path: str) -> None:
    answer = client.post(f"{BASE}/sandboxes", json={**DEV, **change})
    assert answer.status_code == 400
    assert answer.json()["headrace"]["path"] == path
    assert answer.json()["type"].startswith("http://ns.adobe.com/aep/errors/SMS-")


def test_name_is_taken_once(client: httpx.Client) -> None:
    client.post(f"{BASE}/sandboxes", json=DEV)
    assert client.post(f"{BASE}/sandboxes", json=DEV).status_code == 409


def test_only_the_title_changes(client: httpx.Client) -> None:
    client.post(f"{BASE}/sandboxes", json=DEV)
    answer = client.patch(f"{BASE}/sandboxes/dev-1", json={"title": "New", "type": "production"})
    assert answer.status_code == 200
    assert (answer.json()["title"], answer.json()["type"], answer.json()["eTag"]) == ("New", "development", 2)


def test_reset_empties_a_sandbox_and_keeps_its_id(client: httpx.Client, services: Services) -> None:
    client.post(f"{BASE}/sandboxes", json=DEV)
    client.headers["x-sandbox-name"] = "dev-1"
    make_dataset(client, "CRM", make_schema(client, "Customers"))
    client.post("/data/core/idnamespace/identities", json={"name": "L", "code": "L", "idType": "EMAIL"})
    before = services.sandboxes.by_name("dev-1")
    checked = client.put(f"{BASE}/sandboxes/dev-1", json={"action": "reset"}, params={"validationOnly": "True"})
    assert checked.status_code == 200
    assert len(client.get("/data/foundation/catalog/dataSets").json()) == 1
    answer = client.put(f"{BASE}/sandboxes/dev-1", json={"action": "reset"})
    assert (answer.status_code, answer.json()["state"]) == (202, "resetting")
    after = services.sandboxes.by_name("dev-1")
    assert after.id == before.id
    assert after.number > before.number
    assert services.sandboxes.by_number(before.number) is None
    assert client.get("/data/foundation/catalog/dataSets").json() == {}
    assert not any(item["custom"] for item in client.get("/data/core/idnamespace/identities").json())
    assert client.get("/data/foundation/schemaregistry/tenant/schemas").json()["results"] == []


def test_reset_needs_its_action(client: httpx.Client) -> None:
    assert client.put(f"{BASE}/sandboxes/prod", json={"action": "explode"}).status_code == 400


def test_deleted_sandbox_is_shown_and_its_name_is_free(client: httpx.Client, services: Services) -> None:
    client.post(f"{BASE}/sandboxes", json=DEV)
    number = services.sandboxes.by_name("dev-1").number
    answer = client.delete(f"{BASE}/sandboxes/dev-1")
    assert (answer.status_code, answer.json()["state"]) == (202, "deleted")
    assert client.get(f"{BASE}/sandboxes/dev-1").json()["state"] == "deleted"
    assert [item["name"] for item in client.get(f"{BASE}/").json()["sandboxes"]] == ["prod"]
    assert client.delete(f"{BASE}/sandboxes/dev-1").status_code == 400
    assert client.post(f"{BASE}/sandboxes", json=DEV).status_code == 202
    assert services.sandboxes.by_name("dev-1").number > number
    assert client.get(f"{BASE}/sandboxes/dev-1").json()["state"] == "active"


def test_default_sandbox_cannot_be_deleted(client: httpx.Client) -> None:
    answer = client.delete(f"{BASE}/sandboxes/prod")
    assert answer.status_code == 400
    assert answer.json()["type"] == "http://ns.adobe.com/aep/errors/SMS-2078-400"


def test_default_sandbox_can_be_reset(client: httpx.Client) -> None:
    assert client.put(f"{BASE}/sandboxes/prod", json={"action": "reset"}).status_code == 202
    assert client.get("/data/foundation/catalog/dataSets").status_code == 200


def test_unknown_sandbox_is_404(client: httpx.Client) -> None:
    answer = client.get(f"{BASE}/sandboxes/nowhere")
    assert answer.status_code == 404
    assert answer.json()["type"] == "http://ns.adobe.com/aep/errors/SMS-1001-404"


def test_sandboxes_are_paged_filtered_and_ordered(client: httpx.Client) -> None:
    for name in ("b", "a", "c"):
        client.post(f"{BASE}/sandboxes", json={**DEV, "name": name})
    first = client.get(f"{BASE}/sandboxes", params={"limit": 3, "orderBy": "desc:name"}).json()
    assert [item["name"] for item in first["sandboxes"]] == ["prod", "c", "b"]
    rest = client.get(first["_links"]["next"]["href"] + "&orderBy=desc:name").json()
    assert [item["name"] for item in rest["sandboxes"]] == ["a"]
    found = client.get(f"{BASE}/sandboxes", params={"property": "type==production"}).json()
    assert [item["name"] for item in found["sandboxes"]] == ["prod"]


def test_management_ignores_the_sandbox_header(client: httpx.Client) -> None:
    assert client.get(f"{BASE}/", headers={"x-sandbox-name": "nowhere"}).status_code == 200
