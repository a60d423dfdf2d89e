"""A real click-stream on the manual clock: months of visits in a minute, windows of half an hour and a day, exact to the second.

The file has the columns ``user_id``, ``event`` and ``timestamp`` (others are passed over), one event a line, with a header;
``.gz`` files are read as they are.
"""

import csv
import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from headrace.cli.demo import setup
from headrace.cli.demo.expected import HOUR_MS, Expectation, Input, Rule, abandoned, counted, followed
from headrace.client import Client
from headrace.errors import InvalidInput

ABANDONED = "Abandoned payment"
RECENT = "Cart in the last day"
BROWSER = "Looks at many products"
BUYER = "Bought from the cart"
MESSAGES = (ABANDONED, RECENT, BROWSER, BUYER)
FILES = (RECENT, BUYER)
STEP_MS = 5 * 60_000  # events are accepted up to five minutes ahead of the clock, and count from their own instant on
_HALF_HOUR_MS = HOUR_MS // 2
_DAY = "<= 24 hours before now"
_MANY = 5
_CALL = 200


class ClickStreamInvalid(InvalidInput):
    """A line of the click-stream cannot be read."""

    code = "click_stream_invalid"


@dataclass(frozen=True)
class Click:
    """One line of the click-stream."""

    serial: int
    user: str
    kind: str
    at_ms: int


def queries() -> dict[str, str]:
    """Return the audiences in PQL."""
    return {
        ABANDONED: (
            'chain(xEvent, timestamp, [A: WHAT(eventType = "payment_details") '
            f"WHEN(>= 30 minutes before now and {_DAY}), "
            f'B: WHAT(eventType = "purchase") WHEN({_DAY}) COUNT(0)])'
        ),
        RECENT: f'chain(xEvent, timestamp, [A: WHAT(eventType = "add_to_cart") WHEN({_DAY})])',
        BROWSER: (
            f'chain(xEvent, timestamp, [A: WHAT(eventType = "product_view") WHEN(<= 30 minutes before now) COUNT({_MANY})])'
        ),
        BUYER: (
            f'chain(xEvent, timestamp, [A: WHAT(eventType = "add_to_cart") WHEN({_DAY}), '
            f'B: WHAT(eventType = "purchase") WHEN({_DAY})])'
        ),
    }


def rules() -> list[Rule]:
    """Return the same audiences as plain functions."""
    day = 24 * HOUR_MS
    return [
        Rule(ABANDONED, abandoned("payment_details", "purchase", _HALF_HOUR_MS), (_HALF_HOUR_MS, day + 1)),
        Rule(RECENT, counted("add_to_cart", 1, day), (day + 1,)),
        Rule(BROWSER, counted("product_view", _MANY, _HALF_HOUR_MS), (_HALF_HOUR_MS + 1,)),
        Rule(BUYER, followed("add_to_cart", "purchase", day), (day + 1,)),
    ]


def read(path: Path, people: int | None) -> list[Click]:
    """Return the events of the first ``people`` users of a click-stream, in order of time.

    Raises:
        ClickStreamInvalid: A column is missing, or a timestamp is none; says which line.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    clicks: list[Click] = []
    users: set[str] = set()
    with opener(path, "rt", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                user, kind, stamp = row["user_id"], row["event"], datetime.fromisoformat(row["timestamp"])
            except (KeyError, ValueError, TypeError) as error:
                raise ClickStreamInvalid(
                    f"Line {number} of {path.name} needs user_id, event and an ISO timestamp.", path=f"line {number}"
                ) from error
            if people is not None and user not in users and len(users) >= people:
                continue
            users.add(user)
            moment = stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
            clicks.append(Click(number, user, kind, int(moment.timestamp() * 1000)))
    return sorted(clicks, key=lambda click: (click.at_ms, click.serial))


def start_of(clicks: list[Click]) -> str:
    """Return the instant at which the manual clock starts."""
    return iso(clicks[0].at_ms // STEP_MS * STEP_MS)


def iso(at_ms: int) -> str:
    """Return an instant as RFC 3339 text with milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def create(client: Client, endpoint: str) -> setup.World:
    """Take the eight steps."""
    world = setup.create_schemas_and_datasets(client)
    for name, pql in queries().items():
        setup.create_audience(client, world, name, pql)
    setup.activate_to_http(client, world, endpoint, list(MESSAGES), [])
    setup.activate_to_files(client, world, list(FILES), {"customer": "identityMap.CRMID"})
    return world


def busiest_instant(clicks: list[Click]) -> int:
    """Return an instant that many people have been active before: the end of the day with the most of them."""
    users: dict[int, set[str]] = {}
    for click in clicks:
        users.setdefault(click.at_ms // (24 * HOUR_MS), set()).add(click.user)
    day = max(users, key=lambda item: (len(users[item]), -item))
    return max(click.at_ms for click in clicks if click.at_ms // (24 * HOUR_MS) == day)


def play(client: Client, world: setup.World, clicks: list[Click], sent: list[Input], tick: Callable[[str], None]) -> None:
    """Move the clock from one handful of events to the next, and send them.

    Args:
        client: Calls the server.
        world: What the eight steps have made.
        clicks: The events, in order of time.
        sent: Gets the raw input as it is sent.
        tick: Called with the present instant.
    """
    for begin_ms, group in groupby(clicks, key=lambda click: click.at_ms // STEP_MS * STEP_MS):
        client.move_clock(iso(begin_ms))
        for part in _parts(list(group)):
            messages = [client.message(world.event_schema, world.events, _event(world, click)) for click in part]
            answer = client.stream_batch(world.inlet, messages)
            refused = [item for item in answer["responses"] if "xactionId" not in item]
            if refused:
                raise ClickStreamInvalid(f"The server refused an event: {refused[0]}.")
            sent += [Input(click.at_ms, (f"crmid:{click.user}",), click.kind) for click in part]
        tick(iso(begin_ms))


def _event(world: setup.World, click: Click) -> dict[str, object]:
    record: dict[str, object] = world.event(f"click-{click.serial}", iso(click.at_ms), click.kind, {"CRMID": click.user}, {})
    return record


def _parts(clicks: list[Click]) -> Iterator[list[Click]]:
    for start in range(0, len(clicks), _CALL):
        yield clicks[start : start + _CALL]


def expectation_of(sent: list[Input], until_ms: int) -> Expectation:
    """Return what should have happened by an instant."""
    expectation = Expectation(rules())
    expectation.replay(sent, until_ms)
    return expectation
