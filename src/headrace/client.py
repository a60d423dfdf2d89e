"""A typed client of the wire API: the console, the command line and tests do nothing that it cannot do.

Every method is one call of the public API; what it returns is the wire's JSON. Errors of the server become `ApiError`.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from headrace.errors import HeadraceError

Json = dict[str, Any]

PROFILE_CLASS = "https://ns.adobe.com/xdm/context/profile"
EVENT_CLASS = "https://ns.adobe.com/xdm/context/experienceevent"
STREAMING_SOURCE = "bc7b00d6-623a-4dfc-9fdb-f1240aeadaeb"
DATA_LAKE = "c604ff05-7f1a-43c0-8e18-33bf874cb11c"
STREAMING_FLOW = "d8a6f005-7eaf-4153-983e-e8574508b877"
PROFILE_STORE = "8a9c3494-9708-43d7-ae3f-cda01e5030e1"
STREAM_DESTINATION_FLOW = "71471eba-b620-49e4-90fd-23f1fa0174d8"
DATA_LANDING_ZONE_FLOW = "7e635b9f-e59b-4546-8ba8-fce6496693c8"
_FOUNDATION, _CORE = "/data/foundation", "/data/core"
_REGISTRY_LOOKUP = "application/vnd.adobe.xed-full+json; version=1"


class ApiError(HeadraceError):
    """The server refused a call.

    Attributes:
        status: HTTP status.
        body: The error body, as the service shapes it.
    """

    code = "api_error"

    def __init__(self, status: int, body: Any, call: str) -> None:
        super().__init__(f"{call} answered {status}: {_text_of(body)}")
        self.status = status
        self.body = body


def _text_of(body: Any) -> str:
    if not isinstance(body, dict):
        return str(body)
    for name in ("detail", "message", "errorMessage", "title", "error_description"):
        if isinstance(body.get(name), str):
            return str(body[name])
    report = body.get("report")
    return _text_of(report) if isinstance(report, dict) else json.dumps(body)


@dataclass(frozen=True)
class Credentials:
    """What a technical account needs to call.

    Attributes:
        organization_id: ``…@AdobeOrg``.
        client_id: The API key.
        client_secret: The secret for the token endpoint.
        sandbox: Sandbox to work in.
    """

    organization_id: str
    client_id: str
    client_secret: str
    sandbox: str = "prod"

    @classmethod
    def of_home(cls, home: Path) -> Self:
        """Return the credentials that a server has written into its home folder."""
        return cls(**json.loads((home / "credentials.json").read_text()))

    def __repr__(self) -> str:
        return f"Credentials({self.organization_id}, {self.client_id}, {self.sandbox})"


class Client:
    """Calls one server as one technical account, in one sandbox.

    Not safe for use by several threads at once; make one for each.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials,
        *,
        transport: httpx.BaseTransport | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        """Prepare the calls; the token is fetched with the first one.

        Args:
            base_url: Where the server listens, for example ``http://127.0.0.1:8900``.
            credentials: The technical account.
            transport: Another way to reach the server, such as an application in the same process.
            timeout_seconds: Longest wait for one answer.
        """
        self._credentials = credentials
        self._http = httpx.Client(base_url=base_url, transport=transport, timeout=timeout_seconds)
        self._token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    # --- any call ---------------------------------------------------------------------------------------------------------

    def token(self) -> str:
        """Return the access token, fetched when there is none yet (``POST /ims/token/v3``)."""
        if not self._token:
            form = {
                "grant_type": "client_credentials",
                "client_id": self._credentials.client_id,
                "client_secret": self._credentials.client_secret,
                "scope": "openid,AdobeID",
            }
            reply = self._http.post("/ims/token/v3", data=form)
            self._token = _checked(reply, "POST /ims/token/v3")["access_token"]
        return self._token

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Any:
        """Make any call of the API and return its JSON; ``{}`` for an empty answer.

        Raises:
            ApiError: The server answered with 400 or above.
        """
        sent = {
            "Authorization": f"Bearer {self.token()}",
            "x-api-key": self._credentials.client_id,
            "x-gw-ims-org-id": self._credentials.organization_id,
            "x-sandbox-name": self._credentials.sandbox,
            "Accept": "application/json",
            **(headers or {}),
        }
        parameters: Any = dict(query) if query else None
        if content is not None:
            reply = self._http.request(method, path, content=content, params=parameters, headers=sent)
        else:
            reply = self._http.request(method, path, json=body, params=parameters, headers=sent)
        return _checked(reply, f"{method} {path}")

    # --- the server -------------------------------------------------------------------------------------------------------

    def health(self) -> Json:
        """Return whether the server is ready, and its roles (``GET /headrace/health``); needs no token."""
        body: Json = self._http.get("/headrace/health").json()
        return body

    def wait_until_ready(self, timeout_seconds: float = 30.0) -> None:
        """Wait until every role of the server runs.

        Raises:
            TimeoutError: It is not ready in time.
        """
        self._wait(lambda: self.health().get("status") == "ready", timeout_seconds, "The server is not ready")

    def progress(self) -> Json:
        """Return the counters of all stages and whether everything is settled (``GET /headrace/progress``)."""
        body: Json = self.call("GET", "/headrace/progress")
        return body

    def wait_until_settled(self, timeout_seconds: float = 60.0) -> Json:
        """Wait until everything accepted so far has been applied, evaluated, stored and delivered or parked.

        Raises:
            TimeoutError: It is not settled in time.
        """
        last: Json = {}

        def is_settled() -> bool:
            nonlocal last
            last = self.progress()
            return bool(last["settled"])

        self._wait(is_settled, timeout_seconds, "The server is not settled")
        return last

    def move_clock(self, now: str) -> Json:
        """Move a manual clock forward to an RFC 3339 instant (``POST /headrace/clock``)."""
        body: Json = self.call("POST", "/headrace/clock", {"now": now})
        return body

    def _wait(self, condition: Callable[[], bool], timeout_seconds: float, complaint: str) -> None:
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                if condition():
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            if time.monotonic() > deadline:
                raise TimeoutError(f"{complaint} after {timeout_seconds:g} seconds.")
            time.sleep(0.02)

    # --- schemas and datasets ---------------------------------------------------------------------------------------------

    def tenant_namespace(self) -> str:
        """Return the name under which the tenant's own fields stand, with its underscore."""
        stats = self.call("GET", f"{_FOUNDATION}/schemaregistry/stats")
        return f"_{stats['tenantId']}"

    def create_field_group(self, title: str, properties: Mapping[str, Any], *, extends: Iterable[str]) -> Json:
        """Create a field group whose fields stand under the tenant's namespace."""
        body = {
            "title": title,
            "type": "object",
            "meta:intendedToExtend": list(extends),
            "definitions": {
                "fields": {"properties": {self.tenant_namespace(): {"type": "object", "properties": dict(properties)}}}
            },
            "allOf": [{"$ref": "#/definitions/fields"}],
        }
        created: Json = self.call("POST", f"{_FOUNDATION}/schemaregistry/tenant/fieldgroups", body)
        return created

    def create_schema(self, title: str, class_id: str, field_groups: Iterable[str]) -> Json:
        """Create a schema from a class and field groups, by their ids."""
        body = {"title": title, "type": "object", "allOf": [{"$ref": class_id}, *({"$ref": item} for item in field_groups)]}
        created: Json = self.call("POST", f"{_FOUNDATION}/schemaregistry/tenant/schemas", body)
        return created

    def describe_identity(self, schema_id: str, path: str, namespace: str, *, is_primary: bool = False) -> Json:
        """Say that a field of a schema holds identities of a namespace; ``path`` begins with a slash."""
        body = {
            "@type": "xdm:descriptorIdentity",
            "xdm:sourceSchema": schema_id,
            "xdm:sourceVersion": 1,
            "xdm:sourceProperty": path,
            "xdm:namespace": namespace,
            "xdm:property": "xdm:code",
            "xdm:isPrimary": is_primary,
        }
        created: Json = self.call("POST", f"{_FOUNDATION}/schemaregistry/tenant/descriptors", body)
        return created

    def enable_schema(self, schema_id: str) -> Json:
        """Enable a schema for the profile; this cannot be undone."""
        patch = [{"op": "add", "path": "/meta:immutableTags", "value": ["union"]}]
        path = f"{_FOUNDATION}/schemaregistry/tenant/schemas/{quote(schema_id, safe='')}"
        changed: Json = self.call("PATCH", path, patch)
        return changed

    def schema(self, schema_id: str) -> Json:
        """Return a schema with everything it refers to resolved."""
        path = f"{_FOUNDATION}/schemaregistry/tenant/schemas/{quote(schema_id, safe='')}"
        found: Json = self.call("GET", path, headers={"Accept": _REGISTRY_LOOKUP})
        return found

    def create_namespace(self, code: str, name: str, id_type: str = "CROSS_DEVICE") -> Json:
        """Create an identity namespace."""
        body = {"code": code, "name": name, "idType": id_type}
        created: Json = self.call("POST", f"{_CORE}/idnamespace/identities", body)
        return created

    def create_dataset(self, name: str, schema_id: str, *, is_for_profile: bool = True) -> str:
        """Create a dataset on a schema, enabled for profile and identities unless told otherwise; returns its id."""
        flag = ["enabled:true"] if is_for_profile else ["enabled:false"]
        body = {
            "name": name,
            "schemaRef": {"id": schema_id, "contentType": "application/vnd.adobe.xed+json;version=1"},
            "tags": {"unifiedProfile": flag, "unifiedIdentity": flag},
        }
        created: list[str] = self.call("POST", f"{_FOUNDATION}/catalog/dataSets", body)
        return created[0].rpartition("/")[2]

    # --- ingestion --------------------------------------------------------------------------------------------------------

    def create_inlet(self, name: str) -> str:
        """Create a streaming connection and return the URL of its inlet."""
        body = {
            "name": name,
            "connectionSpec": {"id": STREAMING_SOURCE, "version": "1.0"},
            "auth": {
                "specName": "Streaming Connection",
                "params": {"dataType": "xdm", "name": name, "sourceId": name, "authenticationRequired": False},
            },
        }
        created = self.call("POST", f"{_FOUNDATION}/flowservice/connections", body)
        return str(self._entity("connections", created["id"])["auth"]["params"]["inletUrl"])

    def message(self, schema_id: str, dataset_id: str, entity: Mapping[str, Any]) -> Json:
        """Return the envelope in which a record is streamed."""
        reference = {"id": schema_id, "contentType": "application/vnd.adobe.xed-full+json;version=1"}
        return {
            "header": {
                "schemaRef": reference,
                "imsOrgId": self._credentials.organization_id,
                "datasetId": dataset_id,
                "source": {"name": "headrace"},
            },
            "body": {"xdmMeta": {"schemaRef": reference}, "xdmEntity": dict(entity)},
        }

    def stream(self, inlet_url: str, message: Mapping[str, Any], *, is_validated: bool = False) -> Json:
        """Send one message to an inlet; with ``is_validated`` an invalid one is refused in the answer."""
        query = {"syncValidation": "true"} if is_validated else None
        reply = self._http.post(inlet_url, json=message, params=query)
        answer: Json = _checked(reply, "POST /collection")
        return answer

    def stream_batch(self, inlet_url: str, messages: Iterable[Mapping[str, Any]]) -> Json:
        """Send many messages in one call; the answer has one response a message, in order."""
        url = inlet_url.replace("/collection/", "/collection/batch/")
        answer: Json = _checked(self._http.post(url, json={"messages": list(messages)}), "POST /collection/batch")
        return answer

    def load_file(self, dataset_id: str, file_name: str, content: bytes, *, file_format: str = "json") -> str:
        """Ingest one file as a batch (JSON lines or Parquet); returns the batch's id, which `batch` tells the state of."""
        body = {"datasetId": dataset_id, "inputFormat": {"format": file_format}}
        batch_id = str(self.call("POST", f"{_FOUNDATION}/import/batches", body)["id"])
        path = f"{_FOUNDATION}/import/batches/{batch_id}/datasets/{dataset_id}/files/{quote(file_name)}"
        self.call("PUT", path, content=content, headers={"Content-Type": "application/octet-stream"})
        self.call("POST", f"{_FOUNDATION}/import/batches/{batch_id}", query={"action": "COMPLETE"})
        return batch_id

    def batch(self, batch_id: str) -> Json:
        """Return a batch as Catalog shows it."""
        found: Json = self.call("GET", f"{_FOUNDATION}/catalog/batches/{batch_id}")[batch_id]
        return found

    # --- profiles and audiences -------------------------------------------------------------------------------------------

    def profile(self, namespace: str, value: str, *, fields: Iterable[str] = ()) -> Json | None:
        """Return the merged profile of an identity, None when there is none."""
        query = {
            "schema.name": "_xdm.context.profile",
            "entityId": value,
            "entityIdNS": namespace,
            **({"fields": ",".join(fields)} if fields else {}),
        }
        try:
            answer = self.call("GET", f"{_CORE}/ups/access/entities", query=query)
        except ApiError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise
        entity: Json = next(iter(answer.values()))
        return entity

    def create_audience(self, name: str, pql: str, **more: Any) -> Json:
        """Create an audience from a PQL text; the answer says whether it runs in batch or streaming."""
        body = {
            "name": name,
            "expression": {"type": "PQL", "format": "pql/text", "value": pql},
            "schema": {"name": "_xdm.context.profile"},
            **more,
        }
        created: Json = self.call("POST", f"{_CORE}/ups/segment/definitions", body)
        return created

    def audience(self, audience_id: str) -> Json:
        """Return an audience with its metrics."""
        found: Json = self.call("GET", f"{_CORE}/ups/audiences/{audience_id}")
        return found

    def run_segment_job(self, audience_ids: Iterable[str], *, timeout_seconds: float = 300.0) -> Json:
        """Evaluate audiences in batch and wait for the job to end."""
        job = self.call("POST", f"{_CORE}/ups/segment/jobs", [{"segmentId": item} for item in audience_ids])
        found: Json = job

        def is_over() -> bool:
            nonlocal found
            found = self.call("GET", f"{_CORE}/ups/segment/jobs/{job['id']}")
            return found["status"] in ("SUCCEEDED", "FAILED", "CANCELLED")

        self._wait(is_over, timeout_seconds, "The segment job is not over")
        return found

    # --- activation -------------------------------------------------------------------------------------------------------

    def connection_spec(self, name: str) -> Json:
        """Return the connection spec with a name, such as ``HTTP API``."""
        answer = self.call("GET", f"{_FOUNDATION}/flowservice/connectionSpecs", query={"property": f"name=={name}"})
        found: Json = answer["items"][0]
        return found

    def create_flow(
        self,
        name: str,
        destination: str,
        flow_spec_id: str,
        target_params: Mapping[str, Any],
        *,
        auth: Mapping[str, Any] | None = None,
    ) -> str:
        """Create the four objects of an activation: source, account, target and dataflow; returns the dataflow's id."""
        spec = {"id": self.connection_spec(destination)["id"], "version": "1.0"}
        service = f"{_FOUNDATION}/flowservice"
        source_body = {"name": f"{name}: profile store", "connectionSpec": {"id": PROFILE_STORE, "version": "1.0"}}
        source = self.call("POST", f"{service}/sourceConnections", source_body)
        base_body = {"name": f"{name}: account", "connectionSpec": spec, **({"auth": dict(auth)} if auth else {})}
        base = self.call("POST", f"{service}/connections", base_body)
        target_body = {
            "name": f"{name}: target",
            "baseConnectionId": base["id"],
            "connectionSpec": spec,
            "params": dict(target_params),
        }
        target = self.call("POST", f"{service}/targetConnections", target_body)
        params: Json = {"profileSelectors": {"selectors": []}, "segmentSelectors": {"selectors": []}}
        if flow_spec_id != STREAM_DESTINATION_FLOW:
            params = {
                "mandatoryFields": [],
                "primaryFields": [],
                "profileMapping": {},
                "segmentSelectors": {"selectors": []},
            }
        flow_body = {
            "name": name,
            "flowSpec": {"id": flow_spec_id, "version": "1.0"},
            "sourceConnectionIds": [source["id"]],
            "targetConnectionIds": [target["id"]],
            "transformations": [{"name": "GeneralTransform", "params": params}],
        }
        return str(self.call("POST", f"{service}/flows", flow_body)["id"])

    def patch_flow(self, flow_id: str, operations: list[Json]) -> Json:
        """Change a dataflow by JSON Patch, at its present version."""
        etag = self._entity("flows", flow_id)["etag"]
        path = f"{_FOUNDATION}/flowservice/flows/{flow_id}"
        changed: Json = self.call("PATCH", path, operations, headers={"If-Match": etag})
        return changed

    def add_audience(self, flow_id: str, audience_id: str, name: str, **file_options: Any) -> Json:
        """Activate an audience to a dataflow; a file destination needs its schedule and export mode too."""
        value = {"type": "PLATFORM_SEGMENT", "value": {"id": audience_id, "name": name, **file_options}}
        path = "/transformations/0/params/segmentSelectors/selectors/-"
        return self.patch_flow(flow_id, [{"op": "add", "path": path, "value": value}])

    def add_attribute(self, flow_id: str, attribute: str) -> Json:
        """Map a profile attribute to a streaming dataflow."""
        value = {"type": "JSON_PATH", "value": {"path": attribute, "operator": "EXISTS"}}
        path = "/transformations/0/params/profileSelectors/selectors/-"
        return self.patch_flow(flow_id, [{"op": "add", "path": path, "value": value}])

    def map_columns(self, flow_id: str, columns: Mapping[str, str]) -> Json:
        """Set the columns of a file dataflow: target column → source (attribute path or ``identityMap.<code>``), in order."""
        body = {
            "xdmVersion": "1.0",
            "mappings": [
                {"sourceType": "ATTRIBUTE", "source": source, "destination": target} for target, source in columns.items()
            ],
        }
        created = self.call("POST", f"{_FOUNDATION}/conversion/mappingSets", body)
        value = {"mappingId": created["id"], "mappingVersion": created["version"]}
        operation = {"op": "add", "path": "/transformations/0/params/profileMapping", "value": value}
        return self.patch_flow(flow_id, [operation])

    def export_now(self, flow_id: str, audience_ids: Iterable[str]) -> Json:
        """Export audiences of a file dataflow at once (ad-hoc activation)."""
        headers = {"Accept": "application/vnd.adobe.adhoc.activation+json; version=2"}
        body = {"activationInfo": {flow_id: list(audience_ids)}}
        answer: Json = self.call("POST", f"{_CORE}/activation/disflowprovider/adhocrun", body, headers=headers)
        return answer

    def runs(self, flow_id: str) -> Iterator[Json]:
        """Yield the runs of a dataflow, newest first, page by page."""
        query: Json = {"property": f"flowId=={flow_id}", "limit": 100}
        while True:
            page = self.call("GET", f"{_FOUNDATION}/flowservice/runs", query=query)
            yield from page["items"]
            href = (page.get("_links", {}).get("next") or {}).get("href", "")
            if "continuationToken=" not in href:
                return
            query["continuationToken"] = href.partition("continuationToken=")[2].partition("&")[0]

    def dead_letters(self, flow_id: str) -> Iterator[Json]:
        """Yield the messages that a streaming dataflow gave up, oldest change first, page by page."""
        query: Json = {"after": -1}
        while query["after"] is not None:
            page = self.call("GET", f"/headrace/flows/{flow_id}/dead-letters", query=query)
            yield from page["items"]
            query["after"] = page["next"]

    def replay_dead_letters(self, flow_id: str, sequences: Iterable[int] | None = None) -> int:
        """Send messages that were given up again, all of the dataflow's by default; returns how many there were."""
        body = {} if sequences is None else {"sequences": list(sequences)}
        return int(self.call("POST", f"/headrace/flows/{flow_id}/dead-letters/replay", body)["replayed"])

    def _entity(self, kind: str, entity_id: str) -> Json:
        found: Json = self.call("GET", f"{_FOUNDATION}/flowservice/{kind}/{entity_id}")["items"][0]
        return found


def _checked(reply: httpx.Response, call: str) -> Any:
    try:
        body = reply.json() if reply.content else {}
    except json.JSONDecodeError:
        body = reply.text
    if reply.status_code >= httpx.codes.BAD_REQUEST:
        raise ApiError(reply.status_code, body, call)
    return body
