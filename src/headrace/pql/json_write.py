"""Unbound tree to the JSON form (``pql/json``): every receiver and variable named."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from headrace.pql import syntax
from headrace.pql.coerce import day_ms
from headrace.pql.errors import PqlError, ProblemCode, problem_at
from headrace.pql.functions import PER_ITEM
from headrace.pql.syntax import LiteralKind, Syntax

Node = dict[str, Any]

_PROFILE: Mapping[str, Any] = {"nodeType": "parameterReference", "position": 1}


@dataclass(frozen=True, slots=True)
class _Scope:
    """Names in sight: variables (and labels), and how many item receivers surround the place."""

    prefix: str
    variables: frozenset[str] = frozenset()
    receivers: int = 0

    def declaring(self, *names: str) -> "_Scope":
        return replace(self, variables=self.variables | set(names))

    def item(self) -> "_Scope":
        return replace(self, receivers=self.receivers + 1)

    def receiver(self, levels: int = 0) -> Node | None:
        """Return the receiver ``levels`` further out; None when there is none."""
        depth = self.receivers - levels
        if depth < 0:
            return None
        return dict(_PROFILE) if depth == 0 else {"nodeType": "varRef", "varName": f"{self.prefix}{depth}"}


def to_json(tree: Syntax) -> Node:
    """Return the JSON form of an unbound tree.

    Raises:
        PqlError: ``E-UP`` when ``^`` leads out of the query.
    """
    return _node(tree, _Scope(_receiver_prefix(tree)))


def _receiver_prefix(tree: Syntax) -> str:
    """Return what receivers' names begin with: one underscore, more when a variable of the query looks like that."""
    prefix, declared = "_", _declared_names(tree)
    while any(re.fullmatch(f"{prefix}[0-9]+", name) for name in declared):
        prefix += "_"
    return prefix


def _declared_names(tree: Syntax) -> set[str]:
    names: set[str] = set()
    for node in syntax.walk(tree):
        match node:
            case syntax.Lambda():
                names.update(node.names)
            case syntax.Let() | syntax.Declaration():
                names.add(node.name)
            case syntax.Term():
                names.add(node.label)
    return names


def _node(node: Syntax, scope: _Scope) -> Node:
    match node:
        case syntax.Constant():
            return _literal(node.kind, node.value)
        case syntax.Name():
            return _name(node, scope)
        case syntax.Parameter():
            return {"nodeType": "parameterReference", "position": node.position}
        case syntax.Up():
            return _up(node, scope)
        case syntax.Member():
            return _field(node.name, _node(node.object, scope))
        case syntax.Call():
            return _call(node, scope)
        case syntax.Filter():
            return _apply("filter", _node(node.array, scope), _per_item(node.condition, scope))
        case syntax.ListLiteral():
            return _list(node, scope)
        case syntax.ObjectLiteral():
            entries = [{"key": entry.key, "value": _node(entry.value, scope)} for entry in node.entries]
            return {"nodeType": "object", "entries": entries}
        case syntax.Junction():
            return _apply(node.operator, *(_node(operand, scope) for operand in node.operands))
        case syntax.Not():
            return _apply("not", _node(node.operand, scope))
        case syntax.Negate():
            return _apply("-", _node(node.operand, scope))
        case syntax.Binary():
            return _apply(node.operator, _node(node.left, scope), _node(node.right, scope))
        case _:
            return _form(node, scope)


def _form(node: Syntax, scope: _Scope) -> Node:
    match node:
        case syntax.Lambda():
            body = _node(node.body, scope.declaring(*node.names))
            return {"nodeType": "lambda", "varNames": list(node.names), "body": body}
        case syntax.Let():
            value, body = _node(node.value, scope), _node(node.body, scope.declaring(node.name))
            return {"nodeType": "let", "varName": node.name, "value": value, "body": body}
        case syntax.Select():
            return {"nodeType": "select", "variables": _declarations(node.declarations, scope)}
        case syntax.Quantifier():
            kind = "forall" if node.is_universal else "exists"
            return {"nodeType": kind, "variables": _declarations(node.declarations, scope)}
        case syntax.AggregateOver():
            inner = scope.declaring(*(declaration.name for declaration in node.declarations))
            variables = _declarations(node.declarations, scope)
            return {"nodeType": "aggregate", "fnName": node.function, "expr": _node(node.value, inner), "variables": variables}
        case syntax.TimeWord():
            return {"nodeType": "timeReference", "name": node.word}
        case syntax.CalendarUnit():
            return {"nodeType": "timeReference", "name": node.which, "unit": node.unit.value}
        case syntax.Occurs():
            return {"nodeType": "occurs", "object": _node(node.operand, scope), **_when(node.when, scope)}
        case syntax.Chain():
            return _chain(node, scope)
        case _:
            raise TypeError(f"{type(node).__name__} has no JSON form")


def _literal(kind: str, value: Any) -> Node:
    return {"nodeType": "literal", "literalType": str(kind), "value": value}


def _field(name: str, receiver: Node) -> Node:
    return {"nodeType": "fieldLookup", "fieldName": name, "object": receiver}


def _apply(name: str, *parameters: Node) -> Node:
    return {"nodeType": "fnApply", "fnName": name, "params": list(parameters)}


def _name(node: syntax.Name, scope: _Scope) -> Node:
    if node.name == "xEvent":
        return _field("xEvent", dict(_PROFILE))
    if node.name in scope.variables:
        return {"nodeType": "varRef", "varName": node.name}
    return _field(node.name, scope.receiver() or dict(_PROFILE))


def _up(node: syntax.Up, scope: _Scope) -> Node:
    receiver = scope.receiver(node.levels)
    if receiver is None:
        raise PqlError([problem_at("", ProblemCode.UP, node.span, f"{'^' * node.levels} leads out of the query.")])
    return _field(node.name, receiver)


def _call(node: syntax.Call, scope: _Scope) -> Node:
    if node.name == "date" and (day := _day_text(node.arguments)) is not None:
        return _literal("Date", day)
    parameters = [_node(argument, scope) for argument in node.arguments if node.name not in PER_ITEM]
    if node.name in PER_ITEM:
        parameters = [_parameter(index, argument, scope) for index, argument in enumerate(node.arguments)]
    return _apply(node.name, *parameters)


def _parameter(index: int, argument: Syntax, scope: _Scope) -> Node:
    return _per_item(argument, scope) if index == 1 else _node(argument, scope)


def _day_text(arguments: tuple[Syntax, ...]) -> str | None:
    numbers = [part.value for part in arguments if isinstance(part, syntax.Constant) and part.kind is LiteralKind.INTEGER]
    if len(arguments) != 3 or len(numbers) != 3:
        return None
    year, month, day = (int(number or 0) for number in numbers)
    return f"{year:04}-{month:02}-{day:02}" if day_ms(year, month, day) is not None else None


def _per_item(argument: Syntax, scope: _Scope) -> Node:
    """Return the lambda of an argument that is evaluated for each item."""
    if isinstance(argument, syntax.Lambda):
        return _node(argument, scope)
    inner = scope.item()
    return {"nodeType": "lambda", "varNames": [f"{inner.prefix}{inner.receivers}"], "body": _node(argument, inner)}


def _list(node: syntax.ListLiteral, scope: _Scope) -> Node:
    values = [item.value for item in node.items if isinstance(item, syntax.Constant) and item.kind is not LiteralKind.NULL]
    if len(values) == len(node.items):
        return _literal("List", values)
    return {"nodeType": "list", "items": [_node(item, scope) for item in node.items]}


def _declarations(declarations: tuple[syntax.Declaration, ...], scope: _Scope) -> list[Node]:
    nodes: list[Node] = []
    for declaration in declarations:
        node: Node = {"nodeType": "varDecl", "varName": declaration.name, "from": _node(declaration.source, scope)}
        scope = scope.declaring(declaration.name)
        if declaration.condition is not None:
            node["where"] = _node(declaration.condition, scope)
        nodes.append(node)
    return nodes


def _when(when: syntax.When, scope: _Scope) -> Node:
    members: Node = {}
    if when.operator is not None and when.unit is not None:
        members = {"op": when.operator, "amount": when.amount, "unit": when.unit.value}
    if when.direction is not None:
        members["direction"] = when.direction
    members["anchor"] = _node(when.anchor, scope)
    if when.anchor_end is not None:
        members["anchorEnd"] = _node(when.anchor_end, scope)
    return members


def _chain(node: syntax.Chain, scope: _Scope) -> Node:
    labelled = scope.declaring(*(term.label for term in node.terms))
    return {
        "nodeType": "chain",
        "array": _node(node.array, scope),
        "timestampField": _per_item(node.time, scope),
        "elements": [_term(term, scope, labelled) for term in node.terms],
    }


def _term(term: syntax.Term, scope: _Scope, labelled: _Scope) -> Node:
    node: Node = {"name": term.label, "what": _per_item(term.what, scope)}
    if term.when:
        node["when"] = [_when(part, labelled) for part in term.when]
    if (term.min_count, term.max_count) != (1, None):
        node["count"] = {"min": term.min_count, "max": term.max_count}
    if term.where is not None:
        node["where"] = _per_item(term.where, scope)
    return node
