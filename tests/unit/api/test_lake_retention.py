"""What the wire says of row expiration is what the lake writer's upkeep is told, and the sizes that upkeep notes are shown."""

import httpx
import pytest

from headrace.api.services import Services
from headrace.clock import ManualClock
from headrace.model import Sandbox
from headrace.roles.lake_catalog import CatalogOfLake
from headrace.storage.lake import TableId

from .registry import make_dataset, make_schema

CATALOG = "/data/foundation/catalog"


@pytest.fixture
def of_lake(services: Services, clock: ManualClock) -> CatalogOfLake:
    return CatalogOfLake(services.sandboxes, services.catalog, services.batches, services.schemas, clock)


@pytest.fixture
def dataset_id(client: httpx.Client) -> str:
    return make_dataset(client, "Events", make_schema(client, "Events", is_event=True))


def limit(client: httpx.Client, dataset_id: str, value: str | None) -> None:
    body = {"extensions": {"adobe_lakeHouse": {"rowExpiration": {"ttlValue": value}}}}
    client.patch(f"{CATALOG}/v2/dataSets/{dataset_id}", json=body).raise_for_status()


def test_retention_of_a_dataset_is_told_in_days(
    client: httpx.Client, of_lake: CatalogOfLake, prod: Sandbox, dataset_id: str
) -> None:
    assert of_lake.retentions() == {}
    limit(client, dataset_id, "P3M")
    assert of_lake.retentions() == {TableId(prod.number, "events"): 90}
    limit(client, dataset_id, None)
    assert of_lake.retentions() == {}


def test_sizes_after_upkeep_are_those_of_the_dataset(
    client: httpx.Client, of_lake: CatalogOfLake, prod: Sandbox, dataset_id: str
) -> None:
    of_lake.resized(TableId(prod.number, "events"), 7, 1234)
    of_lake.resized(TableId(prod.number, "unknown"), 8, 1)
    of_lake.resized(TableId(99, "events"), 9, 1)
    body = client.get(f"{CATALOG}/dataSets/{dataset_id}").json()[dataset_id]
    metrics = body["extensions"]["adobe_lakeHouse"]["metrics"]
    assert (metrics["rowCount"], metrics["storageSize"]) == (7, 1234)
