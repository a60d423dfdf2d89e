"""One world for all calls of a run."""

from collections.abc import Iterator

import pytest

from tests.conformance.wire.world import WireWorld, open_world


@pytest.fixture(scope="session")
def wire_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireWorld]:
    """A filled sandbox in a server of this process."""
    world = open_world(tmp_path_factory.mktemp("wire") / "home")
    yield world
    world.api.close()
    assert world.backstage is not None
    world.backstage.close()
