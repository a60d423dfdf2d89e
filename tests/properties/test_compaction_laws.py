"""Laws of compaction: whatever was written, merged, taken back or expired, the rows are those of a lake that merges nothing."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.properties.test_lake_laws import FORM, fitting

from headrace.clock import iso_millis
from headrace.storage.lake import Lake, LakeRow, TableId
from headrace.storage.lake.arrow import entity_schema
from headrace.storage.lake.iceberg import IcebergLake
from headrace.storage.lake.memory import MemoryLake

TABLE = TableId(1, "t")
DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS
WIDE = {**FORM["properties"], "timestamp": {"type": "string", "format": "date-time"}}
NARROW = {
    **{name: WIDE[name] for name in ("text", "small", "tags", "timestamp")},
    "large": {"type": "integer", "meta:xdmType": "int"},
    "deep": {"type": "object", "properties": {"er": {"type": "object", "properties": {"before": {"type": "string"}}}}},
    "map": {
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": "object", "properties": {"other": {"type": "string"}}}},
    },
}
SCHEMAS = [entity_schema({"properties": properties}) for properties in (NARROW, WIDE)]

Step = tuple[str, Any]
batches = st.lists(st.tuples(fitting, st.none() | st.integers(0, 9)), max_size=3)
steps = st.one_of(
    st.tuples(st.just("append"), st.tuples(batches, st.sampled_from(SCHEMAS))),
    st.tuples(st.just("append"), st.tuples(batches, st.sampled_from(SCHEMAS))),
    st.tuples(st.just("delete"), st.integers(0, 9)),
    st.tuples(st.just("replace"), st.integers(0, 9)),
    st.tuples(st.just("expire"), st.integers(0, 9)),
    st.tuples(st.just("merge"), st.just(None)),
    st.tuples(st.just("next day"), st.just(None)),
)


class Twin:
    """Two lakes that are told the same; only one of them has files, and merges them."""

    def __init__(self, folder: Path) -> None:
        self.merged, self.plain = IcebergLake(folder), MemoryLake()
        self.offset = self.batch_count = 0
        self.now_ms = START_MS

    def do(self, step: Step) -> None:
        kind, what = step
        match kind:
            case "append":
                self.append(*what)
            case "delete":
                counts = [lake.delete_batch(TABLE, f"b{what}") for lake in self.lakes]
                assert counts[0] == counts[1]
            case "replace":
                self.append([({"text": "new"}, None)], SCHEMAS[0], replaces=(f"b{what}",))
            case "expire":
                for lake in self.lakes:
                    rewrite_all(lake, what)
            case "merge":
                merge_all(self.merged, self.now_ms)
            case "next day":
                self.now_ms += DAY_MS

    def append(self, rows: Sequence[tuple[dict[str, Any], int | None]], schema: Any, *, replaces: tuple[str, ...] = ()) -> None:
        entities = [{**entity, **({} if day is None else {"timestamp": instant(day)})} for entity, day in rows]
        taken = [LakeRow(entity, self.offset + index, 0, self.now_ms) for index, entity in enumerate(entities)]
        self.offset += len(rows) + 1
        for lake in self.lakes:
            pending = lake.begin(TABLE, schema, f"b{self.batch_count}")
            pending.add(taken)
            pending.commit(committed_offset=self.offset, replaces=replaces)
        self.batch_count += 1

    @property
    def lakes(self) -> tuple[Lake, Lake]:
        return self.merged, self.plain

    def check(self) -> None:
        assert list(self.merged.read(TABLE)) == list(self.plain.read(TABLE))
        assert self.merged.row_count(TABLE) == self.plain.row_count(TABLE)
        assert self.merged.committed_offset(TABLE) == self.plain.committed_offset(TABLE)
        for number in range(self.batch_count):
            batch_id = f"b{number}"
            rows = list(self.plain.read(TABLE, batch_id=batch_id))
            assert list(self.merged.read(TABLE, batch_id=batch_id)) == rows
            assert self.merged.row_count(TABLE, batch_id) == len(rows)
            files = self.merged.files(TABLE, batch_id)
            assert sum(file.row_count for file in files) == len(rows)
            assert all(file.path.name.startswith(f"{batch_id}-") and file.path.exists() for file in files)


def instant(day: int) -> str:
    return iso_millis(START_MS + day * DAY_MS + 1)


def rewrite_all(lake: Lake, day: int) -> None:
    while (rewrite := lake.begin_expiry(TABLE, before_ms=START_MS + day * DAY_MS)) is not None:
        assert rewrite.commit() is not None


def merge_all(lake: Lake, now_ms: int) -> None:
    while (rewrite := lake.begin_compaction(TABLE, now_ms=now_ms)) is not None:
        done = rewrite.commit()
        assert done is not None
        assert (done.files_after < done.files_before, done.rows_removed) == (True, 0)


@given(st.lists(steps, min_size=1, max_size=12))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_merging_changes_no_row_and_no_batch(plan: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        twin = Twin(Path(folder))
        for step in plan:
            twin.do(step)
        twin.check()
        merge_all(twin.merged, twin.now_ms + DAY_MS)
        twin.check()
        twin.merged.purge(TABLE)
        twin.check()
        twin.merged.close()
