"""Schedules of segment jobs. Every sandbox has one that evaluates all audiences daily, unless somebody stopped it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection

from headrace.audience import store
from headrace.audience.cron import Cron, parse_cron
from headrace.audience.errors import ScheduleInvalid, ScheduleUnknown
from headrace.audience.jobs import EVERY_AUDIENCE
from headrace.clock import Clock
from headrace.errors import Conflict
from headrace.model import Sandbox
from headrace.storage.control import ControlStore

ACTIVE, INACTIVE = "active", "inactive"
SEGMENTATION, EXPORT = "batch_segmentation", "export"
SYSTEM_NAME, SYSTEM_CRON = "Batch Segmentation", "0 0 2 * * ?"
_DAY_MS = 86_400_000


class ScheduleNameTaken(Conflict):
    """Another schedule of the sandbox has the name."""

    code = "schedule_name_taken"
    wire_code = "UPAPI-113603"


class ScheduleBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a schedule's row holds beside its columns.

    Attributes:
        name: For people.
        type: ``batch_segmentation`` or ``export``.
        segments: Ids of audiences; ``*`` is all of them.
        cron: When it runs, in Quartz's notation.
        properties: Further properties, kept as sent.
        is_system: Whether the sandbox came with it.
        last_fired_at: When it ran last (epoch ms); 0 for never.
    """

    name: str
    type: str = SEGMENTATION
    segments: tuple[str, ...] = (EVERY_AUDIENCE,)
    cron: str = SYSTEM_CRON
    properties: dict[str, Any] = {}
    is_system: bool = False
    last_fired_at: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule."""

    id: str
    sandbox: int
    state: str
    next_fire_at: int
    body: ScheduleBody
    created_at: int
    updated_at: int

    @property
    def frequency(self) -> str:
        """``daily`` when it runs once every day, else ``custom``."""
        cron = parse_cron(self.body.cron)
        first = cron.next_after(self.created_at)
        following = cron.next_after(first) if first is not None else None
        is_daily = first is not None and following is not None and following - first == _DAY_MS
        return "daily" if is_daily else "custom"


class Schedules:
    """Reads and changes schedules, and tells which are due; safe between threads."""

    def __init__(self, control: ControlStore, clock: Clock) -> None:
        self._control = control
        self._clock = clock

    def all(self, sandbox: Sandbox) -> list[Schedule]:
        """Return the schedules of a sandbox, oldest first; a new sandbox gets its daily one here."""
        with self._control.read() as connection:
            found = [_schedule_of(row) for row in store.schedule_rows(connection, sandbox.number)]
        return found if any(item.body.is_system for item in found) else self._with_system(sandbox)

    def ensure_system(self, sandboxes: Sequence[Sandbox]) -> None:
        """Give every sandbox that lacks it its daily schedule."""
        for sandbox in sandboxes:
            self.all(sandbox)

    def _with_system(self, sandbox: Sandbox) -> list[Schedule]:
        with self._control.write() as connection:
            rows = [_schedule_of(row) for row in store.schedule_rows(connection, sandbox.number)]
            if not any(item.body.is_system for item in rows):
                self._add(connection, sandbox, ScheduleBody(name=SYSTEM_NAME, is_system=True), ACTIVE)
            return [_schedule_of(row) for row in store.schedule_rows(connection, sandbox.number)]

    def get(self, sandbox: Sandbox, schedule_id: str) -> Schedule:
        """Return a schedule.

        Raises:
            ScheduleUnknown: The sandbox has none with this id.
        """
        with self._control.read() as connection:
            return self._found(connection, sandbox, schedule_id)

    def create(self, sandbox: Sandbox, body: ScheduleBody, state: str = INACTIVE) -> Schedule:
        """Make a schedule.

        Raises:
            ScheduleInvalid: A member is missing or not allowed, or it would run more than once in 24 hours.
            ScheduleNameTaken: Another schedule has the name.
        """
        _check(body, state)
        self._checked_cron(body.cron)
        present = self.all(sandbox)
        if any(item.body.name == body.name for item in present):
            raise ScheduleNameTaken(f"There is a schedule named '{body.name}' already.", path="/name")
        with self._control.write() as connection:
            return self._add(connection, sandbox, body, state)

    def change(self, sandbox: Sandbox, schedule_id: str, *, state: str | None = None, cron: str | None = None) -> Schedule:
        """Start or stop a schedule, or move its time.

        Raises:
            ScheduleInvalid: There is no such state, or it would run more than once in 24 hours.
            ScheduleUnknown: The sandbox has none with this id.
        """
        if cron is not None:
            self._checked_cron(cron)
        now_ms = self._clock.now_ms()
        with self._control.write() as connection:
            before = self._found(connection, sandbox, schedule_id)
            body = msgspec.structs.replace(before.body, cron=cron or before.body.cron)
            _check(body, state or before.state)
            values = {
                "state": state or before.state,
                "next_fire_at": self._next(parse_cron(body.cron), now_ms),
                "body": msgspec.to_builtins(body),
                "updated_at": now_ms,
            }
            store.change_schedule(connection, schedule_id, values)
            return self._found(connection, sandbox, schedule_id)

    def delete(self, sandbox: Sandbox, schedule_id: str) -> None:
        """Remove a schedule; the daily one of the sandbox can only be stopped.

        Raises:
            ScheduleInvalid: It is the sandbox's own daily schedule.
            ScheduleUnknown: The sandbox has none with this id.
        """
        with self._control.write() as connection:
            if self._found(connection, sandbox, schedule_id).body.is_system:
                raise ScheduleInvalid(
                    "The sandbox's daily schedule cannot be deleted.", hint="Set its state to inactive instead."
                )
            store.remove_schedule(connection, schedule_id)

    # --- running ----------------------------------------------------------------------------------------------------------

    def next_due_ms(self) -> int | None:
        """Return the instant at which the next schedule of any sandbox is due, None without one."""
        with self._control.read() as connection:
            return store.next_fire_at(connection)

    def due(self) -> list[Schedule]:
        """Return the schedules that are due, oldest first; they stay so until `advance`."""
        with self._control.read() as connection:
            return [_schedule_of(row) for row in store.due_schedules(connection, self._clock.now_ms())]

    def advance(self, schedule: Schedule) -> None:
        """Move a schedule that has run to its next instant from now; one that was missed often has run once."""
        now_ms = self._clock.now_ms()
        body = msgspec.structs.replace(schedule.body, last_fired_at=now_ms)
        following = self._next(parse_cron(schedule.body.cron), now_ms)
        with self._control.write(is_configuration=False) as connection:
            store.change_schedule(connection, schedule.id, {"next_fire_at": following, "body": msgspec.to_builtins(body)})

    def _next(self, cron: Cron, now_ms: int) -> int:
        found = cron.next_after(now_ms)
        return found if found is not None else 1 << 61

    def _checked_cron(self, text: str) -> None:
        cron = parse_cron(text)
        first = cron.next_after(self._clock.now_ms())
        if first is None:
            raise ScheduleInvalid(f"'{text}' never comes again.", path="/schedule")
        following = cron.next_after(first)
        if following is not None and following - first < _DAY_MS:
            raise ScheduleInvalid(f"'{text}' runs more than once in 24 hours.", path="/schedule")

    def _add(self, connection: Connection, sandbox: Sandbox, body: ScheduleBody, state: str) -> Schedule:
        now_ms = self._clock.now_ms()
        schedule = Schedule(
            str(uuid.uuid4()), sandbox.number, state, self._next(parse_cron(body.cron), now_ms), body, now_ms, now_ms
        )
        store.add_schedule(
            connection,
            {
                "id": schedule.id,
                "sandbox": schedule.sandbox,
                "state": state,
                "next_fire_at": schedule.next_fire_at,
                "body": msgspec.to_builtins(body),
                "created_at": now_ms,
                "updated_at": now_ms,
            },
        )
        return schedule

    def _found(self, connection: Connection, sandbox: Sandbox, schedule_id: str) -> Schedule:
        row = store.schedule_row(connection, sandbox.number, schedule_id)
        if row is None:
            raise ScheduleUnknown(schedule_id)
        return _schedule_of(row)


def _check(body: ScheduleBody, state: str) -> None:
    if state not in (ACTIVE, INACTIVE):
        raise ScheduleInvalid(f"state is '{state}'; it is {ACTIVE} or {INACTIVE}.", path="/state")
    if not body.name.strip():
        raise ScheduleInvalid("A schedule needs a name.", path="/name")
    if body.type not in (SEGMENTATION, EXPORT):
        raise ScheduleInvalid(f"type is '{body.type}'; it is {SEGMENTATION} or {EXPORT}.", path="/type")
    if body.type == SEGMENTATION and not body.segments:
        raise ScheduleInvalid(f"A schedule of type {SEGMENTATION} needs properties.segments.", path="/properties/segments")


def _schedule_of(row: Mapping[str, Any]) -> Schedule:
    return Schedule(
        id=row["id"],
        sandbox=row["sandbox"],
        state=row["state"],
        next_fire_at=row["next_fire_at"],
        body=msgspec.convert(row["body"], ScheduleBody),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
