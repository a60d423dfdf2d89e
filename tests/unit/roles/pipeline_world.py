"""A sandbox small enough to read: one record dataset, one event dataset, some audiences, rules without a control plane."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.activation.interest import Interest
from headrace.clock import ManualClock, iso_millis
from headrace.identity.extract import IdentityExtractor
from headrace.model import Change, Record, Sandbox, decode_change, encode_entry
from headrace.pql.bind import Names, bind
from headrace.pql.compile.streaming import StreamingAudience, compile_streaming
from headrace.pql.parser import parse
from headrace.pql.types import object_type_from_schema
from headrace.profile.merge import TIMESTAMP_ORDERED
from headrace.profile.reader import ProfileReader
from headrace.roles.pipeline import Pipeline
from headrace.roles.pipeline_rules import DatasetRules, SandboxRules
from headrace.storage.log.memory import MemoryLog
from headrace.storage.state.memory import MemoryState

START_MS = 1_700_000_000_000
MINUTE_MS = 60_000
CRM, EMAIL, ECID = 10_000_000, 6, 4
PROFILES, EVENTS = 1, 2
_TEXT = {"type": "string"}
PROFILE_SCHEMA = {
    "properties": {
        "person": {"properties": {"name": {"properties": {"firstName": _TEXT}}}},
        "homeAddress": {"properties": {"city": _TEXT, "country": _TEXT}},
    }
}
EVENT_SCHEMA = {
    "properties": {
        "_id": _TEXT,
        "timestamp": {"type": "string", "format": "date-time"},
        "eventType": _TEXT,
        "amount": {"type": "number"},
    }
}
NAMES = Names(object_type_from_schema(PROFILE_SCHEMA), object_type_from_schema(EVENT_SCHEMA, is_event=True))
_CODES = {"CRMID": CRM, "Email": EMAIL, "ECID": ECID}

ABANDONED = (
    'chain(xEvent, timestamp, [A: WHAT(eventType = "begin") WHEN(>= 30 minutes before now and <= 24 hours before now), '
    'B: WHAT(eventType = "submit") WHEN(<= 24 hours before now) COUNT(0)])'
)


class World:
    """A pipeline over stores in memory, and short ways to feed it and to look at it."""

    def __init__(
        self,
        queries: Mapping[int, str],
        *,
        mapped: frozenset[int] = frozenset(),
        attributes: tuple[str, ...] = (),
        max_records: int = 2000,
    ) -> None:
        self.clock = ManualClock(START_MS)
        self.log = MemoryLog()
        self.state = MemoryState()
        self.max_records = max_records
        self.attributes = attributes
        self.mapped = mapped
        self.queries = dict(queries)
        self.number_of_revisions = 1
        self.pipeline = self.opened()

    def opened(self) -> Pipeline:
        return Pipeline(self.state, self.log, self, self.clock, Path(), max_records=self.max_records)

    def revision(self) -> int:
        return self.number_of_revisions

    def load(self) -> dict[int, SandboxRules]:
        extractor = IdentityExtractor([], lambda code: _CODES.get(code))
        audiences = [
            StreamingAudience(number, f"a{number}", bind(parse(text), NAMES).root) for number, text in self.queries.items()
        ]
        numbers = {f"a{number}": number for number in [*self.queries, 99]}
        flows = {"flow": self.mapped} if self.mapped else {}
        return {
            1: SandboxRules(
                sandbox=Sandbox(1, "s", "prod", "production", True, "o@AdobeOrg"),
                datasets={
                    PROFILES: DatasetRules(PROFILES, True, True, False, extractor),
                    EVENTS: DatasetRules(EVENTS, True, True, True, extractor),
                },
                merge=TIMESTAMP_ORDERED,
                program=compile_streaming(audiences, numbers),
                versions=dict.fromkeys(self.queries, 1),
                interest=Interest(self.mapped, self.attributes, flows),
                interest_paths=tuple(tuple(path.split(".")) for path in self.attributes),
                audience_ids={number: name for name, number in numbers.items()},
            )
        }

    def add(self, *records: tuple[int, dict[str, Any]]) -> None:
        self.log.topic("records").append(
            [encode_entry(Record(1, dataset, json.dumps(body).encode(), self.clock.now_ms())) for dataset, body in records]
        )

    def run(self) -> None:
        while self.pipeline.step():
            pass

    def at(self, minutes: float) -> None:
        """Move the clock to some minutes after the start, and let everything due happen."""
        self.run()
        self.clock.move_to(START_MS + round(minutes * MINUTE_MS))
        self.run()

    def members(self, audience: int) -> set[str]:
        """Return the members of an audience, each as its smallest identity value."""
        persons = ProfileReader(self.state).persons(1)
        return {min(item.value for item in person.identities) for person in persons if audience in person.member_since}

    def changes(self) -> list[Change]:
        return [decode_change(data) for _, data in self.log.topic("changes").read(0, limit=100_000)]


def profile(**identities: str) -> Any:
    """Return the start of a record: its identityMap, the first identity being primary."""
    return {"identityMap": {code: [{"id": value}] for code, value in identities.items()}}


def event(name: str, kind: str, minutes: float, **identities: str) -> tuple[int, dict[str, Any]]:
    stamp = iso_millis(START_MS + round(minutes * MINUTE_MS))
    return EVENTS, {**profile(**identities), "_id": name, "eventType": kind, "timestamp": stamp}
