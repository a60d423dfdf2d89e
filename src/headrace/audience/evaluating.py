"""Evaluating audiences over a snapshot of all persons and their events in the lake, and what that changes."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec
from sqlglot import exp

from headrace.audience.definition import Audience
from headrace.audience.jobs import Counts
from headrace.audience.lake_events import EventTable, define_lake_events
from headrace.audience.relations import define_profiles
from headrace.audience.snapshot import NAMESPACES, Snapshot, View, write_snapshot
from headrace.engine.base import (
    Engine,
    Expression,
    any_of,
    binary,
    call,
    cast,
    coalesce,
    column,
    constant,
    equals,
    filtered,
    identifier,
    length,
    list_of,
    not_,
    relation,
)
from headrace.model import Sandbox
from headrace.pql.compile.batch import ANSWERS, BatchAudience, BatchProgram, compile_batch, reading_of
from headrace.pql.compile.batch_facts import MEMBERS, PERSON
from headrace.pql.compile.batch_layout import Column, Reading, columns_of
from headrace.pql.types import ObjectType
from headrace.profile.merge import MergeRule
from headrace.profile.reader import ProfileReader

AUDIENCES_A_STATEMENT = 250
_ENTERED, _LEFT = "$entered", "$left"
_encode = msgspec.json.Encoder().encode


class Surroundings(Protocol):
    """What an evaluation needs of a sandbox."""

    def reader(self) -> ProfileReader:
        """Return a reader of the hot state, refreshed now."""
        ...

    def rule(self, sandbox: Sandbox, policy_id: str) -> MergeRule:
        """Return how a merge policy merges."""
        ...

    def namespace_codes(self, sandbox: Sandbox) -> Mapping[int, str]:
        """Return namespace id → key in ``identityMap`` of the merged profile."""
        ...

    def namespace_ids(self, sandbox: Sandbox) -> Mapping[str, int]:
        """Return code in lower case → namespace id, of the namespaces that identify persons."""
        ...

    def event_tables(self, sandbox: Sandbox) -> list[EventTable]:
        """Return the tables of the datasets whose events belong to profiles."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """What is evaluated.

    Attributes:
        sandbox: The sandbox.
        audiences: Audiences to evaluate, with their queries bound.
        numbers: Audience id → number, of all audiences of the sandbox.
        profile: Union schema of the profile.
        event: Union schema of the events.
        now_ms: The one instant of the evaluation.
    """

    sandbox: Sandbox
    audiences: Sequence[Audience]
    numbers: Mapping[str, int]
    profile: ObjectType
    event: ObjectType
    now_ms: int


@dataclass(slots=True)
class Outcome:
    """What an evaluation found.

    Attributes:
        change_count: Memberships that differ from the hot state.
        person_count: Persons looked at.
        by_policy: The same by merge policy.
        counts: Audience id → what changes.
    """

    change_count: int = 0
    person_count: int = 0
    by_policy: dict[str, int] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """Audiences of one statement: all of one merge policy, behind the groups that hold what they refer to."""

    policy_id: str
    audiences: tuple[Audience, ...]


def groups_of(audiences: Sequence[Audience], *, size: int = AUDIENCES_A_STATEMENT) -> list[Group]:
    """Cut audiences into statements, in an order in which each finds the answers that it refers to."""
    waiting = {item.id: item for item in audiences}
    groups: list[Group] = []
    while waiting:
        ready = _ready(waiting, "", set()) or list(waiting.values())[:1]  # a cycle cannot be saved; never wait for one
        policy_id = ready[0].merge_policy_id
        taken: dict[str, Audience] = {}
        while len(taken) < size and (more := _ready(waiting, policy_id, set(taken))):
            for item in more[: size - len(taken)]:
                taken[item.id] = item
        taken = taken or {ready[0].id: ready[0]}
        groups.append(Group(policy_id, tuple(taken.values())))
        for audience_id in taken:
            del waiting[audience_id]
    return groups


def _ready(waiting: Mapping[str, Audience], policy_id: str, taken: set[str]) -> list[Audience]:
    """Return the waiting audiences of a policy (of any when empty) that refer to nothing that waits but ``taken``."""
    return [
        item
        for item in waiting.values()
        if item.id not in taken
        and policy_id in ("", item.merge_policy_id)
        and all(parent not in waiting or parent in taken for parent in item.dependencies)
    ]


class Evaluation:
    """One evaluation over the whole sandbox; files and relations live as long as its engine and folder do."""

    def __init__(self, question: Question, surroundings: Surroundings, engine: Engine, folder: Path) -> None:
        self._question = question
        self._surroundings = surroundings
        self._engine = engine
        self._folder = folder
        self._answered: list[str] = []
        self._sources: dict[str, Sequence[Column]] = {}

    def run(self, diff: Path, is_stopped: Callable[[], bool] = lambda: False) -> Outcome | None:
        """Evaluate, and write what differs from the stored memberships as lines ``[person id, audience, 1 | 0]``.

        Args:
            diff: File for the differences; on disk (fsync) before this returns.
            is_stopped: Asked between statements; True ends the evaluation.

        Returns:
            What was found; None when it was stopped.
        """
        if not self._question.audiences:
            diff.write_bytes(b"")
            return Outcome()
        groups = groups_of(self._question.audiences)
        readings = self._readings()
        programs = [self._program(group, readings[group.policy_id]) for group in groups]
        outcome = Outcome(by_policy={group.policy_id: 0 for group in groups})
        snapshots = self._snapshots(readings, has_identities=any(program.reads_events for program in programs))
        outcome.person_count = max((item.person_count for item in snapshots.values()), default=0)
        outcome.by_policy = {policy: item.person_count for policy, item in snapshots.items()}
        self._define_events(programs, readings)
        for number, (group, program) in enumerate(zip(groups, programs, strict=True)):
            if is_stopped():
                return None
            self._answer(number, group, program)
        self._define_changes(len(groups))
        self._count(outcome)
        outcome.change_count = self._write(diff)
        return outcome

    # --- relations --------------------------------------------------------------------------------------------------------

    def _readings(self) -> dict[str, Reading]:
        by_policy: dict[str, list[BatchAudience]] = {}
        for item in self._question.audiences:
            by_policy.setdefault(item.merge_policy_id, []).append(_compilable(item))
        readings = {policy_id: reading_of(audiences) for policy_id, audiences in by_policy.items()}
        every = reading_of(item for audiences in by_policy.values() for item in audiences)
        for reading in readings.values():
            reading.event = every.event  # there is one relation of events for all statements
        return readings

    def _program(self, group: Group, reading: Reading) -> BatchProgram:
        question = self._question
        audiences = [_compilable(item) for item in group.audiences]
        return compile_batch(
            audiences,
            question.numbers,
            profile=question.profile,
            event=question.event,
            now_ms=question.now_ms,
            reading=reading,
        )

    def _snapshots(self, readings: Mapping[str, Reading], *, has_identities: bool) -> dict[str, Snapshot]:
        question, surroundings = self._question, self._surroundings
        reader = surroundings.reader()
        ids = {number: audience_id for audience_id, number in question.numbers.items()}
        snapshots = {}
        for number, (policy_id, reading) in enumerate(readings.items()):
            folder = self._folder / f"policy-{number}"
            folder.mkdir(parents=True)
            columns = columns_of(question.profile, reading.profile)
            view = View(surroundings.rule(question.sandbox, policy_id), surroundings.namespace_codes(question.sandbox), ids)
            snapshot = write_snapshot(
                reader, question.sandbox.number, columns, view, folder, has_identities=has_identities and number == 0
            )
            self._engine.register_files(f"persons {policy_id}", snapshot.profiles)
            self._sources[policy_id] = columns
            if snapshot.identities:
                self._engine.register_files("identities", snapshot.identities)
            snapshots[policy_id] = snapshot
        return snapshots

    def _define_events(self, programs: Sequence[BatchProgram], readings: Mapping[str, Reading]) -> None:
        if not any(program.reads_events for program in programs):
            return
        question, surroundings = self._question, self._surroundings
        reading = next(iter(readings.values()))
        define_lake_events(
            self._engine,
            surroundings.event_tables(question.sandbox),
            columns_of(question.event, reading.event),
            surroundings.namespace_ids(question.sandbox),
            "identities",
            is_stored=sum(program.reads_events for program in programs) > 1,
        )

    # --- answers ----------------------------------------------------------------------------------------------------------

    def _answer(self, number: int, group: Group, program: BatchProgram) -> None:
        source = f"persons {group.policy_id}"
        if self._answered:
            self._overlay(source, f"{source} after {number}")
            source = f"{source} after {number}"
        define_profiles(self._engine, source, self._sources[group.policy_id])
        name = f"answers {number}"
        self._engine.define(name, program.statement, is_stored=True)
        self._answered.append(name)

    def _overlay(self, source: str, name: str) -> None:
        """Make a relation of persons whose memberships are those of the statements before."""
        numbers = _numbers(self._question.audiences)
        old = filtered(column(MEMBERS, "s"), "$m", not_(call("list_contains", numbers, column("$m"))))
        new = self._joined("s")
        members = call("list_concat", old, new).as_(identifier(MEMBERS))
        kept = [column(item.name, "s") for item in next(cols for key, cols in self._sources.items() if source.endswith(key))]
        rows = exp.select(column(PERSON, "s"), members, *kept).from_(relation(source, "s"))
        self._engine.define(name, self._with_answers(rows, "s"))

    def _joined(self, alias: str) -> Expression:
        del alias
        lists = [coalesce(column(ANSWERS, f"a{number}"), call("list_value")) for number in range(len(self._answered))]
        return lists[0] if len(lists) == 1 else call("list_concat", *lists)

    def _with_answers(self, rows: exp.Select, alias: str) -> exp.Select:
        for number, name in enumerate(self._answered):
            same = equals(column(PERSON, f"a{number}"), column(PERSON, alias))
            rows = rows.join(relation(name, f"a{number}"), on=same, join_type="left")
        return rows

    def _define_changes(self, count: int) -> None:
        """Make ``changes``: for each person the answers, the stored memberships of these audiences, and what differs."""
        first = next(iter(self._sources))
        numbers = _numbers(self._question.audiences)
        was = filtered(column(MEMBERS, "s"), "$m", call("list_contains", numbers, column("$m")))
        rows = exp.select(column(PERSON, "s"), column(NAMESPACES, "s"), self._joined("s").as_(identifier("is")))
        rows = rows.select(was.as_(identifier("was"))).from_(relation(f"persons {first}", "s"))
        found = self._with_answers(rows, "s").subquery(alias=identifier("r"))
        entered = filtered(column("is"), "$m", not_(call("list_contains", column("was"), column("$m"))))
        left = filtered(column("was"), "$m", not_(call("list_contains", column("is"), column("$m"))))
        changes = exp.select(exp.Star(), entered.as_(identifier(_ENTERED)), left.as_(identifier(_LEFT))).from_(found)
        self._engine.define("changes", changes, is_stored=True)
        del count

    # --- what came out ----------------------------------------------------------------------------------------------------

    def _count(self, outcome: Outcome) -> None:
        entered, left, members = (self._tally(name) for name in (_ENTERED, _LEFT, "is"))
        by_namespace = self._tally_by_namespace()
        for item in self._question.audiences:
            came, gone = entered.get(item.number, 0), left.get(item.number, 0)
            stayed = members.get(item.number, 0) - came
            outcome.counts[item.id] = Counts(came, stayed, gone, by_namespace.get(item.number, {}))

    def _tally(self, name: str) -> dict[int, int]:
        numbers = exp.select(call("unnest", column(name)).as_(identifier("n"))).from_(relation("changes")).subquery(alias="u")
        query = exp.select(column("n"), call("count", exp.Star()).as_("c")).from_(numbers).group_by(column("n"))
        return {row["n"]: row["c"] for batch in self._engine.run(query) for row in batch.to_pylist()}

    def _tally_by_namespace(self) -> dict[int, dict[str, int]]:
        numbers = exp.select(call("unnest", column("is")).as_(identifier("n")), column(NAMESPACES)).from_(relation("changes"))
        pairs = exp.select(column("n"), call("unnest", column(NAMESPACES)).as_(identifier("k"))).from_(
            numbers.subquery(alias="u")
        )
        query = exp.select(column("n"), column("k"), call("count", exp.Star()).as_("c")).from_(pairs.subquery(alias="v"))
        found: dict[int, dict[str, int]] = {}
        for batch in self._engine.run(query.group_by(column("n"), column("k"))):
            for row in batch.to_pylist():
                found.setdefault(row["n"], {})[row["k"]] = row["c"]
        return found

    def _write(self, diff: Path) -> int:
        differs = any_of([binary(exp.GT, length(column(name)), constant(0)) for name in (_ENTERED, _LEFT)])
        query = exp.select(column(PERSON), column(_ENTERED), column(_LEFT)).from_(relation("changes")).where(differs)
        count = 0
        with diff.open("wb") as file:
            for batch in self._engine.run(query):
                for row in batch.to_pylist():
                    person = row[PERSON].hex()
                    for name, flag in ((_ENTERED, 1), (_LEFT, 0)):
                        for number in row[name]:
                            file.write(_encode((person, number, flag)) + b"\n")
                            count += 1
            file.flush()
            os.fsync(file.fileno())
        return count


def _compilable(audience: Audience) -> BatchAudience:
    return BatchAudience(audience.number, audience.id, audience.bound)


def _numbers(audiences: Sequence[Audience]) -> Expression:
    return cast(list_of(constant(item.number) for item in audiences), "INTEGER[]")
