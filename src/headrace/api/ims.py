"""IMS: access tokens."""

import base64
import binascii
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import Response

from headrace.api.body import RAW_BODY
from headrace.api.context import exchange_of
from headrace.api.wire.answer import answer
from headrace.governance.errors import ClientInvalid, GrantUnsupported, TokenRequestInvalid

router = APIRouter(prefix="/ims", tags=["IMS"])
_GRANTS = {"v1": ("authorization_code", "client_credentials"), "v2": ("client_credentials",), "v3": ("client_credentials",)}


@router.post("/token/{version}", openapi_extra=RAW_BODY)
async def create_token(version: str, request: Request) -> Response:
    """OAuth server-to-server: a token for client id and secret; fields in a form, multipart or the query."""
    grants = _GRANTS.get(version)
    if grants is None:
        raise TokenRequestInvalid(f"There is no token endpoint '{version}'; use v3.", path="version")
    fields = await _fields(request)
    client_id, client_secret, is_basic = _client_of(request, fields)
    grant = fields.get("grant_type", "")
    if not grant:
        raise TokenRequestInvalid("The request has no grant_type.", path="grant_type", hint="Send client_credentials.")
    if grant not in grants:
        raise GrantUnsupported(f"grant_type '{grant}' is not offered; use client_credentials.", path="grant_type")
    if grant == "authorization_code" and not fields.get("code"):
        raise TokenRequestInvalid("The request has no code.", path="code")
    try:
        token = await run_in_threadpool(exchange_of(request.scope).services.accounts.token_for_secret, client_id, client_secret)
    except ClientInvalid as error:
        if is_basic:
            error.wire_status = 401  # OAuth: a client that used the header is answered so
        raise
    return _token(token.value, token.lifetime_ms // 1000 - 1)


@router.post("/exchange/jwt", openapi_extra=RAW_BODY)
async def exchange_jwt(request: Request) -> Response:
    """Service account (JWT): a token for a signed assertion; its lifetime is told in milliseconds."""
    fields = await _fields(request)
    client_id, client_secret, _ = _client_of(request, fields)
    assertion = fields.get("jwt_token", "")
    if not assertion:
        raise TokenRequestInvalid("The request has no jwt_token.", path="jwt_token")
    accounts = exchange_of(request.scope).services.accounts
    token = await run_in_threadpool(accounts.token_for_assertion, client_id, client_secret, assertion)
    return _token(token.value, token.lifetime_ms - 1)


def _token(value: str, expires_in: int) -> Response:
    return answer(
        {"access_token": value, "token_type": "bearer", "expires_in": expires_in}, headers={"Cache-Control": "no-store"}
    )


async def _fields(request: Request) -> dict[str, str]:
    fields = dict(request.query_params)
    if request.headers.get("content-type", "").startswith(("application/x-www-form-urlencoded", "multipart/form-data")):
        form: Any = await request.form()
        fields.update({name: value for name, value in form.items() if not isinstance(value, UploadFile)})
    return fields


def _client_of(request: Request, fields: dict[str, str]) -> tuple[str, str, bool]:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise TokenRequestInvalid("The Authorization header is no Basic credential.", path="Authorization") from error
        return client_id, secret, True
    for name in ("client_id", "client_secret"):
        if not fields.get(name):
            raise TokenRequestInvalid(f"The request has no {name}.", path=name)
    return fields["client_id"], fields["client_secret"], False
