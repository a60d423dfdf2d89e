"""Reading the topic ``changes`` for many dataflows that stand at nearly the same place: every entry is decoded once."""

from collections import OrderedDict

from headrace.model import Change, decode_change
from headrace.storage.log import Topic

_WINDOW = 512
_KEPT_WINDOWS = 16


class ChangeReader:
    """Decoded changes, by windows of offsets, the last used ones kept."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._windows: OrderedDict[int, list[tuple[int, Change]]] = OrderedDict()

    def first_offset(self) -> int:
        """Return the smallest offset that the topic still holds."""
        return self._topic.first_offset()

    def next_offset(self) -> int:
        """Return the end of the topic."""
        return self._topic.next_offset()

    def read(self, offset: int) -> list[tuple[int, Change]]:
        """Return changes from ``offset`` on, up to the end of its window; empty at the end of the topic."""
        number = offset // _WINDOW
        window = self._windows.get(number)
        if window is None:
            window = self._windows[number] = []
            if len(self._windows) > _KEPT_WINDOWS:
                self._windows.popitem(last=False)
        self._windows.move_to_end(number)
        end = (number + 1) * _WINDOW
        known = window[-1][0] + 1 if window else number * _WINDOW
        if known < end:
            found = self._topic.read(known, limit=end - known)
            window += [(at, decode_change(entry)) for at, entry in found if at < end]
        if not window or window[-1][0] < offset:
            return []
        return window[max(0, offset - window[0][0]) :]

    def change_at(self, offset: int) -> Change | None:
        """Return one change, None when the topic no longer holds it."""
        changes = self.read(offset)
        return changes[0][1] if changes and changes[0][0] == offset else None
