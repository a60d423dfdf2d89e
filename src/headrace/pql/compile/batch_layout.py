"""Which part of a record a batch statement reads, and how that part stands in a relation.

A relation holds one column per field of the record that is read at all, each cut down to what is read below it. Times stand as
epoch milliseconds, objects as structs, what the schema leaves open as JSON.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from headrace.pql import tree as t
from headrace.pql.types import (
    AnyType,
    ArrayType,
    BooleanType,
    DateTimeType,
    DateType,
    DoubleType,
    IntegerType,
    MapType,
    ObjectType,
    PqlType,
)

PRESENCE = "$"
"""The one field of a struct of which only the presence is read."""


@dataclass(slots=True)
class Need:
    """What is read of a value: named fields, items (of an array or a map), or all of it; nothing means its presence only."""

    fields: dict[str, "Need"] = field(default_factory=dict)
    item: "Need | None" = None
    is_whole: bool = False

    def merge(self, other: "Need") -> None:
        """Add what another need reads."""
        self.is_whole |= other.is_whole
        for name, below in other.fields.items():
            self.fields.setdefault(name, Need()).merge(below)
        if other.item is not None:
            if self.item is None:
                self.item = Need()
            self.item.merge(other.item)

    def of_field(self, name: str) -> "Need":
        """Return what is read below a field."""
        if self.is_whole:
            return Need(is_whole=True)
        return self.fields.get(name) or Need()

    def of_item(self) -> "Need":
        """Return what is read of each item."""
        return Need(is_whole=True) if self.is_whole else self.item or Need()


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a relation.

    Attributes:
        field: Name of the record's field.
        name: Name of the column.
        type: Its type, cut down to what is read.
    """

    field: str
    name: str
    type: PqlType


def column_name(field_name: str) -> str:
    """Return the name of the column or struct field that holds a record's field.

    The engine does not tell upper from lower case, XDM does; so a name with capitals says which of its letters they are.
    """
    if field_name == field_name.lower():
        return field_name
    capitals = sum(1 << position for position, letter in enumerate(field_name) if letter != letter.lower())
    return f"{field_name}${capitals:x}"


def cut_down(of: PqlType, need: Need) -> PqlType:
    """Return the type without the fields that nobody reads."""
    match of:
        case ObjectType():
            names = of.fields if need.is_whole else [name for name in of.fields if name in need.fields]
            return ObjectType({name: cut_down(of.fields[name], need.of_field(name)) for name in names}, of.is_event)
        case ArrayType():
            return ArrayType(cut_down(of.item, need.of_item()))
        case MapType():
            return MapType(cut_down(of.value, need.of_item()))
        case _:
            return of


def columns_of(record: ObjectType, need: Need) -> tuple[Column, ...]:
    """Return the columns for what is read of a record."""
    cut = cut_down(record, need)
    return tuple(Column(name, column_name(name), of) for name, of in sorted(fields_of(cut)))


def fields_of(of: PqlType) -> Iterable[tuple[str, PqlType]]:
    """Return the fields of an object type as pairs."""
    return of.fields.items() if isinstance(of, ObjectType) else ()


def sql_type(of: PqlType) -> str:
    """Return the engine's type for values of a PQL type."""
    match of:
        case IntegerType() | DateType() | DateTimeType():
            return "BIGINT"
        case DoubleType():
            return "DOUBLE"
        case BooleanType():
            return "BOOLEAN"
        case ArrayType():
            return f"{sql_type(of.item)}[]"
        case MapType():
            return f"MAP(VARCHAR, {sql_type(of.value)})"
        case ObjectType():
            parts = [f"{_quoted(column_name(name))} {sql_type(below)}" for name, below in of.fields.items()]
            return f"STRUCT({', '.join(parts or [_quoted(PRESENCE) + ' BOOLEAN'])})"
        case AnyType():
            return "JSON"
        case _:
            return "VARCHAR"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# --- what a query reads ---------------------------------------------------------------------------------------------------


class Reading:
    """What some queries read of the profile and of its events."""

    def __init__(self) -> None:
        self.profile = Need()
        self.event = Need()

    def add(self, root: t.Bound) -> None:
        """Add what a query reads."""
        self._read(root, Need(), {})

    def _read(self, node: t.Bound, need: Need, variables: Mapping[int, Need]) -> None:
        match node:
            case t.Profile():
                self.profile.merge(need)
            case t.Events():
                self.event.merge(need.of_item())
            case t.Variable():
                variables[node.slot].merge(need)
            case t.Field():
                self._read(node.object, Need({node.name: need}), variables)
            case t.ArrayPath():
                self._read(node.array, Need(item=_along(node, need.of_item())), variables)
            case t.Chain():
                self._read_chain(node, variables)
            case t.Lookup():
                self._read(node.key, Need(), variables)
            case t.Call():
                self._read_call(node, need, variables)
            case t.Let():
                value = Need()
                self._read(node.body, need, {**variables, node.variable.slot: value})
                self._read(node.value, value, variables)
            case t.MapEntries():
                self._read_entries(node, need, variables)
            case t.ObjectLiteral():
                for name, value_node in zip(node.names, node.values, strict=True):
                    self._read(value_node, need.of_field(name), variables)
            case t.ArrayLiteral():
                for item in node.items:
                    self._read(item, need.of_item(), variables)
            case t.If():
                self._read(node.condition, Need(), variables)
                self._read(node.then, need, variables)
                self._read(node.otherwise, need, variables)
            case _:
                self._read_other(node, need, variables)

    def _read_other(self, node: t.Bound, need: Need, variables: Mapping[int, Need]) -> None:
        declared = t.variables_of(node)
        array = getattr(node, "array", None)
        if len(declared) == 1 and isinstance(array, t.Bound):
            self._read_binder(node, declared[0], array, need, variables)
            return
        is_whole = isinstance(node, t.Compare | t.In | t.Intersects | t.SubsetOf)
        for child in t.children(node):
            self._read(child, Need(is_whole=is_whole), variables)

    def _read_binder(
        self, node: t.Bound, variable: t.Variable, array: t.Bound, need: Need, variables: Mapping[int, Need]
    ) -> None:
        item = Need()
        inner = {**variables, variable.slot: item}
        for child in t.children(node):
            if child is not array:
                self._read(child, _need_of_body(node, need), inner)
        if isinstance(node, t.Filter | t.TopN):
            item.merge(need.of_item())
        elif isinstance(node, t.GroupBy):
            item.merge(need.of_item().of_item())
        self._read(array, Need(item=item), variables)

    def _read_chain(self, node: t.Chain, variables: Mapping[int, Need]) -> None:
        item = Need()
        inner = {**variables, node.variable.slot: item}
        self._read(node.time, Need(), inner)
        for term in node.terms:
            for child in t.children(term):
                self._read(child, Need(), inner)
        self._read(node.array, Need(item=item), variables)

    def _read_call(self, node: t.Call, need: Need, variables: Mapping[int, Need]) -> None:
        first, *rest = node.arguments
        match node.function:
            case t.Function.HEAD | t.Function.MAP_GET:
                below = Need(item=need)
            case t.Function.MAP_VALUES:
                below = Need(item=need.of_item())
            case t.Function.DISTINCT | t.Function.INTERSECTION:
                below = Need(is_whole=True)
            case _:
                below = Need()
        self._read(first, below, variables)
        for other in rest:
            self._read(other, Need(is_whole=node.function is t.Function.INTERSECTION), variables)

    def _read_entries(self, node: t.MapEntries, need: Need, variables: Mapping[int, Need]) -> None:
        value = Need()
        inner = {**variables, node.key_variable.slot: Need(), node.value_variable.slot: value}
        self._read(node.key, Need(), inner)
        self._read(node.value, need.of_item(), inner)
        self._read(node.map, Need(item=value), variables)


def _need_of_body(node: t.Bound, need: Need) -> Need:
    match node:
        case t.Map():
            return need.of_item()
        case t.FlatMap():
            return need
        case _:
            return Need()


def _along(node: t.ArrayPath, leaf: Need) -> Need:
    """Return what a path reads of each item of its array."""
    below = leaf
    for name, of in reversed(list(zip(node.path, node.step_types, strict=True))):
        below = Need({name: Need(item=below) if isinstance(of, ArrayType) else below})
    return below


def leaves(columns: Iterable[Column]) -> Iterator[tuple[str, ...]]:
    """Yield the paths that columns hold, for people to read."""
    for column in columns:
        yield from ((column.field, *path) for path in _paths(column.type))


def _paths(of: PqlType) -> Iterator[tuple[str, ...]]:
    below = of
    while isinstance(below, ArrayType | MapType):
        below = below.item if isinstance(below, ArrayType) else below.value
    if isinstance(below, ObjectType) and below.fields:
        for name, part in below.fields.items():
            yield from ((name, *path) for path in _paths(part))
    else:
        yield ()
