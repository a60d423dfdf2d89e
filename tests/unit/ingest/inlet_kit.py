"""A whole streaming inlet in memory: stores, one dataset of events, one of profiles, and inlets to post to."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from headrace.api.inlet import InletApp
from headrace.clock import ManualClock
from headrace.errors import HeadraceError, NotFound
from headrace.ingest.admission import RequestRate
from headrace.ingest.commit import GroupCommit
from headrace.ingest.counting import InletCounter
from headrace.ingest.inlets import Inlets
from headrace.ingest.mapping import MappingSets
from headrace.ingest.quarantine import FailedBatch, Quarantine, QuarantinedMessage, decode_quarantined
from headrace.ingest.streaming import StreamingIntake
from headrace.ingest.targets import Targets
from headrace.model import Record, Sandbox, decode_entry
from headrace.schemas import EVENT_CLASS, PROFILE_CLASS, SchemaRegistry
from headrace.storage.control import ControlStore
from headrace.storage.control.base import RevisionPage
from headrace.storage.control.tables import connections, flows, inlets, mapping_sets
from headrace.storage.log import Topic
from headrace.storage.log.memory import MemoryLog

ORGANIZATION = "ACME@AdobeOrg"
NOW = 1_770_000_000_000
EVENTS, PROFILES, LINKS = "events-dataset", "profiles-dataset", "links-dataset"
CONTENT_TYPE = "application/vnd.adobe.xed-full+json;version=1"
EVENT = {"_id": "e-1", "timestamp": "2026-01-02T03:04:05Z", "eventType": "web.webpagedetails.pageViews"}


@dataclass(frozen=True)
class FakeDataset:
    number: int
    id: str
    schema_id: str
    is_validation_disabled: bool = False
    body: Mapping[str, Any] = field(default_factory=dict)


class FakeDatasets:
    def __init__(self, datasets: Sequence[FakeDataset]) -> None:
        self.by_id = {dataset.id: dataset for dataset in datasets}

    def dataset(self, sandbox: Sandbox, dataset_id: str) -> FakeDataset:
        if dataset_id not in self.by_id:
            raise NotFound(f"Dataset '{dataset_id}' does not exist.")
        return self.by_id[dataset_id]


class FakeBatches:
    def __init__(self) -> None:
        self.by_id: dict[str, FailedBatch] = {}

    def put(self, batch: FailedBatch) -> None:
        self.by_id[batch.id] = batch


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[bytes, bytes]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)


class InletKit:
    def __init__(
        self, folder: Path, *, records: Topic | None = None, max_linger_ms: int = 2, max_waiting_bytes: int = 64_000_000
    ) -> None:
        self.clock = ManualClock(NOW)
        self.sandbox = Sandbox(1, "0d1a", "prod", "production", True, ORGANIZATION)
        self.control = ControlStore(f"sqlite:///{folder}/control.sqlite", RevisionPage(folder / "revision"))
        self.control.create_tables()
        self.schemas = SchemaRegistry(self.control, self.clock, "acme")
        self.log = MemoryLog()
        self.records: Topic = records or self.log.topic("records")
        self.quarantine_topic = self.log.topic("quarantine")
        self.datasets = FakeDatasets(
            [
                FakeDataset(11, EVENTS, EVENT_CLASS),
                FakeDataset(12, PROFILES, PROFILE_CLASS),
                FakeDataset(13, LINKS, PROFILE_CLASS),
            ]
        )
        self.batches = FakeBatches()
        self.quarantine = Quarantine(self.quarantine_topic, folder / "quarantine", self.batches)
        self.targets = Targets(self.datasets, self.schemas, MappingSets(self.control, self.schemas, self.clock))
        self.inlets = Inlets(self.control, lambda number: self.sandbox)
        self.valid_tokens = {"good"}
        self.rate = RequestRate(0, self.clock)
        self.lack: HeadraceError | None = None
        self._max_linger_ms, self._max_waiting_bytes = max_linger_ms, max_waiting_bytes

    def app(self) -> InletApp:
        self.commit = GroupCommit(
            self.records, self.quarantine_topic, max_linger_ms=self._max_linger_ms, max_waiting_bytes=self._max_waiting_bytes
        )
        intake = StreamingIntake(self.targets, self.commit, self.clock)
        counter = InletCounter(self.records, self.quarantine_topic)
        return InletApp(
            self.inlets,
            intake,
            counter,
            self.clock,
            lambda token: token in self.valid_tokens,
            rate=self.rate,
            lack_of_room=lambda: self.lack,
        )

    # Configuration

    def add_inlet(self, inlet_id: str = "a" * 64, *, state: str = "enabled", sandbox: int = 1, **params: Any) -> str:
        body = {"auth": {"params": {"inletId": inlet_id, "dataType": "xdm", "name": "shop", **params}}}
        with self.control.write() as transaction:
            transaction.execute(insert(connections).values(**_connection(f"base-{inlet_id[:4]}", "base", body, state)))
            transaction.execute(insert(inlets).values(id=inlet_id, sandbox=sandbox, connection_id=f"base-{inlet_id[:4]}"))
        return inlet_id

    def add_flow(
        self, inlet_id: str, flow_id: str, dataset_id: str, *, state: str = "enabled", mapping_id: str = "", created_at: int = 1
    ) -> None:
        target = {"params": {"dataSetId": dataset_id}, "data": {"schema": {"id": self.datasets.by_id[dataset_id].schema_id}}}
        steps = [{"name": "Mapping", "params": {"mappingId": mapping_id, "mappingVersion": 0}}] if mapping_id else []
        with self.control.write() as transaction:
            source = _connection(f"source-{flow_id}", "source", {}, "enabled", base=f"base-{inlet_id[:4]}")
            transaction.execute(insert(connections).values(**source))
            transaction.execute(insert(connections).values(**_connection(f"target-{flow_id}", "target", target, "enabled")))
            transaction.execute(
                insert(flows).values(
                    id=flow_id,
                    sandbox=1,
                    spec_id="spec",
                    source_connection_id=f"source-{flow_id}",
                    target_connection_id=f"target-{flow_id}",
                    state=state,
                    etag='"1"',
                    body={"transformations": steps},
                    created_at=created_at,
                    updated_at=1,
                )
            )

    def add_mapping(self, mapping_id: str, lines: list[dict[str, Any]]) -> None:
        with self.control.write() as transaction:
            transaction.execute(
                insert(mapping_sets).values(
                    id=mapping_id, sandbox=1, kind="mapping", version=0, body={"mappings": lines}, created_at=1, updated_at=1
                )
            )

    # What came of it

    def stored(self) -> list[Record]:
        entries = [decode_entry(data) for data in _entries_of(self.records)]
        return [entry for entry in entries if isinstance(entry, Record)]

    def quarantined(self) -> list[QuarantinedMessage]:
        return [decode_quarantined(data) for data in _entries_of(self.quarantine_topic)]

    def post(
        self, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, query: str = "", method: str = "POST"
    ) -> Reply:
        return self.run([(path, body, headers or {}, query, method)])[0]

    def run(self, requests: Sequence[tuple[str, Any, Mapping[str, str], str, str]]) -> list[Reply]:
        async def all_at_once() -> list[Reply]:
            app = self.app()
            try:
                return await asyncio.gather(*(call(app, *request) for request in requests))
            finally:
                app.close()

        return asyncio.run(all_at_once())


def _entries_of(topic: Topic) -> Iterator[bytes]:
    offset = 0
    while entries := topic.read(offset, limit=100_000):
        yield from (data for _, data in entries)
        offset = entries[-1][0] + 1


async def call(
    app: InletApp, path: str, body: Any, headers: Mapping[str, str], query: str = "", method: str = "POST", pieces: int = 1
) -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    step = max(1, -(-len(data) // pieces))
    parts = [data[start : start + step] for start in range(0, len(data), step)] or [b""]
    incoming = [{"type": "http.request", "body": part, "more_body": index + 1 < len(parts)} for index, part in enumerate(parts)]
    sent: list[Any] = []

    async def receive() -> Any:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return Reply(sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"])


def message(entity: Any = EVENT, *, dataset: str | None = EVENTS, schema: str = EVENT_CLASS, **header: Any) -> dict[str, Any]:
    ref = {"id": schema, "contentType": CONTENT_TYPE}
    whole = {"schemaRef": ref, "imsOrgId": ORGANIZATION, "datasetId": dataset, "source": {"name": "shop"}, **header}
    return {
        "header": {key: value for key, value in whole.items() if value is not None},
        "body": {"xdmMeta": {"schemaRef": ref}, "xdmEntity": entity},
    }


def _connection(connection_id: str, kind: str, body: dict[str, Any], state: str, base: str = "") -> dict[str, Any]:
    return {
        "id": connection_id,
        "kind": kind,
        "sandbox": 1,
        "spec_id": "spec",
        "base_connection_id": base,
        "state": state,
        "etag": '"1"',
        "body": body,
        "secrets": b"",
        "created_at": 1,
        "updated_at": 1,
    }
