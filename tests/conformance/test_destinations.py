"""What every destination must do, run for each of them against a real server."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import httpx
import pytest
from moto.server import ThreadedMotoServer

from headrace.clock import ManualClock
from headrace.config import SettingInvalid
from headrace.destinations import registry
from headrace.destinations.amazon_s3 import AmazonS3
from headrace.destinations.base import (
    Context,
    Delivered,
    Destination,
    FileDestination,
    Message,
    Rejected,
    Retry,
    StreamDestination,
)
from headrace.destinations.data_landing_zone import DataLandingZone
from headrace.destinations.errors import AddressForbidden, DestinationDenied, DestinationRefused, DestinationUnreachable
from headrace.destinations.http_api import HttpApi
from headrace.destinations.settings import schema_of, secret_names, wire_name
from headrace.destinations.sftp import Sftp
from headrace.testing.destination import UnreliableDestination
from headrace.testing.receiver import Answer, Receiver
from headrace.testing.sftp_server import SSHD, SftpServer, asyncssh_server, openssh_server

Params = dict[str, Any]


@dataclass
class Place:
    """A destination with its server.

    Attributes:
        kind: The class.
        auth_name: Scheme of `auth`.
        auth: Credentials that work.
        wrong_auth: Credentials that do not; None when there are none to get wrong.
        target: Parameters that work.
        missing: Parameters of a place that does not exist; None when every place is made.
        names: Returns what is visible in the folder ``out``.
        read: Returns the content of a file in it.
    """

    kind: type[Destination]
    auth_name: str
    auth: Params
    wrong_auth: Params | None
    target: Params
    missing: Params | None
    names: Callable[[], list[str]]
    read: Callable[[str], bytes]

    def opened(self, folder: Path, *, auth: Params | None = None, target: Params | None = None, allow: bool = True) -> Any:
        context = Context(
            clock=ManualClock(0), sandbox_name="prod", landing_zone=folder / "zone", allow_private_destinations=allow
        )
        return registry.open_destination(
            self.kind.connection_spec_id,
            auth_name=self.auth_name,
            auth_params=self.auth if auth is None else auth,
            target_params=self.target if target is None else target,
            context=context,
        )


FILE = {"fileType": "CSV", "compression": "NONE"}


@contextmanager
def amazon_s3(folder: Path) -> Iterator[Place]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "A" * 20, "aws_secret_access_key": "b" * 40}
    httpx.post(f"{url}/moto-api/reset").raise_for_status()  # all servers of a process share one world
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
    client.create_bucket(Bucket="crm-out")
    auth = {"s3AccessKey": "A" * 20, "s3SecretKey": "b" * 40, "endpoint": url}

    def names() -> list[str]:
        found = client.list_objects_v2(Bucket="crm-out", Prefix="out/").get("Contents", [])
        return sorted(item["Key"].removeprefix("out/") for item in found)

    def uploads() -> int:
        return len(client.list_multipart_uploads(Bucket="crm-out").get("Uploads", []))

    place = Place(
        AmazonS3,
        "Access Key",
        auth,
        None,  # moto checks no signatures; the error is tested with a scripted server in the destination's own tests
        {**FILE, "bucketName": "crm-out", "path": "out"},
        {**FILE, "bucketName": "no-such-bucket", "path": "out"},
        names,
        lambda name: client.get_object(Bucket="crm-out", Key=f"out/{name}")["Body"].read(),
    )
    try:
        yield place
        assert uploads() == 0, "an upload was neither completed nor aborted"
    finally:
        client.close()
        server.stop()


def sftp_place(server: SftpServer, root: str) -> Place:
    name, params = server.auth
    address = {"domain": "127.0.0.1", "port": server.port}
    other_key = "password" if name == "SFTP with Password" else "username"
    return Place(
        Sftp,
        name,
        {**address, **params},
        {**address, **params, other_key: "wrong"},
        {**FILE, "remotePath": f"{root}/out"},
        None,
        lambda: sorted(path.name for path in (server.root / "out").glob("*")),
        lambda file: (server.root / "out" / file).read_bytes(),
    )


@contextmanager
def sftp_openssh(folder: Path) -> Iterator[Place]:
    if SSHD is None:
        pytest.skip("needs OpenSSH's server (Debian package openssh-server)")
    with openssh_server(folder) as server:
        yield sftp_place(server, str(server.root))


@contextmanager
def sftp_asyncssh(folder: Path) -> Iterator[Place]:
    with asyncssh_server(folder) as server:
        yield sftp_place(server, "")


@contextmanager
def data_landing_zone(folder: Path) -> Iterator[Place]:
    zone = folder / "zone" / "prod"
    yield Place(
        DataLandingZone,
        "",
        {},
        None,
        {**FILE, "path": "out"},
        None,
        lambda: sorted(path.name for path in (zone / "out").glob("*")),
        lambda name: (zone / "out" / name).read_bytes(),
    )


@contextmanager
def http_api(folder: Path) -> Iterator[Place]:
    with Receiver(answer=lambda request: Answer(204 if request.field("Authorization") == "Bearer right" else 401)) as receiver:
        ids = lambda: [request.field("x-headrace-message-id") or "" for request in receiver.requests]  # noqa: E731
        yield Place(
            HttpApi,
            "Bearer Token",
            {"bearerToken": "right"},
            {"bearerToken": "wrong"},
            {"httpEndpoint": receiver.url},
            None,
            ids,
            lambda name: next(item.body for item in receiver.requests if item.field("x-headrace-message-id") == name),
        )


@contextmanager
def unreliable(folder: Path) -> Iterator[Place]:
    registry.register(UnreliableDestination)
    UnreliableDestination.forget_all()
    mailbox = UnreliableDestination.delivered["default"]
    yield Place(
        UnreliableDestination,
        "",
        {},
        None,
        {"mailbox": "default"},
        None,
        lambda: [message.id for message in mailbox],
        lambda name: next(message.body for message in mailbox if message.id == name),
    )
    registry.unregister(UnreliableDestination.name)


FILES = [amazon_s3, sftp_openssh, sftp_asyncssh, data_landing_zone]
STREAMS = [http_api, unreliable]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    opened: AbstractContextManager[Place] = request.param(tmp_path)
    with opened as found:
        yield found


def _for_each(*places: Callable[[Path], AbstractContextManager[Place]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("place", places, indirect=True)


every = _for_each(*FILES, *STREAMS)
every_file = _for_each(*FILES)
every_stream = _for_each(*STREAMS)
every_host = _for_each(amazon_s3, sftp_openssh, sftp_asyncssh, http_api)
every_that_checks_who_comes = _for_each(sftp_openssh, sftp_asyncssh, http_api)
every_that_makes_no_place = _for_each(amazon_s3)
every_class = pytest.mark.parametrize("kind", registry.all(), ids=lambda kind: kind.name)


def run(destination: Destination, action: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    async def main() -> Any:
        try:
            return await action(destination)
        finally:
            await destination.close()

    return asyncio.run(main())


# data


@every_class
def test_its_data_is_complete(kind: type[Destination]) -> None:
    assert kind.name.isidentifier() and kind.title and kind.category
    assert kind.kind in ("stream", "file")
    assert len(kind.connection_spec_id) == len(kind.flow_spec_id) == 36
    assert issubclass(kind, StreamDestination if kind.kind == "stream" else FileDestination)
    assert registry.destination(kind.connection_spec_id) is kind
    assert kind.__doc__


@every_class
def test_every_setting_is_described_and_secrets_are_passwords(kind: type[Destination]) -> None:
    for settings in [kind.target_settings, *kind.auth_specs.values()]:
        schema = schema_of(settings)
        for item in fields(settings):
            described = schema["properties"][wire_name(item.name)]
            assert described["description"].endswith((".", ";"))
            is_secret = wire_name(item.name) in secret_names(settings)
            assert (described.get("format") == "password") is is_secret
    for settings in kind.auth_specs.values():
        assert settings.spec_type  # type: ignore[attr-defined]


def test_ids_and_names_are_unique() -> None:
    kinds = registry.all()
    assert len({kind.connection_spec_id for kind in kinds}) == len({kind.name for kind in kinds}) == len(kinds)


# reaching


@every
def test_a_check_succeeds_and_changes_nothing(place: Place, tmp_path: Path) -> None:
    before = place.names()
    run(place.opened(tmp_path), lambda destination: destination.check())
    if place.kind.kind == "file":
        assert place.names() == before


@every_that_checks_who_comes
def test_wrong_credentials_are_denied(place: Place, tmp_path: Path) -> None:
    with pytest.raises(DestinationDenied) as caught:
        run(place.opened(tmp_path, auth=place.wrong_auth), lambda destination: destination.check())
    assert caught.value.activation_code == "ACTIVATION_BATCH-0001-AUTH"


@every_that_makes_no_place
def test_a_place_that_does_not_exist_is_refused(place: Place, tmp_path: Path) -> None:
    with pytest.raises(DestinationRefused):
        run(place.opened(tmp_path, target=place.missing), lambda destination: destination.check())


@every_host
def test_internal_addresses_are_forbidden_unless_the_operator_allows_them(place: Place, tmp_path: Path) -> None:
    with pytest.raises((AddressForbidden, SettingInvalid)):
        run(place.opened(tmp_path, allow=False), lambda destination: destination.check())


# files


async def uploaded(destination: FileDestination, files: dict[str, Path], last: dict[str, bytes]) -> list[int]:
    async with destination.begin(destination.folder(), "run-1") as upload:
        sizes = [await upload.add(name, path) for name, path in files.items()]
        await upload.commit(last)
    return sizes


def local(folder: Path, name: str, content: bytes) -> Path:
    path = folder / f"local-{name}"
    path.write_bytes(content)
    return path


BIG = bytes(range(256)) * 4096 * 17  # 17 MB: several parts of a multipart upload


@every_file
def test_files_arrive_byte_for_byte(place: Place, tmp_path: Path) -> None:
    contents = {"small.csv": b"a,b\n", "empty.csv": b"", "big (1).csv": BIG}
    files = {name: local(tmp_path, name, content) for name, content in contents.items()}
    sizes = run(place.opened(tmp_path), lambda opened: uploaded(opened, files, {"manifest.json": b"{}"}))
    assert sizes == [len(content) for content in contents.values()]
    assert place.names() == sorted([*contents, "manifest.json"])
    for name, content in contents.items():
        assert place.read(name) == content
    assert place.read("manifest.json") == b"{}"


@every_file
def test_nothing_is_visible_before_the_commit(place: Place, tmp_path: Path) -> None:
    seen: list[list[str]] = []

    async def action(destination: FileDestination) -> None:
        async with destination.begin(destination.folder(), "run-1") as upload:
            await upload.add("a.csv", local(tmp_path, "a", BIG))
            await upload.add("b.csv", local(tmp_path, "b", b"b"))
            seen.append([name for name in place.names() if not name.startswith(".")])
            await upload.commit({})

    run(place.opened(tmp_path), action)
    assert seen == [[]]
    assert place.names() == ["a.csv", "b.csv"]


@every_file
def test_an_upload_that_is_given_up_leaves_nothing(place: Place, tmp_path: Path) -> None:
    async def action(destination: FileDestination) -> None:
        async with destination.begin(destination.folder(), "run-1") as upload:
            await upload.add("a.csv", local(tmp_path, "a", BIG))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(place.opened(tmp_path), action)
    assert place.names() == []


@every_file
def test_a_repeated_upload_replaces_what_is_there(place: Place, tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        files = {"a.csv": local(tmp_path, "a", content)}
        run(place.opened(tmp_path), partial(uploaded, files=files, last={}))
    assert (place.names(), place.read("a.csv")) == (["a.csv"], b"second")


@every_file
def test_a_manifest_alone_is_written_too(place: Place, tmp_path: Path) -> None:
    run(place.opened(tmp_path), lambda opened: uploaded(opened, {}, {"manifest.json": b"{}"}))
    assert place.names() == ["manifest.json"]


@every_that_makes_no_place
def test_a_place_that_does_not_exist_is_refused_on_upload_too(place: Place, tmp_path: Path) -> None:
    files = {"a.csv": local(tmp_path, "a", b"a")}
    with pytest.raises(DestinationRefused):
        run(place.opened(tmp_path, target=place.missing), lambda opened: uploaded(opened, files, {}))


@pytest.mark.parametrize("kind", [AmazonS3, Sftp], ids=lambda kind: kind.name)
def test_a_server_that_is_gone_is_unreachable(kind: type[Destination], tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    auth: Params = {"s3AccessKey": "a", "s3SecretKey": "b", "endpoint": f"http://127.0.0.1:{port}"}
    name, target = "Access Key", {**FILE, "bucketName": "crm-out", "path": "out"}
    if kind is Sftp:
        auth = {"domain": "127.0.0.1", "port": port, "username": "a", "password": "b"}
        name, target = "SFTP with Password", {**FILE, "remotePath": "/out"}
    place = Place(kind, name, auth, None, target, None, list, lambda name: b"")
    with pytest.raises(DestinationUnreachable):
        run(place.opened(tmp_path), lambda opened: opened.check())


# messages


def messages(count: int) -> list[Message]:
    return [Message(f"m-{number}", "flow-1", bytes([number]) * 16, b'{"n":%d}' % number) for number in range(count)]


@every_stream
def test_a_message_is_delivered_with_its_id_and_body(place: Place, tmp_path: Path) -> None:
    (message,) = messages(1)
    assert run(place.opened(tmp_path), lambda opened: opened.deliver([message])) == [Delivered()]
    assert (place.names(), place.read("m-0")) == (["m-0"], message.body)


@every_stream
def test_there_is_one_outcome_per_message(place: Place, tmp_path: Path) -> None:
    destination = place.opened(tmp_path)
    batch = messages(min(5, destination.batch_size()))
    assert len(run(destination, lambda opened: opened.deliver(batch))) == len(batch)


@every_stream
def test_a_repetition_is_delivered_too(place: Place, tmp_path: Path) -> None:
    (message,) = messages(1)

    async def action(destination: StreamDestination) -> list[Any]:
        return [await destination.deliver([message]) for _ in range(2)]

    assert run(place.opened(tmp_path), action) == [[Delivered()], [Delivered()]]


@_for_each(http_api)
def test_wrong_credentials_are_an_outcome_and_no_exception(place: Place, tmp_path: Path) -> None:
    (outcome,) = run(place.opened(tmp_path, auth=place.wrong_auth), lambda opened: opened.deliver(messages(1)))
    assert isinstance(outcome, Rejected | Retry)
    assert outcome.code == "ACTIVATION_STREAM-0001-AUTH"
