"""HTTP endpoints that fail in every way, beside one that is well; on a manual clock, so that retries wait for the test."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from headrace.clock import iso_millis, parse_iso
from headrace.testing.receiver import OK, Answer, Received, Receiver
from headrace.testing.server import Server
from tests.crash.stage import SWISS, send_messages
from tests.faults.world import World, messages_by_person

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
START = "2027-03-01T10:00:00Z"
FIRST_WAIT_SECONDS, SECOND_WAIT_SECONDS = 15, 30
ASKED_WAIT_SECONDS = 60
PEOPLE = 12
_USUAL_SECONDS = 1.5  # an endpoint that is well gets a message within milliseconds; behind a sick one it would take two seconds

FAILS = Answer(500)
HANGS = Answer(hangs=True)
CLOSES = Answer(closes_before=True)
RESETS = Answer(resets=True)
DRIPS = Answer(drip_seconds=0.2)
THROTTLES = Answer(429, fields=(("Retry-After", str(ASKED_WAIT_SECONDS)),))
BREAKS_OFF = Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", closes=True)


@dataclass
class Endpoint:
    """An endpoint that can be ill, and the dataflow that sends to it."""

    receiver: Receiver
    illness: Answer
    flow_id: str = ""
    received_at: dict[str, float] = field(default_factory=dict)

    def fall_ill(self) -> None:
        self.receiver.answer = lambda request: self.illness

    def recover(self) -> None:
        self.receiver.answer = lambda request: OK

    def messages(self, names: list[str]) -> dict[str, list[tuple[str, str]]]:
        """Return by person what was received in order: (message id, what it says of the audience)."""
        found = messages_by_person(list(self.receiver.requests))
        return {name: [(message_id, status_of(body)) for message_id, body in found[name]] for name in names}


def status_of(body: Any) -> str:
    (segments,) = body["segmentMembership"].values()
    (segment,) = segments.values()
    return str(segment["status"])


class Ward:
    """The endpoints of a test."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.endpoints: list[Endpoint] = []
        self.now_ms = parse_iso(world.client.progress()["now"])

    def admit(self, name: str, illness: Answer = OK) -> Endpoint:
        """Open an endpoint and make a dataflow that sends to it."""
        receiver = Receiver()
        receiver.__enter__()
        endpoint = Endpoint(receiver, illness)
        self.endpoints.append(endpoint)
        send_messages(self.world.client, self.world.stage, name, f"{receiver.url}/{len(self.endpoints)}", [SWISS])
        endpoint.flow_id = self.world.stage.flows[name]
        endpoint.fall_ill()
        return endpoint

    def close(self) -> None:
        for endpoint in self.endpoints:
            self.world.client.call("DELETE", f"/data/foundation/flowservice/flows/{endpoint.flow_id}")
            endpoint.receiver.__exit__(None, None, None)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and what falls due in it be done."""
        self.now_ms += round(seconds * 1000)
        self.world.client.call("POST", "/headrace/clock", {"now": iso_millis(self.now_ms)})

    def counts(self, endpoint: Endpoint) -> dict[str, int]:
        """Return the counters of an endpoint's dataflow."""
        flows: dict[str, dict[str, int]] = self.world.server.status_of("activation")["flows"]
        return flows.get(endpoint.flow_id, {})

    def wait_for_count(self, endpoint: Endpoint, counter: str, count: int) -> None:
        """Wait until a counter of an endpoint's dataflow has a value."""
        self.world.wait_for(lambda: self.counts(endpoint).get(counter) == count, f"{counter} of {endpoint.illness} is {count}")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Server(tmp_path_factory.mktemp("faults") / "home", clock=f"manual:{START}") as server:
        world = World(server)
        yield world
        world.close()


@pytest.fixture
def ward(world: World) -> Iterator[Ward]:
    ward = Ward(world)
    yield ward
    ward.close()


def slowest(world: World, endpoint: Endpoint, send: Callable[[], None], count: int) -> float:
    """Return the longest time between the last answer to ``send`` and a message that it causes at an endpoint."""
    last = [0.0]

    def answer(request: Received) -> Answer:
        last[0] = time.monotonic()
        return OK

    endpoint.receiver.answer = answer
    wanted = endpoint.receiver.count + count
    send()
    sent_at = time.monotonic()
    assert endpoint.receiver.wait_for(wanted, seconds=20), world.server.last_words()
    return last[0] - sent_at


def test_sick_endpoints_delay_no_other_and_get_everything_in_order_when_they_are_well(world: World, ward: Ward) -> None:
    well = ward.admit("Well")
    sick = [
        ward.admit(name, illness)
        for name, illness in (
            ("Fails", FAILS),
            ("Hangs", HANGS),
            ("Closes", CLOSES),
            ("Resets", RESETS),
            ("Drips", DRIPS),
            ("Breaks off", BREAKS_OFF),
        )
    ]
    throttled = ward.admit("Throttles", THROTTLES)
    names = world.names(PEOPLE)
    assert slowest(world, well, lambda: world.stream(names), PEOPLE) < _USUAL_SECONDS
    for endpoint in (*sick, throttled):
        ward.wait_for_count(endpoint, "waiting", PEOPLE)
    assert slowest(world, well, lambda: world.stream(names, country="DE"), PEOPLE) < _USUAL_SECONDS
    for endpoint in (*sick, throttled):
        ward.wait_for_count(endpoint, "waiting", 2 * PEOPLE)
        assert endpoint.receiver.message_ids().keys() == {ids[0][0] for ids in endpoint.messages(names).values()}
        assert set(endpoint.receiver.message_ids().values()) == {1}
        endpoint.recover()
    assert world.client.progress()["waiting"] == 2 * PEOPLE * (len(sick) + 1)

    ward.pass_time(FIRST_WAIT_SECONDS)
    for endpoint in (well, *sick):
        check_delivered(ward, endpoint, names)
    assert ward.counts(throttled)["waiting"] == 2 * PEOPLE
    assert throttled.receiver.count == PEOPLE
    ward.pass_time(ASKED_WAIT_SECONDS - FIRST_WAIT_SECONDS)
    check_delivered(ward, throttled, names)
    assert world.client.wait_until_settled()["dead"] == 0


def check_delivered(ward: Ward, endpoint: Endpoint, names: list[str]) -> None:
    """Each person's entry came, and then the exit, each with an id of its own that stayed the same."""
    ward.wait_for_count(endpoint, "delivered", 2 * len(names))
    assert ward.counts(endpoint)["waiting"] == 0
    for name, messages in endpoint.messages(names).items():
        told = list(dict(messages).values())
        assert told == ["realized", "exited"], (name, messages)
        assert [status for _, status in messages] == sorted((status for _, status in messages), reverse=True)
    if endpoint.illness is not OK:
        assert sorted(endpoint.receiver.message_ids().values()) == [1] * len(names) + [2] * len(names)


def test_message_that_is_given_up_is_kept_with_its_reason_and_can_be_sent_again(world: World, ward: Ward) -> None:
    well = ward.admit("Well")
    fails, hangs, refuses = ward.admit("Fails", FAILS), ward.admit("Hangs", HANGS), ward.admit("Refuses", Answer(400))
    names = world.names(PEOPLE)
    world.stream(names)
    ward.wait_for_count(well, "delivered", PEOPLE)
    ward.wait_for_count(refuses, "dead", PEOPLE)  # there is no use in trying again
    for seconds in (FIRST_WAIT_SECONDS, SECOND_WAIT_SECONDS):
        for endpoint in (fails, hangs):
            ward.wait_for_count(endpoint, "waiting", PEOPLE)
        ward.pass_time(seconds)
    for endpoint in (fails, hangs):
        ward.wait_for_count(endpoint, "dead", PEOPLE)
        assert set(endpoint.receiver.message_ids().values()) == {3}
    assert world.client.wait_until_settled()["dead"] == 3 * PEOPLE

    expected = ((fails, 3, 500, "0002-HTTP"), (hangs, 3, None, "0003-TIMEOUT"), (refuses, 1, 400, "0002-HTTP"))
    for endpoint, attempts, status, code in expected:
        letters = list(world.client.dead_letters(endpoint.flow_id))
        assert {letter["messageId"] for letter in letters} == endpoint.receiver.message_ids().keys()
        assert {(letter["attempts"], letter["status"]) for letter in letters} == {(attempts, status)}
        assert {letter["code"] for letter in letters} == {f"ACTIVATION_STREAM-{code}"}
        assert all(letter["reason"] for letter in letters)
        metrics = next(iter(world.client.runs(endpoint.flow_id)))["metrics"]
        assert metrics["recordSummary"]["failedRecordCount"] == PEOPLE

    for endpoint, *_ in expected:
        endpoint.recover()
    world.stream(names, country="DE")
    for endpoint, *_ in expected:
        ward.wait_for_count(endpoint, "delivered", PEOPLE)
        given_up = {name: messages[0] for name, messages in endpoint.messages(names).items()}
        assert world.client.replay_dead_letters(endpoint.flow_id) == PEOPLE
        ward.wait_for_count(endpoint, "delivered", 2 * PEOPLE)
        assert {name: messages[-1] for name, messages in endpoint.messages(names).items()} == given_up
        assert list(world.client.dead_letters(endpoint.flow_id)) == []
    assert world.client.wait_until_settled()["dead"] == 0
