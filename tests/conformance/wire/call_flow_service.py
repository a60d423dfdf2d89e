"""Flow Service: specs, connections, dataflows and their runs; the landing zone."""

from collections.abc import Mapping
from functools import partial
from itertools import count
from typing import Any

import httpx

from tests.conformance.wire.calls import covers
from tests.conformance.wire.operations import AD_HOC, FLOW_SERVICE, LANDING_ZONE
from tests.conformance.wire.world import WireWorld
from tests.integration.world import LANDING_ZONE as ZONE_SPEC
from tests.integration.world import (
    LANDING_ZONE_FLOW,
    PROFILE_STORE,
    STREAMING_SOURCE,
    add,
    checked,
    spec,
)

BASE = FLOW_SERVICE.base
ZONE = f"{LANDING_ZONE.base}/landingzone"
ZONE_SOURCE = "26f526f2-58f4-4712-961d-e41bf1ccc0e8"
DATA_LAKE = "23598e46-f560-407b-88d5-ea6207e49db0"
_NUMBERS = count(1)
_KINDS = ("connections", "sourceConnections", "targetConnections", "flows")
_DAILY = {"frequency": "DAILY", "triggerType": "SCHEDULED", "startDate": "2027-02-14", "startTime": "04:00"}
_FILES = {
    "path": "out",
    "fileType": "CSV",
    "datasetFileType": "JSON",
    "compression": "NONE",
    "csvOptions": {"delimiter": ","},
    "filenameTemplate": "%DESTINATION_NAME%_%DATETIME(YYYYMMdd_HHmmss)%",
}


def _name(of: str) -> str:
    return f"{of} {next(_NUMBERS)}"


def _account_body() -> dict[str, Any]:
    params = {"dataType": "xdm", "name": _name("shop"), "sourceId": _name("shop")}
    auth = {"specName": "Streaming Connection", "params": params}
    return {"name": _name("Account"), "connectionSpec": spec(STREAMING_SOURCE), "auth": auth}


def _source_body() -> dict[str, Any]:
    return {"name": _name("Source"), "connectionSpec": spec(PROFILE_STORE)}


def _target_body(world: WireWorld) -> dict[str, Any]:
    account = {"name": _name("Zone"), "connectionSpec": spec(ZONE_SPEC)}
    base_id = checked(world.call("POST", f"{BASE}/connections", account)).json()["id"]
    return {"name": _name("Target"), "baseConnectionId": base_id, "connectionSpec": spec(ZONE_SPEC), "params": _FILES}


def _flow_body(world: WireWorld) -> dict[str, Any]:
    source = checked(world.call("POST", f"{BASE}/sourceConnections", _source_body())).json()["id"]
    target = checked(world.call("POST", f"{BASE}/targetConnections", _target_body(world))).json()["id"]
    return {
        "name": _name("Flow"),
        "flowSpec": spec(LANDING_ZONE_FLOW),
        "sourceConnectionIds": [source],
        "targetConnectionIds": [target],
    }


def _body(world: WireWorld, kind: str) -> dict[str, Any]:
    if kind == "connections":
        return _account_body()
    if kind == "sourceConnections":
        return _source_body()
    return _target_body(world) if kind == "targetConnections" else _flow_body(world)


def _made(world: WireWorld, kind: str) -> Mapping[str, Any]:
    made: Mapping[str, Any] = checked(world.call("POST", f"{BASE}/{kind}", _body(world, kind))).json()
    return made


def _item(world: WireWorld, kind: str, entity_id: str) -> Any:
    [item] = checked(world.call("GET", f"{BASE}/{kind}/{entity_id}")).json()["items"]
    return item


# --- what the four kinds of entities have in common ---


def _list(world: WireWorld, kind: str) -> httpx.Response:
    made = _made(world, kind)
    answer = world.call("GET", f"{BASE}/{kind}", params={"property": f"id=={made['id']}"})
    assert [item["id"] for item in answer.json()["items"]] == [made["id"]]
    return answer


def _create(world: WireWorld, kind: str) -> httpx.Response:
    body = _body(world, kind)
    answer = world.call("POST", f"{BASE}/{kind}", body)
    shown = _item(world, kind, checked(answer).json()["id"])
    assert (shown["name"], shown["etag"]) == (body["name"], answer.json()["etag"])
    return answer


def _look_up(world: WireWorld, kind: str) -> httpx.Response:
    return world.call("GET", f"{BASE}/{kind}/{_made(world, kind)['id']}")


def _patch(world: WireWorld, kind: str) -> httpx.Response:
    made = _made(world, kind)
    change = [{"op": "replace", "path": "/name", "value": "Renamed"}]
    answer = world.call("PATCH", f"{BASE}/{kind}/{made['id']}", change, headers={"If-Match": made["etag"]})
    shown = _item(world, kind, made["id"])
    assert (shown["name"], shown["etag"]) == ("Renamed", checked(answer).json()["etag"])
    return answer


def _delete(world: WireWorld, kind: str) -> httpx.Response:
    path = f"{BASE}/{kind}/{_made(world, kind)['id']}"
    answer = world.call("DELETE", path)
    assert world.call("GET", path).status_code == httpx.codes.NOT_FOUND
    return answer


for _kind in _KINDS:
    covers(FLOW_SERVICE, f"GET /{_kind}")(partial(_list, kind=_kind))
    covers(FLOW_SERVICE, f"POST /{_kind}")(partial(_create, kind=_kind))
    covers(FLOW_SERVICE, f"GET /{_kind}/{{id}}")(partial(_look_up, kind=_kind))
    covers(FLOW_SERVICE, f"PATCH /{_kind}/{{id}}")(partial(_patch, kind=_kind))
    covers(FLOW_SERVICE, f"DELETE /{_kind}/{{id}}")(partial(_delete, kind=_kind))


def _search(world: WireWorld, kind: str) -> httpx.Response:
    made = _made(world, kind)
    answer = world.call("POST", f"{BASE}/{kind}/search", {"queryString": f"property=id=={made['id']}"})
    assert [item["id"] for item in checked(answer).json()["items"]] == [made["id"]]
    return answer


covers(FLOW_SERVICE, "POST /connections/search")(partial(_search, kind="connections"))
covers(FLOW_SERVICE, "POST /flows/search")(partial(_search, kind="flows"))


# --- specs ---


@covers(FLOW_SERVICE, "GET /connectionSpecs")
def list_connection_specs(world: WireWorld) -> httpx.Response:
    return world.call("GET", f"{BASE}/connectionSpecs", params={"limit": 100})


@covers(FLOW_SERVICE, "GET /connectionSpecs/{id}")
def get_connection_spec(world: WireWorld) -> httpx.Response:
    return world.call("GET", f"{BASE}/connectionSpecs/{ZONE_SPEC}")


@covers(FLOW_SERVICE, "GET /connectionSpecs/{id}/configs")
def list_exportable_datasets(world: WireWorld) -> httpx.Response:
    params = {"outputType": "activationDatasets", "outputField": "datasets", "start": 0, "limit": 20}
    answer = world.call("GET", f"{BASE}/connectionSpecs/{DATA_LAKE}/configs", params=params)
    assert world.profiles in [item["id"] for item in answer.json()["items"]]
    return answer


@covers(FLOW_SERVICE, "GET /flowSpecs")
def list_flow_specs(world: WireWorld) -> httpx.Response:
    return world.call("GET", f"{BASE}/flowSpecs", params={"limit": 100})


@covers(FLOW_SERVICE, "GET /flowSpecs/{id}")
def get_flow_spec(world: WireWorld) -> httpx.Response:
    return world.call("GET", f"{BASE}/flowSpecs/{LANDING_ZONE_FLOW}")


# --- connections and dataflows ---


@covers(FLOW_SERVICE, "GET /connections/{id}/test")
def test_of_connection(world: WireWorld) -> httpx.Response:
    target_account = _target_body(world)["baseConnectionId"]
    return world.call("GET", f"{BASE}/connections/{target_account}/test")


@covers(FLOW_SERVICE, "POST /flows/{id}/action")
def act_on_flow(world: WireWorld) -> httpx.Response:
    made = _made(world, "flows")
    answer = world.call("POST", f"{BASE}/flows/{made['id']}/action", params={"op": "disable"})
    assert _item(world, "flows", made["id"])["state"] == "disabled"
    return answer


# --- runs ---


def _exporting_flow(world: WireWorld) -> str:
    """Make a file dataflow with an audience, and return its id."""
    return _flow_and_audience(world)[0]


def _flow_and_audience(world: WireWorld) -> tuple[str, str]:
    flow_id = str(_made(world, "flows")["id"])
    name = _name("Everybody")
    audience = world.audience(name, "person.name.firstName.isNotNull()")
    export = {"exportMode": "DAILY_FULL_EXPORT", "schedule": _DAILY, "filenameTemplate": "%SEGMENT_NAME%"}
    value = {"type": "PLATFORM_SEGMENT", "value": {"id": audience["id"], "name": name, **export}}
    checked(world.patch_flow(flow_id, [add("/transformations/0/params/segmentSelectors/selectors/-", value)]))
    return flow_id, str(audience["id"])


def _run(world: WireWorld, flow_id: str) -> Any:
    return checked(world.call("POST", f"{BASE}/runs", {"flowId": flow_id})).json()


@covers(FLOW_SERVICE, "GET /runs")
def list_runs(world: WireWorld) -> httpx.Response:
    flow_id = _exporting_flow(world)
    run = _run(world, flow_id)
    answer = world.call("GET", f"{BASE}/runs", params={"property": f"flowId=={flow_id}"})
    assert [item["id"] for item in answer.json()["items"]] == [run["id"]]
    return answer


@covers(FLOW_SERVICE, "GET /runs/{id}")
def get_run(world: WireWorld) -> httpx.Response:
    flow_id = _exporting_flow(world)
    answer = world.call("GET", f"{BASE}/runs/{_run(world, flow_id)['id']}")
    assert answer.json()["items"][0]["flowId"] == flow_id
    return answer


@covers(FLOW_SERVICE, "POST /runs")
def create_run(world: WireWorld) -> httpx.Response:
    return world.call("POST", f"{BASE}/runs", {"flowId": _exporting_flow(world)})


@covers(FLOW_SERVICE, "POST /runs/{id}/action")
def repeat_run(world: WireWorld) -> httpx.Response:
    flow_id = _exporting_flow(world)
    run_id = _run(world, flow_id)["id"]
    world.fail_run(run_id)
    answer = world.call("POST", f"{BASE}/runs/{run_id}/action", params={"op": "RE_TRIGGER"})
    assert (answer.json()["flowId"], answer.json()["id"] != run_id) == (flow_id, True)
    return answer


def _explored(world: WireWorld, path: str) -> httpx.Response:
    assert world.backstage is not None
    folder = world.backstage.home / "landing-zone" / world.sandbox / "orders"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "may.csv").write_text("id,total\n1,9.5\n")
    inside = {"objectType": "folder", "object": "/orders", "fileType": "delimited"}
    [file] = checked(world.call("GET", path, params=inside)).json()
    assert (file["type"], file["name"]) == ("file", "may.csv")
    answer = world.call("GET", path, params={"objectType": "root"})
    assert "orders" in [entry["name"] for entry in checked(answer).json()]
    return answer


@covers(FLOW_SERVICE, "GET /connectionSpecs/{id}/explore")
def explore_zone(world: WireWorld) -> httpx.Response:
    return _explored(world, f"{BASE}/connectionSpecs/{ZONE_SOURCE}/explore")


@covers(FLOW_SERVICE, "GET /connections/{id}/explore")
def explore_connection(world: WireWorld) -> httpx.Response:
    body = {"name": _name("Zone"), "connectionSpec": spec(ZONE_SOURCE)}
    account = checked(world.call("POST", f"{BASE}/connections", body)).json()["id"]
    return _explored(world, f"{BASE}/connections/{account}/explore")


@covers(AD_HOC, "POST /adhocrun")
def export_now(world: WireWorld) -> httpx.Response:
    flow_id, audience_id = _flow_and_audience(world)
    accept = {"Accept": "application/vnd.adobe.adhoc.activation+json; version=2"}
    answer = world.call("POST", f"{AD_HOC.base}/adhocrun", {"activationInfo": {flow_id: [audience_id]}}, headers=accept)
    [order] = answer.json()["order"]
    assert (order["segment"], order["order"]) == (audience_id, flow_id)
    return answer


# --- landing zone ---


@covers(LANDING_ZONE, "GET /landingzone")
def get_container(world: WireWorld) -> httpx.Response:
    return world.call("GET", ZONE, params={"type": "user_drop_zone"})


@covers(LANDING_ZONE, "GET /landingzone/credentials")
def get_credentials(world: WireWorld) -> httpx.Response:
    return world.call("GET", f"{ZONE}/credentials", params={"type": "user_drop_zone"})
