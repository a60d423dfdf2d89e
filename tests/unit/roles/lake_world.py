"""A lake writer on stores in memory, with a catalog that remembers what it was told."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import pyarrow as pa

from headrace.clock import Clock, ManualClock
from headrace.model import BatchReady, LogEntry, Record, encode_entry
from headrace.roles.lake_datasets import Counts, LakeDataset
from headrace.roles.lake_position import PositionFile
from headrace.roles.lake_seen import SeenEvents
from headrace.roles.lake_writer import LakeWriter
from headrace.storage.lake import Lake, LakeColumns, LakeRow, PendingAppend, TableId, Written
from headrace.storage.lake.arrow import entity_schema
from headrace.storage.lake.memory import MemoryLake
from headrace.storage.log.memory import MemoryLog
from headrace.storage.state.memory import MemoryState

START_MS = 1_770_000_000_000
SCHEMA = entity_schema({"properties": {"_id": {"type": "string"}, "n": {"type": "integer"}}})
PEOPLE = LakeDataset(1, 1, "people-id", TableId(1, "people"), SCHEMA, is_event=False)
VISITS = LakeDataset(1, 2, "visits-id", TableId(1, "visits"), SCHEMA, is_event=True)


class Crash(BaseException):
    """The process dies here."""


class FakeCatalog:
    """Keeps batches by id: (status, counts)."""

    def __init__(self) -> None:
        self.datasets = {(item.sandbox, item.number): item for item in (PEOPLE, VISITS)}
        self.batches: dict[str, tuple[str, Counts]] = {}
        self.number = 0
        self.version = 1
        self.kept_days: dict[TableId, int] = {}
        self.sizes: dict[TableId, tuple[int, int]] = {}

    def retentions(self) -> dict[TableId, int]:
        return self.kept_days

    def resized(self, table: TableId, row_count: int, byte_count: int) -> None:
        self.sizes[table] = (row_count, byte_count)

    def revision(self) -> int:
        return self.version

    def dataset(self, sandbox: int, number: int) -> LakeDataset | None:
        return self.datasets.get((sandbox, number))

    def new_batch_id(self) -> str:
        self.number += 1
        return f"S{self.number}"

    def streamed(self, dataset: LakeDataset, batch_id: str, counts: Counts) -> None:
        self.batches.setdefault(batch_id, ("success", counts))

    def promoted(self, dataset: LakeDataset, batch_id: str, counts: Counts, predecessors: tuple[str, ...]) -> None:
        if self.batches.get(batch_id, ("staging", counts))[0] == "staging":
            self.batches[batch_id] = ("success", counts)
            for predecessor in predecessors:
                self.batches[predecessor] = ("inactive", self.batches[predecessor][1])

    def lost(self, dataset: LakeDataset, batch_id: str, reason: str) -> None:
        self.batches[batch_id] = ("failed", Counts())

    def reverted(self, dataset: LakeDataset, counts: Counts) -> None:
        self.rows_after_revert = counts.total_rows


class World:
    """Everything that survives a crash of the role."""

    def __init__(self, home: Path, *, clock: Clock | None = None, lake: Lake | None = None) -> None:
        self.home = home
        self.clock = clock or ManualClock(START_MS)
        self.lake: Lake = lake or MemoryLake()
        self.log = MemoryLog()
        self.catalog = FakeCatalog()
        self.seen = MemoryState()
        self.options: dict[str, int] = {}
        self.writes = 0
        self.on_step_of_commit: Callable[[str], None] = lambda _: None

    def write(self, path: Path, content: bytes) -> None:
        self.on_step_of_commit("before position")
        path.write_bytes(content)
        self.on_step_of_commit("after position")

    def role(self) -> LakeWriter:
        position = PositionFile(self.home / "position.json", self.write)
        lake = WatchedLake(self.lake, lambda name: self.on_step_of_commit(name))
        return LakeWriter(
            cast(Lake, lake), self.log, self.catalog, SeenEvents(self.seen), position, self.clock, self.home, **self.options
        )

    def send(self, *entries: LogEntry) -> None:
        self.log.topic("records").append([encode_entry(entry) for entry in entries])

    def batch(
        self,
        batch_id: str,
        dataset: LakeDataset,
        rows: Sequence[dict[str, Any]],
        *,
        predecessors: tuple[str, ...] = (),
        is_typed: bool = False,
    ) -> None:
        """Send a claim check for rows in two files; those that are typed are read a file at once."""
        folder = self.home / "staging" / batch_id
        folder.mkdir(parents=True)
        names = []
        for number, part in enumerate((rows[: len(rows) // 2], rows[len(rows) // 2 :])):
            name = f"staging/{batch_id}/valid-{number}.jsonl"
            (self.home / name).write_text("".join(json.dumps(row) + "\n" for row in part))
            names.append(name)
        self.catalog.batches[batch_id] = ("staging", Counts())
        self.send(BatchReady(1, dataset.number, batch_id, tuple(names), len(rows), 1000, START_MS, False, predecessors, is_typed))

    def ids(self, dataset: LakeDataset, batch_id: str | None = None) -> list[str]:
        return [row.entity["_id"] for row in self.lake.read(dataset.table, batch_id=batch_id)]


class WatchedLake:
    """Calls before and after each commit."""

    has_files: ClassVar[bool] = False

    def __init__(self, lake: Lake, on_step: Callable[[str], None]) -> None:
        self._lake = lake
        self._on_step = on_step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lake, name)

    def begin(self, table: TableId, schema: Any, batch_id: str) -> PendingAppend:
        return WatchedAppend(self._lake.begin(table, schema, batch_id), self._on_step)


class WatchedAppend:
    def __init__(self, append: PendingAppend, on_step: Callable[[str], None]) -> None:
        self._append = append
        self._on_step = on_step

    def add(self, rows: Sequence[LakeRow]) -> None:
        self._on_step("before add")
        self._append.add(rows)

    @property
    def schema(self) -> pa.Schema:
        return self._append.schema

    def add_columns(self, rows: LakeColumns) -> None:
        self._on_step("before add")
        self._append.add_columns(rows)

    def commit(self, *, committed_offset: int, replaces: Sequence[str] = ()) -> Written:
        self._on_step("before commit")
        written = self._append.commit(committed_offset=committed_offset, replaces=replaces)
        self._on_step("after commit")
        return written

    def abort(self) -> None:
        self._append.abort()


def record(dataset: LakeDataset, id_: str, **more: Any) -> Record:
    return Record(1, dataset.number, json.dumps({"_id": id_}).encode(), START_MS, **more)


def settle(role: LakeWriter) -> int:
    """Step until nothing is left to do; returns the number of steps that did something."""
    steps = 0
    while role.step():
        steps += 1
        assert steps < 1000
    return steps
