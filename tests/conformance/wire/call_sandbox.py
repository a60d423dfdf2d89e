"""Sandbox management."""

from itertools import count
from typing import Any

import httpx

from tests.conformance.wire.calls import covers
from tests.conformance.wire.operations import SANDBOX
from tests.conformance.wire.world import WireWorld
from tests.integration.world import checked

BASE = SANDBOX.base
_NUMBERS = count(1)


def _body() -> dict[str, Any]:
    name = f"wire-{next(_NUMBERS)}"
    return {"name": name, "title": f"Title of {name}", "type": "development"}


def _new(world: WireWorld) -> str:
    body = _body()
    checked(world.call("POST", f"{BASE}/sandboxes", body))
    return str(body["name"])


def _shown(world: WireWorld, name: str) -> Any:
    return checked(world.call("GET", f"{BASE}/sandboxes/{name}")).json()


@covers(SANDBOX, "GET /")
def list_usable(world: WireWorld) -> httpx.Response:
    return world.call("GET", f"{BASE}/")


@covers(SANDBOX, "GET /sandboxTypes")
def list_types(world: WireWorld) -> httpx.Response:
    return world.call("GET", f"{BASE}/sandboxTypes")


@covers(SANDBOX, "GET /sandboxes")
def list_all(world: WireWorld) -> httpx.Response:
    name = _new(world)
    answer = world.call("GET", f"{BASE}/sandboxes")
    assert name in [item["name"] for item in answer.json()["sandboxes"]]
    return answer


@covers(SANDBOX, "POST /sandboxes")
def create(world: WireWorld) -> httpx.Response:
    body = _body()
    answer = world.call("POST", f"{BASE}/sandboxes", body)
    assert _shown(world, body["name"])["title"] == body["title"]
    return answer


@covers(SANDBOX, "GET /sandboxes/{n}")
def get(world: WireWorld) -> httpx.Response:
    return world.call("GET", f"{BASE}/sandboxes/{_new(world)}")


@covers(SANDBOX, "PATCH /sandboxes/{n}")
def rename(world: WireWorld) -> httpx.Response:
    name = _new(world)
    answer = world.call("PATCH", f"{BASE}/sandboxes/{name}", {"title": "Renamed"})
    assert _shown(world, name)["title"] == "Renamed"
    return answer


@covers(SANDBOX, "PUT /sandboxes/{n}")
def reset(world: WireWorld) -> httpx.Response:
    return world.call("PUT", f"{BASE}/sandboxes/{_new(world)}", {"action": "reset"})


@covers(SANDBOX, "DELETE /sandboxes/{n}")
def delete(world: WireWorld) -> httpx.Response:
    name = _new(world)
    answer = world.call("DELETE", f"{BASE}/sandboxes/{name}")
    assert name not in [item["name"] for item in world.call("GET", f"{BASE}/").json()["sandboxes"]]
    return answer
