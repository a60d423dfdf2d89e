"""What only the Iceberg lake can do or get wrong."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from headrace.storage.errors import StorageFull
from headrace.storage.lake import LakeRow, TableId, iceberg, parquet
from headrace.storage.lake.arrow import entity_schema
from headrace.storage.lake.iceberg import IcebergLake

TABLE = TableId(1, "visits")
SCHEMA = entity_schema(
    {
        "properties": {
            "_id": {"type": "string"},
            "timestamp": {"type": "string", "format": "date-time"},
            "first-name": {"type": "string"},
        }
    }
)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[IcebergLake]:
    opened = IcebergLake(tmp_path / "lake")
    yield opened
    opened.close()


def row(id_: str, offset: int) -> LakeRow:
    return LakeRow({"_id": id_, "timestamp": "2024-03-01T09:00:00Z", "first-name": "Ada"}, offset, 0, 0)


def add(lake: IcebergLake, number: int) -> None:
    lake.append(TABLE, SCHEMA, f"batch-{number}", [row(f"e{number}", number)], committed_offset=number + 1)


def test_another_process_sees_what_was_committed(lake: IcebergLake, tmp_path: Path) -> None:
    add(lake, 0)
    other = IcebergLake(tmp_path / "lake")
    assert other.row_count(TABLE) == 1
    add(lake, 1)
    assert other.row_count(TABLE) == 2
    assert other.committed_offset(TABLE) == 2
    other.close()


def test_duckdb_reads_the_files_with_the_names_of_the_schema(lake: IcebergLake) -> None:
    add(lake, 0)
    wider = entity_schema({"properties": {"_id": {"type": "string"}, "score": {"type": "integer"}}})
    lake.append(TABLE, wider, "b2", [LakeRow({"_id": "x", "score": 4}, 1, 0, 0)], committed_offset=2)
    paths = [str(file.path) for file in lake.files(TABLE)]
    query = 'SELECT _id, "first-name", score, epoch_ms(timestamp) FROM read_parquet($1, union_by_name = true) ORDER BY _id'
    found = duckdb.connect().execute(query, [paths]).fetchall()
    assert found == [("e0", "Ada", None, 1_709_283_600_000), ("x", None, 4, None)]


def test_other_iceberg_engines_read_the_table(lake: IcebergLake, tmp_path: Path) -> None:
    add(lake, 0)
    catalog = SqlCatalog("headrace", uri=f"sqlite:///{tmp_path}/lake/catalog.sqlite", warehouse=str(tmp_path))
    found = catalog.load_table(("sandbox_1", "visits")).scan().to_arrow().to_pylist()
    catalog.engine.dispose()
    assert found[0]["_id"] == "e0"
    assert found[0]["first-name"] == "Ada"
    assert found[0]["_headrace_batch"] == "batch-0"


def test_a_table_that_was_moved_with_its_home_is_found(lake: IcebergLake, tmp_path: Path) -> None:
    add(lake, 0)
    lake.close()
    shutil.move(tmp_path / "lake", tmp_path / "moved")
    moved = IcebergLake(tmp_path / "moved")
    add(moved, 1)
    assert [item.entity["_id"] for item in moved.read(TABLE)] == ["e0", "e1"]
    assert moved.delete_batch(TABLE, "batch-0") == 1
    assert all(file.path.is_relative_to(tmp_path / "moved") for file in moved.files(TABLE))
    assert not (tmp_path / "lake").exists()
    moved.close()


def test_deleting_a_batch_drops_its_files_and_rewrites_none(lake: IcebergLake) -> None:
    add(lake, 0)
    add(lake, 1)
    kept = lake.files(TABLE, "batch-1")
    gone = lake.files(TABLE, "batch-0")[0].path
    lake.delete_batch(TABLE, "batch-0")
    assert lake.files(TABLE) == kept
    assert gone.exists()
    lake.purge(TABLE)
    assert not gone.exists()
    assert [item.entity["_id"] for item in lake.read(TABLE)] == ["e1"]


def test_old_snapshots_and_what_they_alone_named_are_tidied_up(lake: IcebergLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iceberg, "_SNAPSHOTS_BETWEEN_VACUUMS", 25)
    for number in range(60):
        add(lake, number)
    folder = lake.files(TABLE)[0].path.parent.parent
    assert lake.row_count(TABLE) == 60
    assert len(list((folder / "data").iterdir())) == 60
    assert len(list((folder / "metadata").iterdir())) < 120
    lake.purge(TABLE)
    assert len(list(lake.read(TABLE))) == 60


def test_a_large_append_is_cut_into_files(lake: IcebergLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 1)
    monkeypatch.setattr(parquet, "FILE_BYTES", 1)
    pending = lake.begin(TABLE, SCHEMA, "b1")
    for number in range(3):
        pending.add([row(str(number), number)])
    written = pending.commit(committed_offset=3)
    assert (written.file_count, written.row_count) == (3, 3)
    assert [item.entity["_id"] for item in lake.read(TABLE)] == ["0", "1", "2"]


def test_a_full_disk_is_said_so_and_changes_nothing(lake: IcebergLake, monkeypatch: pytest.MonkeyPatch) -> None:
    add(lake, 0)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        add(lake, 1)
    monkeypatch.undo()
    assert lake.row_count(TABLE) == 1
    add(lake, 1)
    assert [item.entity["_id"] for item in lake.read(TABLE)] == ["e0", "e1"]


def test_an_aborted_append_leaves_no_file(lake: IcebergLake, monkeypatch: pytest.MonkeyPatch) -> None:
    add(lake, 0)
    folder = lake.files(TABLE)[0].path.parent
    pending = lake.begin(TABLE, SCHEMA, "b1")
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 1)
    pending.add([row("x", 1)])
    assert len(list(folder.iterdir())) == 2
    pending.abort()
    assert len(list(folder.iterdir())) == 1


def test_files_hold_the_ids_of_their_columns(lake: IcebergLake) -> None:
    add(lake, 0)
    schema = pq.read_schema(lake.files(TABLE)[0].path)
    assert all(b"PARQUET:field_id" in field.metadata for field in schema)
