"""Files on their way into a batch: small ones at once, large ones in parts; each appears when all of it is on disk."""

import os
import re
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from headrace.ingest.batch_errors import FileNameInvalid, PartInvalid
from headrace.storage.disk import mapped_full, sync_file

LONGEST_NAME = 1024
LONGEST_PART_BYTES = 512_000_000
_CONTENT_RANGE = re.compile(r"\s*bytes[ =](\d+)-(\d+)/(\d+|\*)\s*", re.IGNORECASE)


def check_name(name: str) -> str:
    """Return the name of a file in a batch, without slashes around it.

    Raises:
        FileNameInvalid: It is empty, too long, has control characters, or steps out of its folder.
    """
    name = name.strip("/")
    if not name or len(name) > LONGEST_NAME:
        raise FileNameInvalid(f"A file name has 1 to {LONGEST_NAME} characters.", path="filePath")
    if any(part in ("", ".", "..") for part in name.replace("\\", "/").split("/")) or not name.isprintable():
        raise FileNameInvalid(f"{name!r} is no file name.", path="filePath", hint="Leave out '..', empty parts and controls.")
    return name


class Range(NamedTuple):
    """A part of a file.

    Attributes:
        first: Its first byte.
        last: Its last byte, inclusive.
        total: Length of the whole file, None when its uploader does not say.
    """

    first: int
    last: int
    total: int | None

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.last - self.first + 1


def content_range_of(text: str | None) -> Range:
    """Return the range that a header ``Content-Range: bytes <first>-<last>/<total>`` names.

    Raises:
        PartInvalid: It is missing, no range, or too long.
    """
    found = _CONTENT_RANGE.fullmatch(text or "")
    if found is None:
        raise PartInvalid(
            f"Content-Range is {text!r}.", path="Content-Range", hint="Send 'bytes <first>-<last>/<total>', last included."
        )
    part = Range(int(found[1]), int(found[2]), None if found[3] == "*" else int(found[3]))
    if part.length < 1 or (part.total is not None and part.last >= part.total):
        raise PartInvalid(f"Content-Range '{text}' is no part of a file.", path="Content-Range")
    if part.length > LONGEST_PART_BYTES:
        raise PartInvalid(f"A part has at most {LONGEST_PART_BYTES} bytes, not {part.length}.", path="Content-Range")
    return part


class Upload:
    """Receives a whole file; nobody sees it before `finish`."""

    def __init__(self, path: Path) -> None:
        """Begin.

        Args:
            path: Where the file will lie; what lies there is replaced by `finish`.
        """
        self._path = path
        with mapped_full("store an upload"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
            self._file = self._draft.open("xb")
        self.byte_count = 0

    def write(self, data: bytes) -> None:
        """Take a piece in.

        Raises:
            StorageFull: There is no room.
        """
        with mapped_full("store an upload"):
            self._file.write(data)
        self.byte_count += len(data)

    def finish(self) -> None:
        """Bring the file to disk and put it in its place.

        Raises:
            StorageFull: There is no room.
        """
        with mapped_full("store an upload"):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._draft.replace(self._path)
            sync_file(self._path)

    def abort(self) -> None:
        """Forget the file; after `finish` this does nothing."""
        with suppress(OSError):
            self._file.close()
        self._draft.unlink(missing_ok=True)


class PartUpload:
    """Receives a part of a large file into its place in the unfinished file."""

    def __init__(self, path: Path, part: Range) -> None:
        self._part = part
        with mapped_full("store an upload"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            self._file = path.open("r+b")
            self._file.seek(part.first)
        self.byte_count = 0

    def write(self, data: bytes) -> None:
        """Take a piece in.

        Raises:
            PartInvalid: More comes than the range holds.
            StorageFull: There is no room.
        """
        self.byte_count += len(data)
        if self.byte_count > self._part.length:
            raise PartInvalid(f"The part is longer than the {self._part.length} bytes of its range.", path="Content-Range")
        with mapped_full("store an upload"):
            self._file.write(data)

    def finish(self) -> None:
        """Bring the part to disk.

        Raises:
            PartInvalid: Less has come than the range holds.
            StorageFull: There is no room.
        """
        if self.byte_count != self._part.length:
            text = f"The part has {self.byte_count} bytes; its range holds {self._part.length}."
            raise PartInvalid(text, path="Content-Range")
        with mapped_full("store an upload"):
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()

    def abort(self) -> None:
        """Stop; what was written counts for nothing."""
        with suppress(OSError):
            self._file.close()


def parts_path(path: Path) -> Path:
    """Return where the parts of a large file gather."""
    return path.with_name(f"{path.name}.parts")


def with_part(noted: Mapping[str, Any], part: Range) -> dict[str, Any]:
    """Return what is noted of a large file once a part has come; a part that comes again replaces itself."""
    ranges = {(first, last) for first, last in noted.get("ranges", ())} | {(part.first, part.last)}
    totals = {*noted.get("totals", ()), *([part.total] if part.total is not None else [])}
    return {"ranges": sorted(ranges), "totals": sorted(totals)}


def received(noted: Mapping[str, Any]) -> str:
    """Return the value of the header ``Range`` for what has come of a large file; empty when nothing has."""
    merged: list[list[int]] = []
    for first, last in noted.get("ranges", ()):
        if merged and first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return "bytes=" + ",".join(f"{first}-{last}" for first, last in merged) if merged else ""


def whole_length(noted: Mapping[str, Any]) -> int:
    """Return the length of a large file whose parts are all there.

    Raises:
        PartInvalid: Parts are missing or overlap, or disagree about the length.
    """
    totals: Iterable[int] = noted.get("totals", ())
    expected = 0
    for first, last in noted.get("ranges", ()):
        if first != expected:
            word = "missing" if first > expected else "overlapping"
            raise PartInvalid(f"Parts are {word} at byte {min(first, expected)}.", path="Content-Range")
        expected = last + 1
    if expected == 0 or any(total != expected for total in totals):
        raise PartInvalid(
            f"{expected} bytes have come; the parts say that the file has {' or '.join(map(str, totals)) or 'more'}.",
            path="Content-Range",
        )
    return expected
