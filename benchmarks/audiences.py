"""500 generated audiences: in PQL for Headrace, and as hand-written Python for the bare reference.

The mix: comparisons of profile attributes, single events with a numeric condition within hours, counts, two-step sequences,
absence after a begin, and combinations of other audiences. The first one follows the switch (see `benchmarks.workload`).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.workload import ASKED_FOR, CITIES, COUNTRIES, GROUP, MAX_AMOUNT, MAX_POINTS, TIERS

Kind = Literal["switch", "attribute", "single", "count", "sequence", "absence", "segment"]
SEED = 20260301
SIGNAL = 1
_MIX: Sequence[tuple[Kind, int]] = (
    ("attribute", 30),
    ("single", 30),
    ("count", 12),
    ("sequence", 10),
    ("absence", 10),
    ("segment", 8),
)
HOUR_MS, MINUTE_MS = 3_600_000, 60_000


@dataclass(frozen=True)
class Audience:
    """One generated audience.

    Attributes:
        number: Counts from 1.
        kind: What sort of question it asks.
        first: Event type it begins with.
        second: Event type that follows, or must not.
        country: Country asked for.
        city: City asked for.
        tier: Tier asked for.
        above: Lower bound of the amount, or of the points.
        hours: Window.
        minutes: How long nothing must have followed.
        count: How many events.
        parent: Number of the audience referred to.
    """

    number: int
    kind: Kind
    first: str = ""
    second: str = ""
    country: str = ""
    city: str = ""
    tier: str = ""
    above: int = 0
    hours: int = 24
    minutes: int = 0
    count: int = 1
    parent: int = 0

    @property
    def name(self) -> str:
        """Name of the audience."""
        return f"Bench {self.number} {self.kind}"

    @property
    def types(self) -> tuple[str, ...]:
        """Event types that can affect it; none for one of attributes alone."""
        return tuple(name for name in (self.first, self.second) if name)


def generate(count: int, seed: int = SEED) -> list[Audience]:
    """Return ``count`` audiences, the switch's first; parents stand before those that refer to them."""
    chance = random.Random(seed)
    kinds, weights = zip(*_MIX, strict=True)
    found = [Audience(SIGNAL, "switch")]
    for number in range(2, count + 1):
        kind = chance.choices(kinds, weights)[0]
        parents = [item.number for item in found if item.kind in ("attribute", "single", "count")]
        if kind == "segment" and not parents:
            kind = "attribute"
        found.append(
            Audience(
                number,
                kind,
                first=chance.choice(ASKED_FOR) if kind not in ("attribute", "segment") else "",
                second=chance.choice(ASKED_FOR) if kind in ("sequence", "absence") else "",
                country=chance.choice(COUNTRIES),
                city=chance.choice(CITIES),
                tier=chance.choice(TIERS),
                above=chance.randrange(MAX_POINTS if kind in ("attribute", "segment") else MAX_AMOUNT),
                hours=chance.randint(1, 24),
                minutes=chance.randint(90, 600),
                count=chance.randint(2, 5),
                parent=chance.choice(parents) if kind == "segment" else 0,
            )
        )
    return found


def pql(audience: Audience, tenant: str, ids: Mapping[int, str]) -> str:
    """Return an audience in PQL.

    Args:
        audience: The audience.
        tenant: Name under which the tenant's own fields stand.
        ids: Audience number → id, of those that it may refer to.
    """
    own = f"{tenant}.{GROUP}"
    window = f"<= {audience.hours} hours before now"
    match audience.kind:
        case "switch":
            day = "WHEN(<= 24 hours before now)"
            return f"chain(xEvent, timestamp, [A: WHAT({own}.isOn = true) {day}, B: WHAT({own}.isOn = false) {day} COUNT(0)])"
        case "attribute":
            return f'homeAddress.countryCode = "{audience.country}" and {own}.points > {audience.above}'
        case "single":
            test = f'eventType = "{audience.first}" and {own}.amount > {audience.above}'
            return f"chain(xEvent, timestamp, [A: WHAT({test}) WHEN({window})])"
        case "count":
            return f'chain(xEvent, timestamp, [A: WHAT(eventType = "{audience.first}") WHEN({window}) COUNT({audience.count})])'
        case "sequence":
            test = f'eventType = "{audience.second}" and {own}.amount < {audience.above}'
            first = f'A: WHAT(eventType = "{audience.first}") WHEN({window})'
            return f"chain(xEvent, timestamp, [{first}, B: WHAT({test}) WHEN({window})])"
        case "absence":
            since = f">= {audience.minutes} minutes before now and <= 24 hours before now"
            first, second = f'eventType = "{audience.first}"', f'eventType = "{audience.second}"'
            return (
                f"chain(xEvent, timestamp, [A: WHAT({first}) WHEN({since}), "
                f"B: WHAT({second}) WHEN(<= 24 hours before now) COUNT(0)])"
            )
        case "segment":
            return f'inSegment("{ids[audience.parent]}") and {own}.tier = "{audience.tier}"'


def python(audience: Audience) -> str:
    """Return an audience as a Python condition over the bare reference's person document.

    In scope: ``a`` (attributes), ``h`` (event type → newest (time, amount) pairs of the last day, oldest first), ``m``
    (numbers of the audiences the person is in), ``on`` (the switch) and ``now``.
    """
    since = f"now - {audience.hours * HOUR_MS}"
    match audience.kind:
        case "switch":
            return "on"
        case "attribute":
            return f"a.get('country') == {audience.country!r} and a['points'] > {audience.above}"
        case "single":
            return f"any(n > {audience.above} and t >= {since} for t, n in h.get({audience.first!r}, ()))"
        case "count":
            times = f"h.get({audience.first!r}, ())"
            return f"len({times}) >= {audience.count} and {times}[-{audience.count}][0] >= {since}"
        case "sequence":
            first = f"t0 for t0, _ in h.get({audience.first!r}, ()) if t0 >= {since}"
            second = f"t > first and n < {audience.above} for t, n in h.get({audience.second!r}, ())"
            return f"(first := next(({first}), None)) is not None and any({second})"
        case "absence":
            until = f"now - {audience.minutes * MINUTE_MS}"
            last = f"[t for t, _ in h.get({audience.first!r}, ()) if t <= {until}]"
            return f"bool(ts := {last}) and not any(t > ts[-1] for t, _ in h.get({audience.second!r}, ()))"
        case "segment":
            return f"{audience.parent} in m and a.get('tier') == {audience.tier!r}"
