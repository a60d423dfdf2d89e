"""However a log is cut into micro-batches and wherever the pipeline dies, persons and changes come out the same."""

from contextlib import suppress
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.profile.person import Person
from headrace.profile.reader import ProfileReader
from tests.unit.roles.pipeline_world import ABANDONED, PROFILES, World, event, profile

QUERIES = {
    1: 'homeAddress.country = "DE"',
    2: 'chain(xEvent, timestamp, [A: WHAT(eventType = "view") WHEN(<= 60 minutes before now) COUNT(2)])',
    3: ABANDONED,
    4: 'inSegment("a1") and not(inSegment("a2"))',
}
people = st.sampled_from(("ada", "bob", "cyd"))
mails = st.sampled_from(("a@x", "b@x"))
steps = st.one_of(
    st.tuples(st.just("profile"), people, st.sampled_from(("DE", "CH"))),
    st.tuples(st.just("view"), people, st.none()),
    st.tuples(st.just("begin"), people, st.none()),
    st.tuples(st.just("submit"), people, st.none()),
    st.tuples(st.just("login"), people, mails),
    st.tuples(st.just("view"), st.none(), mails),
    st.tuples(st.just("wait"), st.integers(1, 100), st.none()),
)


def record_of(step: tuple[str, Any, Any], name: str, minute: int) -> Any:
    kind, person, other = step
    if kind == "profile":
        return PROFILES, {**profile(CRMID=person), "homeAddress": {"country": other, "city": name}}
    identities = {code: value for code, value in (("CRMID", person), ("Email", other)) if value}
    return event(name, kind, minute, **identities)


class Crash(BaseException):
    """The process dies."""


def outcome(world: World) -> tuple[list[Person], list[Any]]:
    return list(ProfileReader(world.state).persons(1)), world.changes()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    script=st.lists(st.tuples(steps, st.sampled_from(("go on", "run", "crash", "lose tail"))), max_size=14),
    size=st.integers(1, 4),
)
def test_the_outcome_does_not_depend_on_cuts_and_crashes(script: list[tuple[Any, str]], size: int) -> None:
    def new(max_records: int) -> World:
        return World(QUERIES, mapped=frozenset({1, 2, 3, 4}), attributes=("homeAddress.city",), max_records=max_records)

    calm, rough = new(2000), new(size)
    minute = 0
    for index, (step, mood) in enumerate(script):
        if step[0] == "wait":
            minute += step[1]
            calm.at(minute)
            rough.at(minute)
        else:
            entry = record_of(step, f"r{index}", minute)
            calm.add(entry)
            rough.add(entry)
        if mood == "run":
            rough.pipeline.step()
        elif mood == "crash":
            rough.pipeline.step()
            rough.pipeline = rough.opened()
        elif mood == "lose tail":  # a crash between the commit and the append of the changes
            topic = rough.log.topic("changes")
            with patch.object(topic, "append_at", side_effect=Crash), suppress(Crash):
                rough.pipeline.step()
            rough.pipeline = rough.opened()
    calm.at(minute + 2000)
    rough.at(minute + 2000)
    assert outcome(rough) == outcome(calm)
