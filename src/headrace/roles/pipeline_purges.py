"""Purges: everything of a sandbox that was reset or deleted leaves the hot state, page by page while no record waits."""

from headrace.profile import keys
from headrace.profile.person import decode_person
from headrace.profile.working_set import WorkingSet
from headrace.storage.state import StateStore

_PAGE = 2000


class Purges:
    """Plans and does the purges; where one has come to is committed with what it deletes."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._cursors = {keys.split_purge_key(key): cursor for key, cursor in state.scan(b"x", b"y")}

    @property
    def pending(self) -> int:
        """How many purges are not finished."""
        return len(self._cursors)

    def plan(self, working: WorkingSet, sandbox: int) -> None:
        """Plan to delete a sandbox, in the micro-batch that reads the request."""
        self._cursors[sandbox] = b""
        working.put(keys.purge_key(sandbox), b"")

    def step(self, working: WorkingSet) -> bool:
        """Delete one page of keys; returns whether there was a purge to do."""
        if not self._cursors:
            return False
        sandbox = min(self._cursors)
        last = self._delete_page(working, sandbox, self._cursors[sandbox])
        if last is None:
            del self._cursors[sandbox]
            working.put(keys.purge_key(sandbox), None)
        else:
            # The next page begins behind it: a scan from the beginning would pass all that is deleted again.
            self._cursors[sandbox] = last + b"\x00"
            working.put(keys.purge_key(sandbox), self._cursors[sandbox])
        return True

    def _delete_page(self, working: WorkingSet, sandbox: int, cursor: bytes) -> bytes | None:
        """Delete up to a page of keys from ``cursor`` on; returns the last one, None when none is left behind them."""
        left = _PAGE
        for start, end in keys.sandbox_ranges(sandbox):
            for key, value in self._state.scan(max(start, cursor), end, limit=left):
                working.put(key, None)
                if key[:1] == b"p":
                    person = decode_person(value)
                    if person.timer_ms:
                        working.put(keys.timer_key(person.timer_ms, sandbox, person.id), None)
                left -= 1
                if not left:
                    return key
        return None
