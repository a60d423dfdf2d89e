"""A whole home folder in one process and one thread: real stores, and the roles driven step by step."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from headrace.app import lake_writer, pipeline, scheduler
from headrace.app.home import Home
from headrace.audience.definition import Audience, Definition, Expression
from headrace.audience.jobs import Job
from headrace.catalog.datasets import Actor, Dataset
from headrace.clock import SharedClock, iso_millis
from headrace.config import Settings
from headrace.model import Record, Sandbox, encode_entry
from headrace.roles.runner import Role
from tests.at_once import AtOnce
from tests.unit.audience.union import Enabled, enable_union

NOW = "2027-02-14T08:00:00Z"
_ACTOR = Actor("client", "user")
_TAGS = {"unifiedProfile": ["enabled:true"], "unifiedIdentity": ["enabled:true"]}


@dataclass
class HomeWorld:
    """A server without its gateway and its destinations."""

    home: Home
    sandbox: Sandbox
    people: Dataset
    events: Dataset
    roles: dict[str, Role] = field(default_factory=dict)
    may_reach_this_machine: ClassVar[bool] = False

    @classmethod
    def opened(cls, folder: Path) -> Self:
        home = Home(Settings(home=folder, clock=f"manual:{NOW}", allow_private_destinations=cls.may_reach_this_machine))
        home.prepare()
        sandbox = home.sandboxes.default()
        schemas = enable_union(home.schemas, sandbox)
        people, events = (_dataset(home, sandbox, name, schemas) for name in ("profile", "event"))
        world = cls(home, sandbox, people, events)
        world.start()
        return world

    def start(self) -> None:
        self.roles = {
            "pipeline": pipeline.make(self.home),
            "lake_writer": lake_writer.make(self.home),
            "scheduler": scheduler.make(self.home, AtOnce()),
        }

    def close(self) -> None:
        for role in self.roles.values():
            role.close()

    def run(self, *names: str, until_idle: int = 3) -> None:
        """Step the roles (all when none is named) until none has work for some rounds."""
        idle = 0
        while idle < until_idle:
            is_busy = False
            for name in names or tuple(self.roles):
                role = self.roles[name]
                is_busy |= role.step()
                self.home.board.write(name, {**role.status(), "next_due_ms": role.next_due_ms()})
            idle = 0 if is_busy else idle + 1

    @property
    def now_ms(self) -> int:
        return self.home.clock.now_ms()

    def move(self, milliseconds: int) -> None:
        clock = self.home.clock
        assert isinstance(clock, SharedClock)
        clock.move_to(clock.now_ms() + milliseconds)

    def audience(self, name: str, text: str, **more: Any) -> Audience:
        return self.home.audiences.create(self.sandbox, Definition(name=name, expression=Expression(text), **more))

    def add(self, dataset: Dataset, *bodies: dict[str, Any]) -> None:
        entries = [Record(self.sandbox.number, dataset.number, json.dumps(body).encode(), self.now_ms) for body in bodies]
        self.home.log.topic("records").append([encode_entry(entry) for entry in entries])

    def event(self, name: str, kind: str, minutes_ago: float, email: str, **rest: Any) -> dict[str, Any]:
        stamp = iso_millis(self.now_ms - round(minutes_ago * 60_000))
        return {"_id": name, "timestamp": stamp, "eventType": kind, "identityMap": {"Email": [{"id": email}]}, **rest}

    def job(self, *ids: str) -> Job:
        """Make a job, run everything, and return the job as it ended."""
        made = self.home.segment_jobs.create(self.sandbox, ids or ["*"])
        self.run()
        return self.home.segment_jobs.get(self.sandbox, made.id)

    def members(self, audience: Audience) -> set[str]:
        self.home.reader.refresh()
        return {
            identity.shown
            for person in self.home.reader.persons(self.sandbox.number)
            if audience.number in person.member_since
            for identity in person.identities
        }


def _dataset(home: Home, sandbox: Sandbox, kind: str, schemas: Enabled) -> Dataset:
    schema_id = schemas.profile if kind == "profile" else schemas.event
    reference = {"id": schema_id, "contentType": "application/vnd.adobe.xed+json;version=1"}
    return home.catalog.create(sandbox, {"name": kind, "schemaRef": reference, "tags": _TAGS}, _ACTOR)
