"""The batch compiler: all audiences of a segment job become one statement over two relations.

``profiles`` has a row a person: ``$person``, ``$members`` (numbers of the audiences the person is in) and a column for each
field of the merged profile that is read. ``events`` has a row an event: ``$person``, ``$time`` (epoch ms), ``$id`` and a column
for each field that is read. The statement gives for every person the numbers of the audiences that hold.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from headrace.engine.base import (
    Expression,
    cast,
    column,
    constant,
    filtered,
    identifier,
    is_known,
    list_of,
    relation,
    when,
)
from headrace.pql import tree as t
from headrace.pql.compile.batch_expression import Expressions
from headrace.pql.compile.batch_facts import (
    EVENT_ROW,
    MEMBERS,
    PERSON,
    PROFILE_ROW,
    Facts,
    RowPlace,
    answer_column,
)
from headrace.pql.compile.batch_layout import Column, Reading, columns_of
from headrace.pql.types import ObjectType

PROFILES, EVENTS, ANSWERS = "profiles", "events", "$answers"


@dataclass(frozen=True, slots=True)
class BatchAudience:
    """An audience to evaluate.

    Attributes:
        number: Its number.
        id: Its id, as ``inSegment`` names it.
        query: Its bound query, a predicate.
    """

    number: int
    id: str
    query: t.Bound


@dataclass(frozen=True, slots=True)
class BatchProgram:
    """The audiences of one statement.

    Attributes:
        audiences: Those that the statement answers, parents first.
        profile_columns: Columns that ``profiles`` needs besides its own two.
        event_columns: Columns that ``events`` needs besides its own three.
        reads_events: Whether the statement reads ``events`` at all.
        statement: One row a person: ``$person``, ``$members`` and ``$answers``, the numbers of the audiences that hold.
    """

    audiences: tuple[BatchAudience, ...]
    profile_columns: tuple[Column, ...]
    event_columns: tuple[Column, ...]
    reads_events: bool
    statement: exp.Select


def reading_of(audiences: Iterable[BatchAudience]) -> Reading:
    """Return what audiences read of the profile and of its events."""
    reading = Reading()
    for audience in audiences:
        reading.add(audience.query)
    return reading


def compile_batch(
    audiences: Sequence[BatchAudience],
    numbers: Mapping[str, int],
    *,
    profile: ObjectType,
    event: ObjectType,
    now_ms: int,
    reading: Reading | None = None,
) -> BatchProgram:
    """Compile audiences into one statement.

    Args:
        audiences: Bound queries; those that others refer to are evaluated first, wherever they stand.
        numbers: Audience id → number, of all audiences of the sandbox that ``inSegment`` may name.
        profile: Union schema of the profile.
        event: Union schema of the events.
        now_ms: The one instant of the evaluation.
        reading: What the two relations hold, when that is more than these audiences read.
    """
    reading = reading or reading_of(audiences)
    events = columns_of(event, reading.event)
    in_job = {audience.id: audience.number for audience in audiences}
    place = RowPlace(Facts(), events, numbers, in_job, now_ms)
    ranked = ranks(audiences)
    answers = {item.number: Expressions(place, now_ms).of(item.query) for item in audiences}
    rows = _rows(_used(place.facts, answers.values()))
    for rank in range(max(ranked.values(), default=0) + 1):
        added = [item for item in audiences if ranked[item.id] == rank]
        rows = _with_answers(rows, added, answers, f"r{rank}")
    statement = exp.select(column(PERSON), column(MEMBERS), _numbers_that_hold(audiences).as_(identifier(ANSWERS)))
    ordered = tuple(sorted(audiences, key=lambda item: ranked[item.id]))
    reads_events = bool(place.facts.plain or place.facts.joined)
    profile_columns = columns_of(profile, reading.profile)
    return BatchProgram(ordered, profile_columns, events, reads_events, statement.from_(_sub(rows, "rows")))


def _used(facts: Facts, answers: Iterable[Expression]) -> Facts:
    """Return the facts that the answers read; an attempt that failed may have left others."""
    names = {item.name for answer in answers for item in answer.find_all(exp.Column)}
    plain, joined = ({text: fact for text, fact in known.items() if fact[0] in names} for known in (facts.plain, facts.joined))
    return Facts(plain, joined)


def ranks(audiences: Iterable[BatchAudience]) -> dict[str, int]:
    """Return for each audience how many others must be evaluated before it, along the longest way."""
    by_id = {audience.id: audience for audience in audiences}
    found: dict[str, int] = {}

    def rank(audience_id: str, trail: frozenset[str]) -> int:
        if audience_id not in found:
            parents = {part.audience_id for part in t.walk(by_id[audience_id].query) if isinstance(part, t.InSegment)}
            above = [parent for parent in parents if parent in by_id and parent not in trail]
            found[audience_id] = max((rank(parent, trail | {parent}) + 1 for parent in above), default=0)
        return found[audience_id]

    for audience_id in by_id:
        rank(audience_id, frozenset((audience_id,)))
    return found


def _rows(facts: Facts) -> exp.Select:
    """Return the rows of the persons with the facts about their events."""
    rows = exp.select(exp.Column(this=exp.Star(), table=identifier(PROFILE_ROW)))
    rows = rows.from_(relation(PROFILES, PROFILE_ROW))
    for alias, known, is_joined in (("f", facts.plain, False), ("g", facts.joined, True)):
        if not known:
            continue
        source = _sub(_aggregates(known.values(), is_joined=is_joined), alias)
        rows = rows.select(*(column(name, alias) for name, _ in known.values()))
        same = exp.EQ(this=column(PERSON, alias), expression=column(PERSON, PROFILE_ROW))
        rows = rows.join(source, on=same, join_type="left")
    return rows


def _aggregates(known: Iterable[tuple[str, Expression]], *, is_joined: bool) -> exp.Select:
    person = column(PERSON, EVENT_ROW)
    found = exp.select(person, *(value.as_(identifier(name)) for name, value in known))
    found = found.from_(relation(EVENTS, EVENT_ROW))
    if is_joined:
        same = exp.EQ(this=column(PERSON, PROFILE_ROW), expression=person.copy())
        found = found.join(relation(PROFILES, PROFILE_ROW), on=same)
    return found.group_by(person.copy())


def _with_answers(rows: exp.Select, added: Sequence[BatchAudience], answers: Mapping[int, Expression], alias: str) -> exp.Select:
    columns = [answers[item.number].as_(identifier(answer_column(item.number))) for item in added]
    return exp.select(exp.Star(), *columns).from_(_sub(rows, alias))


def _numbers_that_hold(audiences: Sequence[BatchAudience]) -> Expression:
    marked = [when(column(answer_column(item.number)), cast(constant(item.number), "INTEGER")) for item in audiences]
    return filtered(list_of(marked), "$number", is_known(column("$number")))


def _sub(query: exp.Select, alias: str) -> exp.Subquery:
    return query.subquery(alias=identifier(alias))
