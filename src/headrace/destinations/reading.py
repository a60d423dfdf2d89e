"""Reading files where files can be written: the other direction of a file destination, for sources."""

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec


class RemoteFile(msgspec.Struct, frozen=True):
    """A file at a source.

    Attributes:
        path: Where it lies, as `FileReader.fetch` takes it.
        byte_count: Its size.
        modified_ms: When it was changed last (epoch ms).
        version: Changes with its content: the store's own tag where there is one, else time and size.
    """

    path: str
    byte_count: int
    modified_ms: int
    version: str


class Listing(msgspec.Struct, frozen=True):
    """What a folder holds.

    Attributes:
        files: Its files, by path; with those of the folders below when these were asked for.
        folders: Paths of the folders in it, sorted; empty when the listing goes through them.
    """

    files: tuple[RemoteFile, ...]
    folders: tuple[str, ...] = ()


class FileReader(ABC):
    """Lists and copies files; used as ``async with destination.reader() as reader``."""

    @abstractmethod
    async def list(self, folder: str, *, is_recursive: bool = False) -> Listing:
        """Return what a folder holds; nothing for one that does not exist.

        Raises:
            DestinationDenied, DestinationUnreachable, DestinationRefused, AddressForbidden: As `Destination.check`.
        """

    @abstractmethod
    async def fetch(self, path: str, target: Path) -> RemoteFile | None:
        """Copy a file into a local one, and return what was copied; None when it is gone.

        The version returned is that of the bytes copied. One that changed while it was copied has a version that no
        listing gives.
        """

    async def close(self) -> None:  # noqa: B027 - nothing to close is a fine default
        """Release connections."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()


TORN = "torn"
"""Version of what was copied from a file that changed meanwhile."""
