"""How many one-event POSTs a second the streaming inlet takes, synced to the log before each answer.

Guards against the complaint that "ingestion is the bottleneck": the figures are requests a second of one server process, and the
CPU it spends per request. The client runs in another process and only writes and counts bytes.

    python -m benchmarks.inlet --connections 128 --seconds 5
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvloop
from sqlalchemy import insert

from headrace.api.inlet import InletApp, quieten_collector
from headrace.clock import SystemClock
from headrace.ingest.commit import GroupCommit
from headrace.ingest.counting import InletCounter
from headrace.ingest.inlets import Inlets
from headrace.ingest.mapping import MappingSets
from headrace.ingest.streaming import StreamingIntake
from headrace.ingest.targets import Targets
from headrace.model import Sandbox
from headrace.schemas import EVENT_CLASS, SchemaRegistry
from headrace.storage.control import ControlStore
from headrace.storage.control.base import RevisionPage
from headrace.storage.control.tables import connections, inlets
from headrace.storage.log.lmdb import LmdbLog

INLET = "a" * 64
ORGANIZATION = "ACME@AdobeOrg"
CONTENT_TYPE = "application/vnd.adobe.xed-full+json;version=1"
WARM_UP_SECONDS = 1.0


@dataclass(frozen=True)
class _Dataset:
    number: int = 1
    id: str = "dataset"
    schema_id: str = EVENT_CLASS
    is_validation_disabled: bool = False
    body: Mapping[str, Any] = field(default_factory=dict)


class _Datasets:
    def dataset(self, sandbox: Sandbox, dataset_id: str) -> _Dataset:
        return _Dataset()


def make_app(folder: Path, max_linger_ms: int) -> InletApp:
    """Return the inlet on real stores."""
    clock = SystemClock()
    control = ControlStore(f"sqlite:///{folder}/control.sqlite", RevisionPage(folder / "revision"))
    control.create_tables()
    row = {"sandbox": 1, "spec_id": "", "base_connection_id": "", "state": "enabled", "etag": "", "secrets": b""}
    with control.write() as transaction:
        body = {"auth": {"params": {"dataType": "xdm", "name": "shop"}}}
        transaction.execute(insert(connections).values(id="c", kind="base", body=body, created_at=1, updated_at=1, **row))
        transaction.execute(insert(inlets).values(id=INLET, sandbox=1, connection_id="c"))
    sandbox = Sandbox(1, "", "prod", "production", True, ORGANIZATION)
    schemas = SchemaRegistry(control, clock, "acme")
    log = LmdbLog(folder / "log", folder / "bells")
    records, quarantine = log.topic("records"), log.topic("quarantine")
    targets = Targets(_Datasets(), schemas, MappingSets(control, schemas, clock))
    commit = GroupCommit(records, quarantine, max_linger_ms=max_linger_ms)
    intake = StreamingIntake(targets, commit, clock)
    return InletApp(Inlets(control, lambda _: sandbox), intake, InletCounter(records, quarantine), clock, lambda _: True)


async def _serve(folder: Path, port: int, max_linger_ms: int) -> None:
    app = make_app(folder, max_linger_ms)
    quieten_collector()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: app.connection(set(), lambda _: asyncio.Protocol()), "127.0.0.1", port, backlog=2048
    )
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()
    server.close()
    app.close()


def serve(folder: Path, port: int, max_linger_ms: int) -> None:
    uvloop.run(_serve(folder, port, max_linger_ms))


def event(number: int) -> dict[str, Any]:
    """Return an event of about 1 KB."""
    return {
        "_id": f"{number:032d}",
        "timestamp": "2026-01-02T03:04:05Z",
        "eventType": "web.webpagedetails.pageViews",
        "producedBy": "self",
        "identityMap": {
            "ECID": [{"id": f"{number:038d}", "primary": True, "authenticatedState": "ambiguous"}],
            "Email": [{"id": f"person{number}@shop.example", "authenticatedState": "authenticated"}],
            **{f"CRM{index}": [{"id": f"{number:024d}", "primary": False}] for index in range(8)},
        },
    }


def request_of(entities: list[dict[str, Any]], *, is_batch: bool) -> bytes:
    ref = {"id": EVENT_CLASS, "contentType": CONTENT_TYPE}
    header = {"schemaRef": ref, "imsOrgId": ORGANIZATION, "datasetId": "dataset", "source": {"name": "shop"}}
    messages = [{"header": header, "body": {"xdmMeta": {"schemaRef": ref}, "xdmEntity": entity}} for entity in entities]
    body = json.dumps({"messages": messages} if is_batch else messages[0]).encode()
    path = f"/collection/batch/{INLET}" if is_batch else f"/collection/{INLET}"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: */*\r\n"
        f"User-Agent: bench\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """Sends a request, waits for the answer's end, sends the next."""

    def __init__(self, requests: list[bytes], times: list[float], failures: list[bytes]) -> None:
        self._requests, self._times, self._failures = requests, times, failures
        self._next = 0
        self.is_stopped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        self._buffer = b""
        self._started = time.perf_counter()
        self._transport.write(self._requests[self._next % len(self._requests)])
        self._next += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        if head[9:12] not in (b"200", b"207") or b"statusCode" in body:
            self._failures.append(self._buffer[:400])
        self._times.append(time.perf_counter() - self._started)
        if self.is_stopped:
            self._transport.close()
        else:
            self._send()


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(port: int, pid: int, connection_count: int, seconds: float, batch: int) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    times: list[float] = []
    failures: list[bytes] = []
    open_ones: list[_Connection] = []
    for lane in range(connection_count):
        numbers = range(lane * 1000, lane * 1000 + 8 * batch)
        requests = [
            request_of([event(number) for number in numbers[start : start + batch]], is_batch=batch > 1)
            for start in range(0, len(numbers), batch)
        ]
        make = partial(_Connection, requests, times, failures)
        _, protocol = await loop.create_connection(make, "127.0.0.1", port)
        open_ones.append(protocol)
    await asyncio.sleep(WARM_UP_SECONDS)
    times.clear()
    started, cpu_before = time.perf_counter(), _cpu_seconds(pid)
    await asyncio.sleep(seconds)
    elapsed, used = time.perf_counter() - started, _cpu_seconds(pid) - cpu_before
    ordered = sorted(times)
    for protocol in open_ones:
        protocol.is_stopped = True
    await asyncio.sleep(0.2)
    if failures:
        raise SystemExit(f"{len(failures)} requests failed, the first with {failures[0]!r}")
    return {
        "requests_per_second": round(len(ordered) / elapsed),
        "events_per_second": round(len(ordered) * batch / elapsed),
        "server_cpu_share": round(used / elapsed, 2),
        "server_cpu_us_per_event": round(used / (len(ordered) * batch) * 1e6, 1),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 0.1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("The server does not answer.")


def run(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    port = _free_port()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, port, arguments.linger_ms))
    process.start()
    try:
        _wait_for(port)
        assert process.pid is not None
        return uvloop.run(load(port, process.pid, arguments.connections, arguments.seconds, arguments.batch))
    finally:
        process.terminate()
        process.join(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--batch", type=int, default=1, help="events a call; more than 1 uses the batch endpoint")
    parser.add_argument("--linger-ms", type=int, default=2)
    arguments = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        found = run(Path(folder), arguments)
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "commit": commit}
    json.dump({"benchmark": "inlet", **vars(arguments), **found, "machine": machine}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
