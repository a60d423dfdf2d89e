"""Unbound tree to bound tree: names become fields of the union schema, every node gets a type, every rule becomes explicit."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from headrace.pql import bind_chain, bind_functions, bind_time, syntax
from headrace.pql.bind_arrays import ArrayRules
from headrace.pql.bind_operators import OperatorRules
from headrace.pql.errors import Advice, PqlError, ProblemCode
from headrace.pql.functions import FUNCTIONS
from headrace.pql.names import Names, Relationship
from headrace.pql.scope import Scope
from headrace.pql.syntax import LiteralKind, Syntax
from headrace.pql.tree import Bound, Literal, Not, Now, Profile, Span, StartOf, Unit, renumbered, size_and_depth
from headrace.pql.types import BOOLEAN, DATE, DOUBLE, INTEGER, NULL, STRING, AnyType, ArrayType, BooleanType, PqlType

MAX_BOUND_NODES = 200_000
"""Nodes of a bound tree, parts that stand in it several times counted each time."""
MAX_BOUND_DEPTH = 150
"""Levels of a bound tree, which later stages walk by recursion."""

_DAY_OFFSETS = {"today": 0, "yesterday": -1, "tomorrow": 1}
_LITERAL_TYPES: Mapping[LiteralKind, PqlType] = {
    LiteralKind.STRING: STRING,
    LiteralKind.INTEGER: INTEGER,
    LiteralKind.DOUBLE: DOUBLE,
    LiteralKind.BOOLEAN: BOOLEAN,
    LiteralKind.NULL: NULL,
}


@dataclass(frozen=True, slots=True)
class Binding:
    """A bound tree with what is odd about it; ``root`` is a `Predicate` when a boolean was asked for."""

    root: Bound
    advice: tuple[Advice, ...]


def bind(
    tree: Syntax,
    names: Names,
    *,
    text: str = "",
    node_paths: Mapping[int, str] | None = None,
    needs_boolean: bool = True,
) -> Binding:
    """Resolve the names of an unbound tree and give every node its type.

    Args:
        tree: What the parser, or the reader of the JSON form, made.
        names: What names can refer to.
        text: The query, for lines and columns of problems.
        node_paths: For a tree from JSON: path of the node at each span's start.
        needs_boolean: Whether the query is an audience; else its value is kept.

    Raises:
        PqlError: Every problem found.
    """
    binder = Binder(names, text, node_paths)
    root = binder.query(tree, needs_boolean)
    if not binder.problems:
        _refuse_large(binder, root, tree.span)
    if binder.problems:
        raise PqlError(dict.fromkeys(binder.problems))
    return Binding(renumbered(root), tuple(binder.advice))


def _refuse_large(binder: "Binder", root: Bound, span: Span) -> None:
    """Refuse a tree that later stages could not walk: anchors of ``occurs`` and subjects of tests stand in it several times."""
    size, depth = size_and_depth(root)
    if size > MAX_BOUND_NODES or depth > MAX_BOUND_DEPTH:
        binder.refuse(ProblemCode.LIMIT, span, f"The query is too large: {size} nodes in {depth} levels.")


class Binder(OperatorRules, ArrayRules):
    """Binds one query."""

    def query(self, tree: Syntax, needs_boolean: bool) -> Bound:
        """Bind a whole query."""
        profile = Profile(self.names.profile)
        scope = Scope({}, (profile,))
        body = tree
        if isinstance(tree, syntax.Lambda):
            if len(tree.names) > 1:
                self.refuse(ProblemCode.ARITY, tree.span, f"The query has one parameter, the profile; got {len(tree.names)}.")
            for name in tree.names:
                scope = scope.with_variable(name, profile)
            body = tree.body
        if not needs_boolean:
            return self.value(body, scope)
        return self._audience(body, scope)

    def _audience(self, body: Syntax, scope: Scope) -> Bound:
        if isinstance(body, syntax.Select):
            return self.condition(body, scope)
        value = self.value(body, scope)
        if not isinstance(value.result, BooleanType | ArrayType | AnyType):
            message = f"An audience needs a boolean, got {value.result.name}."
            return self.refuse_condition(ProblemCode.RESULT, body.span, message)
        return self.as_condition(value)

    def condition(self, node: Syntax, scope: Scope) -> Bound:
        """Bind an expression in boolean position."""
        if isinstance(node, syntax.Select):
            return self._quantified(node.declarations, scope, is_universal=False)
        return self.as_condition(self.value(node, scope))

    def value(self, node: Syntax, scope: Scope) -> Bound:
        """Bind an expression, whatever its type."""
        match node:
            case syntax.Constant():
                return Literal(node.value, _LITERAL_TYPES[node.kind], span=node.span)
            case syntax.Name():
                return self._name(node, scope)
            case syntax.Parameter():
                return self._parameter(node)
            case syntax.Up():
                return self._up(node, scope)
            case syntax.Member():
                return self._member_of(node, scope)
            case syntax.Call():
                return self._call(node, scope)
            case syntax.Junction():
                return self._junction(node, scope)
            case syntax.Not():
                return Not(self.condition(node.operand, scope), span=node.span)
            case syntax.Binary():
                return self._binary(node, scope)
            case syntax.Negate():
                return self._negate(node, scope)
            case syntax.Filter():
                return self._filter(node, scope)
            case syntax.TimeWord():
                return time_word(node)
            case syntax.Occurs():
                return bind_time.bind_occurs(self, node, scope)
            case syntax.Chain():
                return bind_chain.bind_chain(self, node, scope)
            case syntax.ListLiteral():
                return self._list(node, scope)
            case syntax.ObjectLiteral():
                return self._object(node, scope)
            case _:
                return self._declaring(node, scope)

    def _declaring(self, node: Syntax, scope: Scope) -> Bound:
        match node:
            case syntax.Select():
                return self._select(node, scope)
            case syntax.Quantifier():
                return self._quantified(node.declarations, scope, is_universal=node.is_universal)
            case syntax.AggregateOver():
                return self._aggregate_over(node, scope)
            case syntax.Let():
                return self._let(node, scope)
            case syntax.Lambda():
                return self.refuse(ProblemCode.TYPE, node.span, "A lambda stands only where a function of an array expects one.")
            case syntax.CalendarUnit():
                return self.refuse(ProblemCode.TYPE, node.span, f"{node.which} {node.unit} stands only after occurs.")
            case _:
                return self.refuse(ProblemCode.TYPE, node.span, "This is no value.")

    def _call(self, node: syntax.Call, scope: Scope) -> Bound:
        signature = FUNCTIONS.get(node.name)
        span = node.name_span if self._node_paths is None else node.span
        if signature is None:
            nearest = next(iter(difflib.get_close_matches(node.name, FUNCTIONS, 1, 0.7)), None)
            hint = f" Did you mean {nearest}?" if nearest else ""
            return self.refuse(ProblemCode.FUNC, span, f"Unknown function {node.name}.{hint}", nearest)
        found = len(node.arguments)
        if found < signature.least or (signature.most is not None and found > signature.most):
            is_method = bool(node.arguments) and node.arguments[0].span.start < node.name_span.start
            return self.refuse(ProblemCode.ARITY, span, signature.refusal(found, is_method=is_method))
        return bind_functions.HANDLERS[node.name](self, node, scope)


def time_word(node: syntax.TimeWord) -> Bound:
    """Return the instant that ``now`` stands for, or the start of the day that the other words stand for."""
    if node.word == "now":
        return Now(span=node.span)
    return StartOf(Unit.DAY, _DAY_OFFSETS[node.word], DATE, span=node.span)


__all__ = ["Binder", "Binding", "Names", "Relationship", "bind"]
