"""What is sent: the same records, in the same order for each family, at the same instants of the manual clock, for a seed.

A family is a handful of identities that become one person or several. Everything that concerns a family is sent by one
sender, one record after the other, so that what comes out does not depend on how senders and roles are scheduled, nor on
which of them die.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from headrace.clock import iso_millis, parse_iso

START = "2027-03-01T22:00:00Z"
START_MS = parse_iso(START)
MINUTE_MS = 60_000
_KINDS = ("view", "view", "view", "begin", "submit")
_COUNTRIES = ("CH", "DE", "FR")
_FIRST_NAMES = ("Ada", "Bela", "Caro", "Dana", "Elif", "Finn")
_PAUSES_MINUTES = (1, 7, 20, 45, 100, 240, 400)


@dataclass(frozen=True)
class Item:
    """One record.

    Attributes:
        family: Whose it is.
        is_event: Event or record.
        entity: The record, with ``application`` to be put under the tenant's name.
        copies: How often it is sent: a client that repeats itself.
    """

    family: int
    is_event: bool
    entity: dict[str, Any]
    copies: int = 1


@dataclass
class Phase:
    """What is sent at one instant.

    Attributes:
        at_ms: Where the clock stands.
        items: By family, in order.
        batch: Events that come as one file; they belong to nobody else.
    """

    at_ms: int
    items: dict[int, list[Item]] = field(default_factory=dict)
    batch: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Story:
    """The whole."""

    phases: list[Phase]
    end_ms: int

    def items(self) -> Iterator[Item]:
        """Yield all streamed records."""
        for phase in self.phases:
            for items in phase.items.values():
                yield from items

    @property
    def identities(self) -> set[tuple[str, str]]:
        """All identities that occur, as (namespace code, value)."""
        entities = [item.entity for item in self.items()]
        entities += [event for phase in self.phases for event in phase.batch]
        return {
            (code, identity["id"])
            for entity in entities
            for code, identities in entity["identityMap"].items()
            for identity in identities
        }

    @property
    def event_ids(self) -> set[str]:
        """Ids of all events."""
        streamed = {item.entity["_id"] for item in self.items() if item.is_event}
        return streamed | {event["_id"] for phase in self.phases for event in phase.batch}


def story_of(seed: int, *, families: int, phases: int, records_per_phase: int, batch_size: int = 40) -> Story:
    """Make a story up.

    Args:
        seed: Seed of everything that is left to chance.
        families: How many families.
        phases: How often the clock is moved.
        records_per_phase: Streamed records in each phase.
        batch_size: Events in the file of each phase.
    """
    chance = random.Random(seed)
    told: list[Phase] = []
    now_ms = START_MS
    for number in range(phases):
        phase = Phase(now_ms)
        for serial in range(records_per_phase):
            family = chance.randrange(families)
            name = f"{number}.{serial}"
            item = _event(chance, family, name, now_ms, serial) if chance.random() < 0.75 else _record(chance, family, name)
            phase.items.setdefault(family, []).append(item)
        phase.batch = [_batch_event(chance, number, serial, now_ms) for serial in range(batch_size)]
        told.append(phase)
        now_ms += chance.choice(_PAUSES_MINUTES) * MINUTE_MS
    return Story(told, now_ms + 30 * 60 * MINUTE_MS)


def family_of(identity: str) -> str:
    """Return to which family (or file) an identity's value belongs."""
    return identity.partition("-")[0]


def _crm(family: int, number: int) -> str:
    return f"f{family}-c{number}"


def _email(family: int, number: int) -> str:
    return f"f{family}-{number}@example.com"


def _record(chance: random.Random, family: int, name: str) -> Item:
    number = chance.randrange(3)
    entity: dict[str, Any] = {
        "identityMap": {"CRMID": [{"id": _crm(family, number), "primary": True}]},
        "person": {"name": {"firstName": chance.choice(_FIRST_NAMES), "lastName": f"Record {name}"}},
        "homeAddress": {"countryCode": chance.choice(_COUNTRIES)},
    }
    if chance.random() < 0.4:
        entity["personalEmail"] = {"address": _email(family, number)}
    return Item(family, False, entity, copies=1 + (chance.random() < 0.05))


def _event(chance: random.Random, family: int, name: str, now_ms: int, serial: int) -> Item:
    if chance.random() < 0.12:  # a log-in: two identities become one person
        identities = {"CRMID": _crm(family, chance.randrange(3)), "Email": _email(family, chance.randrange(3))}
    elif chance.random() < 0.6:
        identities = {"CRMID": _crm(family, chance.randrange(3))}
    else:
        identities = {"Email": _email(family, chance.randrange(3))}
    at_ms = now_ms - 1 - serial - chance.randrange(50) * MINUTE_MS // 2
    return Item(family, True, _body(f"e{name}", at_ms, chance, identities), copies=1 + (chance.random() < 0.05))


def _batch_event(chance: random.Random, number: int, serial: int, now_ms: int) -> dict[str, Any]:
    return _body(f"b{number}.{serial}", now_ms - 1 - serial * 20_000, chance, {"CRMID": f"b{number}-{chance.randrange(10)}"})


def _body(event_id: str, at_ms: int, chance: random.Random, identities: dict[str, str]) -> dict[str, Any]:
    kind = chance.choice(_KINDS)
    first = next(iter(identities))
    return {
        "_id": event_id,
        "timestamp": iso_millis(at_ms),
        "eventType": kind,
        "identityMap": {code: [{"id": value, "primary": code == first}] for code, value in identities.items()},
        **({"application": {"amount": chance.randrange(1, 100) * 1000}} if kind in ("begin", "submit") else {}),
    }
