"""Amazon S3: what its answers mean, which settings it takes, and roles."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import httpx
import pytest
from moto.server import ThreadedMotoServer

from headrace.clock import ManualClock, SystemClock, from_ms
from headrace.config import SettingInvalid
from headrace.destinations import registry
from headrace.destinations.amazon_s3 import AmazonS3
from headrace.destinations.base import Context
from headrace.destinations.errors import DestinationDenied, DestinationFull, DestinationRefused, DestinationUnreachable
from headrace.destinations.transport.aws import signed_fields
from headrace.destinations.transport.http import Endpoint
from headrace.errors import HeadraceError
from headrace.testing.receiver import Answer, Receiver

TARGET = {"bucketName": "crm-out", "path": "out", "fileType": "CSV", "compression": "NONE"}
KEYS = {"s3AccessKey": "A" * 20, "s3SecretKey": "b" * 40}


def opened(auth: dict[str, Any], *, scheme: str = "Access Key", **target: Any) -> AmazonS3:
    context = Context(clock=SystemClock(), sandbox_name="prod", landing_zone=Path("unused"), allow_private_destinations=True)
    destination = registry.open_destination(
        AmazonS3.connection_spec_id, auth_name=scheme, auth_params=auth, target_params={**TARGET, **target}, context=context
    )
    assert isinstance(destination, AmazonS3)
    return destination


def xml(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>x</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (403, "SignatureDoesNotMatch", DestinationDenied),
        (403, "InvalidAccessKeyId", DestinationDenied),
        (403, "AccessDenied", DestinationDenied),
        (400, "ExpiredToken", DestinationDenied),
        (404, "NoSuchBucket", DestinationRefused),
        (400, "InvalidBucketName", DestinationRefused),
        (403, "QuotaExceeded", DestinationDenied),
        (507, "InsufficientStorage", DestinationFull),
        (503, "SlowDown", DestinationUnreachable),
    ],
)
def test_an_answer_has_a_meaning(status: int, code: str, error: type[HeadraceError]) -> None:
    with Receiver(answer=lambda request: Answer(status, body=xml(code))) as receiver, pytest.raises(error):
        asyncio.run(opened({**KEYS, "endpoint": receiver.url}).check())


def test_wrong_credentials_say_which_bucket_and_why() -> None:
    answer = Answer(403, body=xml("SignatureDoesNotMatch"))
    with Receiver(answer=lambda request: answer) as receiver, pytest.raises(DestinationDenied) as caught:
        asyncio.run(opened({**KEYS, "endpoint": receiver.url}).check())
    assert str(caught.value) == "The credentials may not write to bucket 'crm-out' (SignatureDoesNotMatch)."
    assert caught.value.activation_code == "ACTIVATION_BATCH-0001-AUTH"


@pytest.mark.parametrize(
    ("auth", "path"),
    [
        ({**KEYS, "s3AccessKey": "short"}, "/auth/params/s3AccessKey"),
        ({**KEYS, "s3SecretKey": "short"}, "/auth/params/s3SecretKey"),
        ({"s3AccessKey": "A" * 20}, "/auth/params/s3SecretKey"),
        ({**KEYS, "endpoint": "nowhere"}, "/auth/params/endpoint"),
    ],
)
def test_wrong_keys_are_named(auth: dict[str, Any], path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with pytest.raises(SettingInvalid) as caught:
        opened(auth)
    assert caught.value.path == path


def test_a_compatible_store_has_keys_of_its_own() -> None:
    opened({"s3AccessKey": "minio", "s3SecretKey": "minio123", "endpoint": "http://127.0.0.1:9000"})


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ({"bucketName": "Upper"}, "/params/bucketName"),
        ({"bucketName": "a..b"}, "/params/bucketName"),
        ({"bucketName": "192.168.0.1"}, "/params/bucketName"),
        ({"bucketName": "ab"}, "/params/bucketName"),
        ({"path": "with space"}, "/params/path"),
        ({"path": "%SEGMENT_NAME%/more"}, "/params/path"),
        ({"compression": "ZIP"}, "/params/compression"),
        ({"fileType": "XML"}, "/params/fileType"),
        ({"csvOptions": {"delimiter": "x"}}, "/params/csvOptions/delimiter"),
        ({"fileType": None}, "/params/fileType"),
    ],
)
def test_a_wrong_target_is_named(target: dict[str, Any], path: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        opened(KEYS, **target)
    assert caught.value.path == path


@pytest.mark.parametrize("path", ["", "a/b", "promo/%SEGMENT_NAME%", "promo/%SEGMENT_NAME%/%SEGMENT_ID%", "x/%SEGMENT_ID%/"])
def test_a_path_may_end_with_macros(path: str) -> None:
    assert opened(KEYS, path=path).folder() == path


def test_a_signature_covers_time_body_and_place() -> None:
    endpoint = Endpoint("https://sts.us-east-1.amazonaws.com/")

    def signed(at_ms: int = 0, body: bytes = b"a=b", region: str = "us-east-1") -> str:
        fields = signed_fields(endpoint, body, now=from_ms(at_ms), region=region, service="sts", key="K", secret="S")
        return fields["authorization"]

    assert signed().startswith("AWS4-HMAC-SHA256 Credential=K/19700101/us-east-1/sts/aws4_request, ")
    assert len({signed(), signed(at_ms=1000), signed(body=b"a=c"), signed(region="eu-west-1")}) == 4
    assert signed() == signed()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    httpx.post(f"{url}/moto-api/reset").raise_for_status()
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    yield url
    server.stop()


ROLE = "arn:aws:iam::123456789012:role/exporter"


def test_a_role_is_assumed_with_the_servers_own_credentials(aws: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "A" * 20)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b" * 40)
    client = boto3.client("s3", endpoint_url=aws, region_name="us-east-1")
    client.create_bucket(Bucket="crm-out")
    (tmp_path / "a").write_bytes(b"a")

    async def upload() -> None:
        async with opened({"s3Role": ROLE}, scheme="Assumed Role").begin("out", "run-1") as upload:
            await upload.add("a.csv", tmp_path / "a")
            await upload.commit({})

    asyncio.run(upload())
    assert client.get_object(Bucket="crm-out", Key="out/a.csv")["Body"].read() == b"a"
    client.close()


def test_a_role_needs_credentials_of_the_server(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(DestinationDenied, match="no AWS credentials of its own"):
        asyncio.run(opened({"s3Role": ROLE}, scheme="Assumed Role").check())


def test_a_role_is_a_secret() -> None:
    assert ROLE not in repr(opened({"s3Role": ROLE}, scheme="Assumed Role").auth)
    with pytest.raises(SettingInvalid):
        opened({"s3Role": "arn:aws:iam::1:user/x"}, scheme="Assumed Role")


def test_a_manual_clock_is_no_obstacle() -> None:
    context = Context(clock=ManualClock(0), sandbox_name="prod", landing_zone=Path("unused"))
    registry.open_destination(
        AmazonS3.connection_spec_id, auth_name="Access Key", auth_params=KEYS, target_params=TARGET, context=context
    )
