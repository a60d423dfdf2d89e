"""What each role says about itself: one small JSON file a role under ``run/``, written whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

ROLES = ("gateway", "pipeline", "lake_writer", "scheduler", "activation")


class StatusBoard:
    """The status files of one home folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, role: str, status: dict[str, Any]) -> None:
        """Publish a role's status; readers see the old or the new one, never a part."""
        path = self._folder / f"{role}.json"
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps({**status, "pid": os.getpid()}))
        draft.replace(path)

    def write_fault(self, role: str, fault: str) -> None:
        """Add to a role's status that it cannot work, and why, until it publishes its next one."""
        self.write(role, {**(self.read(role) or {"is_up": False}), "fault": fault})

    def read(self, role: str) -> dict[str, Any] | None:
        """Return a role's status, None when it has not come up since the start of the server."""
        status = self.read_any(role)
        return status if status is not None and status.get("is_up", True) else None

    def read_any(self, role: str) -> dict[str, Any] | None:
        """Return a role's status, also when there is nothing in it but the fault that keeps it from coming up."""
        try:
            status: dict[str, Any] = json.loads((self._folder / f"{role}.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return status if is_alive(status["pid"]) else None

    def clear(self, role: str) -> None:
        """Forget a role's status, before it is started."""
        (self._folder / f"{role}.json").unlink(missing_ok=True)


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
