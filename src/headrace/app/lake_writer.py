"""Puts the lake writer together."""

from headrace.app.home import FLUSH_BELL, Home
from headrace.roles.lake_catalog import CatalogOfLake
from headrace.roles.lake_position import PositionFile
from headrace.roles.lake_seen import SeenEvents
from headrace.roles.lake_writer import LakeWriter
from headrace.storage.lake.iceberg import IcebergLake
from headrace.storage.state.rocksdb import RocksState

BELLS = ("records", "control", "clock", FLUSH_BELL)


def make(home: Home) -> LakeWriter:
    """Return the lake writer role over the stores of a home folder."""
    catalog = CatalogOfLake(home.sandboxes, home.catalog, home.batches, home.schemas, home.clock)
    return LakeWriter(
        IcebergLake(home.path / "lake"),  # the role closes it, and opens another after a fault
        home.log,
        catalog,
        SeenEvents(RocksState(home.path / "lake" / "seen")),
        PositionFile(home.path / "lake" / "position.json"),
        home.clock,
        home.path,
        flush_seconds=home.settings.lake_flush_seconds,
        flush_bytes=home.settings.lake_flush_bytes,
    )
