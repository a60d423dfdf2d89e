"""How many records were accepted, also those that came as rows of batches: comparable with how many were applied."""

import threading
from collections.abc import Mapping
from typing import Any

from headrace.model import BatchReady, decode_entry, is_record
from headrace.storage.log import Topic

_MOST_AT_ONCE = 20_000


class AcceptedRecords:
    """Counts the records of topic ``records``: a claim check counts as the rows that it stands for, a request as none.

    The pipeline keeps durable counters of the claim checks and requests that it has applied; only what lies behind its offset is
    looked at here, each entry once. Safe between threads.
    """

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._lock = threading.Lock()
        self._applied = (0, 0, 0)
        self._looked_to = 0
        self._open: dict[int, int] = {}

    def count(self, pipeline: Mapping[str, Any]) -> int:
        """Return the number; while more than 20,000 entries were never looked at, those behind count as one record each.

        Args:
            pipeline: The pipeline's status, empty while it has none.
        """
        with self._lock:
            if pipeline:
                self._applied = (int(pipeline["offset"]), int(pipeline["claims"]), int(pipeline["claimed_rows"]))
            offset, claims, rows = self._applied
            end = self._topic.next_offset()
            self._look(offset, end)
            return end - claims - len(self._open) + rows + sum(self._open.values())

    def _look(self, offset: int, end: int) -> None:
        for applied in [item for item in self._open if item < offset]:
            del self._open[applied]
        self._looked_to = max(self._looked_to, offset)
        if self._looked_to >= end:
            return
        for at, data in self._topic.read(self._looked_to, limit=_MOST_AT_ONCE):
            if at < end and not is_record(data):
                entry = decode_entry(data)
                self._open[at] = entry.row_count if isinstance(entry, BatchReady) else 0
            self._looked_to = min(at + 1, end)
