"""The public Python client, unchanged, over a real port."""

import gc
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from headrace.api.build import build_api
from headrace.api.services import Services
from headrace.governance.accounts import credentials_of

from .registry import make_schema

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    aepp = pytest.importorskip("aepp")
    catalog = pytest.importorskip("aepp.catalog")
    customerprofile = pytest.importorskip("aepp.customerprofile")
    identity = pytest.importorskip("aepp.identity")
    sandboxes = pytest.importorskip("aepp.sandboxes")

pytestmark = pytest.mark.filterwarnings("ignore")


class Running:
    """The API on a free port, served by its own thread."""

    def __init__(self, services: Services) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"
        self._server = uvicorn.Server(uvicorn.Config(build_api(services), port=port, http="h11", lifespan="off", log_config=None))
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()

    def wait(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                httpx.get(f"{self.base}/headrace/health")
            except httpx.TransportError:
                time.sleep(0.01)
            else:
                return
        raise AssertionError("the server does not answer")

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def base(services: Services) -> Iterator[str]:
    running = Running(services)
    try:
        running.wait()
        yield running.base
    finally:
        running.stop()


@pytest.fixture
def configured(base: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    credentials = credentials_of(home)
    aepp.configure(
        org_id=credentials["organization_id"],
        client_id=credentials["client_id"],
        secret=credentials["client_secret"],
        scopes="openid,AdobeID",
        sandbox="prod",
        retry=0,
    )
    monkeypatch.setitem(aepp.config.endpoints, "global", base)
    monkeypatch.setitem(aepp.config.config_object, "oauthTokenEndpointV2", f"{base}/ims/token/v3")
    yield base
    gc.collect()  # the client leaves its connections to the collector, which would complain in another test


def test_server_passes_the_raw_path_on(base: str, headers: dict[str, str]) -> None:
    answer = httpx.get(f"{base}/data/foundation/sandbox-management/sandboxes/a%2Fb/", headers=headers)
    assert answer.status_code == 404
    assert "'a/b'" in answer.json()["detail"]
    assert answer.headers["x-request-id"]


def test_client_manages_sandboxes(configured: str) -> None:
    api: Any = sandboxes.Sandboxes()
    assert [item["name"] for item in api.getSandboxes()] == ["prod"]
    assert {item["id"] for item in api.getSandboxTypes()} == {"production", "development"}
    assert api.createSandbox("dev", "Dev")["state"] == "creating"
    assert len(api.getSandboxId("dev")) == 36
    assert api.updateSandbox("dev", {"title": "New"})["title"] == "New"
    assert api.resetSandbox("dev")["state"] == "resetting"
    assert api.deleteSandbox("dev") == 202
    assert api.getSandbox("dev")["state"] == "deleted"


def test_client_with_the_old_credentials_finds_its_sandbox(configured: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = credentials_of(home)
    aepp.configure(
        org_id=credentials["organization_id"],
        client_id=credentials["client_id"],
        secret=credentials["client_secret"],
        auth_code="code",
        retry=0,
    )
    monkeypatch.setitem(aepp.config.endpoints, "global", configured)
    monkeypatch.setitem(aepp.config.config_object, "oauthTokenEndpointV1", f"{configured}/ims/token/v1")
    api: Any = sandboxes.Sandboxes()
    assert len(api.header["x-sandbox-id"]) == 36
    assert len(api.getSandboxes()) == 1


def test_client_keeps_datasets(configured: str, client: httpx.Client) -> None:
    schema_id = make_schema(client, "Customers")
    api: Any = catalog.Catalog()
    [reference] = api.createDataSet(name="CRM", schemaId=schema_id, upsert=True, identityEnabled=True)
    dataset_id = reference.removeprefix("@/dataSets/")
    assert list(api.getDataSets()) == [dataset_id]
    assert api.data.table_names == {"CRM": ["crm"]}
    infos = api.getDatasetsInfos().iloc[0]
    assert bool(infos["profileEnabled"]) and bool(infos["identityEnabled"])
    assert infos["dataBehavior"] == "record"
    assert api.disableDatasetProfile(dataset_id) == [reference]
    assert api.enableDatasetUpsert(dataset_id) == [reference]
    assert api.enableDatasetProfile(dataset_id) == [reference]
    assert api.enableDatasetIdentity(dataset_id) == [reference]
    assert api.disableDatasetValidationContext(dataset_id) == [reference]
    assert api.patchDataset(dataset_id, {"description": "d"}) == [reference]
    tags = api.getDataSet(dataset_id)[dataset_id]["tags"]
    assert tags["acp_validationContext"] == ["disabled"]
    assert api.getDataSetObservableSchema(dataset_id)["observableSchema"] == {}
    assert "extensions" in api.getDataSetExpiration(dataset_id)
    [view] = api.getDataSetViews(dataset_id)
    assert api.getDataSetViewFiles(dataset_id, view) == {}
    assert api.createBatch({"status": "loading"})[0].startswith("@/batches/")
    assert len(api.getBatches(n_results=200)) == 1
    assert api.getLastBatches() == {}
    assert api.createUnionProfileDataset()[0].startswith("@/dataSets/")
    assert api.deleteDataSet(dataset_id) == 200


def test_client_sets_how_long_events_stay(configured: str, client: httpx.Client) -> None:
    schema_id = make_schema(client, "Visits", is_event=True)
    api: Any = catalog.Catalog()
    [reference] = api.createDataSet(name="Web", schemaId=schema_id)
    assert api.setDatasetTTL(reference.removeprefix("@/dataSets/"), "P3M") == [reference]


def test_client_pages_through_many_datasets(configured: str, client: httpx.Client) -> None:
    schema_id = make_schema(client, "Customers")
    api: Any = catalog.Catalog()
    for number in range(5):
        api.createDataSet(name=f"CRM {number}", schemaId=schema_id)
    assert len(api.getDataSets(limit=2)) >= 3  # the client itself skips one dataset a page


def test_client_keeps_namespaces(configured: str) -> None:
    api: Any = identity.Identity(region="va7")
    api.endpoint = f"{configured}/data/core"
    assert len(api.getIdentities()) == 16
    made = api.createIdentity("Loyalty ID", "Loyalty", "CROSS_DEVICE")
    assert api.getIdentities(only_custom=True) == [made]
    assert api.getIdentityDetail(made["id"]) == made
    assert api.updateIdentity(made["id"], "Card", "Loyalty", "CROSS_DEVICE")[0]["name"] == "Card"
    assert len(api.getIdentitiesIMS()) == 17
    assert set(api.getIdentity("ada@example.com", namespace="email")) == {"xid"}
    assert len(api.createB2BIdentities()) == 9
    found = api.getLinkedIdentities([{"ns": "Email", "id": "ada@example.com"}])
    assert found["graphs"][0]["members"] == []


def test_client_keeps_merge_policies(configured: str) -> None:
    api: Any = customerprofile.Profile()
    policy = {
        "name": "Strict",
        "schema": {"name": "_xdm.context.profile"},
        "identityGraph": {"type": "none"},
        "attributeMerge": {"type": "timestampOrdered"},
    }
    made = api.createMergePolicy(policy)
    assert [item["name"] for item in api.getMergePolicies(limit=1)] == ["Default Timebased", "Strict"]
    assert api.getMergePolicy(made["id"]) == made
    patch = [{"op": "add", "path": "/identityGraph.type", "value": "pdg"}]
    assert api.patchMergePolicy(made["id"], patch)["identityGraph"] == {"type": "pdg"}
    assert api.updateMergePolicy(made["id"], {**policy, "name": "New"})["name"] == "New"
    assert api.getMergePolicyActiveOnEdge() is None
    assert api.deleteMergePolicy(made["id"]) == 200
