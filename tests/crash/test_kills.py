"""Roles and supervisor die with SIGKILL at random moments under load; what comes out is what comes out undisturbed."""

import os
import shutil
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headrace.activation.messages import MessageBuilder
from headrace.testing.receiver import Receiver
from headrace.testing.server import Server
from tests.crash.driver import Driver
from tests.crash.killer import Killer, kills_of
from tests.crash.outcome import Delivery, Remains, deliveries_of, differences, first_receipts, profiles_of
from tests.crash.stage import Stage, built
from tests.crash.story import START, Story, story_of

KILLS = int(os.environ.get("HEADRACE_CRASH_KILLS", "54"))
SEED = int(os.environ.get("HEADRACE_CRASH_SEED", "0"))
AUDIENCES = 5


@dataclass
class Telling:
    """What one telling left behind."""

    home: Path
    stage: Stage
    profiles: dict[str, Any]
    deliveries: list[Delivery]
    figures: str

    @property
    def remains(self) -> Remains:
        return Remains(self.home)


_KEEPS_ITS_LOG = {"HEADRACE_LOG_RETENTION_HOURS": "1000000"}
"""The story moves the clock by weeks; the checks afterwards read the whole log."""


def told(home: Path, stage: Stage, story: Story, receiver: Receiver, kills: int, seed: int) -> Telling:
    begin, first = time.monotonic(), len(receiver.requests)
    with Server(home, clock=f"manual:{START}", environment=_KEEPS_ITS_LOG) as server:
        driver = Driver(server, stage)
        plan = kills_of(seed, kills, Driver.length_of(story), supervisors=max(1, kills // 12)) if kills else []
        with Killer(server, driver.progress, plan) as killer:
            driver.tell(story)
        if killer.fault is not None:
            raise killer.fault
        driver.until_settled()
        driver.close()
        with server.client() as client:
            profiles = profiles_of(client, story)
    comebacks = {role: f"{max(seconds):.1f}" for role, seconds in killer.comebacks.items()}
    figures = (
        f"{time.monotonic() - begin:.0f} s, kills {dict(killer.done)}, longest comeback {comebacks}, "
        f"answers {dict(driver.answers)}"
    )
    assert sum(killer.done.values()) >= kills
    return Telling(home, stage, profiles, deliveries_of(receiver.requests[first:]), figures)


def check_lake(telling: Telling, story: Story) -> None:
    """Every accepted event has one row, every accepted record too."""
    records, batches = telling.remains.accepted()
    rows = telling.remains.lake_rows()
    tables = sorted(rows, key=lambda name: "_id" in rows[name][0])
    assert len(tables) == 2, tables
    events = sorted(row["_id"] for row in rows[tables[1]])
    assert events == sorted(story.event_ids)
    assert len(rows[tables[0]]) == records[min(records)]
    assert len({batch.batch_id for batch in batches}) == len(batches), "a batch was made known twice"


def check_messages(telling: Telling) -> dict[str, list[bytes]]:
    """Every message belongs to a change, repetitions are the same, each person's come in order; returns them by family.

    A record whose client got no answer is sent again and tells again what it told: that counts once.
    """
    first = first_receipts(telling.deliveries)
    changes = telling.remains.changes()
    flow = MessageBuilder(telling.stage.flows["Messages"], sandbox=1, mapped=[], attributes=[], audiences={}, namespaces={})
    sequences = {flow.message_id(sequence): sequence for sequence in range(len(changes))}
    last: dict[bytes, int] = defaultdict(lambda: -1)
    for message_id in first:
        sequence = sequences[message_id]
        person = changes[sequence].person_id
        assert sequence > last[person], f"Message {sequence} came after message {last[person]} of the same person."
        last[person] = sequence
    families: dict[str, list[bytes]] = defaultdict(list)
    told: dict[bytes, bytes] = {}
    for message_id in sorted(first, key=sequences.__getitem__):
        person, delivery = changes[sequences[message_id]].person_id, first[message_id]
        if told.get(person) != delivery.body:
            told[person] = delivery.body
            families[delivery.family].append(delivery.body)
    return dict(families)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_roles_killed_at_random_moments_change_nothing(tmp_path: Path) -> None:
    seed = SEED or time.time_ns() % 1_000_000
    print(f"\nHEADRACE_CRASH_SEED={seed} HEADRACE_CRASH_KILLS={KILLS}")
    story = story_of(seed, families=40, phases=14, records_per_phase=160)
    with Receiver() as receiver:
        with Server(tmp_path / "stage", clock=f"manual:{START}", environment=_KEEPS_ITS_LOG) as server:
            stage = built(server, f"{receiver.url}/messages")
        tellings = []
        for name, kills in (("calm", 0), ("rough", KILLS)):
            shutil.copytree(tmp_path / "stage", tmp_path / name, ignore=shutil.ignore_patterns("bells"))
            tellings.append(told(tmp_path / name, stage, story, receiver, kills, seed))
            print(f"{name}: {tellings[-1].figures}")
    calm, rough = tellings
    for telling in tellings:
        check_lake(telling, story)
    calm_messages, rough_messages = check_messages(calm), check_messages(rough)
    files = calm.remains.files()
    print(
        f"{len(calm.profiles)} identities, {sum(map(len, calm_messages.values()))} messages, "
        f"{len(rough.deliveries) - sum(map(len, rough_messages.values()))} repetitions, {len(files) - 1} files"
    )
    found = differences(calm.profiles, rough.profiles, "look-up")
    found += differences(calm.remains.persons(), rough.remains.persons(), "person")
    found += differences(calm_messages, rough_messages, "messages of family")
    found += differences(files, rough.remains.files(), "file")
    assert not found, "\n".join(found)
    assert calm.remains.member_counts(AUDIENCES) == rough.remains.member_counts(AUDIENCES)
    told_of = {(item.audience, item.is_member) for change in calm.remains.changes() for item in change.memberships_changed}
    assert len(told_of) == 2 * AUDIENCES, f"the story is too tame: {sorted(told_of)}"
