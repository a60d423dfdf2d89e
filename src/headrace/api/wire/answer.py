"""Answers as JSON."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

_encoder = msgspec.json.Encoder()


class JsonAnswer(Response):
    """A JSON body, written by msgspec; handlers return it to skip a second walk over the body."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body's bytes."""
        return _encoder.encode(content)


def answer(
    content: Any, status: int = 200, *, headers: Mapping[str, str] | None = None, media_type: str | None = None
) -> Response:
    """Return a JSON answer.

    Args:
        content: JSON types, msgspec structs or dataclasses.
        status: HTTP status.
        headers: Further headers.
        media_type: Content type, when it is not ``application/json``.
    """
    return JsonAnswer(content, status, headers=dict(headers) if headers else None, media_type=media_type)


def empty(status: int = 204, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer without a body."""
    return Response(None, status, headers=dict(headers) if headers else None)
