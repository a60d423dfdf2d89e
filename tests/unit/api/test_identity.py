from typing import Any

import httpx
import pytest

from headrace.api.services import Services
from headrace.identity.clusters import Graph
from headrace.identity.graph import Link, Vertex
from headrace.identity.xid import encode_xid
from headrace.model import Identity

from .registry import make_dataset, make_schema

NAMESPACES = "/data/core/idnamespace/identities"
IDENTITY = "/data/core/identity"
LOYALTY = {"name": "Loyalty Member ID", "code": "Loyalty", "idType": "Cross_device", "description": "Card number"}


def test_standard_namespaces_are_listed(client: httpx.Client) -> None:
    listed = client.get(NAMESPACES).json()
    ids = {item["code"]: item["id"] for item in listed}
    assert (ids["ECID"], ids["Email"], ids["Phone"], ids["AdCloud"], ids["GAID"]) == (4, 6, 7, 411, 20914)
    assert all(item["custom"] is False and item["status"] == "ACTIVE" for item in listed)


def test_custom_namespace_is_created_with_200_and_a_high_number(client: httpx.Client) -> None:
    answer = client.post(NAMESPACES, json=LOYALTY)
    assert answer.status_code == 200
    body = answer.json()
    assert body["id"] >= 10_000_000
    assert body["idType"] == "CROSS_DEVICE"
    assert body["custom"] is True
    assert client.get(f"{NAMESPACES}/{body['id']}").json() == body
    second = client.post(NAMESPACES, json={**LOYALTY, "code": "B2B_1", "name": "Two"}).json()
    assert second["id"] == body["id"] + 1


@pytest.mark.parametrize("member", ["name", "code", "idType"])
def test_missing_member_is_refused(client: httpx.Client, member: str) -> None:
    answer = client.post(NAMESPACES, json={name: value for name, value in LOYALTY.items() if name != member})
    assert answer.status_code == 400
    body = answer.json()
    assert body["title"] == "Namespace validation"
    assert body["type"] == "http://ns.adobe.com/adobecloud/problem/namespacevalidation"
    assert body["report"] == {"code": "INVALID_REQUEST_PARAMS"}
    assert "error" not in body
    assert member in body["description"]


@pytest.mark.parametrize("code", ["two words", "a-b", ""])
def test_code_is_one_word(client: httpx.Client, code: str) -> None:
    assert client.post(NAMESPACES, json={**LOYALTY, "code": code}).status_code == 400


@pytest.mark.parametrize("code", ["Loyalty", "LOYALTY", "email"])
def test_code_is_unique_ignoring_case(client: httpx.Client, code: str) -> None:
    client.post(NAMESPACES, json=LOYALTY)
    answer = client.post(NAMESPACES, json={**LOYALTY, "code": code, "name": "Another"})
    assert answer.status_code == 409
    body = answer.json()
    assert body["title"] == "NAMESPACE_CODE_CONFLICT"
    assert body["report"]["code"] == "INTEGRATION_CODE_EXISTS"
    assert body["description"] == "Namespace code already exists. Please use a different code"


def test_display_name_is_unique(client: httpx.Client) -> None:
    client.post(NAMESPACES, json=LOYALTY)
    assert client.post(NAMESPACES, json={**LOYALTY, "code": "Other"}).status_code == 409


@pytest.mark.parametrize("number", ["12345678", "abc"])
def test_unknown_namespace_is_404(client: httpx.Client, number: str) -> None:
    answer = client.get(f"{NAMESPACES}/{number}")
    assert answer.status_code == 404
    assert answer.json()["error"] == "NAMESPACE_NOT_FOUND"
    assert answer.json()["report"]["code"] == "NAMESPACE_NOT_FOUND"
    assert "Namespace id not found for given IMS Org" in answer.json()["description"]


def test_update_replaces_name_and_description_and_answers_an_array(client: httpx.Client) -> None:
    made = client.post(NAMESPACES, json=LOYALTY).json()
    changed = {"name": "Card", "code": "Loyalty", "idType": "CROSS_DEVICE"}
    answer = client.put(f"{NAMESPACES}/{made['id']}", json=changed)
    assert answer.status_code == 200
    [body] = answer.json()
    assert (body["name"], body["description"], body["code"]) == ("Card", "", "Loyalty")


@pytest.mark.parametrize("change", [{"code": "Other"}, {"idType": "EMAIL"}])
def test_code_and_type_never_change(client: httpx.Client, change: dict[str, str]) -> None:
    made = client.post(NAMESPACES, json=LOYALTY).json()
    answer = client.put(f"{NAMESPACES}/{made['id']}", json={**LOYALTY, **change})
    assert answer.status_code == 400
    assert answer.json()["error"] == "INVALID_REQUEST_PARAMS"
    assert answer.json()["description"] == "code and idType are non editable fields"


def test_namespaces_of_the_organisation(client: httpx.Client, headers: dict[str, str]) -> None:
    own = client.get(f"/data/core/idnamespace/orgs/{headers['x-gw-ims-org-id']}/identities").json()
    assert own == client.get(NAMESPACES).json()
    assert client.get("/data/core/idnamespace/orgs/FF@AdobeOrg/identities").json() == []


def test_namespaces_do_not_delete(client: httpx.Client) -> None:
    assert client.delete(f"{NAMESPACES}/6").status_code == 405


def test_xid_exists_for_pairs_never_seen(client: httpx.Client) -> None:
    by_code = client.get(f"{IDENTITY}/identity", params={"namespace": "email", "id": " Ada@Example.com"}).json()
    assert by_code == {"xid": encode_xid(6, "ada@example.com")}
    assert client.get(f"{IDENTITY}/identity", params={"nsid": "6", "id": "ada@example.com"}).json() == by_code


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"id": "a"}, "Missing required query parameter - namespace"),
        ({"namespace": "Email"}, "Missing required query parameter - id"),
        ({"namespace": "None", "id": "a"}, "The provided namespace=None and id=a is invalid."),
    ],
)
def test_xid_of_an_incomplete_pair_is_refused(client: httpx.Client, query: dict[str, str], detail: str) -> None:
    answer = client.get(f"{IDENTITY}/identity", params=query)
    assert answer.status_code == 400
    assert answer.json()["title"] == "InvalidInput"
    assert answer.json()["detail"].startswith(detail)
    assert answer.json()["description"] == answer.json()["detail"]


ADA = Identity(6, "ada@example.com", "Ada@example.com")
CARD = Identity(10_000_000, "A-77")


@pytest.fixture
def graph(client: httpx.Client, services: Services) -> str:
    """The graph of ``Ada@example.com`` and card ``A-77``; returns the id of the dataset that linked them."""
    client.post(NAMESPACES, json=LOYALTY)
    dataset_id = make_dataset(client, "CRM", make_schema(client, "Customers"))
    sandbox = services.sandboxes.default()
    number = services.catalog.dataset(sandbox, dataset_id).number
    vertices = [Vertex(ADA, 1000, 5000), Vertex(CARD, 1000, 4000)]
    stitched = Graph(vertices, [Link(0, 1, {number: (1000, 4000)}, ["b1"])])
    known: dict[Any, Graph] = services.graphs.known  # type: ignore[attr-defined]
    for vertex in vertices:
        known[sandbox.number, *vertex.identity.key] = stitched
    alone = Identity(6, "alone@example.com")
    known[sandbox.number, *alone.key] = Graph([Vertex(alone, 1, 1)], [])
    return dataset_id


def ask(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post(f"{IDENTITY}/v2/graph", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json;version=2.2.1;charset=utf-8"
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.usefixtures("graph")
def test_graph_as_a_set_of_members(client: httpx.Client) -> None:
    pair = {"ns": "email", "id": "ADA@example.com"}
    found = ask(client, composite_xids=[pair], projection_type="set")
    assert found == {
        "version": "2.0",
        "graphs": [
            {
                "composite_xid": pair,
                "members": [{"ns": "Email", "id": "Ada@example.com"}, {"ns": "Loyalty", "id": "A-77"}],
            }
        ],
        "unprocessed_composite_xids": [],
        "algo_type": "STITCH_ALL",
    }


def test_graph_with_edges(client: httpx.Client, graph: str) -> None:
    pair = {"nsid": 10_000_000, "id": "A-77"}
    body = {"composite_xid": [pair], "projection_type": "graph", "require_edge_meta_data": True}
    [entry] = ask(client, **body)["graphs"]
    assert entry["vertices"] == [
        {"composite_xid": {"nsid": 6, "id": "Ada@example.com"}, "last_updated_ts": 5000},
        {"composite_xid": {"nsid": 10_000_000, "id": "A-77"}, "last_updated_ts": 4000},
    ]
    assert entry["edges"] == [
        {
            "composite_xid_pair": [{"nsid": 6, "id": "Ada@example.com"}, {"nsid": 10_000_000, "id": "A-77"}],
            "first_established_ts": 1000,
            "last_established_ts": 4000,
            "dataset_ids": [graph],
            "batch_ids": ["b1"],
        }
    ]


@pytest.mark.usefixtures("graph")
def test_graph_by_xid_answers_in_xids(client: httpx.Client) -> None:
    xids = [encode_xid(*ADA.key), encode_xid(*CARD.key)]
    found = ask(client, xids=[xids[0]], projection_type="graph")
    [entry] = found["graphs"]
    assert entry["xid"] == xids[0]
    assert [vertex["xid"] for vertex in entry["vertices"]] == xids
    assert entry["edges"][0]["xid_pair"] == xids
    assert "dataset_ids" not in entry["edges"][0]
    assert found["unprocessed_xids"] == found["unprocessed_composite_xids"] == []


@pytest.mark.usefixtures("graph")
def test_unknown_and_unlinked_identities_have_empty_graphs(client: httpx.Client) -> None:
    pairs = [{"ns": "Email", "id": value} for value in ("nobody@example.com", "alone@example.com")]
    pairs.append({"ns": "NoSuch", "id": "x"})
    found = ask(client, composite_xids=pairs, projection_type="set")
    assert [entry["members"] for entry in found["graphs"]] == [[], []]
    assert found["unprocessed_composite_xids"] == [{"ns": "NoSuch", "id": "x"}]


@pytest.mark.usefixtures("graph")
def test_graph_type_none_does_not_stitch(client: httpx.Client) -> None:
    pair = {"ns": "Email", "id": "ada@example.com"}
    [entry] = ask(client, composite_xids=[pair], projection_type="set", graph_type="None")["graphs"]
    assert entry["members"] == [{"ns": "Email", "id": "Ada@example.com"}]


@pytest.mark.usefixtures("graph")
def test_graph_filter_keeps_namespaces(client: httpx.Client) -> None:
    pair = {"ns": "Email", "id": "ada@example.com"}
    predicate = {"predicate": [{"v_prop": "ns", "op": "in", "value": ["loyalty"]}]}
    [entry] = ask(client, composite_xids=[pair], projection_type="set", filter=[predicate])["graphs"]
    assert entry["members"] == [{"ns": "Loyalty", "id": "A-77"}]


@pytest.mark.parametrize(
    "body",
    [
        {"composite_xids": [{"ns": "Email", "id": "a"}]},
        {"composite_xids": [{"ns": "Email", "id": "a"}], "projection_type": "tree"},
        {"projection_type": "set"},
        {"composite_xids": [], "projection_type": "set"},
        {"composite_xids": [{"ns": "Email", "id": "a"}] * 1001, "projection_type": "set"},
        {
            "composite_xids": [{"ns": "Email", "id": "a"}],
            "projection_type": "graph",
            "aam_properties": {"return_data_sources": True},
        },
        {"composite_xids": [{"ns": "Email", "id": "a"}], "projection_type": "set", "traverse": [{"predicate": []}]},
        {"composite_xids": [{"ns": "Email", "id": "a"}], "projection_type": "set", "filter": [{"limit": 5}]},
        {
            "composite_xids": [{"ns": "Email", "id": "a"}],
            "projection_type": "set",
            "filter": [{"predicate": [{"v_prop": "id", "op": "eq", "value": "x"}]}],
        },
    ],
)
def test_malformed_graph_request_has_its_own_shape(client: httpx.Client, body: dict[str, Any]) -> None:
    answer = client.post(f"{IDENTITY}/v2/graph", json=body, headers={"x-request-id": "r-9"})
    assert answer.status_code == 400
    assert answer.json()["reason"] == "Validation error Request id: r-9"
    assert answer.json()["message"].startswith("Graph Request Invalid - ")


@pytest.mark.usefixtures("graph")
def test_members_of_one_cluster(client: httpx.Client) -> None:
    found = client.get(f"{IDENTITY}/cluster/members", params={"nsId": "6", "id": "ada@example.com"}).json()
    assert found["compositeXid"] == {"nsid": 6, "id": "ada@example.com"}
    assert found["members"] == [{"nsid": 6, "id": "Ada@example.com"}, {"nsid": 10_000_000, "id": "A-77"}]
    by_xid = client.get(f"{IDENTITY}/cluster/members", params={"xid": f"6|{ADA.value}"}).json()
    assert by_xid["members"] == [encode_xid(*ADA.key), encode_xid(*CARD.key)]


@pytest.mark.usefixtures("graph")
def test_members_of_many_clusters(client: httpx.Client) -> None:
    parts = [
        {"xids": [{"xid": encode_xid(*CARD.key)}], "compositeXids": [{"nsid": 6, "id": "ignored"}]},
        {"compositeXidsWithNamespace": [{"namespace": "Email", "id": "nobody@example.com"}, {"namespace": "No", "id": "x"}]},
    ]
    found = client.post(f"{IDENTITY}/clusters/members", json=parts).json()
    assert [cluster["members"] for cluster in found["clusters"]] == [[encode_xid(*ADA.key), encode_xid(*CARD.key)], []]
    assert found["unprocessedRecords"] == [{"namespace": "No", "id": "x"}]


def test_cluster_of_nothing_is_refused(client: httpx.Client) -> None:
    answer = client.get(f"{IDENTITY}/cluster/members", params={"id": "a"})
    assert answer.json()["detail"] == "Missing required query parameter - xid or (nsid,id)"
    answer = client.get(f"{IDENTITY}/cluster/members", params={"xid": "6|a", "graph-type": "abc"})
    assert answer.json()["detail"] == "The graph-type abc specified is invalid. Please provide a valid graph-type"
    answer = client.post(f"{IDENTITY}/clusters/members", json={"xids": ["6|a"] * 1001})
    assert answer.json()["detail"] == "There is a limit of 1000 XIDs in a single call"
    assert client.post(f"{IDENTITY}/clusters/members", json={}).status_code == 400


@pytest.mark.usefixtures("graph")
def test_mapping_to_another_namespace(client: httpx.Client) -> None:
    query = {"namespace": "Email", "nsid": "411", "id": "ada@example.com", "targetNs": "10000000"}
    [mapping] = client.get(f"{IDENTITY}/mapping", params=query).json()["mappings"]
    assert mapping["mapping"] == [{"compositeXid": {"namespace": "Loyalty", "id": "A-77"}, "lastAssociationTime": "4000"}]
    nothing = client.get(f"{IDENTITY}/mapping", params={**query, "targetNs": "411"})
    assert nothing.status_code == 204
    many = client.post(
        f"{IDENTITY}/mapping", json=[{"xid": [{"xid": encode_xid(*ADA.key)}], "version": 1.0, "targetNs": 10_000_000}]
    )
    assert many.json()["mappings"][0]["mapping"] == [{"xid": encode_xid(*CARD.key), "lastAssociationTime": "4000"}]
