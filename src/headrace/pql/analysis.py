"""One call from the text of a query to everything that is known about it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headrace.pql.bind import Names, Relationship, bind
from headrace.pql.complexity import complexity_advice, complexity_problem
from headrace.pql.dependencies import Dependencies, dependencies_of, find_cycle
from headrace.pql.errors import Advice, PqlError, Problem, ProblemCode, problem_at
from headrace.pql.json_read import from_json
from headrace.pql.parser import parse
from headrace.pql.rules import normalised
from headrace.pql.syntax import Syntax
from headrace.pql.tree import Bound, InSegment, Span, walk
from headrace.pql.types import ObjectType, PqlType, object_type_from_schema

TEXT_FORMAT, JSON_FORMAT = "pql/text", "pql/json"
_NOT_OF_THE_PROFILE = "timeSeriesEvents"

Schema = Mapping[str, Any] | ObjectType
"""A resolved full form, or the type made from it; a caller with many queries makes the type once."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is known about a valid query.

    Attributes:
        text: The query as given, byte for byte.
        tree: As written.
        bound: Bound and normalised: what the compilers and the evaluator take.
        type: Type of the result; boolean for an audience.
        dependencies: What can change its answer.
        advice: Warnings, in order of position.
    """

    text: str
    tree: Syntax
    bound: Bound
    type: PqlType
    dependencies: Dependencies
    advice: tuple[Advice, ...]


@dataclass(frozen=True, slots=True)
class Audiences:
    """What is known of the other audiences.

    Attributes:
        exists: Whether ``inSegment`` may name an id; None accepts every id.
        references: Ids that a saved audience names; with ``own_id``, cycles are refused.
        own_id: Id of the audience that is being saved; None for a new one, which nothing can refer to.
    """

    exists: Callable[[str], bool] | None = None
    references: Callable[[str], Iterable[str]] = field(default=lambda _: ())
    own_id: str | None = None


def profile_type(schema: Schema) -> ObjectType:
    """Return the type of a query's parameter from the profile's union schema; events are ``xEvent``, not a field of it."""
    of = schema if isinstance(schema, ObjectType) else object_type_from_schema(schema)
    if _NOT_OF_THE_PROFILE not in of.fields:
        return of
    return replace(of, fields={name: part for name, part in of.fields.items() if name != _NOT_OF_THE_PROFILE})


def event_type(schema: Schema) -> ObjectType:
    """Return the type of an event from the union schema of the ExperienceEvents."""
    return schema if isinstance(schema, ObjectType) else object_type_from_schema(schema, is_event=True)


def analyse(
    text: str,
    *,
    profile_schema: Schema,
    event_schema: Schema,
    query_format: str = TEXT_FORMAT,
    relationships: Mapping[str, Relationship] | None = None,
    audiences: Audiences = Audiences(),
    needs_boolean: bool = True,
) -> Analysis:
    """Parse, bind, normalise and check a query.

    Args:
        text: The query: PQL, or the JSON form as text.
        profile_schema: Union schema of the profile.
        event_schema: Union schema of the ExperienceEvents.
        query_format: ``pql/text`` or ``pql/json``.
        relationships: Fields that ``lookup`` accepts (see `Names`).
        audiences: What is known of the other audiences.
        needs_boolean: Whether the query is an audience; else it may have any type.

    Raises:
        PqlError: Everything found to be wrong.
    """
    names = Names(profile_type(profile_schema), event_type(event_schema), relationships or {}, audiences.exists)
    tree, node_paths, advice = _read(text, query_format)
    source = text if node_paths is None else ""
    binding = bind(tree, names, text=source, node_paths=node_paths, needs_boolean=needs_boolean)
    dependencies = dependencies_of(binding.root)
    _refuse_cycle(binding.root, dependencies, audiences, source, node_paths)
    bound = normalised(binding.root)
    if (problem := complexity_problem(bound)) is not None:
        raise PqlError([problem_at(source, problem[0], tree.span, problem[1], node_path=None if node_paths is None else "$")])
    every = sorted((*advice, *binding.advice, *complexity_advice(bound)), key=lambda one: one.span.start)
    return Analysis(text, tree, bound, binding.root.result, dependencies, tuple(every))


def _read(text: str, query_format: str) -> tuple[Syntax, Mapping[int, str] | None, tuple[Advice, ...]]:
    if query_format == TEXT_FORMAT:
        return parse(text), None, ()
    if query_format == JSON_FORMAT:
        query = from_json(text)
        return query.tree, query.node_paths, query.advice
    message = f"Unknown format {query_format}; the formats are {TEXT_FORMAT} and {JSON_FORMAT}."
    raise PqlError([Problem(ProblemCode.FORMAT, 0, 0, 1, 1, message)])


def _refuse_cycle(
    root: Bound, dependencies: Dependencies, audiences: Audiences, text: str, node_paths: Mapping[int, str] | None
) -> None:
    if audiences.own_id is None:
        return
    cycle = find_cycle(audiences.own_id, dependencies.audience_ids, audiences.references)
    if cycle is None:
        return
    span = next((node.span for node in walk(root) if isinstance(node, InSegment) and node.audience_id == cycle[1]), Span(0, 0))
    path = None if node_paths is None else node_paths.get(span.start, "$")
    message = f"The audience would depend on itself: {' → '.join(cycle)}."
    raise PqlError([problem_at(text, ProblemCode.CYCLE, span, message, node_path=path)])
