"""The delivery loop of one dataflow: from offsets of the topic ``changes`` to outcomes, at least once, in order per person.

A *lane* is one dataflow with its own position, queue and workers; lanes share nothing but the store's commits, so a slow or
dead endpoint delays nobody else. A message is in one of these places:

- *open*: read from the topic, not handled; the position says so, and a restart reads it again;
- *waiting*: it failed and its next attempt is due later, or it stands behind such a message of the same person; it is in
  the store, so the position moves on;
- *dead*: given up, in the store with its reason;
- delivered, or not wanted: nothing is left of it but the position.
"""

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Callable, Sequence

from headrace.activation.delivery_store import Commit, Dead, DeliveryStore, Position, Waiting
from headrace.activation.messages import Excluded, MessageBuilder
from headrace.activation.retry import RetryPolicy
from headrace.activation.told import Told
from headrace.clock import Clock
from headrace.destinations.base import Delivered, Message, Outcome, Rejected, Retry, StreamDestination
from headrace.destinations.errors import OutcomeCountWrong
from headrace.errors import Denied, HeadraceError, Permanent
from headrace.model import Change
from headrace.telemetry import log

MAX_OPEN = 4_096
MAX_OPEN_BACKFILL = 20_000
MAX_WAITING = 100_000
READ_STEP = 512


class _Item:
    """One message on its way; ``message`` is None while its body lies in the store or in the topic."""

    __slots__ = ("attempts", "due_ms", "first_failed_at_ms", "is_backfill", "is_stored", "message", "person_id", "sequence")

    def __init__(self, sequence: int, person_id: bytes, message: Message | None, *, is_backfill: bool = False) -> None:
        self.sequence = sequence
        self.person_id = person_id
        self.message = message
        self.is_backfill = is_backfill
        self.is_stored = False  # whether it is waiting (in the store) rather than open
        self.attempts = 0
        self.due_ms = 0
        self.first_failed_at_ms = 0


class Lane:
    """Delivers the messages of one dataflow."""

    def __init__(
        self,
        builder: MessageBuilder,
        destination: StreamDestination,
        *,
        store: DeliveryStore,
        clock: Clock,
        policy: RetryPolicy,
        first_offset: int,
        change_at: Callable[[int], Change | None],
        is_excluded: Callable[[Change], str] = lambda change: "",
    ) -> None:
        """Take up the work where the store says it was left.

        Args:
            builder: Makes the dataflow's messages.
            destination: Takes them.
            store: What survives a crash.
            clock: Decides what is due.
            policy: Decides about retries.
            first_offset: Where a dataflow without a stored position begins.
            change_at: Reads one change of the topic again.
            is_excluded: Tells why a person may not be exported (an activation code), empty when they may.
        """
        self.flow_id = builder.flow_id
        self._builder = builder
        self._destination = destination
        self._store = store
        self._clock = clock
        self._policy = policy
        self._change_at = change_at
        self._is_excluded = is_excluded
        self._batch_size = destination.batch_size()
        self._mapped = frozenset(builder.mapped)
        self._told = Told()
        self._ready: deque[_Item] = deque()
        self._ready_backfill: deque[_Item] = deque()
        # Persons with a message on its way, and what stands behind it: None for nothing, as with almost all of them.
        self._persons: dict[bytes, deque[_Item] | None] = {}
        self._parked: set[bytes] = set()  # persons whose first message waits for its time
        self._due: list[tuple[int, int, _Item]] = []
        self._open: set[int] = set()
        self._open_backfill: set[int] = set()
        self._reopened: set[int] = set()  # offsets below `_read` that a restart found open
        self._waiting = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._rows: dict[int, Waiting | None] = {}  # rows of the store that the next commit writes or deletes
        self._dead: dict[int, Dead] = {}
        self._is_dirty = False
        self._last_logged_ms = 0
        self._is_retiring = False
        self._dead_count = store.dead_count(self.flow_id)
        self.counters = {"received": 0, "delivered": 0, "bytes": 0, "retried": 0, "failed": 0, "excluded": 0}
        position = store.position(self.flow_id)
        self._read = first_offset if position is None else position.read
        if position is not None:
            self.counters |= position.counters
            self._reopened = {offset for start, end in position.open for offset in range(start, end)}
        self._load_waiting()

    def _load_waiting(self) -> None:
        for sequence, row in list(self._store.waiting(self.flow_id)):
            item = _Item(sequence, row.person_id, None)
            item.attempts, item.due_ms, item.first_failed_at_ms = row.attempts, row.due_ms, row.first_failed_at_ms
            self._enqueue_stored(item)

    def _enqueue_stored(self, item: _Item) -> None:
        item.is_stored = True
        self._waiting += 1
        if item.person_id in self._persons:
            self._stand_behind(item)
            return
        self._persons[item.person_id] = None
        self._parked.add(item.person_id)
        heapq.heappush(self._due, (item.due_ms, item.sequence, item))

    # --- reading ------------------------------------------------------------------------------------------------------

    @property
    def next_offset(self) -> int:
        """The next offset to read from the topic."""
        return min(self._reopened) if self._reopened else self._read

    @property
    def has_room(self) -> bool:
        """Whether the lane takes more changes now."""
        return len(self._open) < MAX_OPEN and len(self._open_backfill) < MAX_OPEN_BACKFILL and self._waiting < MAX_WAITING

    def skip_to(self, offset: int) -> int:
        """Give up everything before ``offset``, because the topic no longer holds it; returns how many changes that were."""
        lost = max(0, offset - self._read) + sum(1 for reopened in self._reopened if reopened < offset)
        if lost:
            self._reopened = {reopened for reopened in self._reopened if reopened >= offset}
            self._read = max(self._read, offset)
            self._is_dirty = True
        return lost

    def feed(self, changes: Sequence[tuple[int, Change]]) -> None:
        """Take changes read from `next_offset` on, in order and without gaps."""
        for sequence, change in changes:
            if sequence < self._read:
                if sequence not in self._reopened:
                    continue
                self._reopened.discard(sequence)
            else:
                self._read = sequence + 1
            self._is_dirty = True
            self._take(sequence, change)

    def _take(self, sequence: int, change: Change) -> None:
        is_backfill = bool(change.backfill_flow)
        if is_backfill and self._told.has_told(change):
            return
        message = self._message(sequence, change)
        if message is None:
            return
        self.counters["received"] += 1
        if isinstance(message, Excluded):
            self._count("excluded", message.code)
            return
        if not is_backfill:
            self._told.note(change, self._mapped)
        # Bodies of a backfill are made when their turn comes: there may be many, and live changes go first.
        item = _Item(sequence, change.person_id, None if is_backfill else message, is_backfill=is_backfill)
        (self._open_backfill if is_backfill else self._open).add(sequence)
        self._enqueue(item, message)

    def _message(self, sequence: int, change: Change) -> Message | Excluded | None:
        message = self._builder.message(change, sequence)
        if isinstance(message, Message) and (code := self._is_excluded(change)):
            return Excluded(code)
        return message

    def _enqueue(self, item: _Item, message: Message) -> None:
        if item.person_id not in self._persons:
            self._persons[item.person_id] = None
            self._make_ready(item)
            return
        self._stand_behind(item)
        if item.person_id in self._parked:
            item.message = message
            self._store_away(item)

    def _stand_behind(self, item: _Item) -> None:
        behind = self._persons[item.person_id]
        if behind is None:
            behind = self._persons[item.person_id] = deque()
        behind.append(item)

    def _make_ready(self, item: _Item) -> None:
        (self._ready_backfill if item.is_backfill else self._ready).append(item)

    # --- time ---------------------------------------------------------------------------------------------------------

    def wake_due(self, now_ms: int) -> bool:
        """Make ready what is due; True when something was."""
        is_any = False
        while self._due and self._due[0][0] <= now_ms:
            item = heapq.heappop(self._due)[2]
            self._parked.discard(item.person_id)
            self._make_ready(item)
            is_any = True
        return is_any

    def next_due_ms(self) -> int | None:
        """Return when the next attempt is due, None when nothing waits for its time."""
        return self._due[0][0] if self._due else None

    def add_replay(self, sequence: int, row: Waiting) -> None:
        """Take a dead letter that is to be sent again; its row is in the store."""
        self._dead_count = max(0, self._dead_count - 1)
        self._enqueue_stored(_Item(sequence, row.person_id, None))

    @property
    def has_dead(self) -> bool:
        """Whether the dataflow has dead letters."""
        return self._dead_count > 0

    def recount_dead(self) -> None:
        """Count the dead letters again, after old ones were deleted."""
        self._dead_count = self._store.dead_count(self.flow_id) + len(self._dead)

    # --- sending ------------------------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether messages are being sent."""
        return bool(self._workers)

    @property
    def has_work(self) -> bool:
        """Whether messages are being sent or could be."""
        return bool(self._workers or (not self._is_retiring and (self._ready or self._ready_backfill)))

    def retire(self) -> None:
        """Begin no further message; those under way come to their end."""
        self._is_retiring = True

    def reconfigure(self, builder: MessageBuilder, policy: RetryPolicy, is_excluded: Callable[[Change], str]) -> None:
        """Go on with another state of the dataflow's configuration, and the same destination."""
        self._builder, self._policy, self._is_excluded = builder, policy, is_excluded
        self._mapped = frozenset(builder.mapped)

    def start_workers(self, loop: asyncio.AbstractEventLoop, on_end: Callable[[asyncio.Task[None]], None]) -> None:
        """Start as many workers as there is work for; ``on_end`` is called with each that ends."""
        if self._is_retiring:
            return
        wanted = -(-(len(self._ready) + len(self._ready_backfill)) // self._batch_size)
        for _ in range(min(wanted, self._destination.limits.concurrency - len(self._workers))):
            worker = loop.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
            worker.add_done_callback(on_end)

    async def _work(self) -> None:
        while batch := self._next_batch():
            for item, outcome in zip(batch, await self._deliver(batch), strict=True):
                self._settle(item, outcome)

    def _next_batch(self) -> list[_Item]:
        batch: list[_Item] = []
        size = 0
        while len(batch) < self._batch_size and not self._is_retiring:
            queue = self._ready or self._ready_backfill
            if not queue:
                break
            item = queue[0]
            if item.message is None and not self._load(item):
                queue.popleft()
                continue
            assert item.message is not None  # noqa: S101 - `_load` saw to it
            size += len(item.message.body)
            if batch and size > self._destination.limits.bytes:
                break
            batch.append(queue.popleft())
        return batch

    def _load(self, item: _Item) -> bool:
        if item.is_stored:
            row = self._rows.get(item.sequence) or self._store.waiting_message(self.flow_id, item.sequence)
            if row is not None:
                item.message = Message(row.message_id, self.flow_id, row.person_id, row.body)
                return True
        else:
            change = self._change_at(item.sequence)
            message = None if change is None else self._message(item.sequence, change)
            if isinstance(message, Message):
                item.message = message
                return True
            if isinstance(message, Excluded):
                self._count("excluded", message.code)
        self._forget(item)  # the configuration has changed since it was read, and it is no longer wanted
        return False

    async def _deliver(self, batch: list[_Item]) -> list[Outcome]:
        messages = [item.message for item in batch if item.message is not None]
        try:
            outcomes = await self._destination.deliver(messages)
        except Exception as error:  # a destination's fault must neither lose messages nor stop the lane
            return [_outcome_of_error(error)] * len(batch)
        if len(outcomes) != len(batch):
            wrong = OutcomeCountWrong(f"'{self._destination.name}' gave {len(outcomes)} outcomes for {len(batch)} messages.")
            return [_outcome_of_error(wrong)] * len(batch)
        return outcomes

    # --- outcomes -----------------------------------------------------------------------------------------------------

    def _settle(self, item: _Item, outcome: Outcome) -> None:
        if isinstance(outcome, Delivered):
            self.counters["delivered"] += 1
            self.counters["bytes"] += len(item.message.body) if item.message else 0
            self._forget(item)
            return
        now_ms = self._clock.now_ms()
        item.attempts += 1
        item.first_failed_at_ms = item.first_failed_at_ms or now_ms
        due_ms = None
        if isinstance(outcome, Retry):
            due_ms = self._policy.due_ms(item.attempts, now_ms, outcome.after_seconds)
        if due_ms is None:
            self._bury(item, outcome, now_ms)
        else:
            self._park(item, outcome, due_ms)

    def _park(self, item: _Item, outcome: Outcome, due_ms: int) -> None:
        self.counters["retried"] += 1
        item.due_ms = due_ms
        self._store_away(item, outcome)
        self._parked.add(item.person_id)
        heapq.heappush(self._due, (due_ms, item.sequence, item))
        for later in self._persons[item.person_id] or ():
            if not later.is_stored and (later.message is not None or self._load_open(later)):
                self._store_away(later)

    def _load_open(self, item: _Item) -> bool:
        change = self._change_at(item.sequence)
        message = None if change is None else self._message(item.sequence, change)
        item.message = message if isinstance(message, Message) else None
        return item.message is not None

    def _store_away(self, item: _Item, outcome: Outcome | None = None) -> None:
        assert item.message is not None  # noqa: S101 - only loaded messages come here
        self._rows[item.sequence] = self._row(item, item.message, outcome)
        item.message = None
        if not item.is_stored:
            item.is_stored = True
            self._waiting += 1
            self._close(item.sequence)
        self._is_dirty = True

    def _row(self, item: _Item, message: Message, outcome: Outcome | None) -> Waiting:
        row = Waiting(message.id, item.person_id, message.body, item.attempts, item.due_ms)
        row.first_failed_at_ms = item.first_failed_at_ms
        if isinstance(outcome, Retry):
            row.reason, row.code, row.status = outcome.reason, outcome.code, outcome.status
        elif isinstance(outcome, Rejected):
            row.reason, row.code, row.status = outcome.message, outcome.code, outcome.status
        return row

    def _bury(self, item: _Item, outcome: Outcome, now_ms: int) -> None:
        assert item.message is not None  # noqa: S101 - it was just sent
        row = self._row(item, item.message, outcome)
        self._dead[item.sequence] = Dead(row, now_ms)
        self._dead_count += 1
        self._count("failed", row.code)
        if now_ms - self._last_logged_ms >= 60_000:  # one line a minute tells enough about a dead endpoint
            self._last_logged_ms = now_ms
            fields = {"flow_id": self.flow_id, "message_id": row.message_id, "code": row.code, "reason": row.reason}
            log("activation", logging.WARNING, "messages go to the dead letters", **fields)
        self._forget(item)

    def _forget(self, item: _Item) -> None:
        """An item has reached its end: drop it, and let the next one of its person go."""
        if item.is_stored:
            self._rows[item.sequence] = None
            self._waiting -= 1
        else:
            self._close(item.sequence)
        self._is_dirty = True
        behind = self._persons[item.person_id]
        if behind:
            self._make_ready(behind.popleft())
        else:
            del self._persons[item.person_id]

    def _count(self, name: str, code: str) -> None:
        self.counters[name] += 1
        detail = f"{name}:{code}"
        self.counters[detail] = self.counters.get(detail, 0) + 1

    def _close(self, sequence: int) -> None:
        self._open.discard(sequence)
        self._open_backfill.discard(sequence)

    # --- durability ---------------------------------------------------------------------------------------------------

    @property
    def is_dirty(self) -> bool:
        """Whether something happened since the last commit."""
        return self._is_dirty

    def add_to(self, commit: Commit) -> None:
        """Put into a commit what happened since the last one."""
        still_open = sorted(self._open | self._open_backfill | self._reopened)
        commit.positions[self.flow_id] = Position(self._read, _ranges(still_open), dict(self.counters))
        for sequence, row in self._rows.items():
            commit.waiting[self.flow_id, sequence] = row
        for sequence, dead in self._dead.items():
            commit.dead[self.flow_id, sequence] = dead
        self._is_dirty = False

    def not_committed(self) -> None:
        """The commit failed: all of it goes into the next one."""
        self._is_dirty = True

    def committed(self, commit: Commit) -> None:
        """Forget what a commit made durable; what happened in the meantime stays for the next one."""
        for sequence, row in list(self._rows.items()):
            if commit.waiting.get((self.flow_id, sequence), row) is row and (self.flow_id, sequence) in commit.waiting:
                del self._rows[sequence]
        for sequence in list(self._dead):
            if (self.flow_id, sequence) in commit.dead:
                del self._dead[sequence]

    def low_offset(self) -> int:
        """Return the smallest offset that is still needed from the topic."""
        return min([self._read, *(min(offsets) for offsets in (self._open, self._open_backfill, self._reopened) if offsets)])

    def status(self) -> dict[str, int]:
        """Return the counters, how much is open, waiting and dead, and the offset reached."""
        still_open = len(self._open) + len(self._open_backfill) + len(self._reopened)
        return {
            **self.counters,
            "open": still_open,
            "waiting": self._waiting,
            "dead": self._dead_count,
            "offset": self._read,
        }

    async def stop(self) -> None:
        """Stop sending; what is under way stays open and is sent again by the next start."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._destination.close()


def _outcome_of_error(error: Exception) -> Outcome:
    if isinstance(error, Permanent | Denied):
        return Rejected("ACTIVATION_STREAM-0002-HTTP", str(error))
    if not isinstance(error, HeadraceError):
        log("activation", logging.ERROR, "a destination raised", error=f"{type(error).__name__}: {error}")
    return Retry(reason=str(error) or type(error).__name__)


def _ranges(offsets: list[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for offset in offsets:
        if ranges and ranges[-1][1] == offset:
            ranges[-1] = (ranges[-1][0], offset + 1)
        else:
            ranges.append((offset, offset + 1))
    return ranges
