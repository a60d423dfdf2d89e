"""Files of the lake that are on disk when they are said to be written."""

import os
from pathlib import Path
from typing import Any

from pyiceberg.io import InputFile, OutputFile
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.typedef import EMPTY_DICT, Properties

from headrace.storage.disk import sync_file

ORIGIN, ACTUAL = "headrace.origin", "headrace.actual"
"""Properties of the catalog: the folder that the metadata name, and the folder where the warehouse lies now."""


class DurableFileIO(PyArrowFileIO):
    """Files by path. What is written is synced when it is closed; a warehouse that was moved is found where it is now."""

    def __init__(self, properties: Properties = EMPTY_DICT) -> None:
        super().__init__(properties)
        self._origin = str(properties.get(ORIGIN, ""))
        self._actual = str(properties.get(ACTUAL, ""))

    def actual(self, location: str) -> str:
        """Return where the file that the metadata call ``location`` lies now."""
        if self._origin and location.startswith(self._origin):
            return self._actual + location[len(self._origin) :]
        return location

    def new_input(self, location: str) -> Any:
        """See `FileIO.new_input`."""
        return super().new_input(self.actual(location))

    def new_output(self, location: str) -> Any:
        """See `FileIO.new_output`."""
        return _DurableFile(location, Path(self.actual(location)), self)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """See `FileIO.delete`."""
        named = location if isinstance(location, str) else location.location
        super().delete(self.actual(named))


class _DurableFile(OutputFile):
    def __init__(self, location: str, path: Path, io: DurableFileIO) -> None:
        super().__init__(location)
        self._path = path
        self._io = io

    def __len__(self) -> int:
        return self._path.stat().st_size

    def exists(self) -> bool:
        return self._path.exists()

    def to_input_file(self) -> InputFile:
        found: InputFile = self._io.new_input(self.location)
        return found

    def create(self, overwrite: bool = False) -> Any:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return _DurableStream(self._path, "wb" if overwrite else "xb")


class _DurableStream:
    """A file that is synced before it is closed."""

    def __init__(self, path: Path, mode: str) -> None:
        self._path = path
        self._file = path.open(mode)
        self.closed = False

    def write(self, data: bytes) -> int:
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())
        sync_file(self._path)

    def __enter__(self) -> "_DurableStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
