"""A completed batch becomes valid rows, row errors and one claim check."""

import errno
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from headrace.clock import ManualClock
from headrace.errors import NotFound
from headrace.ingest.batch import BatchLoader, CompletedBatch, UploadedFile
from headrace.ingest.batch_folders import remove_forgotten_rows
from headrace.ingest.files import FileFormat
from headrace.ingest.mapping.mapper import FieldMapping, Mapper
from headrace.model import BatchReady, Sandbox, decode_entry
from headrace.schemas import IdentityDescriptor, SchemaRegistry
from headrace.storage.errors import StorageFull
from headrace.storage.log.memory import MemoryLog

SANDBOX = Sandbox(1, "uuid", "prod", "production", True, "ACME@AdobeOrg")
FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "_id": {"type": "string", "meta:xdmType": "string"},
        "points": {"type": "integer", "meta:xdmType": "int"},
        "level": {"type": "string", "meta:xdmType": "string", "enum": ["gold", "silver"]},
        "since": {"type": "string", "format": "date-time", "meta:xdmType": "date-time"},
    },
    "required": ["_id"],
}
LINES = FileFormat(format="json")


class Registry:
    """One schema."""

    def full_form(self, sandbox: Sandbox, schema_id: str) -> Mapping[str, Any]:
        if schema_id != "schema":
            raise NotFound(f"No schema '{schema_id}'.")
        return FORM

    def identity_descriptors(self, sandbox: Sandbox, schema_id: str) -> tuple[IdentityDescriptor, ...]:
        return ()


class Book:
    """Completed batches, and what was noted about them."""

    def __init__(self) -> None:
        self.waiting: list[CompletedBatch] = []
        self.notes: list[tuple[str, str]] = []
        self.errors: Sequence[Mapping[str, Any]] = ()
        self.metrics: Mapping[str, int] = {}
        self.next_idle_ms: int | None = None
        self.sweeps = 0

    def next_completed(self) -> CompletedBatch | None:
        return self.waiting[0] if self.waiting else None

    def started(self, batch: CompletedBatch) -> None:
        self.notes.append((batch.id, "staging"))

    def validated(self, batch: CompletedBatch, errors: Sequence[Mapping[str, Any]], metrics: Mapping[str, int]) -> None:
        self._end(batch, "validated", errors, metrics)

    def failed(self, batch: CompletedBatch, errors: Sequence[Mapping[str, Any]], metrics: Mapping[str, int]) -> None:
        self._end(batch, "failed", errors, metrics)

    def abandon_idle(self) -> int | None:
        self.sweeps += 1
        return self.next_idle_ms

    def _end(self, batch: CompletedBatch, note: str, errors: Sequence[Mapping[str, Any]], metrics: Mapping[str, int]) -> None:
        self.notes.append((batch.id, note))
        self.errors, self.metrics = errors, metrics
        self.waiting.remove(batch)


class Mapping_:  # noqa: N801
    def mapper(self, sandbox: Sandbox, mapping_id: str, version: int, schema_id: str) -> Mapper:
        if mapping_id != "m1":
            raise NotFound(f"No mapping set '{mapping_id}'.")
        mappings = [FieldMapping("ATTRIBUTE", "name", "_id"), FieldMapping("ATTRIBUTE", "score", "points")]
        return Mapper(mappings, FORM, {})


class World:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = MemoryLog()
        self.book = Book()
        registry = cast(SchemaRegistry, Registry())
        self.clock = ManualClock(1_770_000_000_000)
        self.loader = BatchLoader(self.book, registry, self.log, home, self.clock, Mapping_())

    def complete(self, *files: str | bytes, format_: FileFormat = LINES, **more: Any) -> None:
        uploaded = []
        for number, content in enumerate(files):
            path = self.home / f"upload-{number}"
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            uploaded.append(UploadedFile(f"part-{number}.json", path, path.stat().st_size))
        values = {"sandbox": SANDBOX, "id": "B1", "dataset": 7, "schema_id": "schema", "format": format_, **more}
        self.book.waiting.append(CompletedBatch(files=tuple(reversed(uploaded)), **values))

    def run(self) -> None:
        while self.loader.step():
            pass

    def entries(self) -> list[BatchReady]:
        return [cast(BatchReady, decode_entry(data)) for _, data in self.log.topic("records").read(0, limit=100)]

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for name in self.entries()[0].files for line in (self.home / name).read_text().splitlines()]

    def row_errors(self) -> dict[str, list[dict[str, Any]]]:
        folder = self.home / "quarantine" / "B1" / "row_errors"
        return {file.name: [json.loads(line) for line in file.read_text().splitlines()] for file in sorted(folder.glob("*"))}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_nothing_completed_is_nothing_to_do(world: World) -> None:
    assert not world.loader.step()


def test_valid_rows_stand_in_files_by_file_name_and_row(world: World) -> None:
    world.complete('{"_id":"a","points":1}\n{"_id":"b"}\n', '{"_id":"c", "level":"gold"}\n')
    world.run()
    assert world.book.notes == [("B1", "staging"), ("B1", "validated")]
    (entry,) = world.entries()
    assert (entry.sandbox, entry.dataset, entry.batch_id, entry.row_count) == (1, 7, "B1", 3)
    assert entry.files == ("staging/B1/valid-00000.jsonl",)
    text = (world.home / entry.files[0]).read_bytes()
    assert text == b'{"_id":"a","points":1}\n{"_id":"b"}\n{"_id":"c", "level":"gold"}\n'
    assert entry.byte_count == len(text)
    assert world.book.errors == []
    assert world.book.metrics["inputRecordCount"] == 3
    assert world.book.metrics["inputFileCount"] == 2
    assert (world.home / "staging" / "B1" / "announced").exists()
    assert world.loader.status() == {"batch": "", "is_idle": True, "batches_loaded": 1, "batches_failed": 0}


def test_values_are_converted_and_nulls_left_out(world: World) -> None:
    world.complete('{"_id":5,"points":"12","since":1709283600000,"level":null}\n')
    world.run()
    assert world.rows() == [{"_id": "5", "points": 12, "since": "2024-03-01T09:00:00.000Z"}]


BAD = "\n".join(
    (
        '{"_id":"a"}',
        '{"_id":',
        '{"_id":"b","points":"many"}',
        '{"points":1}',
        '{"_id":"c","level":"iron"}',
        '{"_id":"d","hue":1}',
        '{"_id":"e"}',
    )
)


def test_one_bad_row_fails_a_batch_without_partial_ingestion(world: World) -> None:
    world.complete(BAD)
    world.run()
    assert world.book.notes[-1] == ("B1", "failed")
    assert [error["code"] for error in world.book.errors] == ["INGEST-1211-400"]
    assert world.entries() == []
    assert list((world.home / "staging" / "B1").glob("valid-*")) == []
    assert world.row_errors() == {}
    assert (world.book.metrics["inputRecordCount"], world.book.metrics["failedRecordCount"]) == (7, 5)


def test_with_diagnostics_each_row_error_is_kept_with_its_reason(world: World) -> None:
    world.complete(BAD, has_diagnostics=True)
    world.run()
    assert world.book.notes[-1] == ("B1", "failed")
    counts = {error["code"]: error.get("recordCount") for error in world.book.errors}
    assert counts == {
        "INGEST-1212-400": None,
        "INGEST-1401-400": 1,
        "INGEST-1902-400": 1,
        "INGEST-1555-400": 1,
        "INGEST-1904-400": 1,
        "INGEST-1903-400": 1,
    }
    found = world.row_errors()
    assert found["parsing_errors_0.json"][0]["_corrupt_record"] == '{"_id":'
    assert found["parsing_errors_0.json"][0]["_errors"][0]["code"] == "1401"
    (conversion,) = found["conversion_errors_0.json"]
    assert (conversion["_id"], conversion["_filename"]) == ("b", "part-0.json")
    assert "TypeCompatibilityException" in conversion["_errors"][0]["message"]
    assert sorted(line["_errors"][0]["code"] for line in found["validation_errors_0.json"]) == ["1555", "1903", "1904"]
    assert len((world.home / "quarantine" / "B1" / "row_errors_sample.json").read_text().splitlines()) == 5


@pytest.mark.parametrize(("percent", "passes"), [(24, False), (25, True), (100, True)])
def test_the_batch_passes_up_to_exactly_its_threshold(world: World, percent: int, passes: bool) -> None:
    world.complete('{"_id":"a"}\n{"points":1}\n{"_id":"b"}\n{"_id":"c"}\n', error_percent=percent, has_diagnostics=True)
    world.run()
    assert world.book.notes[-1][1] == ("validated" if passes else "failed")
    assert len(world.entries()) == passes
    codes = [error["code"] for error in world.book.errors]
    assert ("INGEST-1913-400" in codes) is not passes
    if passes:
        assert [row["_id"] for row in world.rows()] == ["a", "b", "c"]


def test_a_batch_of_nothing_but_errors_passes_at_a_hundred_percent(world: World) -> None:
    world.complete("x\n", error_percent=100, has_diagnostics=True)
    world.run()
    (entry,) = world.entries()
    assert (entry.row_count, entry.files) == (0, ())


@pytest.mark.parametrize(("files", "code"), [((), "106"), (("",), "106"), (("{}\n", ""), "106")])
def test_a_batch_without_files_or_with_an_empty_one_fails(world: World, files: tuple[str, ...], code: str) -> None:
    world.complete(*files, error_percent=100, has_diagnostics=True)
    world.run()
    assert world.book.errors[0]["code"] == code
    assert world.entries() == []


def test_an_unreadable_file_fails_the_batch_by_name(world: World) -> None:
    world.complete("[{]", format_=FileFormat(format="json", is_array=True), error_percent=100)
    world.run()
    assert world.book.notes[-1][1] == "failed"
    assert "part-0.json" in world.book.errors[0]["description"]


def test_a_dataset_without_validation_takes_rows_as_they_are(world: World) -> None:
    world.complete('{"anything":"goes","points":"many"}\n', is_validation_disabled=True)
    world.run()
    assert world.rows() == [{"anything": "goes", "points": "many"}]


def test_an_upsert_needs_no_required_fields(world: World) -> None:
    world.complete('{"points":3}\n', is_upsert=True, predecessors=("B0",))
    world.run()
    (entry,) = world.entries()
    assert (entry.is_upsert, entry.predecessors) == (True, ("B0",))
    assert world.rows() == [{"points": 3}]


def test_rows_are_mapped_when_the_batch_names_a_mapping_set(world: World) -> None:
    content = "name,score\nAda,5\nBob,many\n,7\n"
    world.complete(content, format_=FileFormat(format="csv"), mapping=("m1", 0), error_percent=50, has_diagnostics=True)
    world.run()
    assert world.rows() == [{"_id": "Ada", "points": 5}, {"_id": "Bob"}]
    assert world.row_errors()["validation_errors_0.json"][0]["_errors"][0]["code"] == "1555"


def test_an_unknown_schema_or_mapping_set_fails_the_batch(world: World) -> None:
    world.complete('{"_id":"a"}\n', mapping=("m2", 0))
    world.run()
    assert world.book.errors[0]["code"] == "CONNECTOR-2001-500"
    world.complete('{"_id":"a"}\n', schema_id="gone")
    world.run()
    assert world.book.errors[0]["code"] == "CONNECTOR-2001-500"


def test_an_interrupted_batch_begins_again_and_leaves_no_double(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.ingest.files._CHUNK_ROWS", 1)
    world.complete('{"_id":"a"}\n{"bad":1}\n{"_id":"b"}\n', error_percent=50, has_diagnostics=True)
    for _ in range(3):
        world.loader.step()
    world.loader.close()
    again = World(world.home)
    again.book.waiting = world.book.waiting
    again.run()
    assert [row["_id"] for row in again.rows()] == ["a", "b"]
    assert len(again.row_errors()["validation_errors_0.json"]) == 1


def test_large_batches_are_cut_into_files(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.ingest.files._CHUNK_ROWS", 2)
    monkeypatch.setattr("headrace.ingest.valid_rows._FILE_BYTES", 30)
    world.complete("".join(f'{{"_id":"{number}"}}\n' for number in range(9)))
    world.run()
    assert len(world.entries()[0].files) == 3
    assert [row["_id"] for row in world.rows()] == [str(number) for number in range(9)]


def test_open_batches_are_looked_after_when_one_may_be_due(world: World) -> None:
    world.run()
    assert (world.book.sweeps, world.loader.next_due_ms()) == (1, 1_770_000_000_000 + 24 * 3_600_000)
    world.run()
    assert world.book.sweeps == 1
    world.book.next_idle_ms = 1_770_000_000_000 + 30 * 3_600_000
    world.clock.move_to(1_770_000_000_000 + 24 * 3_600_000)
    world.run()
    assert (world.book.sweeps, world.loader.next_due_ms()) == (2, world.book.next_idle_ms)


def test_a_defect_fails_its_batch_and_not_those_behind_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.complete('{"_id":"a"}\n', id="B1")
    world.complete('{"_id":"b"}\n', id="B2")

    def broken(batch: CompletedBatch, form: object) -> None:
        if batch.id == "B1":
            raise ZeroDivisionError
        return original(batch, form)  # type: ignore[no-any-return]

    original: Any = world.loader._converter
    monkeypatch.setattr(world.loader, "_converter", broken)
    world.run()
    assert world.book.notes == [("B1", "staging"), ("B1", "failed"), ("B2", "staging"), ("B2", "validated")]
    assert [entry.batch_id for entry in world.entries()] == ["B2"]


def test_a_full_disk_fails_no_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.complete('{"_id":"a"}\n')

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        world.run()
    monkeypatch.undo()
    world.run()
    assert [row["_id"] for row in world.rows()] == ["a"]


def test_uploads_go_with_the_announcement_and_rows_with_their_log_entry(world: World) -> None:
    uploads = world.home / "staging" / "B1" / "files"
    uploads.mkdir(parents=True)
    world.complete('{"_id":"a"}\n')
    world.run()
    assert not uploads.exists()
    topic = world.log.topic("records")
    remove_forgotten_rows(world.home, topic.first_offset())
    assert world.rows() == [{"_id": "a"}]
    topic.append([b"another"])
    topic.trim(1)
    remove_forgotten_rows(world.home, topic.first_offset())
    assert not (world.home / "staging" / "B1").exists()
