"""Delivery with the process killed again and again delivers what delivery without does, in order per person."""

import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from headrace.model import Change, Identity, MembershipChange, encode_change
from headrace.storage.log.lmdb import LmdbLog
from headrace.testing.receiver import Answer, Received, Receiver

PERSONS, CHANGES = 50, 6_000
ROOT = Path(__file__).resolve().parents[2]


def fill(folder: Path) -> None:
    topics = LmdbLog(folder / "log", folder / "bells")
    membership = MembershipChange(1, True, 1_800_000_000_000)
    changes = [
        Change(
            sandbox=1,
            person_id=(number % PERSONS).to_bytes(16, "big"),
            at_ms=1_800_000_000_000,
            memberships_changed=(membership,),
            attributes_written=(),
            attributes_changed=(),
            are_identities_changed=False,
            attributes={"n": number},
            identities=(Identity(6, f"p{number % PERSONS}@x"),),
            member_since={1: 1_800_000_000_000},
            exited_at={},
        )
        for number in range(CHANGES)
    ]
    topics.topic("changes").append([encode_change(change) for change in changes])
    topics.close()


def started(folder: Path, url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.differential.delivery_worker", str(folder), url], cwd=ROOT)


def first_numbers(requests: list[Received]) -> dict[str, list[int]]:
    """Return by person the numbers received, each where it came first."""
    seen: dict[str, dict[int, None]] = defaultdict(dict)
    for request in requests:
        body = request.json()
        seen[body["identityMap"]["email"][0]["id"]].setdefault(body["n"])
    return {person: list(numbers) for person, numbers in seen.items()}


def check(requests: list[Received]) -> None:
    expected = {f"p{person}@x": list(range(person, CHANGES, PERSONS)) for person in range(PERSONS)}
    assert first_numbers(requests) == expected
    ids = {(request.json()["n"], request.field("x-headrace-message-id")) for request in requests}
    assert len(ids) == CHANGES, "a repetition had another message id"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_ended_and_started_again_delivers_everything(tmp_path: Path, how: signal.Signals) -> None:
    fill(tmp_path)
    with Receiver(answer=lambda request: Answer()) as receiver:
        for count in (1_000, 3_000):
            worker = started(tmp_path, receiver.url)
            assert receiver.wait_for(count, seconds=30)
            worker.send_signal(how)
            worker.wait(10)
        worker = started(tmp_path, receiver.url)
        try:
            assert receiver.wait_for(CHANGES, seconds=30)
            deadline = time.monotonic() + 30
            while len(receiver.message_ids()) < CHANGES and time.monotonic() < deadline:
                receiver.wait_for(receiver.count + 1, seconds=0.1)
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(10)
    check(receiver.requests)
    repeated = receiver.count - CHANGES
    if how == signal.SIGTERM:
        assert repeated == 0, "an orderly end leaves nothing unrecorded"
    else:
        assert repeated < CHANGES, "what was recorded as delivered was sent again"
