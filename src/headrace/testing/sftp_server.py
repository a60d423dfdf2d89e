"""Real SFTP servers on this machine: OpenSSH's when it is installed, and asyncssh's, which also takes passwords."""

import asyncio
import base64
import contextlib
import getpass
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True)
class SftpServer:
    """A running server.

    Attributes:
        port: Where it listens on 127.0.0.1.
        root: Folder that clients may use.
        auth: Authentication scheme and parameters that it accepts.
        fingerprint: Of its host key.
    """

    port: int
    root: Path
    auth: tuple[str, dict[str, Any]]
    fingerprint: str


@contextlib.contextmanager
def openssh_server(folder: Path) -> Iterator[SftpServer]:
    """Run OpenSSH's server for the user who runs the tests; needs `SSHD`."""
    assert SSHD is not None  # noqa: S101 - callers skip without it
    Path("/run/sshd").mkdir(exist_ok=True) if getpass.getuser() == "root" else None
    host_key, user_key = _key(folder / "host_key"), _key(folder / "user_key")
    (folder / "authorized_keys").write_text(user_key.with_suffix(".pub").read_text())
    root, port = folder / "root", _free_port()
    root.mkdir()
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder / 'authorized_keys'}\nPasswordAuthentication no\nPermitRootLogin yes\n"
        "Subsystem sftp internal-sftp\n"
    )
    process = subprocess.Popen([SSHD, "-D", "-f", str(config)], stderr=subprocess.DEVNULL)  # noqa: S603 - all of it is ours
    try:
        _wait_for(port)
        params = {"username": getpass.getuser(), "sshKey": base64.b64encode(user_key.read_bytes()).decode()}
        yield SftpServer(port, root, ("SFTP with SSH Key", params), _fingerprint(host_key))
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def asyncssh_server(folder: Path) -> Iterator[SftpServer]:
    """Run asyncssh's server for a user ``carrier`` with the password ``pigeon``."""
    import asyncssh

    class Server(asyncssh.SSHServer):
        """Knows one user."""

        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == ("carrier", "pigeon")

    host_key = asyncssh.generate_private_key("ssh-ed25519")
    root = folder / "root"
    root.mkdir()
    started, stopping = threading.Event(), threading.Event()
    ports: list[int] = []

    async def serve() -> None:
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[host_key],
            server_factory=Server,
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(root).encode()),
        )
        ports.append(server.get_port())
        started.set()
        await asyncio.to_thread(stopping.wait)
        server.close()
        await server.wait_closed()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="sftp-server", daemon=True)
    thread.start()
    try:
        started.wait(10)
        params = {"username": "carrier", "password": "pigeon"}
        yield SftpServer(ports[0], root, ("SFTP with Password", params), host_key.get_fingerprint("sha256"))
    finally:
        stopping.set()
        thread.join(10)


def _key(path: Path) -> Path:
    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(path))
    key.write_public_key(str(path.with_suffix(".pub")))
    path.chmod(0o600)
    return path


def _fingerprint(path: Path) -> str:
    import asyncssh

    return asyncssh.read_private_key(str(path)).get_fingerprint("sha256")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError("The SFTP server does not start.")
