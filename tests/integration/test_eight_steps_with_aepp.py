"""The eight steps, from an empty sandbox to delivered messages and files, taken by the public Python client as it is."""

import csv
import gc
import gzip
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import httpx
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from moto.server import ThreadedMotoServer

from headrace.testing.receiver import Receiver
from headrace.testing.sftp_server import SftpServer, asyncssh_server

from .world import (
    AMAZON_S3,
    CONTACT,
    EVENT_CLASS,
    HTTP_API,
    IDENTITY_MAP,
    LANDING_ZONE,
    LANDING_ZONE_FLOW,
    PARAMS,
    PERSON,
    PROFILE_CLASS,
    PROFILE_STORE,
    S3_FLOW,
    SFTP,
    SFTP_FLOW,
    STREAM_FLOW,
    Api,
    World,
    add,
    reference_to,
    spec,
    status_of,
    until,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    aepp = pytest.importorskip("aepp")
    catalog = pytest.importorskip("aepp.catalog")
    customerprofile = pytest.importorskip("aepp.customerprofile")
    dataaccess = pytest.importorskip("aepp.dataaccess")
    dataprep = pytest.importorskip("aepp.dataprep")
    destinationinstance = pytest.importorskip("aepp.destinationinstanceservice")
    flowservice = pytest.importorskip("aepp.flowservice")
    identity = pytest.importorskip("aepp.identity")
    ingestion = pytest.importorskip("aepp.ingestion")
    sandboxes = pytest.importorskip("aepp.sandboxes")
    schema = pytest.importorskip("aepp.schema")
    segmentation = pytest.importorskip("aepp.segmentation")

pytestmark = pytest.mark.filterwarnings("ignore")  # the client's own

Client = Any
SELECTORS = f"{PARAMS}/segmentSelectors/selectors/-"


class Clients:
    """One client of every service, in one sandbox."""

    def __init__(self, api: Api, sandbox: str) -> None:
        self.organization_id = api.organization_id
        self.sandboxes: Client = sandboxes.Sandboxes()
        self.schemas: Client = schema.Schema()
        self.catalog: Client = catalog.Catalog()
        self.identity: Client = identity.Identity(region="va7")
        self.identity.endpoint = f"{api.server.url}/data/core"
        self.flows: Client = flowservice.FlowService()
        self.ingestion: Client = ingestion.DataIngestion()
        self.profiles: Client = customerprofile.Profile()
        self.segments: Client = segmentation.Segmentation()
        self.prep: Client = dataprep.DataPrep()
        self.access: Client = dataaccess.DataAccess()


@pytest.fixture
def configured(api: Api, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    url = api.server.url
    aepp.configure(
        org_id=api.organization_id,
        client_id=api.credentials.client_id,
        secret=api.credentials.client_secret,
        scopes="openid,AdobeID",
        sandbox=world.sandbox,
        retry=0,
    )
    monkeypatch.setitem(aepp.config.endpoints, "global", url)
    monkeypatch.setitem(aepp.config.endpoints["streaming"], "collection", url)
    monkeypatch.setitem(aepp.config.config_object, "oauthTokenEndpointV2", f"{url}/ims/token/v3")
    yield Clients(api, world.sandbox)
    gc.collect()  # the client leaves its connections to the collector, which would complain in another test


class Steps:
    """The first five steps taken: schemas, identities, datasets and an inlet."""

    def __init__(self, clients: Clients, world: World) -> None:
        self.clients, self.world = clients, world
        self.tenant = clients.schemas.getTenantId()
        clients.identity.createIdentity("Customer number", "CRMID", "CROSS_DEVICE")
        self.group = clients.schemas.createFieldGroup(
            {
                "title": "Loan",
                "type": "object",
                "meta:intendedToExtend": [PROFILE_CLASS, EVENT_CLASS],
                "definitions": {
                    "customFields": {
                        "type": "object",
                        "properties": {
                            f"_{self.tenant}": {
                                "type": "object",
                                "properties": {
                                    "crmId": {"type": "string", "title": "Customer number"},
                                    "amount": {"type": "number", "title": "Amount"},
                                },
                            }
                        },
                    }
                },
                "allOf": [{"$ref": "#/definitions/customFields", "type": "object", "meta:xdmType": "object"}],
            }
        )
        made = clients.schemas.createProfileSchema("Customers", fieldGroupIds=[IDENTITY_MAP, PERSON, CONTACT, self.group["$id"]])
        self.profile_schema = made["$id"]
        self.event_schema = clients.schemas.createExperienceEventSchema("Behaviour", fieldGroupIds=[self.group["$id"]])["$id"]
        for path, namespace, is_primary in ((f"_{self.tenant}.crmId", "CRMID", True), ("personalEmail.address", "Email", False)):
            descriptor = clients.schemas.createDescriptorOperation(
                descType="xdm:descriptorIdentity",
                completePath=path,
                identityNSCode=namespace,
                identityPrimary=is_primary,
                sourceSchema=self.profile_schema,
            )
            assert "@id" in clients.schemas.createDescriptor(descriptor)
        for schema_id in (self.profile_schema, self.event_schema):
            assert clients.schemas.enableSchemaForRealTime(schema_id)["meta:immutableTags"] == ["union"]
        self.customers = self._dataset("Customers", self.profile_schema)
        self.events = self._dataset("Behaviour", self.event_schema)
        connection = clients.flows.createConnectionStreaming(name="Shop", sourceId="shop", paramName="shop")
        params = clients.flows.getConnection(connection["id"])["auth"]["params"]
        self.inlet, self.inlet_url, self.connection = params["inletId"], params["inletUrl"], connection["id"]

    def _dataset(self, name: str, schema_id: str) -> str:
        [reference] = self.clients.catalog.createDataSet(name=name, schemaId=schema_id, profileEnabled=True, identityEnabled=True)
        return str(reference).removeprefix("@/dataSets/")

    def _message(self, schema_id: str, dataset_id: str, entity: dict[str, Any]) -> dict[str, Any]:
        header = {
            "schemaRef": reference_to(schema_id),
            "imsOrgId": self.clients.organization_id,
            "datasetId": dataset_id,
            "source": {"name": "shop"},
        }
        return {"header": header, "body": {"xdmMeta": {"schemaRef": header["schemaRef"]}, "xdmEntity": entity}}

    def customer_row(self, number: str, name: str) -> dict[str, Any]:
        return {
            f"_{self.tenant}": {"crmId": number},
            "person": {"name": {"firstName": name}},
            "personalEmail": {"address": f"{number}@example.com"},
        }

    def customer(self, number: str, name: str) -> dict[str, Any]:
        return self._message(self.profile_schema, self.customers, self.customer_row(number, name))

    def event(self, event_id: str, number: str, kind: str, amount: float) -> dict[str, Any]:
        entity = {
            "_id": event_id,
            "timestamp": "2026-11-01T10:00:00Z",
            "eventType": kind,
            "identityMap": {"CRMID": [{"id": number, "primary": True}], "ECID": [{"id": number[-1] * 38}]},
            f"_{self.tenant}": {"amount": amount},
        }
        return self._message(self.event_schema, self.events, entity)

    def audience(self, name: str, pql: str) -> dict[str, Any]:
        made: dict[str, Any] = self.clients.segments.createSegment(
            {
                "name": name,
                "description": name,
                "ttlInDays": 30,
                "expression": {"type": "PQL", "format": "pql/text", "value": pql},
                "schema": {"name": "_xdm.context.profile"},
            }
        )
        return made

    def flow(
        self, name: str, spec_id: str, flow_spec: str, params: dict[str, Any], auth: dict[str, Any] | None
    ) -> dict[str, Any]:
        flows = self.clients.flows
        source = flows.createSourceConnection(
            {"name": f"{name} source", "connectionSpec": spec(PROFILE_STORE), "data": {"format": "json"}, "params": {}}
        )
        account = flows.createConnection(
            {"name": f"{name} account", "connectionSpec": spec(spec_id), **({"auth": auth} if auth else {})}
        )
        target = flows.createTargetConnection(
            data={
                "name": f"{name} target",
                "baseConnectionId": account["id"],
                "connectionSpec": spec(spec_id),
                "data": {"format": "json"},
                "params": params,
            }
        )
        made: dict[str, Any] = flows.createFlow(
            flow_spec,
            obj={
                "name": name,
                "flowSpec": spec(flow_spec),
                "sourceConnectionIds": [source["id"]],
                "targetConnectionIds": [target["id"]],
                "transformations": [],
            },
        )
        assert flows.connectionTest(account["id"])["result"] is True
        return made

    def patched(self, flow: dict[str, Any], *operations: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.clients.flows.updateFlow(flow["id"], flow["etag"], list(operations))
        assert answer.keys() >= {"id", "etag"}, answer
        return answer

    def file_flow(self, name: str, spec_id: str, flow_spec: str, params: dict[str, Any], auth: Any, audience: Any) -> Any:
        """Make a dataflow of files with an audience, three columns and a daily schedule."""
        flow = self.flow(name, spec_id, flow_spec, {"mode": "Server-to-server", **params}, auth)
        mapping = self.clients.prep.createMappingSet(
            mappingSet={
                "xdmVersion": "1.0",
                "mappings": [
                    {"sourceType": "ATTRIBUTE", "source": source, "destination": column}
                    for column, source in (
                        ("customer", f"_{self.tenant}.crmId"),
                        ("first", "person.name.firstName"),
                        ("email", "personalEmail.address"),
                    )
                ],
            }
        )
        value = {
            "id": audience["id"],
            "name": audience["name"],
            "filenameTemplate": "%SEGMENT_NAME%_%DATETIME(YYYYMMdd_HHmmss)%",
            "exportMode": "DAILY_FULL_EXPORT",
            "schedule": {"frequency": "DAILY", "triggerType": "SCHEDULED", "startDate": "2020-01-01", "startTime": "04:00"},
        }
        return self.patched(
            flow,
            add(SELECTORS, {"type": "PLATFORM_SEGMENT", "value": value}),
            add(f"{PARAMS}/profileMapping", {"mappingId": mapping["id"], "mappingVersion": 0}),
        )

    def exported(self, flow: dict[str, Any], audience: dict[str, Any]) -> Any:
        """Export now and return the run that has ended."""
        self.world.begin_export(flow["id"], audience["id"])
        return until(lambda: self.clients.flows.getRuns(prop=[f"flowId=={flow['id']}"]), _has_ended)[0]


def _has_ended(runs: list[Any]) -> bool:
    return bool(runs) and status_of(runs[0]) in ("success", "failed", "partial_success")


@pytest.fixture
def steps(configured: Clients, world: World) -> Steps:
    return Steps(configured, world)


# --- steps 1 to 5 -------------------------------------------------------------------------------------------------------------


def test_sandboxes_are_listed_and_made(configured: Clients, world: World) -> None:
    names = {item["name"] for item in configured.sandboxes.getSandboxes()}
    assert {"prod", world.sandbox} <= names
    assert configured.sandboxes.getSandbox("prod")["isDefault"] is True
    assert configured.sandboxes.getSandbox(world.sandbox)["state"] == "active"


def test_schemas_are_read_in_every_form(steps: Steps) -> None:
    schemas = steps.clients.schemas
    assert steps.profile_schema in {item["$id"] for item in schemas.getSchemas()}
    raw = schemas.getSchema(steps.profile_schema, full=False, schema_type="xed")
    assert {"$ref": PERSON} in [{"$ref": item["$ref"]} for item in raw["allOf"]]
    full = schemas.getSchema(steps.profile_schema, full=True, schema_type="xed")
    assert full["properties"]["person"]["properties"]["name"]["properties"]["firstName"]["type"] == "string"
    assert full["properties"][f"_{steps.tenant}"]["properties"]["crmId"]["title"] == "Customer number"
    flat = schemas.getSchema(steps.profile_schema, full=True, flat=True, schema_type="xed")
    assert "person.name.firstName" in flat["properties"]
    assert len(schemas.getDescriptors(prop=f"xdm:sourceSchema=={steps.profile_schema}")) == 2
    assert [item["$id"] for item in schemas.getXDMprofileSchema()["results"]] == [steps.profile_schema]
    union = schemas.getUnion("https://ns.adobe.com/xdm/context/profile__union")
    assert f"_{steps.tenant}" in union["properties"]
    assert "xdm:segmentMembership" in union["properties"]  # the client asks for the standard spelling


def test_datasets_carry_their_tags(steps: Steps) -> None:
    info = steps.clients.catalog.getDataSet(steps.customers)[steps.customers]
    assert "enabled:true" in info["tags"]["unifiedProfile"]
    assert info["tags"]["unifiedIdentity"] == ["enabled:true"]
    assert set(steps.clients.catalog.getDataSets()) == {steps.customers, steps.events}


def test_namespaces_are_standard_and_custom(steps: Steps) -> None:
    found = {item["code"]: item["custom"] for item in steps.clients.identity.getIdentities()}
    assert found["Email"] is False
    assert found["ECID"] is False
    assert found["CRMID"] is True


# --- step 6: ingestion ----------------------------------------------------------------------------------------------------------


def test_records_and_events_are_streamed_and_looked_up_by_any_identity(steps: Steps) -> None:
    clients = steps.clients
    assert steps.inlet_url.endswith(f"/collection/{steps.inlet}")
    sent = clients.ingestion.streamMessage(steps.inlet, steps.customer("c-1", "Ada"), syncValidation=True)
    assert sent["syncValidation"] == {"status": "pass"}
    many = clients.ingestion.streamMessages(steps.inlet, [steps.event(f"e-{n}", "c-1", "loan.begin", n) for n in range(5)])
    assert ["xactionId" in response for response in many["responses"]] == [True] * 5
    refused = clients.ingestion.streamMessage(
        steps.inlet, steps._message(steps.profile_schema, steps.customers, {"nothing": 1}), syncValidation=True
    )
    assert refused["status"] == 400
    assert refused["report"]["cause"]["_streamingValidation"]
    steps.world.settle()
    for value, namespace in (("c-1", "CRMID"), ("c-1@example.com", "Email"), ("1" * 38, "ECID")):
        [entity] = clients.profiles.getEntity(entityId=value, entityIdNS=namespace).values()
        assert entity["entity"]["person"]["name"]["firstName"] == "Ada"
        assert {"crmid", "email", "ecid"} == {code.lower() for code in entity["entity"]["identityMap"]}
    xid = clients.identity.getIdentity("c-1@example.com", namespace="Email")["xid"]
    assert xid in clients.profiles.getEntity(entityId=xid)
    events = clients.profiles.getEntityEvents(entityId="c-1", entityIdNS="CRMID", limit=2)
    assert [event["entityId"] for event in events] == [f"e-{n}" for n in range(5)]
    linked = clients.identity.getLinkedIdentities([{"ns": "Email", "id": "c-1@example.com"}])
    assert len(linked["graphs"][0]["members"]) == 3
    [policy] = clients.profiles.getMergePolicies()
    assert (policy["default"], policy["identityGraph"]["type"]) == (True, "pdg")


@pytest.mark.parametrize("file_format", ["json", "parquet"])
def test_batches_are_uploaded_and_reach_profile_and_lake(steps: Steps, file_format: str) -> None:
    clients = steps.clients
    rows = [steps.customer_row(f"b-{number}", "Bob") for number in range(3)]
    if file_format == "json":
        made = clients.ingestion.createBatch(steps.customers, multiline=True)
        assert "error" not in clients.ingestion.uploadSmallFile(made["id"], steps.customers, "rows.json", rows)
    else:
        # The client writes JSON into every upload; a Parquet file goes by its own call.
        made = clients.ingestion.createBatch(steps.customers, format="parquet")
        sink = arrow.BufferOutputStream()
        parquet.write_table(arrow.Table.from_pylist(rows), sink)
        path = f"{clients.ingestion.endpoint}/batches/{made['id']}/datasets/{steps.customers}/files/rows.parquet"
        headers = {**clients.ingestion.header, "Content-Type": "application/octet-stream"}
        assert httpx.put(path, content=sink.getvalue().to_pybytes(), headers=headers).status_code in (200, 201)
    assert made["status"] == "loading"
    assert clients.ingestion.uploadSmallFileFinish(made["id"])["status"] != "failed"
    batch = steps.world.batch(made["id"])
    assert batch["status"] == "success"
    assert batch["metrics"]["outputRecordCount"] == 3
    steps.world.settle()
    assert clients.catalog.getBatch(made["id"])[made["id"]]["status"] == "success"
    [entity] = clients.profiles.getEntity(entityId="b-2@example.com", entityIdNS="Email").values()
    assert entity["entity"]["person"]["name"]["firstName"] == "Bob"
    [file] = clients.access.getBatchFiles(made["id"])
    assert file["records"] == "3"
    assert len(clients.access.getPreview(steps.customers)) == 3


# --- step 7: audiences ----------------------------------------------------------------------------------------------------------


def test_system_decides_how_an_audience_is_evaluated(steps: Steps) -> None:
    clients = steps.clients
    streaming = steps.audience("Adas", 'person.name.firstName = "Ada"')
    assert streaming["evaluationInfo"]["continuous"]["enabled"] is True
    amount = f"sum(_{steps.tenant}.amount)"
    batch = steps.audience("Large", f'xEvent[eventType = "loan.begin" and timestamp occurs <= 365 days before now].{amount} > 10')
    assert batch["evaluationInfo"]["batch"]["enabled"] is True
    clients.ingestion.streamMessages(steps.inlet, [steps.customer("c-1", "Ada"), steps.customer("c-2", "Bob")])
    clients.ingestion.streamMessages(steps.inlet, [steps.event(f"e-{n}", "c-2", "loan.begin", 9) for n in range(2)])
    steps.world.settle()
    assert _memberships(clients, "c-1") == {streaming["id"]: "realized"}
    job = clients.segments.createJob([batch["id"]])
    ended = until(lambda: clients.segments.getJob(job["id"]), lambda found: found["status"] in ("SUCCEEDED", "FAILED"))
    assert ended["status"] == "SUCCEEDED"
    assert ended["metrics"]["segmentedProfileCounter"] == {batch["id"]: 1}
    assert _memberships(clients, "c-2") == {batch["id"]: "realized"}
    assert {item["id"] for item in clients.segments.getSegments()} == {streaming["id"], batch["id"]}
    assert clients.segments.getAudience(streaming["id"])["metrics"]["data"]["totalProfiles"] == 1
    assert {item["id"] for item in clients.segments.getAudiences()} == {streaming["id"], batch["id"]}
    assert [item["id"] for item in clients.segments.getJobs()] == [job["id"]]
    assert [item["name"] for item in clients.segments.getSchedules()] == ["Batch Segmentation"]
    converted = clients.segments.convertSegmentDef(name="Adas", expression=streaming["expression"], description="")
    assert converted["expression"]["format"] == "pql/json"
    refused = steps.audience("Wrong", "person.name.frstName = 1")
    assert "firstName" in refused["title"]


def _memberships(clients: Clients, number: str) -> dict[str, str]:
    [entity] = clients.profiles.getEntity(entityId=number, entityIdNS="CRMID").values()
    found = entity["entity"].get("segmentMembership", {}).get("ups", {})
    return {audience: entry["status"] for audience, entry in found.items()}


# --- step 8: activation ---------------------------------------------------------------------------------------------------------


def test_memberships_and_attributes_go_out_as_messages(steps: Steps) -> None:
    clients = steps.clients
    audience = steps.audience("Adas", 'person.name.firstName = "Ada"')
    assert clients.flows.getConnectionSpecIdFromName("HTTP API") == HTTP_API
    with Receiver() as receiver:
        auth = {"specName": "Bearer Token", "params": {"bearerToken": "t0ken"}}
        flow = steps.flow("Desk", HTTP_API, STREAM_FLOW, {"httpEndpoint": f"{receiver.url}/in"}, auth)
        value = {"id": audience["id"], "name": "Adas"}
        flow = steps.patched(flow, add(SELECTORS, {"type": "PLATFORM_SEGMENT", "value": value}))
        path = {"path": "person.name.firstName", "operator": "EXISTS"}
        flow = steps.patched(flow, add(f"{PARAMS}/profileSelectors/selectors/-", {"type": "JSON_PATH", "value": path}))
        steps.world.settle()
        receiver.requests.clear()  # what the test of the connection sent, and who was a member before
        before = receiver.count
        clients.ingestion.streamMessage(steps.inlet, steps.customer("c-1", "Ada"))
        clients.ingestion.streamMessage(steps.inlet, steps.customer("c-2", "Bob"))
        steps.world.settle()
        assert receiver.wait_for(before + 1)
        clients.ingestion.streamMessage(steps.inlet, steps.customer("c-1", "Bea"))
        steps.world.settle()
        assert receiver.wait_for(before + 2)
        first, last = receiver.requests
    assert first.field("authorization") == "Bearer t0ken"
    assert first.json()["segmentMembership"]["ups"][audience["id"]]["status"] == "realized"
    assert first.json()["person"] == {"name": {"firstName": "Ada"}}
    assert last.json()["segmentMembership"]["ups"][audience["id"]]["status"] == "exited"
    assert [item["id"] for item in clients.flows.getFlows(onlyDestinations=True)] == [flow["id"]]
    assert clients.flows.postFlowAction(flow["id"], "disable")["id"] == flow["id"]
    assert clients.flows.getFlow(flow["id"])["state"] == "disabled"
    assert clients.segments.deleteSegment(audience["id"]).get("status") != True  # noqa: E712 - a dataflow uses it


@pytest.fixture
def bucket() -> Iterator[tuple[Any, str]]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "A" * 20, "aws_secret_access_key": "b" * 40}
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
    client.create_bucket(Bucket="crm-out")
    yield client, url
    client.close()
    server.stop()


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[SftpServer]:
    with asyncssh_server(tmp_path) as server:
        yield server


@pytest.fixture
def members(steps: Steps) -> dict[str, Any]:
    """An audience with two members."""
    audience = steps.audience("Adas", 'person.name.firstName = "Ada"')
    steps.clients.ingestion.streamMessages(
        steps.inlet, [steps.customer("c-1", "Ada"), steps.customer("c-2", "Bob"), steps.customer("c-3", "Ada")]
    )
    steps.world.settle()
    return audience


EXPECTED = [["customer", "first", "email"], ["c-1", "Ada", "c-1@example.com"], ["c-3", "Ada", "c-3@example.com"]]


def rows_of(content: bytes) -> list[list[str]]:
    header, *rows = csv.reader(content.decode().splitlines())
    return [header, *sorted(rows)]


def test_files_go_to_the_landing_zone(steps: Steps, members: dict[str, Any], api: Api) -> None:
    params = {"path": "out", "compression": "GZIP", "fileType": "CSV", "includeFileManifest": True}
    flow = steps.file_flow("Zone", LANDING_ZONE, LANDING_ZONE_FLOW, params, None, members)
    run = steps.exported(flow, members)
    assert status_of(run) == "success"
    assert run["metrics"]["recordSummary"]["outputRecordCount"] == 2
    folder = api.server.home / "landing-zone" / steps.world.sandbox / "out"
    [file] = folder.rglob("*.csv.gz")
    assert rows_of(gzip.decompress(file.read_bytes())) == EXPECTED
    assert len(list(folder.rglob("*.json"))) == 1


def test_files_go_to_amazon_s3(steps: Steps, members: dict[str, Any], bucket: tuple[Any, str]) -> None:
    client, url = bucket
    params = {"bucketName": "crm-out", "path": "out", "compression": "NONE", "fileType": "CSV"}
    auth = {"specName": "Access Key", "params": {"s3AccessKey": "A" * 20, "s3SecretKey": "b" * 40, "endpoint": url}}
    flow = steps.file_flow("Bucket", AMAZON_S3, S3_FLOW, params, auth, members)
    assert status_of(steps.exported(flow, members)) == "success"
    [file] = client.list_objects_v2(Bucket="crm-out", Prefix="out/")["Contents"]
    assert rows_of(client.get_object(Bucket="crm-out", Key=file["Key"])["Body"].read()) == EXPECTED


def test_files_go_to_sftp(steps: Steps, members: dict[str, Any], sftp: SftpServer) -> None:
    name, params = sftp.auth
    auth = {"specName": name, "params": {"domain": "127.0.0.1", "port": sftp.port, **params}}
    target = {"remotePath": "/out", "compression": "NONE", "fileType": "CSV"}
    flow = steps.file_flow("Partner", SFTP, SFTP_FLOW, target, auth, members)
    assert status_of(steps.exported(flow, members)) == "success"
    [file] = (sftp.root / "out").glob("*.csv")
    assert rows_of(file.read_bytes()) == EXPECTED


def test_wrong_credentials_fail_the_test_of_the_connection_and_the_run_says_why(
    steps: Steps, members: dict[str, Any], sftp: SftpServer
) -> None:
    name, params = sftp.auth
    auth: dict[str, Any] = {"specName": name, "params": {"domain": "127.0.0.1", "port": sftp.port, **params}}
    target = {"remotePath": "/out", "compression": "NONE", "fileType": "CSV"}
    flow = steps.file_flow("Partner", SFTP, SFTP_FLOW, target, auth, members)
    flows = steps.clients.flows
    base_id = flows.getFlow(flow["id"])["inheritedAttributes"]["targetConnections"][0]["baseConnection"]["id"]
    secret = "password" if "password" in params else "sshKey"
    operation = {"op": "replace", "path": "/auth/params", "value": {**auth["params"], "username": "nobody", secret: "wrong"}}
    account = flows.getConnection(base_id)
    headers = {**flows.header, "If-Match": account["etag"]}
    changed = httpx.patch(f"{flows.endpoint}/connections/{base_id}", json=[operation], headers=headers)
    assert changed.status_code == 200, changed.text
    tested = flows.connectionTest(base_id)
    assert tested.get("result") is not True
    run = steps.exported(flow, members)
    assert status_of(run) == "failed"
    errors = run["metrics"]["statusSummary"]["errors"]
    assert errors[0]["code"] and errors[0]["message"]
    assert "wrong" not in str(errors)
