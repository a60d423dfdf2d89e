"""Streaming evaluation, event by event and instant by instant, gives what the reference gives over the whole history."""

import json
from typing import Any

import msgspec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from headrace.clock import iso_millis
from headrace.pql.bind import Names, bind
from headrace.pql.compile.kept import Kept
from headrace.pql.compile.streaming import StreamingAudience, compile_streaming
from headrace.pql.errors import PqlError
from headrace.pql.parser import parse
from headrace.pql.reference import evaluate
from headrace.pql.types import object_type_from_schema
from headrace.profile.bodies import fragment_reader, json_reader
from headrace.profile.person import encode_record

_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}
PROFILE = {
    "properties": {
        "city": _TEXT,
        "points": {"type": "integer"},
        "birthDate": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": _TEXT},
        "orders": {"type": "array", "items": {"properties": {"price": _NUMBER, "paid": {"type": "boolean"}}}},
    }
}
EVENT = {
    "properties": {
        "_id": _TEXT,
        "timestamp": {"type": "string", "format": "date-time"},
        "eventType": _TEXT,
        "amount": _NUMBER,
    }
}
NAMES = Names(object_type_from_schema(PROFILE), object_type_from_schema(EVENT, is_event=True))
START_MS = 1_710_000_000_000
MINUTE_MS = 60_000
KINDS = ("a", "b", "c")

amounts = st.integers(0, 5)
what = st.one_of(
    st.sampled_from(KINDS).map(lambda kind: f'eventType = "{kind}"'),
    st.tuples(st.sampled_from(KINDS), amounts).map(lambda pair: f'eventType = "{pair[0]}" and amount > {pair[1]}'),
    amounts.map(lambda amount: f"amount >= {amount}"),
    st.sampled_from(KINDS).map(lambda kind: f'eventType.equals("{kind.upper()}", false)'),
)
minutes = st.integers(1, 90)
windows = st.one_of(
    minutes.map(lambda n: f"<= {n} minutes before now"),
    minutes.map(lambda n: f"< {n} minutes before now"),
    st.tuples(minutes, minutes).map(lambda p: f">= {min(p)} minutes before now and <= {max(p)} minutes before now"),
    st.just("today"),
    st.just("<= 24 hours before now"),
)
counts = st.one_of(
    st.just(""),
    st.integers(1, 3).map(lambda n: f" COUNT({n})"),
    st.just(" COUNT(0)"),
    st.integers(0, 2).map(lambda n: f" COUNT(<= {n})"),
    st.integers(1, 2).map(lambda n: f" COUNT(= {n})"),
    st.tuples(st.integers(0, 1), st.integers(1, 3)).map(lambda p: f" COUNT({p[0]}, {p[1]})"),
)


@st.composite
def chains(draw: st.DrawFn) -> str:
    """Return a chain of one to three terms, sometimes with windows that hang on the first."""
    size = draw(st.integers(1, 3))
    terms = []
    for position in range(size):
        when = f" WHEN({draw(windows)})"
        if position and draw(st.booleans()):
            when = f" WHEN(<= {draw(minutes)} minutes after T0)"
        terms.append(f"T{position}: WHAT({draw(what)}){when}{draw(counts)}")
    return f"chain(xEvent, timestamp, [{', '.join(terms)}])"


conditions = st.one_of(
    chains(),
    chains(),
    st.tuples(what, windows.filter(lambda text: " and " not in text))
    .map(
        lambda p: (
            f"exists E from xEvent where {p[0].replace('eventType', 'E.eventType').replace('amount', 'E.amount')}"
            f" and E.timestamp occurs {p[1]}"
        )
    )
    .map(lambda text: f"({text})"),
    st.tuples(what, minutes, st.sampled_from((">=", ">", "=", "<", "<=")), st.integers(0, 3)).map(
        lambda p: f"xEvent[{p[0]} and timestamp occurs <= {p[1]} minutes before now].count() {p[2]} {p[3]}"
    ),
    st.tuples(minutes, amounts).map(lambda p: f"xEvent[timestamp occurs <= {p[0]} minutes before now].sum(amount) > {p[1]}"),
    st.sampled_from(
        (
            'city = "Bern"',
            'city != "Bern"',
            "points > 3",
            "points / 2 = 1.5",
            "birthDate occurs >= 18 years before today",
            "birthDate.getMonth() = currentMonth()",
            'tags.includes("x")',
            "orders[price > 2 and paid].count() >= 1",
            "forall O from orders : O.paid",
            "orders.sum(price) > 4",
            "city.isNull()",
        )
    ),
)
queries = st.one_of(
    conditions,
    st.tuples(conditions, conditions).map(lambda pair: f"{pair[0]} and {pair[1]}"),
    st.tuples(conditions, conditions).map(lambda pair: f"{pair[0]} or not ({pair[1]})"),
)
histories = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(KINDS), amounts), max_size=8)
profiles = st.fixed_dictionaries(
    {},
    optional={
        "city": st.sampled_from(("Bern", "Bonn")),
        "points": st.integers(0, 6),
        "birthDate": st.sampled_from(("1990-03-10", "2006-03-10", "2006-03-11", "2008-02-29")),
        "tags": st.lists(st.sampled_from(("x", "y")), max_size=2),
        "orders": st.lists(st.fixed_dictionaries({"price": st.integers(0, 4), "paid": st.booleans()}), max_size=2),
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(query=queries, history=histories, profile=profiles, waits=st.lists(st.integers(1, 60), max_size=6))
def test_streaming_equals_reference(
    query: str, history: list[tuple[int, str, int]], profile: dict[str, Any], waits: list[int]
) -> None:
    try:
        bound = bind(parse(query), NAMES).root
    except PqlError:  # a sequence without an event that must occur, a window that can never match
        assume(False)
    program = compile_streaming([StreamingAudience(1, "q", bound)], {})
    assert program.unsupported == {}
    stored = msgspec.msgpack.Decoder(dict[int, msgspec.Raw])
    read_event = json_reader(program.event_paths | {("eventType",)})
    seen = fragment_reader(program.profile_paths)(encode_record(profile))
    kept: Kept = {}
    members: dict[int, int] = {}
    dues: dict[int, int] = {}
    events: list[dict[str, Any]] = []
    now = START_MS

    def check(instant: int) -> bool:
        nonlocal kept
        kept = stored.decode(msgspec.msgpack.encode(kept))  # as the person's document is between two records
        program.evaluate({1}, seen, kept, members, dues, instant)
        wanted: bool = evaluate(bound, profile, events, now=instant)
        assert (1 in members) == wanted, (query, events, profile, instant - START_MS)
        return wanted

    def wait_until(instant: int) -> None:
        """Let time pass as the pipeline does: only at the instants that the program has named."""
        nonlocal now
        while (due := dues.get(1)) is not None and due <= instant:
            assert due > now
            before = 1 in members
            assert evaluate(bound, profile, events, now=due - 1) == before, (query, events, "between", due)
            now = due
            check(due)
        now = instant
        assert evaluate(bound, profile, events, now=instant) == (1 in members), (query, events, profile, "lapse")

    check(now)
    for index, (gap, kind, amount) in enumerate(history):
        wait_until(now + gap * MINUTE_MS)
        body = {"_id": f"e{index}", "timestamp": iso_millis(now), "eventType": kind, "amount": amount}
        events.append(body)
        program.observe(kept, read_event(json.dumps(body).encode()), now, now)
        check(now)
    for wait in waits:
        wait_until(now + wait * MINUTE_MS)
