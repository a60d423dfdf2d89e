"""What was deleted leaves the hot state: whole sandboxes key by key, datasets person by person."""

import json
from collections.abc import Iterator

import pytest

from headrace.model import BatchReverted, DatasetPurged, Record, SandboxPurged, encode_entry
from headrace.profile import keys
from headrace.profile.reader import ProfileReader
from headrace.roles import pipeline_purges
from headrace.roles.pipeline_rules import SandboxRules

from .pipeline_world import ABANDONED, EVENTS, MINUTE_MS, PROFILES, START_MS, World, event, profile


class TwoSandboxes(World):
    """Sandbox 2 is as sandbox 1 until it is deleted."""

    is_second_deleted = False

    def load(self) -> dict[int, SandboxRules]:
        rules = super().load()
        first = rules[1]
        second = SandboxRules(
            sandbox=type(first.sandbox)(2, "s2", "dev", "development", False, "o@AdobeOrg"),
            datasets=first.datasets,
            merge=first.merge,
            program=first.program,
            versions=first.versions,
            interest=first.interest,
            interest_paths=first.interest_paths,
            audience_ids=first.audience_ids,
        )
        return rules if self.is_second_deleted else {**rules, 2: second}

    def add_to(self, sandbox: int, *records: tuple[int, dict[str, object]]) -> None:
        self.log.topic("records").append(
            [encode_entry(Record(sandbox, dataset, json.dumps(body).encode(), self.clock.now_ms())) for dataset, body in records]
        )

    def delete_second(self) -> None:
        self.is_second_deleted = True
        self.number_of_revisions += 1
        self.log.topic("records").append([encode_entry(SandboxPurged(2, self.clock.now_ms()))])

    def keys_of(self, sandbox: int) -> Iterator[bytes]:
        number = sandbox.to_bytes(4, "big")
        for key, _ in self.state.scan(b"", b"\xff"):
            of_timer = key[:1] == b"t" and keys.split_timer_key(key)[1] == sandbox
            if of_timer or (key[:1] in b"deinpwx" and key[1:5] == number):
                yield key


@pytest.fixture
def world() -> TwoSandboxes:
    world = TwoSandboxes({1: 'homeAddress.country = "DE"', 2: ABANDONED})
    for sandbox in (1, 2):
        for number in range(5):
            who = {"CRMID": f"c{number}"}
            world.add_to(sandbox, (PROFILES, {**profile(**who), "homeAddress": {"country": "DE"}}))
            world.add_to(sandbox, event(f"e{number}", "begin", 0, **who))
    world.run()
    return world


def test_purged_sandbox_leaves_nothing_and_others_stay_whole(world: TwoSandboxes) -> None:
    first = [(key, world.state.get(key)) for key in world.keys_of(1)]
    assert {key[:1] for key in world.keys_of(2)} == {b"d", b"e", b"i", b"n", b"p", b"t", b"w"}
    world.delete_second()
    world.run()
    assert list(world.keys_of(2)) == []
    assert [(key, world.state.get(key)) for key in world.keys_of(1)] == first
    assert world.pipeline.status()["sweeps"] == 0


def test_purge_goes_on_after_a_crash(world: TwoSandboxes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_purges, "_PAGE", 3)
    before = len(list(world.keys_of(2)))
    world.delete_second()
    for _ in range(4):
        world.pipeline.step()
        assert world.pipeline.status()["sweeps"] > 0
        world.pipeline = world.opened()
    assert 0 < len(list(world.keys_of(2))) < before
    world.run()
    assert list(world.keys_of(2)) == []


def test_purge_asked_for_twice_changes_nothing_more(world: TwoSandboxes) -> None:
    world.delete_second()
    world.run()
    world.delete_second()
    world.run()
    assert list(world.keys_of(2)) == []


def test_late_records_and_timers_of_a_purged_sandbox_do_nothing(world: TwoSandboxes) -> None:
    world.delete_second()
    world.add_to(2, (PROFILES, profile(CRMID="late")))
    world.run()
    world.clock.move_to(START_MS + 31 * MINUTE_MS)
    world.run()
    assert list(world.keys_of(2)) == []
    assert world.members(2) == {f"c{number}" for number in range(5)}  # of the first sandbox


def test_fragments_of_a_deleted_dataset_leave_profiles_and_memberships(world: TwoSandboxes) -> None:
    assert len(world.members(1)) == 5
    world.log.topic("records").append([encode_entry(DatasetPurged(1, PROFILES, "profiles", world.clock.now_ms()))])
    world.run()
    assert world.members(1) == set()
    persons = list(ProfileReader(world.state).persons(1))
    assert [len(person.fragments) for person in persons] == [0] * 5
    assert [person.events for person in persons] == [1] * 5
    assert all(len(person.fragments) == 1 for person in ProfileReader(world.state).persons(2))


def test_events_of_a_deleted_dataset_leave_profiles_and_memberships(world: TwoSandboxes) -> None:
    world.at(31)
    assert len(world.members(2)) == 5
    world.log.topic("records").append([encode_entry(DatasetPurged(1, EVENTS, "events", world.clock.now_ms()))])
    world.run()
    assert world.members(2) == set()
    assert [key for key in world.keys_of(1) if key[:1] in b"de"] == []
    assert len(world.members(1)) == 5


def test_deleted_dataset_of_a_deleted_sandbox_is_passed_over(world: TwoSandboxes) -> None:
    world.delete_second()
    world.log.topic("records").append([encode_entry(DatasetPurged(2, EVENTS, "events", world.clock.now_ms()))])
    world.run()
    assert list(world.keys_of(2)) == []


def test_batches_and_datasets_leave_profiles_also_without_any_audience() -> None:
    world = World({})
    record = {**profile(CRMID="c"), "homeAddress": {"country": "DE"}}
    world.log.topic("records").append(
        [
            encode_entry(Record(1, PROFILES, json.dumps(record).encode(), START_MS, batch_id="B")),
            encode_entry(BatchReverted(1, PROFILES, "B", START_MS)),
        ]
    )
    world.run()
    world.add((PROFILES, {**profile(CRMID="d"), "homeAddress": {"country": "DE"}}))
    world.log.topic("records").append([encode_entry(DatasetPurged(1, PROFILES, "profiles", START_MS))])
    world.run()
    assert [person.fragments for person in ProfileReader(world.state).persons(1)] == [[], []]
