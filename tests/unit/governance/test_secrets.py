import secrets
import stat
from pathlib import Path

import pytest

from headrace.governance.errors import SecretUnreadable
from headrace.governance.secrets import SecretBox


def test_box_gives_back_what_it_sealed(tmp_path: Path) -> None:
    sealed = SecretBox.of_home(tmp_path).seal(b"p4ss")
    assert b"p4ss" not in sealed
    assert SecretBox.of_home(tmp_path).open(sealed) == b"p4ss"


def test_key_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    SecretBox.of_home(tmp_path / "home")
    assert stat.S_IMODE((tmp_path / "home" / "secret.key").stat().st_mode) == 0o600


def test_equal_secrets_look_different(tmp_path: Path) -> None:
    box = SecretBox.of_home(tmp_path)
    assert box.seal(b"a") != box.seal(b"a")


@pytest.mark.parametrize("place", [0, 5, 40, 70, -1])
def test_changed_secret_is_not_opened(tmp_path: Path, place: int) -> None:
    box = SecretBox.of_home(tmp_path)
    sealed = bytearray(box.seal(b"secret"))
    sealed[place] ^= 1
    with pytest.raises(SecretUnreadable):
        box.open(bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01short"])
def test_what_is_no_secret_is_not_opened(tmp_path: Path, sealed: bytes) -> None:
    with pytest.raises(SecretUnreadable, match=r"secret\.key"):
        SecretBox.of_home(tmp_path).open(sealed)


def test_new_master_key_opens_what_is_wrapped_again() -> None:
    old, new = SecretBox(secrets.token_bytes(32)), SecretBox(secrets.token_bytes(32))
    sealed = old.seal(b"secret")
    with pytest.raises(SecretUnreadable):
        new.open(sealed)
    assert new.open(old.rewrap(sealed, new)) == b"secret"
    with pytest.raises(SecretUnreadable):
        new.rewrap(sealed, old)
