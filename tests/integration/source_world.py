"""A whole home folder with sources: dataflows are made as their owners make them, and the roles run step by step."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import boto3  # type: ignore[import-untyped]
import httpx
import pytest
from moto.server import ThreadedMotoServer

from headrace.activation.entities import Author
from headrace.activation.run import Run
from headrace.activation.service import FlowService
from headrace.app import scheduler
from headrace.storage.lake import TableId
from headrace.testing.sftp_server import SSHD, SftpServer, asyncssh_server, openssh_server
from tests.at_once import AtOnce
from tests.unit.roles.home_world import HomeWorld

AUTHOR = Author("ada@techacct", "cli")
LAKE = {"id": "c604ff05-7f1a-43c0-8e18-33bf874cb11c", "version": "1.0"}
FLOW_SPEC = {"id": "9753525b-82c7-4dce-8a9b-5ccfce2b9876", "version": "1.0"}
Json = dict[str, Any]


def people(*names: str) -> bytes:
    """Return a file of JSON lines, one person a line."""
    return b"".join(
        json.dumps(
            {"_id": name, "person": {"name": {"firstName": name}}, "identityMap": {"Email": [{"id": f"{name}@x.org"}]}}
        ).encode()
        + b"\n"
        for name in names
    )


@dataclass
class Source:
    """A source with its server.

    Attributes:
        spec_id: Connection spec.
        auth: ``auth`` of the base connection; None when it needs none.
        root: What its paths begin with.
        put: Writes a file.
        remove: Removes one.
    """

    spec_id: str
    auth: Json | None
    root: str
    put: Callable[[str, bytes], None]
    remove: Callable[[str], None]


class SourceWorld(HomeWorld):
    """A home with dataflows from sources."""

    may_reach_this_machine: ClassVar[bool] = True

    def restart(self) -> None:
        """Begin with new roles on the same folder, as after a crash: the old ones are not closed."""
        self.roles = {
            "pipeline": self.roles["pipeline"],
            "lake_writer": self.roles["lake_writer"],
            "scheduler": scheduler.make(self.home, AtOnce()),
        }

    @property
    def service(self) -> FlowService:
        """Flow Service."""
        return self.home.flow_service

    def flow(self, source: Source, path: str, *, data: Json | None = None, params: Json | None = None, **more: Any) -> str:
        """Make a dataflow into the dataset of people and return its id; without a schedule it runs on demand."""
        spec = {"id": source.spec_id, "version": "1.0"}
        connections = self.service.connections
        ends: Json = {}
        if source.auth is not None:
            account = {"name": "Account", "connectionSpec": spec, "auth": source.auth}
            ends["baseConnectionId"] = connections.create(self.sandbox, "base", account, AUTHOR).id
        files = {
            "name": "Files",
            "connectionSpec": spec,
            "data": data or {"format": "json"},
            "params": {"path": source.root + path, **(params or {})},
            **ends,
        }
        source_id = connections.create(self.sandbox, "source", files, AUTHOR).id
        target = {"name": "Lake", "connectionSpec": LAKE, "params": {"dataSetId": self.people.id}}
        target_id = connections.create(self.sandbox, "target", target, AUTHOR).id
        flow = {
            "name": "People from files",
            "flowSpec": FLOW_SPEC,
            "sourceConnectionIds": [source_id],
            "targetConnectionIds": [target_id],
            **more,
        }
        return self.service.flows.create(self.sandbox, flow, AUTHOR).id

    def settle(self) -> None:
        """Let everything end."""
        for _ in range(5):
            self.run()
            self.move(61_000)
        self.run()

    def run_now(self, flow_id: str) -> Run:
        """Run a dataflow, and return its run when everything is done."""
        run_id = self.service.sources.request(self.sandbox, flow_id, "ada").id
        self.settle()
        return self.service.runs.run(self.sandbox, run_id)

    def runs(self, flow_id: str) -> list[Run]:
        """Return the runs of a dataflow, the newest first."""
        return self.service.runs.all(self.sandbox, flow_ids=[flow_id])

    def ids(self) -> list[str]:
        """Return the first names in the lake, one a row."""
        lake = self.home.open_lake()
        try:
            table = TableId(self.sandbox.number, self.people.table_name)
            found = sorted(row.entity["person"]["name"]["firstName"] for row in lake.read(table))
        finally:
            lake.close()
        return found


@contextlib.contextmanager
def landing_zone(world: SourceWorld, folder: Path) -> Iterator[Source]:
    """Give the zone of the sandbox."""
    root = world.home.path / "landing-zone" / world.sandbox.name

    def put(name: str, content: bytes) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        seconds = world.now_ms / 1000
        os.utime(path, (seconds, seconds))

    yield Source("26f526f2-58f4-4712-961d-e41bf1ccc0e8", None, "", put, lambda name: (root / name).unlink())


@contextlib.contextmanager
def amazon_s3(world: SourceWorld, folder: Path) -> Iterator[Source]:
    """Run moto's server with a bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    httpx.post(f"{url}/moto-api/reset").raise_for_status()  # all servers of a process share one world
    keys = {"aws_access_key_id": "A" * 20, "aws_secret_access_key": "b" * 40}
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
    client.create_bucket(Bucket="crm-in")
    auth = {"specName": "Access Key", "params": {"s3AccessKey": "A" * 20, "s3SecretKey": "b" * 40, "endpoint": url}}
    try:
        yield Source(
            "ecadc60c-7455-4d87-84dc-2a0e293d997b",
            auth,
            "crm-in/",
            lambda name, content: client.put_object(Bucket="crm-in", Key=name, Body=content),
            lambda name: client.delete_object(Bucket="crm-in", Key=name),
        )
    finally:
        client.close()
        server.stop()


def _sftp(server: SftpServer, root: str, spec_id: str) -> Source:
    name, params = server.auth

    def put(file: str, content: bytes) -> None:
        path = server.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    auth = {"specName": name, "params": {"domain": "127.0.0.1", "port": server.port, **params}}
    return Source(spec_id, auth, f"{root}/", put, lambda file: (server.root / file).unlink())


@contextlib.contextmanager
def sftp_openssh(world: SourceWorld, folder: Path) -> Iterator[Source]:
    """Run OpenSSH's server."""
    if SSHD is None:
        pytest.skip("needs OpenSSH's server (Debian package openssh-server)")
    with openssh_server(folder) as server:
        yield _sftp(server, str(server.root), "b7bf2577-4520-42c9-bae9-cad01560f7bc")


@contextlib.contextmanager
def sftp_asyncssh(world: SourceWorld, folder: Path) -> Iterator[Source]:
    """Run asyncssh's server."""
    with asyncssh_server(folder) as server:
        yield _sftp(server, "", "bf367b0d-3d9b-4060-b67b-0d3d9bd06094")
