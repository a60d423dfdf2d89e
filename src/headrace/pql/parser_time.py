"""The part of the grammar that speaks of time: ``occurs`` tails and ``chain``."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from headrace.pql import syntax
from headrace.pql.cursor import Cursor
from headrace.pql.syntax import Syntax
from headrace.pql.tokens import INTEGER_MAX, RESERVED, Token, TokenKind
from headrace.pql.tree import Unit

_IRREGULAR = {Unit.CENTURY: "centuries", Unit.MILLENNIUM: "millennia"}
UNITS: Mapping[str, Unit] = {unit.value: unit for unit in Unit} | {_IRREGULAR.get(unit, f"{unit}s"): unit for unit in Unit}
"""The words for units, singular and plural."""

_OPERATORS = ("=", "!=", "<", "<=", ">", ">=")
_NO_OPERAND = frozenset(RESERVED) - {"xevent", "if", "chain", "true", "false", "null", "now", "today", "yesterday", "tomorrow"}


class TimeParser(ABC):
    """Rules that `Parser` inherits; they use its ``sum``, ``postfix`` and ``bracketed``."""

    cursor: Cursor

    @abstractmethod
    def sum(self) -> Syntax:
        """``add``."""

    @abstractmethod
    def postfix(self) -> Syntax:
        """``postfix``."""

    @abstractmethod
    def bracketed(self) -> Syntax:
        """An expression inside parentheses."""

    # --- occurs

    def when(self) -> syntax.When:
        """Parse what follows ``occurs``."""
        cursor = self.cursor
        start = cursor.token.span.start
        if operator := cursor.accept_symbol(*_OPERATORS):
            return self._distance(operator.text, start)
        if cursor.token.is_word("before", "after", "from") and self._operand_follows():
            return self._direction(start)
        if cursor.token.is_word("between") and self._operand_follows():
            cursor.advance()
            first = self._time()
            cursor.expect_word("and")
            last = self._time()
            return syntax.When(first, anchor_end=last, span=cursor.span_from(start))
        if cursor.token.is_word("on") and self._operand_follows():
            cursor.advance()
        return syntax.When(self._time(), span=cursor.span_from(start))

    def _direction(self, start: int) -> syntax.When:
        cursor = self.cursor
        word = cursor.advance()
        if word.is_word("from"):
            cursor.refuse("from needs an amount, such as <= 7 days from today.", span=word.span)
        return syntax.When(self._time(), direction=word.text.lower(), span=cursor.span_from(start))

    def _distance(self, operator: str, start: int) -> syntax.When:
        cursor = self.cursor
        amount = cursor.token
        if amount.kind is not TokenKind.INTEGER:
            cursor.refuse(f"The amount must be a non-negative integer, found {cursor.found()}.")
        cursor.advance()
        if len(amount.text) > 9:
            cursor.refuse("The amount is larger than 999999999.", span=amount.span)
        unit = self._unit()
        direction = cursor.expect_word("before", "after", "from").text.lower()
        anchor = self._time()
        return syntax.When(anchor, operator, int(amount.text), unit, direction, span=cursor.span_from(start))

    def _unit(self) -> Unit:
        token = self.cursor.token
        if token.kind is not TokenKind.NAME or token.text.lower() not in UNITS:
            self.cursor.refuse(f"Expected a unit of time such as days, found {self.cursor.found()}.")
        return UNITS[self.cursor.advance().text.lower()]

    def _time(self) -> Syntax:
        token, following = self.cursor.token, self.cursor.peek()
        if token.is_word("this", "last", "next") and following.kind is TokenKind.NAME and following.text.lower() in UNITS:
            self.cursor.advance()
            return syntax.CalendarUnit(token.text.lower(), self._unit(), span=self.cursor.span_from(token.span.start))
        return self.sum()

    def _operand_follows(self) -> bool:
        """Whether the word here is a keyword: it is a field's name when nothing that could be a time follows it."""
        following = self.cursor.peek()
        if following.kind is TokenKind.NAME:
            return following.text.lower() not in _NO_OPERAND
        return following.kind is not TokenKind.END and (
            following.kind is not TokenKind.SYMBOL or following.is_symbol("(", "^", "-", "{")
        )

    # --- chain

    def chain(self) -> Syntax:
        """``chain(array, time, [terms])``."""
        cursor = self.cursor
        start = cursor.advance().span.start
        cursor.expect_symbol("(")
        array = self.bracketed()
        cursor.expect_symbol(",")
        time = self.bracketed()
        cursor.expect_symbol(",")
        cursor.expect_symbol("[")
        terms = [self._term()]
        while cursor.accept_symbol(","):
            terms.append(self._term())
        cursor.expect_symbol("]")
        cursor.expect_symbol(")")
        return syntax.Chain(array, time, tuple(terms), span=cursor.span_from(start))

    def _term(self) -> syntax.Term:
        cursor = self.cursor
        label = cursor.expect_name("the label of a chain's term")
        cursor.expect_symbol(":")
        cursor.expect_word("what")
        what = self._parenthesised()
        when: tuple[syntax.When, ...] = ()
        where: Syntax | None = None
        count: tuple[int, int | None] | None = None
        while part := cursor.accept_word("when", "count", "where"):
            match part.text.lower():
                case "when":
                    when += self._when_list()
                case "count" if count is None:
                    count = self._count()
                case "where" if where is None:
                    where = self._parenthesised()
                case _:
                    cursor.refuse(f"{part.text} stands twice in term {label.text}.", span=part.span)
        low, high = count or (1, None)
        return syntax.Term(label.text, what, when, low, high, where, label.span, span=cursor.span_from(label.span.start))

    def _parenthesised(self) -> Syntax:
        self.cursor.expect_symbol("(")
        inner = self.bracketed()
        self.cursor.expect_symbol(")")
        return inner

    def _when_list(self) -> tuple[syntax.When, ...]:
        self.cursor.expect_symbol("(")
        parts = [self.when()]
        while self.cursor.accept_word("and"):
            parts.append(self.when())
        self.cursor.expect_symbol(")")
        return tuple(parts)

    def _count(self) -> tuple[int, int | None]:
        cursor = self.cursor
        start = cursor.expect_symbol("(").span.start
        operator = cursor.accept_symbol(*_OPERATORS)
        first = self._count_number()
        second = self._count_number() if operator is None and cursor.accept_symbol(",") else None
        cursor.expect_symbol(")")
        if second is not None:
            if second < first:
                cursor.refuse(f"COUNT({first}, {second}) allows no number.", span=cursor.span_from(start))
            return first, second
        return self._bounds(operator, first, start)

    def _bounds(self, operator: Token | None, number: int, start: int) -> tuple[int, int | None]:
        """Return the least and greatest number that the comparison allows."""
        match operator.text if operator else "":
            case "":
                return (number, None) if number else (0, 0)
            case ">=":
                return number, None
            case ">":
                return number + 1, None
            case "=":
                return number, number
            case "<=":
                return 0, number
            case "<" if number:
                return 0, number - 1
            case _:
                return self.cursor.refuse(
                    "COUNT takes n, =, <, <=, > or >= n, or a range m, n.", span=self.cursor.span_from(start)
                )

    def _count_number(self) -> int:
        token = self.cursor.token
        if token.kind is not TokenKind.INTEGER or int(token.text[:20]) > INTEGER_MAX:
            self.cursor.refuse(f"Expected a non-negative integer, found {self.cursor.found()}.")
        return int(self.cursor.advance().text)
