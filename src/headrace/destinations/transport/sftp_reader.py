"""Files out of SFTP servers."""

import contextlib
import posixpath
from pathlib import Path
from typing import Any

from headrace.destinations.errors import DestinationDenied, DestinationRefused
from headrace.destinations.reading import TORN, FileReader, Listing, RemoteFile
from headrace.destinations.transport.sftp import SftpAccount, mapped

_LONGEST_WALK = 10_000  # folders; a tree of links that leads into itself ends here


class SftpReader(FileReader):
    """Reads over one session. Links to folders are not followed."""

    def __init__(self, account: SftpAccount) -> None:
        self._account = account
        self._exit = contextlib.AsyncExitStack()
        self._client: Any = None

    async def _connected(self) -> Any:
        if self._client is None:
            self._client = await self._exit.enter_async_context(self._account.session())
        return self._client

    async def close(self) -> None:
        """See `FileReader.close`."""
        await self._exit.aclose()

    async def list(self, folder: str, *, is_recursive: bool = False) -> Listing:
        """See `FileReader.list`."""
        import asyncssh

        client = await self._connected()
        files: list[RemoteFile] = []
        folders: list[str] = []
        waiting = [folder.rstrip("/") or ("/" if folder.startswith("/") else ".")]
        walked = 0
        while waiting:
            place = waiting.pop()
            walked += 1
            if walked > _LONGEST_WALK:
                raise DestinationRefused(f"Folder '{folder}' has more than {_LONGEST_WALK} folders.", path="/params/path")
            try:
                entries = await client.readdir(place)
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNotADirectory, asyncssh.SFTPNoSuchPath):
                continue
            except asyncssh.SFTPPermissionDenied as error:
                raise DestinationDenied(f"The user may not read folder '{place}'.", path="/params/path") from error
            except asyncssh.SFTPFailure:
                if await client.isdir(place):
                    raise
                continue  # what OpenSSH says of a file
            except Exception as error:  # whatever the library raises becomes an error of ours
                raise mapped(error, f"folder '{place}'") from error
            for entry in entries:
                name = str(entry.filename)
                path = name if place == "." else posixpath.join(place, name)
                if entry.attrs.type == asyncssh.FILEXFER_TYPE_DIRECTORY and name not in (".", ".."):
                    folders.append(path)
                    waiting += [path] if is_recursive else []
                elif entry.attrs.type == asyncssh.FILEXFER_TYPE_REGULAR:
                    files.append(_remote(path, entry.attrs))
        return Listing(tuple(sorted(files, key=lambda file: file.path)), () if is_recursive else tuple(sorted(folders)))

    async def fetch(self, path: str, target: Path) -> RemoteFile | None:
        """See `FileReader.fetch`."""
        import asyncssh

        client = await self._connected()
        try:
            before = _remote(path, await client.stat(path))
            await client.get(path, str(target))
            after = _remote(path, await client.stat(path))
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            return None
        except asyncssh.SFTPPermissionDenied as error:
            raise DestinationDenied(f"The user may not read '{path}'.", path="/params/path") from error
        except Exception as error:  # likewise
            raise mapped(error, f"'{path}'") from error
        return after if before == after else RemoteFile(path, after.byte_count, after.modified_ms, TORN)


def _remote(path: str, attributes: Any) -> RemoteFile:
    size, seconds = int(attributes.size or 0), int(attributes.mtime or 0)
    return RemoteFile(path, size, seconds * 1000, f"{seconds}-{size}")
