"""Patterns of strings: ``like`` as a regular expression, and checked RE2 searches."""

import re
from functools import lru_cache
from typing import Any

import re2


@lru_cache(maxsize=4096)
def like_regex(pattern: str) -> re.Pattern[str]:
    r"""Return the expression that a whole string must match to be ``like`` the pattern.

    ``%`` is any run, ``_`` one character; a backslash makes the next character stand for itself.
    """
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            parts.append(re.escape(next(characters, "\\")))
        else:
            parts.append({"%": ".*", "_": "."}.get(character, re.escape(character)))
    return re.compile("".join(parts), re.DOTALL)


def is_like(text: str, pattern: str) -> bool:
    """Whether the whole text matches the pattern of ``like``."""
    return like_regex(pattern).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> Any:
    """Return the compiled RE2 expression; its ``search`` and ``groups`` are those of `re`.

    Raises:
        ValueError: RE2 does not accept the pattern; the text is RE2's reason.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        raise ValueError(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)) from error
