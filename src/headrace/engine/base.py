"""The small relational vocabulary that compilers build statements from, and the contract of an engine that runs them.

Statements are `sqlglot` expressions, never pasted text: every name is a quoted identifier, every constant a literal node.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from sqlglot import exp

Expression = exp.Expression
_ATOMS = (exp.Column, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Anonymous, exp.Cast, exp.Case, exp.Coalesce, exp.Struct)
Scalar = str | int | float | bool | None


class Engine(Protocol):
    """Runs statements over named relations; one job at a time, thrown away with its relations at the end."""

    def register(self, name: str, table: pa.Table) -> None:
        """Make a table in memory known under ``name``."""
        ...

    def register_files(self, name: str, files: Sequence[Path | str]) -> None:
        """Make Parquet files of one layout known under ``name``; columns that a file lacks are null."""
        ...

    def define(self, name: str, query: exp.Query, *, is_stored: bool = False) -> None:
        """Give the result of a query a name; ``is_stored`` computes it at once and only once."""
        ...

    def run(self, query: exp.Query) -> Iterable[pa.RecordBatch]:
        """Run a query and give its rows in batches, in no particular order unless the query orders them.

        Raises:
            EngineRefused: The statement is wrong; this is our error, the same statement never succeeds.
            EngineOverloaded: Memory or disk did not suffice.
        """
        ...

    def columns(self, name: str) -> dict[str, str]:
        """Return the columns of a relation with their types, as the engine names them."""
        ...

    def close(self) -> None:
        """Forget all relations."""
        ...


# --- names and constants --------------------------------------------------------------------------------------------------


def identifier(name: str) -> exp.Identifier:
    """Return a quoted name."""
    return exp.to_identifier(name, quoted=True)


def column(name: str, relation: str | None = None) -> exp.Column:
    """Return a column, of a named relation when one is given."""
    return exp.column(identifier(name), table=identifier(relation) if relation else None)


def relation(name: str, alias: str | None = None) -> exp.Table:
    """Return a relation by name."""
    return exp.Table(this=identifier(name), alias=exp.TableAlias(this=identifier(alias)) if alias else None)


def constant(value: Scalar) -> Expression:
    """Return a literal: texts, 64-bit integers, doubles, truth values, null."""
    if value is None:
        return exp.Null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, str):
        return exp.Literal.string(value)
    digits = str(abs(value)) if isinstance(value, int) else repr(abs(value))
    if isinstance(value, float) and "e" not in digits:
        digits += "e0"  # without an exponent the engine reads a decimal
    number: Expression = exp.Literal.number(digits)
    number = exp.Neg(this=number) if value < 0 else number
    return cast(number, "BIGINT") if isinstance(value, int) else number


def truth(value: bool) -> Expression:
    """Return a new truth value."""
    return exp.Boolean(this=value)


def cast(value: Expression, kind: str) -> Expression:
    """Return a value as another type; a value that does not fit is an error."""
    return exp.Cast(this=value, to=exp.DataType.build(kind, dialect="duckdb"))


def try_cast(value: Expression, kind: str) -> Expression:
    """Return a value as another type; null when it does not fit."""
    return exp.TryCast(this=value, to=exp.DataType.build(kind, dialect="duckdb"))


def call(name: str, *arguments: Expression) -> Expression:
    """Return a function of the engine applied to its arguments."""
    return exp.Anonymous(this=name, expressions=list(arguments))


# --- conditions -----------------------------------------------------------------------------------------------------------


def holds(condition: Expression) -> Expression:
    """Return a condition whose null is false."""
    return coalesce(condition, truth(False))


def coalesce(*values: Expression) -> Expression:
    """Return the first value that is not null."""
    return exp.Coalesce(this=values[0], expressions=list(values[1:]))


def is_null(value: Expression) -> Expression:
    """Whether a value is null."""
    return exp.Is(this=parenthesised(value), expression=exp.Null())


def is_known(value: Expression) -> Expression:
    """Whether a value is not null."""
    return exp.Not(this=is_null(value))


def relaxed(condition: Expression) -> Expression:
    """Return a condition for a place where null counts as false, without what only makes null false."""
    match condition:
        case exp.Coalesce(this=inner, expressions=[exp.Boolean(this=False)]):
            return relaxed(inner)
        case exp.Paren(this=inner):
            return exp.Paren(this=relaxed(inner))
        case exp.And() | exp.Or():
            both = [relaxed(condition.this), relaxed(condition.expression)]
            return type(condition)(this=both[0], expression=both[1])
    return condition


def not_(condition: Expression) -> Expression:
    """The opposite of a condition."""
    return exp.Not(this=parenthesised(condition))


def all_of(conditions: Sequence[Expression]) -> Expression:
    """Whether all conditions hold; true for none."""
    joined: Expression = exp.and_(*conditions) if conditions else truth(True)  # type: ignore[assignment]
    return joined


def any_of(conditions: Sequence[Expression]) -> Expression:
    """Whether a condition holds; false for none."""
    joined: Expression = exp.or_(*conditions) if conditions else truth(False)  # type: ignore[assignment]
    return joined


def parenthesised(value: Expression) -> Expression:
    """Return a value in parentheses unless it needs none."""
    return value if isinstance(value, _ATOMS) else exp.Paren(this=value)


def binary(operator: type[exp.Binary], left: Expression, right: Expression) -> Expression:
    """Return ``left operator right``, each side in parentheses where needed."""
    result: Expression = operator(this=parenthesised(left), expression=parenthesised(right))  # type: ignore[assignment]
    return result


def equals(left: Expression, right: Expression) -> Expression:
    """Whether two values are equal; null when one is null."""
    return binary(exp.EQ, left, right)


def when(condition: Expression, then: Expression, otherwise: Expression | None = None) -> Expression:
    """Return ``then`` where the condition holds, else ``otherwise`` (null when absent)."""
    return exp.Case(ifs=[exp.If(this=condition, true=then)], default=otherwise)


# --- lists, structs, maps -------------------------------------------------------------------------------------------------


def function_of(name: str, body: Expression, index: str | None = None) -> Expression:
    """Return a function of an item (and of its position from 1) for the list functions."""
    names = [identifier(name)] + ([identifier(index)] if index else [])
    return exp.Lambda(this=body, expressions=names)


def filtered(array: Expression, name: str, condition: Expression, index: str | None = None) -> Expression:
    """Return the items for which a condition holds."""
    return call("list_filter", array, function_of(name, condition, index))


def mapped(array: Expression, name: str, body: Expression, index: str | None = None) -> Expression:
    """Return a value for each item."""
    return call("list_transform", array, function_of(name, body, index))


def without_nulls(array: Expression, name: str) -> Expression:
    """Return the items that are not null."""
    return filtered(array, name, is_known(column(name)))


def length(array: Expression) -> Expression:
    """Return the number of items; null for null."""
    return call("len", array)


def is_empty(array: Expression) -> Expression:
    """Whether a list has no item; null for null."""
    return equals(length(array), constant(0))


def list_of(items: Iterable[Expression]) -> Expression:
    """Return a list."""
    return call("list_value", *items)


def item_at(array: Expression, position: int) -> Expression:
    """Return the item at a position from 1 (from the end when negative); null when there is none."""
    return call("list_extract", array, constant(position))


def field_of(struct: Expression, name: str) -> Expression:
    """Return a field of a struct; null for a null struct."""
    return call("struct_extract", struct, exp.Literal.string(name))


def struct_of(fields: Iterable[tuple[str, Expression]]) -> Expression:
    """Return a struct of named values."""
    return exp.Struct(expressions=[exp.PropertyEQ(this=identifier(name), expression=value) for name, value in fields])


# --- aggregates -----------------------------------------------------------------------------------------------------------


def aggregate(
    name: str, value: Expression, condition: Expression | None = None, *, order: Sequence[Expression] = ()
) -> Expression:
    """Return an aggregate of the values of those rows for which a condition holds, taken in an order where that matters."""
    argument: Expression = value
    if order:
        argument = exp.Order(this=value, expressions=[exp.Ordered(this=key, nulls_first=False) for key in order])
    result = call(name, argument)
    return result if condition is None else exp.Filter(this=result, expression=exp.Where(this=relaxed(condition)))


def sql(expression: Expression | exp.Query, *, is_pretty: bool = False) -> str:
    """Return the text that DuckDB reads."""
    text: str = expression.sql(dialect="duckdb", pretty=is_pretty)
    return text
