"""The demo's processes: a real server and a receiver, started, watched and ended."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.client import Client, Credentials

_STOP_SECONDS = 30


@contextmanager
def server(home: Path, *, clock: str = "system") -> Iterator[str]:
    """Run ``headrace serve`` on a free port; yields its base URL when every role runs."""
    port = _free_port()
    command = [sys.executable, "-m", "headrace", "serve", "--home", str(home), "--port", str(port), "--clock", clock]
    command += ["--allow-private-destinations", "--log-level", "WARNING"]
    with (home / "server.log").open("wb") as log, _process(command, stdout=log, stderr=log):
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, home)
        yield url


def _wait_for(url: str, home: Path) -> None:
    client = Client(url, Credentials("", "", ""))
    try:
        client.wait_until_ready(60)
    except TimeoutError as error:
        raise RuntimeError(f"The server does not start:\n{(home / 'server.log').read_text()[-3000:]}") from error
    finally:
        client.close()


@contextmanager
def receiver(path: Path) -> Iterator[str]:
    """Run the receiver; yields the URL that messages are sent to."""
    path.touch()
    command = [sys.executable, "-m", "headrace.cli.demo.receiver", str(path)]
    with _process(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/messages"


@contextmanager
def _process(command: list[str], **streams: object) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, env={**os.environ, "PYTHONUNBUFFERED": "1"}, **streams)  # type: ignore[call-overload]  # noqa: S603
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
