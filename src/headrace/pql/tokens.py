"""Text to tokens."""

import re
from dataclasses import dataclass
from enum import Enum, auto

from headrace.pql.errors import PqlError, Problem, ProblemCode, problem_at
from headrace.pql.tree import Span

MAX_TEXT_BYTES = 64 * 1024
"""Longest query accepted, in UTF-8 bytes."""

RESERVED = frozenset(
    (
        "and",
        "or",
        "not",
        "in",
        "notin",
        "like",
        "occurs",
        "select",
        "exists",
        "forall",
        "from",
        "where",
        "let",
        "over",
        "if",
        "chain",
        "true",
        "false",
        "null",
        "now",
        "today",
        "yesterday",
        "tomorrow",
        "xevent",
    )
)
"""Words, in lower case, that cannot stand at the head of a path unless in backquotes."""

INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1


class TokenKind(Enum):
    """What a token is."""

    NAME = auto()
    QUOTED_NAME = auto()
    STRING = auto()
    INTEGER = auto()
    DOUBLE = auto()
    PARAMETER = auto()
    SYMBOL = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One word of the query. ``text`` is the symbol, name, digits, or the string's value with escapes resolved."""

    kind: TokenKind
    text: str
    span: Span

    def is_symbol(self, *symbols: str) -> bool:
        """Whether this is one of the given symbols."""
        return self.kind is TokenKind.SYMBOL and self.text in symbols

    def is_word(self, *words: str) -> bool:
        """Whether this is one of the given keywords (lower case), in any case."""
        return self.kind is TokenKind.NAME and self.text.lower() in words


_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n\f\v]+ | //[^\n]* | /\*.*?\*/)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<double>[0-9]+ (?: \.[0-9]+ (?:[eE][+-]?[0-9]+)? | [eE][+-]?[0-9]+ ))
  | (?P<integer>[0-9]+)
  | (?P<parameter>\$[0-9]+)
  | (?P<symbol>=>|!=|<=|>=|[-=<>!+*/%().,:\[\]{}^])
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
_ESCAPES = {"\\": "\\", '"': '"', "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SINGLE_QUOTES = "'\u2018\u2019\u201a\u201b"
_TYPOGRAPHIC_QUOTES = "\u201c\u201d\u201e\u201f\u00ab\u00bb"
_KINDS = {
    "name": TokenKind.NAME,
    "double": TokenKind.DOUBLE,
    "integer": TokenKind.INTEGER,
    "parameter": TokenKind.PARAMETER,
    "symbol": TokenKind.SYMBOL,
}


def tokenize(text: str) -> list[Token]:
    """Return the tokens of a query, ended by one of kind END.

    Raises:
        PqlError: ``E-LEX`` with every bad character, escape or quote of the text; ``E-LIMIT`` when it is too long.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise PqlError([problem_at(text, ProblemCode.LIMIT, Span(0, 0), f"The query is longer than {MAX_TEXT_BYTES} bytes.")])
    lexer = _Lexer(text)
    tokens = lexer.run()
    if lexer.problems:
        raise PqlError(lexer.problems)
    return tokens


class _Lexer:
    """Reads one text from left to right and collects what is wrong with it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.problems = list[Problem]()
        self.position = 0

    def run(self) -> list[Token]:
        tokens: list[Token] = []
        while self.position < len(self.text):
            token = self._next()
            if token is not None:
                tokens.append(token)
        tokens.append(Token(TokenKind.END, "", Span(len(self.text), len(self.text))))
        return tokens

    def _next(self) -> Token | None:
        start = self.position
        first = self.text[start]
        if first == '"':
            return self._string()
        if first == "`":
            return self._quoted_name()
        match = _TOKEN.match(self.text, start)
        if match is None or (match.group() == "/" and self.text.startswith("/*", start)):
            self._refuse_character(first)
            return None
        self.position = match.end()
        group = match.lastgroup or "space"
        if group == "space":
            return None
        return Token(_KINDS[group], match.group(), Span(start, match.end()))

    def _string(self) -> Token:
        start = self.position
        self.position += 1
        parts: list[str] = []
        while self.position < len(self.text):
            plain = _PLAIN.match(self.text, self.position)
            if plain is not None:
                parts.append(plain.group())
                self.position = plain.end()
                continue
            character = self.text[self.position]
            if character == '"':
                self.position += 1
                return Token(TokenKind.STRING, "".join(parts), Span(start, self.position))
            if character == "\\":
                parts.append(self._escape())
            else:  # control characters, line breaks among them, are taken as they are
                parts.append(character)
                self.position += 1
        self._refuse(Span(start, len(self.text)), 'The string has no closing ".')
        return Token(TokenKind.STRING, "".join(parts), Span(start, len(self.text)))

    def _escape(self) -> str:
        start = self.position
        following = self.text[start + 1 : start + 2]
        if following in _ESCAPES and following:
            self.position += 2
            return _ESCAPES[following]
        if following == "u" and re.fullmatch(r"[0-9A-Fa-f]{4}", self.text[start + 2 : start + 6]):
            self.position += 6
            return self._unicode_escape(int(self.text[start + 2 : start + 6], 16), start)
        self.position += 1 + len(following)
        found = f"\\{following}"
        self._refuse(Span(start, self.position), f"Unknown escape {found}; write \\\\{following}.", f"\\{found}")
        return following

    def _unicode_escape(self, code: int, start: int) -> str:
        """Return the character; two escaped surrogates make one, a lone one is refused."""
        if 0xD800 <= code < 0xDC00 and (low := re.match(r"\\u([dD][c-fC-F][0-9A-Fa-f]{2})", self.text[self.position :])):
            self.position += 6
            return chr(0x10000 + ((code - 0xD800) << 10) + (int(low.group(1), 16) - 0xDC00))
        if 0xD800 <= code < 0xE000:
            self._refuse(Span(start, self.position), "Half of a surrogate pair is no character.")
            return ""
        return chr(code)

    def _quoted_name(self) -> Token:
        start = self.position
        end = self.text.find("`", start + 1)
        if end < 0:
            self.position = len(self.text)
            self._refuse(Span(start, self.position), "The name has no closing backquote.")
            return Token(TokenKind.QUOTED_NAME, "", Span(start, self.position))
        self.position = end + 1
        name = self.text[start + 1 : end]
        if not name or "\n" in name:
            self._refuse(Span(start, end + 1), "A name in backquotes must have characters and stand on one line.")
        return Token(TokenKind.QUOTED_NAME, name, Span(start, end + 1))

    def _refuse_character(self, character: str) -> None:
        start = self.position
        if character in _SINGLE_QUOTES or character in _TYPOGRAPHIC_QUOTES:
            self._refuse_quotes(character)
            return
        self.position += 1
        if self.text.startswith("/*", start):
            self.position = len(self.text)
            self._refuse(Span(start, start + 2), "The comment has no closing */.")
        elif character in "&|":
            self._refuse_double(character, "and" if character == "&" else "or")
        else:
            self._refuse(Span(start, start + 1), f"Character {character!r} has no meaning here.")

    def _refuse_double(self, character: str, word: str) -> None:
        start = self.position - 1
        self.position += self.text.startswith(character, self.position)
        found = self.text[start : self.position]
        self._refuse(Span(start, self.position), f"There is no operator {found}; use {word}.", word)

    def _refuse_quotes(self, character: str) -> None:
        """Refuse a string in other quotes as a whole, so that one mistake is one problem."""
        start, family = self.position, _SINGLE_QUOTES if character in _SINGLE_QUOTES else _TYPOGRAPHIC_QUOTES
        closing = re.compile(f'[{family}"\n]').search(self.text, start + 1)
        end = closing.end() if closing is not None and closing.group() != "\n" else start + 1
        self.position = end
        kind = "Single" if family is _SINGLE_QUOTES else "Typographic"
        content = self.text[start + 1 : end - 1]
        replacement = f'"{content}"' if end > start + 1 else '"'
        self._refuse(Span(start, end), f'{kind} quotes do not make a string; use ".', replacement)

    def _refuse(self, span: Span, message: str, replacement: str | None = None) -> None:
        self.problems.append(problem_at(self.text, ProblemCode.LEX, span, message, replacement=replacement))
