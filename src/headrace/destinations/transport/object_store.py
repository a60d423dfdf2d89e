"""Files into object stores through ``obstore``, all of a run or none; and out of them.

An object appears when its upload is completed. So an upload takes all bytes of its file, then waits at the end of its stream
until every other file of the run has got as far; only then are they completed. An upload that fails while it waits is
aborted by the store's client, which removes its parts.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from headrace.clock import to_ms
from headrace.destinations.base import FileUpload
from headrace.destinations.errors import DestinationDenied, DestinationFull, DestinationRefused, DestinationUnreachable
from headrace.destinations.reading import FileReader, Listing, RemoteFile
from headrace.errors import HeadraceError

CHUNK_BYTES = 8 << 20
_STATUS = re.compile(r"status code: (\d{3})")
_ERROR_CODE = re.compile(r"<Code>([A-Za-z0-9]+)</Code>")
_DENIED = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "InvalidToken", "ExpiredToken", "InvalidClientTokenId"}
)


class _UploadAborted(Exception):
    """Ends the stream of an upload that must not be completed."""


class ObjectStoreUpload(FileUpload):
    """The objects of one run."""

    def __init__(self, store: Any, folder: str, *, place: str) -> None:
        """Start.

        Args:
            store: An ``obstore`` store.
            folder: Prefix of the keys.
            place: What errors call the destination, such as ``bucket 'crm'``.
        """
        self._store = store
        self._prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
        self._place = place
        self._uploads: list[asyncio.Future[Any]] = []
        self._may_complete: asyncio.Future[None] | None = None

    async def add(self, name: str, source: Path) -> int:
        """See `FileUpload.add`."""
        import obstore

        if self._may_complete is None:
            self._may_complete = asyncio.get_running_loop().create_future()
        has_sent_all = asyncio.Event()
        chunks = _chunks(source, has_sent_all, self._may_complete)
        put = obstore.put_async(self._store, self._prefix + name, chunks, chunk_size=CHUNK_BYTES, max_concurrency=4)
        upload = asyncio.ensure_future(put)
        self._uploads.append(upload)
        reached_end = asyncio.ensure_future(has_sent_all.wait())
        await asyncio.wait({upload, reached_end}, return_when=asyncio.FIRST_COMPLETED)
        if upload.done():
            reached_end.cancel()
            try:
                await upload
            except Exception as error:
                raise mapped(error, self._place) from error
        return await asyncio.to_thread(os.path.getsize, source)

    async def commit(self, last: Mapping[str, bytes]) -> None:
        """See `FileUpload.commit`."""
        import obstore

        if self._may_complete is not None:
            self._may_complete.set_result(None)
        try:
            for upload in self._uploads:
                await upload
            for name, content in last.items():
                await obstore.put_async(self._store, self._prefix + name, content)
        except Exception as error:
            raise mapped(error, self._place) from error

    async def abort(self) -> None:
        """See `FileUpload.abort`."""
        if self._may_complete is not None and not self._may_complete.done():
            self._may_complete.set_exception(_UploadAborted())
            self._may_complete.exception()  # it counts as seen, also when no upload waits for it any more
        await asyncio.gather(*self._uploads, return_exceptions=True)


async def _chunks(source: Path, has_sent_all: asyncio.Event, may_complete: asyncio.Future[None]) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(source.open, "rb")
    try:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
    finally:
        file.close()
    has_sent_all.set()
    await asyncio.shield(may_complete)


class ObjectStoreReader(FileReader):
    """Reads the objects of a store."""

    def __init__(self, store: Any, *, place: str, prepare: Callable[[], Awaitable[None]]) -> None:
        """Keep the store.

        Args:
            store: An ``obstore`` store.
            place: What errors call it, such as ``bucket 'crm'``.
            prepare: Called before anything is asked for; judges the endpoint's address.
        """
        self._store = store
        self._place = place
        self._prepare = prepare

    async def __aenter__(self) -> "ObjectStoreReader":
        await self._prepare()
        return self

    async def list(self, folder: str, *, is_recursive: bool = False) -> Listing:
        """See `FileReader.list`."""
        import obstore

        prefix = folder.strip("/") or None
        try:
            if not is_recursive:
                found = await obstore.list_with_delimiter_async(self._store, prefix=prefix)
                return Listing(_files(found["objects"]), tuple(sorted(found["common_prefixes"])))
            objects: list[Any] = []
            async for chunk in obstore.list(self._store, prefix=prefix):
                objects += chunk
        except Exception as error:  # whatever the library raises becomes an error of ours
            raise mapped(error, self._place, "read from") from error
        return Listing(_files(objects))

    async def fetch(self, path: str, target: Path) -> RemoteFile | None:
        """See `FileReader.fetch`; an object does not change while it is read."""
        import obstore

        try:
            answer = await obstore.get_async(self._store, path)
        except FileNotFoundError:
            return None
        except Exception as error:  # likewise
            raise mapped(error, self._place, "read from") from error
        with await asyncio.to_thread(target.open, "wb") as file:
            chunks = answer.stream(min_chunk_size=CHUNK_BYTES).__aiter__()
            while (chunk := await self._next(chunks)) is not None:
                await asyncio.to_thread(file.write, chunk)
        return _files([answer.meta])[0]

    async def _next(self, chunks: AsyncIterator[Any]) -> Any:
        try:
            return await anext(chunks, None)
        except Exception as error:  # likewise
            raise mapped(error, self._place, "read from") from error


def _files(objects: Iterable[Any]) -> tuple[RemoteFile, ...]:
    found = []
    for meta in objects:
        modified_ms = to_ms(meta["last_modified"])
        version = str(meta.get("e_tag") or "").strip('"') or f"{modified_ms}-{meta['size']}"
        found.append(RemoteFile(str(meta["path"]), int(meta["size"]), modified_ms, version))
    return tuple(sorted(found, key=lambda file: file.path))


async def check_writable(store: Any, folder: str, *, place: str) -> None:
    """List the folder, which fails as an upload would when credentials, bucket or endpoint are wrong."""
    import obstore

    try:
        await obstore.list_with_delimiter_async(store, prefix=folder.strip("/") or None)
    except Exception as error:
        raise mapped(error, place) from error


def mapped(error: Exception, place: str, verb: str = "write to") -> HeadraceError:
    """Return what an error of ``obstore`` means."""
    if isinstance(error, HeadraceError):
        return error
    text = str(error)
    code = match[1] if (match := _ERROR_CODE.search(text)) else ""
    status = int(match[1]) if (match := _STATUS.search(text)) else 0
    first_line = text.splitlines()[0] if text else type(error).__name__
    if code in _DENIED or status in (401, 403) or isinstance(error, PermissionError):
        return DestinationDenied(f"The credentials may not {verb} {place} ({code or status or first_line}).", path="/auth/params")
    if code in ("NoSuchBucket", "InvalidBucketName") or status == 404 or isinstance(error, FileNotFoundError):
        return DestinationRefused(f"There is no {place}.", path="/params")
    if status in (507,) or code == "QuotaExceeded":
        return DestinationFull(f"There is no room in {place}.", retry_after_seconds=60)
    if 400 <= status < 500 and status not in (408, 409, 429):
        return DestinationRefused(f"{place} refused the file: {code or status}.")
    return DestinationUnreachable(f"{'Writing to' if verb == 'write to' else 'Reading from'} {place} failed: {first_line}")
