"""Hot state on RocksDB: the pipeline opens it for writing, other processes follow through a secondary instance."""

import contextlib
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from headrace.storage.errors import StorageFull, StorageUnavailable

_WRITE_BUFFER_BYTES = 32 << 20
_WRITER_CACHE_BYTES = 256 << 20  # with less, half a million persons cost the pipeline twice as much an event
_FOLLOWER_CACHE_BYTES = 64 << 20


def _options(cache_bytes: int) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(3)
    options.set_max_background_jobs(2)
    # What is young is rewritten soon; compressing it costs more than it saves.
    options.set_compression_per_level([DBCompressionType.none()] * 2 + [DBCompressionType.lz4()] * 5)
    # Most events are not known yet: a filter says so without a search in what was written last.
    options.set_memtable_whole_key_filtering(True)
    options.set_memtable_prefix_bloom_ratio(0.02)
    options.set_max_total_wal_size(128 << 20)
    options.set_keep_log_file_num(2)
    table = BlockBasedOptions()
    table.set_block_cache(Cache(cache_bytes))
    table.set_bloom_filter(10, False)
    table.set_cache_index_and_filter_blocks(True)
    options.set_block_based_table_factory(table)
    return options


def _mapped(error: Exception, action: str) -> Exception:
    text = str(error)
    if "No space left" in text or "NoSpace" in text or "quota exceeded" in text:
        return StorageFull(f"The disk is full: the hot state cannot {action}.", retry_after_seconds=5)
    return StorageUnavailable(f"The hot state cannot {action}: {text}")


class _RocksReader:
    _database: Any

    def get(self, key: bytes) -> bytes | None:
        """See `StateReader.get`."""
        found: bytes | None = self._database.get(key)
        return found

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `StateReader.get_many`."""
        return cast(list[bytes | None], self._database.get(list(keys))) if keys else []

    def scan(self, start: bytes, end: bytes, *, limit: int | None = None) -> Iterator[tuple[bytes, bytes]]:
        """See `StateReader.scan`."""
        options = ReadOptions()
        options.set_iterate_upper_bound(end)
        left = limit
        for key, value in self._database.items(from_key=start, read_opt=options):
            if left == 0:
                return
            yield cast(bytes, key), value
            if left is not None:
                left -= 1

    def close(self) -> None:
        """See `StateReader.close`."""
        self._database.close()


class RocksState(_RocksReader):
    """The writer's store."""

    def __init__(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = Rdict(str(folder), options=_options(_WRITER_CACHE_BYTES))
        except Exception as error:
            raise _mapped(error, "open") from error
        self._write_options = WriteOptions()
        self._write_options.sync = True

    def refresh(self) -> None:
        """See `StateReader.refresh`."""

    def close(self) -> None:
        """See `StateReader.close`."""
        # RocksDB writes its tables first. Where it cannot, it closes all the same, and the next start reads the synced log.
        with contextlib.suppress(Exception):
            self._database.close()

    def commit(self, changes: Mapping[bytes, bytes | None]) -> None:
        """See `StateStore.commit`."""
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        try:
            self._database.write(batch, self._write_options)
        except Exception as error:
            raise _mapped(error, "commit") from error


class RocksStateFollower(_RocksReader):
    """A reader in another process than the writer's; opens with its first use, and is empty until there is a store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._opened: Rdict | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    @property
    def _database(self) -> Rdict:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> Rdict:
        if not (self._folder / "CURRENT").exists():
            raise StorageUnavailable("The hot state does not exist yet.", retry_after_seconds=1)
        self._scratch = tempfile.TemporaryDirectory(prefix="headrace-follower-")
        access = AccessType.secondary(self._scratch.name)
        try:
            return Rdict(str(self._folder), options=_options(_FOLLOWER_CACHE_BYTES), access_type=access)
        except Exception as error:
            raise _mapped(error, "be followed") from error

    def refresh(self) -> None:
        """See `StateReader.refresh`."""
        database = self._database
        try:
            with self._lock:
                database.try_catch_up_with_primary()
        except Exception as error:
            raise _mapped(error, "be followed") from error

    def close(self) -> None:
        """See `StateReader.close`."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
            if self._scratch is not None:
                self._scratch.cleanup()
