"""Encrypted files are read with GnuPG, the program their receivers use."""

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.activation.encryption import PublicKey, PublicKeyInvalid, encrypted

needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="needs GnuPG (Debian package gnupg)")


class Keyring:
    """A keyring of its own, with one key."""

    def __init__(self, folder: Path, algorithm: str, usage: str) -> None:
        self._environment = {**os.environ, "GNUPGHOME": str(folder)}
        folder.mkdir(mode=0o700)
        self.run("--passphrase", "", "--quick-generate-key", "receiver@example.com", algorithm, usage, "never")
        if (algorithm, usage) == ("rsa2048", "sign,cert"):
            listed = self.run("--with-colons", "--list-keys").decode()
            fingerprint = re.findall(r":([0-9A-F]{40}):", listed)[0]
            self.run("--passphrase", "", "--quick-add-key", fingerprint, "rsa2048", "encr", "never")

    def run(self, *arguments: str | Path) -> bytes:
        command = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", *map(str, arguments)]
        return subprocess.run(command, env=self._environment, check=True, capture_output=True).stdout

    def close(self) -> None:
        subprocess.run(["gpgconf", "--kill", "all"], env=self._environment, check=False, capture_output=True)

    def public_key(self) -> str:
        return base64.b64encode(self.run("--armor", "--export", "receiver@example.com")).decode()


@pytest.fixture
def keyring(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Keyring]:
    algorithm, usage = getattr(request, "param", ("rsa2048", "sign,cert"))
    made = Keyring(tmp_path / "g", algorithm, usage)
    yield made
    made.close()


@needs_gpg
@pytest.mark.parametrize("size", [0, 1, 5_000_001])
def test_the_receiver_reads_what_was_encrypted(keyring: Keyring, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "out.csv").write_bytes(content)
    encrypted(tmp_path / "out.csv", tmp_path / "out.csv.gpg", PublicKey.from_base64(keyring.public_key()), at_ms=0)
    assert keyring.run("--decrypt", tmp_path / "out.csv.gpg") == content


@needs_gpg
@pytest.mark.parametrize("keyring", [("rsa2048", "encrypt,sign,cert")], indirect=True)
def test_a_primary_key_that_encrypts_is_used(keyring: Keyring, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_bytes(b"a,b\n")
    encrypted(tmp_path / "out.csv", tmp_path / "out.csv.gpg", PublicKey.from_base64(keyring.public_key()), at_ms=0)
    assert keyring.run("--decrypt", tmp_path / "out.csv.gpg") == b"a,b\n"


@needs_gpg
@pytest.mark.parametrize("keyring", [("rsa2048", "sign"), ("ed25519", "default")], indirect=True)
def test_a_key_that_cannot_encrypt_is_refused(keyring: Keyring) -> None:
    with pytest.raises(PublicKeyInvalid, match="no RSA key that encrypts"):
        PublicKey.from_base64(keyring.public_key())


@pytest.mark.parametrize("text", ["", "!!", "bm8ga2V5", base64.b64encode(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx").decode()])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(PublicKeyInvalid):
        PublicKey.from_base64(text)
