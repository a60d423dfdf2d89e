"""Made-up people who visit, register for webinars and apply for loans: the same ones for the same seed.

No journey does anything within half a second of the edge of a window, so that what should happen does not hang on how long
a request takes.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

PATIENCE_SECONDS = 6
ENTHUSIASM_SECONDS = 8
LARGE_LOAN = 50_000

_FIRST_NAMES = ("Ada", "Bela", "Caro", "Dana", "Elif", "Finn", "Gita", "Hugo", "Ines", "Jona", "Kira", "Levi", "Mila", "Noor")
_COUNTRIES = ("CH", "DE", "FR", "IT")


@dataclass(order=True)
class Action:
    """Something that a person does.

    Attributes:
        at_seconds: When, from the beginning.
        serial: Makes the order of simultaneous actions certain.
        person: Number of the person.
        kind: Type of the event; empty for a profile record.
        identities: Namespace code → value.
        fields: Attributes of the event or of the profile.
    """

    at_seconds: float
    serial: int
    person: int = field(compare=False)
    kind: str = field(compare=False)
    identities: dict[str, str] = field(compare=False)
    fields: dict[str, Any] = field(compare=False, default_factory=dict)


def journeys(people: int, rate: float, seed: int) -> list[Action]:
    """Return what everybody does, in order of time.

    Args:
        people: How many persons.
        rate: Records a second, on average, while persons keep coming.
        seed: Seed of everything that is left to chance.
    """
    chance = random.Random(seed)
    actions: list[Action] = []
    start = 0.0
    for person in range(people):
        own = list(_journey(person, start, chance))
        actions += own
        start += len(own) / rate
    actions.sort()
    return actions


def _journey(person: int, start: float, chance: random.Random) -> Iterator[Action]:
    ecid = f"{chance.randrange(10**37):038d}"
    crm = f"C-{person:05d}"
    both = {"CRMID": crm, "ECID": ecid}
    serial = person * 100

    def act(at: float, kind: str, identities: dict[str, str], **fields: Any) -> Action:
        nonlocal serial
        serial += 1
        return Action(start + at, serial, person, kind, identities, fields)

    yield act(0, "web.visit", {"ECID": ecid})
    name, country = chance.choice(_FIRST_NAMES), chance.choice(_COUNTRIES)
    mail = f"{name.lower()}.{person}@example.com"
    yield act(0.6, "", {"CRMID": crm, "Email": mail}, firstName=name, countryCode=country)
    is_enthusiast = chance.random() < 0.35
    if is_enthusiast:  # three registrations from the browser, before anybody knows whose it is
        for step in range(3):
            yield act(1.2 + step * 0.7, "webinar.registration", {"ECID": ecid})
    yield act(3.4, "web.login", both)
    if chance.random() < 0.25:
        return
    amount = chance.choice((5_000, 12_000, 30_000, 60_000, 90_000))
    yield act(4.0, "application.begin", both, amount=amount)
    fate = chance.random()
    if fate < 0.35:
        yield act(4.0 + chance.uniform(1.0, PATIENCE_SECONDS - 1.5), "application.submit", both, amount=amount)
    elif fate < 0.7:
        yield act(4.0 + PATIENCE_SECONDS + chance.uniform(1.5, 5.0), "application.submit", both, amount=amount)
