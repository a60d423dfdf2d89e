import asyncio
from pathlib import Path

import pytest

from headrace.clock import ManualClock
from headrace.ingest.admission import InletRateExceeded, RequestRate, Room
from headrace.ingest.refusals import InletOverloaded
from headrace.storage.errors import StorageFull
from headrace.storage.log.memory import MemoryLog
from tests.unit.ingest.inlet_kit import NOW, InletKit, call, message

INLET, OTHER = "a" * 64, "b" * 64


def taken(rate: RequestRate, inlet: str, most: int = 1000) -> int:
    for count in range(most):
        try:
            rate.take(inlet)
        except InletRateExceeded:
            return count
    return most


def test_bucket_is_two_seconds_deep_and_refills_with_time() -> None:
    clock = ManualClock(NOW)
    rate = RequestRate(10, clock)
    assert (taken(rate, INLET), taken(rate, OTHER)) == (20, 20)
    clock.move_to(NOW + 500)
    assert taken(rate, INLET) == 5
    clock.move_to(NOW + 3_600_000)
    assert taken(rate, INLET) == 20


def test_a_clock_that_is_put_back_locks_nobody_out() -> None:
    clock = ManualClock(NOW)
    rate = RequestRate(10, clock)
    taken(rate, INLET)
    clock._now_ms = NOW - 3_600_000  # a manual clock moves only forward
    assert taken(rate, INLET) > 0


def test_no_limit_is_no_limit() -> None:
    assert taken(RequestRate(0, ManualClock(NOW)), INLET) == 1000


@pytest.mark.parametrize("path", [f"/collection/{INLET}", f"/collection/batch/{INLET}"])
def test_too_many_requests_are_429_with_retry_after_before_the_body_is_read(tmp_path: Path, path: str) -> None:
    kit = InletKit(tmp_path)
    kit.add_inlet(INLET)
    kit.rate = RequestRate(1, kit.clock)
    replies = kit.run([(path, b"not even JSON", {}, "", "POST")] * 3)
    assert [reply.status for reply in replies] == [400, 400, 429]
    assert replies[2].headers[b"retry-after"] == b"1"
    assert replies[2].body["report"]["message"].endswith("Inlet takes 1 requests a second")


def test_without_room_requests_are_503_with_retry_after_until_there_is_some(tmp_path: Path) -> None:
    kit = InletKit(tmp_path)
    kit.add_inlet(INLET)

    async def scene() -> None:
        app = kit.app()
        answers = []
        for lack in (None, InletOverloaded("Service has a backlog", retry_after_seconds=5), None):
            kit.lack = lack
            app.look_for_room()
            assert app.status().get("fault", "") == str(lack or "")
            answers.append(await call(app, f"/collection/{INLET}", message(), {}))
        app.close()
        assert [answer.status for answer in answers] == [200, 503, 200]
        assert answers[1].headers[b"retry-after"] == b"5"

    asyncio.run(scene())
    assert len(kit.stored()) == 2


def test_room_is_lacking_when_the_disk_or_the_readers_cannot_take_more(tmp_path: Path) -> None:
    records = MemoryLog().topic("records")
    records.append([b"x"] * 10)

    def lack(applied: int | None, *, free: int = 0, waiting: int = 5) -> str:
        found = Room(tmp_path, records, lambda: applied, least_free_bytes=free, most_waiting_entries=waiting).lack()
        return str(found or "")

    assert lack(5) == lack(None) == ""
    assert lack(4) == "Service has a backlog"


def test_of_a_small_disk_only_a_share_is_kept_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Disk:
        f_frsize, f_blocks, f_bavail = 4096, 1000, 21

    monkeypatch.setattr("os.statvfs", lambda _: Disk)
    room = Room(tmp_path, MemoryLog().topic("records"), lambda: None, least_free_bytes=1 << 30, most_waiting_entries=1)
    assert room.lack() is None
    Disk.f_bavail = 19
    assert isinstance(room.lack(), StorageFull)
