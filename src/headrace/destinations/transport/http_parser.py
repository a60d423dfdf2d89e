"""Reading HTTP/1.1 answers (RFC 9112), strictly: what is ambiguous is refused, never guessed."""

import re
from functools import lru_cache
from typing import Literal

import msgspec

from headrace.destinations.errors import DestinationUnreachable

Framing = Literal["none", "length", "chunked", "close"]

_HEAD = re.compile(
    rb"HTTP/1\.[01] [1-5][0-9][0-9](?: [^\r\n\x00]*)?"  # status line
    rb"(?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\x00]*)*"  # fields; no folding, no space before the colon
)
_DIGITS = re.compile(rb"[0-9]{1,15}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n\x00]*)?")
MAX_HEAD_BYTES = 65_536
MAX_BODY_BYTES = 1_048_576


class HttpProtocolViolated(DestinationUnreachable):
    """The answer is not HTTP/1.1, or says two different things about its own length."""

    code = "destination_http_protocol_violated"


class Head(msgspec.Struct, frozen=True):
    """Status line and fields of an answer.

    Attributes:
        status: The status code.
        framing: How the body ends.
        length: Bytes of the body when ``framing`` is ``length``.
        closes: Whether the connection ends with this answer.
        fields: Values by lower-case name; repeated fields are joined by a comma.
    """

    status: int
    framing: Framing
    length: int
    closes: bool
    fields: dict[str, str]


@lru_cache(maxsize=512)  # a server's answers differ once a second (Date), so most of them are found here
def parse_head(head: bytes) -> Head:
    """Return the head of an answer to a POST or GET.

    Args:
        head: Everything before the empty line, without its line end.

    Raises:
        HttpProtocolViolated: It is not a valid head.
    """
    if not _HEAD.fullmatch(head):
        raise HttpProtocolViolated(f"The answer is not valid HTTP/1.1: {head[:80]!r}.")
    first, *lines = head.split(b"\r\n")
    fields: dict[str, str] = {}
    for line in lines:
        name, _, raw = line.partition(b":")
        key, value = name.decode("ascii").lower(), raw.strip(b" \t").decode("latin-1")
        fields[key] = f"{fields[key]}, {value}" if key in fields else value
    status = int(first[9:12])
    framing, length = _framing(status, fields)
    tokens = {token.strip().lower() for token in fields.get("connection", "").split(",")}
    is_old = first.startswith(b"HTTP/1.0")
    closes = "close" in tokens or framing == "close" or (is_old and "keep-alive" not in tokens)
    return Head(status, framing, length, closes, fields)


def _framing(status: int, fields: dict[str, str]) -> tuple[Framing, int]:
    if status < 200 or status in (204, 304):
        return "none", 0
    transfer, lengths = fields.get("transfer-encoding"), fields.get("content-length")
    if transfer is not None:
        if lengths is not None or transfer.strip().lower() != "chunked":
            raise HttpProtocolViolated("The answer's transfer encoding contradicts its length, or is unknown.")
        return "chunked", 0
    if lengths is None:
        return "close", 0
    values = {value.strip() for value in lengths.split(",")}
    value = values.pop()
    if values or not _DIGITS.fullmatch(value.encode("latin-1")):
        raise HttpProtocolViolated(f"The answer's Content-Length is '{lengths}'.")
    return ("length", int(value)) if int(value) else ("none", 0)


class ChunkedBody:
    """Decodes a chunked body that arrives in pieces."""

    def __init__(self) -> None:
        self._left = 0  # bytes of the present chunk, its line end included
        self._in_trailer = False
        self.content = bytearray()

    def feed(self, buffer: bytearray) -> bool:
        """Consume what can be consumed of ``buffer``; True when the body and its trailer have ended.

        Raises:
            HttpProtocolViolated: The body is not chunked as it should be.
        """
        while True:
            if self._left:
                if not self._take_chunk(buffer):
                    return False
                continue
            end = buffer.find(b"\r\n")
            if end < 0:
                if len(buffer) > MAX_HEAD_BYTES:
                    raise HttpProtocolViolated("A line of the chunked answer is too long.")
                return False
            line = bytes(buffer[:end])
            del buffer[: end + 2]
            if self._in_trailer:
                if not line:
                    return True
                continue
            match = _CHUNK_SIZE.fullmatch(line)
            if match is None:
                raise HttpProtocolViolated(f"The answer has no chunk size where one must be: {line[:40]!r}.")
            size = int(match[1], 16)
            if size:
                self._left = size + 2
            else:
                self._in_trailer = True

    def _take_chunk(self, buffer: bytearray) -> bool:
        if self._left > 2:
            part = buffer[: self._left - 2]
            self.content += part[: max(0, MAX_BODY_BYTES + 1 - len(self.content))]
            del buffer[: len(part)]
            self._left -= len(part)
        if self._left > 2 or len(buffer) < 2:
            return False
        if buffer[:2] != b"\r\n":
            raise HttpProtocolViolated("A chunk of the answer is longer than its size.")
        del buffer[:2]
        self._left = 0
        return True
