"""What the batch compiler writes: which columns it needs, and which form events take."""

import pytest

from headrace.engine.base import sql
from headrace.pql.bind import Names, bind
from headrace.pql.compile.batch import BatchAudience, BatchProgram, compile_batch, ranks
from headrace.pql.compile.batch_layout import column_name, leaves, sql_type
from headrace.pql.parser import parse
from headrace.pql.types import object_type_from_schema

TEXT = {"type": "string"}
PLACE = {"properties": {"city": TEXT, "zip": TEXT}}
NAMES = Names(
    object_type_from_schema(
        {
            "properties": {
                "home": PLACE,
                "work": PLACE,
                "nick": TEXT,
                "SKU": TEXT,
                "sku": TEXT,
                "orders": {"type": "array", "items": {"properties": {"price": {"type": "number"}, "place": PLACE}}},
                "subs": {"type": "object", "additionalProperties": PLACE},
                "open": {},
            }
        }
    ),
    object_type_from_schema(
        {
            "properties": {
                "_id": TEXT,
                "timestamp": {"type": "string", "format": "date-time"},
                "eventType": TEXT,
                "amount": {"type": "number"},
                "place": PLACE,
            }
        },
        is_event=True,
    ),
)
NOW_MS = 1_710_064_800_000
WEEK = "WHEN(<= 7 days before now)"


def program(*texts: str) -> BatchProgram:
    audiences = [BatchAudience(number, f"q{number}", bind(parse(text), NAMES).root) for number, text in enumerate(texts)]
    numbers = {audience.id: audience.number for audience in audiences}
    return compile_batch(audiences, numbers, profile=NAMES.profile, event=NAMES.event, now_ms=NOW_MS)


def written(*texts: str) -> str:
    return sql(program(*texts).statement)


def paths(text: str) -> set[str]:
    made = program(text)
    profile = {".".join(path) for path in leaves(made.profile_columns)}
    return profile | {"xEvent." + ".".join(path) for path in leaves(made.event_columns)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('home.city = "Bern"', {"home.city"}),
        ("home.isNull()", {"home"}),
        ("home = work", {"home.city", "home.zip", "work.city", "work.zip"}),
        ("orders[price > 1].count() > 0", {"orders.price"}),
        ('orders.topN(price, 1).head().place.city = "Bern"', {"orders.price", "orders.place.city"}),
        ('subs.get("a").zip = "3000"', {"subs.zip"}),
        ('subs.values().exists(city = "Bern")', {"subs.city"}),
        ("orders.groupBy(place.city).keys().count() > 1", {"orders.place.city"}),
        ('xEvent.place.city = "Bern"', {"xEvent.place.city"}),
        ("exists E from xEvent where E.place.city = $1.home.city", {"home.city", "xEvent.place.city"}),
        ('if(nick.isNull(), home, work).city = "Bern"', {"nick", "home.city", "work.city"}),
        ("let P = home in P.zip.isNotNull()", {"home.zip"}),
    ],
)
def test_only_what_is_read_becomes_a_column(text: str, expected: set[str]) -> None:
    assert paths(text) == expected


def test_names_that_differ_in_case_alone_become_two_columns() -> None:
    assert column_name("sku") == "sku"
    assert len({column_name("SKU").lower(), column_name("sku"), column_name("sKu").lower()}) == 3
    assert {item.name for item in program("SKU = sku").profile_columns} == {"sku", column_name("SKU")}


def test_types_of_columns_are_cut_down() -> None:
    (orders,) = program('orders.place.city = "Bern"').profile_columns
    assert sql_type(orders.type) == 'STRUCT("place" STRUCT("city" VARCHAR))[]'
    (home,) = program("home.isNull()").profile_columns
    assert sql_type(home.type) == 'STRUCT("$" BOOLEAN)'
    (value,) = program("open.isNull()").profile_columns
    assert sql_type(value.type) == "JSON"


def test_conditions_on_events_are_aggregates_of_one_pass() -> None:
    chain = f'chain(xEvent, timestamp, [A: WHAT(eventType = "a") {WEEK}])'
    text = written(chain, f"{chain} and nick.isNull()", 'xEvent[eventType = "b"].count() > 2')
    assert text.count('FROM "events"') == 1
    assert text.count(" FILTER(") == 2  # the two audiences with the same chain share its fact
    assert "LIST(" not in text


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ('A: WHAT(eventType = "a")', 'B: WHAT(eventType = "b")', ("MIN(", "MAX(")),
        ('A: WHAT(eventType = "a")', 'B: WHAT(eventType = "b") COUNT(0)', ("MAX(", "MAX(")),
        ('A: WHAT(eventType = "a") COUNT(0)', 'B: WHAT(eventType = "b")', ("MIN(", "MIN(")),
    ],
)
def test_short_sequences_need_no_lists(first: str, second: str, expected: tuple[str, str]) -> None:
    text = written(f"chain(xEvent, timestamp, [{first}, {second}])")
    assert all(name in text for name in expected)
    assert "LIST(" not in text


def test_long_sequences_keep_the_times_of_each_term_only() -> None:
    terms = ", ".join(f'T{number}: WHAT(eventType = "k{number}")' for number in range(3))
    text = written(f"chain(xEvent, timestamp, [{terms}])")
    assert text.count("LIST(") == 3
    assert "LIST({" not in text


def test_what_ties_events_together_reads_their_list() -> None:
    text = written("exists A from xEvent where A.amount > 1, B from xEvent where B.amount > A.amount")
    assert "LIST({" in text


def test_conditions_that_read_the_profile_join_it_and_the_others_do_not() -> None:
    joined = written("exists E from xEvent where E.place.city = $1.home.city")
    assert 'JOIN "profiles" AS "p" ON' in joined
    hoisted = written("exists E from xEvent where $1.nick.isNull() and E.amount > 1")
    assert 'JOIN "profiles"' not in hoisted


def test_times_are_constants_of_the_job() -> None:
    text = written('chain(xEvent, timestamp, [A: WHAT(eventType = "a") WHEN(<= 1 month before today)])')
    assert "CAST(1707523200000 AS BIGINT)" in text  # 2024-02-10
    assert "TO_MONTHS" not in text


def test_parents_are_answered_before_those_who_name_them() -> None:
    texts = ('inSegment("q1") and nick.isNull()', 'inSegment("q2")', 'nick = "a"')
    made = program(*texts)
    assert [item.id for item in made.audiences] == ["q2", "q1", "q0"]
    assert ranks(made.audiences) == {"q0": 2, "q1": 1, "q2": 0}


def test_profile_queries_do_not_read_events() -> None:
    assert program('nick = "a"').reads_events is False
    assert 'FROM "events"' not in written('nick = "a"')
