"""Arrays: what is evaluated for each item, declarations, quantifiers, aggregates."""

from collections.abc import Callable, Sequence

from headrace.pql import syntax
from headrace.pql.bind_core import BinderCore
from headrace.pql.errors import ProblemCode
from headrace.pql.scope import Scope
from headrace.pql.syntax import Syntax
from headrace.pql.tree import (
    Aggregate,
    AggregateFunction,
    And,
    Bound,
    Constant,
    Exists,
    Filter,
    FlatMap,
    ForAll,
    Let,
    Literal,
    Map,
    ObjectLiteral,
    Span,
    Variable,
    array_type,
    item_type,
)
from headrace.pql.types import (
    ANY,
    DOUBLE,
    INTEGER,
    AnyType,
    ArrayType,
    MapType,
    ObjectType,
    PqlType,
    is_ordered,
)


class ArrayRules(BinderCore):
    """Binds what declares variables."""

    def array(self, node: Syntax, scope: Scope) -> Bound:
        """Bind an expression that must be an array; `Literal` null of any type when it is none."""
        return self.as_array(self.value(node, scope))

    def as_array(self, value: Bound) -> Bound:
        """Return the value when it is an array; else record that it is none."""
        if isinstance(value.result, ArrayType | AnyType):
            return value
        hint = " Write keys() or values()." if isinstance(value.result, MapType) else ""
        return self.refuse(ProblemCode.TYPE, value.span, f"An array is needed here, this is {value.result.name}.{hint}")

    def per_item(
        self, array: Bound, argument: Syntax, scope: Scope, rule: Callable[[Syntax, Scope], Bound]
    ) -> tuple[Variable, Bound]:
        """Bind an argument that is evaluated for each item: a lambda names the item, else the item is the receiver."""
        of = item_type(array)
        if isinstance(argument, syntax.Lambda):
            if len(argument.names) != 1:
                self.refuse(ProblemCode.ARITY, argument.span, f"The lambda takes one item, not {len(argument.names)}.")
                return self.new_variable("_item", of), Literal(None, ANY)
            inner, variable = self.declared(argument.names[0], of, scope, argument.span)
            return variable, rule(argument.body, inner)
        variable = self.new_variable("_item", of)
        return variable, rule(argument, scope.with_receiver(variable))

    def declared(self, name: str, of: PqlType, scope: Scope, span: Span) -> tuple[Scope, Variable]:
        """Return the scope with a new variable; record when its name is taken."""
        if name in scope.variables:
            self.refuse(ProblemCode.VAR, span, f"Variable {name} is declared twice.")
        variable = self.new_variable(name, of, span)
        return scope.with_variable(name, variable), variable

    def _filter(self, node: syntax.Filter, scope: Scope) -> Bound:
        array = self.array(node.array, scope)
        variable, condition = self.per_item(array, node.condition, scope, self.condition)
        return Filter(array, variable, self.as_condition(condition), array_type(array), span=node.span)

    def _declare(self, declarations: Sequence[syntax.Declaration], scope: Scope) -> tuple[Bound, Variable, Bound | None, Scope]:
        """Bind the first of several declarations: its array, variable, condition, and the scope of what follows."""
        first, later = declarations[0], frozenset(declaration.name for declaration in declarations[1:])
        outer = scope.before(scope.later - {first.name} | later)
        array = self.array(first.source, outer.before(outer.later | {first.name}))
        inner, variable = self.declared(first.name, item_type(array), outer, first.name_span)
        condition = None if first.condition is None else self.condition(first.condition, inner)
        return array, variable, condition, inner

    def _quantified(self, declarations: Sequence[syntax.Declaration], scope: Scope, *, is_universal: bool) -> Bound:
        array, variable, condition, inner = self._declare(declarations, scope)
        span = Span(declarations[0].span.start, declarations[-1].span.end)
        parts = [] if condition is None else [condition]
        if len(declarations) > 1:
            parts.append(self._quantified(declarations[1:], inner, is_universal=is_universal))
        body = And(tuple(parts)) if len(parts) > 1 else parts[0] if parts else Constant(True)
        kind = ForAll if is_universal else Exists
        return kind(array, variable, body, span=span)

    def _select(self, node: syntax.Select, scope: Scope) -> Bound:
        if len(node.declarations) == 1:
            array, variable, condition, _ = self._declare(node.declarations, scope)
            return Filter(array, variable, condition or Constant(True), array_type(array), span=node.span)
        names = [declaration.name for declaration in node.declarations]
        return self._over(node.declarations, scope, lambda inner: _tuple_of(names, inner), node.span)

    def _over(
        self, declarations: Sequence[syntax.Declaration], scope: Scope, body: Callable[[Scope], Bound], span: Span
    ) -> Bound:
        """Return the array of ``body`` for every choice of the variables that satisfies the conditions."""
        array, variable, condition, inner = self._declare(declarations, scope)
        chosen = array if condition is None else Filter(array, variable, condition, array_type(array), span=span)
        if len(declarations) == 1:
            value = body(inner)
            return Map(chosen, variable, value, ArrayType(value.result), span=span)
        rest = self._over(declarations[1:], inner, body, span)
        of = rest.result if isinstance(rest.result, ArrayType) else ArrayType(ANY)
        return FlatMap(chosen, variable, rest, of, span=span)

    def _aggregate_over(self, node: syntax.AggregateOver, scope: Scope) -> Bound:
        values = self._over(node.declarations, scope, lambda inner: self.value(node.value, inner), node.span)
        if isinstance(values, Map):
            return self.aggregate(AggregateFunction(node.function), values.array, values.variable, values.body, node.span)
        item = self.new_variable("_item", item_type(values))
        return self.aggregate(AggregateFunction(node.function), values, item, item, node.span)

    def aggregate(self, function: AggregateFunction, array: Bound, variable: Variable, value: Bound, span: Span) -> Bound:
        """Return an aggregate after checking what it is computed from."""
        of = value.result
        if function in (AggregateFunction.SUM, AggregateFunction.AVERAGE):
            value = self.number(value, f"{function} takes numbers")
        elif function in (AggregateFunction.MIN, AggregateFunction.MAX) and not is_ordered(of):
            value = self.refuse(ProblemCode.TYPE, value.span, f"{function} takes numbers, strings or times, got {of.name}.")
        if function is AggregateFunction.COUNT:
            result: PqlType = INTEGER
        elif function is AggregateFunction.AVERAGE:
            result = DOUBLE
        elif function is AggregateFunction.SUM:
            result = INTEGER if of == INTEGER else DOUBLE
        else:
            result = of
        return Aggregate(function, array, variable, value, result, span=span)

    def _let(self, node: syntax.Let, scope: Scope) -> Bound:
        value = self.value(node.value, scope)
        inner, variable = self.declared(node.name, value.result, scope, node.span)
        body = self.value(node.body, inner)
        return Let(variable, value, body, body.result, span=node.span)


def _tuple_of(names: Sequence[str], scope: Scope) -> Bound:
    values = tuple(scope.variables[name] for name in names)
    of = ObjectType({name: value.result for name, value in zip(names, values, strict=True)})
    return ObjectLiteral(tuple(names), values, of)
