"""Segmentation behind the API, over a union schema and persons that a test puts there."""

from dataclasses import dataclass, field, replace

from headrace.api.services import Services
from headrace.audience.jobs import SegmentJobs
from headrace.audience.preview import Previews
from headrace.audience.schedules import Schedules
from headrace.audience.segmentation import Segmentation
from headrace.audience.service import Audiences
from headrace.audience.snapshot import View
from headrace.engine.duckdb import DuckDbEngine
from headrace.model import Sandbox
from headrace.profile import keys
from headrace.profile.merge import TIMESTAMP_ORDERED
from headrace.profile.person import Person, encode_person
from headrace.profile.reader import ProfileReader
from headrace.schemas import SchemaRegistry
from headrace.storage.state.memory import MemoryState
from tests.at_once import AtOnce
from tests.unit.audience.union import enable_union


@dataclass
class Source:
    """Persons in memory."""

    state: MemoryState = field(default_factory=MemoryState)

    def reader(self) -> ProfileReader:
        return ProfileReader(self.state)

    def view(self, sandbox: Sandbox) -> View:
        del sandbox
        return View(TIMESTAMP_ORDERED, {6: "email"}, {})

    def add(self, sandbox: Sandbox, *persons: Person) -> None:
        changes: dict[bytes, bytes | None] = {keys.person_key(sandbox.number, item.id): encode_person(item) for item in persons}
        count = self.reader().profile_count(sandbox.number) + len(persons)
        changes[keys.counter_key(sandbox.number, keys.PROFILE_COUNTER)] = keys.pack_number(count)
        self.state.commit(changes)

    def count_members(self, sandbox: Sandbox, audience: int, count: int) -> None:
        self.state.commit({keys.counter_key(sandbox.number, keys.member_counter(audience)): keys.pack_number(count)})


@dataclass
class Bell:
    """Counts how often it was rung."""

    count: int = 0

    def __call__(self) -> None:
        self.count += 1


def with_segmentation(services: Services, source: Source, bell: Bell) -> Services:
    """Return the services with everything that segmentation needs; the default sandbox gets a union schema."""
    schemas = SchemaRegistry(services.control, services.clock, "acme")
    enable_union(schemas, services.sandboxes.default())
    audiences = Audiences(services.control, services.clock, schemas, services.policies)
    previews = Previews(audiences, source, services.clock, engine=lambda: DuckDbEngine(threads=1), executor=AtOnce())
    segmentation = Segmentation(
        SegmentJobs(services.control, services.clock, audiences),
        Schedules(services.control, services.clock),
        lambda: previews,
        bell,
    )
    return replace(services, schemas=schemas, audiences=audiences, segmentation=segmentation, profiles=source.reader())
