"""A task of the scheduler: forgets log entries that nobody needs any more, and the files that they pointed at.

Topic ``records``: what pipeline and lake have both stored, once it is older than the retention. Topic ``changes``: what
activation has settled, but for a margin: its delivery store may ask again after a crash.
"""

from pathlib import Path
from typing import Any

from headrace.clock import Clock
from headrace.ingest.batch_folders import remove_forgotten_rows
from headrace.model import decode_entry, entry_instant
from headrace.roles.status import StatusBoard
from headrace.storage.log import Log, Topic

INTERVAL_MS = 5 * 60_000
CHANGES_KEPT = 10_000  # more than activation reads before it notes how far it is
_MOST_A_STEP = 20_000  # a trim holds the writer's lock of its topic, for which the inlets wait


class LogUpkeep:
    """Trims the topics, a piece a step; see `roles.scheduler.Task`."""

    def __init__(self, log: Log, board: StatusBoard, clock: Clock, home: Path, *, retention_hours: int) -> None:
        """Take what is needed.

        Args:
            log: The topics.
            board: Tells how far the roles are; a topic whose readers have not said so is left alone.
            clock: Tells the age of entries.
            home: Holds the files of claim checks.
            retention_hours: How long applied entries of ``records`` are kept.
        """
        self._records, self._changes = log.topic("records"), log.topic("changes")
        self._board = board
        self._clock = clock
        self._home = home
        self._retention_ms = retention_hours * 3_600_000
        self._next_ms = 0
        self._trimmed = {"records": 0, "changes": 0}

    def step(self) -> bool:
        """Trim a piece when the time has come; returns whether there was one."""
        if self._clock.now_ms() < self._next_ms:
            return False
        if self._trim(self._records, self._records_limit()) or self._trim(self._changes, self._changes_limit()):
            return True
        remove_forgotten_rows(self._home, self._records.first_offset())
        self._next_ms = self._clock.now_ms() + INTERVAL_MS
        return False

    def next_due_ms(self) -> int | None:
        """Return when the topics are looked at next.

        None on a manual clock: a move must not stop every five minutes for what no answer depends on; any step catches up.
        """
        return None if self._clock.is_manual else self._next_ms

    def status(self) -> dict[str, Any]:
        """Return how many entries were trimmed since the start."""
        return {"is_idle": True, **{f"trimmed_{name}": count for name, count in self._trimmed.items()}}

    def _trim(self, topic: Topic, limit: int) -> bool:
        first = topic.first_offset()
        before = min(limit, topic.next_offset() - 1, first + _MOST_A_STEP)  # a topic keeps its last entry
        if before <= first:
            return False
        topic.trim(before)
        self._trimmed[topic.name] += before - first
        return True

    def _records_limit(self) -> int:
        pipeline, lake = self._board.read("pipeline"), self._board.read("lake_writer")
        if pipeline is None or lake is None:
            return 0
        stored = min(int(pipeline["offset"]), int(lake["saved_offset"]))
        return self._first_since(self._clock.now_ms() - self._retention_ms, stored)

    def _first_since(self, instant_ms: int, end: int) -> int:
        """Return the smallest offset below ``end`` that was accepted at or after an instant, else ``end``; by bisection."""
        low, high = self._records.first_offset(), end
        while low < high:
            middle = (low + high) // 2
            found = self._records.read(middle, limit=1)
            if not found or entry_instant(decode_entry(found[0][1])) >= instant_ms:
                high = middle
            else:
                low = middle + 1
        return low

    def _changes_limit(self) -> int:
        pipeline, activation = self._board.read("pipeline"), self._board.read("activation")
        if pipeline is None or activation is None:
            return 0
        return min(int(activation["low_offset"]), int(pipeline["changes"]), self._changes.next_offset()) - CHANGES_KEPT
