"""A sandbox on the running server, and the calls that fill it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from headrace.client import Credentials
from headrace.testing.server import Server

FOUNDATION, CORE = "/data/foundation", "/data/core"
REGISTRY = f"{FOUNDATION}/schemaregistry/tenant"
CATALOG = f"{FOUNDATION}/catalog"
IMPORT = f"{FOUNDATION}/import"
EXPORT = f"{FOUNDATION}/export"
FLOWS = f"{FOUNDATION}/flowservice"
SANDBOXES = f"{FOUNDATION}/sandbox-management"
NAMESPACES = f"{CORE}/idnamespace/identities"
ENTITIES = f"{CORE}/ups/access/entities"
DEFINITIONS = f"{CORE}/ups/segment/definitions"
JOBS = f"{CORE}/ups/segment/jobs"

PROFILE_CLASS = "https://ns.adobe.com/xdm/context/profile"
EVENT_CLASS = "https://ns.adobe.com/xdm/context/experienceevent"
IDENTITY_MAP = "https://ns.adobe.com/xdm/context/identitymap"
PERSON = "https://ns.adobe.com/xdm/context/profile-person-details"
CONTACT = "https://ns.adobe.com/xdm/context/profile-personal-details"
WEB = "https://ns.adobe.com/xdm/context/experienceevent-web"

PROFILE_STORE = "8a9c3494-9708-43d7-ae3f-cda01e5030e1"
HTTP_API = "b165fdf8-b4d6-54a9-a9c4-1a205bef8421"
AMAZON_S3 = "4fce964d-3f37-408f-9778-e597338a21ee"
SFTP = "36965a81-b1c6-401b-99f8-22508f1e6a26"
LANDING_ZONE = "10440537-2a7b-4583-ac39-ed38d4b848e8"
STREAMING_SOURCE = "bc7b00d6-623a-4dfc-9fdb-f1240aeadaeb"
STREAM_FLOW = "71471eba-b620-49e4-90fd-23f1fa0174d8"
S3_FLOW = "1a0514a6-33d4-4c7f-aff8-594799c47549"
SFTP_FLOW = "fd36aaa4-bf2b-43fb-9387-43785eeeb799"
LANDING_ZONE_FLOW = "7e635b9f-e59b-4546-8ba8-fce6496693c8"
PARAMS = "/transformations/0/params"

_LONGEST_WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.02


class Api:
    """Calls the server as its technical account; answers are returned as they are, whatever their status."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.credentials = Credentials.of_home(server.home)
        self.http = httpx.Client(base_url=server.url, timeout=60)
        form = {
            "grant_type": "client_credentials",
            "client_id": self.credentials.client_id,
            "client_secret": self.credentials.client_secret,
            "scope": "openid,AdobeID",
        }
        self.token = self.http.post("/ims/token/v3", data=form).raise_for_status().json()["access_token"]

    @property
    def organization_id(self) -> str:
        return self.credentials.organization_id

    def headers(self, sandbox: str) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.token}",
            "x-api-key": self.credentials.client_id,
            "x-gw-ims-org-id": self.organization_id,
            "x-sandbox-name": sandbox,
            "Accept": "application/json",
        }

    def call(self, sandbox: str, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        headers = {**self.headers(sandbox), **options.pop("headers", {})}
        if body is not None:
            options["json"] = body
        return self.http.request(method, path, headers=headers, **options)

    def close(self) -> None:
        self.http.close()


@dataclass
class World:
    """One sandbox.

    Attributes:
        api: How to call.
        sandbox: Its name.
        profile_schema: A schema of customer records, once `fill` was called; so with the following.
        event_schema: A schema of events.
        profiles: Dataset of the records.
        events: Dataset of the events.
        inlet: Path of the streaming inlet.
    """

    api: Api
    sandbox: str
    profile_schema: str = ""
    event_schema: str = ""
    profiles: str = ""
    events: str = ""
    inlet: str = ""
    audiences: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self.api.call(self.sandbox, method, path, body, **options)

    def get(self, path: str, /, **params: Any) -> Any:
        return checked(self.call("GET", path, params=params)).json()

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return checked(self.call("POST", path, body, **options)).json()

    def patch(self, path: str, body: Any, **options: Any) -> Any:
        return checked(self.call("PATCH", path, body, **options)).json()

    # --- setting up ---

    def fill(self) -> "World":
        """Make schemas, datasets and an inlet."""
        self.post(NAMESPACES, {"name": "Customer number", "code": "CRMID", "idType": "CROSS_DEVICE"})
        self.profile_schema = self.schema("Customers", PROFILE_CLASS, IDENTITY_MAP, PERSON, CONTACT)
        self.event_schema = self.schema("Behaviour", EVENT_CLASS, WEB)
        self.profiles = self.dataset("Customers", self.profile_schema)
        self.events = self.dataset("Behaviour", self.event_schema)
        self.inlet = self.new_inlet("shop")
        return self

    def schema(self, title: str, *references: str, is_enabled: bool = True) -> str:
        body = {"title": title, "type": "object", "allOf": [{"$ref": item} for item in references]}
        schema_id = str(self.post(f"{REGISTRY}/schemas", body)["$id"])
        if is_enabled:
            self.patch(schema_path(schema_id), [{"op": "add", "path": "/meta:immutableTags", "value": ["union"]}])
        return schema_id

    def dataset(self, name: str, schema_id: str, *, is_enabled: bool = True) -> str:
        flag = ["enabled:true"] if is_enabled else ["enabled:false"]
        tags = {"unifiedProfile": flag, "unifiedIdentity": flag}
        [reference] = self.post(f"{CATALOG}/dataSets", {"name": name, "schemaRef": reference_to(schema_id), "tags": tags})
        return str(reference).rpartition("/")[2]

    def new_inlet(self, name: str, **params: Any) -> str:
        """Create a streaming connection and return the path of its inlet."""
        auth = {"specName": "Streaming Connection", "params": {"dataType": "xdm", "name": name, "sourceId": name, **params}}
        made = self.post(f"{FLOWS}/connections", {"name": name, "connectionSpec": spec(STREAMING_SOURCE), "auth": auth})
        connection = self.get(f"{FLOWS}/connections/{made['id']}")["items"][0]
        url = str(connection["auth"]["params"]["inletUrl"])
        assert url.startswith(f"{self.api.server.url}/collection/")
        return url.removeprefix(self.api.server.url)

    def audience(self, name: str, pql: str) -> Any:
        """Create an audience and return the definition."""
        body = {
            "name": name,
            "expression": {"type": "PQL", "format": "pql/text", "value": pql},
            "schema": {"name": "_xdm.context.profile"},
        }
        made = self.post(DEFINITIONS, body)
        self.audiences[name] = made["id"]
        return made

    # --- sending ---

    def message(self, schema_id: str, dataset_id: str, entity: Mapping[str, Any], **header: Any) -> dict[str, Any]:
        return {
            "header": {
                "schemaRef": reference_to(schema_id),
                "imsOrgId": self.api.organization_id,
                "datasetId": dataset_id,
                "source": {"name": "shop"},
                **header,
            },
            "body": {"xdmMeta": {"schemaRef": reference_to(schema_id)}, "xdmEntity": dict(entity)},
        }

    def customer(self, number: str, email: str = "", **fields: Any) -> dict[str, Any]:
        """Return the message of a customer record."""
        identities: dict[str, Any] = {"CRMID": [{"id": number, "primary": True}]}
        if email:
            identities["Email"] = [{"id": email}]
        return self.message(self.profile_schema, self.profiles, {"identityMap": identities, **fields})

    def event(self, event_id: str, timestamp: str, kind: str, number: str, **fields: Any) -> dict[str, Any]:
        """Return the message of an event of a customer."""
        entity = {
            "_id": event_id,
            "timestamp": timestamp,
            "eventType": kind,
            "identityMap": {"CRMID": [{"id": number, "primary": True}]},
            **fields,
        }
        return self.message(self.event_schema, self.events, entity)

    def send(self, message: Any, *, is_validated: bool = False) -> httpx.Response:
        """Stream one message, as a client outside does: without platform headers."""
        params = {"syncValidation": "true"} if is_validated else None
        return self.api.http.post(self.inlet, json=message, params=params)

    def send_batch(self, messages: list[Any]) -> httpx.Response:
        return self.api.http.post(self.inlet.replace("/collection/", "/collection/batch/"), json={"messages": messages})

    # --- watching ---

    def settle(self) -> Any:
        """Wait until everything sent has gone all the way, and return the progress."""
        return until(lambda: self.get("/headrace/progress"), lambda progress: progress["settled"])

    def profile(self, number: str, namespace: str = "CRMID", **params: Any) -> Any:
        """Return the entity of an identity, None when there is none."""
        query = {"schema.name": "_xdm.context.profile", "entityId": number, "entityIdNS": namespace, **params}
        answer = self.call("GET", ENTITIES, params=query)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        [entity] = checked(answer).json().values()
        return entity["entity"]

    def membership(self, number: str, name: str) -> str:
        """Return the status of a customer in an audience, ``""`` when there never was one."""
        entity = self.profile(number) or {}
        found = entity.get("segmentMembership", {}).get("ups", {}).get(self.audiences[name], {})
        return str(found.get("status", ""))

    def batch(self, batch_id: str) -> Any:
        """Wait until a batch has ended and return it."""
        ended = {"success", "failed", "aborted", "inactive"}
        return until(lambda: self.get(f"{CATALOG}/batches/{batch_id}")[batch_id], lambda batch: batch["status"] in ended)

    def run_job(self, *names: str) -> Any:
        """Evaluate audiences in batch, wait for the end and return the job."""
        job = self.post(JOBS, [{"segmentId": self.audiences[name]} for name in names])
        ended = {"SUCCEEDED", "FAILED", "CANCELLED"}
        return until(lambda: self.get(f"{JOBS}/{job['id']}"), lambda found: found["status"] in ended)

    # --- activating ---

    def flow(self, name: str, target_spec: str, flow_spec: str, target: Mapping[str, Any], auth: Any = None) -> str:
        """Create source, account, target and dataflow; returns the dataflow's id."""
        source = self.post(f"{FLOWS}/sourceConnections", {"name": f"{name} source", "connectionSpec": spec(PROFILE_STORE)})
        account = {"name": f"{name} account", "connectionSpec": spec(target_spec), **({"auth": auth} if auth else {})}
        base = self.post(f"{FLOWS}/connections", account)
        place = {"name": f"{name} target", "baseConnectionId": base["id"], "connectionSpec": spec(target_spec)}
        made = self.post(f"{FLOWS}/targetConnections", {**place, "params": dict(target)})
        body = {
            "name": name,
            "flowSpec": spec(flow_spec),
            "sourceConnectionIds": [source["id"]],
            "targetConnectionIds": [made["id"]],
        }
        return str(self.post(f"{FLOWS}/flows", body)["id"])

    def patch_flow(self, flow_id: str, operations: list[dict[str, Any]]) -> httpx.Response:
        etag = self.get(f"{FLOWS}/flows/{flow_id}")["items"][0]["etag"]
        return self.call("PATCH", f"{FLOWS}/flows/{flow_id}", operations, headers={"If-Match": etag})

    def activate(self, flow_id: str, name: str, **options: Any) -> None:
        value = {"type": "PLATFORM_SEGMENT", "value": {"id": self.audiences[name], "name": name, **options}}
        checked(self.patch_flow(flow_id, [add(f"{PARAMS}/segmentSelectors/selectors/-", value)]))

    def map_attribute(self, flow_id: str, path: str) -> None:
        value = {"type": "JSON_PATH", "value": {"path": path, "operator": "EXISTS"}}
        checked(self.patch_flow(flow_id, [add(f"{PARAMS}/profileSelectors/selectors/-", value)]))

    def map_columns(self, flow_id: str, columns: Mapping[str, str]) -> None:
        rows = [{"sourceType": "ATTRIBUTE", "source": source, "destination": name} for name, source in columns.items()]
        made = self.post(f"{FOUNDATION}/conversion/mappingSets", {"xdmVersion": "1.0", "mappings": rows})
        value = {"mappingId": made["id"], "mappingVersion": made["version"]}
        checked(self.patch_flow(flow_id, [add(f"{PARAMS}/profileMapping", value)]))

    def export_now(self, flow_id: str, *names: str) -> Any:
        """Export audiences of a file dataflow, wait for the run to end and return it."""
        self.begin_export(flow_id, *(self.audiences[name] for name in names))
        return self.ended_run(flow_id)

    def begin_export(self, flow_id: str, *audience_ids: str) -> None:
        """Ask for an export of audiences at once (ad-hoc activation)."""
        accept = {"Accept": "application/vnd.adobe.adhoc.activation+json; version=2"}
        body = {"activationInfo": {flow_id: list(audience_ids)}}
        self.post(f"{CORE}/activation/disflowprovider/adhocrun", body, headers=accept)

    def ended_run(self, flow_id: str) -> Any:
        """Wait until a dataflow has a run that has ended, and return the newest one."""

        def newest() -> Any:
            runs = self.get(f"{FLOWS}/runs", property=f"flowId=={flow_id}")["items"]
            return runs[0] if runs else None

        return until(newest, lambda run: run is not None and status_of(run) in ("success", "failed", "partial_success"))


def status_of(run: Mapping[str, Any]) -> str:
    """Return the status of a run, lower-case."""
    return str(run["metrics"]["statusSummary"]["status"]).lower()


def spec(spec_id: str) -> dict[str, str]:
    return {"id": spec_id, "version": "1.0"}


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def reference_to(schema_id: str) -> dict[str, str]:
    return {"id": schema_id, "contentType": "application/vnd.adobe.xed-full+json;version=1"}


def schema_path(schema_id: str) -> str:
    return f"{REGISTRY}/schemas/{quote(schema_id, safe='')}"


def checked(answer: httpx.Response) -> httpx.Response:
    """Fail with the body of an answer that is an error."""
    assert answer.status_code < httpx.codes.BAD_REQUEST, (
        f"{answer.request.method} {answer.url} {answer.status_code}: {answer.text}"
    )
    return answer


def until(look: Any, is_enough: Any, seconds: float = _LONGEST_WAIT_SECONDS) -> Any:
    """Look again and again until what is seen is enough, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if is_enough(seen):
            return seen
        assert time.monotonic() < deadline, f"not so after {seconds:g} seconds: {seen}"
        time.sleep(_POLL_SECONDS)
