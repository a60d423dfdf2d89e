"""The pipeline role: the only writer of hot state.

One micro-batch: entries of topic ``records`` from the stored offset on → persons, events, memberships, timers, outgoing
changes and the next offset, in one atomic synced write; then the outgoing changes are appended to topic ``changes``, whose
offsets are their sequence numbers. After a crash those not yet appended are appended again from the outbox, where they stand
until the next micro-batch.

Evaluations happen at the instant at which the gateway accepted the record, or at which a timer is due, never at the instant
of processing: the same log gives the same memberships, however it was cut into micro-batches.
"""

import gc
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from headrace.clock import Clock
from headrace.model import (
    BatchReady,
    BatchReverted,
    DatasetPurged,
    LogEntry,
    MembershipDiff,
    ProfileDelete,
    Record,
    SandboxPurged,
    decode_entry,
    entry_instant,
)
from headrace.profile import keys
from headrace.profile.reader import ProfileReader
from headrace.profile.working_set import WorkingSet
from headrace.roles.pipeline_claims import DiffClaim, RowClaim, delete_profile
from headrace.roles.pipeline_purges import Purges
from headrace.roles.pipeline_records import Decoded, RecordApplier, Refusals, decode
from headrace.roles.pipeline_rules import RulesSource, SandboxRules
from headrace.roles.pipeline_sweeps import Sweeps
from headrace.storage.errors import StorageCorrupt
from headrace.storage.log import Log
from headrace.storage.state import StateStore

RECORDS, CHANGES = "records", "changes"
GRACE_MS = 50
# Entries decoded, applied and encoded at a time: few enough to stay in the processor's caches, enough to read ahead for.
_CHUNK = 64


_encode_outbox = msgspec.msgpack.Encoder().encode
_decode_outbox = msgspec.msgpack.Decoder(list[bytes]).decode


class Pipeline:
    """Joins identity, profile and audiences; `step` does one micro-batch."""

    def __init__(
        self, state: StateStore, log: Log, rules: RulesSource, clock: Clock, home: Path, *, max_records: int = 2000
    ) -> None:
        self._state = state
        self._records = log.topic(RECORDS)
        self._changes = log.topic(CHANGES)
        self._source = rules
        self._clock = clock
        self._home = home
        self._max_records = max_records
        # A record is stamped a moment before it can be read; a timer waits for those stamped before it is due.
        self._grace_ms = 0 if clock.is_manual else GRACE_MS
        self._refusals = Refusals()
        self._revision = -1
        self._rules: dict[int, SandboxRules] = {}
        self._check_format()
        self._offset = keys.unpack_number(state.get(keys.META_OFFSET))
        self._row = keys.unpack_number(state.get(keys.META_ROW))
        self._instant_ms = keys.unpack_number(state.get(keys.META_INSTANT))
        self._applied = keys.unpack_number(state.get(keys.META_APPLIED))
        self._claims = keys.unpack_number(state.get(keys.META_CLAIMS))
        self._claimed_rows = keys.unpack_number(state.get(keys.META_CLAIMED_ROWS))
        self._sequence = keys.unpack_number(state.get(keys.META_SEQUENCE))
        self._sweeps = Sweeps(ProfileReader(state), state)
        self._purges = Purges(state)
        self._open_claim: tuple[int, int, Iterator[Record]] | None = None
        self._outbox: bytes | None = None
        self._recover_changes()
        gc.freeze()

    # --- the role's contract ----------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Do one micro-batch, or one page of a sweep when no record waits.

        Returns:
            Whether anything was done.
        """
        # In this order: what let a record in was configured before it was appended, so rules read after it know of that.
        entries = self._records.read(self._offset, limit=self._max_records)
        self._refresh_rules()
        working = WorkingSet(self._state, sequence=self._sequence, instant_ms=self._instant_ms)
        gc.disable()
        try:
            is_busy = self._apply(working, entries)
            if not entries:
                now_ms = self._clock.now_ms() - self._grace_ms
                is_busy |= self._fire_timers(working, self._applier(working), now_ms)
                if self._sweeps.pending:
                    self._instant_ms = max(self._instant_ms, now_ms)
                is_busy |= self._sweeps.step(working, self._applier(working), self._rules, self._instant_ms)
                is_busy |= self._purges.step(working)
            if is_busy:
                self._commit(working)
        finally:
            gc.enable()
        return is_busy

    def next_due_ms(self) -> int | None:
        """Return the instant of the earliest timer, None without one."""
        working = WorkingSet(self._state, sequence=self._sequence, instant_ms=self._instant_ms)
        timer = working.next_timer(1 << 61)
        return timer[0] + self._grace_ms if timer else None

    def status(self) -> dict[str, Any]:
        """Return the counters of the role."""
        return {
            "offset": self._offset,
            "records_applied": self._applied,
            "claims": self._claims,
            "claimed_rows": self._claimed_rows,
            "profiles": self._profile_count(),
            "changes": self._sequence,
            "instant_ms": self._instant_ms,
            "sweeps": self._sweeps.pending + self._purges.pending,
            "revision": self._revision,
            "refused": dict(self._refusals),
            "clock_ms": self._clock.now_ms() if self.is_caught_up() else 0,
        }

    def _profile_count(self) -> int:
        counters = self._state.get_many([keys.counter_key(sandbox, keys.PROFILE_COUNTER) for sandbox in self._rules])
        return sum(map(keys.unpack_number, counters))

    def is_caught_up(self) -> bool:
        """Whether everything accepted and everything due so far has been applied."""
        due = self.next_due_ms()
        return self._records.next_offset() <= self._offset and not (due is not None and due <= self._clock.now_ms())

    def close(self) -> None:
        """Close the hot state."""
        self._state.close()

    # --- a micro-batch ----------------------------------------------------------------------------------------------

    def _apply(self, working: WorkingSet, entries: list[tuple[int, bytes]]) -> bool:
        applier = self._applier(working)
        for start in range(0, len(entries), _CHUNK):
            if not self._apply_chunk(working, applier, entries[start : start + _CHUNK]):
                break  # a part of a large claim; its rest follows with the next micro-batch
        return bool(entries)

    def _apply_chunk(self, working: WorkingSet, applier: RecordApplier, entries: list[tuple[int, bytes]]) -> bool:
        decoded = [(offset, decode_entry(data)) for offset, data in entries]
        prepared = self._prepare(working, decoded)
        for offset, entry in decoded:
            instant_ms = entry_instant(entry)
            self._fire_timers(working, applier, instant_ms)
            self._instant_ms = max(self._instant_ms, instant_ms)
            if isinstance(entry, Record):
                ready = prepared.get(offset)
                if ready is not None:
                    applier.apply(ready, self._rules[entry.sandbox], offset=offset, now_ms=self._instant_ms)
                self._applied += 1
            elif not self._apply_claim(working, applier, offset, entry):
                return False
            else:
                self._claims += 1
                self._claimed_rows += entry.row_count if isinstance(entry, BatchReady) else 0
            self._offset = offset + 1
            self._row = 0
        working.rest()
        return True

    def _prepare(self, working: WorkingSet, entries: list[tuple[int, LogEntry]]) -> dict[int, Decoded]:
        prepared: dict[int, Decoded] = {}
        for offset, entry in entries:
            if isinstance(entry, Record) and (rules := self._rules.get(entry.sandbox)):
                ready = decode(entry, rules)
                if ready is not None:
                    prepared[offset] = ready
        self._load(working, prepared.values())
        return prepared

    def _load(self, working: WorkingSet, ready: Iterable[Decoded]) -> None:
        owners: list[bytes] = []
        events: list[bytes] = []
        for item in ready:
            # The further identities of an event are nearly always the first one's person's, whose document says so.
            owners += item.owner_keys[:1] if item.known_key else item.owner_keys
            if item.known_key:
                events.append(item.known_key)
        working.load(owners, events)

    def _apply_claim(self, working: WorkingSet, applier: RecordApplier, offset: int, entry: LogEntry) -> bool:
        """Apply a claim check or a part of it; returns whether it is finished."""
        if isinstance(entry, SandboxPurged):
            self._purges.plan(working, entry.sandbox)
            return True
        rules = self._rules.get(entry.sandbox)
        if rules is None:  # the sandbox is gone
            self._applied += entry.row_count if isinstance(entry, BatchReady) else 0
            return True
        if isinstance(entry, DatasetPurged):
            self._sweeps.purge(working, entry.sandbox, entry.dataset)
            return True
        if isinstance(entry, ProfileDelete):
            delete_profile(working, self._state, entry)
            return True
        if isinstance(entry, BatchReverted):
            self._sweeps.revert(working, entry.sandbox, [entry.batch_id])
            return True
        if isinstance(entry, BatchReady):
            rows = self._rows(offset, entry)
            self._apply_rows(working, applier, rules, offset, rows)
            self._row += len(rows)
            self._applied += len(rows)
            if len(rows) < self._max_records and entry.predecessors:
                self._sweeps.revert(working, entry.sandbox, entry.predecessors)
            return len(rows) < self._max_records
        if isinstance(entry, MembershipDiff):
            diff = DiffClaim(self._home, entry)
            count = diff.apply(working, applier, rules, self._row, self._max_records)
            self._row += count
            return count < self._max_records
        return True

    def _apply_rows(
        self, working: WorkingSet, applier: RecordApplier, rules: SandboxRules, offset: int, rows: list[Record]
    ) -> None:
        for start in range(0, len(rows), _CHUNK):
            ready = [item for row in rows[start : start + _CHUNK] if (item := decode(row, rules)) is not None]
            self._load(working, ready)
            for item in ready:
                applier.apply(item, rules, offset=offset, now_ms=self._instant_ms)
            working.rest()

    def _rows(self, offset: int, batch: BatchReady) -> list[Record]:
        """Return the next rows of a batch; its files stay open from one micro-batch to the next."""
        if self._open_claim is None or self._open_claim[:2] != (offset, self._row):
            self._open_claim = (offset, self._row, RowClaim(self._home, batch).rows(self._row))
        rows = list(islice(self._open_claim[2], self._max_records))
        self._open_claim = (offset, self._row + len(rows), self._open_claim[2])
        return rows

    def _fire_timers(self, working: WorkingSet, applier: RecordApplier, until_ms: int) -> bool:
        has_fired = False
        while (timer := working.next_timer(until_ms)) is not None and working.size < self._max_records * 10:
            due_ms, sandbox, person_id = timer
            self._instant_ms = max(self._instant_ms, due_ms)
            applier.fire(self._rules.get(sandbox), sandbox, person_id, due_ms)
            has_fired = True
        return has_fired

    def _applier(self, working: WorkingSet) -> RecordApplier:
        return RecordApplier(working, self._refusals)

    # --- commit and recovery ----------------------------------------------------------------------------------------

    def _commit(self, working: WorkingSet) -> None:
        first = self._sequence
        for name, number in (
            (keys.META_OFFSET, self._offset),
            (keys.META_ROW, self._row),
            (keys.META_INSTANT, self._instant_ms),
            (keys.META_APPLIED, self._applied),
            (keys.META_CLAIMS, self._claims),
            (keys.META_CLAIMED_ROWS, self._claimed_rows),
            (keys.META_SEQUENCE, working.next_sequence),
        ):
            working.put(name, keys.pack_number(number))
        if self._outbox is not None:
            working.put(self._outbox, None)
        self._outbox = keys.outbox_key(first) if working.changes else None
        if self._outbox is not None:
            working.put(self._outbox, _encode_outbox(working.changes))
        working.commit()
        self._sequence = working.next_sequence
        if working.changes:
            self._changes.append_at(first, working.changes)

    def _recover_changes(self) -> None:
        """Append the outgoing changes that were committed but did not reach the topic."""
        for key, data in self._state.scan(keys.outbox_key(0), keys.outbox_key(self._sequence)):
            self._outbox = key
            self._changes.append_at(keys.split_outbox_key(key), _decode_outbox(data))
        if self._changes.next_offset() < self._sequence:
            missing = f"{self._changes.next_offset()} to {self._sequence}"
            raise StorageCorrupt(f"Changes {missing} are neither in the topic nor in the outbox.")

    def _check_format(self) -> None:
        stored = self._state.get(keys.META_FORMAT)
        if stored is None:
            self._state.commit({keys.META_FORMAT: keys.pack_number(keys.FORMAT)})
        elif keys.unpack_number(stored) != keys.FORMAT:
            raise StorageCorrupt(
                f"The hot state has format {keys.unpack_number(stored)}; this version reads format {keys.FORMAT}."
            )

    def _refresh_rules(self) -> None:
        revision = self._source.revision()
        if revision != self._revision:
            self._rules = self._source.load()
            self._revision = revision
            self._sweeps.plan(self._rules, self._instant_ms or self._clock.now_ms())
