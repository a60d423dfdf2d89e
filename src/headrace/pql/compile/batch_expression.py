"""Bound nodes to relational expressions.

Predicates come out never null. An array is a list, an object a struct, a map a map, a time epoch milliseconds; a value whose type
the schema leaves open is JSON and takes the type of its other side, null when it has another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from headrace.engine.base import Expression, cast, column, constant, is_null, item_at, list_of, mapped, truth
from headrace.engine.base import field_of as struct_field
from headrace.pql import tree as t
from headrace.pql.compile import batch_chain, batch_predicates, batch_values
from headrace.pql.compile.batch_json import as_type, json_field
from headrace.pql.compile.batch_layout import column_name, sql_type
from headrace.pql.types import AnyType, ArrayType, DoubleType, NullType, PqlType, StringType


class NotHere(Exception):
    """The expression needs something that this place does not have; another place must be tried."""


@dataclass(frozen=True, slots=True)
class Record:
    """A variable that stands for a row: its fields are columns of a relation."""

    relation: str


class Place(Protocol):
    """Where an expression is evaluated, and so what the leaves of a query are there."""

    def profile_field(self, name: str) -> Expression:
        """Return a field of the profile."""
        ...

    def events(self) -> Expression:
        """Return the list of the person's events."""
        ...

    def is_member(self, audience_id: str) -> Expression:
        """Return whether the person is in another audience."""
        ...

    def found(self, node: t.Bound) -> Expression | None:
        """Return the expression of a node that this place has a better way for, None otherwise."""
        ...


@dataclass(frozen=True, slots=True)
class Expressions:
    """Makes expressions of the nodes of one query in one place.

    Attributes:
        place: What the leaves are.
        now_ms: The one instant of the evaluation.
        variables: What the variables in sight stand for, by slot.
        labels: What the labels of the chain in sight stand for.
        depth: Functions around this place; names their parameters.
    """

    place: Place
    now_ms: int
    variables: Mapping[int, Expression | Record] = field(default_factory=dict)
    labels: Mapping[str, Expression] = field(default_factory=dict)
    depth: int = 0

    # --- moving inwards ---------------------------------------------------------------------------------------------------

    def parameter(self) -> str:
        """Return a name for the parameter of a function at this depth."""
        return f"$v{self.depth}"

    def deeper(self, levels: int = 1) -> Expressions:
        """Return the expressions inside ``levels`` further functions."""
        return replace(self, depth=self.depth + levels)

    def having(self, variable: t.Variable, value: Expression | Record) -> Expressions:
        """Return the expressions where a variable stands for ``value``."""
        return replace(self, variables={**self.variables, variable.slot: value})

    def within(self, variable: t.Variable) -> tuple[str, Expressions]:
        """Return a parameter for a variable and the expressions inside the function that takes it."""
        name = self.parameter()
        return name, self.deeper().having(variable, column(name))

    def bound(self, value: Expression, body: Callable[[Expression, Expressions], Expression]) -> Expression:
        """Return ``body`` of a value that is computed once."""
        name = self.parameter()
        return item_at(mapped(list_of([value]), name, body(column(name), self.deeper())), 1)

    # --- values -----------------------------------------------------------------------------------------------------------

    def of(self, node: t.Bound) -> Expression:
        """Return the expression of a node."""
        better = self.place.found(node)
        return better if better is not None else RULES[type(node)](self, node)

    def typed(self, node: t.Bound, target: PqlType) -> Expression:
        """Return the expression of a node as a type that its own may leave open."""
        if isinstance(node, t.Literal) and node.value is None:
            return cast(constant(None), sql_type(target))
        return as_type(self.of(node), node.result, target)

    def text(self, node: t.Bound) -> Expression:
        """Return a node as a string."""
        return self.typed(node, StringType())

    def array(self, node: t.Bound) -> Expression:
        """Return a node as a list."""
        return self.of(node) if isinstance(node.result, ArrayType) else self.typed(node, ArrayType(AnyType()))

    def field(self, node: t.Field) -> Expression:
        """Return a field of a record, of an object or of a JSON value."""
        owner, name = node.object, column_name(node.name)
        if isinstance(owner, t.Profile):
            return self.place.profile_field(node.name)
        if isinstance(owner, t.If):
            branches = [t.Field(branch, node.name, node.type) for branch in (owner.then, owner.otherwise)]
            return self.of(t.If(owner.condition, branches[0], branches[1], node.type))
        if isinstance(owner, t.Literal):
            return cast(constant(None), sql_type(node.type))
        if isinstance(owner, t.Variable) and isinstance(record := self.variable(owner), Record):
            return column(name, record.relation)
        if isinstance(owner.result, AnyType):
            return json_field(self.of(owner), node.name)
        return struct_field(self.of(owner), name)

    def variable(self, node: t.Variable) -> Expression | Record:
        """Return what a variable stands for."""
        value = self.variables.get(node.slot)
        if value is None:
            raise NotHere
        return value

    def value_of_variable(self, node: t.Variable) -> Expression:
        """Return the value of a variable; a row as a whole is asked for only to see that it is there."""
        value = self.variable(node)
        if isinstance(value, Record):
            raise NotHere
        return value.copy()


# --- the rules ------------------------------------------------------------------------------------------------------------


def _literal(by: Expressions, node: t.Literal) -> Expression:
    if node.value is None:
        return constant(None) if isinstance(node.type, NullType | AnyType) else cast(constant(None), sql_type(node.type))
    value = node.value
    if isinstance(node.type, DoubleType) and isinstance(value, int):
        value = float(value)
    return constant(value)


def _events(by: Expressions, node: t.Events) -> Expression:
    del node
    return by.place.events()


def _is_null(by: Expressions, node: t.IsNull) -> Expression:
    operand = node.operand
    is_row = isinstance(operand, t.Variable) and isinstance(by.variables.get(operand.slot), Record)
    if is_row or isinstance(operand, t.Profile | t.Predicate | t.Events):
        return truth(False)
    return is_null(by.of(operand))


RULES: Mapping[type[t.Bound], Callable[[Expressions, Any], Expression]] = {
    t.Literal: _literal,
    t.Constant: lambda _, node: truth(node.value),
    t.Variable: Expressions.value_of_variable,
    t.Events: _events,
    t.Field: Expressions.field,
    t.IsNull: _is_null,
    t.InSegment: lambda by, node: by.place.is_member(node.audience_id),
    **batch_values.RULES,
    **batch_predicates.RULES,
    **batch_chain.RULES,
}
"""How each kind of node is written."""
