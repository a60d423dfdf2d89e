"""What the stores on LMDB share: how an environment is opened, and what LMDB's errors mean."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb

from headrace.storage.disk import is_full
from headrace.storage.errors import StorageFull, StorageUnavailable

MAX_READERS = 256
_LOCK_FILE = "lock.mdb"
_READER_BYTES = 64  # one line of the lock file; its head takes two
_RETRY_SECONDS = 5.0
_LEAST_FREE_BYTES = 1 << 20


def open_environment(path: Path, *, map_bytes: int, **options: Any) -> lmdb.Environment:
    """Open the environment in a folder, made when it does not exist.

    Args:
        path: The folder.
        map_bytes: Address space, not disk: LMDB's file grows as entries come.
        options: Further ones of `lmdb.open`.

    Raises:
        StorageFull: There is no room.
        StorageUnavailable: It cannot be opened.
    """
    with mapped_errors(path, "be opened"):
        path.mkdir(parents=True, exist_ok=True)
        _reserve(path / _LOCK_FILE)
        return lmdb.open(str(path), map_size=map_bytes, max_readers=MAX_READERS, **options)


def _reserve(lock_file: Path) -> None:
    """Give the lock file all its blocks.

    LMDB makes it with holes and writes it through a memory map: on a full disk, a process that fills a hole dies of SIGBUS.
    """
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.posix_fallocate(descriptor, 0, (MAX_READERS + 2) * _READER_BYTES)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def mapped_errors(path: Path, action: str) -> Iterator[None]:
    """Turn LMDB's errors into those of a store.

    Args:
        path: The environment's folder.
        action: What was attempted, after "cannot".
    """
    try:
        yield
    except (lmdb.Error, OSError) as error:
        name = f"'{path.name}'"
        if isinstance(error, lmdb.MapFullError):
            raise StorageFull(f"The store {name} has no room left.", retry_after_seconds=_RETRY_SECONDS) from error
        if is_full(error) or _was_cut_short(error, path):
            text = f"The disk is full: {name} cannot {action}."
            raise StorageFull(text, retry_after_seconds=_RETRY_SECONDS) from error
        if isinstance(error, lmdb.Error):
            raise StorageUnavailable(f"The store {name} cannot {action}: {error}") from error
        raise


def _was_cut_short(error: Exception, path: Path) -> bool:
    # Where only a part of several pages finds room, LMDB reports an input/output error.
    if "Input/output error" not in str(error):
        return False
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize < _LEAST_FREE_BYTES
