"""Unbound tree to canonical text; parsing that text gives the same tree.

Parentheses stand where the grammar needs them and around what ``not`` negates. A name is put in backquotes when, as the
head of a path, it could be read as a keyword.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from headrace.pql import syntax
from headrace.pql.functions import FUNCTIONS
from headrace.pql.syntax import LiteralKind, Syntax
from headrace.pql.tokens import RESERVED
from headrace.pql.tree import Unit

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTEXTUAL = frozenset(("before", "after", "on", "between", "this", "last", "next", "sum", "average", "min", "max", "count"))
_PLAIN_CALLS = frozenset(("if", "stringCompare", "mapEntry", "inSegment", "lookup", "ignoreYear", "date"))
_PLURALS = {Unit.CENTURY: "centuries", Unit.MILLENNIUM: "millennia"}

# Binding strength, from loose to tight.
_EXPRESSION, _OR, _AND, _NOT, _RELATION, _SUM, _PRODUCT, _UNARY, _POSTFIX = range(9)


def unparse(tree: Syntax) -> str:
    """Return the canonical text of an unbound tree."""
    return _text(tree, _EXPRESSION)


def head_name(name: str) -> str:
    """Return a name as it is written at the head of a path, as a variable or as a label."""
    is_plain = _IDENTIFIER.fullmatch(name) and (name == "xEvent" or name.lower() not in RESERVED | _CONTEXTUAL)
    return name if is_plain else f"`{name}`"


def member_name(name: str) -> str:
    """Return a name as it is written after a dot."""
    return name if _IDENTIFIER.fullmatch(name) else f"`{name}`"


def _text(node: Syntax, least: int) -> str:
    """Return the text of a node, in parentheses when it binds less tightly than ``least``."""
    strength, write = _WRITERS[type(node)]
    text = write(node)
    return text if _strength(node, strength) >= least else f"({text})"


def _strength(node: Syntax, usual: int) -> int:
    match node:
        case syntax.Constant(value=int() | float() as number) if not isinstance(number, bool):
            is_negative = number < 0 or str(number).startswith("-")
            return _UNARY if is_negative else _POSTFIX
        case syntax.Junction(operator="and"):
            return _AND
        case syntax.Binary(operator="+" | "-"):
            return _SUM
        case syntax.Binary(operator="*" | "/" | "%"):
            return _PRODUCT
        case _:
            return usual


# --- leaves and paths ------------------------------------------------------------------------------------------------------


def _constant(node: syntax.Constant) -> str:
    match node.kind:
        case LiteralKind.STRING:
            return json.dumps(node.value, ensure_ascii=False)
        case LiteralKind.BOOLEAN:
            return "true" if node.value else "false"
        case LiteralKind.NULL:
            return "null"
        case LiteralKind.INTEGER:
            return str(node.value)
        case LiteralKind.DOUBLE:
            return repr(node.value)


def _up(node: syntax.Up) -> str:
    return f"{'^' * node.levels}.{member_name(node.name)}"


def _member(node: syntax.Member) -> str:
    return f"{_text(node.object, _POSTFIX)}.{member_name(node.name)}"


def _call(node: syntax.Call) -> str:
    is_method = node.name in FUNCTIONS and node.name not in _PLAIN_CALLS and bool(node.arguments)
    if not is_method:
        return f"{node.name}({_list(node.arguments)})"
    receiver, *rest = node.arguments
    return f"{_text(receiver, _POSTFIX)}.{node.name}({_list(tuple(rest))})"


def _list(items: tuple[Syntax, ...]) -> str:
    """Write items between commas; a form that could swallow the comma is put in parentheses."""
    return ", ".join(_text(item, _EXPRESSION if isinstance(item, syntax.Lambda) else _OR) for item in items)


def _filter(node: syntax.Filter) -> str:
    return f"{_text(node.array, _POSTFIX)}[{_text(node.condition, _EXPRESSION)}]"


def _object(node: syntax.ObjectLiteral) -> str:
    entries = (f"{json.dumps(entry.key, ensure_ascii=False)}: {_list((entry.value,))}" for entry in node.entries)
    return "{" + ", ".join(entries) + "}"


# --- prefix forms ----------------------------------------------------------------------------------------------------------


def _lambda(node: syntax.Lambda) -> str:
    return f"({', '.join(head_name(name) for name in node.names)}) => {_text(node.body, _EXPRESSION)}"


def _let(node: syntax.Let) -> str:
    # in parentheses, so that an operator "in" of the value is not taken for the one of the let
    value = _text(node.value, _POSTFIX)
    return f"let {head_name(node.name)} = {value} in {_text(node.body, _EXPRESSION)}"


def _declarations(declarations: tuple[syntax.Declaration, ...]) -> str:
    return ", ".join(_declaration(declaration) for declaration in declarations)


def _declaration(node: syntax.Declaration) -> str:
    condition = "" if node.condition is None else f" where {_text(node.condition, _OR)}"
    return f"{head_name(node.name)} from {_text(node.source, _SUM)}{condition}"


def _quantifier(node: syntax.Quantifier) -> str:
    return f"{'forall' if node.is_universal else 'exists'} {_declarations(node.declarations)}"


def _aggregate_over(node: syntax.AggregateOver) -> str:
    return f"{node.function} {_text(node.value, _SUM)} over {_declarations(node.declarations)}"


# --- operators -------------------------------------------------------------------------------------------------------------


def _junction(node: syntax.Junction) -> str:
    least = _AND if node.operator == "or" else _NOT
    return f" {node.operator} ".join(_text(operand, least) for operand in node.operands)


def _not(node: syntax.Not) -> str:
    return f"not ({_text(node.operand, _EXPRESSION)})"


def _binary(node: syntax.Binary) -> str:
    left, right = {"+": (_SUM, _PRODUCT), "-": (_SUM, _PRODUCT)}.get(node.operator, (_SUM, _SUM))
    if node.operator in ("*", "/", "%"):
        left, right = _PRODUCT, _UNARY
    return f"{_text(node.left, left)} {node.operator} {_text(node.right, right)}"


def _negate(node: syntax.Negate) -> str:
    is_number = isinstance(node.operand, syntax.Constant)
    return f"-({_text(node.operand, _EXPRESSION)})" if is_number else f"-{_text(node.operand, _UNARY)}"


# --- time ------------------------------------------------------------------------------------------------------------------


def _occurs(node: syntax.Occurs) -> str:
    return f"{_text(node.operand, _SUM)} occurs {_when(node.when)}"


def _when(node: syntax.When) -> str:
    anchor = _text(node.anchor, _SUM)
    if anchor.startswith("["):  # "before [" is taken for a filter of something named before
        anchor = f"({anchor})"
    if node.anchor_end is not None:
        return f"between {anchor} and {_text(node.anchor_end, _SUM)}"
    if node.operator is not None and node.unit is not None:
        unit = node.unit.value if node.amount == 1 else _PLURALS.get(node.unit, f"{node.unit}s")
        return f"{node.operator} {node.amount} {unit} {node.direction} {anchor}"
    return anchor if node.direction is None else f"{node.direction} {anchor}"


def _chain(node: syntax.Chain) -> str:
    terms = ", ".join(_term(term) for term in node.terms)
    return f"chain({_list((node.array,))}, {_list((node.time,))}, [{terms}])"


def _term(node: syntax.Term) -> str:
    parts = [f"{head_name(node.label)}: WHAT({_text(node.what, _EXPRESSION)})"]
    if node.when:
        parts.append(f"WHEN({' and '.join(_when(part) for part in node.when)})")
    if count := _count(node.min_count, node.max_count):
        parts.append(f"COUNT({count})")
    if node.where is not None:
        parts.append(f"WHERE({_text(node.where, _EXPRESSION)})")
    return " ".join(parts)


def _count(least: int, most: int | None) -> str:
    match least, most:
        case 1, None:
            return ""
        case 0, None:
            return ">= 0"
        case _, None:
            return str(least)
        case 0, 0:
            return "0"
        case 0, _:
            return f"<= {most}"
        case _:
            return f"= {least}" if least == most else f"{least}, {most}"


_WRITERS: Mapping[type[Syntax], tuple[int, Callable[[Any], str]]] = {
    syntax.Constant: (_POSTFIX, _constant),
    syntax.Name: (_POSTFIX, lambda node: head_name(node.name)),
    syntax.Parameter: (_POSTFIX, lambda node: f"${node.position}"),
    syntax.Up: (_POSTFIX, _up),
    syntax.Member: (_POSTFIX, _member),
    syntax.Call: (_POSTFIX, _call),
    syntax.Filter: (_POSTFIX, _filter),
    syntax.ListLiteral: (_POSTFIX, lambda node: f"[{_list(node.items)}]"),
    syntax.ObjectLiteral: (_POSTFIX, _object),
    syntax.TimeWord: (_POSTFIX, lambda node: node.word),
    syntax.CalendarUnit: (_POSTFIX, lambda node: f"{node.which} {node.unit}"),
    syntax.Chain: (_POSTFIX, _chain),
    syntax.Lambda: (_EXPRESSION, _lambda),
    syntax.Let: (_EXPRESSION, _let),
    syntax.Select: (_EXPRESSION, lambda node: f"select {_declarations(node.declarations)}"),
    syntax.Quantifier: (_EXPRESSION, _quantifier),
    syntax.AggregateOver: (_EXPRESSION, _aggregate_over),
    syntax.Junction: (_OR, _junction),
    syntax.Not: (_NOT, _not),
    syntax.Binary: (_RELATION, _binary),
    syntax.Occurs: (_RELATION, _occurs),
    syntax.Negate: (_UNARY, _negate),
}
