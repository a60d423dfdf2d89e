import asyncio
import threading
from collections.abc import Sequence

import pytest

from headrace.errors import Bug
from headrace.ingest.commit import GroupCommit
from headrace.ingest.refusals import InletOverloaded
from headrace.storage.errors import StorageFull
from headrace.storage.log.memory import MemoryLog, MemoryTopic


class SlowTopic(MemoryTopic):
    """Appends only when it is let; remembers each append."""

    def __init__(self) -> None:
        super().__init__("records", MemoryLog())
        self.appends: list[list[bytes]] = []
        self.gate = threading.Semaphore(0)
        self.fault: Exception | None = None

    def append(self, entries: Sequence[bytes]) -> int:
        assert self.gate.acquire(timeout=10)
        self.appends.append(list(entries))
        if self.fault is not None:
            raise self.fault
        return super().append(entries)


def commit_on(topic: MemoryTopic, *, linger_ms: int = 0, max_waiting_bytes: int = 1000) -> GroupCommit:
    return GroupCommit(topic, MemoryLog().topic("quarantine"), max_linger_ms=linger_ms, max_waiting_bytes=max_waiting_bytes)


def test_nobody_is_acknowledged_before_the_append_returns() -> None:
    async def scenario() -> None:
        topic = SlowTopic()
        commit = commit_on(topic)
        waiter = commit.submit([b"a"])
        await asyncio.sleep(0.02)
        assert not waiter.done()
        topic.gate.release()
        assert await waiter is None
        assert [entry for _, entry in topic.read(0, limit=9)] == [b"a"]
        commit.close()

    asyncio.run(scenario())


def test_what_comes_during_an_append_is_stored_together_by_the_next_in_order() -> None:
    async def scenario() -> None:
        topic = SlowTopic()
        commit = commit_on(topic)
        first = commit.submit([b"1"])
        await asyncio.sleep(0.01)
        others = [commit.submit([b"%d" % number]) for number in range(2, 7)]
        topic.gate.release(2)
        assert await asyncio.gather(first, *others) == [None] * 6
        assert topic.appends == [[b"1"], [b"2", b"3", b"4", b"5", b"6"]]
        commit.close()

    asyncio.run(scenario())


def test_requests_of_one_turn_of_the_loop_share_an_append() -> None:
    async def scenario() -> None:
        topic = SlowTopic()
        commit = commit_on(topic)
        waiters = [commit.submit([b"x"]) for _ in range(3)]
        topic.gate.release()
        await asyncio.gather(*waiters)
        assert topic.appends == [[b"x"] * 3]
        commit.close()

    asyncio.run(scenario())


def test_under_load_an_append_lingers_until_as_many_have_come_as_before() -> None:
    async def scenario() -> None:
        topic = SlowTopic()
        commit = commit_on(topic, linger_ms=5000)
        topic.gate.release(9)
        await asyncio.gather(*(commit.submit([b"a"]) for _ in range(12)))
        early = [commit.submit([b"b"]) for _ in range(11)]
        await asyncio.sleep(0.02)
        assert len(topic.appends) == 1
        await asyncio.gather(*early, commit.submit([b"b"]))
        assert topic.appends[1] == [b"b"] * 12
        commit.close()

    asyncio.run(scenario())


def test_under_load_those_gathered_during_an_append_wait_for_those_that_it_answers() -> None:
    async def scenario() -> None:
        topic = SlowTopic()
        commit = commit_on(topic, linger_ms=5000)
        first = [commit.submit([b"a"]) for _ in range(6)]
        await asyncio.sleep(0.01)
        gathered = [commit.submit([b"b"]) for _ in range(6)]
        topic.gate.release(2)
        await asyncio.gather(*first)
        await asyncio.gather(*gathered, *(commit.submit([b"c"]) for _ in range(6)))
        assert topic.appends == [[b"a"] * 6, [b"b"] * 6 + [b"c"] * 6]
        commit.close()

    asyncio.run(scenario())


def test_lingering_ends_by_itself() -> None:
    async def scenario() -> None:
        topic = SlowTopic()
        commit = commit_on(topic, linger_ms=1)
        topic.gate.release(9)
        await asyncio.gather(*(commit.submit([b"a"]) for _ in range(12)))
        assert await commit.submit([b"b"]) is None
        commit.close()

    asyncio.run(scenario())


def test_full_storage_fails_its_group_and_the_next_one_is_tried_anew() -> None:
    async def scenario() -> None:
        topic = SlowTopic()
        commit = commit_on(topic)
        topic.fault = StorageFull("The disk is full.", retry_after_seconds=5)
        topic.gate.release()
        outcomes = await asyncio.gather(commit.submit([b"a"]), commit.submit([b"b"]))
        assert [type(outcome) for outcome in outcomes] == [StorageFull] * 2
        topic.fault = None
        topic.gate.release()
        assert await commit.submit([b"c"]) is None
        assert topic.next_offset() == 1
        commit.close()

    asyncio.run(scenario())


def test_any_other_fault_is_a_bug_and_the_thread_lives_on() -> None:
    async def scenario() -> None:
        topic = SlowTopic()
        commit = commit_on(topic)
        topic.fault = RuntimeError("broken")
        topic.gate.release(2)
        assert isinstance(await commit.submit([b"a"]), Bug)
        topic.fault = None
        assert await commit.submit([b"b"]) is None
        commit.close()

    asyncio.run(scenario())


def test_room_is_refused_while_too_much_waits() -> None:
    async def scenario() -> None:
        topic = SlowTopic()
        commit = commit_on(topic, max_waiting_bytes=10)
        commit.check_room()
        waiter = commit.submit([b"x" * 11])
        with pytest.raises(InletOverloaded):
            commit.check_room()
        topic.gate.release()
        await waiter
        commit.check_room()
        assert commit.waiting_bytes == 0
        commit.close()

    asyncio.run(scenario())


def test_a_cancelled_request_does_not_disturb_its_group() -> None:
    async def scenario() -> None:
        topic = SlowTopic()
        commit = commit_on(topic)
        gone, stays = commit.submit([b"a"]), commit.submit([b"b"])
        gone.cancel()
        topic.gate.release()
        assert await stays is None
        assert topic.appends == [[b"a", b"b"]]
        commit.close()

    asyncio.run(scenario())


def test_close_stores_what_waits() -> None:
    async def scenario() -> SlowTopic:
        topic = SlowTopic()
        topic.gate.release(9)
        commit = commit_on(topic)
        commit.submit([b"a"])
        commit.close()
        return topic

    assert asyncio.run(scenario()).next_offset() == 1


def test_nothing_to_store_is_done_at_once() -> None:
    async def scenario() -> None:
        commit = commit_on(SlowTopic())
        assert commit.submit([]).done()
        commit.close()

    asyncio.run(scenario())
