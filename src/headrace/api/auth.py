"""Who calls, and in which sandbox: the checks that come before any route."""

from starlette.datastructures import Headers

from headrace.api.context import Caller
from headrace.api.errors import GatewayRefusal, SandboxRefused
from headrace.catalog.errors import SandboxUnknown
from headrace.catalog.sandboxes import Sandboxes
from headrace.governance.accounts import Accounts
from headrace.governance.errors import TokenInvalid
from headrace.model import Sandbox


def caller_of(headers: Headers, accounts: Accounts) -> Caller:
    """Return who calls: token, then API key, then organisation are checked.

    Raises:
        GatewayRefusal: One of them is missing or wrong.
    """
    token = _bearer_of(headers.get("authorization", ""))
    if not token:
        raise GatewayRefusal("403010", "Oauth token is missing.")
    try:
        account = accounts.authenticate(token)
    except TokenInvalid as error:
        raise GatewayRefusal("401013", "Oauth token is not valid", hint=error.message) from error
    key = headers.get("x-api-key", "")
    if not key:
        raise GatewayRefusal("403000", "Api Key is required", path="x-api-key")
    if key != account.client_id:
        raise GatewayRefusal("403003", "Api Key is invalid", path="x-api-key", hint="Send the client id that got the token.")
    organization = headers.get("x-gw-ims-org-id", "")
    if not organization:
        raise GatewayRefusal("400003", "Missing header", path="x-gw-ims-org-id")
    if organization != account.organization_id:
        raise GatewayRefusal("403025", "Profile is not valid", path="x-gw-ims-org-id")
    return Caller(account.client_id, account.technical_account_id, account.organization_id)


def _bearer_of(header: str) -> str:
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def sandbox_of(headers: Headers, sandboxes: Sandboxes, *, is_sandboxed: bool) -> Sandbox:
    """Return the sandbox of a call: by name, by id, or the default one.

    Args:
        headers: The request's headers.
        sandboxes: The organisation's sandboxes.
        is_sandboxed: Whether the service works inside a sandbox; the others ignore the headers.

    Raises:
        SandboxRefused: The sandbox is unknown, not active, or name and id name two.
    """
    name, sandbox_id = headers.get("x-sandbox-name", "").strip(), headers.get("x-sandbox-id", "").strip()
    if not is_sandboxed or not (name or sandbox_id):
        return sandboxes.default()
    header = "x-sandbox-name" if name else "x-sandbox-id"
    try:
        entry = sandboxes.entry(name) if name else sandboxes.entry_by_id(sandbox_id)
    except SandboxUnknown as error:
        raise SandboxRefused(error.message, path=header, hint=error.hint) from error
    if sandbox_id and entry.sandbox.id != sandbox_id:
        text = f"Sandbox '{name}' has another id than '{sandbox_id}'."
        raise SandboxRefused(text, path="x-sandbox-id", hint="Send one of the two headers, or two that agree.")
    if entry.state != "active":
        text = f"Sandbox '{entry.sandbox.name}' is {entry.state}, not active."
        raise SandboxRefused(text, path=header, hint="Name an active sandbox.")
    return entry.sandbox
