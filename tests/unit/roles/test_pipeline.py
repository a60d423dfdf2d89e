"""The pipeline over stores in memory: what a record, a timer and a new audience do."""

import pytest

from headrace.profile import keys
from headrace.profile.merge import merged
from headrace.profile.reader import ProfileReader
from headrace.roles.pipeline_rules import SandboxRules

from .pipeline_world import ABANDONED, CRM, EMAIL, EVENTS, PROFILES, START_MS, World, event, profile


def test_abandonment_begins_by_time_alone_and_ends_with_the_submit() -> None:
    world = World({7: ABANDONED}, mapped=frozenset({7}))
    world.add(event("e1", "begin", 0, CRMID="ada"), event("e2", "begin", 0, CRMID="bob"))
    world.at(29.99)
    assert world.members(7) == set()
    world.add(event("e3", "submit", 29.99, CRMID="bob"))
    world.at(30)
    assert world.members(7) == {"ada"}
    world.at(45)
    world.add(event("e4", "submit", 45, CRMID="ada"))
    world.at(45)
    assert world.members(7) == set()
    assert [(item.memberships_changed[0].is_member, item.at_ms - START_MS) for item in world.changes()] == [
        (True, 30 * 60_000),
        (False, 45 * 60_000),
    ]


def test_a_timer_fires_at_its_own_instant_however_far_the_clock_jumps() -> None:
    world = World({7: ABANDONED}, mapped=frozenset({7}))
    world.add(event("e1", "begin", 0, CRMID="ada"))
    world.at(3000)
    assert [(item.memberships_changed[0].is_member, item.at_ms - START_MS) for item in world.changes()] == [
        (True, 30 * 60_000),
        (False, 24 * 3_600_000 + 1),
    ]
    assert world.pipeline.next_due_ms() is None


def test_an_event_that_links_two_persons_makes_them_one() -> None:
    world = World(
        {1: 'homeAddress.country = "DE" and chain(xEvent, timestamp, [A: WHAT(eventType = "view") WHEN(<= 24 hours before now)])'}
    )
    world.add((PROFILES, {**profile(CRMID="ada"), "homeAddress": {"country": "DE"}}), event("e1", "view", 0, Email="a@x"))
    world.run()
    assert world.members(1) == set()
    world.add(event("e2", "login", 0, CRMID="ada", Email="a@x"))
    world.run()
    assert world.members(1) == {"a@x"}
    reader = ProfileReader(world.state)
    person = reader.find(1, CRM, "ada")
    assert person is not None
    assert reader.find(1, EMAIL, "a@x") == person
    assert [item.event_id for item in reader.events(1, person)] == ["e1", "e2"]
    assert reader.profile_count(1) == 1
    assert len(person.links) == 1


def test_a_repeated_event_changes_nothing() -> None:
    count = 'xEvent[eventType = "view" and timestamp occurs <= 1 hour before now].count() >= 2'
    world = World({1: count})
    world.add(event("e1", "view", 0, CRMID="ada"), event("e1", "view", 0, CRMID="ada"))
    world.run()
    assert world.members(1) == set()
    world.add(event("e2", "view", 0, CRMID="ada"))
    world.run()
    assert world.members(1) == {"ada"}


def test_a_new_audience_is_filled_from_stored_events_and_a_new_flow_hears_of_its_members() -> None:
    world = World({1: 'homeAddress.country = "DE"'})
    world.add((PROFILES, {**profile(CRMID="ada"), "homeAddress": {"country": "DE"}}), event("e1", "view", 0, CRMID="ada"))
    world.run()
    world.queries[2] = 'chain(xEvent, timestamp, [A: WHAT(eventType = "view") WHEN(<= 24 hours before now)])'
    world.mapped = frozenset({1, 2})
    world.number_of_revisions += 1
    world.run()
    assert world.members(2) == {"ada"}
    backfill = [item for item in world.changes() if item.backfill_flow]
    assert [(item.backfill_flow, item.backfill_audiences) for item in backfill] == [("flow", (1, 2))]
    world.at(24 * 60 + 1)
    assert world.members(2) == set()


def test_an_attribute_write_is_sent_only_while_the_person_is_in_a_mapped_audience() -> None:
    world = World({1: 'homeAddress.country = "DE"'}, mapped=frozenset({1}), attributes=("homeAddress.city",))
    world.add((PROFILES, {**profile(CRMID="ada"), "homeAddress": {"country": "CH", "city": "Bern"}}))
    world.run()
    assert world.changes() == []
    world.add((PROFILES, {**profile(CRMID="ada"), "homeAddress": {"country": "DE", "city": "Bern"}}))
    world.add((PROFILES, {**profile(CRMID="ada"), "homeAddress": {"country": "DE", "city": "Bonn"}}))
    world.run()
    first, second = world.changes()
    assert first.memberships_changed[0].is_member
    assert first.attributes == {"homeAddress": {"city": "Bern"}}
    assert second.memberships_changed == ()
    assert second.attributes_changed == ("homeAddress.city",)


def test_the_later_record_replaces_the_fragment_and_other_fragments_fill_the_gaps() -> None:
    world = World({})
    world.add((PROFILES, {**profile(CRMID="ada"), "homeAddress": {"city": "Bern"}, "person": {"name": {"firstName": "Ada"}}}))
    world.at(1)
    world.add((PROFILES, {**profile(CRMID="ada"), "person": {"name": {"firstName": "Adele"}}}))
    world.run()
    person = ProfileReader(world.state).find(1, CRM, "ada")
    assert person is not None
    assert merged(person) == {"person": {"name": {"firstName": "Adele"}}}


def test_the_members_counter_counts_two_members_who_become_one_person_once() -> None:
    world = World({1: 'chain(xEvent, timestamp, [A: WHAT(eventType = "view") WHEN(<= 24 hours before now)])'})
    world.add(event("e1", "view", 0, CRMID="ada"), event("e2", "view", 0, Email="a@x"))
    world.run()
    assert ProfileReader(world.state).member_count(1, 1) == 2
    world.add(event("e3", "other", 0, CRMID="ada", Email="a@x"))
    world.run()
    assert ProfileReader(world.state).member_count(1, 1) == 1


def test_changes_committed_but_not_appended_are_appended_after_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World({1: 'homeAddress.country = "DE"'}, mapped=frozenset({1}))
    ada, bob, caro, dana = (
        (PROFILES, {**profile(CRMID=name), "homeAddress": {"country": "DE"}}) for name in ("ada", "bob", "caro", "dana")
    )
    world.add(ada)
    world.run()
    before = world.changes()
    world.add(bob, caro)
    with monkeypatch.context() as patch:
        patch.setattr(world.log.topic("changes"), "append_at", lambda offset, entries: 1 / 0)
        with pytest.raises(ZeroDivisionError):  # the crash comes between the commit and the append
            world.run()
    assert world.changes() == before
    world.pipeline = world.opened()
    recovered = world.changes()
    assert recovered[: len(before)] == before
    assert len({change.person_id for change in recovered[len(before) :]}) == len(recovered) - len(before) == 2
    assert keys.unpack_number(world.state.get(keys.META_SEQUENCE)) == len(recovered)
    world.add(dana)
    world.run()
    assert len(world.changes()) == len(recovered) + 1


def test_an_event_far_ahead_reaches_no_profile_and_is_counted() -> None:
    world = World({})
    world.add(event("e1", "view", 6, CRMID="ada"))
    world.run()
    assert ProfileReader(world.state).profile_count(1) == 0
    assert world.pipeline.status()["refused"] == {"timestamp_ahead": 1}


def test_an_audience_of_audiences_follows_its_parent_in_the_same_commit() -> None:
    world = World({2: 'inSegment("a1")', 1: 'homeAddress.country = "DE"', 3: 'not(inSegment("a2"))'})
    world.add((PROFILES, {**profile(CRMID="ada"), "homeAddress": {"country": "DE"}}))
    world.run()
    assert world.members(1) == world.members(2) == {"ada"}
    assert world.members(3) == set()


def test_events_of_an_unknown_dataset_are_passed_over() -> None:
    world = World({})
    world.add((EVENTS + 40, {"_id": "x"}))
    world.run()
    assert world.pipeline.status()["records_applied"] == 1


def test_a_number_beyond_64_bits_is_kept_as_a_floating_point_number() -> None:
    world = World({1: "xEvent[timestamp occurs <= 1 hour before now].sum(amount) > 5"})
    dataset, body = event("e1", "view", 0, CRMID="ada")
    world.add((dataset, {**body, "amount": 10**30}), (PROFILES, {**profile(CRMID="ada"), "points": [-(10**25), 7]}))
    world.run()
    assert world.members(1) == {"ada"}
    person = ProfileReader(world.state).find(1, CRM, "ada")
    assert person is not None
    assert merged(person)["points"] == [-1e25, 7]


def test_a_record_of_a_dataset_made_while_the_rules_are_read_is_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World({})
    load = world.load

    def load_before_the_dataset_is_made() -> dict[int, SandboxRules]:
        rules = load()
        if world.number_of_revisions == 1:
            del rules[1].datasets[PROFILES]
            world.number_of_revisions = 2  # the dataset is made, and its first record accepted
            world.add((PROFILES, profile(CRMID="ada")))
        return rules

    monkeypatch.setattr(world, "load", load_before_the_dataset_is_made)
    world.run()
    world.run()  # the log has rung
    assert ProfileReader(world.state).find(1, CRM, "ada") is not None
