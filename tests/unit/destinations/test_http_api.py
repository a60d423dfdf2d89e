"""HTTP API: the exact request, and one outcome per answer of the endpoint."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from headrace import __version__
from headrace.clock import ManualClock
from headrace.config import SettingInvalid
from headrace.destinations import http_api, registry
from headrace.destinations.base import Context, Delivered, Message, Outcome, Rejected, Retry
from headrace.destinations.errors import AuthSpecUnknown, DestinationDenied, DestinationRefused, DestinationUnreachable
from headrace.destinations.http_api import HttpApi
from headrace.testing.receiver import Answer, Received, Receiver

FLOW = "5e0fb6e1-1f0c-4c0e-9a7f-6a0c1f2b3d4e"
MESSAGE = Message("0a0b0c0d-0000-5000-8000-000000000001", FLOW, b"p" * 16, b'{"identityMap":{}}')
OTHER = Message("0a0b0c0d-0000-5000-8000-000000000002", FLOW, b"q" * 16, b'{"identityMap":{"ecid":[]}}')


def opened(clock: ManualClock, *, auth: str = "", auth_params: dict[str, Any] | None = None, **target: Any) -> HttpApi:
    context = Context(clock=clock, sandbox_name="prod", landing_zone=Path("unused"), allow_private_destinations=True)
    destination = registry.open_destination(
        HttpApi.connection_spec_id, auth_name=auth, auth_params=auth_params or {}, target_params=target, context=context
    )
    assert isinstance(destination, HttpApi)
    return destination


def use(destination: HttpApi, action: Callable[[HttpApi], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        try:
            return await action(destination)
        finally:
            await destination.close()

    return asyncio.run(main())


def deliver(destination: HttpApi, *messages: Message) -> list[Outcome]:
    outcomes: list[Outcome] = use(destination, lambda opened: opened.deliver(messages or (MESSAGE,)))
    return outcomes


def test_the_request_is_exactly_this() -> None:
    with Receiver() as receiver:
        destination = opened(
            ManualClock(0),
            auth="Bearer Token",
            auth_params={"bearerToken": "t0k"},
            httpEndpoint=f"{receiver.url}/profiles?v=2",
            headers="x-team:crm, x-time: 10:30",
            queryParameters="source=cdp&note=a b",
        )
        assert deliver(destination) == [Delivered()]
    request = receiver.requests[0]
    assert (request.method, request.target) == ("POST", "/profiles?v=2&source=cdp&note=a%20b")
    assert request.fields == [
        ("Host", f"127.0.0.1:{receiver.port}"),
        ("Content-Type", "application/json"),
        ("User-Agent", f"headrace/{__version__}"),
        ("Authorization", "Bearer t0k"),
        ("x-team", "crm"),
        ("x-time", "10:30"),
        ("x-headrace-flow-id", FLOW),
        ("x-headrace-message-id", MESSAGE.id),
        ("Content-Length", "18"),
    ]
    assert request.body == MESSAGE.body


def test_several_users_a_request_make_an_array() -> None:
    with Receiver() as receiver:
        destination = opened(ManualClock(0), httpEndpoint=receiver.url, maxUsersPerRequest=10)
        assert destination.batch_size() == 10
        assert deliver(destination, MESSAGE, OTHER) == [Delivered(), Delivered()]
    assert receiver.requests[0].json() == [{"identityMap": {}}, {"identityMap": {"ecid": []}}]
    assert receiver.requests[0].field("x-headrace-message-id") == f"{MESSAGE.id},{OTHER.id}"


def test_a_static_header_replaces_the_usual_one() -> None:
    with Receiver() as receiver:
        deliver(opened(ManualClock(0), httpEndpoint=receiver.url, headers={"content-type": "application/vnd.x+json"}))
    values = [value for name, value in receiver.requests[0].fields if name.lower() == "content-type"]
    assert values == ["application/vnd.x+json"]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(200), Delivered()),
        (Answer(202, body=b"{}"), Delivered()),
        (
            Answer(400, body=b"bad field"),
            Rejected("ACTIVATION_STREAM-0002-HTTP", "The endpoint answered 400: bad field.", 400),
        ),
        (Answer(401), Rejected("ACTIVATION_STREAM-0001-AUTH", "The endpoint answered 401.", 401)),
        (
            Answer(429, (("Retry-After", "90"),)),
            Retry("The endpoint answered 429.", "ACTIVATION_STREAM-0004-THROTTLED", 90.0, 429),
        ),
        (Answer(500), Retry("The endpoint answered 500.", "ACTIVATION_STREAM-0002-HTTP", None, 500)),
        (Answer(hangs=True), Retry("No answer in time.", "ACTIVATION_STREAM-0003-TIMEOUT")),
        (
            Answer(closes_before=True),
            Retry("The connection was closed before the answer was complete.", "ACTIVATION_STREAM-0002-HTTP"),
        ),
    ],
)
def test_an_answer_has_an_outcome(answer: Answer, outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_api, "RESPONSE_SECONDS", 0.1)
    with Receiver(answers=[answer]) as receiver:
        assert deliver(opened(ManualClock(0), httpEndpoint=receiver.url)) == [outcome]


def test_no_endpoint_at_all_is_tried_again() -> None:
    with Receiver() as receiver:
        pass
    (outcome,) = deliver(opened(ManualClock(0), httpEndpoint=receiver.url))
    assert isinstance(outcome, Retry)


def test_an_internal_endpoint_is_rejected_unless_allowed() -> None:
    context = Context(clock=ManualClock(0), sandbox_name="prod", landing_zone=Path("unused"))
    destination = registry.open_destination(
        HttpApi.connection_spec_id,
        auth_name="None",
        auth_params={},
        target_params={"httpEndpoint": "https://127.0.0.1:9/"},
        context=context,
    )
    assert isinstance(destination, HttpApi)
    (outcome,) = deliver(destination)
    assert isinstance(outcome, Rejected)
    assert "internal address 127.0.0.1" in outcome.message


def token_endpoint(*, lifetime: int = 3600, refresh: bool = False) -> Callable[[Received], Answer]:
    issued: list[str] = []

    def answer(request: Received) -> Answer:
        if request.target != "/token":
            return Answer() if request.field("Authorization") == f"Bearer {issued[-1]}" else Answer(401)
        issued.append(f"token-{len(issued) + 1}")
        more = ',"refresh_token":"again"' if refresh else ""
        return Answer(body=f'{{"access_token":"{issued[-1]}","expires_in":{lifetime}{more}}}'.encode())

    return answer


def form_of(request: Received) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode()))


CLIENT = {"clientId": "id", "clientSecret": "s3cret"}


def test_client_credentials_go_into_the_form_by_default() -> None:
    with Receiver(answer=token_endpoint()) as receiver:
        params = {"accessTokenUrl": f"{receiver.url}/token", **CLIENT, "scope": "a b"}
        destination = opened(
            ManualClock(0), auth="OAuth 2 Client Credentials", auth_params=params, httpEndpoint=f"{receiver.url}/in"
        )
        assert deliver(destination) == [Delivered()]
    token, message = receiver.requests
    assert token.field("Content-Type") == "application/x-www-form-urlencoded"
    assert form_of(token) == {
        "grant_type": "client_credentials",
        "client_id": "id",
        "client_secret": "s3cret",
        "scope": "a b",
    }
    assert message.field("Authorization") == "Bearer token-1"


def test_client_credentials_go_into_the_header_on_request() -> None:
    with Receiver(answer=token_endpoint()) as receiver:
        params = {"accessTokenUrl": f"{receiver.url}/token", **CLIENT, "clientCredentialsType": "BASIC_AUTHORIZATION"}
        destination = opened(
            ManualClock(0), auth="OAuth 2 Client Credentials", auth_params=params, httpEndpoint=f"{receiver.url}/in"
        )
        assert deliver(destination) == [Delivered()]
    assert receiver.requests[0].field("Authorization") == "Basic aWQ6czNjcmV0"
    assert form_of(receiver.requests[0]) == {"grant_type": "client_credentials"}


def test_the_password_grant_sends_user_and_client() -> None:
    with Receiver(answer=token_endpoint()) as receiver:
        params = {"accessTokenUrl": f"{receiver.url}/token", **CLIENT, "username": "u", "password": "p"}
        destination = opened(ManualClock(0), auth="OAuth 2 Password", auth_params=params, httpEndpoint=f"{receiver.url}/in")
        assert deliver(destination) == [Delivered()]
    assert form_of(receiver.requests[0]) == {
        "grant_type": "password",
        "client_id": "id",
        "client_secret": "s3cret",
        "username": "u",
        "password": "p",
    }


def test_a_token_is_kept_until_a_minute_before_it_expires() -> None:
    clock = ManualClock(0)

    async def action(destination: HttpApi) -> None:
        for at_ms in (0, 3_539_000, 3_541_000):
            clock.move_to(at_ms)
            assert await destination.deliver([MESSAGE]) == [Delivered()]

    with Receiver(answer=token_endpoint(refresh=True)) as receiver:
        params = {"accessTokenUrl": f"{receiver.url}/token", **CLIENT}
        use(opened(clock, auth="OAuth 2 Client Credentials", auth_params=params, httpEndpoint=f"{receiver.url}/in"), action)
    assert [request.target for request in receiver.requests] == ["/token", "/in", "/in", "/token", "/in"]
    assert form_of(receiver.requests[3])["grant_type"] == "refresh_token"


def test_a_token_refused_before_its_time_is_renewed_once() -> None:
    with Receiver(answer=token_endpoint()) as receiver:
        params = {"accessTokenUrl": f"{receiver.url}/token", **CLIENT}
        destination = opened(
            ManualClock(0), auth="OAuth 2 Client Credentials", auth_params=params, httpEndpoint=f"{receiver.url}/in"
        )
        token = Answer(body=b'{"access_token":"stale"}')
        receiver.answers = [token, Answer(401)]
        assert deliver(destination) == [Delivered()]
    assert [request.target for request in receiver.requests] == ["/token", "/in", "/token", "/in"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(401), "ACTIVATION_STREAM-0001-AUTH"),
        (Answer(500), "ACTIVATION_STREAM-0002-HTTP"),
        (Answer(200, body=b"{}"), "ACTIVATION_STREAM-0002-HTTP"),
        (Answer(200, body=b"<html>"), "ACTIVATION_STREAM-0002-HTTP"),
    ],
)
def test_a_token_endpoint_that_fails_delays_the_message(answer: Answer, code: str) -> None:
    with Receiver(answer=lambda request: answer) as receiver:
        params = {"accessTokenUrl": f"{receiver.url}/token", **CLIENT}
        destination = opened(
            ManualClock(0), auth="OAuth 2 Client Credentials", auth_params=params, httpEndpoint=f"{receiver.url}/in"
        )
        (outcome,) = deliver(destination)
    assert isinstance(outcome, Retry)
    assert outcome.code == code


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, DestinationDenied), (403, DestinationDenied), (404, DestinationRefused), (503, DestinationUnreachable)],
)
def test_a_check_tells_what_is_wrong(status: int, error: type[Exception]) -> None:
    with Receiver(answers=[Answer(status)]) as receiver, pytest.raises(error):
        use(opened(ManualClock(0), httpEndpoint=receiver.url), lambda opened: opened.check())


def test_a_check_sends_no_message() -> None:
    with Receiver(answers=[Answer(405)]) as receiver:
        use(opened(ManualClock(0), httpEndpoint=receiver.url), lambda opened: opened.check())
    assert [request.method for request in receiver.requests] == ["GET"]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ({}, "/params/httpEndpoint"),
        ({"httpEndpoint": 7}, "/params/httpEndpoint"),
        ({"httpEndpoint": "mailto:x"}, "/params/httpEndpoint"),
        ({"httpEndpoint": "https://a/", "maxUsersPerRequest": 11}, "/params/maxUsersPerRequest"),
        ({"httpEndpoint": "https://a/", "headers": "novalue"}, "/params/headers"),
        ({"httpEndpoint": "https://a/", "headers": "host:evil"}, "/params/headers"),
        ({"httpEndpoint": "https://a/", "headers": 3}, "/params/headers"),
        ({"httpEndpoint": "https://a/", "exportTriggers": {"identities": "perhaps"}}, "/params/exportTriggers/identities"),
        ({"httpEndpoint": "https://a/", "retryPolicy": "never"}, "/params/retryPolicy"),
    ],
)
def test_a_wrong_parameter_is_named(target: dict[str, Any], path: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        opened(ManualClock(0), **target)
    assert caught.value.path == path


def test_plain_http_needs_the_operators_consent() -> None:
    context = Context(clock=ManualClock(0), sandbox_name="prod", landing_zone=Path("unused"))
    with pytest.raises(SettingInvalid, match="https"):
        registry.open_destination(
            HttpApi.connection_spec_id,
            auth_name="",
            auth_params={},
            target_params={"httpEndpoint": "http://hooks.example.com/"},
            context=context,
        )


def test_a_token_url_may_have_one_query_parameter() -> None:
    params = {"accessTokenUrl": "https://a/t?x=1&y=2", **CLIENT}
    with pytest.raises(SettingInvalid) as caught:
        opened(ManualClock(0), auth="OAuth 2 Client Credentials", auth_params=params, httpEndpoint="https://a/")
    assert caught.value.path == "/auth/params/accessTokenUrl"


def test_an_unknown_scheme_is_named_with_the_known_ones() -> None:
    with pytest.raises(AuthSpecUnknown, match="'Bearer Token'"):
        opened(ManualClock(0), auth="Basic", httpEndpoint="https://a/")


def test_secrets_do_not_print() -> None:
    destination = opened(ManualClock(0), auth="Bearer Token", auth_params={"bearerToken": "t0k"}, httpEndpoint="https://a/")
    assert "t0k" not in repr(destination.auth)
