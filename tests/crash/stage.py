"""The sandbox in which a story is told: schemas, datasets, audiences and dataflows, made through the public API."""

from dataclasses import dataclass, field
from typing import Any

from headrace.client import DATA_LANDING_ZONE_FLOW, EVENT_CLASS, PROFILE_CLASS, STREAM_DESTINATION_FLOW, Client
from headrace.testing.server import Server
from tests.crash.story import Item

_IDENTITY_MAP = "https://ns.adobe.com/xdm/context/identitymap"
_PERSON = "https://ns.adobe.com/xdm/context/profile-person-details"
_CONTACT = "https://ns.adobe.com/xdm/context/profile-personal-details"
_DAY = "<= 24 hours before now"

SWISS, ABANDONED, BROWSER, URGENT, SPENDER = "Swiss", "Abandoned", "Browser", "Urgent", "Spender"
FILES = (SWISS, SPENDER)
ATTRIBUTES = ("person.name.lastName", "homeAddress.countryCode")
COLUMNS = {"customer": "identityMap.CRMID", "last_name": "person.name.lastName", "country": "homeAddress.countryCode"}


@dataclass
class Stage:
    """What was made.

    Attributes:
        tenant: Name under which the tenant's own fields stand.
        inlet_path: Path of the streaming inlet; the host may differ from run to run.
        schemas: Ids of the schemas of records and of events.
        datasets: Ids of the datasets of records and of events.
        audiences: Name → id.
        flows: Name of a dataflow → its id.
    """

    tenant: str = ""
    inlet_path: str = ""
    schemas: tuple[str, str] = ("", "")
    datasets: tuple[str, str] = ("", "")
    audiences: dict[str, str] = field(default_factory=dict)
    flows: dict[str, str] = field(default_factory=dict)

    def entity(self, item: Item) -> dict[str, Any]:
        """Return the XDM entity of a record."""
        return self.under_tenant(item.entity)

    def under_tenant(self, entity: dict[str, Any]) -> dict[str, Any]:
        """Put the tenant's own fields where they belong."""
        own = {name: value for name, value in entity.items() if name == "application"}
        rest = {name: value for name, value in entity.items() if name != "application"}
        return {**rest, **({self.tenant: own} if own else {})}


def build(client: Client) -> Stage:
    """Make schemas, datasets, the inlet and the audiences."""
    stage = Stage(tenant=client.tenant_namespace())
    client.create_namespace("CRMID", "Customer number")
    profile = client.create_schema("Customers", PROFILE_CLASS, [_IDENTITY_MAP, _PERSON, _CONTACT])["$id"]
    group = client.create_field_group(
        "Application",
        {"application": {"type": "object", "properties": {"amount": {"type": "number", "title": "Amount"}}}},
        extends=[EVENT_CLASS],
    )
    event = client.create_schema("Behaviour", EVENT_CLASS, [group["$id"]])["$id"]
    client.describe_identity(profile, "/personalEmail/address", "Email")
    for schema in (profile, event):
        client.enable_schema(schema)
    stage.schemas = profile, event
    stage.datasets = client.create_dataset("Customers", profile), client.create_dataset("Behaviour", event)
    inlet = client.create_inlet("crash")
    stage.inlet_path = "/collection/" + inlet.rpartition("/collection/")[2]
    for name, pql in _queries(stage.tenant).items():
        stage.audiences[name] = client.create_audience(name, pql)["id"]
    urgent = f'homeAddress.countryCode = "CH" and inSegment("{stage.audiences[ABANDONED]}")'
    stage.audiences[URGENT] = client.create_audience(URGENT, urgent)["id"]
    return stage


def _queries(tenant: str) -> dict[str, str]:
    return {
        SWISS: 'homeAddress.countryCode = "CH"',
        ABANDONED: (
            f'chain(xEvent, timestamp, [A: WHAT(eventType = "begin") WHEN(>= 30 minutes before now and {_DAY}), '
            f'B: WHAT(eventType = "submit") WHEN({_DAY}) COUNT(0)])'
        ),
        BROWSER: 'chain(xEvent, timestamp, [A: WHAT(eventType = "view") WHEN(<= 60 minutes before now) COUNT(3)])',
        SPENDER: f'xEvent[eventType = "submit" and timestamp occurs {_DAY}].sum({tenant}.application.amount) > 90000',
    }


def send_messages(client: Client, stage: Stage, name: str, endpoint: str, audiences: list[str]) -> None:
    """Make a dataflow that sends audiences to an endpoint."""
    flow = client.create_flow(
        name, "HTTP API", STREAM_DESTINATION_FLOW, {"httpEndpoint": endpoint}, auth={"specName": "None", "params": {}}
    )
    for attribute in ATTRIBUTES:
        client.add_attribute(flow, attribute)
    for audience in audiences:
        client.add_audience(flow, stage.audiences[audience], audience)
    stage.flows[name] = flow


def write_files(client: Client, stage: Stage) -> None:
    """Make a dataflow that writes members into the landing zone every day at four."""
    target = {"path": "crash", "compression": "GZIP", "fileType": "CSV", "includeFileManifest": True}
    flow = client.create_flow("Files", "Data Landing Zone", DATA_LANDING_ZONE_FLOW, target)
    client.map_columns(flow, COLUMNS)
    for audience in FILES:
        client.add_audience(
            flow,
            stage.audiences[audience],
            audience,
            exportMode="DAILY_FULL_EXPORT",
            filenameTemplate="%SEGMENT_NAME%_%DATETIME(YYYYMMdd_HHmmss)%",
            schedule={"frequency": "DAILY", "triggerType": "SCHEDULED", "startDate": "2027-01-01", "startTime": "04:00"},
        )
    stage.flows["Files"] = flow


def built(server: Server, endpoint: str) -> Stage:
    """Build the stage of the kill test on a running server."""
    with server.client() as client:
        stage = build(client)
        send_messages(client, stage, "Messages", endpoint, [SWISS, ABANDONED, BROWSER, URGENT, SPENDER])
        write_files(client, stage)
    return stage
