import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from headrace.storage.errors import StorageFull
from headrace.storage.log.memory import MemoryLog, MemoryTopic
from tests.unit.ingest.inlet_kit import EVENT, InletKit, message

INLET = "a" * 64


class FullTopic(MemoryTopic):
    def append(self, entries: Sequence[bytes]) -> int:
        raise StorageFull("The disk is full.", retry_after_seconds=5)


@pytest.mark.parametrize("path", [f"/collection/{INLET}", f"/collection/batch/{INLET}"])
def test_full_storage_answers_503_with_retry_after(tmp_path: Path, path: str) -> None:
    kit = InletKit(tmp_path, records=FullTopic("records", MemoryLog()))
    kit.add_inlet(INLET)
    body = {"messages": [message()]} if "batch" in path else message()
    reply = kit.post(path, body)
    assert (reply.status, reply.headers[b"retry-after"]) == (503, b"5")
    assert reply.body["title"] == "Service Unavailable"


def test_backlog_refuses_before_the_body_is_read(tmp_path: Path) -> None:
    kit = InletKit(tmp_path, max_waiting_bytes=-1)
    kit.add_inlet(INLET)
    reply = kit.post(f"/collection/{INLET}", b"not even JSON")
    assert (reply.status, reply.headers[b"retry-after"]) == (503, b"1")


def test_concurrent_requests_are_all_stored_once(tmp_path: Path) -> None:
    kit = InletKit(tmp_path)
    kit.add_inlet(INLET)
    bodies = [message({**EVENT, "_id": f"e-{number}"}) for number in range(200)]
    replies = kit.run([(f"/collection/{INLET}", body, {}, "", "POST") for body in bodies])
    assert {reply.status for reply in replies} == {200}
    assert [json.loads(record.body)["_id"] for record in kit.stored()] == [f"e-{number}" for number in range(200)]
    assert len({reply.body["xactionId"] for reply in replies}) == 200
