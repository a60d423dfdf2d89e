"""The disk of a running server becomes full at different moments; nothing that was acknowledged is lost, and no hand is needed.

Each test leaves the server as it found it: the disk has room, everything has gone all the way.
"""

import json
import random
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from headrace.client import ApiError
from headrace.testing.receiver import Receiver
from headrace.testing.server import Server
from tests.crash.stage import SWISS, send_messages
from tests.faults.disk import MountRefused, SmallDisk
from tests.faults.world import ROLES, InBackground, Refusal, Sent, World, messages_by_person

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
DISK_MEGA_BYTES = 64
UPLOAD_BYTES = 6_000_000
REMEDY = "Free space on the disk of the home folder"
_WRITES_ALL_THE_TIME = {"HEADRACE_LAKE_FLUSH_SECONDS": "1"}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    small = SmallDisk(tmp_path_factory.mktemp("faults") / "disk", mega_bytes=DISK_MEGA_BYTES)
    try:
        small.__enter__()
    except MountRefused as refusal:
        pytest.skip(str(refusal))
    try:
        yield small
    finally:
        small.__exit__(None, None, None)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def world(disk: SmallDisk, receiver: Receiver) -> Iterator[World]:
    with Server(disk.path, environment=_WRITES_ALL_THE_TIME) as server:  # its log lies beside the disk
        world = World(server)
        send_messages(world.client, world.stage, "Messages", f"{receiver.url}/messages", [SWISS])
        world.wait_until_settled()
        yield world
        world.close()


@pytest.fixture(autouse=True)
def no_role_has_died_or_met_a_defect(world: World) -> Iterator[set[str]]:
    """The roles that the test ends itself are noted in the set that the fixture gives."""
    written = len(world.server.last_words(1 << 30))
    ended: set[str] = set()
    yield ended
    said = world.server.last_words(1 << 30)[written:]
    assert "defect" not in said, said
    assert "Traceback" not in said, said
    assert said.count("A role has ended") == len(ended), said


def check_everything_arrived(world: World, receiver: Receiver, sent: Sent) -> None:
    """What was acknowledged is in the profile, in the lake once and delivered; of what was refused there is nothing."""
    world.stream(world.names(1))
    world.wait_until_settled()
    world.wait_for(lambda: world.client.health()["status"] == "ready", "health tells no fault any more")
    records, events = world.lake_rows()
    assert {name: count for name, count in records.items() if count != 1} == {}
    assert {name: count for name, count in events.items() if count != 1} == {}
    sample = sent.records[:: max(1, len(sent.records) // 100)]  # who has had a message has a profile; look at some all the same
    assert [name for name in sample if world.client.profile("CRMID", name) is None] == []
    messages = messages_by_person(receiver.requests)
    assert {name for name in sent.records if len({message_id for message_id, _ in messages[name]}) != 1} == set()
    assert records.keys() == world.acknowledged_records
    assert events.keys() == world.acknowledged_events


def check_refusal(refusal: Refusal) -> None:
    assert refusal.status == 503
    assert int(refusal.headers["retry-after"]) >= 1
    assert refusal.body["type"] == "http://ns.adobe.com/adobecloud/problem/data-collection-service/inlet"
    assert refusal.body["status"] == 503
    assert refusal.body["title"] == "Service Unavailable"
    assert "The disk is full" in refusal.body["report"]["message"]
    assert REMEDY in refusal.body["headrace"]["hint"]


def test_inlet_refuses_and_everything_else_still_answers(world: World, disk: SmallDisk, receiver: Receiver) -> None:
    known = world.names(1)[0]
    world.stream([known])
    world.wait_until_settled()
    with disk.full():
        sent = world.stream_while(lambda sent: len(sent.refusals) < 3, people=5)
        for refusal in sent.refusals:
            check_refusal(refusal)
        refused = world.call("POST", "/data/core/ups/segment/definitions", _audience("Never made"))
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert "The disk is full" in refused.json()["title"]
        assert REMEDY in refused.json()["headrace"]["hint"]
        assert world.client.profile("CRMID", known) is not None
        assert world.client.progress()["settled"] in (True, False)
        with world.server.client() as newcomer:
            assert newcomer.audience(world.stage.audiences[SWISS])["name"] == SWISS
        world.wait_for(lambda: "gateway" in _faults(world), "health tells of the fault")
        assert all(REMEDY in fault for fault in _faults(world).values())
    check_everything_arrived(world, receiver, sent)


def test_upload_that_finds_no_room_can_be_sent_again(world: World, disk: SmallDisk, receiver: Receiver) -> None:
    names = world.names(200)
    noise = random.Random(1)  # which no compression makes small
    events = [{**world.event_entity(name), "producedBy": noise.randbytes(UPLOAD_BYTES // 400).hex()} for name in names]
    content = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    dataset = world.stage.datasets[1]
    batch_id = world.client.call(
        "POST", "/data/foundation/import/batches", {"datasetId": dataset, "inputFormat": {"format": "json"}}
    )["id"]
    path = f"/data/foundation/import/batches/{batch_id}"

    def upload() -> None:
        octets = {"Content-Type": "application/octet-stream"}
        world.client.call("PUT", f"{path}/datasets/{dataset}/files/events.json", content=content, headers=octets)

    with disk.full(but_for_bytes=UPLOAD_BYTES // 2):
        with pytest.raises(ApiError, match="The disk is full") as refused:
            upload()
        assert refused.value.status == 503
        assert world.client.batch(batch_id)["status"] == "loading"
    upload()
    with disk.full(but_for_bytes=100_000):  # enough to take the order, not enough to carry it out
        world.client.call("POST", path, query={"action": "COMPLETE"})
        world.wait_for(lambda: "scheduler" in _faults(world), "health tells of the fault")
        assert world.client.batch(batch_id)["status"] in ("loaded", "staging")
    world.wait_for(lambda: world.client.batch(batch_id)["status"] == "success", "the batch is loaded")
    world.acknowledged_events |= {f"e-{name}" for name in names}
    check_everything_arrived(world, receiver, Sent())


def test_roles_that_run_out_of_room_at_work_go_on_where_they_were(world: World, disk: SmallDisk, receiver: Receiver) -> None:
    def stream(is_over: threading.Event) -> Sent:
        return world.stream_while(lambda sent: not is_over.is_set(), people=10, pause_seconds=0.03)

    with InBackground(stream) as streaming:
        for but_for_bytes, seconds in ((300_000, 1.0), (40_000, 1.0), (0, 6.0)):  # the last is longer than the roles' pauses
            time.sleep(0.5)
            with disk.full(but_for_bytes=but_for_bytes):
                time.sleep(seconds)
    sent = streaming.result
    assert sent.refusals
    assert len(sent.records) > 100
    for refusal in sent.refusals:
        check_refusal(refusal)
    check_everything_arrived(world, receiver, sent)


def test_roles_and_server_that_end_while_the_disk_is_full_come_back(
    world: World, disk: SmallDisk, receiver: Receiver, no_role_has_died_or_met_a_defect: set[str]
) -> None:
    known = world.names(1)[0]
    world.stream([known])
    world.wait_until_settled()
    with disk.full():
        sent = world.stream_while(lambda sent: not sent.refusals, people=5)
        before = world.pids()
        for role in ROLES:
            assert world.server.kill(role)
        no_role_has_died_or_met_a_defect.update(ROLES)
        world.wait_for(lambda: world.server.pid_of("gateway") not in (None, before["gateway"]), "the gateway is back")
        assert world.client.profile("CRMID", known) is not None
        check_refusal(world.stream_while(lambda sent: not sent.refusals).refusals[0])
        world.server.stop()
        world.server.start()
        world.wait_for(lambda: world.server.pid_of("gateway") is not None, "the gateway is up")
        assert world.client.profile("CRMID", known) is not None
    world.server.wait_until_ready()
    check_everything_arrived(world, receiver, sent)


def _audience(name: str) -> dict[str, object]:
    expression = {"type": "PQL", "format": "pql/text", "value": 'homeAddress.countryCode = "DE"'}
    return {"name": name, "expression": expression, "schema": {"name": "_xdm.context.profile"}}


def _faults(world: World) -> dict[str, str]:
    reply = httpx.get(f"{world.server.url}/headrace/health")
    assert reply.status_code == 200
    return {role: status["fault"] for role, status in reply.json()["roles"].items() if "fault" in status}
