"""A small file system of its own that can be filled to the last byte."""

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

_PIECE = bytes(4096)
_TOP_UP_SECONDS = 0.01


class MountRefused(Exception):
    """This machine does not let the test mount a file system."""


class SmallDisk:
    """A file system in memory, mounted as long as the ``with`` block lasts.

    Attributes:
        path: Where it is mounted.
    """

    def __init__(self, path: Path, *, mega_bytes: int) -> None:
        self.path = path
        self._filler = path / "filler"
        self._mega_bytes = mega_bytes

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True)
        mount = shutil.which("mount")
        if mount is None:
            raise MountRefused("This machine has no mount command.")
        options = ["-t", "tmpfs", "-o", f"size={self._mega_bytes}m", "headrace-test", str(self.path)]
        done = subprocess.run([mount, *options], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise MountRefused(f"A small disk cannot be mounted: {done.stderr.strip()}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)

    @property
    def free_bytes(self) -> int:
        """How much room is left."""
        state = os.statvfs(self.path)
        return state.f_bavail * state.f_frsize

    @contextlib.contextmanager
    def full(self, *, but_for_bytes: int = 0) -> Iterator[None]:
        """Keep the disk full: a file takes all the room, at first but for some bytes, and at once what becomes free later."""
        is_over = threading.Event()
        with self._filler.open("wb", buffering=0) as file:
            _fill(file.fileno(), self.free_bytes - but_for_bytes)
            keeper = threading.Thread(target=self._keep_full, args=(file.fileno(), but_for_bytes, is_over), name="filler")
            keeper.start()
            try:
                yield
            finally:
                is_over.set()
                keeper.join()
                self._filler.unlink()

    def _keep_full(self, descriptor: int, but_for_bytes: int, is_over: threading.Event) -> None:
        least = but_for_bytes
        while not is_over.wait(_TOP_UP_SECONDS):
            least = min(least, self.free_bytes)  # what was left is there to be used up, and then stays so
            _fill(descriptor, self.free_bytes - least)


def _fill(descriptor: int, byte_count: int) -> None:
    with contextlib.suppress(OSError):
        while byte_count >= len(_PIECE):
            byte_count -= os.write(descriptor, _PIECE * min(256, byte_count // len(_PIECE)))
