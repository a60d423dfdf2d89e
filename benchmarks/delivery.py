"""Delivery of changes to an HTTP endpoint: messages a second, and CPU per message.

Guards against the complaint that a real-time platform sends its messages in real time only while nobody is using it. One
profile a request, 64 connections, a receiver on the same machine; both share its cores.

    python -m benchmarks.delivery [--messages 40000] [--flows 1] [--clients]

``--clients`` also measures HTTP client libraries that are installed here: the reason for `destinations.transport.http`.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from headrace.activation.delivery_store import DeliveryStore
from headrace.activation.messages import MessageBuilder
from headrace.activation.triggers import AudienceFacts, MappedAudience
from headrace.clock import SystemClock
from headrace.destinations.base import Context, NoAuth
from headrace.destinations.http_api import HttpApi, HttpApiTarget
from headrace.destinations.transport.http import Endpoint, Http, encode_fields
from headrace.model import Change, Identity, MembershipChange, encode_change
from headrace.roles.activation import Activation, FlowPlan
from headrace.storage.log.lmdb import LmdbLog
from headrace.testing.receiver import Answer, Receiver

CONNECTIONS = 64
FLOW = "5e0fb6e1-1f0c-4c0e-9a7f-6a0c1f2b3d4e"
BODY = json.dumps({"person": {"name": {"firstName": "Ilse", "lastName": "Moreau"}}, "pad": "x" * 520}).encode()
HEADERS = {"Content-Type": "application/json", "x-headrace-flow-id": FLOW, "x-headrace-message-id": FLOW}


def receive(pipe: Connection) -> None:
    """Run the receiver in a process of its own until told to stop."""
    with Receiver(answer=lambda request: Answer(), is_recording=False) as receiver:
        pipe.send(receiver.url)
        pipe.recv()


def change_of(number: int) -> Change:
    """Return a change as the pipeline makes it: twelve mapped attributes, two identities, eight memberships."""
    since_ms = 1_800_000_000_000 + number
    return Change(
        sandbox=1,
        person_id=number.to_bytes(16, "big"),
        at_ms=1_800_000_000_000,
        memberships_changed=(MembershipChange(0, True, since_ms),),
        attributes_written=("person.name",),
        attributes_changed=(),
        are_identities_changed=False,
        attributes={
            "person": {"name": {"firstName": f"first-{number}", "lastName": f"last-{number}"}, "birthDate": "1991-06-02"},
            "personalEmail": {"address": f"p{number}@example.com"},
            "homeAddress": {"street1": "Rue Haute 1", "city": "Ghent", "postalCode": "9000", "countryCode": "BE"},
            "loyalty": {"tier": "gold", "points": number, "joinedAt": "2020-01-01T00:00:00Z"},
        },
        identities=(Identity(4, f"{number:038d}"), Identity(6, f"p{number}@example.com")),
        member_since=dict.fromkeys(range(8), since_ms),
        exited_at={},
    )


def plan_of(flow: str, url: str, clock: SystemClock) -> FlowPlan:
    """Return a dataflow that maps all of it."""
    builder = MessageBuilder(
        flow,
        sandbox=1,
        mapped=[MappedAudience(0)],
        attributes=["person", "personalEmail.address", "homeAddress", "loyalty"],
        audiences={number: AudienceFacts(number, f"audience-{number}", "ups", "mp-1") for number in range(8)},
        namespaces={4: "ECID", 6: "Email"},
    )
    context = Context(clock=clock, sandbox_name="prod", landing_zone=Path("unused"), allow_private_destinations=True)
    return FlowPlan(builder, "", lambda: HttpApi(auth=NoAuth(), target=HttpApiTarget(http_endpoint=url), context=context))


def measure_loop(messages: int, flows: int, url: str) -> dict[str, Any]:
    """Return figures of the delivery loop: changes in the log before, requests answered after."""
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as folder:
        topics = LmdbLog(Path(folder) / "log", Path(folder) / "bells")
        store = DeliveryStore(Path(folder))
        plans = [plan_of(f"{FLOW[:-1]}{number:x}", url, clock) for number in range(flows)]
        role = Activation(topics=topics, store=store, clock=clock, plans=lambda: plans, revision=lambda: 1)
        role.step()
        for start in range(0, messages, 1000):
            topics.topic("changes").append([encode_change(change_of(number)) for number in range(start, start + 1000)])
        started, cpu = time.perf_counter(), time.process_time()
        while role.step():
            pass
        seconds, spent = time.perf_counter() - started, time.process_time() - cpu
        delivered = sum(flow["delivered"] for flow in role.status()["flows"].values())
        role.close()
        store.close()
        topics.close()
    assert delivered == messages * flows, delivered
    return {"messages_per_second": round(delivered / seconds), "cpu_us_per_message": round(spent / delivered * 1e6, 1)}


async def measure_client(send: Callable[[], Awaitable[int]], requests: int) -> dict[str, Any]:
    """Return figures of one HTTP client."""
    left = requests

    async def work() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            assert await send() == 200

    await send()
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    seconds, spent = time.perf_counter() - started, time.process_time() - cpu
    return {"requests_per_second": round(requests / seconds), "cpu_us_per_request": round(spent / requests * 1e6, 1)}


async def own(url: str) -> dict[str, Any]:
    """Measure `destinations.transport.http`."""
    http, endpoint, fields = Http(allow_private=True, timeout_seconds=2), Endpoint(url), encode_fields(HEADERS)

    async def send() -> int:
        return (await http.post(endpoint, fields, BODY)).status

    try:
        return await measure_client(send, 40_000)
    finally:
        await http.close()


async def aiohttp(url: str) -> dict[str, Any]:
    """Measure aiohttp."""
    import aiohttp  # type: ignore[import-not-found]

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:

        async def send() -> int:
            async with session.post(url, data=BODY, headers=HEADERS) as reply:
                await reply.read()
                return int(reply.status)

        return await measure_client(send, 20_000)


async def httpx(url: str) -> dict[str, Any]:
    """Measure httpx."""
    import httpx

    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=CONNECTIONS)) as client:

        async def send() -> int:
            return (await client.post(url, content=BODY, headers=HEADERS)).status_code

        return await measure_client(send, 2_000)


async def pyreqwest(url: str) -> dict[str, Any]:
    """Measure pyreqwest, a client written in Rust."""
    from pyreqwest.client import ClientBuilder  # type: ignore[import-not-found]

    async with ClientBuilder().max_connections(CONNECTIONS).build() as client:

        async def send() -> int:
            reply = await client.post(url).headers(HEADERS).body_bytes(BODY).build().send()
            await reply.bytes()
            return int(reply.status)

        return await measure_client(send, 20_000)


def measure_clients(url: str) -> dict[str, Any]:
    """Return figures of all clients that are installed."""
    import uvloop

    found: dict[str, Any] = {}
    for client in (own, pyreqwest, aiohttp, httpx):
        try:
            found[client.__name__] = uvloop.run(client(url))
        except ImportError:
            found[client.__name__] = "not installed"
    return found


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--flows", type=int, default=1)
    parser.add_argument("--clients", action="store_true")
    arguments = parser.parse_args()
    here, there = multiprocessing.Pipe()
    receiver = multiprocessing.get_context("spawn").Process(target=receive, args=(there,))
    receiver.start()
    url = here.recv()
    try:
        measure_loop(2_000, 1, url)  # warm-up
        result: dict[str, Any] = {
            "benchmark": "delivery",
            "python": sys.version.split()[0],
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "commit": subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip(),
            "loop": measure_loop(arguments.messages, arguments.flows, url),
        }
        if arguments.clients:
            result["clients"] = measure_clients(url)
    finally:
        here.send("stop")
        receiver.join()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
