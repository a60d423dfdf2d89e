"""Wake-ups between processes: a datagram socket per waiter, and a symbolic link to it per thing it waits for.

``<folder>/<waiter>.sock`` is the socket; ``<folder>/<bell>@<waiter>`` links to it. Ringing sends one byte to every link of
a bell and never blocks: a full socket has a wake-up pending already, a dead one has nobody to wake.
"""

import contextlib
import os
import select
import socket
import time
from collections.abc import Iterable
from pathlib import Path

_RESCAN_SECONDS = 0.25
_sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
_sender.setblocking(False)
_LONGEST_ADDRESS = 100
_folders: dict[str, int] = {}
_links: dict[tuple[str, str], tuple[float, list[str]]] = {}


def ring_all(folder: Path, bell: str) -> None:
    """Wake every waiter that listens for ``bell``."""
    for address in _listeners(str(folder), bell):
        with contextlib.suppress(OSError):
            _sender.sendto(b"!", address)


def _listeners(folder: str, bell: str) -> list[str]:
    # Listing the folder costs more than the sends do, so what was found counts for a moment; a waiter that joins in
    # between looks at its topics once after it subscribed and misses nothing.
    now = time.monotonic()
    cached = _links.get((folder, bell))
    if cached is None or now - cached[0] > _RESCAN_SECONDS:
        prefix = f"{bell}@"
        found = [_address(folder, name) for name in os.listdir(folder) if name.startswith(prefix)]  # noqa: PTH208
        cached = _links[folder, bell] = (now, found)
    return cached[1]


class Bell:
    """The waiting side."""

    def __init__(self, folder: Path, waiter: str, bells: Iterable[str]) -> None:
        self._path = folder / f"{waiter}.sock"
        self._links = [folder / f"{bell}@{waiter}" for bell in bells]
        self._path.unlink(missing_ok=True)  # left behind by a killed process
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(_address(str(folder), self._path.name))
        for link in self._links:
            link.unlink(missing_ok=True)
            link.symlink_to(self._path.name)

    def wait(self, timeout_seconds: float | None) -> bool:
        """See `Wakeup.wait`."""
        # A bell that subscribed within the rescan time of a ringer can be missed once; nobody waits longer than that
        # for something that is already there.
        ready, _, _ = select.select([self._socket], [], [], timeout_seconds)
        if ready:
            self.clear()
        return bool(ready)

    def fileno(self) -> int:
        """See `Wakeup.fileno`."""
        return self._socket.fileno()

    def clear(self) -> None:
        """See `Wakeup.clear`."""
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(64):
                pass

    def close(self) -> None:
        """See `Wakeup.close`."""
        for link in self._links:
            link.unlink(missing_ok=True)
        self._socket.close()
        self._path.unlink(missing_ok=True)


def _address(folder: str, name: str) -> str:
    """Return the path of a socket, in a form that fits into a socket's address of about 100 bytes."""
    path = os.path.join(folder, name)  # noqa: PTH118
    if len(path.encode()) <= _LONGEST_ADDRESS:
        return path
    if folder not in _folders:
        _folders[folder] = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    return f"/proc/self/fd/{_folders[folder]}/{name}"
