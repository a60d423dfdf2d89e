"""Data Landing Zone: a folder of the sandbox on the server itself; files live seven days there.

Guarantee: all or nothing per file (temporary name, then rename within the same file system).
"""

import asyncio
import errno
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace.clock import Clock
from headrace.config import setting
from headrace.destinations.base import FileDestination, FileUpload
from headrace.destinations.errors import DestinationDenied, DestinationFull, DestinationRefused
from headrace.destinations.file_settings import FileSettings
from headrace.destinations.reading import TORN, FileReader, Listing, RemoteFile


@dataclass(frozen=True, kw_only=True)
class LandingZoneTarget(FileSettings):
    """Where in the zone."""

    path: str = setting("Folder within the landing zone.", example="crm/daily")


class DataLandingZone(FileDestination):
    """The sandbox's own landing zone; the server owns the credentials."""

    name, title = "data_landing_zone", "Data Landing Zone"
    connection_spec_id = "10440537-2a7b-4583-ac39-ed38d4b848e8"
    flow_spec_id = "7e635b9f-e59b-4546-8ba8-fce6496693c8"
    dataset_flow_spec_id = "cd2fc47e-e838-4f38-a581-8fff2f99b63a"
    auth_specs = {}
    target_settings = LandingZoneTarget

    async def check(self) -> None:
        """Make the zone when it is missing, and see that it can be written."""
        await asyncio.to_thread(self._check)

    def _check(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _mapped(error, self._root) from error
        if not os.access(self._root, os.W_OK):
            raise DestinationDenied(f"The landing zone {self._root} cannot be written.")

    def folder(self) -> str:
        """See `FileDestination.folder`."""
        return str(self.target.path)

    def begin(self, folder: str, run_id: str) -> FileUpload:
        """See `FileDestination.begin`."""
        place = (self._root / folder.strip("/")).resolve()
        if not place.is_relative_to(self._root.resolve()):
            raise DestinationRefused(f"Path '{folder}' leaves the landing zone.", path="/params/path")
        return _FolderUpload(place, run_id, self.context.clock)

    def reader(self) -> FileReader:
        """See `FileDestination.reader`."""
        return _FolderReader(self._root)

    @property
    def _root(self) -> Path:
        return self.context.landing_zone / self.context.sandbox_name


class _FolderUpload(FileUpload):
    def __init__(self, folder: Path, run_id: str, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._run_id = run_id
        self._staged: dict[str, Path] = {}

    async def add(self, name: str, source: Path) -> int:
        """See `FileUpload.add`."""
        return await asyncio.to_thread(self._add, name, source)

    def _add(self, name: str, source: Path) -> int:
        temporary = self._folder / f".{self._run_id}.{len(self._staged)}.part"
        self._staged[name] = temporary
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, temporary)
            _sync(temporary)
            return temporary.stat().st_size
        except OSError as error:
            raise _mapped(error, self._folder) from error

    async def commit(self, last: Mapping[str, bytes]) -> None:
        """See `FileUpload.commit`."""
        await asyncio.to_thread(self._commit, last)

    def _commit(self, last: Mapping[str, bytes]) -> None:
        try:
            for name, temporary in self._staged.items():
                self._show(temporary, name)
            self._staged.clear()
            for name, content in last.items():
                self._folder.mkdir(parents=True, exist_ok=True)
                temporary = self._folder / f".{self._run_id}.last.part"
                temporary.write_bytes(content)
                _sync(temporary)
                self._show(temporary, name)
            if self._folder.exists():
                _sync(self._folder)
        except OSError as error:
            raise _mapped(error, self._folder) from error

    def _show(self, temporary: Path, name: str) -> None:
        seconds = self._clock.now_ms() / 1000  # the age that `remove_old_files` goes by, in the server's own time
        os.utime(temporary, (seconds, seconds))
        temporary.replace(self._folder / name)

    async def abort(self) -> None:
        """See `FileUpload.abort`."""
        for temporary in self._staged.values():
            await asyncio.to_thread(temporary.unlink, missing_ok=True)
        self._staged.clear()


class _FolderReader(FileReader):
    """Reads the zone; links are not followed, so that nothing outside of it can be read."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def list(self, folder: str, *, is_recursive: bool = False) -> Listing:
        """See `FileReader.list`."""
        return await asyncio.to_thread(self._list, folder, is_recursive)

    def _list(self, folder: str, is_recursive: bool) -> Listing:
        place = self._inside(folder)
        files: list[RemoteFile] = []
        folders: list[str] = []
        waiting = [place] if place.is_dir() else []
        while waiting:
            try:
                entries = list(os.scandir(waiting.pop()))
            except OSError as error:
                raise _unreadable(error, place) from error
            for entry in entries:
                path = Path(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(self._name(path))
                    waiting += [path] if is_recursive else []
                elif entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                    files.append(self._remote(path, entry.stat(follow_symlinks=False)))
        return Listing(tuple(sorted(files, key=lambda file: file.path)), () if is_recursive else tuple(sorted(folders)))

    async def fetch(self, path: str, target: Path) -> RemoteFile | None:
        """See `FileReader.fetch`."""
        return await asyncio.to_thread(self._fetch, path, target)

    def _fetch(self, path: str, target: Path) -> RemoteFile | None:
        place = self._inside(path)
        try:
            with os.fdopen(os.open(place, os.O_RDONLY | os.O_NOFOLLOW), "rb") as source, target.open("wb") as copy:
                before = os.fstat(source.fileno())
                shutil.copyfileobj(source, copy, 1 << 20)
                after = os.fstat(source.fileno())
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise _unreadable(error, place) from error
        remote = self._remote(place, after)
        is_whole = (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
        return remote if is_whole else RemoteFile(remote.path, remote.byte_count, remote.modified_ms, TORN)

    def _inside(self, path: str) -> Path:
        root = self._root.resolve()
        place = (root / path.strip("/")).resolve()
        if not place.is_relative_to(root):
            raise DestinationRefused(f"Path '{path}' leaves the landing zone.", path="/params/path")
        return place

    def _name(self, path: Path) -> str:
        return path.resolve().relative_to(self._root.resolve()).as_posix()

    def _remote(self, path: Path, found: os.stat_result) -> RemoteFile:
        version = f"{found.st_mtime_ns}-{found.st_size}"
        return RemoteFile(self._name(path), found.st_size, found.st_mtime_ns // 1_000_000, version)


def _unreadable(error: OSError, place: Path) -> Exception:
    return DestinationDenied(f"{place} cannot be read: {error.strerror}.")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mapped(error: OSError, folder: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DestinationFull(f"There is no room in {folder}.", retry_after_seconds=60)
    if isinstance(error, PermissionError):
        return DestinationDenied(f"{folder} cannot be written: {error.strerror}.")
    return DestinationRefused(f"{folder} cannot be written: {error.strerror}.")
