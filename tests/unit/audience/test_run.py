"""Segment jobs over a whole home folder: hot state, lake and pipeline are real."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.audience.evaluating import Evaluation, Outcome
from headrace.audience.jobs import CANCELLED, PROCESSING, SUCCEEDED
from tests.unit.roles.home_world import HomeWorld

DAY_MS = 86_400_000
EVER = 'chain(xEvent, timestamp, [A: WHAT(eventType = "checkout")])'
IN_A_DAY = 'chain(xEvent, timestamp, [A: WHAT(eventType = "checkout") WHEN(<= 24 hours before now)])'


@pytest.fixture
def world(tmp_path: Path) -> Iterator[HomeWorld]:
    opened = HomeWorld.opened(tmp_path / "server")
    yield opened
    opened.close()


def person(email: str, gender: str, **rest: Any) -> dict[str, Any]:
    return {"identityMap": {"Email": [{"id": email, "primary": True}]}, "person": {"gender": gender}, **rest}


def test_a_job_finds_members_from_profiles_and_from_the_lake(world: HomeWorld) -> None:
    buyers = world.audience("Buyers", f'person.gender = "male" and {EVER}')
    assert buyers.method == "batch"
    world.add(world.people, person("a@x.com", "male"), person("b@x.com", "female"), person("C@x.com", "male"))
    world.add(
        world.events,
        world.event("e1", "checkout", 60 * 24 * 40, "a@x.com"),
        world.event("e2", "checkout", 5, "b@x.com"),
        world.event("e3", "view", 5, "c@x.com"),
    )
    job = world.job()
    assert (job.status, world.members(buyers)) == (SUCCEEDED, {"a@x.com"})
    counts = job.body.figures.audiences[buyers.id]
    assert (counts.entered, counts.stayed, counts.left, counts.by_namespace) == (1, 0, 0, {"email": 1})
    assert job.body.figures.profiles == 3
    world.add(world.people, person("a@x.com", "female"))
    world.add(world.events, world.event("e4", "checkout", 1, " C@x.com "))
    counts = world.job(buyers.id).body.figures.audiences[buyers.id]
    assert (counts.entered, counts.stayed, counts.left) == (1, 0, 1)
    assert world.members(buyers) == {"C@x.com"}


def test_a_job_that_finds_nothing_new_changes_nothing(world: HomeWorld) -> None:
    buyers = world.audience("Buyers", EVER)
    world.add(world.events, world.event("e1", "checkout", 5, "a@x.com"))
    world.job()
    counts = world.job().body.figures.audiences[buyers.id]
    assert (counts.entered, counts.stayed, counts.left) == (0, 1, 0)


def test_audiences_of_audiences_are_answered_by_the_same_job(world: HomeWorld) -> None:
    buyers = world.audience("Buyers", EVER)
    silent = world.audience("Others", f'not(inSegment("{buyers.id}")) and person.gender.isNotNull()', requested="batch")
    world.add(world.people, person("a@x.com", "male"), person("b@x.com", "male"))
    world.add(world.events, world.event("e1", "checkout", 5, "a@x.com"))
    world.job()
    assert (world.members(buyers), world.members(silent)) == ({"a@x.com"}, {"b@x.com"})


def test_audiences_of_two_merge_policies_refer_to_each_other(world: HomeWorld) -> None:
    policy = world.home.policies.create(
        world.sandbox,
        {
            "name": "By dataset",
            "schema": {"name": "_xdm.context.profile"},
            "identityGraph": {"type": "pdg"},
            "attributeMerge": {"type": "dataSetPrecedence", "order": [world.people.id]},
        },
    )
    men = world.audience("Men", 'person.gender = "male"', merge_policy_id=policy.id)
    buyers = world.audience("Buyers", f'inSegment("{men.id}") and {EVER}')
    rest = world.audience("Rest", f'inSegment("{men.id}") and not(inSegment("{buyers.id}"))', merge_policy_id=policy.id)
    world.add(world.people, person("a@x.com", "male"), person("b@x.com", "male"), person("c@x.com", "female"))
    world.add(world.events, world.event("e1", "checkout", 5, "a@x.com"), world.event("e2", "checkout", 5, "c@x.com"))
    job = world.job()
    assert job.status == SUCCEEDED
    assert [world.members(item) for item in (men, buyers, rest)] == [{"a@x.com", "b@x.com"}, {"a@x.com"}, {"b@x.com"}]
    assert set(job.body.figures.by_policy) == {policy.id, buyers.merge_policy_id}


def test_the_daily_job_agrees_with_the_stream(world: HomeWorld) -> None:
    streamed = world.audience("Streamed", IN_A_DAY)
    twin = world.audience("Twin", IN_A_DAY, requested="batch")
    world.add(
        world.events,
        world.event("e1", "checkout", 5, "a@x.com"),
        world.event("e2", "checkout", 60 * 30, "b@x.com"),
        world.event("e3", "checkout", 60 * 23, "c@x.com"),
    )
    world.run()
    assert world.members(streamed) == {"a@x.com", "c@x.com"}
    world.run()
    world.move(2 * 3_600_000)
    world.run()
    assert world.members(streamed) == {"a@x.com"}
    due = world.roles["scheduler"].next_due_ms()
    assert due is not None
    world.move(due - world.now_ms)
    world.run()
    (job,) = world.home.segment_jobs.all(world.sandbox)
    assert (job.status, job.body.source) == (SUCCEEDED, "scheduler")
    assert world.members(twin) == world.members(streamed)
    counts = job.body.figures.audiences[streamed.id]
    assert (counts.entered, counts.left) == (0, 0)


def test_values_of_every_type_come_through_the_lake(world: HomeWorld) -> None:
    tests = {
        "nested": "xEvent.commerce.order.priceTotal > 10",
        "items": "xEvent.commerce.order.payments.paymentAmount > 1",
        "time": "xEvent.timestamp occurs <= 10 minutes before now",
        "map": "xEvent.identityMap.isNotNull()",
        "sum": "xEvent.sum(commerce.order.priceTotal) = 30",
        "list": "xEvent.groupBy(eventType).keys().count() = 2",
    }
    made = {name: world.audience(name, text, requested="batch") for name, text in tests.items()}
    order = {"order": {"priceTotal": 15, "payments": [{"paymentAmount": 2.5}, {"paymentAmount": 0.5}]}}
    world.add(
        world.events,
        world.event("e1", "checkout", 5, "a@x.com", commerce=order),
        world.event("e2", "view", 500, "a@x.com", commerce=order),
        world.event("e3", "view", 500, "b@x.com"),
    )
    world.job()
    assert {name: world.members(item) for name, item in made.items()} == {
        **{name: {"a@x.com"} for name in tests},
        "map": {"a@x.com", "b@x.com"},
    }


def test_a_job_waits_for_the_lake(world: HomeWorld) -> None:
    buyers = world.audience("Buyers", EVER)
    world.run()
    world.add(world.events, world.event("e1", "checkout", 5, "a@x.com"))
    world.run("pipeline")
    made = world.home.segment_jobs.create(world.sandbox, [buyers.id])
    world.run("pipeline", "scheduler")
    assert world.home.segment_jobs.get(world.sandbox, made.id).status == PROCESSING
    assert world.members(buyers) == set()
    world.run()
    assert world.home.segment_jobs.get(world.sandbox, made.id).status == SUCCEEDED
    assert world.members(buyers) == {"a@x.com"}


def test_one_job_of_a_sandbox_runs_at_a_time_and_a_cancelled_one_changes_nothing(world: HomeWorld) -> None:
    buyers = world.audience("Buyers", EVER)
    world.add(world.events, world.event("e1", "checkout", 5, "a@x.com"))
    jobs = world.home.segment_jobs
    first, second = (jobs.create(world.sandbox, [buyers.id]) for _ in range(2))
    world.run("scheduler", until_idle=1)
    assert [jobs.get(world.sandbox, item.id).status for item in (first, second)][1] == "QUEUED"
    jobs.cancel(world.sandbox, second.id)
    world.run()
    assert jobs.get(world.sandbox, second.id).status == CANCELLED
    assert jobs.get(world.sandbox, first.id).status == SUCCEEDED


def test_a_job_that_a_crash_interrupted_begins_anew(world: HomeWorld) -> None:
    buyers = world.audience("Buyers", EVER)
    world.add(world.events, world.event("e1", "checkout", 5, "a@x.com"))
    made = world.home.segment_jobs.create(world.sandbox, [buyers.id])
    world.run("scheduler", until_idle=1)
    world.close()
    world.start()
    world.run()
    assert world.home.segment_jobs.get(world.sandbox, made.id).status == SUCCEEDED
    assert world.members(buyers) == {"a@x.com"}


def test_a_job_that_finds_no_room_begins_anew(world: HomeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    buyers = world.audience("Buyers", EVER)
    world.add(world.events, world.event("e1", "checkout", 5, "a@x.com"))
    run, faults = Evaluation.run, [OSError(28, "No space left on device"), OSError(28, "No space left on device")]

    def act(*args: Any) -> Outcome | None:
        if faults:
            raise faults.pop()
        return run(*args)

    monkeypatch.setattr(Evaluation, "run", act)
    made = world.home.segment_jobs.create(world.sandbox, [buyers.id])
    for _ in range(3):
        world.run()
    assert not faults
    assert world.home.segment_jobs.get(world.sandbox, made.id).status == SUCCEEDED
    assert world.members(buyers) == {"a@x.com"}


def test_a_sandbox_without_audiences_or_persons_has_an_empty_job(world: HomeWorld) -> None:
    assert world.job().status == SUCCEEDED
    world.audience("Buyers", EVER)
    job = world.job()
    assert (job.status, job.body.figures.profiles) == (SUCCEEDED, 0)


def test_deleted_and_inactive_audiences_are_not_evaluated(world: HomeWorld) -> None:
    buyers = world.audience("Buyers", EVER)
    world.add(world.events, world.event("e1", "checkout", 5, "a@x.com"))
    made = world.home.segment_jobs.create(world.sandbox, [buyers.id])
    inactive = lambda base: msgspec.structs.replace(base, lifecycle_state="inactive")  # noqa: E731
    world.home.audiences.update(world.sandbox, buyers.id, inactive)
    world.run()
    assert world.home.segment_jobs.get(world.sandbox, made.id).status == SUCCEEDED
    assert world.members(buyers) == set()
