"""The live play: made-up people on the real clock, windows of seconds, so that one sees audiences fill and empty."""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from headrace.cli.demo import setup
from headrace.cli.demo.expected import Expectation, Input, Person, Rule, abandoned, counted
from headrace.cli.demo.journeys import ENTHUSIASM_SECONDS, LARGE_LOAN, PATIENCE_SECONDS, Action, journeys
from headrace.client import Client, Credentials
from headrace.clock import SystemClock

ABANDONED = "Abandoned application"
ENTHUSIAST = "Webinar enthusiast"
LARGE = "Large loan submitted"
SWISS_LEAD = "Swiss webinar lead"
URGENT = "Swiss and abandoned"
SWISS = "Swiss customers"
EVER = "Applied this week"
MESSAGES = (ABANDONED, ENTHUSIAST, LARGE, SWISS_LEAD, URGENT)
FILES = (SWISS, EVER)
_SENDERS = 4
_CLOCK = SystemClock()
_DAY = "<= 24 hours before now"


def queries(tenant: str) -> dict[str, str]:
    """Return the audiences in PQL; the last two need others to exist and are completed by `create`."""
    return {
        ABANDONED: (
            'chain(xEvent, timestamp, [A: WHAT(eventType = "application.begin") '
            f"WHEN(>= {PATIENCE_SECONDS} seconds before now and {_DAY}), "
            f'B: WHAT(eventType = "application.submit") WHEN({_DAY}) COUNT(0)])'
        ),
        ENTHUSIAST: (
            'chain(xEvent, timestamp, [A: WHAT(eventType = "webinar.registration") '
            f"WHEN(<= {ENTHUSIASM_SECONDS} seconds before now) COUNT(3)])"
        ),
        LARGE: (
            'chain(xEvent, timestamp, [A: WHAT(eventType = "application.submit" and '
            f"{tenant}.application.amount >= {LARGE_LOAN}) WHEN({_DAY})])"
        ),
        SWISS_LEAD: (
            'homeAddress.countryCode = "CH" and '
            f'chain(xEvent, timestamp, [A: WHAT(eventType = "webinar.registration") WHEN({_DAY})])'
        ),
        SWISS: 'homeAddress.countryCode = "CH"',
        EVER: 'chain(xEvent, timestamp, [A: WHAT(eventType = "application.submit") WHEN(<= 7 days before now)])',
    }


def rules() -> list[Rule]:
    """Return the same audiences as plain functions."""
    is_abandoned = abandoned("application.begin", "application.submit", PATIENCE_SECONDS * 1000)
    is_enthusiast = counted("webinar.registration", 3, ENTHUSIASM_SECONDS * 1000)

    def is_swiss(person: Person, now_ms: int) -> bool:
        del now_ms
        return person.attributes.get("countryCode") == "CH"

    def is_large(person: Person, now_ms: int) -> bool:
        return any(
            event.kind == "application.submit" and event.at_ms <= now_ms and event.fields["amount"] >= LARGE_LOAN
            for event in person.events
        )

    return [
        Rule(ABANDONED, is_abandoned, (PATIENCE_SECONDS * 1000,)),
        Rule(ENTHUSIAST, is_enthusiast, (ENTHUSIASM_SECONDS * 1000 + 1,)),
        Rule(LARGE, is_large),
        Rule(SWISS_LEAD, lambda person, now: is_swiss(person, now) and bool(person.times("webinar.registration", now))),
        Rule(URGENT, lambda person, now: is_swiss(person, now) and is_abandoned(person, now)),
        Rule(SWISS, is_swiss),
        Rule(EVER, lambda person, now: bool(person.times("application.submit", now))),
    ]


def create(client: Client, endpoint: str) -> setup.World:
    """Take the eight steps."""
    world = setup.create_schemas_and_datasets(client)
    for name, pql in queries(world.tenant).items():
        setup.create_audience(client, world, name, pql)
    urgent = f'homeAddress.countryCode = "CH" and inSegment("{world.audiences[ABANDONED]}")'
    setup.create_audience(client, world, URGENT, urgent)
    attributes = ["person.name.firstName", "homeAddress.countryCode"]
    setup.activate_to_http(client, world, endpoint, list(MESSAGES), attributes)
    columns = {"customer": "identityMap.CRMID", "first_name": "person.name.firstName", "country": "homeAddress.countryCode"}
    setup.activate_to_files(client, world, list(FILES), columns)
    return world


@dataclass
class Play:
    """A play under way.

    Attributes:
        sent: The raw input as it was sent, with the instants of the POSTs.
        total: How many records there will be.
    """

    sent: list[Input] = field(default_factory=list)
    total: int = 0
    errors: list[str] = field(default_factory=list)

    def run(self, url: str, home: Path, world: setup.World, actions: list[Action], tick: Callable[[], None]) -> None:
        """Send every action at its instant; ``tick`` is called several times a second."""
        self.total = len(actions)
        queue: SimpleQueue[Action | None] = SimpleQueue()
        senders = [threading.Thread(target=self._send_all, args=(url, home, world, queue)) for _ in range(_SENDERS)]
        for sender in senders:
            sender.start()
        begin = time.monotonic()
        last_tick = 0.0
        for action in actions:
            while (wait := begin + action.at_seconds - time.monotonic()) > 0:
                time.sleep(min(wait, 0.05))
                if time.monotonic() - last_tick > 0.25:
                    last_tick = time.monotonic()
                    tick()
            queue.put(action)
        for _ in senders:
            queue.put(None)
        for sender in senders:
            sender.join()

    def _send_all(self, url: str, home: Path, world: setup.World, queue: "SimpleQueue[Action | None]") -> None:
        with Client(url, Credentials.of_home(home)) as client:
            while (action := queue.get()) is not None:
                try:
                    self._send(client, world, action)
                except Exception as error:
                    self.errors.append(f"{type(error).__name__}: {error}")

    def _send(self, client: Client, world: setup.World, action: Action) -> None:
        at_ms = _CLOCK.now_ms()
        stamp = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        identities = tuple(f"{code.lower()}:{value}" for code, value in action.identities.items())
        if action.kind:
            event_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"demo:{action.serial}"))
            record = world.event(event_id, stamp, action.kind, action.identities, action.fields)
            message = client.message(world.event_schema, world.events, record)
        else:
            message = client.message(world.profile_schema, world.profiles, _customer(action))
        client.stream(world.inlet, message)
        self.sent.append(Input(at_ms, identities, action.kind, dict(action.fields)))


def _customer(action: Action) -> dict[str, Any]:
    return {
        "identityMap": {"CRMID": [{"id": action.identities["CRMID"], "primary": True}]},
        "person": {"name": {"firstName": action.fields["firstName"]}},
        "personalEmail": {"address": action.identities["Email"]},
        "homeAddress": {"countryCode": action.fields["countryCode"]},
    }


def expectation_of(sent: list[Input], until_ms: int) -> Expectation:
    """Return what should have happened by an instant."""
    expectation = Expectation(rules())
    expectation.replay(sent, until_ms)
    return expectation


def plan(people: int, rate: float, seed: int) -> list[Action]:
    """Return the play's actions."""
    return journeys(people, rate, seed)


SETTLING_SECONDS = max(PATIENCE_SECONDS, ENTHUSIASM_SECONDS) + 1.0
