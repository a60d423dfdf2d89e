"""Secrets at rest: AES-256-GCM with a key per secret, wrapped by the home folder's master key.

Form of a sealed secret: ``0x01 ‖ nonce(12) ‖ wrapped data key(48) ‖ nonce(12) ‖ ciphertext and tag``. A new master key therefore
needs new wrappings only, never the plain secrets.
"""

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from headrace.governance.errors import SecretUnreadable

_VERSION = b"\x01"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_WRAPPED_BYTES = _KEY_BYTES + 16
_HEAD_BYTES = len(_VERSION) + _NONCE_BYTES + _WRAPPED_BYTES + _NONCE_BYTES


def private_key_file(path: Path, size: int = _KEY_BYTES) -> bytes:
    """Return the random key in a file that only its owner may read; the file is made when it does not exist."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    key = secrets.token_bytes(size)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key


class SecretBox:
    """Encrypts what must not be stored in clear text."""

    def __init__(self, master_key: bytes) -> None:
        """Use a master key of 32 bytes."""
        self._master = AESGCM(master_key)

    @classmethod
    def of_home(cls, home: Path) -> "SecretBox":
        """Return the box of a home folder, whose key stands in ``secret.key``."""
        home.mkdir(parents=True, exist_ok=True)
        return cls(private_key_file(home / "secret.key"))

    def seal(self, plain: bytes) -> bytes:
        """Return the encrypted form."""
        data_key = AESGCM.generate_key(8 * _KEY_BYTES)
        key_nonce, nonce = secrets.token_bytes(_NONCE_BYTES), secrets.token_bytes(_NONCE_BYTES)
        wrapped = self._master.encrypt(key_nonce, data_key, _VERSION)
        return _VERSION + key_nonce + wrapped + nonce + AESGCM(data_key).encrypt(nonce, plain, None)

    def open(self, sealed: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            SecretUnreadable: It was sealed with another master key, or was changed since.
        """
        nonce = sealed[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES]
        try:
            return AESGCM(self._data_key(sealed)).decrypt(nonce, sealed[_HEAD_BYTES:], None)
        except (InvalidTag, ValueError) as error:
            raise _unreadable() from error

    def rewrap(self, sealed: bytes, new: "SecretBox") -> bytes:
        """Return a sealed secret in the form that another box opens.

        Raises:
            SecretUnreadable: This box cannot open it.
        """
        key_nonce = secrets.token_bytes(_NONCE_BYTES)
        try:
            wrapped = new._master.encrypt(key_nonce, self._data_key(sealed), _VERSION)
        except (InvalidTag, ValueError) as error:
            raise _unreadable() from error
        return _VERSION + key_nonce + wrapped + sealed[len(_VERSION) + _NONCE_BYTES + _WRAPPED_BYTES :]

    def _data_key(self, sealed: bytes) -> bytes:
        if sealed[:1] != _VERSION or len(sealed) < _HEAD_BYTES:
            raise ValueError("no sealed secret")
        start = len(_VERSION) + _NONCE_BYTES
        return self._master.decrypt(sealed[len(_VERSION) : start], sealed[start : start + _WRAPPED_BYTES], _VERSION)


def _unreadable() -> SecretUnreadable:
    return SecretUnreadable(
        "A stored secret cannot be read: the home folder's secret.key is not the one it was written with.",
        hint="Restore secret.key, or enter the secret again.",
    )
