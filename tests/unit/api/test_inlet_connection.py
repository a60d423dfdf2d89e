import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from headrace.api import inlet_connection
from headrace.api.inlet import InletApp
from headrace.api.inlet_call import MAX_BODY_BYTES
from headrace.api.inlet_connection import InletConnection

from ..ingest.inlet_kit import InletKit, call, message

INLET = "a" * 64
PATH = f"/collection/{INLET}"


class FakeTransport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False
        self.is_reading_on = True
        self.protocol: asyncio.BaseProtocol | None = None

    def write(self, data: Any) -> None:
        assert not self.is_closed
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None:
        self.is_reading_on = False

    def resume_reading(self) -> None:
        self.is_reading_on = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


class General(asyncio.Protocol):
    """Stands for the general server."""

    def __init__(self, beginning: bytes) -> None:
        self.beginning = beginning
        self.transport: asyncio.BaseTransport | None = None
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data


class Wire:
    """The client's end of one connection."""

    def __init__(self, app: InletApp) -> None:
        self.open_ones: set[Any] = set()
        self.transport = FakeTransport()
        self.connection: InletConnection = app.connection(self.open_ones, General)
        self.connection.connection_made(self.transport)

    def send(self, data: bytes) -> None:
        self.connection.data_received(data)

    @property
    def general(self) -> General:
        return cast("General", self.transport.protocol)

    async def replies(self, count: int) -> list[tuple[int, dict[str, str], bytes]]:
        for _ in range(2000):
            found = _parsed(self.transport.written)
            if len(found) >= count:
                break
            await asyncio.sleep(0.001)
        else:
            raise AssertionError(f"{len(found)} answers: {self.transport.written!r}")
        assert len(found) == count
        return found

    async def statuses(self, count: int) -> list[int]:
        return [status for status, _, _ in await self.replies(count)]


def _parsed(data: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    found = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers.get("content-length", 0))
        found.append((int(first.split()[1]), headers, data[:length]))
        data = data[length:]
    return found


def request(body: Any = None, *, path: str = PATH, headers: Mapping[str, str] | None = None, version: str = "1.1") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(message() if body is None else body).encode()
    lines = {"Host": "here", "Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/{version}\r\n{head}\r\n".encode() + data


@pytest.fixture
def kit(tmp_path: Path) -> InletKit:
    kit = InletKit(tmp_path)
    kit.add_inlet(INLET)
    return kit


def play(kit: InletKit, scene: Callable[[Wire], Awaitable[None]]) -> None:
    async def run() -> None:
        app = kit.app()
        wire = Wire(app)
        try:
            await scene(wire)
        finally:
            wire.connection.connection_lost(None)
            app.close()
        assert wire.open_ones == set()

    asyncio.run(run())


def test_message_is_stored_and_answered_as_through_a_general_server(kit: InletKit) -> None:
    async def scene(wire: Wire) -> None:
        wire.send(request(headers={"X-Request-Id": "mine"}))
        ((status, headers, body),) = await wire.replies(1)
        app = kit.app()
        other = await call(app, PATH, message(), {"x-request-id": "mine"})
        app.close()
        assert status == other.status == 200
        assert json.loads(body).keys() == other.body.keys()
        assert {key: value for key, value in headers.items() if key != "date"} == {
            key.decode(): value.decode() for key, value in other.headers.items()
        } | {"content-length": headers["content-length"]}
        assert headers["date"] == "Mon, 02 Feb 2026 02:40:00 GMT"

    play(kit, scene)
    assert len(kit.stored()) == 2


def test_request_in_pieces_is_one_request(kit: InletKit) -> None:
    async def scene(wire: Wire) -> None:
        data = request()
        for index in range(len(data)):
            wire.send(data[index : index + 1])
        assert await wire.statuses(1) == [200]

    play(kit, scene)


def test_chunked_body_is_read(kit: InletKit) -> None:
    async def scene(wire: Wire) -> None:
        data = json.dumps(message()).encode()
        head = f"POST {PATH} HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        wire.send(head + b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (9, data[:9], len(data) - 9, data[9:]))
        assert await wire.statuses(1) == [200]

    play(kit, scene)


def test_pipelined_requests_are_answered_in_order(kit: InletKit) -> None:
    async def scene(wire: Wire) -> None:
        ids = [str(index) for index in range(100)]
        wire.send(b"".join(request(b"{" if index == "7" else None, headers={"x-request-id": index}) for index in ids))
        assert not wire.transport.is_reading_on
        replies = await wire.replies(100)
        assert [headers["x-request-id"] for _, headers, _ in replies] == ids
        assert [index for index, reply in enumerate(replies) if reply[0] == 400] == [7]
        assert wire.transport.is_reading_on

    play(kit, scene)


@pytest.mark.parametrize("start", ["GET /collection/x", "POST /data/core/ups/x", "POST /collection", "DELETE /"])
def test_connection_that_asks_for_something_else_is_handed_over(kit: InletKit, start: str) -> None:
    async def scene(wire: Wire) -> None:
        wire.send(request())
        await wire.replies(1)
        other = f"{start} HTTP/1.1\r\nHost: here\r\n\r\n".encode()
        wire.send(other)
        assert wire.general.beginning == wire.general.received == other
        assert wire.general.transport is wire.transport
        assert wire.open_ones == set()

    play(kit, scene)


@pytest.mark.parametrize("is_in_one_piece", [True, False])
def test_something_else_behind_a_request_without_answer_ends_the_connection(kit: InletKit, is_in_one_piece: bool) -> None:
    async def scene(wire: Wire) -> None:
        other = b"GET /headrace/health HTTP/1.1\r\nHost: here\r\n\r\n"
        if is_in_one_piece:
            wire.send(request() + other)
        else:
            wire.send(request())
            wire.send(other)
        ((status, headers, _),) = await wire.replies(1)
        assert (status, headers["connection"]) == (200, "close")
        assert wire.transport.is_closed

    play(kit, scene)


@pytest.mark.parametrize(
    ("headers", "version"), [({"Connection": "close"}, "1.1"), ({"Connection": "keep-alive"}, "1.0"), ({}, "1.0")]
)
def test_connection_ends_when_the_client_wants_it(kit: InletKit, headers: dict[str, str], version: str) -> None:
    async def scene(wire: Wire) -> None:
        wire.send(request(headers=headers, version=version) + b"more")
        ((status, answered, _),) = await wire.replies(1)
        assert (status, answered["connection"]) == (200, "close")
        assert wire.transport.is_closed

    play(kit, scene)


@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_offer_to_go_on_in_another_protocol_is_passed_over(kit: InletKit, pieces: int) -> None:
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQ"}

    async def scene(wire: Wire) -> None:
        data = request(headers=offer) + request() + request(headers={**offer, "Connection": "close, Upgrade"})
        step = max(1, len(data) // pieces)
        for start in range(0, len(data), step):
            wire.send(data[start : start + step])
        replies = await wire.replies(3)
        assert [status for status, _, _ in replies] == [200, 200, 200]
        assert replies[-1][1]["connection"] == "close"

    play(kit, scene)
    assert len(kit.stored()) == 3


def test_client_that_asks_first_is_told_to_go_on(kit: InletKit) -> None:
    async def scene(wire: Wire) -> None:
        head, _, body = request(headers={"Expect": "100-continue"}).partition(b"\r\n\r\n")
        wire.send(head + b"\r\n\r\n")
        assert wire.transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(body)
        assert await wire.statuses(2) == [100, 200]

    play(kit, scene)


def test_refused_request_is_answered_before_its_body_and_the_next_one_is_read(kit: InletKit) -> None:
    async def scene(wire: Wire) -> None:
        head, _, body = request(path="/collection/unknown").partition(b"\r\n\r\n")
        wire.send(head + b"\r\n\r\n")
        assert await wire.statuses(1) == [404]
        wire.send(body + request())
        assert await wire.statuses(2) == [404, 200]

    play(kit, scene)


@pytest.mark.parametrize("is_length_told", [True, False])
def test_too_large_body_is_refused_and_the_next_request_is_read(kit: InletKit, is_length_told: bool) -> None:
    async def scene(wire: Wire) -> None:
        size = MAX_BODY_BYTES + 1
        if is_length_told:
            wire.send(request(b" " * size))
        else:
            wire.send(f"POST {PATH} HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n".encode())
            wire.send(b" " * size)
            wire.send(b"\r\n0\r\n\r\n")
        wire.send(request())
        assert await wire.statuses(2) == [413, 200]

    play(kit, scene)


@pytest.mark.parametrize(
    "data",
    [
        f"POST {PATH} HTTP/1.1\r\nno header\r\n\r\n".encode(),
        f"POST {PATH} HTTP/1.1\r\nHost: here\r\nContent-Length: x\r\n\r\n".encode(),
        f"POST {PATH} HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{{}}".encode(),
        f"POST {PATH} HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n".encode(),
    ],
)
def test_what_is_no_http_is_refused_and_ends_the_connection(kit: InletKit, data: bytes) -> None:
    async def scene(wire: Wire) -> None:
        wire.send(request() + data)
        first, second = await wire.replies(2)
        assert (first[0], second[0], second[1]["connection"]) == (200, 400, "close")
        assert wire.transport.is_closed

    play(kit, scene)


def test_head_without_end_is_refused(kit: InletKit) -> None:
    async def scene(wire: Wire) -> None:
        wire.send(f"POST {PATH} HTTP/1.1\r\nHost: ".encode())
        for _ in range(70):
            wire.send(b"x" * 1000)
        assert await wire.statuses(1) == [431]
        assert wire.transport.is_closed

    play(kit, scene)


def test_client_that_has_said_all_gets_its_answers(kit: InletKit) -> None:
    async def scene(wire: Wire) -> None:
        wire.send(request() + request()[:150])
        assert wire.connection.eof_received()
        assert await wire.statuses(1) == [200]
        assert wire.transport.is_closed

    play(kit, scene)


def test_messages_of_a_client_that_went_away_are_stored(kit: InletKit) -> None:
    async def scene(wire: Wire) -> None:
        wire.send(request())
        wire.transport.is_closed = True
        wire.connection.connection_lost(ConnectionResetError())

    play(kit, scene)
    assert len(kit.stored()) == 1


def test_shutdown_waits_for_the_request_that_is_being_read(kit: InletKit) -> None:
    async def scene(wire: Wire) -> None:
        data = request()
        wire.send(data[:-5])
        wire.connection.shutdown()
        assert not wire.transport.is_closed
        wire.send(data[-5:])
        ((status, headers, _),) = await wire.replies(1)
        assert (status, headers["connection"]) == (200, "close")
        assert wire.transport.is_closed

    play(kit, scene)


def test_shutdown_closes_what_is_idle_at_once(kit: InletKit) -> None:
    async def scene(wire: Wire) -> None:
        wire.send(request())
        await wire.replies(1)
        wire.connection.shutdown()
        assert wire.transport.is_closed

    play(kit, scene)


def test_silent_connection_is_closed(kit: InletKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inlet_connection, "_QUIET_SECONDS", 0.0)

    async def scene(wire: Wire) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        assert wire.transport.is_closed

    play(kit, scene)


def test_client_that_does_not_read_its_answers_is_not_read(kit: InletKit) -> None:
    async def scene(wire: Wire) -> None:
        wire.connection.pause_writing()
        assert not wire.transport.is_reading_on
        wire.connection.resume_writing()
        assert wire.transport.is_reading_on

    play(kit, scene)


def test_defect_is_answered_with_an_internal_error(kit: InletKit, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(kit.targets, "of_message", fail)

    async def scene(wire: Wire) -> None:
        wire.send(request() + request())
        assert await wire.statuses(2) == [500, 500]

    play(kit, scene)
