"""The lake writer role: accepted records become rows of their dataset's table, in larger steps than they came in.

Single records wait until enough of them, or enough time, or nothing new has come; then one commit per dataset adds them as one
batch. A completed batch of files becomes one commit of its own. Each commit holds the offset up to which its table is complete,
so that whatever is read again after a crash is added only once.
"""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from headrace.clock import Clock
from headrace.model import (
    BatchReady,
    BatchReverted,
    DatasetPurged,
    LogEntry,
    Record,
    SandboxPurged,
    decode_entry,
)
from headrace.roles.lake_claims import ClaimLoad
from headrace.roles.lake_datasets import Counts, LakeDataset
from headrace.roles.lake_position import Position, PositionFile, Promise
from headrace.roles.lake_seen import SeenEvents
from headrace.roles.lake_upkeep import LakeUpkeep, UpkeepCatalog
from headrace.storage.lake import Lake, LakeRow, TableId
from headrace.storage.log import Log
from headrace.telemetry import log

RECORDS, FLUSH = "records", "flush"
IDLE_MS = 1000
_READ_ENTRIES = 5000
_CHUNK_ROWS = 10_000
_YOUNG_OBJECTS = 200_000
_decode = msgspec.json.Decoder().decode


class LakeCatalog(UpkeepCatalog, Protocol):
    """What the lake writer asks of the catalog, and tells it."""

    def revision(self) -> int:
        """Return a number that changes when datasets or schemas may have changed."""
        ...

    def dataset(self, sandbox: int, number: int) -> LakeDataset | None:
        """Return a dataset, None when it (or its sandbox) is gone."""
        ...

    def new_batch_id(self) -> str:
        """Return an id for a batch of streamed records."""
        ...

    def streamed(self, dataset: LakeDataset, batch_id: str, counts: Counts) -> None:
        """Show streamed records as a successful batch; telling it twice changes nothing."""
        ...

    def promoted(self, dataset: LakeDataset, batch_id: str, counts: Counts, predecessors: tuple[str, ...]) -> None:
        """Mark a batch successful and its predecessors inactive; telling it twice changes nothing."""
        ...

    def lost(self, dataset: LakeDataset, batch_id: str, reason: str) -> None:
        """Mark a batch failed at its promotion."""
        ...

    def reverted(self, dataset: LakeDataset, counts: Counts) -> None:
        """Note what a table holds after a batch was taken out of it."""
        ...


@dataclass
class _Waiting:
    """Records of one dataset that are not in the lake yet."""

    dataset: LakeDataset
    since_ms: int
    records: list[tuple[int, Record]] = field(default_factory=list)
    byte_count: int = 0

    def add(self, offset: int, record: Record) -> None:
        self.records.append((offset, record))
        self.byte_count += len(record.body)


class LakeWriter:
    """Joins the log and the lake; `step` reads a piece of the log, or does one commit."""

    rest_seconds = 0.05  # records wait for the lake in any case, and many small reads cost more than one

    def __init__(
        self,
        lake: Lake,
        record_log: Log,
        catalog: LakeCatalog,
        seen: SeenEvents,
        position: PositionFile,
        clock: Clock,
        home: Path,
        *,
        flush_seconds: int = 60,
        flush_bytes: int = 64_000_000,
    ) -> None:
        """Open the role, and finish a commit that a crash has interrupted.

        Args:
            lake: Where rows go; this role is the only one that appends.
            record_log: Holds the topic ``records``; the bell ``flush`` asks to write at once.
            catalog: Names tables and keeps batches.
            seen: Which events each table has.
            position: Where the role remembers how far it is.
            clock: Tells when records have waited long enough.
            home: Folder that the files of claim checks are relative to.
            flush_seconds: Longest time a record waits; at most one commit of streamed records per dataset in this time,
                unless the bytes are reached or a flush is asked for.
            flush_bytes: Waiting bytes that are written at once.
        """
        self._lake = lake
        self._topic = record_log.topic(RECORDS)
        self._catalog = catalog
        self._seen = seen
        self._file = position
        self._clock = clock
        self._home = home
        self._flush_ms = flush_seconds * 1000
        self._flush_bytes = flush_bytes
        self._upkeep = LakeUpkeep(lake, catalog, clock)
        self._bell = record_log.subscribe("lake_writer_flush", [FLUSH])
        self._waiting: dict[tuple[int, int], _Waiting] = {}
        self._committed: dict[TableId, int] = {}
        self._flushed_at: dict[TableId, int] = {}
        self._datasets: dict[tuple[int, int], LakeDataset | None] = {}
        self._revision = -1
        self._claim: ClaimLoad | None = None
        self._is_flush_asked = False
        self._read_at_ms = clock.now_ms()
        self._commits = self._skipped = 0
        self._saved = position.read()
        self._offset = self._saved.offset
        self._records = self._saved.records
        self._keep_promise()
        # Tens of thousands of records wait here, none of them in a cycle; with the usual thresholds the collector looked at
        # all of them again and again.
        gc.freeze()
        gc.set_threshold(_YOUNG_OBJECTS, 20, 50)

    # --- the role's contract ----------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Do one piece of work: a part of a batch, a commit, or a read of the log; with none of these, a piece of upkeep.

        Returns:
            Whether anything but upkeep was done, which nobody waits for.
        """
        if self._upkeep.is_urgent:
            self._upkeep.step()
        if self._take_step():
            return True
        self._is_flush_asked = False
        if self.lake_offset > self._saved.offset:
            self._save()
        self._upkeep.step()
        return False

    @property
    def is_waiting(self) -> bool:
        """Whether there is upkeep to do: soon, but not before the others have had their turn."""
        return self._upkeep.has_work

    def _take_step(self) -> bool:
        self._is_flush_asked |= self._bell.wait(0)
        if self._claim is not None:
            self._advance_claim(self._claim)
            return True
        if (overdue := self._overdue()) is not None:
            self._flush(overdue)
            return True
        if self._read():
            return True
        if (idle := self._flushable_when_idle()) is not None:
            self._flush(idle)
            return True
        return False

    def next_due_ms(self) -> int | None:
        """Return the instant at which waiting records are written, None when none wait."""
        if not self._waiting or self._clock.is_manual:
            return None
        dues = [waiting.since_ms + self._flush_ms for waiting in self._waiting.values()]
        dues += [max(self._read_at_ms + IDLE_MS, self._quiet_until(waiting)) for waiting in self._waiting.values()]
        return min(dues)

    def request_flush(self) -> None:
        """Ask that everything read so far is written with the next steps."""
        self._is_flush_asked = True

    @property
    def lake_offset(self) -> int:
        """Every log entry with a smaller offset is in the lake."""
        first = min((waiting.records[0][0] for waiting in self._waiting.values()), default=self._offset)
        return min(first, self._claim.offset) if self._claim else first

    def status(self) -> dict[str, Any]:
        """Return the counters of the role."""
        return {
            "offset": self._offset,
            "lake_offset": self.lake_offset,
            "saved_offset": self._saved.offset,
            "records_in_lake": self._records,
            "waiting_records": sum(len(waiting.records) for waiting in self._waiting.values()),
            "waiting_bytes": sum(waiting.byte_count for waiting in self._waiting.values()),
            "commits": self._commits,
            "skipped_records": self._skipped,
            **self._upkeep.status(),
        }

    def close(self) -> None:
        """Release everything; what waits is read from the log again."""
        if self._claim is not None:
            self._claim.abort()
        self._upkeep.close()
        self._bell.close()
        self._seen.close()
        self._lake.close()

    # --- reading ------------------------------------------------------------------------------------------------------

    def _read(self) -> bool:
        entries = self._topic.read(self._offset, limit=_READ_ENTRIES)
        if not entries:
            return False
        self._refresh()
        self._read_at_ms = self._clock.now_ms()
        for offset, data in entries:
            entry = decode_entry(data)
            if not self._take(offset, entry):
                return True  # the entry needs its own steps; what follows is read after it
            self._offset = offset + 1
        return True

    def _take(self, offset: int, entry: LogEntry) -> bool:
        """Take one entry in; returns whether it is dealt with."""
        if isinstance(entry, DatasetPurged):
            return self._purge_dataset(entry)
        if isinstance(entry, SandboxPurged):
            return self._purge_sandbox(entry.sandbox)
        if not isinstance(entry, Record | BatchReady | BatchReverted):
            return True
        dataset = self._dataset(entry.sandbox, entry.dataset)
        if dataset is None:
            return True
        if isinstance(entry, Record):
            if entry.operation == "create" and offset >= self._committed_offset(dataset.table):
                self._wait_with(dataset, offset, entry)
            return True
        if (entry.sandbox, entry.dataset) in self._waiting:  # a table's commits are in the order of the log
            self._flush((entry.sandbox, entry.dataset))
            return False
        if isinstance(entry, BatchReverted):
            self._revert(dataset, entry.batch_id)
            return True
        self._begin_claim(dataset, offset, entry)
        return self._claim is None

    def _wait_with(self, dataset: LakeDataset, offset: int, record: Record) -> None:
        key = (record.sandbox, record.dataset)
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = _Waiting(dataset, self._read_at_ms)
        waiting.add(offset, record)

    def _dataset(self, sandbox: int, number: int) -> LakeDataset | None:
        key = (sandbox, number)
        if key not in self._datasets:
            self._datasets[key] = self._catalog.dataset(sandbox, number)
        return self._datasets[key]

    def _refresh(self) -> None:
        revision = self._catalog.revision()
        if revision != self._revision:
            self._revision = revision
            self._datasets.clear()

    def _committed_offset(self, table: TableId) -> int:
        if table not in self._committed:
            self._committed[table] = self._lake.committed_offset(table)
        return self._committed[table]

    # --- when to write ------------------------------------------------------------------------------------------------

    def _overdue(self) -> tuple[int, int] | None:
        """Return the dataset that must be written before anything else is read."""
        if not self._waiting:
            return None
        if sum(waiting.byte_count for waiting in self._waiting.values()) >= self._flush_bytes:
            return max(self._waiting, key=lambda key: self._waiting[key].byte_count)
        now_ms = self._clock.now_ms()
        return next((key for key, waiting in self._waiting.items() if now_ms - waiting.since_ms >= self._flush_ms), None)

    def _flushable_when_idle(self) -> tuple[int, int] | None:
        """Return a dataset to write now that nothing more is there to read."""
        if self._is_flush_asked or self._clock.is_manual:  # no time passes by itself that the records could wait for
            return next(iter(self._waiting), None)
        now_ms = self._clock.now_ms()
        if now_ms - self._read_at_ms < IDLE_MS:
            return None
        return next((key for key, waiting in self._waiting.items() if now_ms >= self._quiet_until(waiting)), None)

    def _quiet_until(self, waiting: _Waiting) -> int:
        # A trickle of records must not become a trickle of tiny files.
        return self._flushed_at.get(waiting.dataset.table, -self._flush_ms) + self._flush_ms

    # --- streamed records ---------------------------------------------------------------------------------------------

    def _flush(self, key: tuple[int, int]) -> None:
        waiting = self._waiting[key]
        dataset = self._dataset(*key)
        if dataset is None:  # deleted in the meantime, and its records with it
            del self._waiting[key]
            return
        batch_id = self._catalog.new_batch_id()
        append = self._lake.begin(dataset.table, dataset.schema, batch_id)
        try:
            row_count = 0
            with _collector_off():
                for rows in _chunks(waiting.records):
                    fresh = self._seen.new_ones(dataset.number, rows) if dataset.is_event else rows
                    append.add(fresh)
                    row_count += len(fresh)
            promise = Promise(
                sandbox=dataset.sandbox,
                dataset=dataset.number,
                batch_id=batch_id,
                committed_offset=self._offset,
                is_claim=False,
                rows=row_count,
                skipped=len(waiting.records) - row_count,
                input_bytes=waiting.byte_count,
                started_at_ms=waiting.since_ms,
                flow_ids=tuple(sorted({record.flow_id for _, record in waiting.records if record.flow_id})),
            )
            self._file.save(Position(self._saved.offset, self._records, promise))
            append.commit(committed_offset=promise.committed_offset)
        except BaseException:
            append.abort()
            raise
        del self._waiting[key]
        self._flushed_at[dataset.table] = self._clock.now_ms()
        self._finish(dataset, promise)

    # --- batches of files ---------------------------------------------------------------------------------------------

    def _begin_claim(self, dataset: LakeDataset, offset: int, entry: BatchReady) -> None:
        if offset < self._committed_offset(dataset.table):
            self._catalog.promoted(dataset, entry.batch_id, Counts(), entry.predecessors)
            return
        if dataset.is_event:
            for predecessor in entry.predecessors:
                self._forget_events(dataset, predecessor)
        append = self._lake.begin(dataset.table, dataset.schema, entry.batch_id)
        now_ms = self._clock.now_ms()
        self._claim = ClaimLoad(self._home, entry, offset, dataset, append, self._seen, now_ms, chunk_rows=_CHUNK_ROWS)

    def _advance_claim(self, claim: ClaimLoad) -> None:
        try:
            with _collector_off():
                if claim.advance():
                    return
        except FileNotFoundError as error:
            self._lose_claim(claim, error)
            return
        promise = claim.promise()
        self._file.save(Position(self._saved.offset, self._records, promise))
        claim.append.commit(committed_offset=promise.committed_offset, replaces=promise.predecessors)
        self._claim = None
        self._offset = promise.committed_offset
        self._finish(claim.dataset, promise)

    def _lose_claim(self, claim: ClaimLoad, error: FileNotFoundError) -> None:
        log("lake_writer", logging.ERROR, "Files of a batch are gone.", batch=claim.entry.batch_id, reason=str(error))
        claim.abort()
        self._catalog.lost(claim.dataset, claim.entry.batch_id, f"The rows of the batch are gone: {error.filename}.")
        self._claim = None
        self._offset = claim.offset + 1

    def _revert(self, dataset: LakeDataset, batch_id: str) -> None:
        if dataset.is_event:
            self._forget_events(dataset, batch_id)
        self._lake.delete_batch(dataset.table, batch_id)
        self._catalog.reverted(dataset, self._counts(dataset, batch_id))

    def _forget_events(self, dataset: LakeDataset, batch_id: str) -> None:
        self._seen.forget(dataset.number, self._lake.read(dataset.table, batch_id=batch_id, columns=("_id",)))

    # --- what was deleted ---------------------------------------------------------------------------------------------

    def _purge_dataset(self, entry: DatasetPurged) -> bool:
        """Forget a piece of a deleted dataset; returns whether nothing is left."""
        self._waiting.pop((entry.sandbox, entry.dataset), None)
        if self._seen.purge(entry.dataset):
            return False
        self._drop(TableId(entry.sandbox, entry.table_name))
        return True

    def _purge_sandbox(self, sandbox: int) -> bool:
        """Drop a table of a sandbox that was reset or deleted; returns whether there was none left."""
        for key in [key for key in self._waiting if key[0] == sandbox]:
            del self._waiting[key]
        names = self._lake.tables(sandbox)
        for name in names[:1]:
            self._drop(TableId(sandbox, name))
        return not names

    def _drop(self, table: TableId) -> None:
        self._upkeep.forget(table)
        self._lake.drop(table)
        self._committed.pop(table, None)
        self._flushed_at.pop(table, None)

    # --- after a commit -----------------------------------------------------------------------------------------------

    def _finish(self, dataset: LakeDataset, promise: Promise) -> None:
        self._committed[dataset.table] = promise.committed_offset
        self._records += promise.rows
        self._skipped += promise.skipped
        self._commits += 1
        counts = self._counts(dataset, promise.batch_id, promise)
        if promise.is_claim:
            self._catalog.promoted(dataset, promise.batch_id, counts, promise.predecessors)
        elif promise.rows or promise.skipped:
            self._catalog.streamed(dataset, promise.batch_id, counts)
        self._save()
        self._upkeep.note(dataset.table, new_files=counts.output_files, total_files=counts.total_files)

    def _counts(self, dataset: LakeDataset, batch_id: str, promise: Promise | None = None) -> Counts:
        every = self._lake.files(dataset.table)
        files = [file for file in every if file.batch_id == batch_id]
        return Counts(
            rows=promise.rows if promise else 0,
            skipped=promise.skipped if promise else 0,
            input_bytes=promise.input_bytes if promise else 0,
            started_at_ms=promise.started_at_ms if promise else 0,
            flow_ids=promise.flow_ids if promise else (),
            output_bytes=sum(file.byte_count for file in files),
            output_files=len(files),
            total_rows=self._lake.row_count(dataset.table),
            total_bytes=sum(file.byte_count for file in every),
            total_files=len(every),
            filled_paths=frozenset(self._lake.filled_paths(dataset.table, batch_id)),
        )

    def _keep_promise(self) -> None:
        promise = self._saved.promise
        if promise is None:
            return
        dataset = self._catalog.dataset(promise.sandbox, promise.dataset)
        if dataset is not None and self._lake.committed_offset(dataset.table) >= promise.committed_offset:
            self._finish(dataset, promise)
        else:
            self._save()

    def _save(self) -> None:
        self._saved = Position(self.lake_offset, self._records)
        self._file.save(self._saved)


def _chunks(records: list[tuple[int, Record]]) -> Iterator[list[LakeRow]]:
    for start in range(0, len(records), _CHUNK_ROWS):
        rows = []
        for offset, record in records[start : start + _CHUNK_ROWS]:
            try:
                rows.append(LakeRow(_decode(record.body), offset, 0, record.accepted_at_ms))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                log("lake_writer", logging.ERROR, "A record is not JSON.", offset=offset, reason=str(error))
        yield rows


@contextmanager
def _collector_off() -> Iterator[None]:
    # Decoding makes nothing but trees; looking for cycles in them costs three times the decoding.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
