"""Dead letters over HTTP: seen with their reasons, sent again, and nobody else's."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.activation.dead_letters import DeadLetters
from headrace.activation.delivery_store import Commit, Dead, DeliveryStore, Waiting
from headrace.api.services import Services
from headrace.clock import ManualClock, parse_iso
from headrace.storage.control import ControlStore
from tests.unit.activation.flow_fakes import STREAM_FLOW, flow_service, http_bodies

from .test_flow_service import made_flow

DEAD_AT_MS = parse_iso("2027-03-01T10:00:45Z")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DeliveryStore]:
    store = DeliveryStore(tmp_path / "activation")
    yield store
    store.close()


@pytest.fixture
def woken() -> list[bool]:
    return []


@pytest.fixture
def services(
    services: Services,
    control: ControlStore,
    clock: ManualClock,
    tmp_path: Path,
    store: DeliveryStore,
    woken: list[bool],
) -> Services:
    letters = DeadLetters(lambda: store, wake=lambda: woken.append(True))
    return replace(services, flow_service=flow_service(control, clock, tmp_path), dead_letters=letters)


@pytest.fixture
def flow_id(client: httpx.Client, store: DeliveryStore) -> str:
    flow_id = str(made_flow(client, http_bodies(), STREAM_FLOW)["id"])
    commit = Commit()
    for sequence in (3, 5, 8):
        letter = Waiting(f"message {sequence}", b"person", b'{"sequence":%d}' % sequence, attempts=3)
        letter.reason, letter.code, letter.status = "answered 500", "ACTIVATION_STREAM-0002-HTTP", 500
        letter.first_failed_at_ms = DEAD_AT_MS - 45_000
        commit.dead[flow_id, sequence] = Dead(letter, DEAD_AT_MS)
    store.commit(commit)
    return flow_id


def listed(client: httpx.Client, flow_id: str, **query: int) -> dict[str, Any]:
    reply = client.get(f"/headrace/flows/{flow_id}/dead-letters", params=query)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def test_letter_is_shown_with_its_reason(client: httpx.Client, flow_id: str) -> None:
    assert listed(client, flow_id)["items"][0] == {
        "sequence": 3,
        "messageId": "message 3",
        "code": "ACTIVATION_STREAM-0002-HTTP",
        "reason": "answered 500",
        "status": 500,
        "attempts": 3,
        "firstFailedAt": "2027-03-01T10:00:00.000Z",
        "deadAt": "2027-03-01T10:00:45.000Z",
        "body": {"sequence": 3},
    }


def test_letters_come_in_pages(client: httpx.Client, flow_id: str) -> None:
    first = listed(client, flow_id, limit=2)
    assert [item["sequence"] for item in first["items"]] == [3, 5]
    assert (first["count"], first["next"]) == (3, 5)
    last = listed(client, flow_id, limit=2, after=5)
    assert [item["sequence"] for item in last["items"]] == [8]
    assert last["next"] is None


@pytest.mark.parametrize(("body", "replayed", "left"), [({}, 3, []), ({"sequences": [5, 99]}, 1, [3, 8])])
def test_letters_are_sent_again(
    client: httpx.Client,
    flow_id: str,
    woken: list[bool],
    body: dict[str, Any],
    replayed: int,
    left: list[int],
) -> None:
    reply = client.post(f"/headrace/flows/{flow_id}/dead-letters/replay", json=body)
    assert (reply.status_code, reply.json()) == (202, {"replayed": replayed})
    assert [item["sequence"] for item in listed(client, flow_id)["items"]] == left
    assert woken == [True]


@pytest.mark.parametrize("sequences", ["all", [True], [-1], ["3"]])
def test_what_is_sent_again_is_named_by_numbers(client: httpx.Client, flow_id: str, sequences: Any) -> None:
    reply = client.post(f"/headrace/flows/{flow_id}/dead-letters/replay", json={"sequences": sequences})
    assert reply.status_code == 400
    assert reply.json()["headrace"]["path"] == "/sequences"


def test_unknown_dataflow_has_none(client: httpx.Client) -> None:
    path = "/headrace/flows/9a8c3494-9708-43d7-ae3f-cda01e5030e1/dead-letters"
    assert client.get(path).status_code == 404
    assert client.post(f"{path}/replay", json={}).status_code == 404


def test_dataflow_of_another_sandbox_is_unknown(client: httpx.Client, services: Services, flow_id: str) -> None:
    services.sandboxes.create("other", "Other", "development", user_id="ada@techacct")
    path = f"/headrace/flows/{flow_id}/dead-letters"
    assert client.get(path, headers={"x-sandbox-name": "other"}).status_code == 404
