"""Secrets of connections: taken out of a body, kept encrypted, shown as a mask."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from headrace.activation.errors import EntityInvalid
from headrace.config import Secret

MASK = "********"

# The published examples of changing an S3 account name its keys otherwise than those of making one.
_ALIASES = {"accessId": "s3AccessKey", "secretKey": "s3SecretKey"}


class SecretBox(Protocol):
    """Encrypts what must not be stored in clear text."""

    def seal(self, plain: bytes) -> bytes:
        """Return the encrypted form."""
        ...

    def open(self, sealed: bytes) -> bytes:
        """Return what was sealed."""
        ...


Secrets = Mapping[str, str]


class CredentialStore:
    """Splits parameters into what may be shown and what is sealed, and puts them together again."""

    def __init__(self, box: SecretBox) -> None:
        self._box = box

    def split(
        self, params: Mapping[str, Any], secret_names: Iterable[str], known: Secrets, path: str
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the parameters with secrets masked, and the secrets.

        Args:
            params: Parameters as they came; a mask stands for the secret that is already known.
            secret_names: Which of them are secrets.
            known: Secrets stored before.
            path: JSON pointer of the parameters, for errors.

        Raises:
            EntityInvalid: A mask stands for a secret that is not known.
        """
        shown, secrets = dict(params), {}
        for name in secret_names:
            value = shown.get(name)
            if value in (None, ""):
                continue
            if value == MASK:
                if name not in known:
                    raise EntityInvalid(f"'{name}' is a mask, but no secret is stored for it.", path=f"{path}/{name}")
                value = known[name]
            secrets[name] = str(value)
            shown[name] = MASK
        return shown, secrets

    def seal(self, secrets: Secrets) -> bytes:
        """Return secrets encrypted; nothing for none."""
        return self._box.seal(msgspec.json.encode(dict(secrets))) if secrets else b""

    def open(self, sealed: bytes) -> dict[str, str]:
        """Return the secrets that `seal` encrypted."""
        return msgspec.json.decode(self._box.open(sealed), type=dict[str, str]) if sealed else {}


def revealed(params: Mapping[str, Any], secrets: Secrets) -> dict[str, Any]:
    """Return parameters with their secrets, wrapped so that they do not print."""
    return {**params, **{name: Secret(value) for name, value in secrets.items()}}


def s3_spelling(params: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return parameters with the two S3 keys under the names of the authentication scheme, where it has them."""
    known = set(names)
    return {
        _ALIASES[name] if name in _ALIASES and name not in known and _ALIASES[name] in known else name: value
        for name, value in params.items()
    }
