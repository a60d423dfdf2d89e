"""SFTP: files in a folder of a server that speaks the SSH File Transfer Protocol.

Protocol: draft-ietf-secsh-filexfer-02 as OpenSSH speaks it, with its extension ``posix-rename``.
Guarantee: all or nothing per file; files of a run are renamed only after all of them were transferred.
"""

from dataclasses import dataclass
from typing import ClassVar

from headrace.config import Secret, setting
from headrace.destinations.base import FileDestination, FileUpload
from headrace.destinations.file_settings import FileSettings
from headrace.destinations.reading import FileReader
from headrace.destinations.transport.sftp import SftpAccount, SftpUpload, mapped, private_key_from
from headrace.destinations.transport.sftp_reader import SftpReader


@dataclass(frozen=True, kw_only=True)
class SftpPassword:
    """A user with a password."""

    spec_type: ClassVar[str] = "SFTP"
    domain: str = setting("Name or address of the server.", example="files.example.com")
    username: str = setting("The user.")
    password: Secret = setting("The user's password.")
    port: int = setting("Port of the server.", default=22)
    host_key_fingerprint: str = setting("SHA256:… that the server's key must have.", default="")


@dataclass(frozen=True, kw_only=True)
class SftpKey:
    """A user with a private key."""

    spec_type: ClassVar[str] = "SFTP"
    domain: str = setting("Name or address of the server.", example="files.example.com")
    username: str = setting("The user.")
    ssh_key: Secret = setting("Base64 of the private key, which has no passphrase.")
    port: int = setting("Port of the server.", default=22)
    host_key_fingerprint: str = setting("SHA256:… that the server's key must have.", default="")

    def __post_init__(self) -> None:
        """Refuse a key that cannot be used."""
        private_key_from(self.ssh_key.reveal())


@dataclass(frozen=True, kw_only=True)
class SftpTarget(FileSettings):
    """Where on the server."""

    remote_path: str = setting("Folder on the server.", example="/upload/crm")


class Sftp(FileDestination):
    """Writes files to an SFTP server."""

    name, title = "sftp", "SFTP"
    connection_spec_id = "36965a81-b1c6-401b-99f8-22508f1e6a26"
    flow_spec_id = "fd36aaa4-bf2b-43fb-9387-43785eeeb799"
    dataset_flow_spec_id = "354d6aad-4754-46e4-a576-1b384561c440"
    auth_specs = {"SFTP with Password": SftpPassword, "SFTP with SSH Key": SftpKey}
    target_settings = SftpTarget

    async def check(self) -> None:
        """Log in, and look for the folder or the one it would be made in."""
        async with self._account().session() as client:
            try:
                place = self._fixed_folder()
                while not await client.exists(place):
                    parent = place.rpartition("/")[0]
                    if not parent or parent == place:
                        break
                    place = parent
            except Exception as error:
                raise mapped(error, f"folder '{self.target.remote_path}'") from error

    def folder(self) -> str:
        """See `FileDestination.folder`."""
        return str(self.target.remote_path)

    def begin(self, folder: str, run_id: str) -> FileUpload:
        """See `FileDestination.begin`."""
        return SftpUpload(self._account(), folder, run_id)

    def reader(self) -> FileReader:
        """See `FileDestination.reader`."""
        return SftpReader(self._account())

    def _fixed_folder(self) -> str:
        return str(self.target.remote_path).partition("%")[0].rstrip("/") or "/"

    def _account(self) -> SftpAccount:
        auth = self.auth
        return SftpAccount(
            host=auth.domain,
            port=auth.port,
            username=auth.username,
            password=auth.password.reveal() if isinstance(auth, SftpPassword) else "",
            private_key=private_key_from(auth.ssh_key.reveal()) if isinstance(auth, SftpKey) else "",
            host_key_fingerprint=auth.host_key_fingerprint,
            allow_private=self.context.allow_private_destinations,
        )
