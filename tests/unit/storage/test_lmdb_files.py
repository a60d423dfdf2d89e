"""LMDB's errors are those of a store, and its lock file cannot end a process on a full disk."""

import os
from pathlib import Path
from types import SimpleNamespace

import lmdb
import pytest

from headrace.storage.errors import StorageFull, StorageUnavailable
from headrace.storage.lmdb_files import mapped_errors, open_environment


def test_lock_file_has_all_its_blocks(tmp_path: Path) -> None:
    environment = open_environment(tmp_path / "topic", map_bytes=1 << 20)
    try:
        state = (tmp_path / "topic" / "lock.mdb").stat()
        assert environment.info()["max_readers"] >= 256
        assert state.st_blocks * 512 >= state.st_size > 16_000
    finally:
        environment.close()


@pytest.mark.parametrize(
    "error",
    [
        lmdb.MapFullError("mdb_put: MDB_MAP_FULL"),
        lmdb.DiskError("mdb_txn_commit: No space left on device"),
        OSError(28, "No space left on device"),
        OSError(122, "Disk quota exceeded"),
    ],
)
def test_full_disk_is_told_with_the_remedy(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(StorageFull, match="Free space on the disk") as found, mapped_errors(tmp_path, "take entries"):
        raise error
    assert found.value.retry_after_seconds == 5


@pytest.mark.parametrize(("free_blocks", "kind"), [(3, StorageFull), (1 << 20, StorageUnavailable)])
def test_write_that_was_cut_short_is_a_full_disk_when_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_blocks: int, kind: type[Exception]
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=free_blocks, f_frsize=4096))
    with pytest.raises(kind), mapped_errors(tmp_path, "take entries"):
        raise lmdb.Error("mdb_txn_commit: Input/output error")


def test_other_fault_of_a_file_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), mapped_errors(tmp_path, "be opened"):
        raise PermissionError(13, "Permission denied")
