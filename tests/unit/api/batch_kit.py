"""What stands behind batch ingestion and data access, run by hand: the batch loader and the lake writer."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from headrace.api.services import Services
from headrace.clock import ManualClock
from headrace.ingest.batch import BatchLoader
from headrace.ingest.batch_book import CatalogBook
from headrace.ingest.batch_import import BatchImport
from headrace.ingest.data_access import DataAccess
from headrace.ingest.mapping import MappingSets
from headrace.roles.lake_catalog import CatalogOfLake
from headrace.roles.lake_position import PositionFile
from headrace.roles.lake_seen import SeenEvents
from headrace.roles.lake_writer import LakeWriter
from headrace.storage.lake.iceberg import IcebergLake
from headrace.storage.log.memory import MemoryLog
from headrace.storage.state.memory import MemoryState

IMPORT, EXPORT, CATALOG = "/data/foundation/import", "/data/foundation/export", "/data/foundation/catalog"
OCTETS = {"Content-Type": "application/octet-stream"}


class Backstage:
    """The roles that work on batches."""

    def __init__(self, services: Services, home: Path, clock: ManualClock) -> None:
        self.home = home
        self.log = MemoryLog()
        self.lake = IcebergLake(home / "lake")
        catalog, batches, sandboxes, schemas = services.catalog, services.batches, services.sandboxes, services.schemas
        self.book = CatalogBook(sandboxes, catalog, batches, schemas, home, clock)
        mappers = MappingSets(services.control, schemas, clock)
        self.loader = BatchLoader(self.book, schemas, self.log, home, clock, mappers)
        self.writer = LakeWriter(
            self.lake,
            self.log,
            CatalogOfLake(sandboxes, catalog, batches, schemas, clock),
            SeenEvents(MemoryState()),
            PositionFile(home / "lake" / "position.json"),
            clock,
            home,
        )
        self.services = replace(
            services,
            imports=BatchImport(services.control, catalog, batches, self.log, home, clock),
            data_access=DataAccess(catalog, batches, lambda: self.lake, home),
        )

    def load(self) -> None:
        """Process what is completed."""
        while self.loader.step():
            pass

    def settle(self) -> None:
        """Process what is completed, and bring everything into the lake."""
        self.load()
        while self.writer.step():
            pass

    def close(self) -> None:
        self.loader.close()
        self.writer.close()


def lines(*rows: dict[str, Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def event(number: int, **more: Any) -> dict[str, Any]:
    return {"_id": f"e{number}", "timestamp": f"2027-02-01T09:00:{number % 60:02d}Z", "eventType": "visit", **more}


def open_batch(client: httpx.Client, dataset_id: str, **more: Any) -> str:
    """Create a batch of JSON lines and return its id."""
    body = {"datasetId": dataset_id, "inputFormat": {"format": "json", "isMultiLineJson": False}, **more}
    answer = client.post(f"{IMPORT}/batches", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def upload(client: httpx.Client, batch_id: str, dataset_id: str, name: str, content: bytes) -> httpx.Response:
    url = f"{IMPORT}/batches/{batch_id}/datasets/{dataset_id}/files/{name}"
    return client.put(url, content=content, headers=OCTETS)


def act(client: httpx.Client, batch_id: str, action: str) -> httpx.Response:
    return client.post(f"{IMPORT}/batches/{batch_id}", params={"action": action})


def catalog_batch(client: httpx.Client, batch_id: str) -> dict[str, Any]:
    body: dict[str, Any] = client.get(f"{CATALOG}/batches/{batch_id}").json()[batch_id]
    return body


def ingest(client: httpx.Client, backstage: Backstage, dataset_id: str, *rows: dict[str, Any], **more: Any) -> str:
    """Bring rows in as one batch and return its id."""
    batch_id = open_batch(client, dataset_id, **more)
    assert upload(client, batch_id, dataset_id, "rows.json", lines(*rows)).status_code == 201
    assert act(client, batch_id, "COMPLETE").status_code == 200
    backstage.settle()
    return batch_id


def zipped(*rows: dict[str, Any]) -> bytes:
    return gzip.compress(lines(*rows))
