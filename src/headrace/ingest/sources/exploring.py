"""What a source holds, before a dataflow is made: its folders, and the first rows of a file."""

import asyncio
import posixpath
import tempfile
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from headrace.destinations.base import Context
from headrace.destinations.reading import FileReader
from headrace.ingest.batch_request import format_of as file_format_of
from headrace.ingest.files import FileUnreadable, read_rows
from headrace.ingest.sources.errors import SourceInvalid, SourceUnreadable
from headrace.ingest.sources.kinds import Account
from headrace.ingest.sources.selection import SourceFormat, format_of, selection_of
from headrace.ingest.sources.staging import shape

_MOST_ROWS = 100
_LARGEST_BYTES = 100_000_000
_GUESSED = {".csv": "delimited", ".tsv": "delimited", ".txt": "delimited", ".json": "json", ".parquet": "parquet"}
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


async def explore(account: Account, query: Mapping[str, str], context: Context) -> list[dict[str, Any]] | dict[str, Any]:
    """Return the entries of a folder, or what a file holds.

    Args:
        account: How the source is reached.
        query: ``objectType`` and what goes with it, as they came over the wire.
        context: What the server gives.

    Raises:
        SourceInvalid: The query is not acceptable, or the file is not in its format.
        HeadraceError: The source cannot be read.
    """
    kind = query.get("objectType", "").lower()
    if kind not in ("root", "folder", "file"):
        raise SourceInvalid(f"objectType must be root, folder or file, got '{kind}'.", path="objectType")
    wanted = "/" if kind == "root" else query.get("object", "")
    selection_of({"path": wanted})
    reader, path = account.reader(wanted, {}, context)
    async with reader:
        if kind == "file":
            return await _file(reader, path, query)
        listed = await reader.list(path)
    root = wanted.strip("/").removesuffix(path.strip("/"))  # what stands before the reader's paths, such as a bucket
    folders = [_entry("folder", root + name) for name in listed.folders]
    return folders + [_entry("file", root + file.path) for file in listed.files]


def _entry(kind: str, path: str) -> dict[str, Any]:
    is_known = posixpath.splitext(path)[1].lower() in _GUESSED
    can = kind == "file" and is_known
    return {"type": kind, "name": posixpath.basename(path), "path": path, "canPreview": can, "canFetchSchema": can}


async def _file(reader: FileReader, path: str, query: Mapping[str, str]) -> dict[str, Any]:
    is_guessed = query.get("determineProperties", "").lower() == "true"
    if is_guessed == ("fileType" in query):
        raise SourceInvalid("Give either determineProperties=true or fileType.", path="fileType")
    beside = await reader.list(posixpath.dirname(path))
    found = next((file for file in beside.files if posixpath.basename(file.path) == posixpath.basename(path)), None)
    if found is None:
        raise SourceInvalid(f"There is no file '{path}'.", path="object")
    if found.byte_count > _LARGEST_BYTES:
        raise SourceInvalid(f"'{path}' has {found.byte_count} bytes; at most {_LARGEST_BYTES} are read here.", path="object")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "file"
        if await reader.fetch(found.path, copy) is None:
            raise SourceInvalid(f"There is no file '{path}'.", path="object")
        format_ = _guessed(path, copy) if is_guessed else _given(query)
        rows = await asyncio.to_thread(_rows, copy, format_, path)
    answer: dict[str, Any] = {
        "format": "hierarchical" if format_.format == "json" else "flat",
        "schema": {"columns": _columns(rows)},
    }
    if query.get("preview", "").lower() == "true":
        answer["data"] = rows
    if is_guessed:
        names = {"csv": "delimited"}
        answer["properties"] = {"fileType": names.get(format_.format, format_.format), "compressionType": format_.compression}
        if format_.format == "csv":
            answer["properties"]["columnDelimiter"] = format_.delimiter
    return answer


def _given(query: Mapping[str, str]) -> SourceFormat:
    properties = {"compressionType": query.get("compressionType", "")}
    return format_of(
        {"format": query["fileType"], "columnDelimiter": query.get("columnDelimiter") or ",", "properties": properties}
    )


def _guessed(path: str, copy: Path) -> SourceFormat:
    stem, last = posixpath.splitext(path.lower())
    compression = {".gz": "gzip", ".bz2": "bzip2"}.get(last, "")
    name = _GUESSED.get(posixpath.splitext(stem)[1] if compression else last)
    if name is None:
        raise SourceInvalid(f"The format of '{path}' cannot be told from its name; give fileType.", path="determineProperties")
    delimiter = ","
    if name == "delimited" and not compression:
        with copy.open("rb") as file:
            header = file.readline(100_000).decode("utf-8", "replace")
        delimiter = max(",;\t|", key=header.count)
    return SourceFormat("csv" if name == "delimited" else name, delimiter, compression)


def _rows(copy: Path, format_: SourceFormat, name: str) -> list[dict[str, Any]]:
    try:
        shape(copy, format_, name, most_bytes=_LARGEST_BYTES)
    except SourceUnreadable as error:
        raise SourceInvalid(error.message, path="object") from error
    chunks = read_rows(copy, file_format_of(format_.input_format()), is_flat=True)
    try:
        return list(islice((row.row for chunk in chunks for row in chunk if row.row is not None), _MOST_ROWS))
    except FileUnreadable as error:
        raise SourceInvalid(f"File '{name}': {error}", path="object") from error
    finally:
        chunks.close()


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    kinds: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            kinds.setdefault(name, _TYPES.get(type(value), "string"))
    return [{"name": name, "type": kind, "xdm": {"type": kind}} for name, kind in kinds.items()]
