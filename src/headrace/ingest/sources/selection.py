"""What a source connection selects, and how its files are read."""

import fnmatch
import posixpath
from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.destinations.reading import FileReader, Listing, RemoteFile
from headrace.ingest.sources.errors import SourceInvalid

FORMATS = {"delimited": "csv", "csv": "csv", "json": "json", "parquet": "parquet"}
COMPRESSIONS = ("", "gzip", "bzip2", "deflate")
_WILDCARDS = "*?["
_TYPES = ("file", "folder")


class FileSelection(msgspec.Struct, frozen=True):
    """The files that a source connection takes.

    Attributes:
        path: A file, a folder, or a folder with a pattern of names as its last part.
        is_file: Whether `path` can only be a file.
        is_recursive: Whether files in folders below count.
    """

    path: str
    is_file: bool = False
    is_recursive: bool = False

    async def files(self, reader: FileReader, path: str) -> list[RemoteFile]:
        """Return the files that are selected now, the oldest first. Hidden and empty ones are left out.

        Args:
            reader: Reads the place.
            path: `path` as the reader takes it.
        """
        folder, name = posixpath.split(path.rstrip("/"))
        if _is_pattern(name):
            listed = await reader.list(folder, is_recursive=self.is_recursive)
            found = [file for file in listed.files if fnmatch.fnmatchcase(posixpath.basename(file.path), name)]
        else:
            beside = Listing(()) if path.endswith("/") or not name else await reader.list(folder)
            found = [file for file in beside.files if posixpath.basename(file.path) == name]
            if not found and not self.is_file:
                found = list((await reader.list(path, is_recursive=self.is_recursive)).files)
        return sorted(filter(_is_content, found), key=lambda file: (file.modified_ms, file.path))


class SourceFormat(msgspec.Struct, frozen=True):
    """How the files are read.

    Attributes:
        format: ``csv``, ``json`` or ``parquet``.
        delimiter: Between the cells of a row.
        compression: One of `COMPRESSIONS`.
    """

    format: str
    delimiter: str = ","
    compression: str = ""

    def input_format(self) -> dict[str, Any]:
        """Return it as ``inputFormat`` of a batch."""
        return {"format": self.format, "delimiter": self.delimiter} if self.format == "csv" else {"format": self.format}


def selection_of(params: Mapping[str, Any]) -> FileSelection:
    """Return what ``params`` of a source connection select.

    Raises:
        SourceInvalid: A parameter is missing or wrong.
    """
    path = params.get("path")
    if not isinstance(path, str) or not path.strip():
        raise SourceInvalid("'path' is required: a file, a folder, or a folder with a pattern of names.", path="/params/path")
    folder, name = posixpath.split(path.rstrip("/"))
    if ".." in path.split("/") or not path.isprintable():
        raise SourceInvalid("'path' may hold neither '..' nor control characters.", path="/params/path")
    if _is_pattern(folder):
        raise SourceInvalid("Only the last part of 'path' may be a pattern.", path="/params/path")
    kind = str(params.get("type") or "").lower()
    if kind and kind not in _TYPES:
        raise SourceInvalid(f"'type' must be file or folder, got {params['type']!r}.", path="/params/type")
    is_recursive = str(params.get("recursive", "false")).lower()
    if is_recursive not in ("true", "false"):
        raise SourceInvalid(f"'recursive' must be true or false, got {params['recursive']!r}.", path="/params/recursive")
    if kind == "folder" and not path.endswith("/") and not _is_pattern(name):
        path += "/"
    return FileSelection(path, is_file=kind == "file", is_recursive=is_recursive == "true")


def format_of(data: Mapping[str, Any]) -> SourceFormat:
    """Return the format that ``data`` of a source connection describes.

    Raises:
        SourceInvalid: A member is missing or wrong.
    """
    given = data.get("format")
    format_ = FORMATS.get(str(given).lower())
    if format_ is None:
        raise SourceInvalid(f"'format' must be delimited, json or parquet, got {given!r}.", path="/data/format")
    properties = data.get("properties") or {}
    if not isinstance(properties, Mapping):
        raise SourceInvalid("'properties' must be an object.", path="/data/properties")
    delimiter = str(data.get("columnDelimiter") or properties.get("columnDelimiter") or ",").replace("\\t", "\t")
    if len(delimiter) != 1 or delimiter in "\r\n":
        raise SourceInvalid("'columnDelimiter' must be one character.", path="/data/columnDelimiter")
    compression = str(properties.get("compressionType") or data.get("compressionType") or "").lower()
    compression = "" if compression == "none" else compression
    if compression not in COMPRESSIONS:
        raise SourceInvalid(
            f"'compressionType' must be one of {', '.join(filter(None, COMPRESSIONS))}, got '{compression}'.",
            path="/data/properties/compressionType",
            hint="Archives of several files are not read; put the files themselves into the folder.",
        )
    return SourceFormat(format_, delimiter, compression)


def _is_pattern(text: str) -> bool:
    return any(character in text for character in _WILDCARDS)


def _is_content(file: RemoteFile) -> bool:
    # What begins so is under way or belongs to a program (_SUCCESS); an empty file is one that is still being written.
    return file.byte_count > 0 and not posixpath.basename(file.path).startswith((".", "_"))
