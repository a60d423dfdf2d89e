"""Messages that were given up: kept for seven days with the reason, and sent again on request."""

from collections.abc import Callable, Sequence

import msgspec

from headrace.activation.delivery_store import DeliveryStore

KEPT_MS = 7 * 24 * 3600 * 1000


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that was given up, as shown to people.

    Attributes:
        flow_id: The dataflow.
        sequence: Its number within the dataflow; what `DeadLetters.replay` takes.
        message_id: UUID of the message.
        body: What was sent.
        code: Activation code of the last failure.
        reason: What the last attempt ended with.
        status: HTTP status of that, 0 when there was none.
        attempts: Attempts made.
        first_failed_at_ms: When the first attempt failed (epoch ms).
        dead_at_ms: When it was given up (epoch ms).
    """

    flow_id: str
    sequence: int
    message_id: str
    body: bytes
    code: str
    reason: str
    status: int
    attempts: int
    first_failed_at_ms: int
    dead_at_ms: int


class DeadLetters:
    """The dead letters of all dataflows, for the API and the console."""

    def __init__(self, store: Callable[[], DeliveryStore], *, wake: Callable[[], None] = lambda: None) -> None:
        """Take the store.

        Args:
            store: Gives the delivery store; asked with each call, so that it is opened only for somebody who asks.
            wake: Called after a replay was asked for; wakes the activation role.
        """
        self._store = store
        self._wake = wake

    def list(self, flow_id: str, *, after: int = -1, limit: int = 100) -> list[DeadLetter]:
        """Return a dataflow's dead letters, oldest change first, beginning behind the sequence ``after``."""
        return [
            DeadLetter(
                flow_id=flow_id,
                sequence=sequence,
                message_id=dead.letter.message_id,
                body=dead.letter.body,
                code=dead.letter.code,
                reason=dead.letter.reason,
                status=dead.letter.status,
                attempts=dead.letter.attempts,
                first_failed_at_ms=dead.letter.first_failed_at_ms,
                dead_at_ms=dead.dead_at_ms,
            )
            for sequence, dead in self._store().dead(flow_id, after=after, limit=limit)
        ]

    def count(self, flow_id: str) -> int:
        """Return how many dead letters a dataflow has."""
        return self._store().dead_count(flow_id)

    def replay(self, flow_id: str, sequences: Sequence[int] | None = None) -> int:
        """Send dead letters again, all of the dataflow's when ``sequences`` is None; returns how many there were.

        A replayed message goes out after what the person was sent in the meantime, with the id it always had.
        """
        if sequences is None:
            sequences = [sequence for sequence, _ in self._store().dead(flow_id)]
        moved = self._store().ask_for_replay(flow_id, sequences)
        if moved:
            self._wake()
        return moved
