"""The organisation, its technical accounts, and the tokens they call with.

A token is a JWT signed with the home folder's ``token.key``; its claims are those of the platform (times in milliseconds, as
text).
"""

import hashlib
import hmac
import json
import os
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from headrace.catalog.sandboxes import Sandboxes
from headrace.clock import Clock
from headrace.errors import Bug
from headrace.governance import store
from headrace.governance.errors import ClientInvalid, TokenInvalid, TokenRequestInvalid, TooManyAttempts
from headrace.governance.secrets import private_key_file
from headrace.governance.store import Client, Organization
from headrace.storage.control import ControlStore

TOKEN_LIFETIME_MS = 24 * 3_600_000
DEFAULT_TENANT_ID = "headrace"
CREDENTIALS_FILE = "credentials.json"
_TOKEN_KEY_FILE = "token.key"  # noqa: S105  # a file's name
_SIGNATURE = "HS256"
_MOST_FAILURES_A_MINUTE = 10
_MOST_CACHED_TOKENS = 1000


@dataclass(frozen=True)
class Account:
    """Whom a valid token stands for."""

    client_id: str
    technical_account_id: str
    organization_id: str


@dataclass(frozen=True)
class Token:
    """A token just issued.

    Attributes:
        value: What the caller sends as bearer.
        lifetime_ms: How long it is valid.
    """

    value: str
    lifetime_ms: int


class Accounts:
    """Issues and checks tokens; safe between threads."""

    def __init__(self, control: ControlStore, home: Path, clock: Clock) -> None:
        """Open the accounts of a home folder; `bootstrap` must have run once."""
        self._control = control
        self._clock = clock
        self._key = private_key_file(home / _TOKEN_KEY_FILE)
        self._valid: dict[str, tuple[Account, int, int]] = {}
        self._failures: dict[str, list[int]] = {}
        self._lock = threading.Lock()

    def organization(self) -> Organization:
        """Return the organisation."""
        with self._control.read() as connection:
            found = store.organization(connection)
        if found is None:
            raise Bug("The home folder has no organisation: bootstrap has not run.")
        return found

    def authenticate(self, token: str) -> Account:
        """Return whom a token stands for.

        Raises:
            TokenInvalid: It is not signed by this server, has expired, or its client is gone.
        """
        revision, now_ms = self._control.revision(), self._clock.now_ms()
        known = self._valid.get(token)
        if known is None or known[2] != revision:
            known = (*self._checked(token), revision)
            with self._lock:
                if len(self._valid) >= _MOST_CACHED_TOKENS:
                    self._valid.clear()
                self._valid[token] = known
        if now_ms >= known[1]:
            raise TokenInvalid("The token has expired.", hint="Get a new one from /ims/token/v3.")
        return known[0]

    def _checked(self, token: str) -> tuple[Account, int]:
        try:
            claims = jwt.decode(token, self._key, algorithms=[_SIGNATURE], options={"verify_exp": False, "verify_iat": False})
            expires_at = int(claims["created_at"]) + int(claims["expires_in"])
            account = Account(claims["client_id"], claims["user_id"], claims["org"])
        except (jwt.InvalidTokenError, KeyError, ValueError) as error:
            raise TokenInvalid("The token was not issued by this server.") from error
        with self._control.read() as connection:
            if store.client(connection, account.client_id) is None:
                raise TokenInvalid("The token's client does not exist any more.")
        return account, expires_at

    def token_for_secret(self, client_id: str, client_secret: str) -> Token:
        """Return a token for a client that knows its secret.

        Raises:
            ClientInvalid: Client and secret do not belong together.
            TooManyAttempts: The client has failed ten times within a minute.
        """
        return self._issued(self._proven(client_id, client_secret))

    def token_for_assertion(self, client_id: str, client_secret: str, assertion: str) -> Token:
        """Return a token for a client that also signs an assertion (JWT bearer flow).

        Raises:
            ClientInvalid: The secret is wrong, no certificate is registered, or the assertion is not signed with it.
            TooManyAttempts: The client has failed ten times within a minute.
        """
        client = self._proven(client_id, client_secret)
        if not client.certificate:
            raise ClientInvalid("No certificate is registered for this client.", hint="Use client credentials at /ims/token/v3.")
        try:
            claims = jwt.decode(
                assertion,
                _public_key(client.certificate),
                algorithms=["RS256"],
                options={"verify_exp": False, "verify_aud": False, "verify_iat": False},
            )
            is_current = self._clock.now_ms() < 1000 * int(claims["exp"])
        except (jwt.InvalidTokenError, KeyError, ValueError) as error:
            raise ClientInvalid(f"The assertion is not acceptable: {error}.") from error
        if claims.get("iss") != client.organization_id or claims.get("sub") != client.technical_account_id or not is_current:
            raise ClientInvalid("The assertion has expired, or its 'iss' or 'sub' is not the client's.")
        return self._issued(client)

    def token_of(self, client_id: str) -> Token:
        """Return a token for a client without asking for its secret; for the operator of this machine.

        Raises:
            ClientInvalid: There is no such client.
        """
        with self._control.read() as connection:
            client = store.client(connection, client_id)
        if client is None:
            raise ClientInvalid(f"There is no client '{client_id}'.")
        return self._issued(client)

    def register_certificate(self, client_id: str, certificate: str) -> None:
        """Register the PEM certificate that a client signs its assertions with.

        Raises:
            TokenRequestInvalid: The text is no PEM certificate.
        """
        _public_key(certificate)
        with self._control.write() as connection:
            store.set_certificate(connection, client_id, certificate, self._clock.now_ms())

    def _proven(self, client_id: str, client_secret: str) -> Client:
        self._refuse_guessing(client_id)
        with self._control.read() as connection:
            client = store.client(connection, client_id)
        if client is None or not _fits(client_secret, client.secret_hash):
            with self._lock:
                self._failures.setdefault(client_id, []).append(self._clock.now_ms())
            raise ClientInvalid("The client id or the client secret is wrong.")
        return client

    def _refuse_guessing(self, client_id: str) -> None:
        now_ms = self._clock.now_ms()
        with self._lock:
            recent = [at_ms for at_ms in self._failures.get(client_id, ()) if now_ms - at_ms < 60_000]
            self._failures = {name: times for name, times in self._failures.items() if now_ms - times[-1] < 60_000}
            if recent:
                self._failures[client_id] = recent
        if len(recent) >= _MOST_FAILURES_A_MINUTE:
            wait_seconds = (60_000 - (now_ms - recent[0])) / 1000
            raise TooManyAttempts("Too many failed attempts for this client.", retry_after_seconds=wait_seconds)

    def _issued(self, client: Client) -> Token:
        claims = {
            "jti": secrets.token_hex(16),
            "client_id": client.id,
            "user_id": client.technical_account_id,
            "org": client.organization_id,
            "type": "access_token",
            "created_at": str(self._clock.now_ms()),
            "expires_in": str(TOKEN_LIFETIME_MS),
        }
        return Token(jwt.encode(claims, self._key, algorithm=_SIGNATURE), TOKEN_LIFETIME_MS)


def bootstrap(control: ControlStore, home: Path, clock: Clock, *, tenant_id: str = DEFAULT_TENANT_ID) -> Organization:
    """Make what a new home folder needs: organisation, sandbox ``prod`` and one technical account.

    The account stands in ``credentials.json`` (mode 600). Repeating it changes nothing; when only that file is lost, the account
    gets a new secret and the file is written again.
    """
    home.mkdir(parents=True, exist_ok=True)
    path = home / CREDENTIALS_FILE
    now_ms = clock.now_ms()
    with control.read() as connection:
        organization, client = store.organization(connection), store.first_client(connection)
    if organization is None or client is None or not path.exists():
        organization = _add_missing(control, path, now_ms, organization, client, tenant_id)
    Sandboxes(control, clock).ensure_default()
    return organization


def _add_missing(
    control: ControlStore, path: Path, now_ms: int, organization: Organization | None, client: Client | None, tenant_id: str
) -> Organization:
    secret = "p8e-" + secrets.token_urlsafe(24)
    with control.write() as connection:
        if organization is None:
            organization = Organization(f"{secrets.token_hex(12).upper()}@AdobeOrg", tenant_id, "Headrace")
            store.add_organization(connection, organization, now_ms)
        if client is None:
            account_id = f"{secrets.token_hex(12).upper()}@techacct.adobe.com"
            client = Client(secrets.token_hex(16), organization.id, account_id, _hashed(secret), "")
            store.add_client(connection, client, now_ms)
        else:
            store.set_secret_hash(connection, client.id, _hashed(secret), now_ms)
        # Written inside the transaction: a failure to write leaves no account whose secret nobody knows.
        _write_private(
            path,
            {
                "organization_id": organization.id,
                "client_id": client.id,
                "client_secret": secret,
                "sandbox": "prod",
            },
        )
    return organization


def credentials_of(home: Path) -> dict[str, str]:
    """Return what ``credentials.json`` of a home folder holds.

    Raises:
        TokenRequestInvalid: The home folder has none: no server was ever started on it.
    """
    try:
        found: dict[str, str] = json.loads((home / CREDENTIALS_FILE).read_text())
    except FileNotFoundError as error:
        raise TokenRequestInvalid(f"{home} has no {CREDENTIALS_FILE}.", hint="Start the server on it once.") from error
    return found


def issue_token(control: ControlStore, home: Path, clock: Clock) -> str:
    """Return a token for the technical account of ``credentials.json``; for the operator of this machine."""
    return Accounts(control, home, clock).token_of(credentials_of(home)["client_id"]).value


def _write_private(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _hashed(secret: str, salt: str = "") -> str:
    # A plain salted hash is enough: secrets are made here, from 192 random bits, and cannot be guessed from a list.
    salt = salt or secrets.token_hex(8)
    return f"{salt}:{hashlib.sha256(f'{salt}{secret}'.encode()).hexdigest()}"


def _fits(secret: str, secret_hash: str) -> bool:
    return hmac.compare_digest(_hashed(secret, secret_hash.partition(":")[0]), secret_hash)


def _public_key(certificate: str) -> Any:
    from cryptography.x509 import load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(certificate.encode()).public_key()
    except ValueError as error:
        raise TokenRequestInvalid(f"The certificate is no PEM certificate: {error}.") from error
