from pathlib import Path

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from headrace.api.services import Services
from headrace.clock import ManualClock, from_ms
from headrace.governance.accounts import credentials_of


@pytest.fixture
def form(home: Path) -> dict[str, str]:
    credentials = credentials_of(home)
    return {
        "grant_type": "client_credentials",
        "client_id": credentials["client_id"],
        "client_secret": credentials["client_secret"],
        "scope": "openid,session,AdobeID",
    }


@pytest.mark.parametrize("version", ["v3", "v2", "v1"])
def test_token_for_client_credentials(anonymous: httpx.Client, form: dict[str, str], home: Path, version: str) -> None:
    answer = anonymous.post(f"/ims/token/{version}", data=form)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["token_type"], body["expires_in"]) == ("bearer", 86399)
    headers = {
        "Authorization": f"Bearer {body['access_token']}",
        "x-api-key": form["client_id"],
        "x-gw-ims-org-id": credentials_of(home)["organization_id"],
    }
    assert anonymous.get("/data/foundation/sandbox-management/", headers=headers).status_code == 200


def test_fields_may_stand_in_the_query(anonymous: httpx.Client, form: dict[str, str]) -> None:
    assert anonymous.post("/ims/token/v2", params=form).status_code == 200


def test_fields_may_come_as_multipart(anonymous: httpx.Client, form: dict[str, str]) -> None:
    files = {name: (None, value) for name, value in form.items()}
    assert anonymous.post("/ims/token/v3", files=files).status_code == 200


def test_authorization_code_is_for_the_old_endpoint(anonymous: httpx.Client, form: dict[str, str]) -> None:
    old = {**form, "grant_type": "authorization_code", "code": "c"}
    assert anonymous.post("/ims/token/v1", data=old).status_code == 200
    refused = anonymous.post("/ims/token/v3", data=old)
    assert (refused.status_code, refused.json()["error"]) == (400, "unsupported_grant_type")


def test_wrong_secret_is_an_oauth_error(anonymous: httpx.Client, form: dict[str, str]) -> None:
    answer = anonymous.post("/ims/token/v3", data={**form, "client_secret": "wrong"})
    assert answer.status_code == 400
    assert answer.json() == {"error": "invalid_client", "error_description": "The client id or the client secret is wrong."}


def test_wrong_secret_in_the_header_is_401(anonymous: httpx.Client, form: dict[str, str]) -> None:
    grant = {"grant_type": "client_credentials"}
    answer = anonymous.post("/ims/token/v3", data=grant, auth=(form["client_id"], "wrong"))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    right = anonymous.post("/ims/token/v3", data=grant, auth=(form["client_id"], form["client_secret"]))
    assert right.status_code == 200


@pytest.mark.parametrize("member", ["grant_type", "client_id", "client_secret"])
def test_missing_field_is_named(anonymous: httpx.Client, form: dict[str, str], member: str) -> None:
    answer = anonymous.post("/ims/token/v3", data={name: value for name, value in form.items() if name != member})
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert member in answer.json()["error_description"]


def test_guessing_is_slowed_down(anonymous: httpx.Client, form: dict[str, str], clock: ManualClock) -> None:
    for _ in range(10):
        anonymous.post("/ims/token/v3", data={**form, "client_secret": "wrong"})
    refused = anonymous.post("/ims/token/v3", data=form)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "60"
    clock.move_to(clock.now_ms() + 60_000)
    assert anonymous.post("/ims/token/v3", data=form).status_code == 200


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_jwt_exchange_verifies_the_registered_certificate(
    anonymous: httpx.Client,
    form: dict[str, str],
    services: Services,
    home: Path,
    clock: ManualClock,
    key: rsa.RSAPrivateKey,
) -> None:
    token = services.accounts.token_of(form["client_id"]).value
    account = services.accounts.authenticate(token)
    claims = {
        "iss": account.organization_id,
        "sub": account.technical_account_id,
        "exp": clock.now_ms() // 1000 + 60,
    }
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    fields = {
        "client_id": form["client_id"],
        "client_secret": form["client_secret"],
        "jwt_token": jwt.encode(claims, private, algorithm="RS256"),
    }
    without = anonymous.post("/ims/exchange/jwt/", data=fields)
    assert (without.status_code, without.json()["error"]) == (400, "invalid_client")
    services.accounts.register_certificate(form["client_id"], _certificate(key, clock))
    answer = anonymous.post("/ims/exchange/jwt", files={name: (None, value) for name, value in fields.items()})
    assert answer.status_code == 200
    assert answer.json()["expires_in"] == 86_399_999
    clock.move_to(clock.now_ms() + 61_000)
    assert anonymous.post("/ims/exchange/jwt", data=fields).json()["error"] == "invalid_client"


def _certificate(key: rsa.RSAPrivateKey, clock: ManualClock) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(from_ms(clock.now_ms())).not_valid_after(from_ms(clock.now_ms() + 1000))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
