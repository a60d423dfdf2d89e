"""Law: whatever is sent to an inlet, it is refused or set aside with its reason, nothing stalls, and no neighbour is lost.

What was accepted goes on through the pipeline and into the lake, for a record that is poison there would stop both for good.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from headrace.model import Record, encode_entry
from headrace.profile.reader import ProfileReader
from headrace.roles.lake_datasets import LakeDataset
from headrace.schemas import EVENT_CLASS
from headrace.storage.lake import TableId
from headrace.storage.lake.arrow import entity_schema
from headrace.storage.lake.iceberg import IcebergLake
from tests.faults.hostile import Case, cases, good
from tests.unit.api.test_inlet_connection import Wire, request
from tests.unit.ingest.inlet_kit import EVENTS, FakeDataset, InletKit, call
from tests.unit.roles import lake_world, pipeline_world

SEED = 20_260_101
XDM, OPEN, RAW, PLAIN = "a" * 64, "d" * 64, "b" * 64, "c" * 64
UNCHECKED = "unchecked-dataset"
LONGEST_SECONDS = 3.0
MAPPING = [
    {"sourceType": "ATTRIBUTE", "source": "body.xdmEntity._id", "destination": "_id"},
    {"sourceType": "ATTRIBUTE", "source": "body.xdmEntity.timestamp", "destination": "timestamp"},
    {"sourceType": "ATTRIBUTE", "source": "body.xdmEntity.identityMap", "destination": "identityMap"},
    {"sourceType": "EXPRESSION", "source": "concat(header.flowId, body.xdmEntity.eventType)", "destination": "eventType"},
]


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[InletKit]:
    kit = InletKit(tmp_path)
    kit.datasets.by_id[UNCHECKED] = FakeDataset(14, UNCHECKED, EVENT_CLASS, is_validation_disabled=True)
    kit.add_inlet(XDM)
    for inlet, flow, dataset, mapping in ((OPEN, "f-0", UNCHECKED, ""), (RAW, "f-1", EVENTS, "m"), (PLAIN, "f-2", UNCHECKED, "")):
        kit.add_inlet(inlet, dataType="xdm" if inlet == OPEN else "raw")
        if mapping:
            kit.add_mapping(mapping, MAPPING)
        kit.add_flow(inlet, flow, dataset, mapping_id=mapping)
    yield kit
    kit.control.close()


class Attack:
    """Sends cases through both doors, and good messages with each."""

    def __init__(self, kit: InletKit) -> None:
        self.kit = kit
        self.sent: set[str] = set()
        self.acknowledged = 0

    async def run(self, all_cases: list[Case]) -> None:
        app = self.kit.app()
        try:
            for number, case in enumerate(all_cases):
                inlet = (XDM, OPEN, RAW, PLAIN)[number % 4] if number % 5 else XDM
                begin = time.process_time()
                await self._single(app, case, inlet, number)
                await self._batch(app, case, number)
                spent = time.process_time() - begin
                assert spent < LONGEST_SECONDS, f"{case.name} takes {spent:.1f} s"
        finally:
            app.close()

    async def _single(self, app: Any, case: Case, inlet: str, number: int) -> None:
        path = f"/collection/{inlet}"
        data = case.data.replace(EVENTS.encode(), UNCHECKED.encode()) if inlet == OPEN else case.data
        query = "syncValidation=true" if number % 50 == 7 else ""
        neighbour = self._good(f"n{number}")
        reply, kept = await asyncio.gather(
            call(app, path, data, case.headers, query), call(app, f"/collection/{XDM}", neighbour, {})
        )
        assert kept.status == 200
        self.acknowledged += 1
        self._judge(case, reply.status, reply.content)
        wire = Wire(app)
        wire.send(request(data, path=path, headers=case.headers) + request(self._good(f"w{number}"), path=f"/collection/{XDM}"))
        (status, _, content), (kept_status, _, _) = await wire.replies(2)
        wire.connection.connection_lost(None)
        assert kept_status == 200
        self.acknowledged += 1
        self._judge(case, status, content)

    async def _batch(self, app: Any, case: Case, number: int) -> None:
        path, before, behind = f"/collection/batch/{XDM}", self._good(f"b{number}"), self._good(f"c{number}")
        if case.is_body or len(case.data) > 1_000_000:
            reply = await call(app, path, case.data, case.headers)
            self._judge(case, reply.status, reply.content)
            reply = await call(app, path, {"messages": [before, behind]}, {})
            assert reply.status == 207
            self._count(reply.body["responses"])
            return
        data = b'{"messages":[%b,%b,%b]}' % (json.dumps(before).encode(), case.data, json.dumps(behind).encode())
        reply = await call(app, path, data, {})
        if reply.status == 400:  # too deep to tell where a message ends
            assert "levels" in case.name
            reply = await call(app, path, {"messages": [before, behind]}, {})
        responses = reply.body["responses"]
        assert "xactionId" in responses[0]
        assert "xactionId" in responses[-1]
        self._count(responses)

    def _good(self, entity_id: str) -> dict[str, Any]:
        self.sent.add(entity_id)
        return good(entity_id)

    def _judge(self, case: Case, status: int, content: bytes) -> None:
        assert status in (200, 207, 400, 413, 429), (case.name, case.data[:400], content)
        body = json.loads(content)
        assert len(content) < 20_000 or status == 207, case.name
        self._count(body.get("responses", [body]))

    def _count(self, responses: list[dict[str, Any]]) -> None:
        assert all("xactionId" in each or each.get("statusCode", each.get("status")) in (400, 413, 429) for each in responses)
        self.acknowledged += sum("xactionId" in each for each in responses)


def attack(kit: InletKit, tmp_path: Path, seed: int, count: int) -> None:
    print(f"seed {seed}, {count} cases")
    attack = Attack(kit)
    asyncio.run(attack.run(cases(seed, count)))
    assert kit.records.next_offset() + kit.quarantine_topic.next_offset() == attack.acknowledged
    assert all(entry.violations for entry in kit.quarantined())
    kit.quarantine.roll()
    stored = kit.stored()
    assert attack.sent <= {str(json.loads(record.body).get("_id")) for record in stored if record.dataset == 11}
    check_pipeline(stored, attack.sent)
    check_lake(kit, stored, attack.sent, tmp_path)


def check_pipeline(stored: list[Record], sent: set[str]) -> None:
    world = pipeline_world.World({1: 'chain(xEvent, timestamp, [A: WHAT(eventType = "none")])'})
    topic = world.log.topic("records")
    for record in stored:
        topic.append([encode_entry(Record(1, pipeline_world.EVENTS, record.body, record.accepted_at_ms, record.operation))])
    world.clock.move_to(stored[-1].accepted_at_ms)
    world.run()
    known = {vertex.identity.value for person in ProfileReader(world.state).persons(1) for vertex in person.vertices}
    assert {f"{name}@good.example" for name in sent} <= known


def check_lake(kit: InletKit, stored: list[Record], sent: set[str], folder: Path) -> None:
    world = lake_world.World(folder, lake=IcebergLake(folder / "lake"))
    visits = LakeDataset(
        1, 2, "visits-id", TableId(1, "visits"), entity_schema(kit.schemas.full_form(kit.sandbox, EVENT_CLASS)), is_event=True
    )
    world.catalog.datasets[1, 2] = visits
    world.send(*(Record(1, 2, record.body, record.accepted_at_ms) for record in stored))
    lake_world.settle(world.role())
    found = [cast(dict[str, Any], row.entity).get("_id") for row in world.lake.read(visits.table)]
    assert sent <= set(found)


def test_hostile_messages_hurt_nobody(kit: InletKit, tmp_path: Path) -> None:
    attack(kit, tmp_path, SEED, 320)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_hostile_messages_hurt_nobody(kit: InletKit, tmp_path: Path) -> None:
    attack(kit, tmp_path, SEED + 1, 10_000)


@pytest.mark.parametrize("pattern", [r"(a|a)*\1b", "^(a+)+$", r"(.*)*(.*)*\1$"])
def test_a_schema_with_a_hostile_pattern_holds_up_nobody(kit: InletKit, pattern: str) -> None:
    from headrace.schemas import RecordValidator

    form = {"type": "object", "properties": {"_id": {"type": "string", "pattern": pattern}}}
    check = RecordValidator(form).is_valid
    begin = time.process_time()
    for _ in range(200):
        check({"_id": "a" * 4000 + "!"})
    assert time.process_time() - begin < 1.0
