"""Valid rows of a batch on their way to the claim check: files of JSON lines under the batch's staging folder."""

import os
from pathlib import Path
from typing import IO

from headrace.storage.disk import sync_file

_FILE_BYTES = 16_000_000  # a reader that begins again in the middle of a batch skips whole files


class ValidRows:
    """Writes the files."""

    def __init__(self, folder: Path) -> None:
        """Begin; what a former attempt left in ``folder`` is replaced."""
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("valid-*.jsonl"):
            old.unlink()
        self._file: IO[bytes] | None = None
        self._size = 0
        self.names: list[str] = []
        self.row_count = 0
        self.byte_count = 0

    def write(self, lines: list[bytes]) -> None:
        """Write rows, each one line of JSON without its end."""
        if not lines:
            return
        if self._file is None:
            self.names.append(f"valid-{len(self.names):05d}.jsonl")
            self._file = (self._folder / self.names[-1]).open("wb")
        content = b"\n".join(lines) + b"\n"
        self._file.write(content)
        self.row_count += len(lines)
        self.byte_count += len(content)
        self._size += len(content)
        if self._size >= _FILE_BYTES:
            self.close()

    def close(self) -> None:
        """Bring everything to disk."""
        file, self._file = self._file, None
        self._size = 0
        if file is None:
            return
        with file:
            file.flush()
            os.fsync(file.fileno())
        sync_file(self._folder / self.names[-1])

    def discard(self) -> None:
        """Remove the files."""
        self.close()
        for name in self.names:
            (self._folder / name).unlink(missing_ok=True)
        self.names = []
