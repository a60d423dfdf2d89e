"""Writing rows as files: CSV, JSON lines or Parquet, compressed on request, split at a number of rows.

Every part of a run has the same header. A run without rows gives one file with the header alone.
"""

import contextlib
import gzip
import re
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec

from headrace.activation.filenames import file_name
from headrace.activation.manifest import ExportedFile
from headrace.activation.mapping import AttributeMapping
from headrace.activation.parquet_part import ColumnTypes, ParquetPart
from headrace.activation.rows import Row
from headrace.destinations.file_settings import CsvOptions

GZIP_LEVEL = 6
_BUFFER_BYTES = 1 << 20
_GZIP_AHEAD = 4


class _Part(Protocol):
    """One file being written."""

    def write(self, rows: Sequence[Row]) -> None:
        """Add rows."""

    def close(self) -> None:
        """Finish the file."""


class CsvFormat:
    """Turns rows into lines.

    A field is quoted when it holds the delimiter, the quote, a line end or the escape character, or reads like the text that
    stands for a missing or an empty value; a quote within is preceded by the escape character. Without a quote character
    nothing is quoted or escaped.
    """

    def __init__(self, options: CsvOptions) -> None:
        """Prepare for options of a target connection."""
        self._delimiter = options.delimiter
        self._quote = options.quote
        self._escape = options.escape
        self._null = options.null_value
        self._empty = options.empty_value
        special = re.escape(options.delimiter + options.quote + "\r\n" + options.escape)
        self._special = re.compile(f"[{special}]")
        self._reserved = {text for text in (options.null_value, options.empty_value) if text}
        self._slow = self._reserved | {""}

    def line(self, row: Row) -> str:
        """Return a row as a line, with its line end."""
        return self._plain_line(row) or self._delimiter.join([self._field(value) for value in row]) + "\n"

    def _plain_line(self, row: Row) -> str:
        # Most rows need no quotes. It is cheaper to put a row together and look at the whole than to look at each field.
        try:
            if not self._slow.isdisjoint(row):
                return ""
        except TypeError:  # a list or an object
            return ""
        text = self._delimiter.join([value if value.__class__ is str else self._field(value) for value in row])
        if "\n" in text or "\r" in text or self._escape in text or (self._quote and self._quote in text):
            return ""
        return text + "\n" if text.count(self._delimiter) == len(row) - 1 else ""

    def header(self, names: Sequence[str]) -> str:
        """Return the header as a line, with its line end."""
        return self._delimiter.join([self._quoted(name) for name in names]) + "\n"

    def _field(self, value: Any) -> str:
        if value is None:
            return self._null
        if isinstance(value, str):
            return self._quoted(value) if value else self._empty
        if value is True:
            return "true"
        if value is False:
            return "false"
        if isinstance(value, int | float):
            return str(value)
        return self._quoted(msgspec.json.encode(value).decode())

    def _quoted(self, text: str) -> str:
        if not self._quote or (text not in self._reserved and not self._special.search(text)):
            return text
        inner = text.replace(self._escape, self._escape * 2) if self._escape != self._quote else text
        return f"{self._quote}{inner.replace(self._quote, self._escape + self._quote)}{self._quote}"


class _TextPart:
    """A file of lines."""

    def __init__(self, path: Path, *, compression: str, header: str, line: Callable[[Row], str]) -> None:
        self._raw: IO[bytes] = path.open("wb", buffering=_BUFFER_BYTES)
        self._file: Any = self._raw
        if compression == "GZIP":
            self._file = _GzipThread(self._raw)
        self._line = line
        self._file.write(header.encode())

    def write(self, rows: Sequence[Row]) -> None:
        """See `_Part.write`."""
        self._file.write("".join(map(self._line, rows)).encode())

    def close(self) -> None:
        """See `_Part.close`."""
        if self._file is not self._raw:
            self._file.close()
        self._raw.close()


class _GzipThread:
    """Compresses on a thread of its own, beside the making of rows: zlib does not hold the interpreter's lock."""

    def __init__(self, raw: IO[bytes]) -> None:
        # No name and no time in the header: the same rows give the same bytes.
        self._file = gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=raw, mtime=0)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="export-gzip")
        self._under_way: deque[Future[int]] = deque()

    def write(self, data: bytes) -> None:
        """Compress after what came before; waits while there is much of it."""
        self._under_way.append(self._pool.submit(self._file.write, data))
        while len(self._under_way) > _GZIP_AHEAD:
            self._under_way.popleft().result()

    def close(self) -> None:
        """Wait for everything and finish the file."""
        try:
            while self._under_way:
                self._under_way.popleft().result()
        finally:
            self._pool.shutdown()
            self._file.close()


class FileWriter:
    """Writes the files of one run into a folder; closed by `finish` or `close`."""

    def __init__(
        self,
        folder: Path,
        stem: str,
        columns: Sequence[AttributeMapping],
        *,
        file_type: str,
        compression: str,
        csv: CsvOptions,
        rows_per_file: int,
        types: ColumnTypes | None = None,
    ) -> None:
        """Prepare the files; the first one is opened at once.

        Args:
            folder: Existing folder.
            stem: Name of the files without part number and extension.
            columns: The columns.
            file_type: ``CSV``, ``JSON`` or ``PARQUET``.
            compression: ``NONE`` or ``GZIP``.
            csv: How CSV is written.
            rows_per_file: Most rows in one file.
            types: Types of the columns of a Parquet file; those of the columns' fields by default.
        """
        self._types = types or ColumnTypes(columns)
        self._folder = folder
        self._stem = stem
        self._columns = columns
        self._file_type = file_type
        self._compression = compression
        self._csv = CsvFormat(csv)
        self._rows_per_file = rows_per_file
        self._names = [column.target for column in columns]
        self._counts: list[int] = []
        self._part: _Part = self._next_part()

    def write(self, rows: Sequence[Row]) -> None:
        """Add rows, beginning new files as needed."""
        while rows:
            room = self._rows_per_file - self._counts[-1]
            if room == 0:
                self._part.close()
                self._part = self._next_part()
                continue
            taken, rows = rows[:room], rows[room:]
            self._part.write(taken)
            self._counts[-1] += len(taken)

    def finish(self) -> list[ExportedFile]:
        """Close the last file and return all of them, in order."""
        self._part.close()
        files = []
        for number, count in enumerate(self._counts, start=1):
            name = self._name(number)
            files.append(ExportedFile(name, (self._folder / name).stat().st_size, count))
        return files

    def _name(self, number: int) -> str:
        return file_name(self._stem, number, file_type=self._file_type, compression=self._compression)

    def _next_part(self) -> _Part:
        self._counts.append(0)
        path = self._folder / self._name(len(self._counts))
        if self._file_type == "PARQUET":
            return ParquetPart(path, compression=self._compression, types=self._types)
        if self._file_type == "JSON":
            return _TextPart(path, compression=self._compression, header="", line=self._json_line)
        header = self._csv.header(self._names)
        return _TextPart(path, compression=self._compression, header=header, line=self._csv.line)

    def _json_line(self, row: Row) -> str:
        return msgspec.json.encode(dict(zip(self._names, row, strict=True))).decode() + "\n"

    def close(self) -> None:
        """Close what is open, finished or not."""
        with contextlib.suppress(OSError, ValueError):  # nobody will read the file
            self._part.close()
