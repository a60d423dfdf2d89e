"""Tokens to the unbound tree: recursive descent, one method per rule of the grammar, bounded in depth."""

import math
from collections.abc import Callable
from dataclasses import replace

from headrace.pql import syntax
from headrace.pql.cursor import Cursor
from headrace.pql.errors import PqlError, ProblemCode, problem_at
from headrace.pql.parser_time import UNITS, TimeParser
from headrace.pql.syntax import LiteralKind, Syntax
from headrace.pql.tokens import INTEGER_MAX, INTEGER_MIN, RESERVED, Token, TokenKind
from headrace.pql.tree import Span

MAX_TREE_DEPTH = 100
"""Levels of a tree that later stages may walk by recursion."""
MAX_DECLARATIONS = 16
"""Variables in one ``select``, ``exists``, ``forall`` or ``over``."""

_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_AGGREGATES = frozenset(("sum", "average", "min", "max", "count"))
_TIME_WORDS = ("now", "today", "yesterday", "tomorrow")
_PREFIX_WORDS = frozenset(("xevent", "if", "true", "false", "null", *_TIME_WORDS))

__all__ = ["MAX_DECLARATIONS", "MAX_TREE_DEPTH", "UNITS", "check_depth", "parse"]


def parse(text: str) -> Syntax:
    """Return the unbound tree of a query.

    Raises:
        PqlError: ``E-LEX`` (all of them), else the first ``E-SYNTAX`` or ``E-LIMIT``.
    """
    parser = Parser(text)
    tree = parser.query()
    check_depth(tree, text)
    return tree


def check_depth(tree: Syntax, text: str) -> None:
    """Refuse a tree that is too deep to be walked by recursion.

    Raises:
        PqlError: ``E-LIMIT``.
    """
    if syntax.depth(tree) > MAX_TREE_DEPTH:
        message = f"The query is nested more than {MAX_TREE_DEPTH} levels deep; write it with and, or, lists or let."
        raise PqlError([problem_at(text, ProblemCode.LIMIT, tree.span, message)])


class Parser(TimeParser):
    """Parses one text."""

    def __init__(self, text: str) -> None:
        self.cursor = Cursor(text)
        self._is_in_allowed = True

    def query(self) -> Syntax:
        """``query = expr EOF``."""
        tree = self.expression()
        cursor = self.cursor
        if cursor.token.kind is not TokenKind.END:
            if cursor.token.is_symbol(")", "]", "}"):
                cursor.refuse(f"{cursor.found()} closes nothing.")
            cursor.refuse(f"Expected an operator or the end of the query, found {cursor.found()}.")
        return tree

    # --- prefix forms and logic

    def expression(self) -> Syntax:
        """``expr``: lambda, let, select, quantifier, aggregate over, or logic."""
        return self._nested(self._lambda if self._at_lambda() else self._junction)

    def _nested(self, rule: Callable[[], Syntax]) -> Syntax:
        self.cursor.enter()
        result = rule()
        self.cursor.leave()
        return result

    def bracketed(self) -> Syntax:
        """An expression inside parentheses or brackets, where the operator ``in`` is always meant."""
        outer, self._is_in_allowed = self._is_in_allowed, True
        result = self.expression()
        self._is_in_allowed = outer
        return result

    def _at_lambda(self) -> bool:
        if not self.cursor.token.is_symbol("("):
            return False
        distance = 1
        while self.cursor.peek(distance).kind in (TokenKind.NAME, TokenKind.QUOTED_NAME) or self.cursor.peek(distance).is_symbol(
            ","
        ):
            distance += 1
        return self.cursor.peek(distance).is_symbol(")") and self.cursor.peek(distance + 1).is_symbol("=>")

    def _lambda(self) -> Syntax:
        start = self.cursor.expect_symbol("(").span.start
        names: list[str] = []
        if not self.cursor.token.is_symbol(")"):
            names.append(self._variable_name().text)
            while self.cursor.accept_symbol(","):
                names.append(self._variable_name().text)
        self.cursor.expect_symbol(")")
        self.cursor.expect_symbol("=>")
        body = self.expression()
        return syntax.Lambda(tuple(names), body, span=self.cursor.span_from(start))

    def _variable_name(self) -> Token:
        token = self.cursor.token
        if token.kind is TokenKind.NAME and token.text.lower() in RESERVED:
            self.cursor.refuse(f"{token.text} is a reserved word; write it in backquotes.", replacement=f"`{token.text}`")
        return self.cursor.expect_name("the name of a variable")

    def _let(self) -> Syntax:
        start = self.cursor.advance().span.start
        name = self._variable_name()
        self.cursor.expect_symbol("=")
        outer, self._is_in_allowed = self._is_in_allowed, False
        value = self.expression()
        self._is_in_allowed = outer
        self.cursor.expect_word("in")
        body = self.expression()
        return syntax.Let(name.text, value, body, span=self.cursor.span_from(start))

    def _junction(self, operator: str = "or") -> Syntax:
        start = self.cursor.token.span.start
        operands = [self._not() if operator == "and" else self._junction("and")]
        while self.cursor.accept_word(operator):
            operands.append(self._not() if operator == "and" else self._junction("and"))
        if len(operands) == 1:
            return operands[0]
        return syntax.Junction(operator, tuple(operands), span=self.cursor.span_from(start))

    def _not(self) -> Syntax:
        token = self.cursor.accept_word("not") or self.cursor.accept_symbol("!")
        if token is None:
            return self._relation()
        operand = self._nested(self._not)
        return syntax.Not(operand, span=self.cursor.span_from(token.span.start))

    # --- comparisons and arithmetic

    def _relation(self) -> Syntax:
        start = self.cursor.token.span.start
        left = self.sum()
        operator = self._relation_operator()
        if operator is None:
            return left
        if operator == "occurs":
            result: Syntax = syntax.Occurs(left, self.when(), span=self.cursor.span_from(start))
        else:
            right = self.sum()
            result = syntax.Binary(operator, left, right, span=self.cursor.span_from(start))
        self._refuse_second_relation()
        return result

    def _relation_operator(self) -> str | None:
        token, following = self.cursor.token, self.cursor.peek()
        if token.is_symbol("=") and following.is_symbol("=") and following.span.start == token.span.end:
            both = Span(token.span.start, following.span.end)
            self.cursor.refuse("There is no operator ==; use =.", span=both, replacement="=")
        if token.is_symbol("<") and following.is_symbol(">") and following.span.start == token.span.end:
            both = Span(token.span.start, following.span.end)
            self.cursor.refuse("There is no operator <>; use !=.", span=both, replacement="!=")
        if token.is_symbol(*_COMPARISONS):
            return self.cursor.advance().text
        if token.is_word("in") and not self._is_in_allowed:
            return None
        if self.cursor.accept_word("in", "notin", "like", "occurs"):
            return "notIn" if token.text.lower() == "notin" else token.text.lower()
        return None

    def _refuse_second_relation(self) -> None:
        token = self.cursor.token
        is_in = token.is_word("in") and self._is_in_allowed
        if token.is_symbol(*_COMPARISONS) or token.is_word("notin", "like", "occurs") or is_in:
            self.cursor.refuse("Comparisons do not chain; join them with and.")

    def sum(self) -> Syntax:
        """``add``: terms joined by ``+`` and ``-``."""
        return self._arithmetic(("+", "-"))

    def _arithmetic(self, operators: tuple[str, ...]) -> Syntax:
        start = self.cursor.token.span.start
        is_sum = "+" in operators
        left = self._arithmetic(("*", "/", "%")) if is_sum else self._unary()
        while operator := self.cursor.accept_symbol(*operators):
            right = self._arithmetic(("*", "/", "%")) if is_sum else self._unary()
            left = syntax.Binary(operator.text, left, right, span=self.cursor.span_from(start))
        return left

    def _unary(self) -> Syntax:
        if not self.cursor.token.is_symbol("-"):
            return self.postfix()
        start = self.cursor.advance().span.start
        is_number = self.cursor.token.kind in (TokenKind.INTEGER, TokenKind.DOUBLE)
        operand = self._nested(self._unary)
        span = self.cursor.span_from(start)
        if is_number and isinstance(operand, syntax.Constant) and isinstance(operand.value, int | float):
            return self._checked_number(replace(operand, value=-operand.value, span=span))
        return syntax.Negate(self._checked_number(operand), span=span)

    def _checked_number(self, node: Syntax) -> Syntax:
        """Refuse an integer literal outside 64 bits; its sign is known only after the minus has been read."""
        value = node.value if isinstance(node, syntax.Constant) and node.kind is LiteralKind.INTEGER else None
        if isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
            self.cursor.refuse("The integer does not fit in 64 bits.", span=node.span, code=ProblemCode.LEX)
        return node

    # --- paths, calls, primaries

    def postfix(self) -> Syntax:
        """A primary followed by members, method calls and filters."""
        start = self.cursor.token.span.start
        is_negated = self.cursor.peek(-1).is_symbol("-")
        node = self._primary()
        if not is_negated or self.cursor.token.is_symbol(".", "["):
            node = self._checked_number(node)
        while True:
            if self.cursor.accept_symbol("."):
                node = self._member(node, start)
            elif self.cursor.accept_symbol("["):
                condition = self.bracketed()
                self.cursor.expect_symbol("]")
                node = syntax.Filter(node, condition, span=self.cursor.span_from(start))
            else:
                return node

    def _member(self, receiver: Syntax, start: int) -> Syntax:
        name = self.cursor.expect_name("a field or function after the dot")
        if name.kind is TokenKind.QUOTED_NAME or not self.cursor.token.is_symbol("("):
            return syntax.Member(receiver, name.text, name.span, span=self.cursor.span_from(start))
        arguments = (receiver, *self._arguments())
        span = self.cursor.span_from(start)
        if name.text == "filter" and len(arguments) == 2:
            return syntax.Filter(*arguments, span=span)
        return syntax.Call(name.text, arguments, name.span, span=span)

    def _arguments(self) -> tuple[Syntax, ...]:
        self.cursor.expect_symbol("(")
        return self._list_until(")")

    def _list_until(self, closing: str) -> tuple[Syntax, ...]:
        items: list[Syntax] = []
        if not self.cursor.token.is_symbol(closing):
            items.append(self.bracketed())
            while self.cursor.accept_symbol(","):
                items.append(self.bracketed())
        self.cursor.expect_symbol(closing)
        return tuple(items)

    def _primary(self) -> Syntax:
        token = self.cursor.token
        match token.kind:
            case TokenKind.STRING:
                self.cursor.advance()
                return syntax.Constant(token.text, LiteralKind.STRING, span=token.span)
            case TokenKind.INTEGER | TokenKind.DOUBLE:
                return self._number()
            case TokenKind.PARAMETER:
                self.cursor.advance()
                return syntax.Parameter(int(token.text[1:6]), span=token.span)
            case TokenKind.QUOTED_NAME:
                self.cursor.advance()
                return syntax.Name(token.text, span=token.span)
            case TokenKind.NAME:
                return self._word()
            case TokenKind.SYMBOL:
                return self._symbol()
            case TokenKind.END:
                return self.cursor.refuse("The query ends where a value is expected.")

    def _number(self) -> Syntax:
        token = self.cursor.advance()
        if token.kind is TokenKind.DOUBLE:
            number = float(token.text)
            if math.isinf(number):
                self.cursor.refuse("The number is too large.", span=token.span, code=ProblemCode.LEX)
            return syntax.Constant(number, LiteralKind.DOUBLE, span=token.span)
        digits = token.text.lstrip("0") or "0"
        if len(digits) > len(str(INTEGER_MAX)):
            self.cursor.refuse("The integer does not fit in 64 bits.", span=token.span, code=ProblemCode.LEX)
        return syntax.Constant(int(digits), LiteralKind.INTEGER, span=token.span)

    def _symbol(self) -> Syntax:
        token = self.cursor.token
        if token.is_symbol("("):
            self.cursor.advance()
            inner = self.bracketed()
            self.cursor.expect_symbol(")")
            return replace(inner, span=self.cursor.span_from(token.span.start))
        if token.is_symbol("["):
            self.cursor.advance()
            items = self._list_until("]")
            return syntax.ListLiteral(items, span=self.cursor.span_from(token.span.start))
        if token.is_symbol("{"):
            return self._object()
        if token.is_symbol("^"):
            return self._up()
        return self.cursor.refuse(f"Expected a value, found {self.cursor.found()}.")

    def _object(self) -> Syntax:
        start = self.cursor.advance().span.start
        entries = [self._entry()]
        while self.cursor.accept_symbol(","):
            entries.append(self._entry())
        self.cursor.expect_symbol("}")
        return syntax.ObjectLiteral(tuple(entries), span=self.cursor.span_from(start))

    def _entry(self) -> syntax.Entry:
        key = self.cursor.token
        if key.kind is not TokenKind.STRING:
            self.cursor.refuse(f"Expected a key in double quotes, found {self.cursor.found()}.")
        self.cursor.advance()
        self.cursor.expect_symbol(":")
        value = self.bracketed()
        return syntax.Entry(key.text, value, span=self.cursor.span_from(key.span.start))

    def _up(self) -> Syntax:
        start, levels = self.cursor.token.span.start, 0
        while self.cursor.accept_symbol("^"):
            levels += 1
        self.cursor.accept_symbol(".")
        name = self.cursor.expect_name("a field after ^")
        return syntax.Up(levels, name.text, span=self.cursor.span_from(start))

    def _word(self) -> Syntax:
        token, word = self.cursor.token, self.cursor.token.text.lower()
        is_called = self.cursor.peek().is_symbol("(")
        if word in ("true", "false", "null"):
            self.cursor.advance()
            if word == "null":
                return syntax.Constant(None, LiteralKind.NULL, span=token.span)
            return syntax.Constant(word == "true", LiteralKind.BOOLEAN, span=token.span)
        if word in _TIME_WORDS:
            self.cursor.advance()
            return syntax.TimeWord(word, span=token.span)
        if word == "xevent":
            self.cursor.advance()
            return syntax.Name("xEvent", span=token.span)
        if word == "chain":
            return self.chain()
        if word in ("select", "exists", "forall", "let") and not (is_called and word in ("exists", "forall")):
            return self._nested(lambda: self._prefix_form(word))
        if word in RESERVED and not (is_called and word in ("if", "exists", "forall")):
            self.cursor.refuse(f"Expected a value, found the word {token.text}.", replacement=f"`{token.text}`")
        if token.text in _AGGREGATES and self._at_aggregate_over():
            return self._nested(self._aggregate_over)
        self.cursor.advance()
        if not is_called:
            return syntax.Name(token.text, span=token.span)
        return self._function(token, word)

    def _function(self, token: Token, word: str) -> Syntax:
        arguments = self._arguments()
        span = self.cursor.span_from(token.span.start)
        if token.text == "filter" and len(arguments) == 2:
            return syntax.Filter(*arguments, span=span)
        return syntax.Call(word if word in RESERVED else token.text, arguments, token.span, span=span)

    # --- declarations

    def _prefix_form(self, word: str) -> Syntax:
        if word == "let":
            return self._let()
        start = self.cursor.advance().span.start
        declarations = self._declarations()
        span = self.cursor.span_from(start)
        if word == "select":
            return syntax.Select(declarations, span=span)
        return syntax.Quantifier(word == "forall", declarations, span=span)

    def _declarations(self) -> tuple[syntax.Declaration, ...]:
        declarations = [self._declaration()]
        while self.cursor.token.is_symbol(",") and self.cursor.peek(2).is_word("from"):
            self.cursor.advance()
            declarations.append(self._declaration())
        if len(declarations) > MAX_DECLARATIONS:
            span = declarations[MAX_DECLARATIONS].span
            self.cursor.refuse(f"More than {MAX_DECLARATIONS} variables in one list.", span=span, code=ProblemCode.LIMIT)
        return tuple(declarations)

    def _declaration(self) -> syntax.Declaration:
        name = self._variable_name()
        self.cursor.expect_word("from")
        source = self.sum()
        condition = None
        if self.cursor.accept_word("where") or self.cursor.accept_symbol(":"):
            condition = self._junction()
        return syntax.Declaration(name.text, source, condition, name.span, span=self.cursor.span_from(name.span.start))

    def _at_aggregate_over(self) -> bool:
        following = self.cursor.peek()
        if following.kind is TokenKind.NAME:
            word = following.text.lower()
            return word not in RESERVED or word in _PREFIX_WORDS or word == "chain"
        if following.is_symbol("(", "[", "-", "{", "^"):
            return self._finds_over()
        return following.kind not in (TokenKind.SYMBOL, TokenKind.END)

    def _finds_over(self) -> bool:
        """Whether ``over`` follows on this level before the operand ends: tells ``sum (x) over X …`` from ``sum(x)``."""
        nesting, distance = 0, 1
        while (token := self.cursor.peek(distance)).kind is not TokenKind.END:
            if token.is_symbol("(", "[", "{"):
                nesting += 1
            elif token.is_symbol(")", "]", "}"):
                nesting -= 1
            is_member = self.cursor.peek(distance - 1).is_symbol(".")
            if nesting < 0 or (nesting == 0 and not is_member and token.is_word("and", "or", "in", "notin", "like", "occurs")):
                return False
            if nesting == 0 and (token.is_symbol(",", ":", *_COMPARISONS) or (token.is_word("over") and not is_member)):
                return token.is_word("over")
            distance += 1
        return False

    def _aggregate_over(self) -> Syntax:
        function = self.cursor.advance()
        value = self.sum()
        self.cursor.expect_word("over")
        declarations = self._declarations()
        return syntax.AggregateOver(function.text, value, declarations, span=self.cursor.span_from(function.span.start))
