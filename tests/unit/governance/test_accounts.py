import json
import stat
from pathlib import Path

import pytest

from headrace.catalog.sandboxes import Sandboxes
from headrace.clock import ManualClock
from headrace.governance.accounts import Accounts, bootstrap, credentials_of, issue_token
from headrace.governance.errors import ClientInvalid, TokenInvalid, TokenRequestInvalid
from headrace.storage.control import ControlStore


def test_first_start_writes_credentials_that_only_the_owner_reads(home: Path) -> None:
    path = home / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(json.loads(path.read_text())) == {"organization_id", "client_id", "client_secret", "sandbox"}
    assert credentials_of(home)["organization_id"].endswith("@AdobeOrg")
    assert len(credentials_of(home)["client_id"]) == 32


def test_later_starts_change_nothing(home: Path, control: ControlStore, clock: ManualClock) -> None:
    before = credentials_of(home)
    first = bootstrap(control, home, clock)
    assert bootstrap(control, home, clock) == first
    assert credentials_of(home) == before
    assert len(Sandboxes(control, clock).all()) == 1


def test_lost_credentials_are_replaced_by_a_new_secret(home: Path, control: ControlStore, clock: ManualClock) -> None:
    before = credentials_of(home)
    (home / "credentials.json").unlink()
    bootstrap(control, home, clock)
    after = credentials_of(home)
    assert (after["client_id"], after["organization_id"]) == (before["client_id"], before["organization_id"])
    accounts = Accounts(control, home, clock)
    accounts.token_for_secret(after["client_id"], after["client_secret"])
    with pytest.raises(ClientInvalid):
        accounts.token_for_secret(before["client_id"], before["client_secret"])


def test_secret_is_not_stored_in_clear(home: Path, tmp_path: Path) -> None:
    secret = credentials_of(home)["client_secret"].encode()
    assert secret not in (tmp_path / "control.sqlite").read_bytes() + (tmp_path / "control.sqlite-wal").read_bytes()


def test_operator_gets_a_token_without_the_secret(home: Path, control: ControlStore, clock: ManualClock) -> None:
    token = issue_token(control, home, clock)
    account = Accounts(control, home, clock).authenticate(token)
    assert account.client_id == credentials_of(home)["client_id"]
    assert account.technical_account_id.endswith("@techacct.adobe.com")


def test_home_without_credentials_says_so(tmp_path: Path) -> None:
    with pytest.raises(TokenRequestInvalid, match=r"has no credentials\.json"):
        credentials_of(tmp_path)


def test_token_of_another_home_is_refused(home: Path, control: ControlStore, clock: ManualClock, tmp_path: Path) -> None:
    other = Accounts(control, tmp_path, clock)
    with pytest.raises(TokenInvalid):
        Accounts(control, home, clock).authenticate(other.token_of(credentials_of(home)["client_id"]).value)


def test_token_is_valid_for_24_hours(home: Path, control: ControlStore, clock: ManualClock) -> None:
    accounts = Accounts(control, home, clock)
    token = issue_token(control, home, clock)
    clock.move_to(clock.now_ms() + 24 * 3_600_000 - 1)
    accounts.authenticate(token)
    clock.move_to(clock.now_ms() + 1)
    with pytest.raises(TokenInvalid, match="expired"):
        accounts.authenticate(token)
