"""One server for the whole folder, a new sandbox for every test."""

import itertools
from collections.abc import Iterator

import pytest

from headrace.testing.server import Server

from .world import SANDBOXES, Api, World, checked

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server, on the machine's clock."""
    with Server(tmp_path_factory.mktemp("server") / "home") as running:
        yield running


@pytest.fixture(scope="session")
def api(server: Server) -> Iterator[Api]:
    """Calls as the technical account of the first start."""
    calls = Api(server)
    yield calls
    calls.close()


def new_sandbox(api: Api) -> World:
    """Make a sandbox that no other test knows."""
    name = f"test-{next(_NUMBERS)}"
    checked(api.call("prod", "POST", f"{SANDBOXES}/sandboxes", {"name": name, "title": name, "type": "development"}))
    return World(api, name)


@pytest.fixture
def world(api: Api) -> World:
    """An empty sandbox of the test's own."""
    return new_sandbox(api)


@pytest.fixture
def filled(world: World) -> World:
    """A sandbox with schemas, datasets and an inlet."""
    return world.fill()
