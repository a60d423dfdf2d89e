"""What is deleted leaves the running server's stores, and what comes in batches is counted as records."""

import io
from pathlib import Path

import pyarrow.parquet as pq

from headrace.testing.server import Server

from .world import CATALOG, EXPORT, SANDBOXES, World, checked, until


def tables(server: Server) -> set[str]:
    """Return the folders of all lake tables, as ``<sandbox's number>/<table>``."""
    folder = server.home / "lake" / "warehouse"
    return {str(path.relative_to(folder)) for path in folder.glob("*/*")}


def newest(found: set[str]) -> set[str]:
    """Return the tables of the newest sandbox: the lake may still write what earlier tests have sent to others."""
    last = max((int(name.split("/")[0]) for name in found), default=0)
    return {name for name in found if int(name.split("/")[0]) == last}


def test_deleted_dataset_leaves_profile_and_lake(filled: World, server: Server) -> None:
    before = tables(server)
    filled.send(filled.customer("c-1", person={"name": {"firstName": "Ada"}}))
    filled.send(filled.event("e-1", "2026-01-01T00:00:00Z", "web.visit", "c-1"))
    filled.settle()
    made = newest(tables(server) - before)
    assert len(made) == 2
    assert filled.profile("c-1")["person"]["name"]["firstName"] == "Ada"
    filled.call("DELETE", f"{CATALOG}/dataSets/{filled.profiles}")
    left = until(lambda: made & tables(server), lambda found: len(found) == 1)
    assert "behaviour" in next(iter(left))
    filled.settle()
    assert "person" not in (filled.profile("c-1") or {})


def test_reset_sandbox_leaves_no_profile_table_or_file(filled: World, server: Server) -> None:
    before = tables(server)
    filled.send(filled.customer("c-1", person={"name": {"firstName": "Ada"}}))
    filled.settle()
    made = newest(tables(server) - before)
    profiles = filled.get("/headrace/progress")["profiles"]
    zone: Path = server.home / "landing-zone" / filled.sandbox
    zone.mkdir(parents=True, exist_ok=True)
    (zone / "old.csv").write_text("a")
    filled.api.call("prod", "PUT", f"{SANDBOXES}/sandboxes/{filled.sandbox}", {"action": "reset"})
    until(lambda: made & tables(server), lambda found: not found)
    until(lambda: (zone / "old.csv").exists(), lambda exists: not exists)
    filled.fill()
    filled.settle()
    assert filled.profile("c-1") is None
    assert filled.get("/headrace/progress")["profiles"] == profiles - 1


def test_small_files_are_merged_and_each_batch_can_still_be_downloaded(filled: World, server: Server) -> None:
    before = tables(server)
    for number in range(8):
        filled.send(filled.customer(f"c-{number}", person={"name": {"firstName": f"Ada {number}"}}))
        filled.settle()
    (table,) = newest(tables(server) - before)
    folder = server.home / "lake" / "warehouse" / table / "data"
    until(lambda: list(folder.glob("merged-*.parquet")), lambda found: len(found) == 1)
    names = set()
    for batch_id in filled.get(f"{CATALOG}/batches", dataSet=filled.profiles):
        (entry,) = filled.get(f"{EXPORT}/batches/{batch_id}/files")["data"]
        (part,) = filled.get(f"{EXPORT}/files/{entry['dataSetFileId']}")["data"]
        file = checked(filled.call("GET", f"{EXPORT}/files/{entry['dataSetFileId']}", params={"path": part["name"]}))
        assert part["name"].startswith(batch_id)
        assert len(file.content) == int(part["length"])
        (row,) = pq.read_table(io.BytesIO(file.content)).to_pylist()
        names.add(row["person"]["name"]["firstName"])
    assert names == {f"Ada {number}" for number in range(8)}
