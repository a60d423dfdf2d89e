"""What AWS asks of a caller: Signature Version 4, and roles assumed through its Security Token Service.

API: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html and STS "AssumeRole".
"""

import hashlib
import hmac
import os
import re
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from headrace.clock import Clock, from_ms, parse_iso, to_ms
from headrace.destinations.errors import DestinationDenied, DestinationUnreachable
from headrace.destinations.transport.http import Endpoint, Http, encode_fields

_EARLY_MS = 300_000


def signed_fields(
    endpoint: Endpoint, body: bytes, *, now: datetime, region: str, service: str, key: str, secret: str, token: str = ""
) -> dict[str, str]:
    """Return the header fields that sign a POST of ``body`` to the root of ``endpoint``."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    default_port = 443 if endpoint.is_tls else 80
    host = endpoint.host if endpoint.port == default_port else f"{endpoint.host}:{endpoint.port}"
    fields = {"content-type": "application/x-www-form-urlencoded; charset=utf-8", "host": host, "x-amz-date": stamp}
    if token:
        fields["x-amz-security-token"] = token
    names = ";".join(sorted(fields))
    canonical_fields = "".join(f"{name}:{fields[name]}\n" for name in sorted(fields))
    canonical = f"POST\n/\n\n{canonical_fields}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signing_key = f"AWS4{secret}".encode()
    for part in (stamp[:8], region, service, "aws4_request"):
        signing_key = hmac.digest(signing_key, part.encode(), "sha256")
    signature = hmac.digest(signing_key, text.encode(), "sha256").hex()
    fields["authorization"] = f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"
    del fields["host"]  # the sender writes it
    return fields


class AssumedRole:
    """Gives short-lived credentials of a role, got with the credentials of the server's own environment."""

    def __init__(self, role: str, region: str, clock: Clock) -> None:
        self._role = role
        self._region = region
        self._clock = clock
        self._credentials: dict[str, Any] = {}

    async def __call__(self) -> dict[str, Any]:
        """Return credentials as ``obstore`` takes them.

        Raises:
            DestinationDenied: The server has no credentials of its own, or may not assume the role.
            DestinationUnreachable: The token service gives no usable answer.
        """
        if not self._credentials or self._clock.now_ms() > self._expires_ms() - _EARLY_MS:
            self._credentials = await self._assume()
        return self._credentials

    def _expires_ms(self) -> int:
        return to_ms(self._credentials["expires_at"])

    async def _assume(self) -> dict[str, Any]:
        key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        if not key or not secret:
            raise DestinationDenied(
                "The server has no AWS credentials of its own to assume a role with.",
                hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for the server, or use an access key.",
            )
        given = os.environ.get("AWS_ENDPOINT_URL_STS") or os.environ.get("AWS_ENDPOINT_URL")
        endpoint = Endpoint(given or f"https://sts.{self._region}.amazonaws.com/")
        body = urlencode(
            {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": self._role, "RoleSessionName": "headrace"}
        ).encode()
        fields = signed_fields(
            endpoint,
            body,
            now=from_ms(self._clock.now_ms()),
            region=self._region,
            service="sts",
            key=key,
            secret=secret,
            token=os.environ.get("AWS_SESSION_TOKEN", ""),
        )
        # The address comes from the operator's environment or from AWS, never from a user.
        http = Http(allow_private=True, timeout_seconds=10)
        try:
            reply = await http.post(endpoint, encode_fields(fields), body)
        finally:
            await http.close()
        if reply.status in (400, 401, 403):
            raise DestinationDenied(
                f"AWS does not let the server assume the role ({_tag(reply.body, 'Code')}).", path="/auth/params"
            )
        if reply.status != 200:
            raise DestinationUnreachable(f"The AWS token service answered {reply.status}.")
        return {
            "access_key_id": _tag(reply.body, "AccessKeyId"),
            "secret_access_key": _tag(reply.body, "SecretAccessKey"),
            "token": _tag(reply.body, "SessionToken"),
            "expires_at": from_ms(parse_iso(_tag(reply.body, "Expiration"))),
        }


def _tag(body: bytes, name: str) -> str:
    match = re.search(rf"<{name}>([^<]*)</{name}>".encode(), body)
    return match[1].decode() if match else ""
