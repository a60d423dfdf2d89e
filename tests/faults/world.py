"""A running server with an audience and dataflows, people who are streamed to it, and what has become of them."""

import itertools
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from headrace.client import Client, Credentials
from headrace.clock import iso_millis
from headrace.storage.lake.base import TableId
from headrace.storage.lake.iceberg import IcebergLake
from headrace.testing.receiver import Received
from headrace.testing.server import Server
from tests.crash.stage import Stage, build

SANDBOX = 1
ROLES = ("gateway", "pipeline", "lake_writer", "scheduler", "activation")


@dataclass
class Refusal:
    """An answer other than success.

    Attributes:
        status: HTTP status.
        headers: Its headers.
        body: Its JSON.
    """

    status: int
    headers: httpx.Headers
    body: Any


@dataclass
class Sent:
    """What came of a stream of messages.

    Attributes:
        records: Persons whose record was acknowledged.
        events: Ids of the events that were acknowledged.
        refusals: Answers to requests of which nothing was accepted.
    """

    records: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


class World:
    """One server, and one way to speak to it."""

    def __init__(self, server: Server) -> None:
        """Build the stage on a server that runs."""
        self.server = server
        self.client: Client = server.client()
        known = Credentials.of_home(server.home)
        self._identity = {
            "x-api-key": known.client_id,
            "x-gw-ims-org-id": known.organization_id,
            "x-sandbox-name": known.sandbox,
        }
        self.stage: Stage = build(self.client)
        self.began_ms = round(time.time() * 1000)
        self.acknowledged_records: set[str] = set()
        self.acknowledged_events: set[str] = set()
        self._serials = itertools.count()

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    # --- sending ------------------------------------------------------------------------------------------------------

    def names(self, count: int) -> list[str]:
        """Return names of persons whom nobody knows yet."""
        return [f"p{next(self._serials)}" for _ in range(count)]

    def record(self, name: str, *, last_name: str = "", country: str = "CH") -> dict[str, Any]:
        """Return a record of a person."""
        entity = {
            "identityMap": {"CRMID": [{"id": name, "primary": True}]},
            "person": {"name": {"lastName": last_name or f"Last {name}"}},
            "homeAddress": {"countryCode": country},
        }
        return self.client.message(self.stage.schemas[0], self.stage.datasets[0], entity)

    def event(self, name: str) -> dict[str, Any]:
        """Return an event of a person; its id is made of the name."""
        return self.client.message(self.stage.schemas[1], self.stage.datasets[1], self.event_entity(name))

    def event_entity(self, name: str) -> dict[str, Any]:
        """Return an event of a person as it stands in a file."""
        return {
            "_id": f"e-{name}",
            "timestamp": iso_millis(self.began_ms),
            "eventType": "view",
            "identityMap": {"CRMID": [{"id": name, "primary": True}]},
        }

    def stream(self, names: Iterable[str], **details: str) -> None:
        """Send a record for each name, and expect that it is accepted."""
        with httpx.Client(base_url=self.server.url, timeout=30) as http:
            for name in names:
                reply = http.post(self.stage.inlet_path, json=self.record(name, **details))
                assert reply.status_code == 200, reply.text
                self.acknowledged_records.add(name)

    def stream_while(self, is_wanted: Callable[[Sent], bool], *, people: int = 1, pause_seconds: float = 0.0) -> Sent:
        """Send a record and an event for each of ever more people, so many in a request, each request once.

        Args:
            is_wanted: Asked before each request, with what came of those before.
            people: Persons in a request.
            pause_seconds: Time between two requests.
        """
        sent = Sent()
        path = self.stage.inlet_path.replace("/collection/", "/collection/batch/")
        with httpx.Client(base_url=self.server.url, timeout=30) as http:
            while is_wanted(sent):
                names = self.names(people)
                messages = [message for name in names for message in (self.record(name), self.event(name))]
                _note(sent, names, http.post(path, json={"messages": messages}))
                time.sleep(pause_seconds)
        self.acknowledged_records.update(sent.records)
        self.acknowledged_events.update(sent.events)
        return sent

    def call(self, method: str, path: str, body: Any) -> httpx.Response:
        """Make a call of the API and return its answer as it is."""
        headers = {"Authorization": f"Bearer {self.client.token()}", **self._identity}
        return httpx.request(method, self.server.url + path, json=body, headers=headers, timeout=30)

    # --- what has become of it ----------------------------------------------------------------------------------------

    def pids(self) -> dict[str, int | None]:
        """Return the processes of the roles."""
        return {role: self.server.pid_of(role) for role in ROLES}

    def wait_until_settled(self, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until everything that was accepted has gone all the way."""
        return self.client.wait_until_settled(seconds)

    def lake_rows(self) -> tuple[Counter[str], Counter[str]]:
        """Return how often each person has a row among the records, and how often each event has one."""
        lake = IcebergLake(self.server.home / "lake")
        try:
            tables = {name: [row.entity for row in lake.read(TableId(SANDBOX, name))] for name in lake.tables(SANDBOX)}
        finally:
            lake.close()
        rows = list(itertools.chain.from_iterable(tables.values()))
        events = Counter(row["_id"] for row in rows if row.get("_id"))
        return Counter(_person(row) for row in rows if not row.get("_id")), events

    def wait_for(self, is_so: Callable[[], bool], what: str, *, seconds: float = 40.0) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}\n{self.server.last_words()}"
            time.sleep(0.02)


def messages_by_person(requests: Iterable[Received]) -> dict[str, list[tuple[str, Any]]]:
    """Return for each person what a receiver got, in order: (message id, body)."""
    found: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    for request in requests:
        body = request.json()
        found[_person(body)].append((request.field("x-headrace-message-id") or "", body))
    return found


class InBackground:
    """Does something on a thread until the ``with`` block ends; a fault there is raised here.

    Attributes:
        result: What it returned.
    """

    def __init__(self, act: Callable[[threading.Event], Any]) -> None:
        """Take what is done; it ends soon after the event it is given is set."""
        self.result: Any = None
        self._act = act
        self._fault: BaseException | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="background")

    def __enter__(self) -> "InBackground":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        if self._fault is not None:
            raise self._fault

    def _run(self) -> None:
        try:
            self.result = self._act(self._is_over)
        except BaseException as fault:
            self._fault = fault


def _note(sent: Sent, names: list[str], reply: httpx.Response) -> None:
    if reply.status_code != 207:
        sent.refusals.append(Refusal(reply.status_code, reply.headers, reply.json()))
        return
    for kind, name, answer in zip(itertools.cycle("re"), _twice(names), reply.json()["responses"], strict=False):
        assert "xactionId" in answer, answer
        (sent.records if kind == "r" else sent.events).append(name if kind == "r" else f"e-{name}")


def _twice(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names for _ in range(2))


def _person(entity: Mapping[str, Any]) -> str:
    (identities,) = entity["identityMap"].values()  # only one namespace is used; messages spell its code their own way
    return str(identities[0]["id"])
