"""The unbound tree: a query as its author wrote it, names not yet resolved.

Equality ignores spans. A method call and the function call that means the same are one node: ``a.f(b)`` is ``f(a, b)``;
``a.filter(c)`` is ``a[c]``; ``x != y`` and ``! (x)`` have one spelling each. The bound tree is in `tree`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum

from headrace.pql.tree import NOWHERE, Scalar, Span, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Syntax:
    """Base of all unbound nodes. ``span`` takes no part in comparison."""

    span: Span = field(default=NOWHERE, compare=False, repr=False)


class LiteralKind(StrEnum):
    """How a constant is written; the names are the literal types of the JSON form."""

    STRING = "String"
    INTEGER = "Integer"
    DOUBLE = "Double"
    BOOLEAN = "Boolean"
    NULL = "Null"


@dataclass(frozen=True, slots=True)
class Constant(Syntax):
    """A literal; negative numbers are literals too."""

    value: Scalar
    kind: LiteralKind


@dataclass(frozen=True, slots=True)
class Name(Syntax):
    """A bare name: a variable, or a field of the innermost receiver."""

    name: str


@dataclass(frozen=True, slots=True)
class Parameter(Syntax):
    """``$1``: the n-th parameter of the query."""

    position: int


@dataclass(frozen=True, slots=True)
class Up(Syntax):
    """``^^.name``: a field of the receiver ``levels`` further out."""

    levels: int
    name: str


@dataclass(frozen=True, slots=True)
class Member(Syntax):
    """``object.name``. ``name_span`` is where the name stands."""

    object: Syntax
    name: str
    name_span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Call(Syntax):
    """A function with its arguments; the receiver of a method is the first. ``name_span`` is where the name stands."""

    name: str
    arguments: tuple[Syntax, ...]
    name_span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Filter(Syntax):
    """``array[condition]``; a `Lambda` as condition names the item, else the item is the receiver."""

    array: Syntax
    condition: Syntax


@dataclass(frozen=True, slots=True)
class ListLiteral(Syntax):
    """``[a, b]``."""

    items: tuple[Syntax, ...]


@dataclass(frozen=True, slots=True)
class Entry(Syntax):
    """One ``"key": value`` of an object."""

    key: str
    value: Syntax


@dataclass(frozen=True, slots=True)
class ObjectLiteral(Syntax):
    """``{"a": x}``."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Lambda(Syntax):
    """``(A, B) => body``."""

    names: tuple[str, ...]
    body: Syntax


@dataclass(frozen=True, slots=True)
class Let(Syntax):
    """``let name = value in body``."""

    name: str
    value: Syntax
    body: Syntax


@dataclass(frozen=True, slots=True)
class Declaration(Syntax):
    """``name from source where condition``; the condition may be absent."""

    name: str
    source: Syntax
    condition: Syntax | None
    name_span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Select(Syntax):
    """``select`` over one or more declarations."""

    declarations: tuple[Declaration, ...]


@dataclass(frozen=True, slots=True)
class Quantifier(Syntax):
    """``exists`` or (``is_universal``) ``forall`` over declarations."""

    is_universal: bool
    declarations: tuple[Declaration, ...]


@dataclass(frozen=True, slots=True)
class AggregateOver(Syntax):
    """``sum e over declarations``; the function is sum, average, min, max or count."""

    function: str
    value: Syntax
    declarations: tuple[Declaration, ...]


@dataclass(frozen=True, slots=True)
class Junction(Syntax):
    """``and`` / ``or`` of two or more operands."""

    operator: str
    operands: tuple[Syntax, ...]


@dataclass(frozen=True, slots=True)
class Not(Syntax):
    """``not operand``."""

    operand: Syntax


@dataclass(frozen=True, slots=True)
class Binary(Syntax):
    """A comparison, ``in``, ``notIn``, ``like`` or an arithmetic operator."""

    operator: str
    left: Syntax
    right: Syntax


@dataclass(frozen=True, slots=True)
class Negate(Syntax):
    """Minus an expression that is no number literal."""

    operand: Syntax


@dataclass(frozen=True, slots=True)
class TimeWord(Syntax):
    """``now``, ``today``, ``yesterday`` or ``tomorrow``."""

    word: str


@dataclass(frozen=True, slots=True)
class CalendarUnit(Syntax):
    """``this``, ``last`` or ``next`` unit."""

    which: str
    unit: Unit


@dataclass(frozen=True, slots=True)
class When(Syntax):
    """What follows ``occurs``.

    Four shapes: distance (``operator``, ``amount``, ``unit``, ``direction``, ``anchor``); ``before``/``after`` an anchor
    (``direction``, ``anchor``); on an anchor (``anchor`` alone); between two (``anchor``, ``anchor_end``).
    """

    anchor: Syntax
    operator: str | None = None
    amount: int | None = None
    unit: Unit | None = None
    direction: str | None = None
    anchor_end: Syntax | None = None


@dataclass(frozen=True, slots=True)
class Occurs(Syntax):
    """``operand occurs when``."""

    operand: Syntax
    when: When


@dataclass(frozen=True, slots=True)
class Term(Syntax):
    """One labelled step of a chain. Counts: at least ``min_count``, at most ``max_count`` (None: no limit)."""

    label: str
    what: Syntax
    when: tuple[When, ...]
    min_count: int
    max_count: int | None
    where: Syntax | None
    label_span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Chain(Syntax):
    """``chain(array, time, [terms])``; ``time`` is an expression of the item, or a `Lambda`."""

    array: Syntax
    time: Syntax
    terms: tuple[Term, ...]


def children(node: Syntax) -> Iterator[Syntax]:
    """Yield the direct parts of a node, in the order of its fields."""
    for part in fields(node):
        value = getattr(node, part.name)
        if isinstance(value, Syntax):
            yield value
        elif isinstance(value, tuple):
            yield from (item for item in value if isinstance(item, Syntax))


def walk(node: Syntax) -> Iterator[Syntax]:
    """Yield the node and everything below it, parents first."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(reversed(tuple(children(current))))


def depth(node: Syntax) -> int:
    """Return the number of levels of the tree; does not recurse. A declaration lies inside the one before it."""
    deepest, pending = 0, [(node, 1)]
    while pending:
        current, level = pending.pop()
        deepest = max(deepest, level)
        is_nested = isinstance(current, Select | Quantifier | AggregateOver)
        pending.extend((child, level + 1 + index * is_nested) for index, child in enumerate(children(current)))
    return deepest
