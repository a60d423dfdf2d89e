"""The base error and its six kinds.

A kind answers two questions: who must act, and does the same input ever succeed. Everything else about an error (its
`code`, the text, the field it names) belongs to the class that a stage derives from one of the kinds.
"""

from typing import Any, ClassVar


class HeadraceError(Exception):
    """Base of every error that Headrace raises on purpose.

    Attributes:
        code: Stable, lower-case identifier from a bounded list; safe as a metric label.
        path: Where in the caller's input the cause lies (JSON pointer or dotted path), when there is such a place.
        hint: What the reader can do about it, when that is known.
        details: Further values for the wire's error body; JSON types only.
    """

    code: ClassVar[str] = "headrace_error"

    def __init__(self, message: str, *, path: str | None = None, hint: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        """Return the message, followed by the hint when there is one."""
        return f"{self.message} {self.hint}" if self.hint else self.message


class InvalidInput(HeadraceError):
    """The caller must change the input; the same input never succeeds."""

    code = "invalid_input"


class StateError(HeadraceError):
    """The input is fine, but the state of the thing forbids it now."""

    code = "state_error"


class NotFound(StateError):
    """What the caller names does not exist here."""

    code = "not_found"


class Conflict(StateError):
    """The thing exists already, or changed since the caller read it."""

    code = "conflict"


class Denied(HeadraceError):
    """An administrator must grant something first."""

    code = "denied"


class Transient(HeadraceError):
    """Nobody must act: the same input succeeds later.

    Attributes:
        retry_after_seconds: Earliest useful time of the next attempt; None when unknown.
    """

    code = "transient"

    def __init__(self, message: str, *, retry_after_seconds: float | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.retry_after_seconds = retry_after_seconds


class Permanent(HeadraceError):
    """The destination's owner must act; the same input never succeeds."""

    code = "permanent"


class Bug(HeadraceError):
    """We must act: an invariant does not hold."""

    code = "bug"
