"""When a message is tried again."""

import pytest

from headrace.activation.retry import RetryPolicy


@pytest.mark.parametrize(("attempts", "due_ms"), [(1, 15_000), (2, 30_000), (3, None)])
def test_two_retries_are_made(attempts: int, due_ms: int | None) -> None:
    assert RetryPolicy().due_ms(attempts, 0) == due_ms


@pytest.mark.parametrize(("asked", "due_ms"), [(2.5, 2_500), (300, 300_000), (9_000, 300_000), (-1, 0)])
def test_the_destinations_wish_counts_up_to_five_minutes(asked: float, due_ms: int) -> None:
    assert RetryPolicy().due_ms(1, 0, asked) == due_ms


def test_the_destinations_wish_adds_no_attempt() -> None:
    assert RetryPolicy().due_ms(3, 0, 5) is None


def test_a_persistent_policy_never_gives_up_and_waits_five_minutes_at_most() -> None:
    policy = RetryPolicy(is_persistent=True)
    assert [policy.due_ms(attempts, 0) for attempts in (1, 2, 3, 4, 5, 6, 7, 10_000)] == [
        15_000, 30_000, 60_000, 120_000, 240_000, 300_000, 300_000, 300_000,
    ]  # fmt: skip
