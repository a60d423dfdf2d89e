import json
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import Transient
from headrace.ingest.quarantine import (
    ERROR_FILE,
    FailedBatch,
    Quarantine,
    QuarantinedMessage,
    QuarantineRoller,
    encode_quarantined,
    error_line,
)
from headrace.schemas import Violation
from headrace.storage.log.memory import MemoryLog, MemoryTopic
from tests.unit.ingest.inlet_kit import FakeBatches

NOW = 1_770_000_000_000
EXTRANEOUS = Violation("#/a", "additionalProperties", "DCVS-1901-400", "extraneous key [b] is not permitted", "#/properties/a")
TYPE = Violation("#/c", "type", "DCVS-1104-400", "expected type: String, found: Long", "#/properties/c")


def entry(message: Any, *, at_ms: int = NOW, dataset: int = 1, flow_id: str = "", violations: Any = (EXTRANEOUS,)) -> bytes:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return encode_quarantined(QuarantinedMessage(1, dataset, "inlet", flow_id, data, violations, False, at_ms))


@pytest.fixture
def topic() -> MemoryTopic:
    return MemoryLog().topic("quarantine")


@pytest.fixture
def batches() -> FakeBatches:
    return FakeBatches()


def opened(topic: MemoryTopic, tmp_path: Path, batches: FakeBatches) -> Quarantine:
    return Quarantine(topic, tmp_path / "quarantine", batches)


def lines(tmp_path: Path, batch: FailedBatch) -> list[Any]:
    return [json.loads(line) for line in (tmp_path / "quarantine" / batch.id / ERROR_FILE).read_text().splitlines()]


def test_messages_of_a_minute_share_a_failed_batch_per_dataset(topic: MemoryTopic, tmp_path: Path, batches: FakeBatches) -> None:
    message = {"header": {"flowId": "f"}, "body": {"xdmEntity": {"a": 1}}}
    topic.append([entry(message, flow_id="f"), entry(message, dataset=2), entry(message, at_ms=NOW + 59_000, violations=(TYPE,))])
    quarantine = opened(topic, tmp_path, batches)
    assert quarantine.roll() == 3
    topic.append([entry(message, at_ms=NOW + 60_000)])
    assert quarantine.roll() == 1
    first, other, later = sorted(batches.by_id.values(), key=lambda batch: (batch.opened_at_ms, batch.dataset))
    assert [batch.record_count for batch in (first, other, later)] == [2, 1, 1]
    assert (first.dataset, other.dataset, later.dataset) == (1, 2, 1)
    assert len(first.id) == 26
    assert first.flow_ids == ["f"]
    assert first.errors == [
        {
            "code": "DCVS-1901-400",
            "description": "The message cannot be validated: [#/a: extraneous key [b] is not permitted]",
            "recordCount": 1,
        },
        {
            "code": "DCVS-1104-400",
            "description": "The message cannot be validated: [#/c: expected type: String, found: Long]",
            "recordCount": 1,
        },
    ]
    assert first.metrics["invalidRecordCount"] == first.metrics["invalidRecordsStreamingValidation"] == 2
    assert len(lines(tmp_path, first)) == 2


def test_error_file_holds_the_message_with_its_reasons(topic: MemoryTopic, tmp_path: Path, batches: FakeBatches) -> None:
    message = {"header": {"x": 1}, "body": {"xdmEntity": {"a": "é"}}}
    topic.append([entry(json.dumps(message, indent=2).encode())])
    opened(topic, tmp_path, batches).roll()
    (batch,) = batches.by_id.values()
    (line,) = lines(tmp_path, batch)
    reasons = [
        {
            "code": "DCVS-1901-400",
            "message": "extraneous key [b] is not permitted",
            "keyword": "additionalProperties",
            "pointerToViolation": "#/a",
            "schemaLocation": "#/properties/a",
        }
    ]
    assert line == {**message, "_errors": {"_streamingValidation": reasons}, "_validationErrors": reasons}


@pytest.mark.parametrize("message", [b'{"a":1}', b'{"header":{},"a":1}', b"7"])
def test_messages_of_raw_inlets_become_the_body(message: bytes) -> None:
    data = error_line(QuarantinedMessage(1, 1, "inlet", "", message, (EXTRANEOUS,), True, NOW))
    line = json.loads(data)
    assert (line["header"], line["body"]) == ({}, json.loads(message))


def test_bytes_that_are_no_text_do_not_break_the_file() -> None:
    message = b'{"header":{"x":"\xff"},"body":{}}'
    assert json.loads(error_line(QuarantinedMessage(1, 1, "inlet", "", message, (EXTRANEOUS,), True, NOW)))["body"] == {}


class Crash(Exception):
    pass


class CrashingBatches(FakeBatches):
    def __init__(self, faults: list[Exception]) -> None:
        super().__init__()
        self.faults = faults

    def put(self, batch: FailedBatch) -> None:
        if self.faults:
            raise self.faults.pop()
        super().put(batch)


@pytest.mark.parametrize("is_restarted", [True, False])
def test_a_crash_half_way_changes_nothing(topic: MemoryTopic, tmp_path: Path, is_restarted: bool) -> None:
    batches = CrashingBatches([])
    quarantine = opened(topic, tmp_path, batches)
    topic.append([entry({"header": {}, "body": {"n": 1}})])
    quarantine.roll()
    batches.faults = [Crash(), Crash()]
    topic.append([entry({"header": {}, "body": {"n": 2}}), entry({"header": {}, "body": {"n": 3}}, dataset=2)])
    for _ in range(2):
        with pytest.raises(Crash):
            (opened(topic, tmp_path, batches) if is_restarted else quarantine).roll()
    (opened(topic, tmp_path, batches) if is_restarted else quarantine).roll()
    found = sorted(batches.by_id.values(), key=lambda batch: batch.dataset)
    assert [batch.record_count for batch in found] == [2, 1]
    assert [[line["body"]["n"] for line in lines(tmp_path, batch)] for batch in found] == [[1, 2], [3]]


def test_a_restart_goes_on_with_the_open_batch(topic: MemoryTopic, tmp_path: Path, batches: FakeBatches) -> None:
    for number in range(3):
        topic.append([entry({"header": {}, "body": {"n": number}})])
        opened(topic, tmp_path, batches).roll()
    (batch,) = batches.by_id.values()
    assert [line["body"]["n"] for line in lines(tmp_path, batch)] == [0, 1, 2]


def test_roller_shows_what_it_is_woken_for_and_what_was_left(topic: MemoryTopic, tmp_path: Path, batches: FakeBatches) -> None:
    topic.append([entry({"header": {}, "body": {}})])
    roller = QuarantineRoller(opened(topic, tmp_path, batches))
    topic.append([entry({"header": {}, "body": {}})])
    roller.wake()
    roller.close()
    assert [batch.record_count for batch in batches.by_id.values()] == [2]


def test_roller_tries_again_after_a_fault(topic: MemoryTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.ingest.quarantine._RETRY_SECONDS", 0.01)
    batches = CrashingBatches([Transient("busy")])
    topic.append([entry({"header": {}, "body": {}})])
    roller = QuarantineRoller(opened(topic, tmp_path, batches))
    for _ in range(500):
        if batches.by_id:
            break
        roller._thread.join(0.01)
    roller.close()
    assert [batch.record_count for batch in batches.by_id.values()] == [1]
