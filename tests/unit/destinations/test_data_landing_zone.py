"""Data Landing Zone: a folder of one's own, and what leaves it."""

import asyncio
from pathlib import Path

import pytest

from headrace.activation.landing_zone import KEPT_MS, remove_old_files
from headrace.clock import ManualClock
from headrace.destinations import registry
from headrace.destinations.base import Context
from headrace.destinations.data_landing_zone import DataLandingZone
from headrace.destinations.errors import DestinationRefused


def opened(folder: Path, clock: ManualClock, path: str = "out") -> DataLandingZone:
    destination = registry.open_destination(
        DataLandingZone.connection_spec_id,
        auth_name="",
        auth_params={},
        target_params={"path": path, "fileType": "CSV", "compression": "NONE"},
        context=Context(clock=clock, sandbox_name="prod", landing_zone=folder),
    )
    assert isinstance(destination, DataLandingZone)
    return destination


def put(destination: DataLandingZone, name: str) -> None:
    async def upload() -> None:
        async with destination.begin(destination.folder(), "run-1") as upload:
            await upload.commit({name: b"x"})

    asyncio.run(upload())


@pytest.mark.parametrize("path", ["../other", "a/../../other", "../prod-2"])
def test_no_path_leads_out_of_the_zone(tmp_path: Path, path: str) -> None:
    with pytest.raises(DestinationRefused, match="leaves the landing zone"):
        opened(tmp_path, ManualClock(0), path).begin(path, "run-1")


@pytest.mark.parametrize("path", ["/", "", "/a/b", "a/"])
def test_a_path_is_taken_from_the_zones_own_root(tmp_path: Path, path: str) -> None:
    put(opened(tmp_path, ManualClock(0), path), "a.csv")
    assert (tmp_path / "prod" / path.strip("/") / "a.csv").read_bytes() == b"x"


def test_files_live_seven_days_in_the_servers_own_time(tmp_path: Path) -> None:
    clock = ManualClock(1_800_000_000_000)
    put(opened(tmp_path, clock), "old.csv")
    clock.move_to(clock.now_ms() + 1_000)
    put(opened(tmp_path, clock), "new.csv")
    assert remove_old_files(tmp_path, clock.now_ms() - 1_001 + KEPT_MS) == 0
    assert remove_old_files(tmp_path, clock.now_ms() - 1_000 + KEPT_MS) == 1
    assert [path.name for path in (tmp_path / "prod" / "out").iterdir()] == ["new.csv"]


def test_a_zone_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "prod").write_bytes(b"a file where the zone should be")
    with pytest.raises(DestinationRefused):
        asyncio.run(opened(tmp_path, ManualClock(0)).check())
