"""What live messages have told already, so that a backfill need not repeat it.

A record that enters an audience while the audience's backfill is under way is told twice: by its own change, and by the sweep
over all persons that finds it a member. The live change always comes first in the topic. What is remembered is bounded and lives
in memory: forgetting only repeats a message, which the delivery promises no more than.
"""

from collections import OrderedDict

from headrace.model import Change

_MOST = 100_000


class Told:
    """The latest entries into mapped audiences that live messages of one dataflow have told."""

    def __init__(self, most: int = _MOST) -> None:
        """Remember nothing yet.

        Args:
            most: How many entries are remembered; older ones are forgotten.
        """
        self._most = most
        self._entries: OrderedDict[tuple[bytes, int], int] = OrderedDict()

    def note(self, change: Change, mapped: frozenset[int]) -> None:
        """Remember that a message was made of a live change, for a dataflow with these audiences."""
        for item in change.memberships_changed:
            if item.audience in mapped:
                key = change.person_id, item.audience
                self._entries.pop(key, None)
                if item.is_member:
                    self._entries[key] = item.changed_at_ms
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def has_told(self, change: Change) -> bool:
        """Tell whether every membership that a backfill would tell was told by a live message."""
        if not self._entries:
            return False
        wanted = change.member_since.keys() & set(change.backfill_audiences)
        return all(self._entries.get((change.person_id, number)) == change.member_since[number] for number in wanted)
