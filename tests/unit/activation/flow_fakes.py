"""What Flow Service asks of other stages, in memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from headrace.activation.connections import Connections
from headrace.activation.entities import Author
from headrace.activation.service import FlowService
from headrace.clock import ManualClock
from headrace.destinations.base import Context
from headrace.errors import InvalidInput, NotFound
from headrace.model import Sandbox
from headrace.storage.control import ControlStore

AUTHOR = Author("ada@techacct", "cli")
PROD = Sandbox(1, "5f0c9a3e-0000-4000-8000-000000000001", "prod", "production", True, "0A1B@AdobeOrg")
OTHER = Sandbox(2, "5f0c9a3e-0000-4000-8000-000000000002", "dev", "development", False, "0A1B@AdobeOrg")

PROFILE_STORE = "8a9c3494-9708-43d7-ae3f-cda01e5030e1"
DATA_LAKE = "23598e46-f560-407b-88d5-ea6207e49db0"
HTTP_API = "b165fdf8-b4d6-54a9-a9c4-1a205bef8421"
S3 = "4fce964d-3f37-408f-9778-e597338a21ee"
SFTP = "36965a81-b1c6-401b-99f8-22508f1e6a26"
ZONE = "10440537-2a7b-4583-ac39-ed38d4b848e8"
STREAMING = "bc7b00d6-623a-4dfc-9fdb-f1240aeadaeb"
LAKE_TARGET = "c604ff05-7f1a-43c0-8e18-33bf874cb11c"
STREAM_FLOW = "71471eba-b620-49e4-90fd-23f1fa0174d8"
S3_FLOW = "1a0514a6-33d4-4c7f-aff8-594799c47549"
S3_DATASET_FLOW = "269ba276-16fc-47db-92b0-c1049a3c131f"

UNION: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "person": {
            "type": "object",
            "properties": {
                "name": {
                    "type": "object",
                    "properties": {"firstName": {"type": "string"}, "lastName": {"type": "string"}},
                },
                "birthDate": {"type": "string", "format": "date"},
            },
        },
        "personalEmail": {"type": "object", "properties": {"address": {"type": "string"}}},
        "orders": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}}},
        "scores": {"type": "object", "additionalProperties": {"type": "number"}},
    },
}
EVENTS: Mapping[str, Any] = {"type": "object", "properties": {"eventType": {"type": "string"}}}


class FakeSchemas:
    def union_form(self, sandbox: Sandbox, class_id: str = "profile") -> Mapping[str, Any]:
        return UNION if class_id == "profile" else EVENTS


class Namespace(msgspec.Struct, frozen=True):
    code: str


class FakeNamespaces:
    def by_code(self, sandbox: Sandbox, code: str) -> Namespace | None:
        known = {"email": "Email", "crmid": "CRMID", "phone_e.164": "Phone_E.164"}
        found = known.get(code.lower())
        return Namespace(found) if found else None


class Audience(msgspec.Struct, frozen=True):
    number: int
    id: str
    name: str
    lifecycle_state: str = "published"
    merge_policy_id: str = "mp"


class AudienceMissing(NotFound):
    code = "audience_missing"


class FakeAudiences:
    def __init__(self) -> None:
        self.known = {f"aud-{number}": Audience(number, f"aud-{number}", f"Audience {number}") for number in range(1, 100)}

    def get(self, sandbox: Sandbox, audience_id: str) -> Audience:
        try:
            return self.known[audience_id]
        except KeyError:
            raise AudienceMissing(f"no {audience_id}") from None


class Dataset(msgspec.Struct, frozen=True):
    id: str
    name: str
    schema_id: str
    body: dict[str, Any] = {}


class FakeDatasets:
    def __init__(self) -> None:
        self.known = [
            Dataset(f"ds{number}", f"Dataset {number}", f"https://ns.example/schemas/{number}") for number in range(1, 4)
        ]

    def dataset(self, sandbox: Sandbox, dataset_id: str) -> Dataset:
        for dataset in self.known:
            if dataset.id == dataset_id:
                return dataset
        raise NotFound(f"no {dataset_id}")

    def datasets(self, sandbox: Sandbox) -> list[Dataset]:
        return self.known


class FakeBox:
    """Seals so that the plain text cannot be found in what is stored."""

    def seal(self, plain: bytes) -> bytes:
        return b"sealed:" + plain[::-1]

    def open(self, sealed: bytes) -> bytes:
        return sealed.removeprefix(b"sealed:")[::-1]


def check_expression(text: str) -> None:
    if "!!" in text:
        raise InvalidInput("no expression")


def flow_service(control: ControlStore, clock: ManualClock, folder: Path, *, allow_private: bool = False) -> FlowService:
    def context_of(sandbox: Sandbox) -> Context:
        return Context(
            clock=clock,
            sandbox_name=sandbox.name,
            landing_zone=folder / "landing-zone",
            allow_private_destinations=allow_private,
        )

    return FlowService.over(
        control,
        clock,
        secrets=FakeBox(),
        schemas=FakeSchemas(),
        namespaces=FakeNamespaces(),
        audiences=FakeAudiences(),
        datasets=FakeDatasets(),
        context_of=context_of,
        check_expression=check_expression,
    )


def spec(spec_id: str) -> dict[str, str]:
    return {"id": spec_id, "version": "1.0"}


def source_body() -> dict[str, Any]:
    return {"name": "Profile store", "connectionSpec": spec(PROFILE_STORE)}


def http_bodies() -> tuple[dict[str, Any], dict[str, Any]]:
    base = {
        "name": "Hooks",
        "connectionSpec": spec(HTTP_API),
        "auth": {"specName": "Bearer Token", "params": {"bearerToken": "s3cret-token"}},
    }
    target = {"name": "Hook", "connectionSpec": spec(HTTP_API), "params": {"httpEndpoint": "https://hooks.example.com/in"}}
    return base, target


def s3_bodies(**params: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    base = {
        "name": "Bucket",
        "connectionSpec": spec(S3),
        "auth": {"specName": "Access Key", "params": {"s3AccessKey": "A" * 20, "s3SecretKey": "k" * 40}},
    }
    given = {"mode": "Server-to-server", "bucketName": "crm-out", "path": "crm/daily", "compression": "GZIP", "fileType": "CSV"}
    return base, {"name": "Files", "connectionSpec": spec(S3), "params": {**given, **params}}


def make_ends(
    service: FlowService, bodies: tuple[dict[str, Any], dict[str, Any]], source: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Make the three connections and return what a flow body says of them."""
    connections: Connections = service.connections
    base, target = bodies
    made_source = connections.create(PROD, "source", source or source_body(), AUTHOR)
    made_base = connections.create(PROD, "base", base, AUTHOR)
    made_target = connections.create(PROD, "target", {**target, "baseConnectionId": made_base.id}, AUTHOR)
    return {"sourceConnectionIds": [made_source.id], "targetConnectionIds": [made_target.id]}


def audience_selector(audience_id: str, **value: Any) -> dict[str, Any]:
    return {"type": "PLATFORM_SEGMENT", "value": {"id": audience_id, **value}}


def file_selector(audience_id: str, **schedule: Any) -> dict[str, Any]:
    given = {"frequency": "DAILY", "triggerType": "SCHEDULED", "startDate": "2027-02-14", "startTime": "09:00", **schedule}
    return audience_selector(audience_id, exportMode="DAILY_FULL_EXPORT", schedule=given)


def attribute_selector(path: str) -> dict[str, Any]:
    return {"type": "JSON_PATH", "value": {"path": path, "operator": "EXISTS"}}
