"""Uploaded files as rows: JSON lines, one JSON array, Parquet, CSV; JSON and CSV also gzipped.

Reading is lazy and in chunks, so that a file's size does not matter; only a JSON array keeps an index of its rows in memory. What
is wrong with one row is said of that row. What is wrong with the file as a whole is a `FileUnreadable`.
"""

import csv
import gzip
import io
import mmap
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("json", "parquet", "csv")
CHARSETS = ("UTF-8", "US-ASCII", "ISO-8859-1")
EMPTY_FILE, EMPTY_HEADER, CORRUPT = "106", "118", "INGEST-1401-400"
LONGEST_ROW_BYTES = 16_000_000
_CHUNK_ROWS, _CHUNK_BYTES, _BLOCK_BYTES = 2000, 4_000_000, 1 << 20
# Records pack to a tenth, seldom to a hundredth of their size; what unpacks to much more is made to fill the disk.
_UNPACKED_BYTES, _UNPACKED_RATIO = 256_000_000, 200
_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_MARK = b"\xef\xbb\xbf"

_decode = msgspec.json.Decoder().decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


class FileUnreadable(InvalidInput):
    """An uploaded file that cannot be taken apart into rows; it fails its batch.

    Attributes:
        error_code: The platform's code of the batch error.
    """

    code = "file_unreadable"

    def __init__(self, message: str, *, error_code: str = CORRUPT, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.error_code = error_code


class FileFormat(msgspec.Struct, frozen=True, kw_only=True):
    """How the files of a batch are to be read.

    Attributes:
        format: One of `FORMATS`.
        is_array: Whether a JSON file is one array instead of one object a line.
        delimiter: Between the cells of a CSV row.
        quote: Around a cell.
        escape: Before a character that would mean something else.
        charset: One of `CHARSETS`.
        has_header: Whether a CSV file begins with the names of its columns.
        null_marker: The text of an absent cell; an empty cell is absent too.
    """

    format: str = "parquet"
    is_array: bool = False
    delimiter: str = ","
    quote: str = '"'
    escape: str = "\\"
    charset: str = "UTF-8"
    has_header: bool = True
    null_marker: str = ""


class SourceRow(NamedTuple):
    """One row of a file.

    Attributes:
        row: The row, None when it is corrupt.
        text: The row as one line of JSON without its end, when it came as JSON; else empty. Of a corrupt row what came.
        fault: Why it is corrupt; else empty.
    """

    row: dict[str, Any] | None
    text: bytes = b""
    fault: str = ""


Rows = list[SourceRow]
AcceptColumns = Callable[["pa.Schema | Sequence[str]"], None]
"""Looks at the columns of a Parquet or CSV file before its rows are read; raises `FileUnreadable`."""


def read_rows(
    path: Path, format_: FileFormat, *, accept_columns: AcceptColumns = lambda _: None, is_flat: bool = False
) -> Generator[Rows]:
    """Yield the rows of a file in chunks of a few megabytes.

    Args:
        path: The file.
        format_: How to read it.
        accept_columns: Called with the columns of a Parquet or CSV file.
        is_flat: Whether the columns of a CSV file are keys as they stand, instead of dotted paths.

    Raises:
        FileUnreadable: The file is empty or not in the format, or `accept_columns` refuses its columns.
    """
    if path.stat().st_size == 0:
        raise FileUnreadable("The file is empty.", error_code=EMPTY_FILE)
    try:
        if format_.format == "parquet":
            from headrace.ingest.parquet import parquet_rows  # here, where Arrow is needed at last

            yield from parquet_rows(path, accept_columns, _CHUNK_ROWS)
        elif format_.format == "csv":
            yield from _csv_rows(path, format_, accept_columns, is_flat)
        elif format_.is_array:
            yield from _array_rows(path)
        else:
            yield from _line_rows(path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileUnreadable(f"The gzip file is damaged: {error}.") from error


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path) if _is_gzip(path) else path.open("rb")  # type: ignore[return-value]


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == _GZIP_MAGIC


# --- JSON -----------------------------------------------------------------------------------------------------------------


def _line_rows(path: Path) -> Iterator[Rows]:
    chunk: Rows = []
    size = 0
    with _opened(path) as file:
        for line in _lines(file):
            text = line.strip()
            if not text:
                continue
            chunk.append(_json_row(text))
            size += len(text)
            if len(chunk) >= _CHUNK_ROWS or size >= _CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk


def _json_row(text: bytes) -> SourceRow:
    if len(text) > LONGEST_ROW_BYTES:
        return SourceRow(None, text[:1000], f"The row is longer than {LONGEST_ROW_BYTES} bytes.")
    try:
        row = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return SourceRow(None, text, f"The row is not valid JSON: {error}.")
    if not isinstance(row, dict):
        return SourceRow(None, text, "The row is not a JSON object.")
    return SourceRow(row, text)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file; of one that is much too long only its beginning."""
    rest = b""
    is_first = True
    while block := file.read(_BLOCK_BYTES):
        if is_first:
            block, is_first = block.removeprefix(_UTF8_MARK), False
        *lines, tail = block.split(b"\n")
        if not lines:
            rest = rest + tail if len(rest) <= LONGEST_ROW_BYTES else rest
            continue
        lines[0] = rest + lines[0] if len(rest) <= LONGEST_ROW_BYTES else rest
        yield from lines
        rest = tail
    if rest:
        yield rest


def _array_rows(path: Path) -> Iterator[Rows]:
    with _mapped_memory(path) as content:
        chunk: Rows = []
        size = 0
        for item in _items(content):
            text = bytes(item)
            row = _json_row(text)
            if row.row is not None and (b"\n" in text or b"\r" in text):
                row = row._replace(text=msgspec.json.format(text, indent=-1))
            chunk.append(row)
            size += len(text)
            if len(chunk) >= _CHUNK_ROWS or size >= _CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk


def _items(content: memoryview) -> list[msgspec.Raw]:
    start = len(_UTF8_MARK) if bytes(content[:3]) == _UTF8_MARK else 0
    first = bytes(content[start : start + 4096]).lstrip()[:1]
    try:
        if first == b"{":  # a file with a single row may leave the brackets out
            return [msgspec.json.decode(content[start:], type=msgspec.Raw)]
        return _decode_array(content[start:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        hint = "Set isMultiLineJson to false when each line is an object of its own."
        raise FileUnreadable(f"The file is not one JSON array: {error}.", hint=hint) from error


def _unpack(source: IO[bytes], target: IO[bytes], limit: int) -> None:
    size = 0
    while block := source.read(_BLOCK_BYTES):
        size += len(block)
        if size > limit:
            raise FileUnreadable(f"The gzip file unpacks to more than {limit} bytes.", hint="Send it in several files.")
        target.write(block)


class _mapped_memory:  # noqa: N801 - used as a context manager
    """The content of a file without reading it; a gzip file is unpacked beside itself first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._plain: Path | None = None

    def __enter__(self) -> memoryview:
        path = self._path
        if _is_gzip(path):
            self._plain = path = path.with_name(path.name + ".plain")
            try:
                with _opened(self._path) as source, path.open("wb") as target:
                    _unpack(source, target, max(_UNPACKED_BYTES, self._path.stat().st_size * _UNPACKED_RATIO))
            except BaseException:
                path.unlink()
                raise
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                return memoryview(b"")
            # Rows keep references into the map; it goes with the last of them.
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def __exit__(self, *_: object) -> None:
        if self._plain is not None:
            self._plain.unlink(missing_ok=True)


# --- CSV ------------------------------------------------------------------------------------------------------------------


def _csv_rows(path: Path, format_: FileFormat, accept_columns: AcceptColumns, is_flat: bool) -> Iterator[Rows]:
    csv.field_size_limit(LONGEST_ROW_BYTES)
    encoding = "utf-8-sig" if format_.charset.upper() == "UTF-8" else format_.charset
    with _opened(path) as raw, io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline="") as file:
        reader = csv.reader(
            file, delimiter=format_.delimiter, quotechar=format_.quote or None, escapechar=format_.escape or None, strict=True
        )
        columns, first = _header(reader, format_, is_flat)
        accept_columns(columns)
        paths = [(name,) if is_flat else tuple(name.split(".")) for name in columns]
        chunk = [] if first is None else [_csv_row(paths, first, format_.null_marker)]
        for cells in _cells(reader):
            if cells != []:
                chunk.append(_csv_row(paths, cells, format_.null_marker))
            if len(chunk) >= _CHUNK_ROWS:
                yield chunk
                chunk = []
        if chunk:
            yield chunk


def _header(reader: Iterator[list[str]], format_: FileFormat, is_flat: bool) -> tuple[list[str], list[str] | None]:
    try:
        cells = next(reader, [])
    except csv.Error as error:
        raise FileUnreadable(f"The header of the CSV file cannot be read: {error}.", error_code=EMPTY_HEADER) from error
    if not format_.has_header:
        return [f"_c{index}" for index in range(len(cells))], cells
    names = [cell.strip() for cell in cells]
    if not any(names):
        raise FileUnreadable("The header row of the CSV file is empty.", error_code=EMPTY_HEADER)
    if "" in names or len(set(names)) < len(names):
        raise FileUnreadable("The header row of the CSV file has an empty or repeated name.", error_code=EMPTY_HEADER)
    if not is_flat and (inside := next((a for a in names for b in names if b.startswith(f"{a}.")), None)):
        raise FileUnreadable(f"Column '{inside}' of the CSV file also is the parent of another one.", error_code=EMPTY_HEADER)
    return names, None


def _cells(reader: Iterator[list[str]]) -> Iterator[list[str] | str]:
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield str(error)


def _csv_row(paths: list[tuple[str, ...]], cells: list[str] | str, null_marker: str) -> SourceRow:
    if isinstance(cells, str):
        return SourceRow(None, b"", f"The row is no valid CSV: {cells}.")
    if len(cells) > len(paths):
        text = msgspec.json.encode(cells)
        return SourceRow(None, text, f"The row has {len(cells)} cells; the header names {len(paths)}.")
    row: dict[str, Any] = {}
    for path, cell in zip(paths, cells, strict=False):
        if cell not in ("", null_marker):
            _place(row, path, cell)
    return SourceRow(row)


def _place(row: dict[str, Any], path: tuple[str, ...], cell: str) -> None:
    place = row
    for name in path[:-1]:
        place = place.setdefault(name, {})
    place[path[-1]] = cell


# --- columns against a schema -----------------------------------------------------------------------------------------------


def columns_in(full_form: Mapping[str, Any]) -> AcceptColumns:
    """Return a check that a file's columns are a subset of a schema's fields."""

    def accept(columns: "pa.Schema | Sequence[str]") -> None:
        unknown = _unknown_path(columns, full_form) if isinstance(columns, Sequence) else _unknown_field(columns, full_form)
        if unknown is not None:
            raise FileUnreadable(f"The schema has no field '{unknown}'.", error_code="INGEST-1903-400", path=unknown)

    return accept


def _unknown_field(columns: "pa.Schema", full_form: Mapping[str, Any]) -> str | None:
    from headrace.ingest.parquet import unknown_field

    return unknown_field(columns, full_form)


def _unknown_path(names: Sequence[str], form: Mapping[str, Any]) -> str | None:
    return next((name for name in names if not _has_path(form, name.split("."))), None)


def _has_path(node: Any, path: list[str]) -> bool:
    for name in path:
        if not isinstance(node, Mapping):
            return False
        properties = node.get("properties")
        if properties is None and isinstance(node.get("additionalProperties"), Mapping):
            node = node["additionalProperties"]
        elif properties is not None and name in properties:
            node = properties[name]
        else:
            return False
    return True
