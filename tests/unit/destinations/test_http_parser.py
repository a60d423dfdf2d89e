"""Answers are read strictly: what is ambiguous is refused."""

import pytest

from headrace.destinations.transport.http_parser import MAX_BODY_BYTES, ChunkedBody, HttpProtocolViolated, parse_head


@pytest.mark.parametrize(
    ("head", "status", "framing", "length", "closes"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0", 200, "none", 0, False),
        (b"HTTP/1.1 200\r\ncontent-length:5", 200, "length", 5, False),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 9", 204, "none", 0, False),
        (b"HTTP/1.1 304 Not Modified", 304, "none", 0, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", 200, "chunked", 0, False),
        (b"HTTP/1.1 200 OK", 200, "close", 0, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive, Close", 200, "length", 1, True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1", 200, "length", 1, True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive", 200, "length", 1, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 7", 200, "length", 7, False),
    ],
)
def test_a_head_says_how_its_body_ends(head: bytes, status: int, framing: str, length: int, closes: bool) -> None:
    parsed = parse_head(head)
    assert (parsed.status, parsed.framing, parsed.length, parsed.closes) == (status, framing, length, closes)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2 200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 700 OK",
        b"SSH-2.0-OpenSSH",
        b"HTTP/1.1 200 OK\r\nContent-Length : 5",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded",
        b"HTTP/1.1 200 OK\r\nA: b\nC: d",
        b"HTTP/1.1 200 OK\r\nA: \x00",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
    ],
)
def test_an_ambiguous_head_is_refused(head: bytes) -> None:
    with pytest.raises(HttpProtocolViolated):
        parse_head(head)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
def test_a_chunked_body_is_put_together_whatever_the_pieces(step: int) -> None:
    wire = b"5;note=x\r\nhello\r\n6 \r\n world\r\n0\r\nTrailer: x\r\n\r\n"
    body, buffer, is_over = ChunkedBody(), bytearray(), False
    for start in range(0, len(wire), step):
        assert not is_over
        buffer += wire[start : start + step]
        is_over = body.feed(buffer)
    assert is_over
    assert (bytes(body.content), bytes(buffer)) == (b"hello world", b"")


@pytest.mark.parametrize("wire", [b"zz\r\n", b"-1\r\n", b"\r\n", b"2\r\nabcd\r\n", b"0x5\r\nhello\r\n"])
def test_a_wrong_chunk_is_refused(wire: bytes) -> None:
    with pytest.raises(HttpProtocolViolated):
        ChunkedBody().feed(bytearray(wire))


def test_an_endless_chunked_body_does_not_fill_the_memory() -> None:
    body = ChunkedBody()
    for _ in range(5):
        body.feed(bytearray(b"100000\r\n" + b"x" * 0x100000 + b"\r\n"))
    assert len(body.content) == MAX_BODY_BYTES + 1
