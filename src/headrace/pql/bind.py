"""Unbound tree to bound tree: names become fields of the union schema, every node gets a type, every rule becomes explicit."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from headrace.pql import bind_chain, bind_functions, bind_time, syntax
from headrace.pql.coerce import NoSuchDay, coerced, common_type, comparable
from headrace.pql.errors import Advice, PqlError, Problem, ProblemCode, problem_at
from headrace.pql.functions import FUNCTIONS
from headrace.pql.scope import Scope
from headrace.pql.syntax import LiteralKind, Syntax
from headrace.pql.tree import (
    NOWHERE,
    Aggregate,
    AggregateFunction,
    And,
    Arithmetic,
    ArrayLiteral,
    ArrayPath,
    Bound,
    Compare,
    Constant,
    Events,
    Exists,
    Field,
    Filter,
    FlatMap,
    ForAll,
    In,
    IsNull,
    IsTrue,
    Let,
    Like,
    Literal,
    Map,
    Negate,
    Not,
    Now,
    ObjectLiteral,
    Or,
    Predicate,
    Profile,
    Span,
    StartOf,
    Unit,
    Variable,
    array_type,
    item_type,
    renumbered,
)
from headrace.pql.types import (
    ANY,
    BOOLEAN,
    DATE,
    DATE_TIME,
    DOUBLE,
    INTEGER,
    NULL,
    STRING,
    AnyType,
    ArrayType,
    BooleanType,
    IntegerType,
    MapType,
    NullType,
    ObjectType,
    PqlType,
    StringType,
    is_number,
    is_time,
)

_DAY_OFFSETS = {"today": 0, "yesterday": -1, "tomorrow": 1}
_LITERAL_TYPES: Mapping[LiteralKind, PqlType] = {
    LiteralKind.STRING: STRING,
    LiteralKind.INTEGER: INTEGER,
    LiteralKind.DOUBLE: DOUBLE,
    LiteralKind.BOOLEAN: BOOLEAN,
    LiteralKind.NULL: NULL,
}


@dataclass(frozen=True, slots=True)
class Relationship:
    """A field that names an entity of another schema: its schema's name and the type of its records."""

    entity: str
    type: ObjectType


@dataclass(frozen=True, slots=True)
class Names:
    """What the names of a query can refer to.

    Attributes:
        profile: Union schema of the profile.
        event: Union schema of the ExperienceEvents.
        relationships: Fields that ``lookup`` accepts, by dotted path; those of events begin with ``xEvent.``.
        audience_exists: Tells whether ``inSegment`` may name an id; None accepts every id.
    """

    profile: ObjectType
    event: ObjectType
    relationships: Mapping[str, Relationship] = field(default_factory=dict)
    audience_exists: Callable[[str], bool] | None = None


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
    if binder.problems:
        raise PqlError(dict.fromkeys(binder.problems))
    return Binding(renumbered(root), tuple(binder.advice))


class Binder:
    """Binds one query and collects its problems; a part that cannot be bound becomes a null of any type."""

    def __init__(self, names: Names, text: str, node_paths: Mapping[int, str] | None) -> None:
        self.names = names
        self.problems: list[Problem] = []
        self.advice: list[Advice] = []
        self._text = text
        self._node_paths = node_paths
        self._slots = 0

    # --- problems

    def refuse(self, code: ProblemCode, span: Span, message: str, replacement: str | None = None) -> Literal:
        """Record a problem; return what stands in for the part."""
        path = None if self._node_paths is None else self._node_paths.get(span.start, "$")
        self.problems.append(problem_at(self._text, code, span, message, replacement=replacement, node_path=path))
        return Literal(None, ANY, span=span)

    def refuse_condition(self, code: ProblemCode, span: Span, message: str) -> Predicate:
        """Record a problem; return what stands in for the condition."""
        self.refuse(code, span, message)
        return Constant(False, span=span)

    def advise(self, code: str, span: Span, message: str) -> None:
        """Record a warning."""
        self.advice.append(Advice(code, span, message))

    # --- the query

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

    # --- conditions

    def condition(self, node: Syntax, scope: Scope) -> Bound:
        """Bind an expression in boolean position."""
        if isinstance(node, syntax.Select):
            return self._quantified(node.declarations, scope, is_universal=False)
        return self.as_condition(self.value(node, scope))

    def as_condition(self, value: Bound) -> Bound:
        """Make a predicate of a value: null is false, an array means "not empty"."""
        if isinstance(value, Predicate):
            return value
        if isinstance(value, Literal) and isinstance(value.value, bool):
            return Constant(value.value, span=value.span)
        if isinstance(value, ArrayPath) and isinstance(value.type.item, BooleanType):
            return self.any_element(value, IsTrue)
        match value.result:
            case BooleanType() | AnyType():
                return IsTrue(value, span=value.span)
            case ArrayType():
                return self.any_element(value, lambda _: Constant(True))
            case other:
                return self.refuse_condition(ProblemCode.TYPE, value.span, f"A condition must be boolean, this is {other.name}.")

    def any_element(self, array: Bound, test: Callable[[Variable], Bound]) -> Bound:
        """Return "some item of the array passes the test"."""
        variable = self.new_variable("_item", item_type(array))
        return Exists(array, variable, test(variable), span=array.span)

    def new_variable(self, name: str, of: PqlType, span: Span = NOWHERE) -> Variable:
        """Return a variable with a slot that no other has; the end of binding renumbers them."""
        self._slots += 1
        return Variable(self._slots, name, of, span=span)

    # --- values

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

    # --- names and paths

    def _name(self, node: syntax.Name, scope: Scope) -> Bound:
        if node.name == "xEvent":
            return self.events(node.span)
        if node.name in scope.variables:
            return replace(scope.variables[node.name], span=node.span)
        if node.name in scope.later:
            return self.refuse(ProblemCode.VAR, node.span, f"Variable {node.name} is used before its declaration.")
        return self.member(scope.receivers[-1], node.name, node.span)

    def events(self, span: Span) -> Bound:
        """Return ``xEvent``."""
        return Events(ArrayType(self.names.event), span=span)

    def _parameter(self, node: syntax.Parameter) -> Bound:
        if node.position != 1:
            message = f"There is no parameter ${node.position}; the only one is $1, the profile."
            return self.refuse(ProblemCode.NAME, node.span, message, "$1")
        return Profile(self.names.profile, span=node.span)

    def _up(self, node: syntax.Up, scope: Scope) -> Bound:
        outer = len(scope.receivers) - 1
        if node.levels > outer:
            message = f"{'^' * node.levels} goes {node.levels} levels out, but here {_count_of(outer, 'outer level')}."
            return self.refuse(ProblemCode.UP, node.span, message, f"{'^' * outer}.{node.name}" if outer else node.name)
        return self.member(scope.receivers[-1 - node.levels], node.name, node.span)

    def _member_of(self, node: syntax.Member, scope: Scope) -> Bound:
        receiver = self.value(node.object, scope)
        end = node.span.end
        return self.member(receiver, node.name, Span(receiver.span.start, end), name_span=Span(end - len(node.name), end))

    def member(self, receiver: Bound, name: str, span: Span, *, name_span: Span | None = None) -> Bound:
        """Return the field ``name`` of a value; through an array, the path over its items."""
        where = name_span if name_span is not None and self._node_paths is None else span
        match receiver.result:
            case _ if isinstance(receiver, Profile) and name == "xEvent":
                return self.events(span)
            case ObjectType() as of:
                found = of.fields.get(name)
                return self._unknown(name, of, where) if found is None else Field(receiver, name, found, span=span)
            case ArrayType():
                return self._array_path(receiver, name, span, where)
            case AnyType():
                return Field(receiver, name, ANY, span=span)
            case MapType():
                message = f'A map has no field {name}; write get("{name}").'
                return self.refuse(ProblemCode.NAME, where, message)
            case other:
                return self.refuse(ProblemCode.NAME, where, f"A value of type {other.name} has no field {name}.")

    def _array_path(self, receiver: Bound, name: str, span: Span, where: Span) -> Bound:
        of = item_type(receiver)
        if isinstance(of, AnyType):
            found: PqlType | None = ANY
        elif isinstance(of, ObjectType):
            found = of.fields.get(name)
        else:
            return self.refuse(ProblemCode.NAME, where, f"The items are of type {of.name} and have no field {name}.")
        if found is None:
            assert isinstance(of, ObjectType)  # noqa: S101 - told apart above
            return self._unknown(name, of, where)
        leaf = ArrayType(found.item) if isinstance(found, ArrayType) else ArrayType(found)
        if isinstance(receiver, ArrayPath):
            return replace(receiver, path=(*receiver.path, name), step_types=(*receiver.step_types, found), type=leaf, span=span)
        return ArrayPath(receiver, (name,), leaf, (found,), span=span)

    def _unknown(self, name: str, of: ObjectType, span: Span) -> Bound:
        nearest = _nearest(name, of)
        if nearest is not None:
            return self.refuse(ProblemCode.NAME, span, f"Unknown field {name}. Did you mean {nearest}?", nearest)
        if not of.is_event and (in_event := name if name in self.names.event.fields else _nearest(name, self.names.event)):
            message = f"Unknown field {name}. The nearest name, {in_event}, is a field of xEvent, not of the profile."
            return self.refuse(ProblemCode.NAME, span, message)
        return self.refuse(ProblemCode.NAME, span, f"Unknown field {name}.")

    # --- operators

    def _junction(self, node: syntax.Junction, scope: Scope) -> Bound:
        operands = tuple(self.condition(operand, scope) for operand in node.operands)
        return And(operands, span=node.span) if node.operator == "and" else Or(operands, span=node.span)

    def _binary(self, node: syntax.Binary, scope: Scope) -> Bound:
        left, right = self.value(node.left, scope), self.value(node.right, scope)
        match node.operator:
            case "+" | "-" | "*" | "/" | "%":
                return self._arithmetic(node, left, right)
            case "in" | "notIn":
                return self.membership(left, right, node.span, is_negated=node.operator == "notIn")
            case "like":
                return self._like(node, left, right)
            case _:
                return self.compare(node.operator, left, right, node.span)

    def _arithmetic(self, node: syntax.Binary, left: Bound, right: Bound) -> Bound:
        for side in (left, right):
            if not is_number(side.result):
                return self.number(side, f"{node.operator} takes numbers")
        is_integer = node.operator != "/" and left.result == right.result == INTEGER
        return Arithmetic(node.operator, left, right, INTEGER if is_integer else DOUBLE, span=node.span)

    def _negate(self, node: syntax.Negate, scope: Scope) -> Bound:
        operand = self.number(self.value(node.operand, scope), "- takes a number")
        return Negate(operand, INTEGER if operand.result == INTEGER else DOUBLE, span=node.span)

    def number(self, node: Bound, demand: str) -> Bound:
        """Return the node when it is a number; else record why not."""
        if is_number(node.result):
            return node
        hint = " Use sum, max or a filter to get one." if isinstance(node.result, ArrayType) else ""
        return self.refuse(ProblemCode.TYPE, node.span, f"{demand}, got {node.result.name}.{hint}")

    def _like(self, node: syntax.Binary, left: Bound, right: Bound) -> Bound:
        pattern = self.string(right, "The pattern of like")
        return self.each(left, lambda one: Like(self.string(one, "The left side of like"), pattern, span=node.span))

    def string(self, node: Bound, what: str) -> Bound:
        """Return the node when it is a string; else record that ``what`` is none."""
        if isinstance(node.result, StringType | AnyType):
            return node
        return self.refuse(ProblemCode.TYPE, node.span, f"{what} must be a string, got {node.result.name}.")

    def each(self, subject: Bound, test: Callable[[Bound], Bound]) -> Bound:
        """Apply a positive test: to the value, or for an array to any of its elements."""
        return self.any_element(subject, test) if isinstance(subject.result, ArrayType) else test(subject)

    def compare(self, operator: str, left: Bound, right: Bound, span: Span) -> Bound:
        """Bind ``left operator right``: null tests, any-element tests, identity of events, types."""
        if NULL in (left.result, right.result):
            return self._null_test(operator, left, right, span)
        left_is_array, right_is_array = (isinstance(side.result, ArrayType) for side in (left, right))
        if left_is_array != right_is_array and ANY not in (left.result, right.result):
            if operator == "!=":
                return self.refuse_negative(span, "!=")
            if left_is_array:
                return self.any_element(left, lambda one: self.compare(operator, one, right, span))
            return self.any_element(right, lambda one: self.compare(operator, left, one, span))
        left, right = self.matched(left, right)
        return self._comparison(operator, left, right, span)

    def _null_test(self, operator: str, left: Bound, right: Bound, span: Span) -> Bound:
        if operator not in ("=", "!="):
            return self.refuse_condition(ProblemCode.TYPE, span, f"null has no order; {operator} does not take it.")
        test = IsNull(right if left.result == NULL else left, span=span)
        return test if operator == "=" else Not(test, span=span)

    def matched(self, left: Bound, right: Bound) -> tuple[Bound, Bound]:
        """Give each literal the type of the other side; record when it cannot have it."""
        if _is_constant(right) and not (_is_constant(left) and isinstance(left.result, StringType)):
            return left, self.coerce(right, left.result)
        return self.coerce(left, right.result), right

    def coerce(self, node: Bound, target: PqlType) -> Bound:
        """Return a literal with the type ``target``; record a problem when it cannot have it."""
        try:
            result = coerced(node, target)
        except NoSuchDay as missing:
            return self.refuse(ProblemCode.DATE, node.span, f"There is no day {missing}.")
        if result is None:
            return self.refuse(ProblemCode.TYPE, node.span, f"The {node.result.name} literal is no {target.name}.")
        self._check_enum(result, target)
        return result

    def coerce_time(self, node: Bound) -> Bound:
        """Return a string literal as the date or instant that it writes; anything else as it is."""
        return self.coerce(node, DATE_TIME) if isinstance(node, Literal) and node.type == STRING else node

    def _check_enum(self, node: Bound, target: PqlType) -> None:
        if not isinstance(target, StringType) or not target.enum:
            return
        if isinstance(node, Literal) and isinstance(node.value, str) and node.value not in target.enum:
            known = ", ".join(sorted(target.enum))
            self.advise("enum_value_unknown", node.span, f'"{node.value}" is none of the field\'s values: {known}.')

    def _comparison(self, operator: str, left: Bound, right: Bound, span: Span) -> Bound:
        one, other = left.result, right.result
        if not comparable(one, other):
            message = f"{one.name} and {other.name} cannot be compared."
            return self.refuse_condition(ProblemCode.TYPE, span, message)
        if operator not in ("=", "!="):
            unordered = next((side for side in (one, other) if not _is_ordered(side)), None)
            if unordered is not None:
                return self.refuse_condition(
                    ProblemCode.TYPE, span, f"{unordered.name} has no order; {operator} does not take it."
                )
        if isinstance(one, ObjectType) and one.is_event and isinstance(other, ObjectType):
            left, right = (self.member(side, "_id", side.span) for side in (left, right))
        return Compare(operator, left, right, span=span)

    def refuse_negative(self, span: Span, test: str) -> Bound:
        """Record a negative test of an array."""
        message = f"{test} on an array path is ambiguous; write not (…) with the positive test, or exists."
        return self.refuse_condition(ProblemCode.ARRAY, span, message)

    def membership(self, item: Bound, array: Bound, span: Span, *, is_negated: bool) -> Bound:
        """Bind ``item in array`` or ``item notIn array``."""
        if not isinstance(array.result, ArrayType | AnyType):
            return self.refuse_condition(ProblemCode.TYPE, array.span, f"in needs an array, got {array.result.name}.")
        if isinstance(item.result, ArrayType):
            if is_negated:
                return self.refuse_negative(span, "notIn")
            return self.any_element(item, lambda one: self.membership(one, array, span, is_negated=False))
        if isinstance(array, ArrayLiteral) and not _is_constant(item):
            array = self._coerced_list(array, item.result)
        elif _is_constant(item):
            item = self.coerce(item, item_type(array))
        if not comparable(item.result, item_type(array)):
            message = f"{item.result.name} cannot be in an {array.result.name}."
            return self.refuse_condition(ProblemCode.TYPE, span, message)
        return In(item, array, is_negated, span=span)

    def _coerced_list(self, array: ArrayLiteral, target: PqlType) -> ArrayLiteral:
        """Give every item of a list the type of what is looked for, so that each bad one is reported at its place."""
        items = tuple(self.coerce(item, target) for item in array.items)
        of = array.type.item if isinstance(target, AnyType) else _item_type_of(items)
        return replace(array, items=items, type=ArrayType(of or ANY))

    def _list(self, node: syntax.ListLiteral, scope: Scope) -> Bound:
        items = tuple(self.value(item, scope) for item in node.items)
        of = _item_type_of(items)
        if of is None:
            return self.refuse(ProblemCode.TYPE, node.span, "The items of a list must have one type.")
        if of == DOUBLE:
            items = tuple(self.coerce(item, DOUBLE) for item in items)
        return ArrayLiteral(items, ArrayType(of), span=node.span)

    def _object(self, node: syntax.ObjectLiteral, scope: Scope) -> Bound:
        values = tuple(self.value(entry.value, scope) for entry in node.entries)
        keys = tuple(entry.key for entry in node.entries)
        for index, entry in enumerate(node.entries):
            if entry.key in keys[:index]:
                self.refuse(ProblemCode.SYNTAX, entry.span, f'Key "{entry.key}" stands twice in the object.')
        of = ObjectType({key: value.result for key, value in zip(keys, values, strict=True)})
        return ObjectLiteral(keys, values, of, span=node.span)

    # --- functions

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

    # --- arrays and declarations

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
        elif function in (AggregateFunction.MIN, AggregateFunction.MAX) and not _is_ordered(of):
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


def time_word(node: syntax.TimeWord) -> Bound:
    """Return the instant that ``now`` stands for, or the start of the day that the other words stand for."""
    if node.word == "now":
        return Now(span=node.span)
    return StartOf(Unit.DAY, _DAY_OFFSETS[node.word], DATE, span=node.span)


def _tuple_of(names: Sequence[str], scope: Scope) -> Bound:
    values = tuple(scope.variables[name] for name in names)
    of = ObjectType({name: value.result for name, value in zip(names, values, strict=True)})
    return ObjectLiteral(tuple(names), values, of)


def _item_type_of(items: Sequence[Bound]) -> PqlType | None:
    of: PqlType | None = ANY
    for item in items:
        of = None if of is None else common_type(of, item.result)
    return ANY if isinstance(of, NullType) else of


def _is_constant(node: Bound) -> bool:
    """Whether the node is a literal, whose type may follow the other side."""
    return isinstance(node, Literal | ArrayLiteral)


def _is_ordered(of: PqlType) -> bool:
    return is_number(of) or is_time(of) or isinstance(of, StringType | IntegerType)


def _nearest(name: str, of: ObjectType) -> str | None:
    by_lower = {field_name.lower(): field_name for field_name in of.fields}
    found = difflib.get_close_matches(name.lower(), by_lower, 1, 0.7)
    return by_lower[found[0]] if found else None


def _count_of(number: int, noun: str) -> str:
    return f"is only {number} {noun}" if number == 1 else f"are only {number} {noun}s" if number else f"is no {noun}"
