"""Headrace as it is measured: the real server, set up through its public API for the job of the benchmarks."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks import audiences, machine, workload
from headrace.client import EVENT_CLASS, PROFILE_CLASS, STREAM_DESTINATION_FLOW, Client, Credentials

ROLES = ("gateway", "pipeline", "lake_writer", "scheduler", "activation")
_IDENTITY_MAP = "https://ns.adobe.com/xdm/context/identitymap"
_PERSON = "https://ns.adobe.com/xdm/context/profile-person-details"
_CONTACT = "https://ns.adobe.com/xdm/context/profile-personal-details"
_ROWS_A_FILE = 20_000
_READY_SECONDS = 120.0


class Product:
    """A running server.

    Attributes:
        name: What the figures are called.
        url: Where it listens.
        client: A client of it.
        tenant: Name under which the tenant's own fields stand.
        envelope: A message around an event, with ``@ENTITY@`` in its place.
        ready_seconds: From the start of the process until every role ran.
    """

    name = "headrace"

    def __init__(self, home: Path) -> None:
        """Prepare a server in ``home``."""
        self._home = home
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._profiles = ""
        self._inlet = ""
        self.client: Client
        self.tenant = ""
        self.envelope = ""
        self.ready_seconds = 0.0

    # --- the process ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it and wait until every role runs."""
        self._home.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "headrace", "serve", "--home", str(self._home), "--port", str(self._port)]
        command += ["--allow-private-destinations", "--log-level", "WARNING"]
        started = time.perf_counter()
        with (self._home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        anonymous = Client(self.url, Credentials("", "", ""))
        try:
            anonymous.wait_until_ready(_READY_SECONDS)
        except TimeoutError as error:
            raise RuntimeError((self._home / "server.log").read_text()[-3000:]) from error
        finally:
            anonymous.close()
        self.ready_seconds = time.perf_counter() - started
        self.client = Client(self.url, Credentials.of_home(self._home), timeout_seconds=600)

    def stop(self) -> None:
        """Stop it in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)

    def kill(self) -> None:
        """Kill all its processes at once, as a power cut would."""
        assert self._process is not None
        for pid in machine.children_of(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def pids(self) -> dict[str, int]:
        """Return the process of each role."""
        run = self._home / "run"
        found = {role: int(json.loads((run / f"{role}.json").read_text())["pid"]) for role in ROLES}
        assert self._process is not None
        return {"supervisor": self._process.pid, **found}

    # --- the job ----------------------------------------------------------------------------------------------------------

    def set_up(self, sink_url: str, audience_count: int) -> None:
        """Create schemas, datasets, inlet, audiences and the dataflow to the receiver, through the public API."""
        client = self.client
        self.tenant = client.tenant_namespace()
        client.create_namespace(workload.CUSTOMER, "Customer number")
        profile_fields = client.create_field_group("Bench customer fields", workload.PROFILE_FIELDS, extends=[PROFILE_CLASS])
        event_fields = client.create_field_group("Bench event fields", workload.EVENT_FIELDS, extends=[EVENT_CLASS])
        profile_groups = [_IDENTITY_MAP, _PERSON, _CONTACT, profile_fields["$id"]]
        profile_schema = client.create_schema("Bench customers", PROFILE_CLASS, profile_groups)["$id"]
        event_schema = client.create_schema("Bench behaviour", EVENT_CLASS, [_IDENTITY_MAP, event_fields["$id"]])["$id"]
        for schema in (profile_schema, event_schema):
            client.enable_schema(schema)
        self._profiles = client.create_dataset("Bench customers", profile_schema)
        events = client.create_dataset("Bench behaviour", event_schema)
        self._inlet = client.create_inlet("bench")
        self.envelope = json.dumps(client.message(event_schema, events, {"@": 1}), separators=(",", ":"))
        self.envelope = self.envelope.replace('{"@":1}', "@ENTITY@")
        self._create_audiences(sink_url, audience_count)

    def _create_audiences(self, sink_url: str, count: int) -> None:
        ids: dict[int, str] = {}
        for item in audiences.generate(count):
            created = self.client.create_audience(item.name, audiences.pql(item, self.tenant, ids))
            assert created["evaluationInfo"]["continuous"]["enabled"], created
            ids[item.number] = created["id"]
        flow = self.client.create_flow(
            "Bench", "HTTP API", STREAM_DESTINATION_FLOW, {"httpEndpoint": sink_url}, auth={"specName": "None", "params": {}}
        )
        for attribute in ("person.name", "homeAddress.city"):
            self.client.add_attribute(flow, attribute)
        self.client.add_audience(flow, ids[audiences.SIGNAL], "signal")

    def inlet_url(self, *, is_batch: bool) -> str:
        """Return where events go."""
        return self._inlet.replace("/collection/", "/collection/batch/") if is_batch else self._inlet

    def load_profiles(self, count: int) -> int:
        """Load the customer records of some persons as batches of JSON lines, until they are profiles; returns the bytes."""
        total = 0
        for start in range(0, count, _ROWS_A_FILE):
            persons = range(start, min(count, start + _ROWS_A_FILE))
            content = b"\n".join(workload.encoded(workload.profile(person, self.tenant)) for person in persons)
            total += len(content)
            batch = self.client.load_file(self._profiles, f"customers-{start}.json", content)
            _wait(lambda batch=batch: self._is_loaded(batch), 600)  # type: ignore[misc]
        self.wait_until_settled(600)
        return total

    def _is_loaded(self, batch_id: str) -> bool:
        batch = self.client.batch(batch_id)
        assert batch["status"] not in ("failed", "failure"), batch
        return bool(batch["status"] == "success")

    def wait_until_settled(self, timeout_seconds: float) -> None:
        """Wait until everything is applied, delivered and in the lake."""
        self.client.wait_until_settled(timeout_seconds)

    def headers(self) -> dict[str, str]:
        """Return what every call of the API carries."""
        credentials = Credentials.of_home(self._home)
        return {
            "Authorization": f"Bearer {self.client.token()}",
            "x-api-key": credentials.client_id,
            "x-gw-ims-org-id": credentials.organization_id,
            "x-sandbox-name": credentials.sandbox,
        }

    def progress(self) -> dict[str, Any]:
        """Return the counters."""
        return self.client.progress()


def _wait(condition: Callable[[], bool], timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(folder: Path, sink_url: str, audience_count: int) -> Iterator[Product]:
    """Run a server that is set up for the job; its folder is removed afterwards."""
    product = Product(folder / "home")
    try:
        product.start()
        product.set_up(sink_url, audience_count)
        yield product
    finally:
        product.stop()
        shutil.rmtree(folder / "home", ignore_errors=True)
