from typing import Any

import httpx
import pytest

from headrace.api.services import Services

from .registry import make_dataset, make_schema

POLICIES = "/data/core/ups/config/mergePolicies"
NONE = {"type": "none"}


def policy(name: str, **members: Any) -> dict[str, Any]:
    return {
        "name": name,
        "schema": {"name": "_xdm.context.profile"},
        "identityGraph": {"type": "pdg"},
        "attributeMerge": {"type": "timestampOrdered"},
        **members,
    }


def made(client: httpx.Client, name: str, **members: Any) -> dict[str, Any]:
    answer = client.post(POLICIES, json=policy(name, **members))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_every_sandbox_starts_with_a_default_policy(client: httpx.Client, headers: dict[str, str]) -> None:
    listed = client.get(POLICIES, params={"limit": 100}).json()
    [default] = listed["children"]
    assert default["name"] == "Default Timebased"
    assert default["default"] is True
    assert default["identityGraph"] == {"type": "pdg"}
    assert default["attributeMerge"] == {"type": "timestampOrdered"}
    assert default["schema"] == {"name": "_xdm.context.profile"}
    assert default["imsOrgId"] == headers["x-gw-ims-org-id"]
    assert default["sandbox"]["sandboxName"] == "prod"
    assert default["updateEpoch"] == 1_802_592_000
    assert listed["_links"]["next"]["href"] == ""
    assert client.get(POLICIES).json()["children"] == [default]


def test_policy_is_created_and_looked_up(client: httpx.Client) -> None:
    body = made(client, "Strict", identityGraph=NONE)
    assert (body["version"], body["default"], body["isActiveOnEdge"]) == (1, False, False)
    assert client.get(f"{POLICIES}/{body['id']}").json() == body


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"schema": None}, "/schema/name"),
        ({"schema": {"name": "Profile"}}, "/schema/name"),
        ({"identityGraph": {}}, "/identityGraph/type"),
        ({"identityGraph": {"type": "coop"}}, "/identityGraph/type"),
        ({"attributeMerge": None}, "/attributeMerge/type"),
        ({"attributeMerge": {"type": "datasetPrecedence", "order": []}}, "/attributeMerge/type"),
        ({"attributeMerge": {"type": "dataSetPrecedence"}}, "/attributeMerge/order"),
        ({"attributeMerge": {"type": "dataSetPrecedence", "order": []}}, "/attributeMerge/order"),
        ({"attributeMerge": {"type": "dataSetPrecedence", "order": ["66aa"]}}, "/attributeMerge/order/0"),
        ({"default": "perhaps"}, "/default"),
        ({"name": 5}, "/name"),
    ],
)
def test_policy_that_is_not_acceptable_names_the_member(client: httpx.Client, members: dict[str, Any], path: str) -> None:
    answer = client.post(POLICIES, json={**policy("Bad"), **members})
    assert answer.status_code == 400
    body = answer.json()
    assert body["headrace"]["path"] == path
    assert body["status"] == 400
    assert body["errors"]["400"][0]["code"].startswith("UPAPI-")


def test_precedence_names_datasets_enabled_for_profile(client: httpx.Client) -> None:
    record = make_dataset(client, "CRM", make_schema(client, "Customers"))
    event = make_dataset(client, "Web", make_schema(client, "Visits", is_event=True))
    off = make_dataset(client, "Off", make_schema(client, "Others"), is_profile_enabled=False)
    refused = client.post(POLICIES, json=policy("A", attributeMerge={"type": "dataSetPrecedence", "order": [off]}))
    assert refused.status_code == 400
    assert "not enabled for Profile" in refused.json()["title"]
    body = made(client, "B", attributeMerge={"type": "dataSetPrecedence", "order": [record, event, record]})
    assert body["attributeMerge"]["order"] == [record, event]
    assert "warnings" not in body
    body = made(client, "C", attributeMerge={"type": "dataSetPrecedence", "order": [record]})
    assert "no events" in body["warnings"][0]


def test_sandbox_has_at_most_five_policies_of_a_class(client: httpx.Client) -> None:
    for number in range(4):
        made(client, f"Policy {number}")
    answer = client.post(POLICIES, json=policy("Sixth"))
    assert answer.status_code == 400
    assert "5 are allowed" in answer.json()["title"]


def test_new_default_takes_the_place_of_the_former(client: httpx.Client, services: Services) -> None:
    moved: list[tuple[str, str]] = []
    services.policies.connect(default_moved=lambda _sandbox, old, new: moved.append((old, new)))
    former = client.get(POLICIES).json()["children"][0]
    body = made(client, "New", default=True)
    assert body["default"] is True
    assert client.get(f"{POLICIES}/{former['id']}").json()["default"] is False
    assert moved == [(former["id"], body["id"])]
    assert services.policies.default(services.sandboxes.default()).id == body["id"]


def test_class_always_has_a_default(client: httpx.Client) -> None:
    [default] = client.get(POLICIES).json()["children"]
    patch = [{"op": "add", "path": "/default", "value": "false"}]
    assert client.patch(f"{POLICIES}/{default['id']}", json=patch).status_code == 400


def test_one_policy_is_active_on_edge(client: httpx.Client) -> None:
    first = made(client, "One", isActiveOnEdge=True)
    second = made(client, "Two", isActiveOnEdge=True)
    assert client.get(f"{POLICIES}/{first['id']}").json()["isActiveOnEdge"] is False
    assert client.delete(f"{POLICIES}/{second['id']}").status_code == 400


@pytest.mark.parametrize(
    ("operation", "member", "value"),
    [
        ({"op": "add", "path": "/identityGraph.type", "value": "none"}, "identityGraph", NONE),
        ({"op": "replace", "path": "/identityGraph/type", "value": "none"}, "identityGraph", NONE),
        ({"op": "add", "path": "/name", "value": "Other"}, "name", "Other"),
        ({"op": "add", "path": "/isActiveOnEdge", "value": "true"}, "isActiveOnEdge", True),
        ({"op": "add", "path": "/idActiveOnEdge", "value": True}, "isActiveOnEdge", True),
        ({"op": "add", "path": "/version", "value": 9}, "version", 2),
    ],
)
@pytest.mark.parametrize("is_bare", [False, True])
def test_patch_as_array_or_as_one_bare_operation(
    client: httpx.Client, operation: dict[str, Any], member: str, value: Any, is_bare: bool
) -> None:
    body = made(client, "Policy")
    answer = client.patch(f"{POLICIES}/{body['id']}", json=operation if is_bare else [operation])
    assert answer.status_code == 200, answer.text
    assert answer.json()[member] == value
    assert answer.json()["version"] == 2


def test_patch_of_something_else_is_refused(client: httpx.Client) -> None:
    body = made(client, "Policy")
    answer = client.patch(f"{POLICIES}/{body['id']}", json=[{"op": "add", "path": "/imsOrgId", "value": "x"}])
    assert answer.status_code == 400
    assert answer.json()["headrace"]["path"] == "/0/path"


def test_put_replaces_and_ignores_read_only_members(client: httpx.Client) -> None:
    body = made(client, "Policy")
    answer = client.put(f"{POLICIES}/{body['id']}", json={**body, "name": "New", "version": 77, "imsOrgId": "x"})
    assert (answer.json()["name"], answer.json()["version"]) == ("New", 2)
    assert answer.json()["imsOrgId"] == body["imsOrgId"]


def test_delete_refuses_the_default_and_what_is_used(client: httpx.Client, services: Services) -> None:
    [default] = client.get(POLICIES).json()["children"]
    assert client.delete(f"{POLICIES}/{default['id']}").status_code == 400
    body = made(client, "Policy")
    services.policies.connect(users_of=lambda _sandbox, _policy_id: ["audience 'Buyers'"])
    refused = client.delete(f"{POLICIES}/{body['id']}")
    assert refused.status_code == 400
    assert "audience 'Buyers'" in refused.json()["title"]
    services.policies.connect(users_of=lambda _sandbox, _policy_id: ())
    gone = client.delete(f"{POLICIES}/{body['id']}")
    assert (gone.status_code, gone.content) == (200, b"")
    missing = client.get(f"{POLICIES}/{body['id']}")
    assert missing.status_code == 404
    assert missing.json()["errors"]["404"][0]["code"] == "UPAPI-113000-404"


def test_bulk_get_answers_207_also_for_unknown_ids(client: httpx.Client) -> None:
    body = made(client, "Policy")
    answer = client.post(f"{POLICIES}/bulk-get", json={"ids": [{"id": body["id"]}, {"id": "none"}]})
    assert answer.status_code == 207
    assert answer.json()["results"][body["id"]] == body
    assert answer.json()["results"]["none"]["statusCode"] == "404"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, "Alpha Beta Default"),
        ({"orderBy": "-name"}, "Default Beta Alpha"),
        ({"orderby": "+name"}, "Alpha Beta Default"),
        ({"default": "true"}, "Default"),
        ({"default": "False"}, "Alpha Beta"),
        ({"identityGraph.type": "none"}, "Alpha"),
        ({"version": "1", "attributeMerge.type": "timestampOrdered"}, "Alpha Beta Default"),
        ({"schema.name": "_xdm.context.account"}, ""),
        ({"limit": "1", "start": "1"}, "Beta"),
    ],
)
def test_policies_are_listed(client: httpx.Client, query: dict[str, str], names: str) -> None:
    made(client, "Alpha", identityGraph=NONE)
    made(client, "Beta")
    listed = client.get(POLICIES, params=query).json()
    assert [item["name"].split()[0] for item in listed["children"]] == names.split()
    assert listed["_page"]["pageSize"] == listed["_page"]["count"] == len(listed["children"])


def test_next_page_is_where_the_link_says(client: httpx.Client) -> None:
    made(client, "Alpha")
    first = client.get(POLICIES, params={"limit": 1}).json()
    path, _, query = first["_links"]["next"]["href"].partition("?")
    assert path == "@/mergePolicies"
    second = client.get(f"{POLICIES}?{query}").json()
    assert second["children"][0]["name"] == "Default Timebased"
    assert second["_links"]["next"]["href"] == ""
    assert client.get(POLICIES, params={"start": "?"}).status_code == 400
