"""The delivery loop: isolation, order, retries, dead letters, and what a crash leaves behind."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headrace.activation import delivery
from headrace.activation.dead_letters import KEPT_MS, DeadLetters
from headrace.activation.delivery_store import Commit, DeliveryStore
from headrace.activation.messages import NO_CONSENT, MessageBuilder
from headrace.activation.retry import RetryPolicy
from headrace.activation.runs import Runs
from headrace.activation.streaming_runs import StreamingRuns
from headrace.activation.triggers import AudienceFacts, MappedAudience
from headrace.clock import ManualClock
from headrace.destinations.base import Context, Message
from headrace.destinations.settings import settings_from
from headrace.model import Change, Identity, MembershipChange, Sandbox, encode_change
from headrace.roles import activation
from headrace.roles.activation import Activation, FlowPlan
from headrace.storage.control import ControlStore
from headrace.storage.control.base import RevisionPage
from headrace.storage.errors import StorageFull
from headrace.storage.log.memory import MemoryLog
from headrace.testing.destination import UnreliableDestination, UnreliableTarget

AUDIENCE = 1
FACTS = {AUDIENCE: AudienceFacts(AUDIENCE, "aud-1", "ups", "mp-1")}
START_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
PROD = Sandbox(1, "sb-1", "prod", "production", True, "org@AdobeOrg")
A, B = "5e0fb6e1-1f0c-4c0e-9a7f-00000000000a", "5e0fb6e1-1f0c-4c0e-9a7f-00000000000b"


@pytest.fixture(autouse=True)
def _empty_mailboxes() -> Iterator[None]:
    UnreliableDestination.forget_all()
    yield
    UnreliableDestination.forget_all()


def change_of(person: int, **values: Any) -> Change:
    membership = MembershipChange(AUDIENCE, True, START_MS)
    given: dict[str, Any] = {
        "sandbox": 1,
        "person_id": person.to_bytes(16, "big"),
        "at_ms": START_MS,
        "memberships_changed": (membership,),
        "attributes_written": (),
        "attributes_changed": (),
        "are_identities_changed": False,
        "attributes": {},
        "identities": (Identity(6, f"p{person}@example.com"),),
        "member_since": {AUDIENCE: START_MS},
        "exited_at": {},
    }
    return Change(**{**given, **values})


@dataclass
class Subject:
    """A dataflow as its runs see it."""

    id: str
    sandbox: Sandbox = PROD
    flow_spec_id: str = "71471eba-b620-49e4-90fd-23f1fa0174d8"
    source_connection_id: str = "source"
    target_connection_id: str = "target"


class World:
    """A home folder's activation, with a clock that tests move."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(START_MS)
        self.log = MemoryLog()
        self.revision = 1
        self.flows: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, RetryPolicy] = {}
        self.excluded: Callable[[Change], str] = lambda change: ""
        self.control = ControlStore(f"sqlite:///{folder}/control.sqlite", RevisionPage(folder / "revision"))
        self.control.create_tables()
        self.runs = Runs(self.control, self.clock)
        self.store = DeliveryStore(folder)
        self.role = self.started()

    def started(self) -> Activation:
        return Activation(
            topics=self.log,
            store=self.store,
            clock=self.clock,
            plans=lambda: [self.plan(flow_id) for flow_id in self.flows],
            revision=lambda: self.revision,
            runs=StreamingRuns(self.runs, self.clock),
        )

    def plan(self, flow_id: str) -> FlowPlan:
        params = {"mailbox": flow_id, **self.flows[flow_id]}

        def opened() -> UnreliableDestination:
            target = settings_from(UnreliableTarget, params)
            context = Context(clock=self.clock, sandbox_name="prod", landing_zone=Path("unused"))
            return UnreliableDestination(auth=None, target=target, context=context)

        builder = MessageBuilder(
            flow_id, sandbox=1, mapped=[MappedAudience(AUDIENCE)], attributes=[], audiences=FACTS, namespaces={6: "Email"}
        )
        policy = self.policies.get(flow_id, RetryPolicy())
        return FlowPlan(builder, str(params), opened, policy, self.excluded, Subject(flow_id))

    def configure(self, flow_id: str, **params: Any) -> None:
        self.flows[flow_id] = params
        self.revision += 1

    def append(self, *persons: int, **values: Any) -> int:
        return self.log.topic("changes").append([encode_change(change_of(person, **values)) for person in persons])

    def settle(self) -> None:
        for _ in range(10_000):
            if not self.role.step():
                return
        raise AssertionError("the role never comes to rest")

    def wait(self, seconds: float) -> None:
        self.clock.move_to(self.clock.now_ms() + round(seconds * 1000))
        self.settle()

    def crash(self) -> None:
        """Go on with nothing but what is on disk, as after kill -9."""
        self.role._committer.shutdown()
        for lane in self.role._lanes.values():
            for worker in lane._workers:
                worker.cancel()
        self.role._loop.run_until_complete(_nothing())
        self.role._loop.close()
        self.store.close()
        self.store = DeliveryStore(self.folder)
        self.role = self.started()

    def persons(self, flow_id: str) -> list[int]:
        return [int.from_bytes(message.person_id, "big") for message in UnreliableDestination.delivered[flow_id]]

    def status(self, flow_id: str) -> dict[str, int]:
        flows: dict[str, dict[str, int]] = self.role.status()["flows"]
        return flows[flow_id]

    def dead(self) -> DeadLetters:
        return DeadLetters(lambda: self.store)


async def _nothing() -> None:
    return None


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(activation, "_CLOSING_SECONDS", 0.05)
    made = World(tmp_path)
    yield made
    made.role.close()
    made.store.close()
    made.control.close()


def test_every_change_reaches_every_dataflow_once(world: World) -> None:
    world.configure(A)
    world.configure(B)
    world.settle()
    world.append(*range(1_500))
    world.settle()
    assert sorted(world.persons(A)) == sorted(world.persons(B)) == list(range(1_500))
    status = world.status(A)
    assert (status["delivered"], status["open"], status["waiting"], status["dead"], status["offset"]) == (1_500, 0, 0, 0, 1_500)


def test_messages_of_one_person_keep_their_order_in_any_confusion(world: World) -> None:
    world.configure(A, retryShare=0.4, usersPerBatch=7)
    world.settle()
    offsets = {person: [] for person in range(5)}  # type: dict[int, list[int]]
    for round_ in range(40):
        offsets[round_ % 5].append(world.append(round_ % 5))
    for _ in range(60):
        world.wait(15)
    ids = {person: [world.role._lanes[A]._builder.message_id(offset) for offset in found] for person, found in offsets.items()}
    for person, wanted in ids.items():
        got = [m.id for m in UnreliableDestination.delivered[A] if int.from_bytes(m.person_id, "big") == person]
        assert got == wanted
    assert world.status(A)["retried"] > 5


def test_a_dead_destination_delays_no_other(world: World) -> None:
    world.configure(A, isDown=True)
    world.configure(B)
    world.settle()
    world.append(*range(300))
    world.settle()
    assert sorted(world.persons(B)) == list(range(300))
    assert world.status(A)["waiting"] == 300


def test_a_destination_that_never_answers_delays_no_other(world: World) -> None:
    world.configure(A, hangs=True)
    world.configure(B)
    world.append(*range(300))
    for _ in range(50):
        world.role.step()
    assert sorted(world.persons(B)) == list(range(300))


def test_a_message_is_tried_after_15_and_30_seconds_and_then_given_up(world: World) -> None:
    world.configure(A, isDown=True)
    world.settle()
    world.append(1)
    world.settle()
    seen = [len(UnreliableDestination.attempts[A])]
    for seconds in (14.999, 0.001, 29.999, 0.001, 600):
        world.wait(seconds)
        seen.append(len(UnreliableDestination.attempts[A]))
    assert seen == [1, 1, 2, 2, 3, 3]
    (letter,) = world.dead().list(A)
    assert (letter.attempts, letter.status, letter.reason) == (3, 503, "The destination is down.")
    assert (letter.first_failed_at_ms, letter.dead_at_ms) == (START_MS, START_MS + 45_000)
    assert {message.id for message in UnreliableDestination.attempts[A]} == {letter.message_id}
    status = world.status(A)
    assert (status["failed"], status["dead"], status["waiting"]) == (1, 1, 0)


def test_the_role_says_when_it_is_next_due(world: World) -> None:
    world.configure(A, isDown=True)
    world.settle()
    world.append(1)
    world.settle()
    assert world.role.next_due_ms() == START_MS + 15_000


def test_retry_after_is_honoured(world: World) -> None:
    UnreliableDestination.retry_after_seconds = 120
    world.configure(A, retryShare=1.0)
    world.settle()
    world.append(1)
    world.settle()
    world.wait(119)
    assert world.persons(A) == []
    world.wait(1)
    assert world.persons(A) == [1]


def test_a_persistent_dataflow_never_gives_up(world: World) -> None:
    world.policies[A] = RetryPolicy(is_persistent=True)
    UnreliableDestination.down.add(A)
    world.configure(A)
    world.settle()
    world.append(1)
    for _ in range(30):
        world.wait(300)
    assert (world.persons(A), world.status(A)["dead"]) == ([], 0)
    UnreliableDestination.down.clear()
    world.wait(300)
    assert world.persons(A) == [1]


def test_a_refused_message_is_dead_at_once(world: World) -> None:
    world.configure(A, rejectShare=1.0)
    world.settle()
    world.append(1)
    world.settle()
    (letter,) = world.dead().list(A)
    assert (letter.code, letter.reason, letter.attempts) == (
        "ACTIVATION_STREAM-0002-HTTP",
        "The destination does not like it.",
        1,
    )


def test_a_retry_blocks_later_messages_of_that_person_only(world: World) -> None:
    UnreliableDestination.locked_persons.add((1).to_bytes(16, "big"))
    world.configure(A)
    world.settle()
    world.append(1, 2, 1, 3, 1)
    world.settle()
    assert sorted(world.persons(A)) == [2, 3]
    assert len(UnreliableDestination.attempts[A]) == 3
    assert world.role.status()["low_offset"] == 5
    UnreliableDestination.locked_persons.clear()
    world.wait(15)
    assert world.persons(A)[2:] == [1, 1, 1]


def test_after_a_dead_letter_the_persons_next_message_goes_out(world: World) -> None:
    world.configure(A, isDown=True)
    world.settle()
    world.append(1, 1)
    world.settle()
    world.wait(15)
    world.wait(30)
    assert len(UnreliableDestination.attempts[A]) == 4
    assert (world.status(A)["dead"], world.status(A)["waiting"]) == (1, 1)


def test_a_dead_letter_is_replayed_with_its_own_id(world: World) -> None:
    UnreliableDestination.down.add(A)
    world.configure(A)
    world.settle()
    world.append(1, 2)
    for seconds in (0, 15, 30):
        world.wait(seconds)
    letters = world.dead().list(A)
    assert len(letters) == world.dead().count(A) == 2
    UnreliableDestination.down.clear()
    assert world.dead().replay(A, [letters[0].sequence]) == 1
    world.settle()
    assert [message.id for message in UnreliableDestination.delivered[A]] == [letters[0].message_id]
    assert [letter.sequence for letter in world.dead().list(A)] == [letters[1].sequence]
    assert world.status(A)["dead"] == 1
    assert world.dead().replay(A) == 1
    world.settle()
    assert world.dead().count(A) == 0


def test_a_replay_that_was_asked_for_survives_a_crash(world: World) -> None:
    UnreliableDestination.down.add(A)
    world.configure(A)
    world.settle()
    world.append(1)
    for seconds in (0, 15, 30):
        world.wait(seconds)
    world.dead().replay(A)
    UnreliableDestination.down.clear()
    world.crash()
    world.settle()
    assert world.persons(A) == [1]


def test_dead_letters_are_kept_for_seven_days(world: World) -> None:
    world.configure(A, rejectShare=1.0)
    world.settle()
    world.append(1)
    world.settle()
    world.wait(KEPT_MS / 1000)
    assert world.dead().count(A) == 1
    world.wait(6 * 3_600 + 1)
    assert world.dead().count(A) == world.status(A)["dead"] == 0


@pytest.mark.parametrize("fault", [{"raises": True}, {"forgetsOutcomes": True}])
def test_a_faulty_destination_loses_nothing(world: World, fault: dict[str, Any]) -> None:
    world.configure(A, **fault)
    world.settle()
    world.append(1, 2)
    for seconds in (0, 15, 30):
        world.wait(seconds)
    assert world.status(A)["dead"] == 2


def test_a_restart_repeats_nothing_that_was_recorded(world: World) -> None:
    world.configure(A)
    world.settle()
    world.append(*range(100))
    world.settle()
    world.crash()
    world.append(*range(100, 110))
    world.settle()
    assert sorted(world.persons(A)) == list(range(110))
    assert world.status(A)["delivered"] == 110


def test_a_restart_sends_again_what_was_not_recorded_with_the_same_ids(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.configure(A)
    world.settle()
    world.append(*range(50))
    world.settle()
    monkeypatch.setattr(world.store, "commit", lambda commit: None)
    world.append(*range(50, 80))
    world.settle()
    world.crash()
    world.settle()
    times = Counter(message.id for message in UnreliableDestination.delivered[A])
    assert sorted(set(world.persons(A))) == list(range(80))
    assert Counter(times.values()) == {1: 50, 2: 30}


def test_waiting_messages_keep_their_attempts_over_a_crash(world: World) -> None:
    world.configure(A, isDown=True)
    world.settle()
    world.append(1, 1, 2)
    world.settle()
    world.wait(15)
    world.crash()
    world.settle()
    assert world.status(A)["waiting"] == 3
    assert len(UnreliableDestination.attempts[A]) == 4
    world.wait(30)
    assert len(UnreliableDestination.attempts[A]) == 7  # the last of 1 and of 2, and the first of the one behind
    assert world.status(A)["dead"] == 2


def test_open_messages_below_the_position_are_read_again(world: World) -> None:
    world.configure(A, hangs=True)
    world.settle()
    world.append(*range(5))
    for _ in range(100):
        world.role.step()
    assert world.status(A)["open"] == 5
    world.role._saved_at = -1.0
    world.role.step()
    world.role._finish_saving()
    world.flows[A] = {}
    world.crash()
    position = world.store.position(A)
    assert position is not None
    assert (position.read, [tuple(part) for part in position.open]) == (5, [(0, 5)])
    world.append(5)
    world.settle()
    assert sorted(world.persons(A)) == [0, 1, 2, 3, 4, 5]


def test_a_dataflow_made_later_begins_with_the_changes_after_it(world: World) -> None:
    world.append(1, 2)
    world.settle()
    world.configure(A)
    world.append(3)
    world.settle()
    assert world.persons(A) == [3]


def test_a_paused_dataflow_goes_on_where_it_stopped(world: World) -> None:
    world.configure(A)
    world.settle()
    world.append(1)
    world.settle()
    params = world.flows.pop(A)
    world.revision += 1
    world.settle()
    world.append(2)
    world.settle()
    world.configure(A, **params)
    world.settle()
    assert world.persons(A) == [1, 2]


def test_another_endpoint_takes_over_what_waits(world: World) -> None:
    world.configure(A, isDown=True)
    world.settle()
    world.append(1, 2)
    world.settle()
    world.configure(A, isDown=False)
    world.settle()
    world.append(3)
    world.wait(15)
    assert sorted(world.persons(A)) == [1, 2, 3]
    assert world.status(A)["retried"] == 2


def test_a_destination_that_cannot_be_opened_is_told_and_keeps_its_place(world: World) -> None:
    world.configure(A)
    world.settle()
    world.append(1)
    world.settle()
    world.configure(A, failOpen=True)
    world.settle()
    world.append(2)
    world.settle()
    assert world.role.status()["broken"] == {A: "This destination was told to fail."}
    assert world.role.status()["low_offset"] == 1
    world.configure(A)
    world.settle()
    assert world.persons(A) == [1, 2]


def test_excluded_persons_are_counted_and_not_sent(world: World) -> None:
    world.excluded = lambda change: NO_CONSENT if change.person_id[-1] == 2 else ""
    world.configure(A)
    world.settle()
    world.append(1, 2, 3)
    world.settle()
    assert sorted(world.persons(A)) == [1, 3]
    status = world.status(A)
    assert (status["received"], status["delivered"], status["excluded"]) == (3, 2, 1)


def test_live_changes_go_before_a_backfill(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.configure(A)
    world.settle()
    world.append(*range(100, 150), backfill_flow=A, backfill_audiences=(AUDIENCE,), memberships_changed=())
    world.append(1)
    world.settle()
    assert world.persons(A)[0] == 1
    assert sorted(world.persons(A)[1:]) == list(range(100, 150))


def test_a_queue_that_is_full_stops_reading_and_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "MAX_WAITING", 10)
    UnreliableDestination.down.add(A)
    world.configure(A)
    world.settle()
    for person in range(1_200):
        world.append(person)
    world.settle()
    assert world.status(A)["offset"] < 1_200
    UnreliableDestination.down.clear()
    for _ in range(10):
        world.wait(15)
    assert sorted(world.persons(A)) == list(range(1_200))


def test_changes_that_were_trimmed_are_counted_as_lost_and_the_rest_goes_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.configure(A)
    world.settle()
    params = world.flows.pop(A)
    world.revision += 1
    world.settle()
    world.append(*range(10))
    world.log.topic("changes").trim(4)
    world.configure(A, **params)
    world.settle()
    assert sorted(world.persons(A)) == [4, 5, 6, 7, 8, 9]


def test_a_full_disk_stops_reading_until_there_is_room_and_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.configure(A)
    world.settle()

    def fail(commit: Commit) -> None:
        raise StorageFull("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(world.store, "commit", fail)
        world.append(1)
        for _ in range(5):
            world.role.step()
        world.append(2)
        for _ in range(5):
            world.role.step()
        assert world.persons(A) == [1]
    world.settle()
    world.role.step()
    world.settle()
    assert world.persons(A) == [1, 2]
    world.crash()
    world.settle()
    assert world.persons(A) == [1, 2]


def test_each_hour_of_a_dataflow_has_a_run(world: World) -> None:
    world.excluded = lambda change: NO_CONSENT if change.person_id[-1] == 3 else ""
    world.configure(A)
    world.settle()
    world.append(1, 2, 3)
    world.settle()
    UnreliableDestination.down.add(A)
    world.append(4)
    for seconds in (0, 15, 30):
        world.wait(seconds)
    UnreliableDestination.down.clear()
    world.wait(HOUR_MS / 1000)
    world.append(5)
    world.settle()
    first, second = sorted(world.runs.all(PROD), key=lambda run: run.state.started_at_ms)
    metrics = first.state.metrics
    assert (metrics.input_records, metrics.output_records, metrics.skipped_records, metrics.failed_records) == (4, 2, 1, 1)
    assert [(issue.code, issue.count) for issue in metrics.skipped] == [(NO_CONSENT, 1)]
    assert [(issue.code, issue.count) for issue in metrics.failed] == [("ACTIVATION_STREAM-0002-HTTP", 1)]
    assert metrics.output_bytes == sum(len(message.body) for message in UnreliableDestination.delivered[A][:2])
    assert second.state.metrics.output_records == 1


def test_a_restart_counts_nothing_twice(world: World) -> None:
    world.configure(A)
    world.settle()
    world.append(1, 2)
    world.settle()
    world.crash()
    world.append(3)
    world.settle()
    (run,) = world.runs.all(PROD)
    assert run.state.metrics.output_records == 3


def test_a_message_is_what_the_destination_gets(world: World) -> None:
    world.configure(A)
    world.settle()
    world.append(1)
    world.settle()
    (message,) = UnreliableDestination.delivered[A]
    assert isinstance(message, Message)
    assert (message.flow_id, message.person_id) == (A, (1).to_bytes(16, "big"))
