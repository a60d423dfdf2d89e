"""What every store does with files of its own: bring them to disk, replace them as a whole, and say that the disk is full."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from headrace.storage.errors import StorageFull


def sync_file(path: Path) -> None:
    """Bring a file and its name in its folder to disk."""
    for name, flags in ((path, os.O_RDONLY), (path.parent, os.O_RDONLY | os.O_DIRECTORY)):
        descriptor = os.open(name, flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a small file as a whole: a reader sees the old content or the new one, also after a crash."""
    temporary = path.with_name(path.name + ".new")
    with mapped_full(f"write {path.name}"):
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_file(path)


@contextlib.contextmanager
def mapped_full(action: str) -> Iterator[None]:
    """Turn "no space left" into `StorageFull`, however deep it is wrapped."""
    try:
        yield
    except Exception as error:
        if is_full(error):
            raise StorageFull(f"The disk is full: cannot {action}.", retry_after_seconds=5) from error
        raise


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, says that the disk has no room."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(text in str(error) for text in ("No space left", "disk is full", "quota exceeded")):
            return True
        error = error.__cause__ or error.__context__
    return False
