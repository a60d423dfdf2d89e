"""A process that merges files is killed at every step in turn; what the next one finds is all rows, once, and no waste for ever.

The process is ended with `os._exit` in the place of one call after the other: every sync, every deletion, every commit to the
catalog, just before it and just after it.
"""

import multiprocessing
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.storage.lake import LakeRow, TableId
from headrace.storage.lake.arrow import entity_schema
from headrace.storage.lake.iceberg import IcebergLake

TABLE = TableId(1, "visits")
SCHEMA = entity_schema({"properties": {"_id": {"type": "string"}, "timestamp": {"type": "string", "format": "date-time"}}})
DAY_MS = 86_400_000
NOW_MS = 20_000 * DAY_MS
EXPIRED_MS = 1_709_251_200_000  # 2024-03-01
KILLED = 9
FILES = 4


def upkeep(lake: IcebergLake) -> None:
    """Do everything that upkeep does: merge, remove rows, delete what is not shown."""
    merge = lake.begin_compaction(TABLE, now_ms=NOW_MS + DAY_MS)
    if merge is not None:
        merge.commit()
    expiry = lake.begin_expiry(TABLE, before_ms=EXPIRED_MS)
    if expiry is not None:
        expiry.commit()
    lake.discard(TABLE, lake.replaced(TABLE))


def run_and_die(folder: str, call: int) -> None:
    """Do the upkeep in a process that ends at the given call, before it (odd) or after it (even)."""
    left = call

    def passing(function: Callable[..., Any]) -> Callable[..., Any]:
        def call_or_die(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os._exit(KILLED)
            result = function(*arguments, **named)
            left -= 1
            if left == 0:
                os._exit(KILLED)
            return result

        return call_or_die

    lake = IcebergLake(Path(folder))
    os.fsync = passing(os.fsync)
    Path.unlink = passing(Path.unlink)  # type: ignore[method-assign]
    type(lake._catalog).commit_table = passing(type(lake._catalog).commit_table)  # type: ignore[method-assign]
    upkeep(lake)
    os._exit(0)


def fill(lake: IcebergLake) -> None:
    for number in range(FILES):
        rows = [
            LakeRow({"_id": f"e{number}", "timestamp": f"2024-0{number + 1}-01T09:00:00Z"}, 2 * number, 0, NOW_MS),
            LakeRow({"_id": f"f{number}", "timestamp": "2025-01-01T00:00:00Z"}, 2 * number + 1, 0, NOW_MS),
        ]
        lake.append(TABLE, SCHEMA, f"b{number}", rows, committed_offset=2 * number + 2)


def expected(*, is_expired: bool) -> list[str]:
    gone = {"e0", "e1"} if is_expired else set()
    return [name for number in range(FILES) for name in (f"e{number}", f"f{number}") if name not in gone]


def check(lake: IcebergLake) -> None:
    names = [row.entity["_id"] for row in lake.read(TABLE)]
    assert names in (expected(is_expired=False), expected(is_expired=True))
    assert lake.row_count(TABLE) == len(names)
    assert lake.committed_offset(TABLE) == 2 * FILES
    for number in range(FILES):
        own = [row.entity["_id"] for row in lake.read(TABLE, batch_id=f"b{number}")]
        assert own == [name for name in names if name.endswith(str(number))]


def files_beside_the_table(lake: IcebergLake) -> set[Path]:
    folder = lake.files(TABLE)[0].path.parent
    return set(folder.iterdir()) - {file.path for file in lake.files(TABLE)}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_at_any_step_loses_and_doubles_nothing(tmp_path: Path, stride: int) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    lake = IcebergLake(tmp_path / "lake")
    fill(lake)
    lake.close()
    call, exit_code = 0, KILLED
    while exit_code == KILLED:
        call += stride
        folder = tmp_path / f"killed-{call}"
        shutil.copytree(tmp_path / "lake", folder)
        process = context.Process(target=run_and_die, args=(str(folder), call))
        process.start()
        process.join()
        exit_code = process.exitcode or 0
        lake = IcebergLake(folder)
        check(lake)
        upkeep(lake)
        assert [row.entity["_id"] for row in lake.read(TABLE)] == expected(is_expired=True)
        assert len(lake.files(TABLE)) == 1
        assert files_beside_the_table(lake) == set()
        lake.close()
        shutil.rmtree(folder)
    assert exit_code == 0
    assert call > 50


def test_the_next_writer_goes_on_where_the_killed_one_was(tmp_path: Path) -> None:
    lake = IcebergLake(tmp_path / "lake")
    fill(lake)
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=run_and_die, args=(str(tmp_path / "lake"), 8))
    process.start()
    process.join()
    assert process.exitcode == KILLED
    again = lake.append(TABLE, SCHEMA, "b9", [LakeRow({"_id": "e3"}, 7, 0, NOW_MS)], committed_offset=2 * FILES)
    assert not again.is_new
    lake.append(TABLE, SCHEMA, "b9", [LakeRow({"_id": "new"}, 8, 0, NOW_MS)], committed_offset=9)
    assert [row.entity["_id"] for row in lake.read(TABLE)][-1] == "new"
    assert lake.row_count(TABLE) == 2 * FILES + 1
    with sqlite3.connect(tmp_path / "lake" / "catalog.sqlite") as catalog:
        assert catalog.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    lake.close()
