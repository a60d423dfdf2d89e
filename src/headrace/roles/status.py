"""What each role says about itself: one small JSON file a role under ``run/``, written whole or not at all."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from headrace.storage.disk import is_full

_BLOCK_BYTES = 512  # the unit of `st_blocks`
_LOOKS = 3  # at a file that is being overwritten: each write takes microseconds
ROLES = ("gateway", "pipeline", "lake_writer", "scheduler", "activation")


class StatusBoard:
    """The status files of one home folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, role: str, status: dict[str, Any]) -> None:
        """Publish a role's status; readers see the old or the new one, never a part.

        When the disk is full, the new one overwrites the old one in its place; where that has no room for it, the old one stays.
        """
        path = self._folder / f"{role}.json"
        draft = path.with_suffix(f".{os.getpid()}")
        content = json.dumps({**status, "pid": os.getpid()}).encode()
        try:
            draft.write_bytes(content)
            draft.replace(path)
        except OSError as error:
            if not is_full(error):
                raise
            draft.unlink(missing_ok=True)
            _overwrite(path, content)

    def write_fault(self, role: str, fault: str) -> None:
        """Add to a role's status that it cannot work, and why, until it publishes its next one."""
        self.write(role, {**(self.read(role) or {"is_up": False}), "fault": fault})

    def read(self, role: str) -> dict[str, Any] | None:
        """Return a role's status, None when it has not come up since the start of the server."""
        status = self.read_any(role)
        return status if status is not None and status.get("is_up", True) else None

    def read_any(self, role: str) -> dict[str, Any] | None:
        """Return a role's status, also when there is nothing in it but the fault that keeps it from coming up."""
        for _ in range(_LOOKS):
            try:
                status: dict[str, Any] = json.loads((self._folder / f"{role}.json").read_bytes())
            except FileNotFoundError:
                return None
            except ValueError:  # half overwritten
                continue
            return status if status["pid"] and is_alive(status["pid"]) else None
        return None

    def clear(self, role: str) -> None:
        """Forget a role's status, before it is started; its file stays, so that there is room for the next one on a full disk."""
        _overwrite(self._folder / f"{role}.json", b'{"pid": 0}')


def _overwrite(path: Path, content: bytes) -> None:
    """Replace what a file says within the blocks that it has."""
    with contextlib.suppress(OSError), path.open("r+b", buffering=0) as file:
        state = os.fstat(file.fileno())
        if len(content) <= max(state.st_size, state.st_blocks * _BLOCK_BYTES):
            file.write(content.ljust(state.st_size))


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the latter: it ended between opening and reading
        if Path("/proc/self").exists():
            return False
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return True
    return state != "Z"
