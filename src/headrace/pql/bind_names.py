"""Names and paths to fields, variables and receivers."""

import difflib
from dataclasses import replace

from headrace.pql import syntax
from headrace.pql.bind_core import BinderCore
from headrace.pql.errors import ProblemCode
from headrace.pql.scope import Scope
from headrace.pql.tree import ArrayPath, Bound, Events, Field, Profile, Span, item_type
from headrace.pql.types import ANY, AnyType, ArrayType, MapType, ObjectType, PqlType


class NameRules(BinderCore):
    """Resolves names."""

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
        return self.member(receiver, node.name, node.span, name_span=node.name_span)

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


def _nearest(name: str, of: ObjectType) -> str | None:
    by_lower = {field_name.lower(): field_name for field_name in of.fields}
    found = difflib.get_close_matches(name.lower(), by_lower, 1, 0.65)
    return by_lower[found[0]] if found else None


def _count_of(number: int, noun: str) -> str:
    return f"is only {number} {noun}" if number == 1 else f"are only {number} {noun}s" if number else f"is no {noun}"
