"""Operators: arithmetic, comparison, membership, literals that take the type of their other side."""

from collections.abc import Sequence
from dataclasses import replace

from headrace.pql import syntax
from headrace.pql.bind_names import NameRules
from headrace.pql.coerce import NoSuchDay, coerced, common_type, comparable
from headrace.pql.errors import ProblemCode
from headrace.pql.scope import Scope
from headrace.pql.tree import (
    And,
    Arithmetic,
    ArrayLiteral,
    Bound,
    Compare,
    Constant,
    In,
    IsNull,
    Like,
    Literal,
    Negate,
    Not,
    ObjectLiteral,
    Or,
    Span,
    item_type,
)
from headrace.pql.types import (
    ANY,
    DATE_TIME,
    DOUBLE,
    INTEGER,
    NULL,
    STRING,
    AnyType,
    ArrayType,
    NullType,
    ObjectType,
    PqlType,
    StringType,
    is_number,
    is_ordered,
)


class OperatorRules(NameRules):
    """Binds operators and literals of several parts."""

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

    def _like(self, node: syntax.Binary, left: Bound, right: Bound) -> Bound:
        pattern = self.string(right, "The pattern of like")
        return self.each(left, lambda one: Like(self.string(one, "The left side of like"), pattern, span=node.span))

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
        known = len(self.problems)
        left, right = self.matched(left, right)
        if len(self.problems) > known:
            return Constant(False, span=span)
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
            unordered = next((side for side in (one, other) if not is_ordered(side)), None)
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


def _item_type_of(items: Sequence[Bound]) -> PqlType | None:
    of: PqlType | None = ANY
    for item in items:
        of = None if of is None else common_type(of, item.result)
    return ANY if isinstance(of, NullType) else of


def _is_constant(node: Bound) -> bool:
    """Whether the node is a literal, whose type may follow the other side."""
    return isinstance(node, Literal | ArrayLiteral)
