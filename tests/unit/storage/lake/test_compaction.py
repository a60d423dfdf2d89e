"""Small files become large ones: the same rows, the same batches, and nobody who reads or writes notices."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from headrace.storage.errors import StorageFull
from headrace.storage.lake import LakeRow, PendingRewrite, Rewritten, TableId, compaction, parquet
from headrace.storage.lake.arrow import entity_schema
from headrace.storage.lake.iceberg import IcebergLake

TABLE = TableId(1, "visits")
DAY_MS = 86_400_000
NOW_MS = 20_000 * DAY_MS
PROPERTIES: dict[str, Any] = {
    "_id": {"type": "string"},
    "timestamp": {"type": "string", "format": "date-time"},
    "first-name": {"type": "string"},
    "person": {"type": "object", "properties": {"first-name": {"type": "string"}}},
}
SCHEMA = entity_schema({"properties": PROPERTIES})


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[IcebergLake]:
    opened = IcebergLake(tmp_path / "lake")
    yield opened
    opened.close()


def row(number: int, *, at_ms: int = NOW_MS) -> LakeRow:
    entity = {"_id": f"e{number}", "timestamp": "2024-03-01T09:00:00.000Z", "person": {"first-name": f"Ada {number}"}}
    return LakeRow(entity, number, 0, at_ms)


def batch(number: int) -> str:
    return f"01HQ00000000000000000{number:05d}"


def add(lake: IcebergLake, *numbers: int, at_ms: int = NOW_MS) -> None:
    for number in numbers:
        rows = [row(number, at_ms=at_ms)]
        lake.append(TABLE, SCHEMA, batch(number), rows, committed_offset=number + 1)


def begin(lake: IcebergLake, *, now_ms: int = NOW_MS) -> PendingRewrite:
    pending = lake.begin_compaction(TABLE, now_ms=now_ms)
    assert pending is not None
    return pending


def compact(lake: IcebergLake, *, now_ms: int = NOW_MS) -> Rewritten:
    pending = begin(lake, now_ms=now_ms)
    while pending.advance():
        pass
    done = pending.commit()
    assert done is not None
    return done


def names(lake: IcebergLake, batch_id: str | None = None) -> list[str]:
    return [item.entity["_id"] for item in lake.read(TABLE, batch_id=batch_id)]


def on_disk(lake: IcebergLake) -> set[Path]:
    folder = lake.files(TABLE)[0].path.parent
    return set(folder.iterdir())


# --- what is merged -----------------------------------------------------------------------------------------------------------


def test_small_files_become_one_with_the_same_rows_and_the_same_offset(lake: IcebergLake) -> None:
    add(lake, *range(10))
    before = list(lake.read(TABLE))
    assert compact(lake) == Rewritten(10, 1, 0)
    assert list(lake.read(TABLE)) == before
    assert len(lake.files(TABLE)) == 1
    assert (lake.committed_offset(TABLE), lake.row_count(TABLE)) == (10, 10)
    again = lake.append(TABLE, SCHEMA, batch(9), [row(9)], committed_offset=10)
    assert (again.is_new, lake.row_count(TABLE)) == (False, 10)


def test_few_files_of_a_day_that_goes_on_are_left_alone(lake: IcebergLake) -> None:
    add(lake, *range(compaction.LEAST_FILES - 1))
    assert lake.begin_compaction(TABLE, now_ms=NOW_MS) is None


def test_files_of_a_day_that_is_over_become_one_and_days_stay_apart(lake: IcebergLake) -> None:
    add(lake, 0, 1)
    add(lake, 2, 3, 4, at_ms=NOW_MS + DAY_MS)
    later = NOW_MS + 2 * DAY_MS
    assert (compact(lake, now_ms=later).files_before, compact(lake, now_ms=later).files_before) == (2, 3)
    assert lake.begin_compaction(TABLE, now_ms=later) is None
    assert len(lake.files(TABLE)) == 2
    assert names(lake) == [f"e{number}" for number in range(5)]


def test_a_row_is_written_again_only_when_its_file_grows_several_times(lake: IcebergLake) -> None:
    written = 0
    for number in range(40):
        add(lake, number)
        pending = lake.begin_compaction(TABLE, now_ms=NOW_MS)
        if pending is not None:
            written += pending.byte_count
            pending.commit()
    size = sum(file.byte_count for file in lake.files(TABLE))
    assert len(lake.files(TABLE)) < 20
    assert names(lake) == [f"e{number}" for number in range(40)]
    assert written < 40 * size  # files of one row are nearly all footer


def test_large_files_are_left_alone_and_part_their_neighbours(lake: IcebergLake) -> None:
    add(lake, *range(4))
    many = [row(4 + number) for number in range(2000)]
    lake.append(TABLE, SCHEMA, batch(4), many, committed_offset=2004)
    add(lake, *range(2004, 2008))
    small = lake.files(TABLE)[0].byte_count
    later = NOW_MS + DAY_MS
    done = lake.begin_compaction(TABLE, now_ms=later, target_bytes=small * 6)
    assert done is not None
    assert done.commit() == Rewritten(4, 1, 0)
    assert [file.row_count for file in lake.files(TABLE)] == [4, 2000, 1, 1, 1, 1]


def test_nothing_is_merged_beyond_the_target(lake: IcebergLake) -> None:
    add(lake, *range(9))
    size = lake.files(TABLE)[0].byte_count
    later = NOW_MS + DAY_MS
    while (pending := lake.begin_compaction(TABLE, now_ms=later, target_bytes=size * 4)) is not None:
        assert pending.byte_count <= size * 4
        pending.commit()
    assert names(lake) == [f"e{number}" for number in range(9)]


def test_files_from_before_the_schema_grew_are_merged_with_those_after(lake: IcebergLake) -> None:
    add(lake, *range(4))
    person = {"type": "object", "properties": {"first-name": {"type": "string"}, "age": {"type": "integer"}}}
    wider = entity_schema({"properties": {**PROPERTIES, "person": person, "score": {"type": "number"}}})
    for number in range(4, 8):
        entity = {"_id": f"e{number}", "person": {"age": number}, "score": 0.5}
        lake.append(TABLE, wider, batch(number), [LakeRow(entity, number, 0, NOW_MS)], committed_offset=number + 1)
    before = list(lake.read(TABLE))
    compact(lake)
    assert list(lake.read(TABLE)) == before
    schema = pq.read_schema(lake.files(TABLE)[0].path)
    assert all(b"PARQUET:field_id" in field.metadata for field in [*schema, *schema.field("person").type.fields])


# --- batches ------------------------------------------------------------------------------------------------------------------


def test_files_of_a_batch_keep_name_and_rows_when_it_was_merged_with_others(lake: IcebergLake) -> None:
    add(lake, *range(8))
    (before,) = lake.files(TABLE, batch(3))
    compact(lake)
    (after,) = lake.files(TABLE, batch(3))
    assert (after.path.name, after.row_count, after.batch_id) == (before.path.name, 1, batch(3))
    assert pq.read_table(after.path).to_pylist() == pq.read_table(before.path).to_pylist()
    assert after.byte_count == after.path.stat().st_size
    assert lake.files(TABLE, batch(3)) == [after]
    assert lake.files(TABLE, batch(77)) == []
    assert names(lake, batch(3)) == ["e3"]
    assert lake.row_count(TABLE, batch(3)) == 1
    assert "person.first-name" in lake.filled_paths(TABLE, batch(3))


def test_batches_keep_their_names_through_a_second_merge(lake: IcebergLake) -> None:
    add(lake, *range(8))
    (before,) = lake.files(TABLE, batch(3))
    compact(lake)
    add(lake, 8, 9)
    compact(lake, now_ms=NOW_MS + DAY_MS)
    assert len(lake.files(TABLE)) == 1
    assert [file.path.name for file in lake.files(TABLE, batch(3))] == [before.path.name]
    assert names(lake, batch(9)) == ["e9"]


def test_a_batch_leaves_a_file_that_it_shares_with_others(lake: IcebergLake) -> None:
    add(lake, *range(8))
    compact(lake)
    assert lake.delete_batch(TABLE, batch(3)) == 1
    assert lake.delete_batch(TABLE, batch(3)) == 0
    assert names(lake) == ["e0", "e1", "e2", "e4", "e5", "e6", "e7"]
    assert lake.row_count(TABLE) == 7
    assert names(lake, batch(4)) == ["e4"]
    assert [file.row_count for file in lake.files(TABLE, batch(4))] == [1]


def test_a_commit_replaces_batches_that_were_merged(lake: IcebergLake) -> None:
    add(lake, *range(8))
    compact(lake)
    pending = lake.begin(TABLE, SCHEMA, batch(8))
    pending.add([row(8)])
    pending.commit(committed_offset=9, replaces=(batch(0), batch(7), "unknown"))
    assert names(lake) == [f"e{number}" for number in (1, 2, 3, 4, 5, 6, 8)]
    assert lake.committed_offset(TABLE) == 9


def test_deleted_rows_are_on_the_disk_no_more_after_a_purge(lake: IcebergLake) -> None:
    add(lake, *range(8))
    compact(lake)
    (extract,) = lake.files(TABLE, batch(3))
    lake.delete_batch(TABLE, batch(3))
    lake.purge(TABLE)
    assert not extract.path.exists()
    files = extract.path.parents[2].rglob("*.parquet")
    assert [pq.read_table(path).num_rows for path in files] == [7]


# --- beside others ------------------------------------------------------------------------------------------------------------


def test_readers_keep_the_files_they_know_until_these_are_discarded(lake: IcebergLake, tmp_path: Path) -> None:
    add(lake, *range(8))
    known = [file.path for file in lake.files(TABLE)]
    other = IcebergLake(tmp_path / "lake")
    reading = other.read(TABLE)
    assert next(reading).entity["_id"] == "e0"
    compact(lake)
    assert len(list(reading)) == 7
    assert lake.replaced(TABLE) == frozenset(known)
    lake.discard(TABLE, known)
    assert lake.replaced(TABLE) == frozenset()
    assert on_disk(lake) == {file.path for file in lake.files(TABLE)}
    assert names(other) == [f"e{number}" for number in range(8)]
    other.close()


def test_appends_in_between_are_kept(lake: IcebergLake) -> None:
    add(lake, *range(8))
    pending = begin(lake)
    pending.advance()
    add(lake, 8)
    done = pending.commit()
    assert done == Rewritten(8, 1, 0)
    assert names(lake) == [f"e{number}" for number in range(9)]
    assert lake.committed_offset(TABLE) == 9


def test_a_merge_of_a_batch_that_left_meanwhile_is_given_up(lake: IcebergLake) -> None:
    add(lake, *range(8))
    pending = begin(lake)
    pending.advance()
    lake.delete_batch(TABLE, batch(3))
    assert pending.commit() is None
    assert "e3" not in names(lake)
    assert lake.row_count(TABLE) == 7
    lake.purge(TABLE)
    assert len(on_disk(lake)) == 7


def test_files_under_way_are_not_taken_for_leftovers(lake: IcebergLake) -> None:
    add(lake, *range(8))
    pending = begin(lake)
    pending.advance()
    append = lake.begin(TABLE, SCHEMA, batch(8))
    append.add([row(8)])
    lake.purge(TABLE)
    assert pending.commit() is not None
    append.commit(committed_offset=9)
    assert names(lake) == [f"e{number}" for number in range(9)]


# --- rows that expire ---------------------------------------------------------------------------------------------------------


def event(number: int, timestamp: str | None) -> LakeRow:
    return LakeRow({"_id": f"e{number}", **({"timestamp": timestamp} if timestamp else {})}, number, 0, NOW_MS)


def expire(lake: IcebergLake, before_ms: int) -> int:
    removed = 0
    while (pending := lake.begin_expiry(TABLE, before_ms=before_ms)) is not None:
        while pending.advance():
            pass
        done = pending.commit()
        assert done is not None
        removed += done.rows_removed
    return removed


def test_rows_before_an_instant_leave_and_files_without_any_stay(lake: IcebergLake) -> None:
    instants = ["2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "2024-01-31T23:59:59.999Z", None]
    lake.append(TABLE, SCHEMA, batch(0), [event(n, at) for n, at in enumerate(instants)], committed_offset=4)
    lake.append(TABLE, SCHEMA, batch(1), [event(4, "2023-01-01T00:00:00Z")], committed_offset=5)
    lake.append(TABLE, SCHEMA, batch(2), [event(5, "2024-06-01T00:00:00Z")], committed_offset=6)
    kept = lake.files(TABLE, batch(2))
    assert expire(lake, 1_706_745_600_000) == 3
    assert names(lake) == ["e1", "e3", "e5"]
    assert lake.files(TABLE, batch(2)) == kept
    assert lake.files(TABLE, batch(1)) == []
    assert (lake.committed_offset(TABLE), lake.row_count(TABLE)) == (6, 3)


def test_rows_of_merged_batches_expire_too(lake: IcebergLake) -> None:
    for number in range(8):
        lake.append(
            TABLE, SCHEMA, batch(number), [event(number, f"2024-0{number + 1}-01T00:00:00Z")], committed_offset=number + 1
        )
    compact(lake)
    lake.files(TABLE, batch(0))
    assert expire(lake, 1_709_251_200_000) == 2
    assert names(lake) == [f"e{number}" for number in range(2, 8)]
    assert lake.files(TABLE, batch(0)) == []
    assert names(lake, batch(5)) == ["e5"]


# --- a full disk --------------------------------------------------------------------------------------------------------------


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_at_any_moment_leaves_the_old_state_and_no_file(lake: IcebergLake, monkeypatch: pytest.MonkeyPatch) -> None:
    add(lake, *range(8))
    before, files = list(lake.read(TABLE)), on_disk(lake)
    synced, left, refusals = os.fsync, 0, 0

    def fsync(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            full()
        synced(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    while True:
        left = refusals
        pending = begin(lake)
        try:
            pending.commit()
            break
        except StorageFull:
            pending.abort()
            refusals += 1
            assert list(lake.read(TABLE)) == before
            assert on_disk(lake) == files
    monkeypatch.undo()
    assert refusals > 6
    assert list(lake.read(TABLE)) == before
    assert len(lake.files(TABLE)) == 1
    lake.purge(TABLE)
    metadata = lake.files(TABLE)[0].path.parents[1] / "metadata"
    assert len(list(metadata.glob("*.avro"))) <= 4


def test_a_full_disk_while_rows_are_copied_leaves_no_file(lake: IcebergLake, monkeypatch: pytest.MonkeyPatch) -> None:
    add(lake, *range(8))
    files = on_disk(lake)
    pending = begin(lake)
    monkeypatch.setattr(parquet.DataFiles, "add", full)
    with pytest.raises(StorageFull):
        pending.advance()
    pending.abort()
    assert on_disk(lake) == files
