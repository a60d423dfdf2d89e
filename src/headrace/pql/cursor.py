"""A position in a list of tokens: what the parser asks of it, and how it refuses."""

from typing import NoReturn

from headrace.pql.errors import PqlError, ProblemCode, problem_at
from headrace.pql.tokens import Token, TokenKind, tokenize
from headrace.pql.tree import Span

MAX_NESTING = 40
"""Parentheses, brackets and prefix operators that may stand inside one another."""


class Cursor:
    """Reads tokens from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = tokenize(text)
        self._index = 0
        self._nesting = 0

    @property
    def token(self) -> Token:
        """The token to be read next."""
        return self._tokens[self._index]

    def peek(self, distance: int = 1) -> Token:
        """Return a later token; the last one when there are not so many."""
        return self._tokens[min(self._index + distance, len(self._tokens) - 1)]

    def advance(self) -> Token:
        """Return the next token and step over it."""
        token = self.token
        if token.kind is not TokenKind.END:
            self._index += 1
        return token

    def span_from(self, start: int) -> Span:
        """Return the span from an offset to the end of the last token read."""
        return Span(start, max(start, self._tokens[self._index - 1].span.end if self._index else start))

    def accept_symbol(self, *symbols: str) -> Token | None:
        """Step over the next token when it is one of these symbols."""
        return self.advance() if self.token.is_symbol(*symbols) else None

    def accept_word(self, *words: str) -> Token | None:
        """Step over the next token when it is one of these keywords."""
        return self.advance() if self.token.is_word(*words) else None

    def expect_symbol(self, symbol: str) -> Token:
        """Step over a symbol that must be there."""
        if not self.token.is_symbol(symbol):
            self.refuse(f"Missing {symbol} before {self.found()}.")
        return self.advance()

    def expect_word(self, *words: str) -> Token:
        """Step over a keyword that must be there."""
        if not self.token.is_word(*words):
            self.refuse(f"Expected {' or '.join(words)}, found {self.found()}.")
        return self.advance()

    def expect_name(self, what: str) -> Token:
        """Step over a name that must be there, in backquotes or not."""
        if self.token.kind not in (TokenKind.NAME, TokenKind.QUOTED_NAME):
            self.refuse(f"Expected {what}, found {self.found()}.")
        return self.advance()

    def found(self) -> str:
        """Describe the next token for a message."""
        token = self.token
        return "the end of the query" if token.kind is TokenKind.END else self.text[token.span.start : token.span.end]

    def enter(self) -> None:
        """Count one more level of nesting; refuse too many."""
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            self.refuse(f"More than {MAX_NESTING} levels of nesting.", code=ProblemCode.LIMIT)

    def leave(self) -> None:
        """Count one level of nesting less."""
        self._nesting -= 1

    def refuse(
        self, message: str, *, span: Span | None = None, replacement: str | None = None, code: ProblemCode = ProblemCode.SYNTAX
    ) -> NoReturn:
        """Raise the error for the next token, or for ``span``."""
        raise PqlError([problem_at(self.text, code, span or self.token.span, message, replacement=replacement)])
