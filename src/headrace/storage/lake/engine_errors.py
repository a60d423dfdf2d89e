"""Errors of the libraries below the lake as the project's own."""

import contextlib
from collections.abc import Iterator

from pyiceberg.exceptions import CommitFailedException
from sqlalchemy.exc import OperationalError

from headrace.storage.disk import is_full
from headrace.storage.errors import StorageFull, StorageUnavailable


@contextlib.contextmanager
def mapped(action: str) -> Iterator[None]:
    """Turn "no space left" and "try again" of any library into `StorageFull` and `StorageUnavailable`."""
    try:
        yield
    except Exception as error:  # each library tells of a full disk in its own way
        if is_full(error):
            raise StorageFull(f"The disk is full: the lake cannot {action}.", retry_after_seconds=5) from error
        if isinstance(error, OperationalError | CommitFailedException):
            raise StorageUnavailable(f"The lake cannot {action}: {error}", retry_after_seconds=1) from error
        raise
