"""SFTP: keys, fingerprints, and what errors mean."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from headrace.clock import ManualClock
from headrace.config import SettingInvalid
from headrace.destinations import registry
from headrace.destinations.base import Context
from headrace.destinations.errors import DestinationDenied
from headrace.destinations.sftp import Sftp
from headrace.testing.sftp_server import asyncssh_server

PLACE = {"domain": "127.0.0.1", "username": "carrier"}


def opened(scheme: str, auth: dict[str, Any], folder: str = "/out") -> Sftp:
    context = Context(clock=ManualClock(0), sandbox_name="prod", landing_zone=Path("unused"), allow_private_destinations=True)
    target = {"remotePath": folder, "fileType": "CSV", "compression": "NONE"}
    destination = registry.open_destination(
        Sftp.connection_spec_id, auth_name=scheme, auth_params=auth, target_params=target, context=context
    )
    assert isinstance(destination, Sftp)
    return destination


def encoded(key: asyncssh.SSHKey, passphrase: str | None = None) -> str:
    return base64.b64encode(key.export_private_key("pkcs8-pem" if passphrase else "openssh", passphrase=passphrase)).decode()


def test_the_port_is_22_unless_told() -> None:
    assert opened("SFTP with Password", {**PLACE, "password": "x"}).auth.port == 22


@pytest.mark.parametrize("text", ["not base64!", base64.b64encode(b"no key").decode(), base64.b64encode(b"\xff\xfe").decode()])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        opened("SFTP with SSH Key", {**PLACE, "sshKey": text})
    assert caught.value.path == "/auth/params/sshKey"


def test_a_key_with_a_passphrase_is_refused() -> None:
    key = encoded(asyncssh.generate_private_key("ssh-rsa", key_size=1024), "secret")
    with pytest.raises(SettingInvalid, match="without passphrase"):
        opened("SFTP with SSH Key", {**PLACE, "sshKey": key})


@pytest.mark.parametrize("algorithm", ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"])
def test_keys_of_all_usual_kinds_are_taken(algorithm: str) -> None:
    opened("SFTP with SSH Key", {**PLACE, "sshKey": encoded(asyncssh.generate_private_key(algorithm))})


def test_the_servers_key_must_have_the_fingerprint_that_was_given(tmp_path: Path) -> None:
    with asyncssh_server(tmp_path) as server:
        auth = {**PLACE, **server.auth[1], "port": server.port}
        asyncio.run(opened("SFTP with Password", {**auth, "hostKeyFingerprint": server.fingerprint}, "/").check())
        with pytest.raises(DestinationDenied, match="key of 127"):
            asyncio.run(opened("SFTP with Password", {**auth, "hostKeyFingerprint": "SHA256:AAAA"}, "/").check())
