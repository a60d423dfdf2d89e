"""A destination whose failures are settings: what the delivery loop is tested with."""

import asyncio
import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar

from headrace.config import SettingInvalid, setting
from headrace.destinations.base import (
    Batch,
    Capabilities,
    Delivered,
    Limits,
    Message,
    NoAuth,
    Outcome,
    Rejected,
    Retry,
    StreamDestination,
)
from headrace.destinations.errors import DestinationUnreachable
from headrace.destinations.stream_settings import StreamSettings


@dataclass(frozen=True, kw_only=True)
class UnreliableTarget(StreamSettings):
    """How the destination fails."""

    mailbox: str = setting("Name of the list that takes what is delivered.", default="default")
    retry_share: float = setting("Share of first attempts that must be repeated.", default=0.0)
    reject_share: float = setting("Share of messages that are refused.", default=0.0)
    fail_check: bool = setting("Whether `check` fails.", default=False)
    fail_open: bool = setting("Whether opening fails.", default=False)
    is_down: bool = setting("Whether every attempt must be repeated.", default=False)
    hangs: bool = setting("Whether attempts never end.", default=False)
    raises: bool = setting("Whether attempts end with an exception that no contract allows.", default=False)
    forgets_outcomes: bool = setting("Whether it gives fewer outcomes than it got messages.", default=False)
    users_per_batch: int = setting("Messages in one call.", default=1)

    def __post_init__(self) -> None:
        """Fail when asked to."""
        if self.fail_open:
            raise SettingInvalid("This destination was told to fail.", path="failOpen")


class UnreliableDestination(StreamDestination):
    """Delivers into a list in memory, or fails as its settings say.

    Which messages fail follows from their ids, so that a test sees the same ones every time.
    """

    name, title = "unreliable", "Unreliable"
    connection_spec_id = "00000000-0000-5000-8000-00000000d00d"
    category = "streaming"
    auth_specs = {"None": NoAuth}
    target_settings = UnreliableTarget
    capabilities = Capabilities()
    limits = Limits(records=100)

    delivered: ClassVar[defaultdict[str, list[Message]]] = defaultdict(list)
    attempts: ClassVar[defaultdict[str, list[Message]]] = defaultdict(list)
    down: ClassVar[set[str]] = set()
    """Mailboxes that are down now, besides those whose settings say so."""
    locked_persons: ClassVar[set[bytes]] = set()
    """Persons whose messages must be repeated."""
    retry_after_seconds: ClassVar[float | None] = None

    @classmethod
    def forget_all(cls) -> None:
        """Empty all mailboxes and forget all faults that are not settings."""
        cls.delivered.clear()
        cls.attempts.clear()
        cls.down.clear()
        cls.locked_persons.clear()
        cls.retry_after_seconds = None

    def batch_size(self) -> int:
        """See `StreamDestination.batch_size`."""
        return int(self.target.users_per_batch)

    async def check(self) -> None:
        """Fail when the settings say so."""
        if self.target.fail_check:
            raise DestinationUnreachable("This destination was told to fail its check.")

    async def deliver(self, batch: Batch) -> list[Outcome]:
        """Put messages into the mailbox, except those that must fail."""
        if self.target.hangs:
            await asyncio.Event().wait()
        if self.target.raises:
            raise ZeroDivisionError("an error that no contract allows")
        outcomes = [self._outcome(message) for message in batch]
        return outcomes[:-1] if self.target.forgets_outcomes else outcomes

    def _outcome(self, message: Message) -> Outcome:
        mailbox = self.target.mailbox
        is_first = all(attempt.id != message.id for attempt in self.attempts[mailbox])
        self.attempts[mailbox].append(message)
        luck = hashlib.blake2b(message.id.encode(), digest_size=2).digest()
        if self.target.is_down or mailbox in self.down or message.person_id in self.locked_persons:
            return Retry("The destination is down.", after_seconds=self.retry_after_seconds, status=503)
        if is_first and luck[0] < self.target.retry_share * 256:
            return Retry("Once more, please.", after_seconds=self.retry_after_seconds, status=503)
        if luck[1] < self.target.reject_share * 256:
            return Rejected("ACTIVATION_STREAM-0002-HTTP", "The destination does not like it.", 400)
        self.delivered[mailbox].append(message)
        return Delivered()
