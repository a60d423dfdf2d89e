"""What can be wrong with a query: the codes, one problem, and the error that carries all problems of one text."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from headrace.errors import InvalidInput
from headrace.pql.tree import Span


class ProblemCode(StrEnum):
    """Stable codes of problems; the wire's messages begin with them."""

    LEX = "E-LEX"
    SYNTAX = "E-SYNTAX"
    NAME = "E-NAME"
    TYPE = "E-TYPE"
    ARRAY = "E-ARRAY"
    RESULT = "E-RESULT"
    VAR = "E-VAR"
    UP = "E-UP"
    DATE = "E-DATE"
    ARITY = "E-ARITY"
    REGEX = "E-REGEX"
    CHAIN = "E-CHAIN"
    LIMIT = "E-LIMIT"
    SEGREF = "E-SEGREF"
    CYCLE = "E-CYCLE"
    FUNC = "E-FUNC"
    FORMAT = "E-FORMAT"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where.

    Attributes:
        code: What kind of problem it is.
        start: Offset of the first character concerned.
        end: Offset after the last one.
        line: Line of ``start``, from 1.
        column: Column of ``start``, from 1.
        text: One or two sentences: what was found, what was expected.
        replacement: Text that, put in place of start..end, would probably be right; None when not known.
        node_path: For the JSON form, the path of the node (``$.params[0]``); None for text.
    """

    code: ProblemCode
    start: int
    end: int
    line: int
    column: int
    text: str
    replacement: str | None = None
    node_path: str | None = None

    @property
    def message(self) -> str:
        """The line that the wire carries: ``<code> at <line>:<column>: <text>``."""
        place = self.node_path if self.node_path is not None else f"{self.line}:{self.column}"
        return f"{self.code} at {place}: {self.text}"


@dataclass(frozen=True, slots=True)
class Advice:
    """A warning: the query is valid, but probably not what its author means."""

    code: str
    span: Span
    text: str


class PqlError(InvalidInput):
    """A query is refused.

    Attributes:
        problems: All that is known to be wrong, in order of position; at least one.
    """

    code = "pql_invalid"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.start, problem.end)))
        super().__init__("; ".join(problem.message for problem in self.problems), problems=[p.message for p in self.problems])


def problem_at(
    text: str, code: ProblemCode, span: Span, message: str, *, replacement: str | None = None, node_path: str | None = None
) -> Problem:
    """Return a problem with the line and column that ``span`` has in ``text``."""
    line = text.count("\n", 0, span.start) + 1
    column = span.start - text.rfind("\n", 0, span.start)
    return Problem(code, span.start, span.end, line, column, message, replacement, node_path)
