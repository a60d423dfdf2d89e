"""Apache Spark, with Iceberg's own runtime, reads the lake straight from its folder and sees what Headrace sees."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.storage.lake import LakeRow, TableId
from headrace.storage.lake.arrow import META_NAMES, entity_schema
from headrace.storage.lake.iceberg import IcebergLake

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PYTHON = Path(__file__).resolve().parents[2] / ".spark" / "bin" / "python"
READER = Path(__file__).with_name("spark_reader.py")
TABLE = TableId(7, "visits")
NOW_MS = 1_770_000_000_000
DAY_MS = 86_400_000
IDENTITIES = {
    "type": "object",
    "additionalProperties": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "string"}}}},
}
NARROW = {
    "_id": {"type": "string"},
    "timestamp": {"type": "string", "format": "date-time"},
    "first-name": {"type": "string"},
    "person": {"type": "object", "properties": {"age": {"type": "integer", "meta:xdmType": "int"}}},
    "identityMap": IDENTITIES,
    "anything": {"type": "object"},
}
WIDE = {
    **NARROW,
    "person": {"type": "object", "properties": {"age": {"type": "integer", "meta:xdmType": "long"}, "vip": {"type": "boolean"}}},
    "tags": {"type": "array", "items": {"type": "string"}},
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IcebergLake]:
    """A table that has been through everything: grown, merged, with batches and rows taken out, and appended to again."""
    opened = IcebergLake(tmp_path_factory.mktemp("home") / "lake")
    for number in range(10):
        append(opened, number)
    merge = opened.begin_compaction(TABLE, now_ms=NOW_MS + DAY_MS)
    assert merge is not None
    assert merge.commit() is not None
    opened.delete_batch(TABLE, "b3")
    expiry = opened.begin_expiry(TABLE, before_ms=NOW_MS + 2)
    assert expiry is not None
    assert expiry.commit() is not None
    append(opened, 10)
    opened.discard(TABLE, opened.replaced(TABLE))
    append(opened, 11)
    yield opened
    opened.close()


def append(lake: IcebergLake, number: int) -> None:
    entity: dict[str, Any] = {
        "_id": f"e{number}",
        "timestamp": instant(NOW_MS + number),
        "first-name": f"Ada {number}",
        "person": {"age": number} if number < 5 else {"age": number + 2**40, "vip": True},
        "identityMap": {"Email": [{"id": f"{number}@example.com"}, {"id": "x"}], "ECID": []},
        "anything": {"deep": [number]},
    }
    if number >= 5:
        entity["tags"] = ["a", "b"]
    schema = entity_schema({"properties": NARROW if number < 5 else WIDE})
    lake.append(TABLE, schema, f"b{number}", [LakeRow(entity, number, 0, NOW_MS)], committed_offset=number + 1)


def instant(at_ms: int) -> str:
    return f"2026-02-02T02:40:{at_ms % 60_000 / 1000:06.3f}Z"


@pytest.fixture(scope="module")
def answers(lake: IcebergLake, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if shutil.which("java") is None:
        pytest.skip("needs Java")
    if not PYTHON.exists():
        pytest.skip("needs Apache Spark: make spark")
    folder = tmp_path_factory.mktemp("spark")
    home = lake.files(TABLE)[0].path.parents[4]
    command: list[str | Path] = [PYTHON, READER, home, "sandbox_7.visits", folder / "answer.json"]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads((folder / "answer.json").read_text())
    return found


def test_spark_sees_every_row_and_every_value(lake: IcebergLake, answers: dict[str, Any]) -> None:
    expected = [dict(row.entity) for row in lake.read(TABLE)]
    assert [row["_id"] for row in expected] == [f"e{number}" for number in (2, 4, 5, 6, 7, 8, 9, 10, 11)]
    for row in expected:
        row["anything"] = json.dumps(row["anything"], separators=(",", ":"))  # kept as text
    found = [{name: value for name, value in row.items() if name not in META_NAMES} for row in answers["rows"]]
    assert found == expected
    assert (answers["rows"][0]["_headrace_offset"], answers["rows"][0]["_headrace_batch"]) == (2, "b2")


def test_spark_reads_the_metadata_file_without_the_catalog(answers: dict[str, Any]) -> None:
    assert answers["rows_of_the_file"] == 9


def test_spark_finds_batches_in_merged_files(lake: IcebergLake, answers: dict[str, Any]) -> None:
    assert answers["files"] == len(lake.files(TABLE)) == 3
    assert answers["batches"] == {f"b{number}": 1 for number in (2, 4, 5, 6, 7, 8, 9, 10, 11)}
    assert answers["one_batch"] == 1


def test_spark_sees_only_the_snapshots_that_were_kept(answers: dict[str, Any]) -> None:
    assert answers["operations"] == ["overwrite", "append", "append"]
