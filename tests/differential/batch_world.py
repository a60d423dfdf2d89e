"""Runs queries over generated records by the batch compiler and by the reference."""

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.audience.relations import define_events, define_profiles, event_table, profile_table
from headrace.engine.duckdb import DuckDbEngine
from headrace.pql.bind import Names, bind
from headrace.pql.compile.batch import ANSWERS, BatchAudience, compile_batch
from headrace.pql.compile.batch_facts import PERSON
from headrace.pql.parser import parse
from headrace.pql.reference import evaluate, ordered
from headrace.pql.tree import Bound

Events = Sequence[Mapping[str, Any]]
Person = tuple[Mapping[str, Any], Events]


def bound(text: str, names: Names) -> Bound:
    return bind(parse(text), names, text=text).root


def batch_answers(
    queries: Sequence[Bound], names: Names, persons: Sequence[Person], now_ms: int, *, members: Sequence[Sequence[int]] = ()
) -> list[set[int]]:
    """Return, for each person, the positions of the queries that hold; audience ``q<i>`` has number i."""
    audiences = [BatchAudience(number, f"q{number}", query) for number, query in enumerate(queries)]
    numbers = {**{audience.id: audience.number for audience in audiences}, "other": 900}
    program = compile_batch(audiences, numbers, profile=names.profile, event=names.event, now_ms=now_ms)
    engine = DuckDbEngine(threads=1)
    try:
        ids = [bytes([position]) for position in range(len(persons))]
        held = members or [[] for _ in persons]
        profiles = profile_table(program.profile_columns, ids, held, [profile for profile, _ in persons])
        engine.register("source_profiles", profiles)
        define_profiles(engine, "source_profiles", program.profile_columns)
        events = [
            (key, event)
            for key, (_, given) in zip(ids, persons, strict=True)
            for event in ordered(given)
        ]  # fmt: skip
        engine.register(
            "source_events", event_table(program.event_columns, [key for key, _ in events], [event for _, event in events])
        )
        define_events(engine, "source_events", program.event_columns)
        rows = [row for batch in engine.run(program.statement) for row in batch.to_pylist()]
    finally:
        engine.close()
    found = {row[PERSON]: set(row[ANSWERS]) for row in rows}
    return [found[key] for key in ids]


def reference_answers(queries: Sequence[Bound], persons: Sequence[Person], now_ms: int) -> list[set[int]]:
    return [
        {number for number, query in enumerate(queries) if evaluate(query, profile, events, now=now_ms)}
        for profile, events in persons
    ]
