"""One server a home folder: a lock that the supervisor and its roles hold together.

The roles are forked and so inherit the lock's descriptor; the lock is free when the last of these processes has ended. A
supervisor that is killed takes its roles with it (they ask the kernel for that), and the next start waits for the last of them.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from headrace.errors import StateError
from headrace.roles.status import is_alive

_LONGEST_WAIT_SECONDS = 10.0
_LOOK_SECONDS = 0.05


class HomeInUse(StateError):
    """Another server works on the home folder; two would damage its stores."""

    code = "home_in_use"


@contextlib.contextmanager
def home_lock(home: Path, *, wait_seconds: float = _LONGEST_WAIT_SECONDS) -> Iterator[None]:
    """Hold the lock of a home folder; processes forked inside hold it too, until they end.

    Args:
        home: The home folder.
        wait_seconds: How long to wait for a server that is about to end.

    Raises:
        HomeInUse: Another server still holds the lock after that time.
    """
    path = home / "run" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(descriptor, home, time.monotonic() + wait_seconds)
        os.ftruncate(descriptor, 0)
        with contextlib.suppress(OSError):  # a full disk: the number only serves a message
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)  # never LOCK_UN: that would take the lock from the roles that still run


def _acquire(descriptor: int, home: Path, deadline: float) -> None:
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() >= deadline:
            raise _in_use(home, os.pread(descriptor, 32, 0).decode())
        time.sleep(_LOOK_SECONDS)


def _in_use(home: Path, holder: str) -> HomeInUse:
    if holder.isdigit() and not is_alive(int(holder)):
        return HomeInUse(
            f"The server with process id {holder} has ended, but roles of it still work on {home}.",
            hint="Wait for them to end, or end them.",
        )
    return HomeInUse(
        f"Another server (process id {holder or 'unknown'}) works on {home}.",
        hint="Stop it first, or choose another folder with --home.",
    )
