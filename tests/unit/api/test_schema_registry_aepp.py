"""The public Python client, unchanged, against our registry: its requests are carried to the application in process."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
import requests
from requests.structures import CaseInsensitiveDict

from headrace.api.services import Services
from headrace.clock import ManualClock
from headrace.governance.accounts import credentials_of
from headrace.schemas import SchemaRegistry
from headrace.storage.control import ControlStore
from tests.unit.schemas.samples import EVENT, IDENTITY_MAP, PERSON_DETAILS, PROFILE, TEXT, acme, group, schema

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    aepp = pytest.importorskip("aepp")
    aepp_schema = pytest.importorskip("aepp.schema")

BASE = "http://127.0.0.1:8900"
Client = Any


@pytest.fixture
def services(services: Services, control: ControlStore, clock: ManualClock) -> Services:
    return replace(services, schemas=SchemaRegistry(control, clock, "acme"))


def carrier(client: httpx.Client) -> Callable[..., requests.Response]:
    """Return what stands in for the client's network: it sends a request to the application and brings the answer back."""

    def send(_adapter: Any, request: requests.PreparedRequest, **_options: Any) -> requests.Response:
        given = request.body or b""
        content = given.encode() if isinstance(given, str) else bytes(given)  # type: ignore[arg-type]
        headers = {name: str(value) for name, value in request.headers.items()}
        came = client.request(str(request.method), str(request.url), headers=headers, content=content)
        answer = requests.Response()
        answer.status_code = came.status_code
        answer.headers = CaseInsensitiveDict(came.headers)
        answer._content = came.content
        answer.url, answer.request = str(request.url), request
        return answer

    return send


@pytest.fixture
def api(anonymous: httpx.Client, services: Services, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", carrier(anonymous))
    credentials = credentials_of(services.settings.home)
    aepp.configure(
        org_id=credentials["organization_id"],
        client_id=credentials["client_id"],
        secret=credentials["client_secret"],
        scopes="openid",
        sandbox="prod",
        retry=0,
    )
    monkeypatch.setitem(aepp.config.endpoints, "global", BASE)
    monkeypatch.setitem(aepp.config.config_object, "oauthTokenEndpointV2", f"{BASE}/ims/token/v3")
    return aepp_schema.Schema()


def test_client_reads_tenant_and_statistics(api: Client) -> None:
    assert api.getTenantId() == "acme"
    assert api.getStats()["counts"]["classes"] == 3


def test_client_creates_enables_and_describes_a_schema(api: Client) -> None:
    loyalty = api.createFieldGroup(group("Loyalty", acme(crmId=TEXT)))
    made = api.createProfileSchema("Members", [loyalty["$id"], PERSON_DETAILS], description="Ours")
    assert made["meta:class"] == PROFILE
    body = api.createDescriptorOperation(made["$id"], "xdm:descriptorIdentity", "_acme.crmId", "CRMID", True)
    descriptor = api.createDescriptor(body)
    assert descriptor["xdm:isPrimary"] is True
    assert [item["@id"] for item in api.getDescriptors(prop=f"xdm:sourceSchema=={made['$id']}")] == [descriptor["@id"]]
    assert api.enableSchemaForUPS(made["$id"])["meta:immutableTags"] == ["union"]
    assert [item["$id"] for item in api.getXDMprofileSchema()["results"]] == [made["$id"]]
    assert api.getUnion("_xdm.context.profile__union")["properties"]["xdm:person"]
    extended = api.addFieldGroupToSchema(made["$id"], [IDENTITY_MAP])
    assert [part["$ref"] for part in extended["allOf"]] == [PROFILE, loyalty["$id"], PERSON_DETAILS, IDENTITY_MAP]


def test_client_lists_all_pages_of_everything(api: Client) -> None:
    for number in range(3):
        api.createSchema(schema(f"S{number}", base=EVENT))
    assert len(api.getSchemas()) == 3
    assert len(api.getSchemas(classFilter=EVENT)) == 3
    assert len(api.getBehaviors()) == 3
    assert len(api.getClassesGlobal()) == 3
    assert any(item["title"] == "IdentityMap" for item in api.getFieldGroupsGlobal(format="xdm"))
    assert len(api.getDataTypesGlobal()) == 47
    assert len(api.getUnions()) == 1


def test_client_reads_paths_samples_exports_and_audits(api: Client) -> None:
    made = api.createSchema(schema("Members", PERSON_DETAILS))
    assert "person.name.firstName" in api.getSchemaPaths(made["$id"])
    assert api.getSchemaSample(made["$id"])["xdm:person"]
    export = api.exportResource(made["$id"])
    assert export[-1]["title"] == "Members"
    assert len(api.getAuditLogs(made["$id"])) == 1
    assert api.deleteSchema(made["$id"]) == 204
    assert api.importResource(export)[0]["title"] == "Members"


def test_client_managers_read_a_schema(api: Client) -> None:
    loyalty = api.createFieldGroup(group("Loyalty", acme(crmId=TEXT, level={"type": "integer", "title": "Level"})))
    made = api.createProfileSchema("Members", [loyalty["$id"], PERSON_DETAILS])
    manager = api.SchemaManager(made["$id"])
    assert manager.classId == PROFILE
    frame = manager.to_dataframe()
    assert {"_acme.crmId", "_acme.level", "person.name.firstName"} <= set(frame["path"])
    fields = api.FieldGroupManager(loyalty["$id"])
    assert fields.EDITABLE
    for name, type_name, more in (
        ("points", "integer", {}),
        ("spent", "double", {}),
        ("count", "long", {}),
        ("code", "short", {}),
        ("since", "date", {}),
        ("seenAt", "date-time", {}),
        ("tags", "string", {"array": True}),
        ("tier", "string", {"enumValues": {"gold": "Gold"}, "enumType": True}),
        ("hint", "string", {"enumValues": {"a": "A"}, "enumType": False}),
        ("notes", "map", {}),
        ("spot", "object", {"objectComponents": {"x": "double"}}),
        ("visits", "array", {"objectComponents": {"page": "string"}}),
    ):
        fields.addField(f"_acme.{name}", type_name, title=name, **more)
    updated = fields.updateFieldGroup()
    assert updated["version"] == "1.1"
    form = api.getSchema(made["$id"], schema_type="xed")["properties"]["_acme"]["properties"]
    types = {name: node["meta:xdmType"] for name, node in form.items()}
    assert types == {
        "crmId": "string",
        "level": "int",
        "points": "int",
        "spent": "number",
        "count": "long",
        "code": "short",
        "since": "date",
        "seenAt": "date-time",
        "tags": "array",
        "tier": "string",
        "hint": "string",
        "notes": "map",
        "spot": "object",
        "visits": "array",
    }
