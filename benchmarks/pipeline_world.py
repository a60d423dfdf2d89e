"""The pipeline role alone, on its real stores and without a control plane: what one event costs it, and what makes that grow."""

from pathlib import Path
from typing import Any

from benchmarks import workload
from benchmarks.audiences import SIGNAL, generate, pql
from headrace.activation.interest import Interest
from headrace.clock import ManualClock
from headrace.identity.extract import IdentityExtractor
from headrace.model import Record, Sandbox, encode_entry
from headrace.pql.bind import Names, bind
from headrace.pql.compile.streaming import StreamingAudience, compile_streaming
from headrace.pql.parser import parse
from headrace.pql.types import object_type_from_schema
from headrace.profile.merge import TIMESTAMP_ORDERED
from headrace.roles.pipeline import Pipeline
from headrace.roles.pipeline_rules import DatasetRules, SandboxRules
from headrace.storage.log.lmdb import LmdbLog
from headrace.storage.state.rocksdb import RocksState

TENANT = "_bench"
PROFILES, EVENTS = 1, 2
START_MS = 1_790_000_000_000
_NAMESPACES = {workload.CUSTOMER: 10_000_000, workload.MAIL: 6, workload.DEVICE: 4}
_TEXT = {"type": "string"}
_PROFILE_SCHEMA = {
    "properties": {
        "homeAddress": {"properties": {"city": _TEXT, "countryCode": _TEXT}},
        TENANT: {"properties": dict(workload.PROFILE_FIELDS)},
    }
}
_EVENT_SCHEMA = {
    "properties": {
        "_id": _TEXT,
        "timestamp": {"type": "string", "format": "date-time"},
        "eventType": _TEXT,
        TENANT: {"properties": dict(workload.EVENT_FIELDS)},
    }
}


class PipelineWorld:
    """A pipeline on LMDB and RocksDB, and short ways to feed it."""

    def __init__(self, folder: Path, audiences: int) -> None:
        """Open the stores in ``folder`` and compile the audiences."""
        self.clock = ManualClock(START_MS)
        self.log = LmdbLog(folder / "log", folder / "bells")
        self._rules = {1: rules(audiences)}
        self.pipeline = Pipeline(RocksState(folder / "state"), self.log, self, self.clock, folder)

    def revision(self) -> int:
        """See `RulesSource.revision`."""
        return 1

    def load(self) -> dict[int, SandboxRules]:
        """See `RulesSource.load`."""
        return self._rules

    def add(self, dataset: int, bodies: list[dict[str, Any]]) -> None:
        """Append records to the log as the gateway does."""
        now = self.clock.now_ms()
        entries = [encode_entry(Record(1, dataset, workload.encoded(body), now)) for body in bodies]
        for start in range(0, len(entries), 1000):
            self.log.topic("records").append(entries[start : start + 1000])

    def add_profiles(self, count: int) -> None:
        """Append the customer records of some persons."""
        self.add(PROFILES, [workload.profile(person, TENANT) for person in range(count)])

    def add_events(self, count: int, persons: int, *, first: int = 0) -> None:
        """Append events of some persons, in turn; they lie an hour before now."""
        base = START_MS - 3_600_000
        self.add(EVENTS, list(workload.events(count, persons, TENANT, base, first=first)))

    def run(self) -> None:
        """Apply all of it."""
        while self.pipeline.step():
            pass

    def close(self) -> None:
        """Close the stores."""
        self.pipeline.close()
        self.log.close()


def rules(audiences: int) -> SandboxRules:
    """Return the rules of a sandbox with that many audiences, the first one mapped to a dataflow."""
    generated = generate(audiences)
    ids = {item.number: f"audience-{item.number}" for item in generated}
    names = Names(object_type_from_schema(_PROFILE_SCHEMA), object_type_from_schema(_EVENT_SCHEMA, is_event=True))
    bound = [
        StreamingAudience(item.number, ids[item.number], bind(parse(pql(item, TENANT, ids)), names).root) for item in generated
    ]
    program = compile_streaming(bound, {name: number for number, name in ids.items()})
    assert not program.unsupported, program.unsupported
    extractor = IdentityExtractor([], _NAMESPACES.get)
    path = ("homeAddress", "city")
    return SandboxRules(
        sandbox=Sandbox(1, "s", "prod", "production", True, "o@AdobeOrg"),
        datasets={
            PROFILES: DatasetRules(PROFILES, True, True, False, extractor),
            EVENTS: DatasetRules(EVENTS, True, True, True, extractor),
        },
        merge=TIMESTAMP_ORDERED,
        program=program,
        versions=dict.fromkeys(ids, 1),
        interest=Interest(frozenset({SIGNAL}), (".".join(path),), {"flow": frozenset({SIGNAL})}),
        interest_paths=(path,),
        audience_ids=ids,
    )
