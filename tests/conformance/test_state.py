"""Every store of hot state keeps what `headrace.storage.state.base` promises."""

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.storage.errors import StorageUnavailable
from headrace.storage.state import StateStore
from headrace.storage.state.memory import MemoryState
from headrace.storage.state.rocksdb import RocksState, RocksStateFollower


@pytest.fixture(params=["rocksdb", "memory"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    opened: StateStore = RocksState(tmp_path / "state") if request.param == "rocksdb" else MemoryState()
    yield opened
    opened.close()


def test_an_unknown_key_has_no_value(state: StateStore) -> None:
    assert state.get(b"a") is None
    assert state.get_many([]) == []
    assert state.get_many([b"a", b"b"]) == [None, None]
    assert list(state.scan(b"", b"\xff")) == []


def test_a_commit_sets_and_deletes(state: StateStore) -> None:
    state.commit({b"a": b"1", b"b": b"2", b"c": b""})
    state.commit({b"a": b"3", b"b": None, b"never": None})
    assert state.get(b"a") == b"3"
    assert state.get(b"b") is None
    assert state.get(b"c") == b""
    state.commit({})


def test_many_values_come_in_the_order_asked_for(state: StateStore) -> None:
    state.commit({b"a": b"1", b"b": b"2"})
    assert state.get_many([b"b", b"x", b"a", b"b"]) == [b"2", None, b"1", b"2"]


def test_binary_keys_and_values_survive(state: StateStore) -> None:
    keys = [b"\x00", b"\x00\x00", b"\x7f", b"\x80", b"\xff\xff"]
    state.commit({key: key * 3 for key in keys})
    assert [state.get(key) for key in keys] == [key * 3 for key in keys]
    assert [key for key, _ in state.scan(b"", b"\xff\xff\xff")] == keys


def test_a_scan_goes_from_start_to_before_its_end(state: StateStore) -> None:
    state.commit({bytes([number]): b"%d" % number for number in range(10)})
    assert [key[0] for key, _ in state.scan(b"\x02", b"\x05")] == [2, 3, 4]
    assert [key[0] for key, _ in state.scan(b"\x02", b"\x05", limit=2)] == [2, 3]
    assert list(state.scan(b"\x02", b"\x05", limit=0)) == []
    assert list(state.scan(b"\x05", b"\x02")) == []
    assert list(state.scan(b"\x02", b"\x02")) == []
    assert [(key[0], value) for key, value in state.scan(b"\x08", b"\xff")] == [(8, b"8"), (9, b"9")]


def test_a_scan_does_not_see_deleted_keys(state: StateStore) -> None:
    state.commit({b"a": b"1", b"b": b"2", b"c": b"3"})
    state.commit({b"b": None})
    assert [key for key, _ in state.scan(b"a", b"z")] == [b"a", b"c"]


def test_a_commit_during_a_scan_does_not_disturb_it(state: StateStore) -> None:
    state.commit({b"k%03d" % number: b"old" for number in range(100)})
    found = []
    for key, value in state.scan(b"k", b"l"):
        found.append((key, value))
        state.commit({key: None, b"k%03d" % (len(found) + 500): b"new", b"k099": b"new"})
    assert [key for key, _ in found] == [b"k%03d" % number for number in range(100)]
    assert {value for _, value in found} == {b"old"}


def test_a_refresh_of_the_writer_changes_nothing(state: StateStore) -> None:
    state.commit({b"a": b"1"})
    state.refresh()
    assert state.get(b"a") == b"1"


# --- what only a store on disk can show ---------------------------------------------------------------------------------


def test_a_commit_survives_a_restart(tmp_path: Path) -> None:
    state = RocksState(tmp_path / "state")
    state.commit({b"a": b"1"})
    state.close()
    again = RocksState(tmp_path / "state")
    assert again.get(b"a") == b"1"
    again.close()


def _commit_and_die(folder: Path) -> None:
    RocksState(folder).commit({b"a": b"1", b"b": b"2"})
    os.kill(os.getpid(), 9)


def test_a_commit_survives_a_killed_writer(tmp_path: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(target=_commit_and_die, args=(tmp_path / "state",))
    child.start()
    child.join()
    state = RocksState(tmp_path / "state")
    assert state.get_many([b"a", b"b"]) == [b"1", b"2"]
    state.close()


def test_two_writers_cannot_have_it_open(tmp_path: Path) -> None:
    state = RocksState(tmp_path / "state")
    with pytest.raises(StorageUnavailable):
        RocksState(tmp_path / "state")
    state.close()


def test_a_follower_sees_commits_after_its_refresh(tmp_path: Path) -> None:
    state = RocksState(tmp_path / "state")
    state.commit({b"a": b"1"})
    follower = RocksStateFollower(tmp_path / "state")
    assert follower.get(b"a") == b"1"
    state.commit({b"a": b"2", b"b": b"3"})
    assert follower.get(b"a") == b"1"
    follower.refresh()
    assert follower.get_many([b"a", b"b"]) == [b"2", b"3"]
    assert list(follower.scan(b"a", b"c")) == [(b"a", b"2"), (b"b", b"3")]
    state.commit({b"a": None})
    follower.refresh()
    assert follower.get(b"a") is None
    follower.close()
    state.close()


def test_following_what_does_not_exist_is_said_so(tmp_path: Path) -> None:
    follower = RocksStateFollower(tmp_path / "state")
    with pytest.raises(StorageUnavailable):
        follower.get(b"a")
    state = RocksState(tmp_path / "state")
    state.commit({b"a": b"1"})
    assert follower.get(b"a") == b"1"
    follower.close()
    state.close()
