"""Sandboxes share nothing: what one holds, a call with another's header neither reads, nor writes, nor guesses."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest

from .conftest import new_sandbox
from .world import (
    CATALOG,
    CORE,
    DEFINITIONS,
    ENTITIES,
    EXPORT,
    FLOWS,
    FOUNDATION,
    HTTP_API,
    IMPORT,
    JOBS,
    LANDING_ZONE,
    LANDING_ZONE_FLOW,
    NAMESPACES,
    PARAMS,
    PROFILE_STORE,
    REGISTRY,
    SANDBOXES,
    STREAM_FLOW,
    STREAMING_SOURCE,
    Api,
    World,
    add,
    checked,
    schema_path,
    spec,
)

REGISTRY_LOOKUP = {"Accept": "application/vnd.adobe.xed+json; version=1"}
REFUSED = range(400, 500)


class Owner:
    """Sandbox A with one thing of every kind, and how each is addressed."""

    def __init__(self, world: World) -> None:
        self.world = world.fill()
        self.items: dict[str, str] = {}
        """Path of a thing → the service's name for it."""
        self.lists: dict[str, str] = {}
        """Path of a list → something that stands in it."""
        self._make_schemas()
        self._make_data()
        self._make_audiences()
        self._make_flows()

    def _make_schemas(self) -> None:
        world = self.world
        tenant = "_" + world.get(f"{FOUNDATION}/schemaregistry/stats")["tenantId"]
        group = world.post(
            f"{REGISTRY}/fieldgroups",
            {
                "title": "Group of A",
                "type": "object",
                "meta:intendedToExtend": ["https://ns.adobe.com/xdm/context/profile"],
                "definitions": {"f": {"properties": {tenant: {"type": "object", "properties": {"a": {"type": "string"}}}}}},
                "allOf": [{"$ref": "#/definitions/f"}],
            },
        )
        descriptor = world.post(
            f"{REGISTRY}/descriptors",
            {
                "@type": "xdm:descriptorIdentity",
                "xdm:sourceSchema": world.profile_schema,
                "xdm:sourceVersion": 1,
                "xdm:sourceProperty": "/personalEmail/address",
                "xdm:namespace": "Email",
                "xdm:property": "xdm:code",
                "xdm:isPrimary": False,
            },
        )
        self.group = str(group["$id"])
        self.items |= {
            schema_path(world.profile_schema): "schema",
            f"{REGISTRY}/schemas/{'_' + world.profile_schema.removeprefix('https://ns.adobe.com/').replace('/', '.')}": "schema",
            f"{REGISTRY}/fieldgroups/{quote(self.group, safe='')}": "field group",
            f"{REGISTRY}/descriptors/{descriptor['@id']}": "descriptor",
            f"{FOUNDATION}/schemaregistry/rpc/sampledata/{quote(world.profile_schema, safe='')}": "sample",
            f"{FOUNDATION}/schemaregistry/rpc/export/{quote(world.profile_schema, safe='')}": "export",
            f"{FOUNDATION}/schemaregistry/rpc/auditlog/{quote(world.profile_schema, safe='')}": "audit log",
        }
        [namespace] = [item for item in world.get(NAMESPACES) if item["custom"]]
        self.namespace = namespace
        self.items[f"{NAMESPACES}/{namespace['id']}"] = "namespace"
        self.lists |= {
            f"{REGISTRY}/schemas": world.profile_schema,
            f"{REGISTRY}/fieldgroups": self.group,
            f"{REGISTRY}/descriptors": str(descriptor["@id"]),
            NAMESPACES: f'"id":{namespace["id"]}',
        }

    def _make_data(self) -> None:
        world = self.world
        checked(world.send(world.customer("person-of-a", "a@example.com", person={"name": {"firstName": "Ada"}})))
        checked(world.send(world.event("event-of-a", "2026-01-01T00:00:00Z", "visit", "person-of-a")))
        checked(world.send(world.customer("wrong-of-a", person={"name": {"firstName": 5}})))
        made = world.post(f"{IMPORT}/batches", {"datasetId": world.profiles, "inputFormat": {"format": "json"}})
        self.batch = str(made["id"])
        self.upload = f"{IMPORT}/batches/{self.batch}/datasets/{world.profiles}/files/a.json"
        row = {"identityMap": {"CRMID": [{"id": "row-of-a", "primary": True}]}}
        octets = {"Content-Type": "application/octet-stream"}
        checked(world.call("PUT", self.upload, content=json.dumps(row).encode(), headers=octets))
        world.post(f"{IMPORT}/batches/{self.batch}", params={"action": "COMPLETE"})
        assert world.batch(self.batch)["status"] == "success"
        world.settle()
        self.file = str(world.get(f"{EXPORT}/batches/{self.batch}/files")["data"][0]["dataSetFileId"])
        self.open_batch = str(
            world.post(f"{IMPORT}/batches", {"datasetId": world.profiles, "inputFormat": {"format": "json"}})["id"]
        )
        [self.failed] = world.get(f"{CATALOG}/batches", status="failed")
        self.items |= {
            f"{CATALOG}/dataSets/{world.profiles}": "dataset",
            f"{CATALOG}/dataSets/{world.profiles}/views": "views",
            f"{CATALOG}/ttl/{world.profiles}": "expiration",
            f"{CATALOG}/batches/{self.batch}": "batch",
            f"{EXPORT}/batches/{self.batch}/files": "files of a batch",
            f"{EXPORT}/batches/{self.failed}/failed": "failed records",
            f"{EXPORT}/batches/{self.batch}/meta": "row errors",
            f"{EXPORT}/files/{self.file}": "file",
            f"{EXPORT}/datasets/{world.profiles}/preview": "rows",
            f"{IMPORT}/batches/{self.batch}/datasets/{world.profiles}/preview?format=json": "uploaded rows",
        }
        self.lists |= {
            f"{CATALOG}/dataSets": world.profiles,
            f"{CATALOG}/batches": self.batch,
            f"{CATALOG}/lastBatches": world.profiles,
            f"{CATALOG}/batches?dataSet={world.profiles}": self.batch,
        }

    def _make_audiences(self) -> None:
        world = self.world
        self.audience = str(world.audience("Audience of A", 'person.name.firstName = "Ada"')["id"])
        job = world.run_job("Audience of A")
        policy = world.post(
            f"{CORE}/ups/config/mergePolicies",
            {
                "name": "Policy of A",
                "schema": {"name": "_xdm.context.profile"},
                "identityGraph": {"type": "none"},
                "attributeMerge": {"type": "timestampOrdered"},
            },
        )
        [schedule] = world.get(f"{CORE}/ups/config/schedules")["children"]
        preview = world.post(
            f"{CORE}/ups/preview", {"predicateExpression": 'person.name.firstName = "Ada"', "predicateType": "pql/text"}
        )
        self.policy = str(policy["id"])
        self.items |= {
            f"{DEFINITIONS}/{self.audience}": "segment definition",
            f"{CORE}/ups/audiences/{self.audience}": "audience",
            f"/headrace/audiences/{self.audience}/evaluation": "evaluation",
            f"{JOBS}/{job['id']}": "segment job",
            f"{CORE}/ups/config/schedules/{schedule['id']}": "schedule",
            f"{CORE}/ups/config/mergePolicies/{self.policy}": "merge policy",
            f"{CORE}/ups/preview/{preview['previewId']}": "preview",
            f"{CORE}/ups/estimate/{preview['previewId']}": "estimate",
        }
        self.lists |= {
            DEFINITIONS: self.audience,
            f"{CORE}/ups/audiences": self.audience,
            JOBS: str(job["id"]),
            f"{CORE}/ups/config/schedules": str(schedule["id"]),
            f"{CORE}/ups/config/mergePolicies": self.policy,
        }

    def _make_flows(self) -> None:
        world = self.world
        auth = {"specName": "Bearer Token", "params": {"bearerToken": "token-of-a"}}
        self.flow = world.flow("Flow of A", HTTP_API, STREAM_FLOW, {"httpEndpoint": "http://127.0.0.1:9/a"}, auth)
        world.activate(self.flow, "Audience of A")
        flow = world.get(f"{FLOWS}/flows/{self.flow}")["items"][0]
        self.etag = str(flow["etag"])
        self.source, self.target = str(flow["sourceConnectionIds"][0]), str(flow["targetConnectionIds"][0])
        target = world.get(f"{FLOWS}/targetConnections/{self.target}")["items"][0]
        self.account = str(target["baseConnectionId"])
        connections = world.get(f"{FLOWS}/connections", property=f"connectionSpec.id=={STREAMING_SOURCE}")["items"]
        self.inlet_connection = str(connections[0]["id"])
        rows = [{"sourceType": "ATTRIBUTE", "source": "person.name.firstName", "destination": "first"}]
        mapping = world.post(f"{FOUNDATION}/conversion/mappingSets", {"xdmVersion": "1.0", "mappings": rows})
        self.mapping = str(mapping["id"])
        self.items |= {
            f"{FLOWS}/flows/{self.flow}": "dataflow",
            f"{FLOWS}/connections/{self.account}": "connection",
            f"{FLOWS}/connections/{self.account}/test": "connection test",
            f"{FLOWS}/connections/{self.inlet_connection}": "streaming connection",
            f"{FLOWS}/sourceConnections/{self.source}": "source connection",
            f"{FLOWS}/targetConnections/{self.target}": "target connection",
            f"{FOUNDATION}/conversion/mappingSets/{self.mapping}": "mapping set",
            f"{FOUNDATION}/conversion/mappingSets/{self.mapping}/mappings": "mappings",
        }
        self.lists |= {
            f"{FLOWS}/flows": self.flow,
            f"{FLOWS}/connections": self.account,
            f"{FLOWS}/sourceConnections": self.source,
            f"{FLOWS}/targetConnections": self.target,
            f"{FLOWS}/runs?property=flowId=={self.flow}": self.flow,
            f"{FOUNDATION}/conversion/mappingSets?limit=10&start=0": self.mapping,
        }

    def state(self) -> dict[str, str]:
        """Return everything of A as A sees it."""
        seen = {}
        for path in [*self.items, *self.lists]:
            if path.endswith("/test") or "/runs?" in path:  # the counters of a run follow its messages, whoever asks
                continue
            answer = self.world.call("GET", path, headers=accept_for(path))
            # The size of an audience is counted when it is asked for, and says so.
            seen[path] = re.sub(r'"metrics":.*?Epoch":\d+,"updateEpoch":\d+', "", answer.text)
        seen["profile"] = json.dumps(self.world.profile("person-of-a"), sort_keys=True)
        return seen


@pytest.fixture(scope="module")
def owner(api: Api) -> Owner:
    return Owner(new_sandbox(api))


@pytest.fixture(scope="module")
def stranger(api: Api) -> World:
    return new_sandbox(api).fill()


@pytest.fixture
def unchanged(owner: Owner) -> Iterator[None]:
    owner.world.settle()
    before = owner.state()
    yield
    owner.world.settle()
    after = owner.state()
    changed = {path: after[path] for path in before if before[path] != after[path]}
    assert changed == {}


def accept_for(path: str) -> dict[str, str]:
    is_lookup = "/tenant/schemas/" in path or "/tenant/fieldgroups/" in path
    return REGISTRY_LOOKUP if is_lookup else {}


def test_owner_reads_everything_that_is_tried_below(owner: Owner) -> None:
    for path, name in owner.items.items():
        if name == "connection test":
            continue
        answer = owner.world.call("GET", path, headers=accept_for(path))
        assert answer.status_code == 200, (name, path, answer.text)
    for path, known in owner.lists.items():
        if "runs" in path:
            continue
        answer = owner.world.call("GET", path)
        assert known in answer.text, path


def test_stranger_reads_nothing(owner: Owner, stranger: World) -> None:
    for sandbox in (stranger.sandbox, "prod"):
        for path, name in owner.items.items():
            for method in ("GET", "HEAD"):
                answer = owner.world.api.call(sandbox, method, path, headers=accept_for(path))
                assert answer.status_code in (404, 405, 400), (name, method, path, answer.status_code, answer.text)
        for path, known in owner.lists.items():
            answer = owner.world.api.call(sandbox, "GET", path)
            assert known not in answer.text, path


def test_stranger_learns_no_more_than_of_an_id_that_never_was(owner: Owner, stranger: World) -> None:
    """A thing of another sandbox and a thing that does not exist give the same answer but for the id."""
    for path, name in owner.items.items():
        secret = path.partition("?")[0].rstrip("/").split("/")
        position = next(index for index in range(len(secret) - 1, -1, -1) if len(secret[index]) > 16 or secret[index].isdigit())
        known = secret[position]
        invented = _another(known)
        foreign = stranger.call("GET", path, headers=accept_for(path))
        missing = stranger.call("GET", path.replace(known, invented), headers=accept_for(path))
        assert foreign.status_code == missing.status_code, (name, foreign.text, missing.text)
        assert _blank(foreign, known) == _blank(missing, invented), name


def _another(known: str) -> str:
    """Return an id of the same form."""
    if known.isdigit():
        return str(int(known) + 7_000_000)
    last = known[-1]
    return known[:-1] + ("0" if last != "0" else "1") if last.isalnum() else known[:-2] + "00"


def _blank(answer: httpx.Response, identifier: str) -> str:
    body = answer.text
    for text in (identifier, unquote(identifier), answer.headers["x-request-id"]):
        body = body.replace(text, "…")
    return "".join("0" if letter.isdigit() else letter for letter in body)


@pytest.mark.usefixtures("unchanged")
def test_stranger_changes_and_deletes_nothing(owner: Owner, stranger: World) -> None:
    world = owner.world
    row = [add("/title", "mine")]
    tries: list[tuple[str, str, Any]] = [
        ("PATCH", schema_path(world.profile_schema), row),
        ("PUT", schema_path(world.profile_schema), {"title": "x", "type": "object", "allOf": []}),
        ("DELETE", schema_path(world.profile_schema), None),
        ("PATCH", f"{REGISTRY}/fieldgroups/{quote(owner.group, safe='')}", row),
        ("DELETE", f"{REGISTRY}/fieldgroups/{quote(owner.group, safe='')}", None),
        ("DELETE", next(path for path in owner.items if "/descriptors/" in path), None),
        ("PUT", f"{NAMESPACES}/{owner.namespace['id']}", {"name": "x", "code": "CRMID", "idType": "CROSS_DEVICE"}),
        ("PATCH", f"{CATALOG}/dataSets/{world.profiles}", {"name": "mine"}),
        ("PATCH", f"{CATALOG}/v2/dataSets/{world.profiles}", {"name": "mine"}),
        ("DELETE", f"{CATALOG}/dataSets/{world.profiles}", None),
        ("PATCH", f"{CATALOG}/batches/{owner.batch}", {"status": "failed"}),
        ("DELETE", f"{CATALOG}/batches/{owner.batch}", None),
        ("POST", f"{IMPORT}/batches", {"datasetId": world.profiles, "inputFormat": {"format": "json"}}),
        ("POST", f"{IMPORT}/batches/{owner.open_batch}?action=ABORT", None),
        ("POST", f"{IMPORT}/batches/{owner.open_batch}?action=COMPLETE", None),
        ("POST", f"{IMPORT}/batches/{owner.batch}?action=REVERT", None),
        ("PATCH", f"{DEFINITIONS}/{owner.audience}", {"name": "mine"}),
        ("DELETE", f"{DEFINITIONS}/{owner.audience}", None),
        ("PATCH", f"{CORE}/ups/audiences/{owner.audience}", [add("/description", "mine")]),
        ("DELETE", f"{CORE}/ups/audiences/{owner.audience}", None),
        ("POST", JOBS, [{"segmentId": owner.audience}]),
        ("DELETE", next(path for path in owner.items if "/segment/jobs/" in path), None),
        ("PATCH", next(path for path in owner.items if "/schedules/" in path), [add("/state", "inactive")]),
        ("DELETE", next(path for path in owner.items if "/schedules/" in path), None),
        ("PATCH", f"{CORE}/ups/config/mergePolicies/{owner.policy}", [add("/name", "mine")]),
        ("DELETE", f"{CORE}/ups/config/mergePolicies/{owner.policy}", None),
        ("DELETE", next(path for path in owner.items if "/preview/" in path), None),
        ("DELETE", f"{FLOWS}/flows/{owner.flow}", None),
        ("POST", f"{FLOWS}/flows/{owner.flow}/action?op=disable", None),
        ("DELETE", f"{FLOWS}/connections/{owner.account}", None),
        ("DELETE", f"{FLOWS}/connections/{owner.inlet_connection}", None),
        ("DELETE", f"{FLOWS}/sourceConnections/{owner.source}", None),
        ("DELETE", f"{FLOWS}/targetConnections/{owner.target}", None),
        ("POST", f"{FLOWS}/runs", {"flowId": owner.flow}),
        ("DELETE", f"{FOUNDATION}/conversion/mappingSets/{owner.mapping}", None),
        ("PUT", f"{FOUNDATION}/conversion/mappingSets/{owner.mapping}", {"mappings": []}),
        ("POST", f"{CORE}/activation/disflowprovider/adhocrun", {"activationInfo": {owner.flow: [owner.audience]}}),
    ]
    for method, path, body in tries:
        answer = stranger.call(method, path, body)
        assert answer.status_code in REFUSED, (method, path, answer.status_code, answer.text)
    for kind, known in (("flows", owner.flow), ("connections", owner.account), ("targetConnections", owner.target)):
        answer = stranger.call("PATCH", f"{FLOWS}/{kind}/{known}", [add("/name", "mine")], headers={"If-Match": owner.etag})
        assert answer.status_code == 404, answer.text
        assert owner.etag not in answer.text
    octets = {"Content-Type": "application/octet-stream"}
    path = owner.upload.replace(owner.batch, owner.open_batch)
    assert stranger.call("PUT", path, content=b"{}", headers=octets).status_code == 404
    query = {"schema.name": "_xdm.context.profile", "entityId": "person-of-a", "entityIdNS": "CRMID"}
    stranger.call("DELETE", ENTITIES, params=query)


@pytest.mark.usefixtures("unchanged")
def test_stranger_builds_on_nothing_of_another_sandbox(owner: Owner, stranger: World) -> None:
    world = owner.world
    profile = "https://ns.adobe.com/xdm/context/profile"
    mine = stranger.audience("Mine", 'person.name.firstName = "Ada"')["id"]
    own_source = stranger.post(f"{FLOWS}/sourceConnections", {"name": "s", "connectionSpec": spec(PROFILE_STORE)})["id"]
    flow = {"name": "F", "flowSpec": spec(STREAM_FLOW)}
    place = {"name": "T", "connectionSpec": spec(HTTP_API), "params": {"httpEndpoint": "http://127.0.0.1:9"}}
    own_flow = stranger.flow("Own", HTTP_API, STREAM_FLOW, {"httpEndpoint": "http://127.0.0.1:9"})
    for path, body in (
        (f"{REGISTRY}/schemas", {"title": "B", "type": "object", "allOf": [{"$ref": profile}, {"$ref": owner.group}]}),
        (f"{CATALOG}/dataSets", {"name": "B", "schemaRef": {"id": world.profile_schema, "contentType": "x"}}),
        (DEFINITIONS, _definition(f'inSegment("{owner.audience}")')),
        (DEFINITIONS, {**_definition('person.name.firstName = "A"'), "mergePolicyId": owner.policy}),
        (f"{FLOWS}/targetConnections", {**place, "baseConnectionId": owner.account}),
        (f"{FLOWS}/flows", {**flow, "sourceConnectionIds": [own_source], "targetConnectionIds": [owner.target]}),
        (f"{FLOWS}/flows", {**flow, "sourceConnectionIds": [owner.source], "targetConnectionIds": [owner.target]}),
    ):
        answer = stranger.call("POST", path, body)
        assert answer.status_code in REFUSED, (path, body, answer.text)
    selector = {"type": "PLATFORM_SEGMENT", "value": {"id": owner.audience, "name": "x"}}
    answer = stranger.patch_flow(own_flow, [add(f"{PARAMS}/segmentSelectors/selectors/-", selector)])
    assert answer.status_code in REFUSED
    files = {"path": "out", "compression": "NONE", "fileType": "CSV"}
    own_files = stranger.flow("Files", LANDING_ZONE, LANDING_ZONE_FLOW, files)
    mapping = {"mappingId": owner.mapping, "mappingVersion": 0}
    assert stranger.patch_flow(own_files, [add(f"{PARAMS}/profileMapping", mapping)]).status_code in REFUSED
    found = stranger.post(f"{DEFINITIONS}/bulk-get", {"ids": [{"id": mine}, {"id": owner.audience}]})
    assert owner.audience not in json.dumps({key: value for key, value in found["results"].items() if key == mine})
    assert "Audience of A" not in json.dumps(found)


def _definition(pql: str) -> dict[str, Any]:
    expression = {"type": "PQL", "format": "pql/text", "value": pql}
    return {"name": "B", "expression": expression, "schema": {"name": "_xdm.context.profile"}}


@pytest.mark.usefixtures("unchanged")
def test_persons_of_one_sandbox_are_unknown_in_another(owner: Owner, stranger: World) -> None:
    xid = owner.world.get(f"{CORE}/identity/identity", namespace="Email", id="a@example.com")["xid"]
    query = {"schema.name": "_xdm.context.profile"}
    assert owner.world.get(ENTITIES, **query, entityId=xid)
    assert stranger.call("GET", ENTITIES, params={**query, "entityId": xid}).status_code == 404
    assert stranger.profile("a@example.com", "Email") is None
    events = {
        "schema.name": "_xdm.context.experienceevent",
        "relatedSchema.name": "_xdm.context.profile",
        "relatedEntityId": xid,
    }
    assert owner.world.get(ENTITIES, **events)["children"]
    assert stranger.get(ENTITIES, **events)["children"] == []
    many = {"schema": {"name": "_xdm.context.profile"}, "identities": [{"entityId": xid}]}
    answer = stranger.call("POST", ENTITIES, many)
    assert "Ada" not in answer.text
    members = stranger.get(f"{CORE}/identity/cluster/members", xid=xid)
    assert members["members"] == []
    graph = {"composite_xids": [{"ns": "Email", "id": "a@example.com"}], "projection_type": "set"}
    assert owner.world.post(f"{CORE}/identity/v2/graph", graph)["graphs"][0]["members"]
    assert stranger.post(f"{CORE}/identity/v2/graph", graph)["graphs"][0]["members"] == []


def test_same_identity_is_another_person_in_another_sandbox(api: Api, owner: Owner) -> None:
    other = new_sandbox(api).fill()
    checked(other.send(other.customer("person-of-a", "a@example.com", person={"name": {"firstName": "Bob"}})))
    other.settle()
    assert other.profile("a@example.com", "Email")["person"]["name"]["firstName"] == "Bob"
    assert owner.world.profile("a@example.com", "Email")["person"]["name"]["firstName"] == "Ada"
    other.audience("All", "person.name.firstName.isNotNull()")
    job = other.run_job("All")
    assert job["metrics"]["totalProfiles"] == 1
    assert other.membership("person-of-a", "All") == "realized"
    assert "Audience of A" not in json.dumps(other.profile("person-of-a"))


@pytest.mark.usefixtures("unchanged")
def test_inlet_takes_only_what_belongs_to_its_sandbox(owner: Owner, stranger: World) -> None:
    inlet = stranger.new_inlet("thief")
    message = owner.world.customer("thief", person={"name": {"firstName": "Eve"}})
    answer = stranger.api.http.post(inlet, json=message)
    assert answer.status_code == 400
    named = owner.world.api.http.post(owner.world.inlet, json=message, headers={"x-sandbox-name": stranger.sandbox})
    assert named.status_code == 400
    flowing = {**message, "header": {**message["header"], "flowId": owner.flow}}
    assert stranger.api.http.post(inlet, json=flowing).status_code == 400
    owner.world.settle()
    assert owner.world.profile("thief") is None
    assert stranger.call("GET", ENTITIES, params={"schema.name": "_xdm.context.profile", "entityId": "thief"}).status_code != 200


def test_sandbox_that_is_reset_forgets_everything(api: Api) -> None:
    world = new_sandbox(api).fill()
    checked(world.send(world.customer("person", "p@example.com", person={"name": {"firstName": "Ada"}})))
    world.settle()
    world.audience("Adas", 'person.name.firstName = "Ada"')
    assert world.profile("p@example.com", "Email") is not None
    old_inlet = world.inlet
    checked(world.call("PUT", f"{SANDBOXES}/sandboxes/{world.sandbox}", {"action": "reset"}))
    assert world.get(f"{CATALOG}/dataSets") == {}
    assert world.get(DEFINITIONS)["segments"] == []
    assert world.profile("p@example.com", "Email") is None
    assert api.http.post(old_inlet, json=world.customer("late")).status_code == 404
    assert [item for item in world.get(NAMESPACES) if item["custom"]] == []


def test_deleted_sandbox_answers_nobody(api: Api) -> None:
    world = new_sandbox(api).fill()
    checked(world.call("DELETE", f"{SANDBOXES}/sandboxes/{world.sandbox}"))
    assert world.call("GET", f"{CATALOG}/dataSets").status_code in REFUSED
    assert api.http.post(world.inlet, json=world.customer("late")).status_code in REFUSED
    shown = api.call("prod", "GET", f"{SANDBOXES}/").json()["sandboxes"]
    assert world.sandbox not in [item["name"] for item in shown]
