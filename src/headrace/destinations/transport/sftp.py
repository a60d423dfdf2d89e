"""Files over SFTP through ``asyncssh``: staged under temporary names, then renamed."""

import asyncio
import base64
import binascii
import contextlib
import os
import posixpath
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.config import SettingInvalid
from headrace.destinations.base import FileUpload
from headrace.destinations.errors import DestinationDenied, DestinationFull, DestinationRefused, DestinationUnreachable
from headrace.destinations.transport.addresses import resolve
from headrace.errors import HeadraceError

if TYPE_CHECKING:
    import asyncssh

CONNECT_SECONDS = 15


class SftpAccount:
    """A user at a server."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        username: str,
        password: str = "",
        private_key: str = "",
        host_key_fingerprint: str = "",
        allow_private: bool,
    ) -> None:
        """Describe the account.

        Args:
            host: Name or address of the server.
            port: Its port.
            username: The user.
            password: Its password, when it has one.
            private_key: Its private key in PEM or OpenSSH form, when it has one; without passphrase.
            host_key_fingerprint: ``SHA256:…`` that the server's key must have; any key is taken when empty.
            allow_private: Whether internal addresses may be connected to.
        """
        self._host = host
        self._port = port
        self._username = username
        self._password = password
        self._private_key = private_key
        self._fingerprint = host_key_fingerprint
        self._allow_private = allow_private

    @asynccontextmanager
    async def session(self) -> "AsyncIterator[asyncssh.SFTPClient]":
        """Connect, and give an SFTP session until the end of the block; errors of the protocol are mapped."""
        import asyncssh

        try:
            connected = await self._socket()
            keys = [asyncssh.import_private_key(self._private_key)] if self._private_key else []
            async with (
                asyncssh.connect(
                    sock=connected,
                    host=self._host,
                    port=self._port,
                    username=self._username,
                    password=self._password or None,
                    client_keys=keys or None,
                    agent_path=None,
                    config=None,
                    known_hosts=b"",  # none are known, so `validate_host_public_key` is asked
                    client_factory=lambda: _client(self._fingerprint),
                    login_timeout=CONNECT_SECONDS,
                ) as connection,
                connection.start_sftp_client() as client,
            ):
                yield client
        except HeadraceError:
            raise
        except Exception as error:
            raise mapped(error, f"{self._host}:{self._port}") from error

    async def _socket(self) -> socket.socket:
        # Connected here, to the very address that was judged.
        last: Exception | None = None
        loop = asyncio.get_running_loop()
        for address in await resolve(self._host, self._port, allow_private=self._allow_private):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            connection = socket.socket(family, socket.SOCK_STREAM)
            connection.setblocking(False)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await loop.sock_connect(connection, (address, self._port))
            except (OSError, TimeoutError) as error:
                connection.close()
                last = error
            else:
                return connection
        raise DestinationUnreachable(f"{self._host}:{self._port} could not be connected to: {last or 'no address'}.")


def _client(fingerprint: str) -> "asyncssh.SSHClient":
    import asyncssh

    class Client(asyncssh.SSHClient):
        """Accepts the server's key when it has the fingerprint that the account asks for."""

        def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
            return not fingerprint or key.get_fingerprint("sha256").rstrip("=") == fingerprint.rstrip("=")

    return Client()


class SftpUpload(FileUpload):
    """The files of one run on one connection."""

    def __init__(self, account: SftpAccount, folder: str, run_id: str) -> None:
        self._account = account
        self._folder = folder.rstrip("/") or "/"
        self._run_id = run_id
        self._staged: dict[str, str] = {}
        self._exit = contextlib.AsyncExitStack()
        self._client: Any = None

    async def _connected(self) -> "asyncssh.SFTPClient":
        if self._client is None:
            self._client = await self._exit.enter_async_context(self._account.session())
        client: asyncssh.SFTPClient = self._client
        return client

    async def add(self, name: str, source: Path) -> int:
        """See `FileUpload.add`."""
        temporary = posixpath.join(self._folder, f".{self._run_id}.{len(self._staged)}.part")
        with _mapping(self._folder):
            client = await self._connected()
            await client.makedirs(self._folder, exist_ok=True)
            self._staged[name] = temporary
            await client.put(str(source), temporary)
            size = (await client.stat(temporary)).size
        expected = await asyncio.to_thread(os.path.getsize, source)
        if size is not None and size != expected:
            raise DestinationUnreachable(f"The server holds {size} of {expected} bytes of '{name}'.")
        return expected

    async def commit(self, last: Mapping[str, bytes]) -> None:
        """See `FileUpload.commit`."""
        with _mapping(self._folder):
            client = await self._connected()
            for name, temporary in list(self._staged.items()):
                await _rename(client, temporary, posixpath.join(self._folder, name))
                del self._staged[name]
            for name, content in last.items():
                temporary = posixpath.join(self._folder, f".{self._run_id}.last.part")
                await client.makedirs(self._folder, exist_ok=True)
                async with client.open(temporary, "wb") as file:
                    await file.write(content)
                await _rename(client, temporary, posixpath.join(self._folder, name))

    async def abort(self) -> None:
        """See `FileUpload.abort`."""
        with contextlib.suppress(Exception):
            for temporary in self._staged.values():
                with contextlib.suppress(Exception):
                    await self._client.remove(temporary)
            self._staged.clear()
            await self._exit.aclose()


async def _rename(client: "asyncssh.SFTPClient", temporary: str, name: str) -> None:
    import asyncssh

    try:
        await client.posix_rename(temporary, name)  # replaces; an extension that OpenSSH and most others have
    except asyncssh.SFTPOpUnsupported:
        with contextlib.suppress(asyncssh.SFTPNoSuchFile):
            await client.remove(name)
        await client.rename(temporary, name)


@contextlib.contextmanager
def _mapping(folder: str) -> Any:
    try:
        yield
    except HeadraceError:
        raise
    except Exception as error:
        raise mapped(error, f"folder '{folder}'") from error


def mapped(error: Exception, place: str) -> HeadraceError:
    """Return what an error of ``asyncssh`` means."""
    import asyncssh

    if isinstance(error, HeadraceError):
        return error
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return DestinationDenied(f"The key of {place} is not the one that the account names.", path="/auth/params")
    if isinstance(error, asyncssh.PermissionDenied):
        return DestinationDenied(f"{place} refused the user name, password or key.", path="/auth/params")
    if isinstance(error, asyncssh.SFTPPermissionDenied):
        return DestinationDenied(f"The user may not write to {place}.", path="/params/remotePath")
    if isinstance(error, asyncssh.SFTPNoSuchFile | asyncssh.SFTPNoSuchPath):
        return DestinationRefused(f"There is no {place}.", path="/params/remotePath")
    if isinstance(error, asyncssh.SFTPNoSpaceOnFilesystem | asyncssh.SFTPQuotaExceeded):
        return DestinationFull(f"There is no room in {place}.", retry_after_seconds=60)
    if isinstance(error, asyncssh.KeyImportError):
        return DestinationDenied(f"The private key cannot be read: {error}.", path="/auth/params/sshKey")
    return DestinationUnreachable(f"Writing to {place} failed: {error or type(error).__name__}.")


def private_key_from(text: str) -> str:
    """Return a private key that came as base64 of its PEM form.

    Raises:
        SettingInvalid: It is no base64, no key, or protected by a passphrase.
    """
    import asyncssh

    try:
        key = base64.b64decode("".join(text.split()), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise SettingInvalid("Parameter 'sshKey' must be the base64 form of a private key file.", path="sshKey") from error
    try:
        asyncssh.import_private_key(key)
    except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError) as error:
        if isinstance(error, asyncssh.KeyEncryptionError) or "passphrase" in str(error).lower() or "ENCRYPTED" in key:
            raise SettingInvalid("Parameter 'sshKey' must be a key without passphrase.", path="sshKey") from error
        raise SettingInvalid("Parameter 'sshKey' holds no private key in a known form.", path="sshKey") from error
    return key
