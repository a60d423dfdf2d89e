import asyncio
from pathlib import Path
from typing import Any

import pytest

from headrace.activation.connections import Connections
from headrace.activation.errors import (
    EndpointForbidden,
    EntityInUse,
    EntityInvalid,
    EntityUnknown,
    SpecInvalid,
    SpecVersionMissing,
    VersionMissing,
    VersionStale,
)
from headrace.activation.service import FlowService
from headrace.clock import ManualClock
from headrace.config import SettingInvalid
from headrace.destinations.errors import AuthSpecUnknown
from headrace.ingest.inlets import Inlets
from headrace.storage.control import ControlStore
from tests.unit.activation.flow_fakes import (
    AUTHOR,
    DATA_LAKE,
    HTTP_API,
    LAKE_TARGET,
    OTHER,
    PROD,
    S3,
    STREAMING,
    ZONE,
    flow_service,
    http_bodies,
    make_ends,
    s3_bodies,
    source_body,
    spec,
)

BASE_URL = "http://127.0.0.1:8900"


@pytest.fixture
def service(control: ControlStore, clock: ManualClock, tmp_path: Path) -> FlowService:
    return flow_service(control, clock, tmp_path)


@pytest.fixture
def connections(service: FlowService) -> Connections:
    return service.connections


def streaming_body(**params: Any) -> dict[str, Any]:
    given = {"dataType": "xdm", "name": "shop", **params}
    return {
        "name": "Shop",
        "providerId": "521eee4d-8cbe-4906-bb48-fb6bd4450033",
        "connectionSpec": spec(STREAMING),
        "auth": {"specName": "Streaming Connection", "params": given},
    }


def test_secrets_are_shown_masked_and_stored_sealed(connections: Connections, control: ControlStore) -> None:
    made = connections.create(PROD, "base", http_bodies()[0], AUTHOR)
    assert connections.wire(PROD, made, BASE_URL)["auth"]["params"]["bearerToken"] == "********"
    with control.engine.connect() as connection:
        rows = connection.exec_driver_sql("select body || cast(secrets as text) from connections").scalars().all()
    assert "s3cret-token" not in "".join(rows)


def test_streaming_connection_gets_an_inlet_that_the_gateway_finds(connections: Connections, control: ControlStore) -> None:
    made = connections.create(PROD, "base", streaming_body(), AUTHOR)
    params = connections.wire(PROD, made, BASE_URL)["auth"]["params"]
    assert params == {
        "dataType": "xdm",
        "name": "shop",
        "sourceId": "shop",
        "authenticationRequired": False,
        "inletId": params["inletId"],
        "inletUrl": f"{BASE_URL}/collection/{params['inletId']}",
    }
    assert len(params["inletId"]) == 64
    found = Inlets(control, lambda number: PROD).inlet(params["inletId"])
    assert (found.connection_id, found.source_id, found.is_raw) == (made.id, "shop", False)


def test_source_id_is_unique_within_a_sandbox(connections: Connections) -> None:
    connections.create(PROD, "base", streaming_body(sourceId="one"), AUTHOR)
    connections.create(OTHER, "base", streaming_body(sourceId="one"), AUTHOR)
    with pytest.raises(EntityInvalid, match="unique"):
        connections.create(PROD, "base", streaming_body(sourceId="one"), AUTHOR)


def test_streaming_connection_needs_a_known_data_type(connections: Connections) -> None:
    with pytest.raises(EntityInvalid) as refused:
        connections.create(PROD, "base", streaming_body(dataType="csv"), AUTHOR)
    assert refused.value.path == "/auth/params/dataType"


def test_inlet_survives_a_patch_and_cannot_be_changed_by_it(connections: Connections) -> None:
    made = connections.create(PROD, "base", streaming_body(), AUTHOR)

    def renamed(document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "name": "Store"}

    changed = connections.patch(PROD, "base", made.id, renamed, if_match=made.etag, author=AUTHOR)
    assert changed.body["auth"] == made.body["auth"]

    def moved(document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "auth": {**document["auth"], "params": {**document["auth"]["params"], "inletId": "0"}}}

    with pytest.raises(EntityInvalid):
        connections.patch(PROD, "base", made.id, moved, if_match=changed.etag, author=AUTHOR)


@pytest.mark.parametrize("given", [None, {}, {"version": "1.0"}, {"id": "0000", "version": "1.0"}])
def test_unknown_spec_is_refused(connections: Connections, given: Any) -> None:
    with pytest.raises(SpecInvalid, match="Please provide a valid spec id"):
        connections.create(PROD, "base", {"name": "x", "auth": {}, "connectionSpec": given}, AUTHOR)


def test_spec_without_version_is_refused(connections: Connections) -> None:
    with pytest.raises(SpecVersionMissing):
        connections.create(PROD, "base", {"name": "x", "connectionSpec": {"id": HTTP_API}}, AUTHOR)


def test_body_with_a_name_alone_is_a_landing_zone(connections: Connections) -> None:
    assert connections.create(PROD, "base", {"name": "Zone"}, AUTHOR).spec_id == ZONE


def test_http_api_without_auth_has_none(connections: Connections) -> None:
    made = connections.create(PROD, "base", {"name": "Open", "connectionSpec": spec(HTTP_API)}, AUTHOR)
    assert "auth" not in made.body


def test_unknown_authentication_scheme_is_refused_with_the_known_ones(connections: Connections) -> None:
    with pytest.raises(AuthSpecUnknown, match="Bearer Token"):
        connections.create(
            PROD, "base", {"name": "x", "connectionSpec": spec(HTTP_API), "auth": {"specName": "Basic", "params": {}}}, AUTHOR
        )


def test_wrong_key_is_refused_by_field(connections: Connections) -> None:
    base = s3_bodies()[0]
    base["auth"]["params"]["s3AccessKey"] = "short"
    with pytest.raises(SettingInvalid) as refused:
        connections.create(PROD, "base", base, AUTHOR)
    assert refused.value.path == "/auth/params/s3AccessKey"


def test_patch_takes_the_other_spelling_of_s3_keys_and_stores_the_usual_one(connections: Connections) -> None:
    made = connections.create(PROD, "base", s3_bodies()[0], AUTHOR)

    def replaced(document: dict[str, Any]) -> dict[str, Any]:
        params = {"accessId": "B" * 20, "secretKey": "x" * 40}
        return {**document, "auth": {**document["auth"], "params": params}}

    changed = connections.patch(PROD, "base", made.id, replaced, if_match=made.etag, author=AUTHOR)
    assert changed.body["auth"]["params"] == {
        "s3AccessKey": "B" * 20,
        "s3SecretKey": "********",
        "authorizedDate": "2027-02-14",
    }
    assert changed.secrets != made.secrets


def test_patch_with_the_mask_keeps_the_secret(connections: Connections) -> None:
    made = connections.create(PROD, "base", http_bodies()[0], AUTHOR)
    changed = connections.patch(
        PROD, "base", made.id, lambda document: {**document, "name": "Renamed"}, if_match=made.etag, author=AUTHOR
    )
    assert (changed.secrets, changed.etag != made.etag, changed.body["name"]) == (made.secrets, True, "Renamed")


def test_mask_without_a_stored_secret_is_refused(connections: Connections) -> None:
    base = http_bodies()[0]
    base["auth"]["params"]["bearerToken"] = "********"
    with pytest.raises(EntityInvalid, match="mask"):
        connections.create(PROD, "base", base, AUTHOR)


def test_credentials_can_be_taken_away_and_given_again(connections: Connections) -> None:
    made = connections.create(PROD, "base", s3_bodies()[0], AUTHOR)

    def without(document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "auth": {"specName": "Access Key"}}

    changed = connections.patch(PROD, "base", made.id, without, if_match=made.etag, author=AUTHOR)
    assert changed.secrets == b""


@pytest.mark.parametrize("place", ["sibling", "within auth", "legacy"])
def test_encryption_is_accepted_in_three_places_and_stored_in_one(connections: Connections, place: str) -> None:
    base = s3_bodies()[0]
    encryption = {"specName": "Any name", "params": {"encryptionAlgo": "PGPGPG", "publicKey": "LS0tLS0="}}
    if place == "sibling":
        base["encryptionSpecs"] = encryption
    elif place == "legacy":
        base["encryption"] = encryption
    else:
        base["auth"]["params"]["encryptionSpecs"] = encryption
    made = connections.create(PROD, "base", base, AUTHOR)
    assert made.body["encryptionSpecs"]["params"] == {"encryptionAlgo": "PGPGPG", "publicKey": "LS0tLS0="}
    assert "encryptionSpecs" not in made.body["auth"]["params"]


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://127.0.0.1/in",
        "https://localhost:9000/in",
        "https://[::1]/in",
        "https://10.1.2.3/in",
        "https://169.254.169.254/latest",
        "https://2130706433/in",
        "https://0x7f.1/in",
        "https://api.localhost/in",
        "http://hooks.example.com/in",
    ],
)
def test_endpoint_inside_the_network_or_without_tls_is_refused(
    connections: Connections, service: FlowService, endpoint: str
) -> None:
    base, target = http_bodies()
    target["params"]["httpEndpoint"] = endpoint
    with pytest.raises(EndpointForbidden) as refused:
        make_ends(service, (base, target))
    assert refused.value.path == "/params/httpEndpoint"


def test_endpoint_inside_the_network_is_allowed_by_the_operator(
    control: ControlStore, clock: ManualClock, tmp_path: Path
) -> None:
    base, target = http_bodies()
    target["params"]["httpEndpoint"] = "http://127.0.0.1:9/in"
    assert make_ends(flow_service(control, clock, tmp_path, allow_private=True), (base, target))


def test_versions_are_compared_with_their_quotes(connections: Connections) -> None:
    made = connections.create(PROD, "base", http_bodies()[0], AUTHOR)
    same = dict.copy
    with pytest.raises(VersionMissing):
        connections.patch(PROD, "base", made.id, same, if_match=None, author=AUTHOR)
    with pytest.raises(VersionStale):
        connections.patch(PROD, "base", made.id, same, if_match=made.etag.strip('"'), author=AUTHOR)
    assert made.etag.startswith('"')


def test_spec_of_a_connection_cannot_be_changed(connections: Connections) -> None:
    made = connections.create(PROD, "base", http_bodies()[0], AUTHOR)
    with pytest.raises(EntityInvalid, match="connectionSpec"):
        connections.patch(
            PROD, "base", made.id, lambda document: {**document, "connectionSpec": spec(S3)}, if_match=made.etag, author=AUTHOR
        )


def test_connection_of_another_sandbox_is_unknown(connections: Connections) -> None:
    made = connections.create(PROD, "base", http_bodies()[0], AUTHOR)
    with pytest.raises(EntityUnknown, match=rf"connections not found with id = \[{made.id}\]"):
        connections.get(OTHER, "base", made.id)


def test_base_connection_in_use_is_not_deleted(connections: Connections, service: FlowService) -> None:
    ends = make_ends(service, http_bodies())
    target = connections.get(PROD, "target", ends["targetConnectionIds"][0])
    with pytest.raises(EntityInUse, match=target.id):
        connections.delete(PROD, "base", target.base_connection_id)
    connections.delete(PROD, "target", target.id)
    connections.delete(PROD, "base", target.base_connection_id)


def test_target_needs_its_base_connection_and_of_the_same_spec(connections: Connections) -> None:
    target = http_bodies()[1]
    with pytest.raises(EntityInvalid, match="needs its base connection"):
        connections.create(PROD, "target", target, AUTHOR)
    bucket = connections.create(PROD, "base", s3_bodies()[0], AUTHOR)
    with pytest.raises(EntityInvalid, match="Amazon S3"):
        connections.create(PROD, "target", {**target, "baseConnectionId": bucket.id}, AUTHOR)


def test_target_parameters_are_checked_by_field(connections: Connections, service: FlowService) -> None:
    with pytest.raises(SettingInvalid) as refused:
        make_ends(service, s3_bodies(bucketName="Upper_Case"))
    assert refused.value.path == "/params/bucketName"


def test_landing_zone_target_takes_its_format_from_the_data(connections: Connections) -> None:
    made = connections.create(
        PROD,
        "target",
        {"name": "z", "connectionSpec": spec(ZONE), "data": {"format": "delimited"}, "params": {"path": "x", "type": "file"}},
        AUTHOR,
    )
    assert (made.body["params"]["fileType"], made.body["params"]["compression"]) == ("CSV", "NONE")


def test_dataset_source_names_its_datasets(connections: Connections) -> None:
    body = {"name": "Lake", "connectionSpec": spec(DATA_LAKE), "params": {"datasets": [{"dataSetId": "ds1"}]}}
    made = connections.create(PROD, "source", body, AUTHOR)
    assert made.body["params"]["datasets"] == [{"dataSetId": "ds1", "name": "Dataset 1"}]
    body["params"] = {"datasets": [{"dataSetId": "ds9"}]}
    with pytest.raises(EntityInvalid) as refused:
        connections.create(PROD, "source", body, AUTHOR)
    assert refused.value.path == "/params/datasets/0/dataSetId"


def test_lake_target_needs_a_dataset_with_the_named_schema(connections: Connections) -> None:
    body = {
        "name": "Lake",
        "connectionSpec": spec(LAKE_TARGET),
        "data": {"schema": {"id": "https://ns.example/schemas/1", "version": "application/vnd.adobe.xed-full+json;version=1.0"}},
        "params": {"dataSetId": "ds1"},
    }
    assert connections.create(PROD, "target", body, AUTHOR)
    body["params"] = {"dataSetId": "ds2"}
    with pytest.raises(EntityInvalid, match="schemas/2"):
        connections.create(PROD, "target", body, AUTHOR)


def test_profile_store_source_shows_what_it_holds(connections: Connections) -> None:
    made = connections.create(PROD, "source", source_body(), AUTHOR)
    shown = connections.wire(PROD, made, BASE_URL)
    assert shown["typeInfo"] == {"type": "ProfileFragments", "id": "ups"}
    assert (shown["createdBy"], shown["createdClient"], shown["sandboxName"]) == ("ada@techacct", "cli", "prod")


def test_a_landing_zone_is_tested_without_a_target(connections: Connections) -> None:
    made = connections.create(PROD, "base", {"name": "Zone"}, AUTHOR)
    asyncio.run(connections.test(PROD, made.id))
