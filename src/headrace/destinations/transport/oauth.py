"""OAuth 2 access tokens: fetched when first needed, kept until shortly before they expire, fetched by one caller at a time."""

import asyncio
import base64
from collections.abc import Mapping
from urllib.parse import urlencode

from headrace.clock import Clock
from headrace.destinations.errors import DestinationDenied, DestinationUnreachable
from headrace.destinations.transport.http import Endpoint, Http, encode_fields

_EARLY_MS = 60_000  # a token is renewed this long before it expires
_DEFAULT_LIFETIME_SECONDS = 3600


class TokenSource:
    """Gives a valid access token."""

    def __init__(
        self, http: Http, endpoint: Endpoint, clock: Clock, *, form: Mapping[str, str], basic: tuple[str, str] | None = None
    ) -> None:
        """Describe how a token is got.

        Args:
            http: Sends the request.
            endpoint: The token endpoint.
            clock: Decides when a token has expired.
            form: The grant, as form fields.
            basic: Client id and secret, when they go into the Authorization header.
        """
        self._http = http
        self._endpoint = endpoint
        self._clock = clock
        self._form = dict(form)
        fields = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if basic:
            fields["Authorization"] = "Basic " + base64.b64encode(":".join(basic).encode()).decode()
        self._fields = encode_fields(fields)
        self._lock = asyncio.Lock()
        self._token = ""
        self._refresh_token = ""
        self._expires_at_ms = 0

    async def token(self) -> str:
        """Return a token that is valid now.

        Raises:
            DestinationDenied: The token endpoint refuses the credentials.
            DestinationUnreachable: It gives no usable answer.
        """
        if self._clock.now_ms() < self._expires_at_ms:
            return self._token
        async with self._lock:
            if self._clock.now_ms() >= self._expires_at_ms:
                await self._fetch()
        return self._token

    def forget(self, token: str) -> None:
        """Do not give ``token`` again: the endpoint refused it before its time."""
        if token == self._token:
            self._expires_at_ms = 0

    async def _fetch(self) -> None:
        if self._refresh_token:
            client: dict[str, str] = {key: self._form[key] for key in ("client_id", "client_secret") if key in self._form}
            form: dict[str, str] = {"grant_type": "refresh_token", "refresh_token": self._refresh_token, **client}
            self._refresh_token = ""
            try:
                await self._request(form)
            except DestinationDenied:  # refresh tokens expire too; the grant itself still stands
                pass
            else:
                return
        await self._request(self._form)

    async def _request(self, form: Mapping[str, str]) -> None:
        reply = await self._http.post(self._endpoint, self._fields, urlencode(form).encode("ascii"))
        if reply.status in (400, 401, 403):
            raise DestinationDenied(
                f"The token endpoint {self._endpoint.host} refused the credentials (status {reply.status}).",
                path="/auth/params",
            )
        if reply.status != 200:
            raise DestinationUnreachable(f"The token endpoint {self._endpoint.host} answered {reply.status}.")
        answer = reply.json()
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token:
            raise DestinationUnreachable(f"The token endpoint {self._endpoint.host} gave no access_token.")
        try:
            lifetime = int(answer.get("expires_in") or _DEFAULT_LIFETIME_SECONDS)
        except (TypeError, ValueError):
            lifetime = _DEFAULT_LIFETIME_SECONDS
        self._token = token
        self._refresh_token = str(answer.get("refresh_token") or "")
        # A token that lives less than a minute is used for half its life rather than fetched for every message.
        self._expires_at_ms = self._clock.now_ms() + max(lifetime * 1000 - _EARLY_MS, lifetime * 500)
