"""A real server in processes of its own, for tests that end them at bad moments."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from headrace.client import Client, Credentials
from headrace.roles.status import StatusBoard

SUPERVISOR = "supervisor"
_READY_SECONDS = 120.0
_STOP_SECONDS = 60.0
_LOOK_SECONDS = 0.01
_PORTS = range(20_000, 32_000)  # below those that systems give to outgoing connections


class Server:
    """``headrace serve`` on one home folder; used as ``with Server(home) as server``, which starts and ends it.

    The port stays the same over restarts.
    """

    def __init__(
        self,
        home: Path,
        *,
        clock: str = "system",
        port: int = 0,
        arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare the server.

        Args:
            home: The home folder; made when it does not exist.
            clock: As for ``headrace serve --clock``.
            port: Port to listen on; 0 takes a free one.
            arguments: Further arguments for ``headrace serve``.
            environment: Variables to add to those of this process.
        """
        self.home = home
        self.port = port or free_port()
        self.log_path = home.with_name(home.name + ".log")
        self._command = [sys.executable, "-m", "headrace", "serve", "--home", str(home), "--port", str(self.port)]
        self._command += ["--clock", clock, "--allow-private-destinations", "--log-level", "WARNING", *arguments]
        self._environment = {**os.environ, **(environment or {})}
        self._board = StatusBoard(home / "run")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the server listens."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, *, timeout_seconds: float = 60.0) -> Client:
        """Return a new client with the technical account's credentials."""
        return Client(self.url, Credentials.of_home(self.home), timeout_seconds=timeout_seconds)

    def __enter__(self) -> Self:
        self.start()
        self.wait_until_ready()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and return at once."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment)  # noqa: S603

    def wait_until_ready(self, timeout_seconds: float = _READY_SECONDS) -> float:
        """Wait until every role runs, and return the seconds that it took.

        Raises:
            AssertionError: The server is not ready in time, or has ended.
        """
        begin = time.monotonic()
        with httpx.Client(base_url=self.url, timeout=5.0) as client:
            while not self._is_ready(client):
                if time.monotonic() - begin > timeout_seconds:
                    raise AssertionError(f"The server is not ready after {timeout_seconds:.0f} s:\n{self.last_words()}")
                if self._process is None or self._process.poll() is not None:
                    raise AssertionError(f"The server has ended:\n{self.last_words()}")
                time.sleep(_LOOK_SECONDS)
        return time.monotonic() - begin

    def _is_ready(self, client: httpx.Client) -> bool:
        try:
            return bool(client.get("/headrace/health").json()["status"] == "ready")
        except (httpx.HTTPError, ValueError, KeyError):
            return False

    def stop(self) -> None:
        """End the server in good order.

        Raises:
            AssertionError: It does not end in time; it is killed then.
        """
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait()
            raise AssertionError(f"The server does not end:\n{self.last_words()}") from error

    def kill(self, role: str) -> bool:
        """End one role with ``SIGKILL``, or the supervisor; returns False when the role does not run at the moment.

        The supervisor's children lose their parent by it, and end; `start` brings the server back.
        """
        if role == SUPERVISOR:
            assert self._process is not None  # noqa: S101 - there is nothing to kill
            self._process.kill()
            self._process.wait()
            return True
        pid = self.pid_of(role)
        return pid is not None and _killed(pid)

    def kill_child(self, pid: int) -> bool:
        """End one of the supervisor's children with ``SIGKILL``; returns False when it has gone."""
        return _killed(pid)

    def pid_of(self, role: str) -> int | None:
        """Return the process of a role, None when it has none that has said so."""
        status = self._board.read(role)
        return status["pid"] if status else None

    def children(self) -> set[int]:
        """Return the processes of the roles, also of those that have said nothing yet."""
        if self._process is None:
            return set()
        try:
            listed = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        except FileNotFoundError:
            return set()
        return {int(pid) for pid in listed.split()}

    def status_of(self, role: str) -> dict[str, Any]:
        """Return what a role has published last."""
        return self._board.read(role) or {}

    def last_words(self, length: int = 6000) -> str:
        """Return the end of what the server has written to its log."""
        return self.log_path.read_text(errors="replace")[-length:] if self.log_path.exists() else ""


def free_port() -> int:
    """Return a port that nobody listens on, and that no connection is given while a server is down."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _killed(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
