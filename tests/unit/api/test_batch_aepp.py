"""The public Python client, unchanged, against batch ingestion and data access."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
import requests

from headrace.api.build import build_api
from headrace.api.services import Services
from headrace.clock import ManualClock
from headrace.governance.accounts import credentials_of
from tests.asgi import AsgiTransport
from tests.unit.api.batch_kit import Backstage, catalog_batch, event
from tests.unit.api.registry import make_dataset, make_schema
from tests.unit.api.test_schema_registry_aepp import BASE, carrier

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    aepp = pytest.importorskip("aepp")
    aepp_ingestion = pytest.importorskip("aepp.ingestion")
    aepp_access = pytest.importorskip("aepp.dataaccess")

Client = Any


@pytest.fixture
def backstage(services: Services, home: Path, clock: ManualClock) -> Iterator[Backstage]:
    stage = Backstage(services, home, clock)
    yield stage
    stage.close()


@pytest.fixture
def client(backstage: Backstage, headers: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(transport=AsgiTransport(build_api(backstage.services)), base_url=BASE, headers=headers) as made:
        yield made


@pytest.fixture
def visits(client: httpx.Client) -> str:
    return make_dataset(client, "Visits", make_schema(client, "Visits", is_event=True))


@pytest.fixture(autouse=True)
def configured(client: httpx.Client, backstage: Backstage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", carrier(client))
    credentials = credentials_of(backstage.home)
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


def test_client_brings_rows_in_and_reads_them_back(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    ingestion: Client = aepp_ingestion.DataIngestion()
    batch = ingestion.createBatch(visits, format="json", multiline=True, enableDiagnostic=True, partialIngestionPercentage=50)
    assert batch["status"] == "loading"
    ingestion.uploadSmallFile(batch["id"], visits, "rows.json", data=[event(1), event(2), {"_id": "bad"}])
    assert ingestion.uploadSmallFileFinish(batch["id"])["status"] == "loaded"
    backstage.settle()
    assert catalog_batch(client, batch["id"])["status"] == "success"
    access: Client = aepp_access.DataAccess()
    [entry] = access.getBatchFiles(batch["id"])
    [part] = access.getFiles(entry["dataSetFileId"])["data"]
    assert pq.read_table(access.getFiles(entry["dataSetFileId"], path=part["name"])).num_rows == 2
    assert [row["_id"] for row in access.getPreview(visits)] == ["e1", "e2"]
    assert access.getBatchMeta(batch["id"], path="row_errors")["data"][0]["name"] == "validation_errors_0.json"
    assert access.getBatchMeta(batch["id"], path="row_errors/validation_errors_0.json")["_id"] == "bad"


def test_client_replays_and_deletes_a_batch(client: httpx.Client, backstage: Backstage, visits: str) -> None:
    ingestion: Client = aepp_ingestion.DataIngestion()
    first = ingestion.createBatch(visits)
    ingestion.uploadSmallFile(first["id"], visits, "rows.json", data=event(1))
    ingestion.uploadSmallFileFinish(first["id"])
    backstage.settle()
    second = ingestion.replayBatch(visits, [first["id"]])
    ingestion.uploadSmallFile(second["id"], visits, "rows.json", data=event(2))
    ingestion.uploadSmallFileFinish(second["id"])
    backstage.settle()
    assert [catalog_batch(client, batch["id"])["status"] for batch in (first, second)] == ["inactive", "success"]
    assert ingestion.deleteBatch(second["id"])["status"] == "inactive"
    backstage.settle()
    assert aepp_access.DataAccess().getPreview(visits) == []


def test_client_previews_what_it_has_uploaded(visits: str) -> None:
    ingestion: Client = aepp_ingestion.DataIngestion()
    batch = ingestion.createBatch(visits)
    ingestion.uploadSmallFile(batch["id"], visits, "rows.json", data=event(1))
    preview = ingestion.getPreviewBatchDataset(batch["id"], visits)["preview"]
    assert preview["rows"][0]["0"] == "e1"
