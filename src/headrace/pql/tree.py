"""The bound tree: a query whose names are fields, whose nodes have types, and that compilers read.

The unbound tree, as written by the author, is in `syntax`. Only `bind` makes bound nodes, and it accepts unbound ones
only. What binding leaves behind:

- Two-valued logic is explicit. A `Predicate` is never null; every place that needs a condition holds a `Predicate`, and a
  nullable boolean value gets there through `IsTrue`. Every other node may be null.
- No implicit receiver, no ``^``, no any-element rule: every binder names its `Variable`, and ``xEvent.a.b > 0`` has become
  ``Exists(ArrayPath(Events, a.b), v, v > 0)``. Quantifiers, filters and aggregates bind exactly one variable each; several
  declarations are nested.
- No implicit conversion of literals: a literal has the type of its other side. Only Integer with Double and Date with
  DateTime may still meet; both compare as their run-time values do (see `types`).
- ``occurs`` is `TimeRange` over instants (`Now`, `StartOf`, `Shift`, any time value, `LabelTime`), combined by logic.

Variables carry slots that are unique along every path from the root; two siblings may use the same slot, so sub-trees
that mean the same are equal (``==`` and ``hash`` ignore spans, names of variables and derived types).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, TypeVar

from headrace.pql.types import ANY, BOOLEAN, DATE_TIME, INTEGER, STRING, ArrayType, MapType, ObjectType, PqlType

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Span:
    """Part of the query's text, as character offsets; the end is exclusive."""

    start: int
    end: int


NOWHERE = Span(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Base of all bound nodes. ``span`` is where the node comes from and takes no part in comparison."""

    span: Span = field(default=NOWHERE, compare=False, repr=False)

    @property
    def result(self) -> PqlType:
        """Type of the node's value."""
        declared: PqlType = getattr(self, "type", BOOLEAN)
        return declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Value(Bound):
    """A node whose value may be null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate(Bound):
    """A node that is true or false, never null."""


# --- leaves ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal(Value):
    """A constant. Dates and instants are epoch milliseconds; ``null`` is None."""

    value: Scalar
    type: PqlType


@dataclass(frozen=True, slots=True)
class Constant(Predicate):
    """A condition known beforehand, such as the absent ``where`` of a quantifier."""

    value: bool


@dataclass(frozen=True, slots=True)
class Profile(Value):
    """The query's parameter; never null."""

    type: ObjectType = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Events(Value):
    """``xEvent``: the profile's events, one per ``_id``, in the order of (timestamp, _id); never null, may be empty."""

    type: ArrayType = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Variable(Value):
    """The value that an enclosing binder gave to ``slot``. In a binder's own field: the declaration."""

    slot: int
    name: str = field(compare=False)
    type: PqlType = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Now(Value):
    """The one instant of the evaluation, a DateTime; never null."""

    type: PqlType = field(default=DATE_TIME, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class LabelTime(Value):
    """Inside a chain term's ``when``: time of the last event chosen for the earlier term ``label``, a DateTime; never null."""

    label: str
    type: PqlType = field(default=DATE_TIME, compare=False, repr=False)


# --- objects, maps, arrays ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Field(Value):
    """Field of an object; null when the object is null or lacks it. ``object`` is never an array (see `ArrayPath`)."""

    object: Bound
    name: str
    type: PqlType = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ArrayPath(Value):
    """Path through the items of an array: the flattened list of all non-null leaf values, in order, duplicates kept.

    ``path`` names fields below the item; where a step (also the last) holds an array, its items are spliced in. Null when
    ``array`` is null, else a list, perhaps empty. ``step_types`` gives the declared type after each step, arrays included.
    """

    array: Bound
    path: tuple[str, ...]
    type: ArrayType = field(compare=False, repr=False)
    step_types: tuple[PqlType, ...] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ArrayLiteral(Value):
    """A list of values; an item that is null stays in it."""

    items: tuple[Bound, ...]
    type: ArrayType


@dataclass(frozen=True, slots=True)
class ObjectLiteral(Value):
    """An object made of named values, in that order; never null."""

    names: tuple[str, ...]
    values: tuple[Bound, ...]
    type: ObjectType = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Filter(Value):
    """Items of ``array`` for which ``condition`` holds, in order; null when ``array`` is null. Null items are passed over."""

    array: Bound
    variable: Variable
    condition: Bound
    type: ArrayType = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Map(Value):
    """``body`` for every item of ``array``, nulls kept; null when ``array`` is null."""

    array: Bound
    variable: Variable
    body: Bound
    type: ArrayType = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class FlatMap(Value):
    """``body``, itself an array (null counts as empty), for every item, concatenated; null when ``array`` is null."""

    array: Bound
    variable: Variable
    body: Bound
    type: ArrayType = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class GroupBy(Value):
    """Map from ``key`` (as text: integers decimal, booleans true/false) to its items in order; items of null key dropped.

    Null when ``array`` is null.
    """

    array: Bound
    variable: Variable
    key: Bound
    type: MapType = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class MapEntries(Value):
    """A map made from a map: for each entry (keys in code point order) the pair (``key``, ``value``).

    A null key drops the entry; the last of equal keys wins. Null when ``map`` is null.
    """

    map: Bound
    key_variable: Variable
    value_variable: Variable
    key: Bound
    value: Bound
    type: MapType = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class TopN(Value):
    """The ``count`` items with the highest ``key``, descending, or (``is_bottom``) the lowest, ascending.

    Null keys come last, ties keep array order, a negative count is 0. Null when ``array`` or ``count`` is null.
    """

    array: Bound
    variable: Variable
    key: Bound
    count: Bound
    is_bottom: bool
    type: ArrayType = field(compare=False, repr=False)


class AggregateFunction(StrEnum):
    """What `Aggregate` computes."""

    SUM = "sum"
    AVERAGE = "average"
    MIN = "min"
    MAX = "max"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Aggregate(Value):
    """``function`` over ``value`` of every item; null values are skipped, a null array is empty.

    Nothing left: sum and count give 0, the others null. A sum of integers is an Integer (null on 64-bit overflow), an
    average is a Double. COUNT counts the non-null values; the number of items is `Call` of COUNT.
    """

    function: AggregateFunction
    array: Bound
    variable: Variable
    value: Bound
    type: PqlType = field(compare=False, repr=False)


class Function(StrEnum):
    """Plain functions of their arguments. Any null argument gives null, except where said."""

    COUNT = "count"
    """(array) number of items, null items included; 0 for a null array."""
    HEAD = "head"
    """(array) first item; null when empty."""
    DISTINCT = "distinct"
    """(array) first occurrence of each non-null value, in order."""
    INTERSECTION = "intersection"
    """(array, array) distinct non-null items of the first that occur in the second, in order."""
    MAP_GET = "get"
    """(map, string) value under the key; null when absent."""
    MAP_KEYS = "keys"
    """(map) keys in code point order."""
    MAP_VALUES = "values"
    """(map) values in the order of their keys."""
    MAKE_DATE = "date"
    """(year, month, day) 00:00Z of the day; null when there is no such day or the year is outside 1..9999."""


@dataclass(frozen=True, slots=True)
class Call(Value):
    """A plain function applied to its arguments."""

    function: Function
    arguments: tuple[Bound, ...]
    type: PqlType = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RegexGroup(Value):
    """Text of group ``group`` (0 = whole match) of the first match of an RE2 pattern; null when there is none."""

    subject: Bound
    pattern: str
    group: int
    type: PqlType = field(default=STRING, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Lookup(Value):
    """Related entity whose primary identity equals ``key``, or null. ``entity`` names the destination schema."""

    key: Bound
    entity: str
    type: ObjectType = field(compare=False, repr=False)


# --- numbers and times ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arithmetic(Value):
    """``+ - * / %`` of two numbers; null with a null operand.

    ``/`` is always Double; ``/`` and ``%`` by zero give null; ``%`` has the sign of the dividend; an Integer result outside
    64 bits and a Double result that is not finite are null.
    """

    operator: str
    left: Bound
    right: Bound
    type: PqlType


@dataclass(frozen=True, slots=True)
class Negate(Value):
    """Minus the operand; null for null and for the smallest 64-bit integer."""

    operand: Bound
    type: PqlType = field(compare=False, repr=False)


class Unit(StrEnum):
    """Units of time. MILLISECOND to WEEK have fixed lengths; the longer ones shift by calendar months."""

    MILLISECOND = "millisecond"
    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    DECADE = "decade"
    CENTURY = "century"
    MILLENNIUM = "millennium"

    @property
    def fixed_ms(self) -> int | None:
        """Length in milliseconds; None when it depends on the calendar."""
        return _FIXED_MS.get(self)

    @property
    def months(self) -> int:
        """Length in calendar months; 0 for the fixed units."""
        return _MONTHS.get(self, 0)


_FIXED_MS = {
    Unit.MILLISECOND: 1,
    Unit.SECOND: 1_000,
    Unit.MINUTE: 60_000,
    Unit.HOUR: 3_600_000,
    Unit.DAY: 86_400_000,
    Unit.WEEK: 604_800_000,
}
_MONTHS = {Unit.MONTH: 1, Unit.YEAR: 12, Unit.DECADE: 120, Unit.CENTURY: 1_200, Unit.MILLENNIUM: 12_000}


@dataclass(frozen=True, slots=True)
class StartOf(Value):
    """First instant (UTC) of the calendar unit that holds now, moved by ``offset`` units: ``today`` is (DAY, 0); never null.

    Weeks start on Monday; decades, centuries and millennia in years divisible by 10, 100, 1000. The type is Date for DAY
    (``today`` is a day) and DateTime otherwise.
    """

    unit: Unit
    offset: int
    type: PqlType = field(default=DATE_TIME, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class StartOfDay(Value):
    """00:00Z of the day that holds ``instant``; null for null."""

    instant: Bound
    type: PqlType = field(default=DATE_TIME, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Shift(Value):
    """``instant`` moved by ``amount`` (negative: earlier) units; null for null.

    Fixed units add their length. Calendar units keep the time of day and clamp the day to the last one of the month. A
    result outside the years 1..9999 is clamped to the first or last instant of that span.
    """

    instant: Bound
    amount: int
    unit: Unit
    type: PqlType = field(default=DATE_TIME, compare=False, repr=False)


class DatePart(StrEnum):
    """Parts of a time, in UTC."""

    YEAR = "year"
    MONTH = "month"
    DAY = "day"
    MONTH_DAY = "month_day"
    """month * 100 + day, of ``ignoreYear``."""


@dataclass(frozen=True, slots=True)
class PartOf(Value):
    """A part of a time as Integer; null for null. ``ignoreYear(t)`` is MONTH_DAY, ``currentMonth()`` is MONTH of `Now`."""

    part: DatePart
    instant: Bound
    type: PqlType = field(default=INTEGER, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class If(Value):
    """``then`` when the condition holds, else ``otherwise``; null when that branch is null."""

    condition: Bound
    then: Bound
    otherwise: Bound
    type: PqlType


@dataclass(frozen=True, slots=True)
class Let(Value):
    """``body`` with ``variable`` standing for ``value``, computed once."""

    variable: Variable
    value: Bound
    body: Bound
    type: PqlType = field(compare=False, repr=False)


# --- predicates -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IsTrue(Predicate):
    """A boolean value taken as a condition: null is false."""

    operand: Bound


@dataclass(frozen=True, slots=True)
class IsNull(Predicate):
    """Whether the operand has no value; an empty string, array, map or object has one."""

    operand: Bound


@dataclass(frozen=True, slots=True)
class And(Predicate):
    """All operands hold; two or more, evaluated in any order."""

    operands: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class Or(Predicate):
    """At least one operand holds; two or more, evaluated in any order."""

    operands: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class Not(Predicate):
    """The operand does not hold."""

    operand: Bound


@dataclass(frozen=True, slots=True)
class Compare(Predicate):
    """``= != < <= > >=``; false when a side is null, for ``!=`` too.

    Strings compare by code point, case-sensitive; Integer with Double as numbers; times as instants; booleans by equality.
    Arrays (``=``, ``!=`` only) compare as sets of their non-null items; objects and maps deeply. Two events have become a
    comparison of their ``_id``.
    """

    operator: str
    left: Bound
    right: Bound


class TextTest(StrEnum):
    """What `StringTest` asks."""

    EQUALS = "equals"
    STARTS_WITH = "startsWith"
    ENDS_WITH = "endsWith"
    CONTAINS = "contains"


@dataclass(frozen=True, slots=True)
class StringTest(Predicate):
    """A test of one string against another; false when either is null, also when ``is_negated``.

    ``ignores_case`` compares the full Unicode lower case of both. ``is_negated`` inverts the answer for two non-null strings.
    """

    test: TextTest
    subject: Bound
    argument: Bound
    ignores_case: bool
    is_negated: bool


@dataclass(frozen=True, slots=True)
class Like(Predicate):
    r"""SQL-like match of the whole string, case-sensitive; false when either is null.

    ``%`` is any run (also of line breaks), ``_`` one character, ``\%`` and ``\_`` and ``\\`` the character itself.
    """

    subject: Bound
    pattern: Bound


@dataclass(frozen=True, slots=True)
class Matches(Predicate):
    """An RE2 search (not anchored) finds the pattern; false for null."""

    subject: Bound
    pattern: str


@dataclass(frozen=True, slots=True)
class In(Predicate):
    """``item`` equals a non-null member of ``array``; false when either side is null. ``is_negated``: equals none of them."""

    item: Bound
    array: Bound
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class Intersects(Predicate):
    """The arrays share a non-null member; false when either is null."""

    left: Bound
    right: Bound


@dataclass(frozen=True, slots=True)
class SubsetOf(Predicate):
    """Every non-null member of ``left`` is in ``right``; false when either is null."""

    left: Bound
    right: Bound


@dataclass(frozen=True, slots=True)
class Exists(Predicate):
    """Some item satisfies ``condition``; false when the array is null. An item that is null is passed over.

    Also ``A.exists(c)``, a positive test of an array path, and an array in boolean position (condition `Constant` true).
    """

    array: Bound
    variable: Variable
    condition: Bound


@dataclass(frozen=True, slots=True)
class ForAll(Predicate):
    """Every item satisfies ``condition``; true when the array is null or empty. An item that is null is passed over."""

    array: Bound
    variable: Variable
    condition: Bound


@dataclass(frozen=True, slots=True)
class TimeRange(Predicate):
    """``lower <(=) operand <(=) upper``; an absent bound (None) does not bind.

    False when the operand or a present bound is null, and when the bounds cross. At least one bound is present.
    """

    operand: Bound
    lower: Bound | None
    upper: Bound | None
    is_lower_inclusive: bool = True
    is_upper_inclusive: bool = True


@dataclass(frozen=True, slots=True)
class InSegment(Predicate):
    """Membership of another audience: ``segmentMembership.ups.<audience_id>.status`` is ``realized`` or ``existing``."""

    audience_id: str


@dataclass(frozen=True, slots=True)
class ChainTerm(Predicate):
    """One step of a `Chain`. Not a condition by itself; it is read through its chain only.

    Attributes:
        label: Name, unique in the chain.
        condition: Predicate of the event (the chain's ``variable``): WHAT and WHERE together.
        when: Predicates (and-ed) of the event's time; their operand is the chain's ``time``, and only they hold `LabelTime`.
        min_count: Events needed; 0 for an exclusion or a range that includes none.
        max_count: Events allowed; None is unbounded, 0 an exclusion.
    """

    label: str
    condition: Bound
    when: tuple[Bound, ...]
    min_count: int = 1
    max_count: int | None = None

    @property
    def is_positive(self) -> bool:
        """Whether the term needs an event."""
        return self.min_count > 0


@dataclass(frozen=True, slots=True)
class Chain(Predicate):
    """Some choice of items satisfies all terms in strict order of time; a null array counts as empty.

    Items are sorted by (``time``, _id); items of null time are ignored. An event *matches* a term when the term's condition
    and all of its ``when`` hold. A term without ``max_count`` chooses ``min_count`` matching events (the next term starts
    strictly after the last of them); with one, it counts all matching events strictly between the last event of the
    positive term before and the first event of the positive term after it (to the ends of history where there is none),
    and, when positive, its last event is the last of those.
    """

    array: Bound
    variable: Variable
    time: Bound
    terms: tuple[ChainTerm, ...]


# --- walking --------------------------------------------------------------------------------------------------------------

_Node = TypeVar("_Node", bound=Bound)


_CHILD_FIELDS: dict[type[Bound], tuple[str, ...]] = {}


def _child_fields(kind: type[Bound]) -> tuple[str, ...]:
    """Names of the fields that can hold sub-expressions; a binder's declaration is none."""
    names = _CHILD_FIELDS.get(kind)
    if names is None:
        names = tuple(part.name for part in fields(kind) if not _holds_no_child(part.name))
        _CHILD_FIELDS[kind] = names
    return names


def _holds_no_child(name: str) -> bool:
    return name in ("span", "type", "step_types") or name.endswith("variable")


def named_children(node: Bound) -> Iterator[tuple[str, Bound]]:
    """Yield the direct sub-expressions of a node with the names of the fields that hold them, in the order of the fields."""
    for name in _child_fields(type(node)):
        part = getattr(node, name)
        if isinstance(part, Bound):
            yield name, part
        elif isinstance(part, tuple):
            yield from ((name, item) for item in part if isinstance(item, Bound))


def children(node: Bound) -> Iterator[Bound]:
    """Yield the direct sub-expressions of a node, in the order of its fields; declarations of variables are not among them."""
    for _, child in named_children(node):
        yield child


def walk(node: Bound) -> Iterator[Bound]:
    """Yield the node and everything below it, parents first."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(reversed(tuple(children(current))))


def variables_of(node: Bound) -> tuple[Variable, ...]:
    """Return the variables that the node itself declares."""
    return tuple(
        value
        for part in fields(node)
        if part.name.endswith("variable") and isinstance(value := getattr(node, part.name), Variable)
    )


def size_and_depth(root: Bound) -> tuple[int, int]:
    """Return how many nodes a tree has, shared parts counted each time, and how many levels; does not recurse."""
    known: dict[int, tuple[int, int]] = {}
    pending = [root]
    while pending:
        node = pending[-1]
        parts = list(children(node))
        unknown = [part for part in parts if id(part) not in known]
        if unknown:
            pending.extend(unknown)
            continue
        pending.pop()
        sizes = [known[id(part)] for part in parts]
        known[id(node)] = (1 + sum(size for size, _ in sizes), 1 + max((depth for _, depth in sizes), default=0))
    return known[id(root)]


def map_children(node: _Node, change: Callable[[Bound], Bound]) -> _Node:
    """Return the node with ``change`` applied to each direct sub-expression; the same object when nothing changed."""
    changed: dict[str, Any] = {}
    for name in _child_fields(type(node)):
        part = getattr(node, name)
        if isinstance(part, Bound):
            new: Any = change(part)
        elif isinstance(part, tuple):
            items = tuple(change(item) if isinstance(item, Bound) else item for item in part)
            new = part if all(one is other for one, other in zip(items, part, strict=True)) else items
        else:
            continue
        if new is not part:
            changed[name] = new
    return replace(node, **changed) if changed else node


def transform(node: Bound, change: Callable[[Bound], Bound]) -> Bound:
    """Rebuild a tree bottom-up: ``change`` sees every node after its sub-expressions have been changed."""
    return change(map_children(node, lambda child: transform(child, change)))


def item_type(array: Bound) -> PqlType:
    """Return the type of an array's items; `ANY` when that is not known."""
    return array.result.item if isinstance(array.result, ArrayType) else ANY


def array_type(array: Bound) -> ArrayType:
    """Return an array's type; array of `ANY` when that is not known."""
    return array.result if isinstance(array.result, ArrayType) else ArrayType(ANY)


def renumbered(node: Bound) -> Bound:
    """Return the tree with the slot of each variable equal to the number of variables visible where it is declared.

    Trees that mean the same thereby become equal. Slots of the given tree need only be unambiguous: no binder may lie
    inside the scope of another one with the same slot and still refer to the outer one.
    """
    return _renumbered(node, {}, 0)


def _renumbered(node: Bound, slots: Mapping[int, int], depth: int) -> Bound:
    if isinstance(node, Variable):
        return node if slots.get(node.slot, node.slot) == node.slot else replace(node, slot=slots[node.slot])
    declared = variables_of(node)
    if not declared:
        return map_children(node, lambda child: _renumbered(child, slots, depth))
    inner = {**slots, **{variable.slot: depth + index for index, variable in enumerate(declared)}}
    changed: dict[str, Any] = {}
    for part in fields(node):
        value, is_inside = getattr(node, part.name), not is_outside(node, part.name)
        if isinstance(value, Variable) and part.name.endswith("variable"):
            changed[part.name] = replace(value, slot=inner[value.slot])
        elif isinstance(value, Bound):
            changed[part.name] = _renumbered(value, inner if is_inside else slots, depth + len(declared) * is_inside)
        elif isinstance(value, tuple) and part.name == "terms":
            changed[part.name] = tuple(_renumbered(term, inner, depth + 1) for term in value)
    return replace(node, **changed)


def is_outside(binder: Bound, field_name: str) -> bool:
    """Whether the sub-expression in this field of a binder does not see the binder's variables."""
    return field_name in ("array", "map", "count") or (field_name == "value" and isinstance(binder, Let))
