"""Request bodies: what they may be, how large, and compressed or not."""

import zlib
from typing import Annotated, Any

from fastapi import Body
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import Message, Receive

from headrace.api.errors import BodyMalformed, GatewayRefusal

JsonObject = Annotated[dict[str, Any], Body()]
"""Parameter type of a handler whose body is a JSON object."""

JsonBody = Annotated[Any, Body()]
"""Parameter type of a handler whose body is any JSON value."""

RAW_BODY = {"x-headrace-body": "raw"}
"""For ``openapi_extra`` of a route that reads its body itself, whatever its type: uploads and forms."""

_MOST_BYTES = "x-headrace-most-bytes"
_LONGEST_JSON_BYTES = 10_000_000
_LONGEST_RAW_BYTES = 256_000_000


def raw_body(most_bytes: int) -> dict[str, Any]:
    """Return what ``openapi_extra`` of a route says whose raw body may have this length."""
    return {**RAW_BODY, _MOST_BYTES: most_bytes}


def longest_bytes(route: APIRoute) -> int:
    """Return how long the body of a route may be, after it is uncompressed."""
    if not is_raw(route):
        return _LONGEST_JSON_BYTES
    return int((route.openapi_extra or {}).get(_MOST_BYTES, _LONGEST_RAW_BYTES))


def is_raw(route: APIRoute) -> bool:
    """Tell whether a route reads its body itself."""
    return bool(route.openapi_extra) and "x-headrace-body" in (route.openapi_extra or {})


def has_body(headers: Headers) -> bool:
    """Tell whether a request carries a body."""
    length = headers.get("content-length", "")
    return headers.get("transfer-encoding", "") != "" or (length.isdigit() and int(length) > 0)


def is_json(headers: Headers) -> bool:
    """Tell whether the body's media type is JSON or built on it."""
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))


async def prepared(receive: Receive, headers: Headers, *, is_raw: bool, most: int) -> Receive:
    """Return a receiver of the body: uncompressed, and refused when it is too large.

    A JSON body is read here as a whole; a raw one is passed on piece by piece.

    Raises:
        GatewayRefusal: The body is larger than the route takes.
        BodyMalformed: The body's compression cannot be undone.
    """
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise _too_large(most)
    if not has_body(headers):
        return receive
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", ""):
        raise GatewayRefusal(
            "415000", f"Content-Encoding '{encoding}' is not supported; send gzip or none", path="Content-Encoding"
        )
    reader = _Reader(receive, most, is_gzip=encoding == "gzip")
    return reader if is_raw else _replay(await reader.whole())


class _Reader:
    def __init__(self, receive: Receive, most: int, *, is_gzip: bool) -> None:
        self._receive = receive
        self._most = most
        self._read = 0
        self._inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if is_gzip else None

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        piece = self._plain(message.get("body", b""))
        self._read += len(piece)
        if self._read > self._most:
            raise _too_large(self._most)
        return {**message, "body": piece}

    def _plain(self, piece: bytes) -> bytes:
        if self._inflater is None:
            return piece
        try:
            return self._inflater.decompress(piece, self._most - self._read + 1)
        except zlib.error as error:
            raise BodyMalformed(f"The gzip body cannot be read: {error}.", path="/") from error

    async def whole(self) -> bytes:
        pieces: list[bytes] = []
        while True:
            message = await self()
            if message["type"] != "http.request":
                return b"".join(pieces)
            pieces.append(message["body"])
            if not message.get("more_body"):
                return b"".join(pieces)


def _replay(content: bytes) -> Receive:
    is_sent = False

    async def receive() -> Message:
        nonlocal is_sent
        if is_sent:
            return {"type": "http.disconnect"}
        is_sent = True
        return {"type": "http.request", "body": content, "more_body": False}

    return receive


def _too_large(most: int) -> GatewayRefusal:
    return GatewayRefusal("413000", f"The request body is larger than {most} bytes")
