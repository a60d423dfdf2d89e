"""The JSON form (``pql/json``) to the unbound tree. Lambdas over ``_1``, ``_2``… become implicit receivers again."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, NoReturn

from headrace.pql import syntax
from headrace.pql.errors import Advice, PqlError, Problem, ProblemCode
from headrace.pql.functions import PER_ITEM
from headrace.pql.parser import MAX_DECLARATIONS, check_depth
from headrace.pql.parser_time import UNITS
from headrace.pql.syntax import LiteralKind, Syntax
from headrace.pql.tokens import INTEGER_MAX, INTEGER_MIN, MAX_TEXT_BYTES, RESERVED
from headrace.pql.tree import NOWHERE, Span

MAX_JSON_DEPTH = 100
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RECEIVER = re.compile(r"_+[0-9]+")
_BINARY = frozenset(("+", "-", "*", "/", "%", "=", "!=", "<", "<=", ">", ">=", "in", "notIn", "like"))
_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_TIME_WORDS = ("now", "today", "yesterday", "tomorrow")
_CALLABLE_WORDS = ("if", "exists", "forall")
_MEMBERS: Mapping[str, frozenset[str]] = {
    "fnApply": frozenset(("fnName", "params")),
    "fieldLookup": frozenset(("fieldName", "object")),
    "parameterReference": frozenset(("position",)),
    "literal": frozenset(("literalType", "value")),
    "varRef": frozenset(("varName",)),
    "lambda": frozenset(("varNames", "body")),
    "select": frozenset(("variables",)),
    "exists": frozenset(("variables",)),
    "forall": frozenset(("variables",)),
    "varDecl": frozenset(("varName", "from", "where")),
    "let": frozenset(("varName", "value", "body")),
    "aggregate": frozenset(("fnName", "expr", "variables")),
    "occurs": frozenset(("object", "op", "amount", "unit", "direction", "anchor", "anchorEnd")),
    "timeReference": frozenset(("name", "unit")),
    "object": frozenset(("entries",)),
    "list": frozenset(("items",)),
    "chain": frozenset(("array", "timestampField", "elements")),
}


@dataclass(frozen=True, slots=True)
class JsonQuery:
    """A query read from JSON.

    Attributes:
        tree: The unbound tree; the start of each node's span is a key of ``node_paths``.
        node_paths: Where each node stands in the JSON, such as ``$.params[0]``.
        advice: Members that were ignored.
    """

    tree: Syntax
    node_paths: Mapping[int, str]
    advice: tuple[Advice, ...]


@dataclass(frozen=True, slots=True)
class _Scope:
    """Implicit receivers (variables' names, outermost first), declared variables, and the chain's labels."""

    receivers: tuple[str, ...] = ()
    variables: frozenset[str] = frozenset()
    depth: int = 0

    def declaring(self, *names: str) -> "_Scope":
        return replace(self, variables=self.variables | set(names))

    def item(self, name: str) -> "_Scope":
        return replace(self, receivers=(*self.receivers, name))


def from_json(value: str | Mapping[str, Any]) -> JsonQuery:
    """Return the query of a JSON form, given as text or decoded.

    Raises:
        PqlError: ``E-FORMAT`` with the path of the node, or ``E-LIMIT``.
    """
    reader = _Reader()
    decoded = reader.decoded(value) if isinstance(value, str) else value
    tree = reader.node(decoded, "$", _Scope())
    check_depth(tree, "")
    return JsonQuery(tree, reader.paths, tuple(reader.advice))


class _Reader:
    """Reads one query and remembers where each node stands."""

    def __init__(self) -> None:
        self.paths: dict[int, str] = {}
        self.advice: list[Advice] = []

    def decoded(self, text: str) -> Any:
        """Return the JSON value of a text."""
        if len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES * 4:
            self.refuse("$", f"The query is longer than {MAX_TEXT_BYTES * 4} bytes.", ProblemCode.LIMIT)
        try:
            return json.loads(text)
        except RecursionError:
            self.refuse("$", "The JSON is nested too deeply.", ProblemCode.LIMIT)
        except ValueError as error:
            self.refuse("$", f"This is no JSON: {error}.")

    def refuse(self, path: str, message: str, code: ProblemCode = ProblemCode.FORMAT) -> NoReturn:
        """Raise the error of a node."""
        raise PqlError([Problem(code, 0, 0, 1, 1, message, None, path)])

    def span(self, path: str) -> Span:
        """Return a span that stands for the node at ``path``."""
        key = len(self.paths) + 1
        self.paths[key] = path
        return Span(key, key)

    # --- members

    def member(self, node: Mapping[str, Any], name: str, path: str) -> Any:
        """Return a member that must be there."""
        if name not in node:
            self.refuse(path, f"Member {name} of {node.get('nodeType', 'the element')} is missing.")
        return node[name]

    def text(self, node: Mapping[str, Any], name: str, path: str) -> str:
        """Return a member that must be a non-empty text."""
        value = self.member(node, name, path)
        if not isinstance(value, str) or not value:
            self.refuse(f"{path}.{name}", f"{name} must be a text, got {_shown(value)}.")
        return value

    def name(self, value: Any, path: str) -> str:
        """Return a name that text can write, if need be in backquotes."""
        if not isinstance(value, str) or not value or "`" in value or "\n" in value:
            self.refuse(path, f"{_shown(value)} is no name.")
        return value

    def items(self, node: Mapping[str, Any], name: str, path: str) -> Sequence[Any]:
        """Return a member that must be an array."""
        value = self.member(node, name, path)
        if not isinstance(value, list | tuple):
            self.refuse(f"{path}.{name}", f"{name} must be an array, got {_shown(value)}.")
        return value

    # --- nodes

    def node(self, value: Any, path: str, scope: _Scope) -> Syntax:
        """Return the tree of a node."""
        if not isinstance(value, Mapping):
            self.refuse(path, f"A node must be an object, got {_shown(value)}.")
        if scope.depth > MAX_JSON_DEPTH:
            self.refuse(path, f"More than {MAX_JSON_DEPTH} levels of nodes.", ProblemCode.LIMIT)
        kind = self.member(value, "nodeType", path)
        rule = _RULES.get(kind) if isinstance(kind, str) else None
        if rule is None:
            self.refuse(path, f"Unknown nodeType {_shown(kind)}.")
        for name in value.keys() - _MEMBERS[kind] - {"nodeType"}:
            self.advice.append(Advice("json_member_ignored", NOWHERE, f"{path}: member {name} of {kind} is not known."))
        return rule(self, value, path, replace(scope, depth=scope.depth + 1))

    def nodes(self, node: Mapping[str, Any], name: str, path: str, scope: _Scope) -> tuple[Syntax, ...]:
        """Return the trees of an array of nodes."""
        return tuple(self.node(item, f"{path}.{name}[{i}]", scope) for i, item in enumerate(self.items(node, name, path)))

    def child(self, node: Mapping[str, Any], name: str, path: str, scope: _Scope) -> Syntax:
        """Return the tree of one member."""
        return self.node(self.member(node, name, path), f"{path}.{name}", scope)

    def per_item(self, value: Any, path: str, scope: _Scope) -> Syntax:
        """Return an argument that is evaluated for each item; a lambda over a receiver's name becomes its bare body."""
        names = value.get("varNames") if isinstance(value, Mapping) and value.get("nodeType") == "lambda" else None
        if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
            return self.node(value, path, scope)
        name = names[0]
        if not _RECEIVER.fullmatch(name) or _is_used_whole(value.get("body"), name, scope.variables):
            return self.node(value, path, scope)
        return self.child(value, "body", path, replace(scope.item(name), depth=scope.depth + 1))

    # --- leaves

    def literal(self, node: Mapping[str, Any], path: str, scope: _Scope) -> Syntax:
        """A constant, a list or an object of constants, or the old spelling of the profile."""
        del scope
        kind, value = self.text(node, "literalType", path), node.get("value")
        match kind, value:
            case "String", str():
                return self._constant(value, LiteralKind.STRING, path)
            case "Boolean", bool():
                return self._constant(value, LiteralKind.BOOLEAN, path)
            case "Null", _:
                return self._constant(None, LiteralKind.NULL, path)
            case (("Integer" | "Double"), int() | float()) if not isinstance(value, bool):
                return self._number(kind, value, path)
            case "Date", str():
                return self._date(value, path)
            case "List", list():
                items = tuple(self._plain(item, f"{path}.value[{i}]") for i, item in enumerate(value))
                return syntax.ListLiteral(items, span=self.span(path))
            case ("XDMObject", "profile"):
                return syntax.Parameter(1, span=self.span(path))
            case "Map", dict() if value:
                entries = tuple(syntax.Entry(key, self._plain(item, f"{path}.value.{key}")) for key, item in value.items())
                return syntax.ObjectLiteral(entries, span=self.span(path))
        return self.refuse(path, f"Value {_shown(value)} is no literal of type {kind}.")

    def _constant(self, value: str | int | float | None, kind: LiteralKind, path: str) -> syntax.Constant:
        return syntax.Constant(value, kind, span=self.span(path))

    def _number(self, kind: str, value: int | float, path: str) -> Syntax:
        if kind == "Integer" and isinstance(value, int) and INTEGER_MIN <= value <= INTEGER_MAX:
            return self._constant(value, LiteralKind.INTEGER, path)
        if kind == "Double" and abs(value) <= 1.7976931348623157e308:
            return self._constant(float(value), LiteralKind.DOUBLE, path)
        return self.refuse(path, f"Value {_shown(value)} is no literal of type {kind}.")

    def _date(self, value: str, path: str) -> Syntax:
        try:
            day = date.fromisoformat(value)
        except ValueError:
            self.refuse(path, f"{value} is no day; write YYYY-MM-DD.")
        parts = tuple(self._constant(part, LiteralKind.INTEGER, path) for part in (day.year, day.month, day.day))
        return syntax.Call("date", parts, span=self.span(path))

    def _plain(self, value: Any, path: str) -> Syntax:
        match value:
            case bool():
                return self._constant(value, LiteralKind.BOOLEAN, path)
            case int():
                return self._number("Integer", value, path)
            case float():
                return self._number("Double", value, path)
            case str():
                return self._constant(value, LiteralKind.STRING, path)
        return self.refuse(path, f"{_shown(value)} is no constant.")

    def parameter(self, node: Mapping[str, Any], path: str, scope: _Scope) -> Syntax:
        """``$n``."""
        del scope
        position = self.member(node, "position", path)
        if isinstance(position, bool) or not isinstance(position, int) or not 0 < position < 100_000:
            self.refuse(f"{path}.position", f"position must be a positive integer, got {_shown(position)}.")
        return syntax.Parameter(position, span=self.span(path))

    def variable(self, node: Mapping[str, Any], path: str, scope: _Scope) -> Syntax:
        """A variable, by its name."""
        del scope
        return syntax.Name(self.name(self.member(node, "varName", path), f"{path}.varName"), span=self.span(path))

    def field(self, node: Mapping[str, Any], path: str, scope: _Scope) -> Syntax:
        """A field; of a receiver or the profile, the shortest spelling that means it."""
        name, target = self.name(self.member(node, "fieldName", path), f"{path}.fieldName"), self.member(node, "object", path)
        kind = target.get("nodeType") if isinstance(target, Mapping) else None
        if kind == "varRef" and target.get("varName") in scope.receivers:
            levels = len(scope.receivers) - 1 - scope.receivers.index(target["varName"])
            return syntax.Up(levels, name, span=self.span(path)) if levels else syntax.Name(name, span=self.span(path))
        receiver = self.child(node, "object", path, scope)
        if receiver == syntax.Parameter(1) and (name == "xEvent" or not (scope.receivers or name in scope.variables)):
            return syntax.Name(name, span=self.span(path))
        return syntax.Member(receiver, name, span=self.span(path))

    # --- functions

    def apply(self, node: Mapping[str, Any], path: str, scope: _Scope) -> Syntax:
        """An operator or a function."""
        name, parameters = self.text(node, "fnName", path), self.items(node, "params", path)
        paths = [f"{path}.params[{i}]" for i in range(len(parameters))]
        if name == "filter" and len(parameters) == 2:
            array, condition = self.node(parameters[0], paths[0], scope), self.per_item(parameters[1], paths[1], scope)
            return syntax.Filter(array, condition, span=self.span(path))
        if name in PER_ITEM and len(parameters) > 1:
            arguments = [
                (self.per_item if i == 1 else self.node)(parameter, paths[i], scope) for i, parameter in enumerate(parameters)
            ]
            return syntax.Call(name, tuple(arguments), span=self.span(path))
        return self._operator(name, self.nodes(node, "params", path, scope), path)

    def _operator(self, name: str, operands: tuple[Syntax, ...], path: str) -> Syntax:
        span = self.span(path)
        match name, operands:
            case (("and" | "or"), (_, _, *_)):
                return syntax.Junction(name, operands, span=span)
            case (("not" | "!"), (operand,)):
                return syntax.Not(operand, span=span)
            case "-", (operand,):
                return syntax.Negate(operand, span=span)
            case _, (left, right) if name in _BINARY:
                return syntax.Binary(name, left, right, span=span)
        if name in _BINARY or name in ("and", "or", "not", "!", "filter"):
            self.refuse(path, f"{name} does not take {len(operands)} params.")
        if not _IDENTIFIER.fullmatch(name) or (name.lower() in RESERVED and name not in _CALLABLE_WORDS):
            self.refuse(f"{path}.fnName", f"{_shown(name)} is no name of a function.")
        return syntax.Call(name, operands, span=span)

    def lambda_(self, node: Mapping[str, Any], path: str, scope: _Scope) -> Syntax:
        """A lambda with named parameters."""
        names = tuple(self.name(name, f"{path}.varNames") for name in self.items(node, "varNames", path))
        body = self.child(node, "body", path, scope.declaring(*names))
        return syntax.Lambda(names, body, span=self.span(path))

    def let(self, node: Mapping[str, Any], path: str, scope: _Scope) -> Syntax:
        """``let``."""
        name = self.name(self.member(node, "varName", path), f"{path}.varName")
        value, body = self.child(node, "value", path, scope), self.child(node, "body", path, scope.declaring(name))
        return syntax.Let(name, value, body, span=self.span(path))

    # --- declarations

    def declarations(self, node: Mapping[str, Any], path: str, scope: _Scope) -> tuple[syntax.Declaration, ...]:
        """The variables of a select, a quantifier or an aggregate."""
        items = self.items(node, "variables", path)
        if not 0 < len(items) <= MAX_DECLARATIONS:
            self.refuse(f"{path}.variables", f"One to {MAX_DECLARATIONS} variables are allowed, got {len(items)}.")
        result: list[syntax.Declaration] = []
        for index, item in enumerate(items):
            declaration = self._declaration(item, f"{path}.variables[{index}]", scope)
            scope = scope.declaring(declaration.name)
            result.append(declaration)
        return tuple(result)

    def _declaration(self, item: Any, path: str, scope: _Scope) -> syntax.Declaration:
        if not isinstance(item, Mapping):
            self.refuse(path, f"A varDecl must be an object, got {_shown(item)}.")
        name = self.name(self.member(item, "varName", path), f"{path}.varName")
        source, condition = self.child(item, "from", path, scope), None
        if item.get("where") is not None:
            condition = self.child(item, "where", path, scope.declaring(name))
        span = self.span(path)
        return syntax.Declaration(name, source, condition, span, span=span)

    def select(self, node: Mapping[str, Any], path: str, scope: _Scope) -> Syntax:
        """``select``."""
        return syntax.Select(self.declarations(node, path, scope), span=self.span(path))

    def quantifier(self, node: Mapping[str, Any], path: str, scope: _Scope) -> Syntax:
        """``exists`` or ``forall``."""
        declarations = self.declarations(node, path, scope)
        return syntax.Quantifier(node["nodeType"] == "forall", declarations, span=self.span(path))

    def aggregate(self, node: Mapping[str, Any], path: str, scope: _Scope) -> Syntax:
        """``sum … over`` and its like."""
        function = self.text(node, "fnName", path)
        if function not in ("sum", "average", "min", "max", "count"):
            self.refuse(f"{path}.fnName", f"{function} does not aggregate.")
        declarations = self.declarations(node, path, scope)
        inner = scope.declaring(*(declaration.name for declaration in declarations))
        return syntax.AggregateOver(function, self.child(node, "expr", path, inner), declarations, span=self.span(path))

    def object_(self, node: Mapping[str, Any], path: str, scope: _Scope) -> Syntax:
        """An object of named values."""
        items = self.items(node, "entries", path)
        if not items:
            self.refuse(f"{path}.entries", "An object needs an entry.")
        entries: list[syntax.Entry] = []
        for index, item in enumerate(items):
            where = f"{path}.entries[{index}]"
            if not isinstance(item, Mapping) or not isinstance(item.get("key"), str):
                self.refuse(where, "An entry needs a key, a text, and a value.")
            entries.append(syntax.Entry(item["key"], self.child(item, "value", where, scope), span=self.span(where)))
        return syntax.ObjectLiteral(tuple(entries), span=self.span(path))

    def list_(self, node: Mapping[str, Any], path: str, scope: _Scope) -> Syntax:
        """A list of expressions."""
        return syntax.ListLiteral(self.nodes(node, "items", path, scope), span=self.span(path))

    # --- time

    def time_word(self, node: Mapping[str, Any], path: str, scope: _Scope) -> Syntax:
        """``now`` and the days around it."""
        del scope
        name = self.text(node, "name", path)
        if name not in _TIME_WORDS:
            self.refuse(f"{path}.name", f"{name} stands only as an anchor of occurs, with a unit.")
        return syntax.TimeWord(name, span=self.span(path))

    def occurs(self, node: Mapping[str, Any], path: str, scope: _Scope) -> Syntax:
        """``occurs``."""
        return syntax.Occurs(self.child(node, "object", path, scope), self.when(node, path, scope), span=self.span(path))

    def when(self, node: Any, path: str, scope: _Scope) -> syntax.When:
        """The tail of ``occurs``."""
        if not isinstance(node, Mapping):
            self.refuse(path, f"A time condition must be an object, got {_shown(node)}.")
        anchor, direction, span = self._anchor(node, "anchor", path, scope), node.get("direction"), self.span(path)
        if node.get("op") is not None:
            return self._distance(node, path, anchor, span)
        if node.get("anchorEnd") is not None:
            return syntax.When(anchor, anchor_end=self._anchor(node, "anchorEnd", path, scope), span=span)
        if direction not in (None, "before", "after"):
            self.refuse(f"{path}.direction", f"direction without op is before or after, got {_shown(direction)}.")
        return syntax.When(anchor, direction=direction, span=span)

    def _distance(self, node: Mapping[str, Any], path: str, anchor: Syntax, span: Span) -> syntax.When:
        operator, amount, unit, direction = (node.get(name) for name in ("op", "amount", "unit", "direction"))
        if operator not in _COMPARISONS:
            self.refuse(f"{path}.op", f"{_shown(operator)} is no comparison.")
        if isinstance(amount, bool) or not isinstance(amount, int) or not 0 <= amount <= 999_999_999:
            self.refuse(f"{path}.amount", f"The amount must be a non-negative integer, got {_shown(amount)}.")
        if not isinstance(unit, str) or unit.lower() not in UNITS:
            self.refuse(f"{path}.unit", f"{_shown(unit)} is no unit of time.")
        if direction not in ("before", "after", "from"):
            self.refuse(f"{path}.direction", f"direction is before, after or from, got {_shown(direction)}.")
        return syntax.When(anchor, operator, amount, UNITS[unit.lower()], direction, span=span)

    def _anchor(self, node: Mapping[str, Any], name: str, path: str, scope: _Scope) -> Syntax:
        value = self.member(node, name, path)
        if not isinstance(value, Mapping) or value.get("nodeType") != "timeReference" or "unit" not in value:
            return self.child(node, name, path, scope)
        which, unit = value.get("name"), value["unit"]
        if which not in ("this", "last", "next") or not isinstance(unit, str) or unit.lower() not in UNITS:
            self.refuse(f"{path}.{name}", "A time reference with a unit is this, last or next and a unit of time.")
        return syntax.CalendarUnit(which, UNITS[unit.lower()], span=self.span(f"{path}.{name}"))

    def chain(self, node: Mapping[str, Any], path: str, scope: _Scope) -> Syntax:
        """``chain``."""
        array = self.child(node, "array", path, scope)
        time = self.per_item(self.member(node, "timestampField", path), f"{path}.timestampField", scope)
        elements = self.items(node, "elements", path)
        if not elements:
            self.refuse(f"{path}.elements", "A chain needs an element.")
        terms = tuple(self._term(item, f"{path}.elements[{i}]", scope) for i, item in enumerate(elements))
        return syntax.Chain(array, time, terms, span=self.span(path))

    def _term(self, item: Any, path: str, scope: _Scope) -> syntax.Term:
        if not isinstance(item, Mapping):
            self.refuse(path, f"An element must be an object, got {_shown(item)}.")
        label = self.name(self.member(item, "name", path), f"{path}.name")
        what = self.per_item(self.member(item, "what", path), f"{path}.what", scope)
        where = None if item.get("where") is None else self.per_item(item["where"], f"{path}.where", scope)
        tails = item.get("when") or []
        if not isinstance(tails, list):
            self.refuse(f"{path}.when", f"when must be an array, got {_shown(tails)}.")
        when = tuple(self.when(tail, f"{path}.when[{i}]", scope) for i, tail in enumerate(tails))
        least, most = self._count(item.get("count"), f"{path}.count")
        span = self.span(path)
        return syntax.Term(label, what, when, least, most, where, span, span=span)

    def _count(self, count: Any, path: str) -> tuple[int, int | None]:
        if count is None:
            return 1, None
        least, most = (count.get("min"), count.get("max")) if isinstance(count, Mapping) else (None, None)
        if not _is_count(least) or not (most is None or (_is_count(most) and most >= least)):
            self.refuse(path, 'count is {"min": n, "max": m}, 0 <= n <= m; a max of null is no limit.')
        return least, most  # type: ignore[return-value] # told apart by _is_count


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INTEGER_MAX


def _is_used_whole(body: Any, name: str, variables: frozenset[str]) -> bool:
    """Whether a receiver must keep its name: its item is used as a whole, or a field of it has a variable's name."""
    pending, declared = [body], set(variables)
    fields: set[str] = set()
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, Mapping):
            declared.update(_declared(node))
            if node.get("nodeType") == "varRef" and node.get("varName") == name:
                return True
            target = node.get("object")
            is_field = node.get("nodeType") == "fieldLookup" and isinstance(target, Mapping)
            if is_field and isinstance(target, Mapping) and target.get("varName") == name and target.get("nodeType") == "varRef":
                fields.add(str(node.get("fieldName")))
            else:
                pending.extend(node.values())
    return bool(fields & (declared | {"xEvent"}))


def _declared(node: Mapping[str, Any]) -> list[str]:
    names = node.get("varNames") if node.get("nodeType") == "lambda" else [node.get("varName")]
    if node.get("nodeType") == "varRef" or not isinstance(names, list):
        return []
    return [name for name in names if isinstance(name, str)]


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


_RULES: Mapping[str, Callable[[_Reader, Mapping[str, Any], str, _Scope], Syntax]] = {
    "fnApply": _Reader.apply,
    "fieldLookup": _Reader.field,
    "parameterReference": _Reader.parameter,
    "literal": _Reader.literal,
    "varRef": _Reader.variable,
    "lambda": _Reader.lambda_,
    "select": _Reader.select,
    "exists": _Reader.quantifier,
    "forall": _Reader.quantifier,
    "let": _Reader.let,
    "aggregate": _Reader.aggregate,
    "object": _Reader.object_,
    "list": _Reader.list_,
    "timeReference": _Reader.time_word,
    "occurs": _Reader.occurs,
    "chain": _Reader.chain,
}
