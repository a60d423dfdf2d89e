"""Files of a source on their way into a batch."""

import bz2
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from headrace.catalog.batches import Batches
from headrace.destinations.reading import FileReader, RemoteFile
from headrace.ingest.batch_errors import FileNameInvalid
from headrace.ingest.batch_folders import upload_path
from headrace.ingest.files import FileFormat, FileUnreadable, read_rows
from headrace.ingest.sources.errors import SourceUnreadable
from headrace.ingest.sources.selection import SourceFormat
from headrace.ingest.uploads import check_name
from headrace.storage.disk import mapped_full, sync_file

_BLOCK_BYTES = 1 << 20
_FIRST_BYTES = 4096


async def stage(
    reader: FileReader, claimed: RemoteFile, format_: SourceFormat, batches: Batches, batch_id: str, home: Path
) -> bool:
    """Copy a claimed file into a batch.

    Returns:
        Whether it is there; False when the source has it no more in the version that was claimed.

    Raises:
        SourceUnreadable: It is not compressed as the source connection says.
        StorageFull: There is no room here.
        HeadraceError: The source cannot be read.
    """
    name = _name_of(claimed.path)
    path = upload_path(home, batch_id, name)
    copy = path.with_name(f"{path.name}.copy")
    try:
        with mapped_full("stage a file of a source"):
            path.parent.mkdir(parents=True, exist_ok=True)
            fetched = await reader.fetch(claimed.path, copy)
            if fetched is None or fetched.version != claimed.version:
                return False
            shape(copy, format_, claimed.path)
            sync_file(copy)
            copy.replace(path)
            sync_file(path)
        batches.put_file(batch_id, name, size_bytes=path.stat().st_size, body={"version": claimed.version})
    finally:
        copy.unlink(missing_ok=True)
    return True


def staged_versions(batches: Batches, batch_id: str) -> set[tuple[str, str]]:
    """Return name and version of the files that a batch has already."""
    return {(file.name, str(file.body.get("version"))) for file in batches.files(batch_id) if file.is_complete}


def is_staged(claimed: RemoteFile, staged: set[tuple[str, str]]) -> bool:
    """Whether a claimed file is among those staged."""
    return (_name_of(claimed.path), claimed.version) in staged


def _name_of(path: str) -> str:
    try:
        return check_name(path)
    except FileNameInvalid:  # names of another system; the batch needs one of its own
        return ascii(path).strip("'\"").replace("/", "|").replace("\\", "|")[:500]


def shape(path: Path, format_: SourceFormat, name: str, *, most_bytes: int | None = None) -> None:
    """Bring a file into a form that batch ingestion reads: not compressed but by gzip, JSON as lines.

    Raises:
        SourceUnreadable: It is not compressed as it should be, or unpacks to more than ``most_bytes``.
    """
    unpacked = partial(_limited, name=name, most_bytes=most_bytes)
    try:
        if format_.compression == "bzip2":
            with bz2.open(path) as packed:
                _replace_by(path, unpacked(_blocks(packed)))
        elif format_.compression == "deflate":
            _replace_by(path, unpacked(_inflated(path)))
        elif format_.compression == "gzip" and format_.format == "parquet":
            import gzip

            with gzip.open(path) as packed:
                _replace_by(path, unpacked(_blocks(packed)))
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise SourceUnreadable(f"File '{name}' is not compressed as {format_.compression}: {error}.") from error
    if format_.format == "json" and _is_array(path):
        rows = read_rows(path, FileFormat(format="json", is_array=True))
        try:
            _replace_by(path, (b"".join(row.text + b"\n" for row in chunk) for chunk in rows))
        except FileUnreadable as error:
            raise SourceUnreadable(f"File '{name}': {error}") from error


def _inflated(path: Path) -> Iterator[bytes]:
    unpack = zlib.decompressobj()
    with path.open("rb") as file:
        while block := unpack.unconsumed_tail or file.read(_BLOCK_BYTES):
            yield unpack.decompress(block, _BLOCK_BYTES)
    yield unpack.flush()
    if not unpack.eof:
        raise EOFError("the end is missing")


def _blocks(content: Any) -> Iterator[bytes]:
    while block := content.read(_BLOCK_BYTES):
        yield block


def _limited(blocks: Iterator[bytes], *, name: str, most_bytes: int | None) -> Iterator[bytes]:
    count = 0
    for block in blocks:
        count += len(block)
        if most_bytes is not None and count > most_bytes:
            raise SourceUnreadable(f"File '{name}' unpacks to more than {most_bytes} bytes.")
        yield block


def _replace_by(path: Path, chunks: Iterator[bytes]) -> None:
    plain = path.with_name(f"{path.name}.lines")
    try:
        with plain.open("wb") as target:
            target.writelines(chunks)
        plain.replace(path)
    finally:
        plain.unlink(missing_ok=True)


def _is_array(path: Path) -> bool:
    import gzip

    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if is_gzip else path.open("rb") as content:
            first = content.read(_FIRST_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False  # batch ingestion says what is wrong with it
    return bytes(first).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["
