"""HTTP API: every change of a profile as a JSON document to an endpoint of your own.

Format: the streaming profile export of the Adobe Experience Platform destination of this name.
Guarantee: at least once, in order per profile. A repetition has the same ``x-headrace-message-id``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from headrace import __version__
from headrace.config import Secret, SettingInvalid, setting
from headrace.destinations.base import Batch, Capabilities, Limits, NoAuth, Outcome, Rejected, Retry, StreamDestination
from headrace.destinations.errors import AddressForbidden, DestinationDenied, DestinationRefused, DestinationUnreachable
from headrace.destinations.stream_settings import StreamSettings
from headrace.destinations.transport.http import (
    Endpoint,
    Http,
    Reply,
    encode_fields,
    outcome_of,
    outcome_of_failure,
)
from headrace.destinations.transport.oauth import TokenSource

RESPONSE_SECONDS = 2.0
_OWN_FIELDS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "x-headrace-flow-id", "x-headrace-message-id"}
)


@dataclass(frozen=True, kw_only=True)
class BearerToken:
    """A token that does not change."""

    spec_type: ClassVar[str] = "BearerToken"
    bearer_token: Secret = setting("Token sent in the Authorization header.")


@dataclass(frozen=True, kw_only=True)
class ClientCredentials:
    """OAuth 2, grant `client_credentials`."""

    spec_type: ClassVar[str] = "OAuth2ClientCredentials"
    access_token_url: str = setting("Where tokens are issued; at most one query parameter.")
    client_id: str = setting("Id of the client.")
    client_secret: Secret = setting("Secret of the client.")
    client_credentials_type: str = setting(
        "Whether id and secret go into the body or into the Authorization header.",
        default="BODY_FORM_ENCODED",
        one_of=("BODY_FORM_ENCODED", "BASIC_AUTHORIZATION"),
    )
    scope: str = setting("Scope to ask for.", default="")

    def __post_init__(self) -> None:
        """Refuse a token URL that cannot be used."""
        _check_token_url(self.access_token_url)


@dataclass(frozen=True, kw_only=True)
class PasswordGrant:
    """OAuth 2, grant `password`."""

    spec_type: ClassVar[str] = "OAuth2Password"
    access_token_url: str = setting("Where tokens are issued; at most one query parameter.")
    client_id: str = setting("Id of the client.")
    client_secret: Secret = setting("Secret of the client.")
    username: str = setting("Name of the user.")
    password: Secret = setting("Password of the user.")
    scope: str = setting("Scope to ask for.", default="")

    def __post_init__(self) -> None:
        """Refuse a token URL that cannot be used."""
        _check_token_url(self.access_token_url)


@dataclass(frozen=True)
class StaticHeaders:
    """Header fields sent with every request; a string ``name:value,name:value`` or an object."""

    fields: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_wire(cls, value: Any) -> Self:
        """Return the headers that a parameter describes.

        Raises:
            ValueError: The value has the wrong form, or names a header that Headrace sets itself.
        """
        if isinstance(value, str):
            parts = [part for part in value.split(",") if part.strip()]
            if bad := next((part for part in parts if ":" not in part), None):
                raise ValueError(f"'{bad.strip()}' is not of the form name:value")
            pairs = [(name.strip(), text.strip()) for name, _, text in (part.partition(":") for part in parts)]
        elif isinstance(value, Mapping):
            pairs = [(str(name), str(text)) for name, text in value.items()]
        else:
            raise ValueError("a string 'name:value,name:value' or an object is expected")  # noqa: TRY004 - one kind of error
        if own := next((name for name, _ in pairs if name.lower() in _OWN_FIELDS), None):
            raise ValueError(f"header '{own}' is set by the sender")
        encode_fields(dict(pairs))
        return cls(tuple(pairs))

    @staticmethod
    def wire_schema() -> dict[str, Any]:
        """Return the JSON Schema of the parameter."""
        return {"oneOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}]}


@dataclass(frozen=True, kw_only=True)
class HttpApiTarget(StreamSettings):
    """The endpoint."""

    http_endpoint: str = setting("URL that takes the messages.", example="https://hooks.example.com/profiles")
    headers: StaticHeaders = setting("Headers sent with every message.", default=StaticHeaders(), example="x-team:crm")
    query_parameters: str = setting("Query parameters added to the URL.", default="", example="source=cdp&v=1")
    max_users_per_request: int = setting(
        "Profiles in one request; with more than one the body is a JSON array.", default=1, one_of=tuple(range(1, 11))
    )

    def __post_init__(self) -> None:
        """Refuse an endpoint that cannot be used."""
        Endpoint(self.http_endpoint, path="httpEndpoint")


class HttpApi(StreamDestination):
    """Posts profiles to an HTTP endpoint."""

    name, title = "http_api", "HTTP API"
    connection_spec_id = "b165fdf8-b4d6-54a9-a9c4-1a205bef8421"
    category = "streaming"
    auth_specs = {
        "None": NoAuth,
        "Bearer Token": BearerToken,
        "OAuth 2 Client Credentials": ClientCredentials,
        "OAuth 2 Password": PasswordGrant,
    }
    target_settings = HttpApiTarget
    capabilities = Capabilities()
    limits = Limits(records=10)

    def __init__(self, *, auth: Any, target: HttpApiTarget, context: Any) -> None:
        """Prepare everything that is the same for all requests."""
        super().__init__(auth=auth, target=target, context=context)
        self._endpoint = Endpoint(_with_query(target.http_endpoint, target.query_parameters), path="/params/httpEndpoint")
        if not self._endpoint.is_tls and not context.allow_private_destinations:
            raise SettingInvalid("Parameter 'httpEndpoint' must be an https URL.", path="/params/httpEndpoint")
        self._http = Http(
            allow_private=context.allow_private_destinations,
            timeout_seconds=RESPONSE_SECONDS,
            client_certificate=context.client_certificate,
            trusted=context.trusted_certificates,
        )
        own = {"Content-Type": "application/json", "User-Agent": f"headrace/{__version__}"}
        if isinstance(auth, BearerToken):
            own["Authorization"] = f"Bearer {auth.bearer_token.reveal()}"
        given = {name.lower() for name, _ in target.headers.fields}
        self._fields = encode_fields({name: value for name, value in own.items() if name.lower() not in given})
        self._fields += encode_fields(dict(target.headers.fields))
        self._tokens = self._token_source()
        self._flow_id = ""
        self._flow_fields = b""

    def batch_size(self) -> int:
        """See `StreamDestination.batch_size`."""
        return int(self.target.max_users_per_request)

    async def check(self) -> None:
        """Reach the endpoint's host and get a token; sends no message, since every message has an effect there."""
        if self._tokens is not None:
            await self._tokens.token()
        reply = await self._http.get(self._endpoint, self._fields + await self._authorization(""))
        if reply.status in (401, 403):
            raise DestinationDenied(f"{self._endpoint.host} answered {reply.status} to the credentials.", path="/auth/params")
        if reply.status >= 500:
            raise DestinationUnreachable(f"{self._endpoint.host} answered {reply.status}.")
        if reply.status in (404, 410):
            raise DestinationRefused(f"{self._endpoint.url} does not exist ({reply.status}).", path="/params/httpEndpoint")

    async def deliver(self, batch: Batch) -> list[Outcome]:
        """See `StreamDestination.deliver`."""
        try:
            outcome = outcome_of(await self._post(batch), self.context.clock)
        except DestinationDenied as error:  # from the token endpoint; a secret that is being changed is wrong for a moment
            outcome = Retry(reason=error.message, code="ACTIVATION_STREAM-0001-AUTH")
        except AddressForbidden as error:
            outcome = Rejected("ACTIVATION_STREAM-0002-HTTP", str(error))
        except DestinationUnreachable as error:
            outcome = outcome_of_failure(error)
        return [outcome] * len(batch)

    async def _post(self, batch: Batch) -> Reply:
        first = batch[0]
        if first.flow_id != self._flow_id:
            self._flow_id = first.flow_id
            self._flow_fields = self._fields + encode_fields({"x-headrace-flow-id": first.flow_id})
        if self.target.max_users_per_request == 1:
            ids, body = first.id, first.body
        else:
            ids, body = ",".join(message.id for message in batch), b"[" + b",".join(message.body for message in batch) + b"]"
        fields = self._flow_fields + b"x-headrace-message-id: " + ids.encode("ascii") + b"\r\n"
        if self._tokens is None:
            return await self._http.post(self._endpoint, fields, body)
        token = await self._tokens.token()
        reply = await self._http.post(self._endpoint, fields + await self._authorization(token), body)
        if reply.status == 401:  # revoked before its time: one new token, one more attempt
            self._tokens.forget(token)
            reply = await self._http.post(self._endpoint, fields + await self._authorization(""), body)
        return reply

    async def _authorization(self, token: str) -> bytes:
        if self._tokens is None:
            return b""
        return encode_fields({"Authorization": f"Bearer {token or await self._tokens.token()}"})

    def _token_source(self) -> TokenSource | None:
        auth = self.auth
        if not isinstance(auth, ClientCredentials | PasswordGrant):
            return None
        endpoint = Endpoint(auth.access_token_url, path="/auth/params/accessTokenUrl")
        if not endpoint.is_tls and not self.context.allow_private_destinations:
            raise SettingInvalid("Parameter 'accessTokenUrl' must be an https URL.", path="/auth/params/accessTokenUrl")
        form = {"scope": auth.scope} if auth.scope else {}
        client = (auth.client_id, auth.client_secret.reveal())
        # The client certificate is for the data endpoint alone, so tokens have a client of their own.
        http = Http(
            allow_private=self.context.allow_private_destinations,
            timeout_seconds=RESPONSE_SECONDS,
            trusted=self.context.trusted_certificates,
        )
        self._token_http = http
        if isinstance(auth, PasswordGrant):
            form |= {"username": auth.username, "password": auth.password.reveal()}
            form = {"grant_type": "password", "client_id": client[0], "client_secret": client[1], **form}
            return TokenSource(http, endpoint, self.context.clock, form=form)
        form = {"grant_type": "client_credentials", **form}
        if auth.client_credentials_type == "BASIC_AUTHORIZATION":
            return TokenSource(http, endpoint, self.context.clock, form=form, basic=client)
        form |= {"client_id": client[0], "client_secret": client[1]}
        return TokenSource(http, endpoint, self.context.clock, form=form)

    async def close(self) -> None:
        """See `Destination.close`."""
        await self._http.close()
        if self._tokens is not None:
            await self._token_http.close()


def _check_token_url(url: str) -> None:
    Endpoint(url, path="accessTokenUrl")
    if len(parse_qsl(urlsplit(url).query, keep_blank_values=True)) > 1:
        raise SettingInvalid("Parameter 'accessTokenUrl' may have at most one query parameter.", path="accessTokenUrl")


def _with_query(url: str, query: str) -> str:
    pairs = parse_qsl(query.lstrip("?"), keep_blank_values=True)
    if not pairs:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(pairs, quote_via=quote)}"
