"""The eight steps, through the public API: from an empty sandbox to dataflows that wait for their first record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.client import (
    DATA_LANDING_ZONE_FLOW,
    EVENT_CLASS,
    PROFILE_CLASS,
    STREAM_DESTINATION_FLOW,
    Client,
)

_IDENTITY_MAP = "https://ns.adobe.com/xdm/context/identitymap"
_PERSON = "https://ns.adobe.com/xdm/context/profile-person-details"
_CONTACT = "https://ns.adobe.com/xdm/context/profile-personal-details"


@dataclass
class World:
    """What the steps have made.

    Attributes:
        tenant: Name under which the tenant's own fields stand.
        inlet: URL of the streaming inlet.
        profile_schema: Schema of the customer records.
        event_schema: Schema of the events.
        profiles: Dataset of the customer records.
        events: Dataset of the events.
        audiences: Audience name → id.
        methods: Audience name → how the system evaluates it, and why.
        http_flow: Dataflow that sends messages.
        file_flow: Dataflow that writes files; empty when there is none.
    """

    tenant: str = ""
    inlet: str = ""
    profile_schema: str = ""
    event_schema: str = ""
    profiles: str = ""
    events: str = ""
    audiences: dict[str, str] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)
    http_flow: str = ""
    file_flow: str = ""

    def event(self, event_id: str, timestamp: str, kind: str, identities: Mapping[str, str], fields: Mapping[str, Any]) -> Any:
        """Return an event as it is streamed."""
        own = {self.tenant: {"application": dict(fields)}} if fields else {}
        return {
            "_id": event_id,
            "timestamp": timestamp,
            "eventType": kind,
            "identityMap": {code: [{"id": value}] for code, value in identities.items()},
            **own,
        }


def create_schemas_and_datasets(client: Client) -> World:
    """Steps 1 to 5: describe the data, say which fields are identities, enable for the profile, open the inlet."""
    world = World(tenant=client.tenant_namespace())
    client.create_namespace("CRMID", "Customer number")
    profile = client.create_schema("Demo customers", PROFILE_CLASS, [_IDENTITY_MAP, _PERSON, _CONTACT])
    group = client.create_field_group(
        "Demo loan application",
        {"application": {"type": "object", "properties": {"amount": {"type": "number", "title": "Amount"}}}},
        extends=[EVENT_CLASS],
    )
    event = client.create_schema("Demo behaviour", EVENT_CLASS, [group["$id"]])
    world.profile_schema, world.event_schema = profile["$id"], event["$id"]
    client.describe_identity(world.profile_schema, "/personalEmail/address", "Email")
    for schema in (world.profile_schema, world.event_schema):
        client.enable_schema(schema)
    world.profiles = client.create_dataset("Demo customers", world.profile_schema)
    world.events = client.create_dataset("Demo behaviour", world.event_schema)
    world.inlet = client.create_inlet("demo")
    return world


def create_audience(client: Client, world: World, name: str, pql: str) -> str:
    """Step 7: create one audience; the system decides how it is evaluated."""
    created = client.create_audience(name, pql)
    world.audiences[name] = created["id"]
    info = created["evaluationInfo"]
    method = next(word for key, word in _METHODS.items() if info[key]["enabled"])
    reasons = (created.get("headrace") or {}).get("evaluation", {}).get("reasons") or []
    world.methods[name] = method if not reasons else f"{method}: {reasons[0]['text']}"
    return str(created["id"])


_METHODS = {"continuous": "streaming", "batch": "batch", "synchronous": "edge"}


def activate_to_http(client: Client, world: World, endpoint: str, names: list[str], attributes: list[str]) -> None:
    """Step 8: send memberships and attributes as messages."""
    world.http_flow = client.create_flow(
        "Sales desk", "HTTP API", STREAM_DESTINATION_FLOW, {"httpEndpoint": endpoint}, auth={"specName": "None", "params": {}}
    )
    for attribute in attributes:
        client.add_attribute(world.http_flow, attribute)
    for name in names:
        client.add_audience(world.http_flow, world.audiences[name], name)


def activate_to_files(client: Client, world: World, names: list[str], columns: Mapping[str, str]) -> None:
    """Step 8: write the members of audiences as files into the landing zone."""
    target = {"path": "demo", "compression": "GZIP", "fileType": "CSV", "includeFileManifest": True}
    world.file_flow = client.create_flow("Nightly files", "Data Landing Zone", DATA_LANDING_ZONE_FLOW, target)
    client.map_columns(world.file_flow, columns)
    for name in names:
        client.add_audience(
            world.file_flow,
            world.audiences[name],
            name,
            exportMode="DAILY_FULL_EXPORT",
            filenameTemplate="%SEGMENT_NAME%_%DATETIME(YYYYMMdd_HHmmss)%",
            schedule={"frequency": "DAILY", "triggerType": "SCHEDULED", "startDate": "2020-01-01", "startTime": "04:00"},
        )
