"""What a query depends on: other audiences, fields of the profile and of events, types of events."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from headrace.pql.rules.push_not_inward import negation
from headrace.pql.tree import (
    And,
    ArrayLiteral,
    ArrayPath,
    Bound,
    Call,
    Chain,
    Compare,
    Events,
    Exists,
    Field,
    Filter,
    ForAll,
    Function,
    In,
    InSegment,
    Let,
    Literal,
    MapEntries,
    Or,
    Profile,
    StringTest,
    TextTest,
    TopN,
    Variable,
    children,
    is_outside,
    named_children,
    variables_of,
    walk,
)

EVENT_ROOT = "xEvent"
_SAME_ITEMS = (Function.HEAD, Function.DISTINCT, Function.MAP_GET, Function.MAP_VALUES)


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What can change the answer of a query, beside the passing of time.

    Attributes:
        audience_ids: Audiences named by ``inSegment``, in the order of the text.
        profile_paths: Dotted paths of the profile's fields that are read; array markers and map keys left out.
        event_paths: The same for the fields of events.
        event_types: Lower case of every ``eventType`` that can matter; None when any type can. Empty without events.
    """

    audience_ids: tuple[str, ...]
    profile_paths: frozenset[str]
    event_paths: frozenset[str]
    event_types: frozenset[str] | None

    @property
    def reads_events(self) -> bool:
        """Whether the query reads events at all."""
        return self.event_types is None or bool(self.event_types)


def dependencies_of(root: Bound) -> Dependencies:
    """Return what a bound query depends on."""
    audiences = dict.fromkeys(node.audience_id for node in walk(root) if isinstance(node, InSegment))
    paths = _Paths()
    paths.visit(root, {})
    profile = {path for path in paths.found if path and path.split(".")[0] != EVENT_ROOT}
    events = {path.removeprefix(f"{EVENT_ROOT}.") for path in paths.found if path.startswith(f"{EVENT_ROOT}.")}
    return Dependencies(tuple(audiences), frozenset(profile), frozenset(events), _event_types(root))


def find_cycle(audience_id: str, named: Iterable[str], references: Callable[[str], Iterable[str]]) -> tuple[str, ...] | None:
    """Return a cycle of audiences that a definition would close.

    Args:
        audience_id: The audience being saved.
        named: The audiences its new definition names.
        references: The audiences that a saved audience names.

    Returns:
        The audiences of a cycle, the saved one first and last; None when there is none.
    """
    pending: list[tuple[str, ...]] = [(audience_id, one) for one in named]
    seen: set[str] = set()
    while pending:
        path = pending.pop()
        if path[-1] == audience_id:
            return path
        if path[-1] not in seen:
            seen.add(path[-1])
            pending.extend((*path, one) for one in references(path[-1]))
    return None


# --- paths -----------------------------------------------------------------------------------------------------------------


class _Paths:
    """Collects the paths that a tree reads; a variable stands for the path of the array that its binder walks."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit(self, node: Bound, paths: Mapping[int, str], *, is_step: bool = False) -> None:
        """Visit a tree; ``is_step``: the node is only a step of the longer path around it."""
        path = _path_of(node, paths)
        if path is not None and not is_step:
            self.found.add(path)
        source = None if path is None else _source(node)
        inside = {**paths, **_declared_paths(node, paths)}
        for name, child in named_children(node):
            self.visit(child, paths if is_outside(node, name) else inside, is_step=child is source)


def _source(node: Bound) -> Bound | None:
    """Return what a step of a path goes on from."""
    match node:
        case Field():
            return node.object
        case ArrayPath() | Filter() | TopN():
            return node.array
        case Call() if node.function in _SAME_ITEMS:
            return node.arguments[0]
        case _:
            return None


def _path_of(node: Bound, paths: Mapping[int, str]) -> str | None:
    """Return the path whose values a node passes on; None when it computes something else."""
    match node:
        case Profile():
            return ""
        case Events():
            return EVENT_ROOT
        case Variable():
            return paths.get(node.slot)
        case Field():
            return _joined(_path_of(node.object, paths), (node.name,))
        case ArrayPath():
            return _joined(_path_of(node.array, paths), node.path)
        case _:
            source = _source(node)
            return None if source is None else _path_of(source, paths)


def _joined(path: str | None, names: tuple[str, ...]) -> str | None:
    if path is None:
        return None
    return ".".join([path, *names] if path else names)


def _declared_paths(node: Bound, paths: Mapping[int, str]) -> dict[int, str]:
    """Return the paths that a binder's variables stand for."""
    source = node.value if isinstance(node, Let) else node.map if isinstance(node, MapEntries) else getattr(node, "array", None)
    path = _path_of(source, paths) if isinstance(source, Bound) else None
    if path is None:
        return {}
    return {variable.slot: path for variable in variables_of(node)}


# --- types of events -------------------------------------------------------------------------------------------------------


def _event_types(root: Bound) -> frozenset[str] | None:
    """Return the types that the places reading events select; None when one of them selects none in particular."""
    found: set[str] = set()
    for types in _selected_types(root, None):
        if types is None:
            return None
        found |= types
    return frozenset(found)


def _selected_types(node: Bound, known: frozenset[str] | None) -> Iterator[frozenset[str] | None]:
    """Yield, for each use of ``xEvent`` below a node, the types its conditions allow; ``known`` are those from around it."""
    match node:
        case Events():
            yield known
        case Exists() | Filter():
            yield from _selected_types(node.array, _narrowed(known, _types_in(node.condition, node.variable)))
            yield from _selected_types(node.condition, None)
        case ForAll():
            yield from _selected_types(node.array, _narrowed(known, _types_in(negation(node.condition), node.variable)))
            yield from _selected_types(node.condition, None)
        case Chain():
            yield from _chain_types(node, known)
        case _:
            source = getattr(node, "array", None)
            for child in children(node):
                yield from _selected_types(child, known if child is source else None)


def _chain_types(node: Chain, known: frozenset[str] | None) -> Iterator[frozenset[str] | None]:
    for term in node.terms:
        yield from _selected_types(node.array, _narrowed(known, _types_in(term.condition, node.variable)))
        yield from _selected_types(term, None)
    yield from _selected_types(node.time, None)


def _narrowed(known: frozenset[str] | None, more: frozenset[str] | None) -> frozenset[str] | None:
    if known is None or more is None:
        return more if known is None else known
    return known & more


def _types_in(condition: Bound, event: Variable) -> frozenset[str] | None:
    """Return the event types for which a condition can hold, in lower case; None when it does not say."""
    match condition:
        case Compare(operator="=", left=left, right=Literal(value=str() as value)) if _is_type_of(left, event):
            return frozenset((value.lower(),))
        case StringTest(test=TextTest.EQUALS, is_negated=False, subject=subject, argument=Literal(value=str() as value)):
            return frozenset((value.lower(),)) if _is_type_of(subject, event) else None
        case In(is_negated=False, item=item, array=ArrayLiteral(items=items)) if _is_type_of(item, event):
            values = [one.value for one in items if isinstance(one, Literal)]
            return frozenset(str(value).lower() for value in values) if len(values) == len(items) else None
        case And():
            known: frozenset[str] | None = None
            for operand in condition.operands:
                known = _narrowed(known, _types_in(operand, event))
            return known
        case Or():
            either = [_types_in(operand, event) for operand in condition.operands]
            return None if None in either else frozenset().union(*(types for types in either if types is not None))
        case Exists():
            return _types_in(condition.condition, event)
        case _:
            return None


def _is_type_of(node: Bound, event: Variable) -> bool:
    return isinstance(node, Field) and node.name == "eventType" and node.object == event
