"""The data of all benchmarks: customers, and their events of about 1 KB; seeded, so that two runs see the same.

Every event carries two identities (a device and a customer number) that are stitched to one person, is of one of 24 types, and
turns a switch of its person on or off: on with the person's even events, off with the odd ones. One audience follows the switch,
so that every event enters or leaves it: **one message per event**, which the receiver can tell by the customer number and by how
many messages of that customer came before.
"""

import json
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

TYPES = tuple(f"shop.kind{number:02d}" for number in range(24))
# Most events are of few types (Zipf), as in every click-stream; audiences ask for what is rarer than a page view.
WEIGHTS = tuple(1 / rank for rank in range(1, len(TYPES) + 1))
ASKED_FOR = TYPES[4:]
COUNTRIES = ("DE", "CH", "FR", "AT", "NL", "BE", "DK", "SE")
CITIES = tuple(f"city-{number:02d}" for number in range(40))
TIERS = ("basic", "silver", "gold", "platinum")
MAX_AMOUNT, MAX_POINTS = 100, 1000
GROUP = "bench"
DEVICE, CUSTOMER, MAIL = "ECID", "CRMID", "Email"

_TEXT, _NUMBER, _WHOLE, _TRUTH = {"type": "string"}, {"type": "number"}, {"type": "integer"}, {"type": "boolean"}
EVENT_FIELDS: Mapping[str, Any] = {
    GROUP: {
        "type": "object",
        "properties": {
            "amount": _NUMBER,
            "quantity": _WHOLE,
            "isOn": _TRUTH,
            "channel": _TEXT,
            "currency": _TEXT,
            "page": {"type": "object", "properties": {"name": _TEXT, "url": _TEXT, "section": _TEXT, "language": _TEXT}},
            "device": {"type": "object", "properties": {"model": _TEXT, "system": _TEXT, "screen": _TEXT, "agent": _TEXT}},
            "product": {"type": "object", "properties": {"sku": _TEXT, "name": _TEXT, "brand": _TEXT, "price": _NUMBER}},
            "campaign": {"type": "object", "properties": {"code": _TEXT, "medium": _TEXT, "source": _TEXT}},
            "note": _TEXT,
        },
    }
}
PROFILE_FIELDS: Mapping[str, Any] = {GROUP: {"type": "object", "properties": {"points": _WHOLE, "tier": _TEXT, "note": _TEXT}}}


def device_of(person: int) -> str:
    """Return the device of a person: an ECID has 38 digits."""
    return f"{person:038d}"


def customer_of(person: int) -> str:
    """Return the customer number of a person."""
    return f"C{person:09d}"


def person_of(customer: str) -> int:
    """Return the person of a customer number."""
    return int(customer[1:])


def profile(person: int, tenant: str) -> dict[str, Any]:
    """Return the customer record of a person, about 500 bytes."""
    chance = random.Random(person)
    return {
        "identityMap": {
            CUSTOMER: [{"id": customer_of(person), "primary": True}],
            MAIL: [{"id": f"person{person}@shop.example"}],
        },
        "person": {"name": {"firstName": f"First{person}", "lastName": f"Last{person}"}, "birthDate": "1991-06-02"},
        "homeAddress": {"street1": "Rue Haute 1", "city": chance.choice(CITIES), "countryCode": chance.choice(COUNTRIES)},
        tenant: {
            GROUP: {"points": chance.randrange(MAX_POINTS), "tier": chance.choice(TIERS), "note": "customer since the opening"}
        },
    }


def event(serial: int, person: int, nth: int, tenant: str, base_ms: int) -> dict[str, Any]:
    """Return an event.

    Args:
        serial: Number of the event over all persons; makes its id.
        person: Whose it is.
        nth: How many events of the person came before.
        tenant: Name under which the tenant's own fields stand.
        base_ms: Time of the person's first event; each later one is a millisecond later.
    """
    chance = random.Random(serial)
    stamp = datetime.fromtimestamp((base_ms + nth) / 1000, UTC).isoformat(timespec="milliseconds")
    number = chance.randrange(1000)
    return {
        "_id": f"event-{serial:012d}",
        "timestamp": f"{stamp[:-6]}Z",
        "eventType": chance.choices(TYPES, WEIGHTS)[0],
        "identityMap": {DEVICE: [{"id": device_of(person), "primary": True}], CUSTOMER: [{"id": customer_of(person)}]},
        tenant: {
            GROUP: {
                "amount": chance.randrange(MAX_AMOUNT),
                "quantity": chance.randrange(1, 9),
                "isOn": nth % 2 == 0,
                "channel": "mobile application",
                "currency": "EUR",
                "page": {
                    "name": f"Product page {number}",
                    "url": f"https://www.shop.example/catalogue/products/{number}?from=search&position=3",
                    "section": "catalogue",
                    "language": "de-CH",
                },
                "device": {
                    "model": "Fairphone 5",
                    "system": "Android 15",
                    "screen": "1224x2700",
                    "agent": "Mozilla/5.0 (Android 15; Mobile; rv:139.0) Gecko/139.0 Firefox/139.0",
                },
                "product": {"sku": f"SKU-{number:06d}", "name": f"Lamp model {number}", "brand": "Lumen & Sons", "price": 49.9},
                "campaign": {"code": f"spring-{number % 7}", "medium": "newsletter", "source": "own list"},
                "note": "second look at the same page; came back from the comparison of delivery times",
            }
        },
    }


def events(count: int, persons: int, tenant: str, base_ms: int, *, first: int = 0) -> Iterator[dict[str, Any]]:
    """Yield ``count`` events of ``persons`` people in turn, so that the events of one person are far apart."""
    for serial in range(first, first + count):
        yield event(serial, serial % persons, serial // persons, tenant, base_ms)


def encoded(body: Mapping[str, Any]) -> bytes:
    """Return compact JSON, as clients send it."""
    return json.dumps(body, separators=(",", ":")).encode()
