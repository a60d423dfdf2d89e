"""When a message that failed is tried again, and when it is given up."""

from dataclasses import dataclass

STANDARD_WAITS_SECONDS = (15.0, 30.0)
LONGEST_WAIT_SECONDS = 300.0


@dataclass(frozen=True)
class RetryPolicy:
    """Waits between the attempts at one message.

    Attributes:
        waits_seconds: One wait per retry.
        is_persistent: Whether attempts go on after the last of the waits, doubling it up to five minutes.
    """

    waits_seconds: tuple[float, ...] = STANDARD_WAITS_SECONDS
    is_persistent: bool = False

    def due_ms(self, attempts: int, now_ms: int, after_seconds: float | None = None) -> int | None:
        """Return when the next attempt is due, None when there is none.

        Args:
            attempts: Attempts made so far, at least 1.
            now_ms: When the last one ended.
            after_seconds: What the destination asked for; counts up to five minutes.
        """
        wait = self._wait(attempts)
        if wait is None:
            return None
        if after_seconds is not None:
            wait = min(max(after_seconds, 0.0), LONGEST_WAIT_SECONDS)
        return now_ms + round(wait * 1000)

    def _wait(self, attempts: int) -> float | None:
        if attempts <= len(self.waits_seconds):
            return self.waits_seconds[attempts - 1]
        if not self.is_persistent:
            return None
        doublings = min(attempts - len(self.waits_seconds), 16)
        return min(self.waits_seconds[-1] * 2.0**doublings, LONGEST_WAIT_SECONDS)


STANDARD_POLICY = RetryPolicy()
