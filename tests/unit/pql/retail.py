"""The union schemas that the tests of PQL bind against, and short ways to bind, evaluate and refuse."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.clock import parse_iso
from headrace.pql import Analysis, Audiences, Plan, PqlError, Relationship, Setting, analyse, evaluate, plan
from headrace.pql.bind import Names, bind
from headrace.pql.parser import parse
from headrace.pql.tree import Bound
from headrace.pql.types import object_type_from_schema

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "pql"
SCHEMA: Mapping[str, Any] = json.loads((GOLDEN / "retail.schema.json").read_text())
ENTITIES = {name: object_type_from_schema(schema) for name, schema in SCHEMA["entities"].items()}
RELATIONSHIPS = {path: Relationship(name, ENTITIES[name]) for path, name in SCHEMA["relationships"].items()}
NAMES = Names(
    profile=object_type_from_schema(SCHEMA["profile"]),
    event=object_type_from_schema(SCHEMA["event"], is_event=True),
    relationships=RELATIONSHIPS,
)
KNOWN_AUDIENCES = {"a1": "P", "b2": "E1"}
"""Audiences that exist, with the class of their queries."""
SETTING = Setting(class_of_audience=KNOWN_AUDIENCES.get)
NOW = "2025-03-14T10:00:00Z"
"""A Friday."""


def bound(text: str, *, needs_boolean: bool = True) -> Bound:
    """Parse and bind a query."""
    return bind(parse(text), NAMES, text=text, needs_boolean=needs_boolean).root


def analysis(text: str, *, query_format: str = "pql/text", audiences: Audiences | None = None) -> Analysis:
    """Analyse a query against the retail schemas."""
    return analyse(
        text,
        profile_schema=NAMES.profile,
        event_schema=NAMES.event,
        query_format=query_format,
        relationships=RELATIONSHIPS,
        audiences=audiences or Audiences(),
    )


def problems(text: str, *, needs_boolean: bool = True) -> list[str]:
    """Return the messages of a refused query; none when it is valid."""
    names = replace(NAMES, audience_exists=KNOWN_AUDIENCES.__contains__)
    try:
        bind(parse(text), names, text=text, needs_boolean=needs_boolean)
    except PqlError as error:
        return [problem.message for problem in error.problems]
    return []


def codes(text: str) -> list[str]:
    """Return the codes of a refused query."""
    return [message.split(" ", 1)[0] for message in problems(text)]


def value(
    text: str,
    profile: Mapping[str, Any] | None = None,
    events: Iterable[Mapping[str, Any]] = (),
    *,
    now: str = NOW,
) -> Any:
    """Evaluate an expression of any type."""
    return evaluate(bound(text, needs_boolean=False), profile or {}, events, now=parse_iso(now))


def holds(
    text: str,
    profile: Mapping[str, Any] | None = None,
    events: Iterable[Mapping[str, Any]] = (),
    *,
    now: str = NOW,
) -> bool:
    """Evaluate an audience."""
    result = evaluate(bound(text), profile or {}, events, now=parse_iso(now))
    assert isinstance(result, bool)
    return result


def planned(text: str, setting: Setting = SETTING) -> Plan:
    """Plan an audience."""
    return plan(bound(text), setting)


def event(identity: str, at: str, event_type: str = "view", **fields: Any) -> dict[str, Any]:
    """Return an event; ``at`` is a time of 2025-03-14 (``09:30``) or a whole timestamp."""
    timestamp = at if "T" in at else f"2025-03-14T{at}:00Z"
    return {"_id": identity, "timestamp": timestamp, "eventType": event_type, **fields}


def track(*steps: str) -> list[dict[str, Any]]:
    """Return events from texts such as ``09:00 view``."""
    return [event(f"e{index}", *step.split(" ", 1)) for index, step in enumerate(steps)]
