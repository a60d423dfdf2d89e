"""Upkeep of the lake, in small pieces while the lake writer has nothing else to do.

Small files are merged, rows whose retention is over are removed, and files that no table has shown for a while are deleted.
Nothing is remembered across a start: what is to be done is found by looking at the tables. A table is looked at when it has got
some files, and every now and then.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from headrace.clock import Clock
from headrace.errors import Transient
from headrace.storage.lake import Lake, PendingRewrite, TableId
from headrace.telemetry import log

INTERVAL_MS = 10 * 60_000
GRACE_MS = 60 * 60_000  # longer than any reader takes with the files that it has planned
MANY_FILES = 300
_NEW_FILES = 8
_DAY_MS = 86_400_000


class UpkeepCatalog(Protocol):
    """What upkeep asks of the catalog, and tells it."""

    def retentions(self) -> Mapping[TableId, int]:
        """Return for how many days after their ``timestamp`` rows are kept, for the tables that have a limit."""
        ...

    def resized(self, table: TableId, row_count: int, byte_count: int) -> None:
        """Note what a table holds after its files have changed."""
        ...


class LakeUpkeep:
    """Looks after the tables of the lake; the lake writer owns it and gives it its idle moments."""

    def __init__(self, lake: Lake, catalog: UpkeepCatalog, clock: Clock) -> None:
        """Take what is needed; the first round begins with the first step.

        Args:
            lake: The tables.
            catalog: Knows how long rows are kept.
            clock: Tells when to look, and what has expired.
        """
        self._lake = lake
        self._catalog = catalog
        self._clock = clock
        self._round_at_ms = 0
        self._wanted: dict[TableId, bool] = {}  # tables to look at, and whether leftovers are looked for too
        self._crowded: set[TableId] = set()
        self._new_files: dict[TableId, int] = {}
        self._pending: tuple[TableId, PendingRewrite] | None = None
        self._retentions: Mapping[TableId, int] = {}
        self._expired_to_ms: dict[TableId, int] = {}
        self._aside_until_ms: dict[TableId, int] = {}
        self._leftovers: dict[TableId, dict[Path, int]] = {}
        self._counts = {"merged_files": 0, "expired_rows": 0, "deleted_files": 0}

    @property
    def has_work(self) -> bool:
        """Whether `step` would do something now."""
        return self._pending is not None or bool(self._wanted) or self._clock.now_ms() >= self._round_at_ms

    @property
    def is_urgent(self) -> bool:
        """Whether some table has so many files that upkeep must not wait for an idle moment."""
        return bool(self._crowded)

    def note(self, table: TableId, *, new_files: int, total_files: int) -> None:
        """Learn that a table has got files; it is looked at when there are some."""
        self._new_files[table] = self._new_files.get(table, 0) + new_files
        if self._new_files[table] >= _NEW_FILES:
            self._new_files[table] = 0
            self._wanted.setdefault(table, False)
            if total_files >= MANY_FILES and not self._is_aside(table):
                self._crowded.add(table)

    def forget(self, table: TableId) -> None:
        """Stop what is under way at a table that is about to be dropped."""
        if self._pending is not None and self._pending[0] == table:
            self._give_up()
        self._wanted.pop(table, None)
        self._crowded.discard(table)
        for notes in (self._new_files, self._expired_to_ms, self._aside_until_ms, self._leftovers):
            notes.pop(table, None)

    def step(self) -> None:
        """Do one small piece of work, when there is any. Trouble with a table sets it aside for a while, and is told."""
        if self._pending is None and not self._wanted:
            self._begin_round()
            return
        table = self._pending[0] if self._pending else next(iter(self._wanted))
        try:
            if self._pending is not None:
                self._advance(*self._pending)
            else:
                self._look(table, with_leftovers=self._wanted[table])
        except Transient as fault:
            self._set_aside(table, INTERVAL_MS, logging.WARNING, str(fault))
        except Exception as fault:  # rows still have to be written to this table and others
            self._set_aside(table, GRACE_MS, logging.ERROR, repr(fault))

    def status(self) -> dict[str, Any]:
        """Return the counters since the start."""
        return {**self._counts, "tables_aside": sum(map(self._is_aside, self._aside_until_ms))}

    def close(self) -> None:
        """Forget what is under way."""
        self._give_up()

    # --- a round ----------------------------------------------------------------------------------------------------------

    def _begin_round(self) -> None:
        now_ms = self._clock.now_ms()
        if now_ms >= self._round_at_ms:
            self._round_at_ms = now_ms + INTERVAL_MS
            self._retentions = self._catalog.retentions()
            self._wanted = dict.fromkeys(self._lake.every_table(), True)

    def _look(self, table: TableId, *, with_leftovers: bool) -> None:
        """Begin what a table needs most; it stays wanted until it needs nothing."""
        if not self._is_aside(table):
            if with_leftovers:
                self._delete_leftovers(table)
                self._wanted[table] = False
            rewrite = self._expiry(table) or self._lake.begin_compaction(table, now_ms=self._clock.now_ms())
            if rewrite is not None and self._lake.has_room_for(rewrite.byte_count):
                self._pending = (table, rewrite)
                return
            if rewrite is not None:
                rewrite.abort()
                self._set_aside(table, INTERVAL_MS, logging.WARNING, "The disk has too little room to write its files anew.")
        self._wanted.pop(table, None)
        self._crowded.discard(table)

    def _advance(self, table: TableId, rewrite: PendingRewrite) -> None:
        if rewrite.advance():
            return
        done = rewrite.commit()
        self._pending = None
        if done is not None:
            if done.files_after >= done.files_before and not done.rows_removed:
                raise RuntimeError(f"{done.files_before} files were written anew for nothing.")
            self._counts["merged_files"] += done.files_before - done.files_after
            self._counts["expired_rows"] += done.rows_removed
            size = sum(file.byte_count for file in self._lake.files(table))
            self._catalog.resized(table, self._lake.row_count(table), size)

    # --- rows and files that go -------------------------------------------------------------------------------------------

    def _expiry(self, table: TableId) -> PendingRewrite | None:
        """Begin to remove rows; once a day and table, since a file in which one row expires is written anew."""
        days = self._retentions.get(table)
        if days is None:
            return None
        before_ms = (self._clock.now_ms() // _DAY_MS - days) * _DAY_MS
        if before_ms <= self._expired_to_ms.get(table, 0):
            return None
        rewrite = self._lake.begin_expiry(table, before_ms=before_ms)
        if rewrite is None:
            self._expired_to_ms[table] = before_ms
        return rewrite

    def _delete_leftovers(self, table: TableId) -> None:
        """Delete what was found a while ago and still is not shown."""
        now_ms = self._clock.now_ms()
        known = self._leftovers.get(table, {})
        found = {path: known.get(path, now_ms) for path in self._lake.replaced(table)}
        due = {path for path, since_ms in found.items() if now_ms - since_ms >= GRACE_MS}
        if due:
            self._lake.discard(table, due)
            self._counts["deleted_files"] += len(due)
        self._leftovers[table] = {path: since_ms for path, since_ms in found.items() if path not in due}

    # --- trouble ----------------------------------------------------------------------------------------------------------

    def _is_aside(self, table: TableId) -> bool:
        return self._clock.now_ms() < self._aside_until_ms.get(table, 0)

    def _set_aside(self, table: TableId, pause_ms: int, level: int, reason: str) -> None:
        self._give_up()
        self._aside_until_ms[table] = self._clock.now_ms() + pause_ms
        self._wanted.pop(table, None)
        self._crowded.discard(table)
        text = "Upkeep of a table is put off."
        log("lake_writer", level, text, sandbox=table.sandbox, table=table.name, reason=reason)

    def _give_up(self) -> None:
        if self._pending is not None:
            (_, rewrite), self._pending = self._pending, None
            rewrite.abort()
