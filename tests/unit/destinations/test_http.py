"""The HTTP sender against a real receiver."""

import asyncio
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from headrace.clock import ManualClock, parse_iso
from headrace.config import SettingInvalid
from headrace.destinations.base import Delivered, Rejected, Retry
from headrace.destinations.errors import AddressForbidden, DestinationUnreachable
from headrace.destinations.transport import addresses
from headrace.destinations.transport.http import (
    ConnectionBroken,
    Endpoint,
    Http,
    HttpTimeout,
    Reply,
    encode_fields,
    outcome_of,
)
from headrace.destinations.transport.http_parser import MAX_BODY_BYTES, HttpProtocolViolated
from headrace.testing.receiver import OK, Answer, Receiver

Use = Callable[[Http], Awaitable[None]]


def using(use: Use, **options: object) -> None:
    async def main() -> None:
        http = Http(**{"allow_private": True, "timeout_seconds": 5.0, **options})  # type: ignore[arg-type]
        try:
            await use(http)
        finally:
            await http.close()

    asyncio.run(main())


def post_one(receiver: Receiver, **options: object) -> Reply:
    replies: list[Reply] = []

    async def use(http: Http) -> None:
        replies.append(await http.post(Endpoint(f"{receiver.url}/in?a=1"), b"A: b\r\n", b"{}"))

    using(use, **options)
    return replies[0]


def test_a_request_has_host_length_and_body() -> None:
    with Receiver() as receiver:
        assert post_one(receiver) == Reply(200, {"content-length": "0"}, b"")
    request = receiver.requests[0]
    assert (request.method, request.target, request.body) == ("POST", "/in?a=1", b"{}")
    assert request.fields == [("Host", f"127.0.0.1:{receiver.port}"), ("A", "b"), ("Content-Length", "2")]


def test_a_connection_is_used_again() -> None:
    async def use(http: Http) -> None:
        for _ in range(3):
            await http.post(Endpoint(receiver.url), b"", b"x")

    with Receiver(answer=lambda request: Answer(body=b"some answer")) as receiver:
        using(use)
    assert [request.connection for request in receiver.requests] == [1, 1, 1]


def test_requests_under_way_at_the_same_time_have_connections_of_their_own() -> None:
    async def use(http: Http) -> None:
        await asyncio.gather(*(http.post(Endpoint(receiver.url), b"", b"x") for _ in range(4)))

    with Receiver() as receiver:
        using(use)
    assert receiver.connections == 4


@pytest.mark.parametrize("answer", [Answer(body=b'{"ok": true}'), Answer(body=b'{"ok": true}', is_chunked=True)])
def test_a_body_is_read_by_length_and_by_chunks(answer: Answer) -> None:
    with Receiver(answers=[answer]) as receiver:
        assert post_one(receiver).json() == {"ok": True}


def test_a_body_without_length_ends_with_the_connection() -> None:
    with Receiver(answers=[Answer(raw=b"HTTP/1.1 200 OK\r\n\r\nall of it", closes=True)]) as receiver:
        assert post_one(receiver).body == b"all of it"


def test_an_informational_answer_is_passed_over() -> None:
    with Receiver(
        answers=[Answer(raw=b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 202 -\r\nContent-Length: 0\r\n\r\n")]
    ) as receiver:
        assert post_one(receiver).status == 202


def test_a_huge_answer_is_cut_and_its_connection_closed() -> None:
    with Receiver(answers=[Answer(body=b"x" * (MAX_BODY_BYTES * 3))]) as receiver:
        reply = post_one(receiver)
    assert (reply.status, len(reply.body)) == (200, MAX_BODY_BYTES)


def test_no_answer_in_time_is_a_timeout() -> None:
    with Receiver(answers=[Answer(hangs=True)]) as receiver, pytest.raises(HttpTimeout):
        post_one(receiver, timeout_seconds=0.05)


def test_a_drip_fed_answer_is_a_timeout_too() -> None:
    with (
        Receiver(answers=[Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")]) as receiver,
        pytest.raises(HttpTimeout),
    ):
        post_one(receiver, timeout_seconds=0.05)


def test_each_of_several_requests_has_its_own_time() -> None:
    async def use(http: Http) -> None:
        endpoint, ends = Endpoint(receiver.url), list[float]()

        async def ask(delay: float) -> None:
            await asyncio.sleep(delay)
            begun = asyncio.get_running_loop().time()
            with pytest.raises(HttpTimeout):
                await http.post(endpoint, b"", b"{}")
            ends.append(asyncio.get_running_loop().time() - begun)

        await asyncio.gather(ask(0), ask(0.05), ask(0.1))
        assert all(0.19 < seconds < 2 for seconds in ends), ends

    with Receiver(answer=lambda request: Answer(hangs=True)) as receiver:
        using(use, timeout_seconds=0.2)


def test_a_connection_closed_within_an_answer_is_broken() -> None:
    cut = Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", closes=True)
    with Receiver(answers=[cut]) as receiver, pytest.raises(ConnectionBroken):
        post_one(receiver)
    assert receiver.count == 1


def test_a_connection_that_was_closed_while_idle_is_replaced_without_notice() -> None:
    async def use(http: Http) -> None:
        endpoint = Endpoint(receiver.url)
        await http.post(endpoint, b"", b"1")
        receiver.drop_connections()
        assert (await http.post(endpoint, b"", b"2")).status == 200

    with Receiver() as receiver:
        using(use)
    assert [request.body for request in receiver.requests] == [b"1", b"2"]


def test_a_request_on_a_new_connection_is_not_repeated() -> None:
    with Receiver(answer=lambda request: Answer(closes_before=True)) as receiver, pytest.raises(ConnectionBroken):
        post_one(receiver)
    assert receiver.count == 1


def test_bytes_after_an_answer_never_become_the_next_answer() -> None:
    async def use(http: Http) -> None:
        endpoint = Endpoint(receiver.url)
        assert (await http.post(endpoint, b"", b"1")).status == 200
        assert (await http.post(endpoint, b"", b"2")).status == 202

    two = Answer().encoded() + Answer(status=500).encoded()
    with Receiver(answers=[Answer(raw=two), Answer(status=202)]) as receiver:
        using(use)
    assert receiver.connections == 2


@pytest.mark.parametrize("raw", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", b"x" * 70_000])
def test_what_is_not_http_is_refused(raw: bytes) -> None:
    with Receiver(answers=[Answer(raw=raw)]) as receiver, pytest.raises(HttpProtocolViolated):
        post_one(receiver)


def test_a_redirect_is_not_followed() -> None:
    with Receiver(answers=[Answer(302, (("Location", "/other"),))]) as receiver:
        assert post_one(receiver).status == 302
    assert receiver.count == 1


def test_nobody_listening_is_unreachable() -> None:
    with Receiver() as receiver:
        pass
    with pytest.raises(ConnectionBroken):
        post_one(receiver)


def test_loopback_is_forbidden_unless_allowed() -> None:
    with Receiver() as receiver, pytest.raises(AddressForbidden, match=r"127\.0\.0\.1"):
        post_one(receiver, allow_private=False)
    assert receiver.count == 0


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1",
        "2002:7f00:1::", "::", "ff02::1",
    ],
)  # fmt: skip
def test_internal_addresses_are_known(address: str) -> None:
    assert addresses.is_internal(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"])
def test_public_addresses_are_let_through(address: str) -> None:
    assert not addresses.is_internal(address)


def test_a_name_that_also_leads_inside_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", ("93.184.216.34", 80)), (0, 0, 0, "", ("10.0.0.1", 80))]

    async def main() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        with pytest.raises(AddressForbidden, match=r"10\.0\.0\.1"):
            await addresses.resolve("mixed.example", 80, allow_private=False)

    asyncio.run(main())


def test_a_name_without_address_is_unreachable() -> None:
    with pytest.raises(DestinationUnreachable, match="has no address"):
        asyncio.run(addresses.resolve("nowhere.invalid", 80, allow_private=True))


@pytest.mark.parametrize(
    "url",
    ["ftp://a/b", "//a", "a", "http://", "http://u:p@a/", "http://a/#x", "http://a/b c", "http://a:99999/", "http://[::1"],
)
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(SettingInvalid):
        Endpoint(url)


@pytest.mark.parametrize("fields", [{"a b": "c"}, {"a": "b\r\nc: d"}, {"a": "\u20ac"}, {"": "x"}])
def test_headers_that_would_break_a_request_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(SettingInvalid):
        encode_fields(fields)


def certificate(folder: Path) -> Path:
    path = folder / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return path


def test_tls_is_spoken_and_verified(tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    with Receiver(tls=context) as receiver:
        assert post_one(receiver, trusted=tmp_path / "cert.pem").status == 200
        with pytest.raises(ConnectionBroken, match=r"(?i)certificate"):
            post_one(receiver)
    assert receiver.count == 1


def test_a_client_certificate_is_presented_to_a_server_that_asks(tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "cert.pem"))
    context.load_cert_chain(pem)
    context.verify_mode = ssl.CERT_REQUIRED
    with Receiver(tls=context) as receiver:
        assert post_one(receiver, trusted=tmp_path / "cert.pem", client_certificate=pem).status == 200
        with pytest.raises(DestinationUnreachable):
            post_one(receiver, trusted=tmp_path / "cert.pem")


NOW = parse_iso("2027-02-01T21:20:02Z")


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(200, {}, b""), Delivered()),
        (Reply(204, {}, b""), Delivered()),
        (Reply(403, {}, b""), Retry("The endpoint answered 403.", "ACTIVATION_STREAM-0001-AUTH", None, 403)),
        (Reply(409, {}, b""), Retry("The endpoint answered 409.", "ACTIVATION_STREAM-0002-HTTP", None, 409)),
        (
            Reply(429, {"retry-after": "7"}, b""),
            Retry("The endpoint answered 429.", "ACTIVATION_STREAM-0004-THROTTLED", 7.0, 429),
        ),
        (
            Reply(503, {"retry-after": "Mon, 01 Feb 2027 21:20:32 GMT"}, b"busy\n now"),
            Retry("The endpoint answered 503: busy now.", "ACTIVATION_STREAM-0002-HTTP", 30.0, 503),
        ),
        (Reply(500, {"retry-after": "soon"}, b""), Retry("The endpoint answered 500.", "ACTIVATION_STREAM-0002-HTTP", None, 500)),
        (Reply(400, {}, b"no"), Rejected("ACTIVATION_STREAM-0002-HTTP", "The endpoint answered 400: no.", 400)),
        (Reply(401, {}, b""), Rejected("ACTIVATION_STREAM-0001-AUTH", "The endpoint answered 401.", 401)),
        (Reply(501, {}, b""), Rejected("ACTIVATION_STREAM-0002-HTTP", "The endpoint answered 501.", 501)),
        (
            Reply(301, {}, b""),
            Rejected("ACTIVATION_STREAM-0002-HTTP", "The endpoint answered 301; redirects are not followed.", 301),
        ),
    ],
)
def test_a_status_means_the_same_for_all_destinations(reply: Reply, outcome: object) -> None:
    assert outcome_of(reply, ManualClock(NOW)) == outcome


def test_the_default_answer_of_the_receiver_is_a_delivery() -> None:
    assert OK.status == 200
