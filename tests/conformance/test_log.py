"""Every log keeps what `headrace.storage.log.base` promises."""

import multiprocessing
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.storage.errors import StorageCorrupt
from headrace.storage.log import Log
from headrace.storage.log.lmdb import LmdbLog
from headrace.storage.log.memory import MemoryLog


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # a socket's address holds about 100 bytes
    return tmp_path


@pytest.fixture(params=["lmdb", "memory"])
def log(request: pytest.FixtureRequest, folder: Path) -> Iterator[Log]:
    opened: Log = LmdbLog(folder / "log", folder / "bells") if request.param == "lmdb" else MemoryLog()
    yield opened
    opened.close()


def test_a_new_topic_is_empty(log: Log) -> None:
    topic = log.topic("records")
    assert (topic.first_offset(), topic.next_offset(), topic.read(0, limit=10)) == (0, 0, [])
    assert topic.name == "records"
    assert log.topic("records") is topic


def test_entries_get_offsets_without_gaps(log: Log) -> None:
    topic = log.topic("records")
    assert topic.append([b"a", b"b"]) == 0
    assert topic.append([b"c"]) == 2
    assert topic.append([]) == 3
    assert topic.next_offset() == 3
    assert topic.read(0, limit=10) == [(0, b"a"), (1, b"b"), (2, b"c")]
    assert topic.read(1, limit=1) == [(1, b"b")]
    assert topic.read(3, limit=10) == []
    assert topic.read(99, limit=10) == []
    assert topic.read(0, limit=0) == []


def test_empty_and_binary_entries_survive(log: Log) -> None:
    topic = log.topic("records")
    entries = [b"", bytes(range(256)), b"x" * 100_000]
    topic.append(entries)
    assert [entry for _, entry in topic.read(0, limit=10)] == entries


def test_topics_are_apart(log: Log) -> None:
    log.topic("records").append([b"a"])
    assert log.topic("changes").next_offset() == 0


def test_a_read_stops_at_its_bytes_but_returns_at_least_one_entry(log: Log) -> None:
    topic = log.topic("records")
    topic.append([b"x" * 10, b"y" * 10, b"z" * 10])
    assert len(topic.read(0, limit=10, max_bytes=20)) == 2
    assert len(topic.read(0, limit=10, max_bytes=19)) == 1
    assert len(topic.read(0, limit=10, max_bytes=1)) == 1


def test_a_trimmed_topic_goes_on_with_its_offsets(log: Log) -> None:
    topic = log.topic("records")
    topic.append([b"a", b"b", b"c", b"d"])
    topic.trim(2)
    assert (topic.first_offset(), topic.next_offset()) == (2, 4)
    assert topic.read(0, limit=1) == [(2, b"c")]
    topic.trim(1)
    assert topic.first_offset() == 2
    assert topic.append([b"e"]) == 4


def test_the_last_entry_is_never_trimmed(log: Log) -> None:
    topic = log.topic("records")
    topic.trim(5)
    topic.append([b"a", b"b"])
    topic.trim(100)
    assert (topic.first_offset(), topic.next_offset()) == (1, 2)
    assert topic.append([b"c"]) == 2


def test_appending_at_an_offset_leaves_out_what_is_there(log: Log) -> None:
    topic = log.topic("changes")
    topic.append_at(0, [b"a", b"b"])
    topic.append_at(1, [b"b", b"c"])
    topic.append_at(0, [b"a"])
    topic.append_at(3, [])
    assert topic.read(0, limit=10) == [(0, b"a"), (1, b"b"), (2, b"c")]


def test_appending_beyond_the_end_is_refused_and_stores_nothing(log: Log) -> None:
    topic = log.topic("changes")
    topic.append_at(0, [b"a"])
    with pytest.raises(StorageCorrupt):
        topic.append_at(2, [b"c"])
    assert topic.next_offset() == 1


def test_a_new_topic_begins_where_its_single_writer_says(log: Log) -> None:
    topic = log.topic("changes")
    topic.append_at(500, [b"a", b"b"])
    assert (topic.first_offset(), topic.next_offset()) == (500, 502)
    assert topic.read(0, limit=10) == [(500, b"a"), (501, b"b")]


def test_a_waiter_is_woken_by_the_topics_it_named(log: Log) -> None:
    wakeup = log.subscribe("waiter", ["records", "control"])
    assert not wakeup.wait(0)
    log.topic("changes").append([b"a"])
    assert not wakeup.wait(0)
    log.topic("records").append([b"a"])
    assert wakeup.wait(5)
    assert not wakeup.wait(0)
    log.topic("records").append_at(1, [b"b"])
    assert wakeup.wait(5)
    log.ring("control")
    log.ring("control")
    assert wakeup.wait(5)
    assert not wakeup.wait(0)
    wakeup.close()


def test_a_pending_wakeup_is_readable_and_can_be_forgotten(log: Log) -> None:
    wakeup = log.subscribe("waiter", ["clock"])
    assert select.select([wakeup.fileno()], [], [], 0)[0] == []
    log.ring("clock")
    assert select.select([wakeup.fileno()], [], [], 5)[0]
    wakeup.clear()
    assert select.select([wakeup.fileno()], [], [], 0)[0] == []
    wakeup.close()


def test_every_waiter_is_woken(log: Log) -> None:
    first, second = log.subscribe("one", ["clock"]), log.subscribe("two", ["clock"])
    log.ring("clock")
    assert first.wait(5)
    assert second.wait(5)
    first.close()
    second.close()


def test_ringing_never_blocks_and_needs_no_listener(log: Log) -> None:
    log.ring("nobody")
    wakeup = log.subscribe("waiter", ["clock"])
    for _ in range(100_000):
        log.ring("clock")
    assert wakeup.wait(5)
    wakeup.close()
    log.ring("clock")


def test_a_waiter_that_waits_is_woken_from_another_thread(log: Log) -> None:
    wakeup = log.subscribe("waiter", ["records"])
    thread = threading.Thread(target=lambda: log.topic("records").append([b"a"]))
    thread.start()
    assert wakeup.wait(5)
    thread.join()
    wakeup.close()


def test_threads_may_append_together(log: Log) -> None:
    topic = log.topic("records")
    threads = [threading.Thread(target=lambda: [topic.append([b"x", b"y"]) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = topic.read(0, limit=1000)
    assert [offset for offset, _ in found] == list(range(160))
    assert all(found[index][1] + found[index + 1][1] == b"xy" for index in range(0, 160, 2))


# --- what only a log on disk can show -----------------------------------------------------------------------------------


def test_entries_survive_a_restart(folder: Path) -> None:
    log = LmdbLog(folder / "log", folder / "bells")
    log.topic("records").append([b"a", b"b"])
    log.close()
    again = LmdbLog(folder / "log", folder / "bells")
    assert again.topic("records").read(0, limit=10) == [(0, b"a"), (1, b"b")]
    assert again.topic("records").append([b"c"]) == 2
    again.close()


def _append_and_die(folder: Path) -> None:
    log = LmdbLog(folder / "log", folder / "bells")
    log.topic("records").append([b"from a child"])
    os._exit(1)


def test_another_process_may_append_and_wakes_us(folder: Path) -> None:
    log = LmdbLog(folder / "log", folder / "bells")
    topic = log.topic("records")
    topic.append([b"ours"])
    wakeup = log.subscribe("waiter", ["records"])
    child = multiprocessing.get_context("spawn").Process(target=_append_and_die, args=(folder,))
    child.start()
    assert wakeup.wait(30)
    child.join()
    assert topic.read(0, limit=10) == [(0, b"ours"), (1, b"from a child")]
    assert topic.append([b"ours again"]) == 2
    wakeup.close()
    log.close()


def test_a_trim_of_many_entries_is_done_in_steps(folder: Path) -> None:
    log = LmdbLog(folder / "log", folder / "bells")
    topic = log.topic("records")
    topic.append([b"x"] * 45_000)
    topic.trim(44_000)
    assert (topic.first_offset(), topic.next_offset()) == (44_000, 45_000)
    log.close()
