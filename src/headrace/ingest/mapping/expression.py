"""Expressions of mapping sets: a small language without statements, assignments, loops or reflection.

text → tokens → nested functions. An expression can only read the input and call the functions it is given.
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from headrace.ingest.mapping import operators
from headrace.ingest.mapping.errors import MappingInvalid
from headrace.ingest.mapping.functions import Function
from headrace.ingest.mapping.paths import EVERY, EveryItem, Path, Step, is_present, value_at

Evaluate = Callable[[dict[str, Any]], Any]
Binary = Callable[[Any, Any], Any]

LONGEST_EXPRESSION = 4096
_DEEPEST = 60

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<braced>\$\{[^}]*\})
    | (?P<name>(?:[^\W\d]|\$)(?:[\w$]|\\\.)*)
    | (?P<symbol>->|=~|!~|=\^|!\^|=\$|!\$|==|!=|<=|>=|&&|\|\||\?\?|\?:|[-+*/%<>!?:()\[\]{},.&|^~])
    )""",
    re.VERBOSE | re.DOTALL,
)
_WORDS: Mapping[str, str] = {
    "or": "||",
    "and": "&&",
    "not": "!",
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "mod": "%",
    "div": "/",
}
_FORBIDDEN = frozenset(("new", "var", "for", "while", "do", "if", "else", "return", "break", "continue"))
_CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
_ESCAPES: Mapping[str, str] = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_METHODS = frozenset(("equals", "equalsIgnoreCase", "get"))

# From the loosest to the tightest; each level is left-associative.
_LEVELS: tuple[Mapping[str, Binary], ...] = (
    {"|": operators.bitwise(operator.or_)},
    {"^": operators.bitwise(operator.xor)},
    {"&": operators.bitwise(operator.and_)},
    {
        "==": operators.equal,
        "!=": operators.negated(operators.equal),
        "=~": operators.matches,
        "!~": operators.negated(operators.matches),
        "=^": operators.starts_with,
        "!^": operators.negated(operators.starts_with),
        "=$": operators.ends_with,
        "!$": operators.negated(operators.ends_with),
    },
    {
        "<": operators.compared(operator.lt),
        "<=": operators.compared(operator.le),
        ">": operators.compared(operator.gt),
        ">=": operators.compared(operator.ge),
    },
    {"+": operators.add, "-": operators.arithmetic(operator.sub)},
    {"*": operators.arithmetic(operator.mul), "/": operators.divide, "%": operators.modulo},
)


class _Token(NamedTuple):
    kind: str
    value: str
    position: int


def compile_expression(text: str, functions: Mapping[str, Function]) -> Evaluate:
    """Return a function from the input to the value of an expression.

    Args:
        text: The expression.
        functions: What it can call, by name.

    Raises:
        MappingInvalid: The text is no expression of the language.
    """
    if len(text) > LONGEST_EXPRESSION:
        raise MappingInvalid(f"The expression is longer than {LONGEST_EXPRESSION} characters.")
    parser = _Parser(text, functions)
    found = parser.expression()
    parser.expect_end()
    return found


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise MappingInvalid(
                f"Character {position + 1} of the expression, '{text[position:].strip()[:1]}', is not understood."
            )
        kind = match.lastgroup or ""
        value = match[kind]
        if kind == "name" and value in _WORDS:
            kind, value = "symbol", _WORDS[value]
        found.append(_Token(kind, value, match.start(match.lastgroup or 0)))
        position = match.end()
    found.append(_Token("end", "", end))
    return found


class _Parser:
    def __init__(self, text: str, functions: Mapping[str, Function]) -> None:
        self._functions = functions
        self._tokens = _tokens(text)
        self._index = 0
        self._depth = 0

    # Expressions, loosest first

    def expression(self) -> Evaluate:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise MappingInvalid("The expression is nested too deeply.")
        found = self._conditional()
        self._depth -= 1
        return found

    def _conditional(self) -> Evaluate:
        condition = self._either()
        if self._takes("?"):
            chosen = self.expression()
            self._expect(":")
            other = self.expression()
            return lambda source: chosen(source) if operators.truth(condition(source)) else other(source)
        if self._takes("?:"):
            other = self.expression()
            return lambda source: _first_true(condition(source), other, source)
        if self._takes("??"):
            other = self.expression()
            return lambda source: _first_present(condition(source), other, source)
        return condition

    def _either(self) -> Evaluate:
        found = self._both()
        while self._takes("||"):
            found = _disjunction(found, self._both())
        return found

    def _both(self) -> Evaluate:
        found = self._binary(0)
        while self._takes("&&"):
            found = _conjunction(found, self._binary(0))
        return found

    def _binary(self, level: int) -> Evaluate:
        if level == len(_LEVELS):
            return self._unary()
        found = self._binary(level + 1)
        while (token := self._peek()).kind == "symbol" and token.value in _LEVELS[level]:
            self._index += 1
            found = _combined(_LEVELS[level][token.value], found, self._binary(level + 1))
        return found

    def _unary(self) -> Evaluate:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise MappingInvalid("The expression is nested too deeply.")
        try:
            if self._takes("-"):
                return _applied(operators.negative, self._unary())
            if self._takes("!"):
                return _applied(operators.inverted, self._unary())
            if self._takes("~"):
                return _applied(operators.complement, self._unary())
            return self._postfix()
        finally:
            self._depth -= 1

    def _postfix(self) -> Evaluate:
        found = self._primary()
        while True:
            if self._takes("."):
                found = self._member(found)
            elif self._takes("["):
                found = self._indexed(found)
            else:
                return found

    def _member(self, owner: Evaluate) -> Evaluate:
        token = self._next()
        if token.kind == "name" and token.value in _METHODS and self._peek().value == "(":
            return self._method(owner, token)
        if token.kind not in ("name", "braced"):
            raise self._unexpected(token, "a name")
        return _at(owner, _name_of(token))

    def _method(self, owner: Evaluate, token: _Token) -> Evaluate:
        self._expect("(")
        arguments = self._arguments(")")
        if len(arguments) != 1:
            raise MappingInvalid(f"Method {token.value}() takes 1 argument, not {len(arguments)}.")
        return _combined(operators.METHODS[token.value], owner, arguments[0])

    def _indexed(self, owner: Evaluate) -> Evaluate:
        if self._takes("*"):
            self._expect("]")
            return _at(owner, EVERY)
        index = self.expression()
        self._expect("]")
        return _combined(operators.item, owner, index)

    def _primary(self) -> Evaluate:
        token = self._next()
        match token.kind:
            case "number":
                return _constant(float(token.value) if not token.value.isdigit() else int(token.value))
            case "text":
                return _constant(_unescaped(token.value[1:-1]))
            case "braced":
                return self._path(token)
            case "name":
                return self._named(token)
        if token.value == "(":
            found = self.expression()
            self._expect(")")
            return found
        if token.value == "[":
            return _listed(self._arguments("]"))
        if token.value == "{":
            return self._mapped()
        raise self._unexpected(token, "a value")

    def _named(self, token: _Token) -> Evaluate:
        if token.value in _FORBIDDEN:
            raise MappingInvalid(f"'{token.value}' is reserved; statements are not part of the language.")
        if self._peek().value == "(" and self._peek().kind == "symbol":
            return self._call(token)
        if token.value in _CONSTANTS:
            return _constant(_CONSTANTS[token.value])
        return self._path(token)

    def _path(self, first: _Token) -> Evaluate:
        """Read a path of the input as one step, so that ``[*]`` reaches over what follows it."""
        steps = self._steps(first)
        return lambda source: value_at(source, steps)

    def _steps(self, first: _Token) -> Path:
        steps: list[Step] = [_name_of(first)]
        while True:
            following = [token.value for token in self._tokens[self._index : self._index + 3]]
            if following[:1] == ["."] and self._is_plain_member():
                steps.append(_name_of(self._tokens[self._index + 1]))
                self._index += 2
            elif following[:1] == ["["] and following[2:] == ["]"] and self._is_plain_index(following[1]):
                steps.append(EVERY if following[1] == "*" else int(following[1]))
                self._index += 3
            else:
                return tuple(steps)

    def _is_plain_member(self) -> bool:
        token, after = self._tokens[self._index + 1], self._tokens[min(self._index + 2, len(self._tokens) - 1)]
        return token.kind == "braced" or (token.kind == "name" and not (token.value in _METHODS and after.value == "("))

    def _is_plain_index(self, text: str) -> bool:
        kind = self._tokens[self._index + 1].kind
        return (kind == "symbol" and text == "*") or (kind == "number" and text.isdigit())

    def _call(self, token: _Token) -> Evaluate:
        function = self._functions.get(token.value)
        if function is None:
            raise MappingInvalid(f"There is no function '{token.value}'.")
        self._expect("(")
        if function.takes_path:
            return self._path_call(token, function)
        if function.takes_lambda:
            return self._lambda_call(token, function)
        arguments = self._arguments(")")
        function.check_count(token.value, len(arguments))
        return _called(function, token.value, arguments)

    def _path_call(self, token: _Token, function: Function) -> Evaluate:
        first = self._next()
        if first.kind not in ("name", "braced"):
            raise self._unexpected(first, f"a path as the argument of {token.value}()")
        steps = self._steps(first)
        self._expect(")")
        return lambda source: is_present(source, steps)

    def _lambda_call(self, token: _Token, function: Function) -> Evaluate:
        """Read the arguments of a function such as ``filterArray(array, x -> condition)``."""
        values = self.expression()
        self._expect(",")
        variable = self._next()
        if variable.kind != "name" or variable.value in _FORBIDDEN or variable.value in _CONSTANTS:
            raise self._unexpected(variable, "the name of a variable")
        self._expect("->")
        body = self.expression()
        self._expect(")")
        name = variable.value

        def evaluate(source: dict[str, Any]) -> Any:
            return function.call(token.value, [values(source), lambda item: body({**source, name: item})])

        return evaluate

    def _arguments(self, end: str) -> list[Evaluate]:
        found: list[Evaluate] = []
        if self._takes(end):
            return found
        while True:
            found.append(self.expression())
            if self._takes(end):
                return found
            self._expect(",")

    def _mapped(self) -> Evaluate:
        pairs: list[tuple[Evaluate, Evaluate]] = []
        while not self._takes("}"):
            if pairs:
                self._expect(",")
            key = self._unary()
            self._expect(":")
            pairs.append((key, self.expression()))
        return lambda source: {operators.key_text(key(source)): value(source) for key, value in pairs}

    # Tokens

    def _peek(self) -> _Token:
        return self._tokens[self._index]

    def _next(self) -> _Token:
        token = self._tokens[self._index]
        if token.kind == "end":
            raise MappingInvalid("The expression ends too early.")
        self._index += 1
        return token

    def _takes(self, symbol: str) -> bool:
        token = self._peek()
        if token.kind == "symbol" and token.value == symbol:
            self._index += 1
            return True
        return False

    def _expect(self, symbol: str) -> None:
        if not self._takes(symbol):
            raise self._unexpected(self._peek(), f"'{symbol}'")

    def expect_end(self) -> None:
        if self._peek().kind != "end":
            raise self._unexpected(self._peek(), "the end")

    def _unexpected(self, token: _Token, wanted: str) -> MappingInvalid:
        shown = f"'{token.value}'" if token.value else "the end"
        return MappingInvalid(f"Character {token.position + 1} of the expression: {wanted} is expected, not {shown}.")


def _name_of(token: _Token) -> str:
    name = token.value[2:-1] if token.kind == "braced" else token.value
    return name.replace("\\.", ".")


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text, flags=re.DOTALL)


def _constant(value: Any) -> Evaluate:
    return lambda _: value


def _applied(function: Callable[[Any], Any], argument: Evaluate) -> Evaluate:
    return lambda source: function(argument(source))


def _combined(function: Binary, left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda source: function(left(source), right(source))


def _conjunction(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda source: operators.truth(left(source)) and operators.truth(right(source))


def _disjunction(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda source: operators.truth(left(source)) or operators.truth(right(source))


def _listed(items: list[Evaluate]) -> Evaluate:
    return lambda source: [item(source) for item in items]


def _at(owner: Evaluate, step: str | EveryItem) -> Evaluate:
    return lambda source: value_at(owner(source), (step,))


def _called(function: Function, name: str, arguments: list[Evaluate]) -> Evaluate:
    if function.is_lazy:
        return lambda source: function.call(name, [lambda each=each: each(source) for each in arguments])
    return lambda source: function.call(name, [each(source) for each in arguments])


def _first_true(value: Any, other: Evaluate, source: dict[str, Any]) -> Any:
    return value if operators.truth(value) else other(source)


def _first_present(value: Any, other: Evaluate, source: dict[str, Any]) -> Any:
    return other(source) if value is None else value
