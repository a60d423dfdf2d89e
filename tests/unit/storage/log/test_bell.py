"""Wake-ups between processes."""

from pathlib import Path

from headrace.storage.log.bell import Bell, ring_all


def test_a_ring_wakes_only_those_who_listen_for_it(tmp_path: Path) -> None:
    one, other = Bell(tmp_path, "one", ["records"]), Bell(tmp_path, "other", ["changes"])
    ring_all(tmp_path, "records")
    assert one.wait(1)
    assert not one.wait(0)
    assert not other.wait(0)
    one.close()
    other.close()


def test_a_folder_with_a_long_name_rings_too(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 100) / ("b" * 100)
    folder.mkdir(parents=True)
    bell = Bell(folder, "pipeline", ["records"])
    ring_all(folder, "records")
    assert bell.wait(1)
    bell.close()


def test_a_socket_left_behind_by_a_killed_process_is_replaced(tmp_path: Path) -> None:
    Bell(tmp_path, "pipeline", ["records"])._socket.close()
    bell = Bell(tmp_path, "pipeline", ["records"])
    ring_all(tmp_path, "records")
    assert bell.wait(1)
    bell.close()
