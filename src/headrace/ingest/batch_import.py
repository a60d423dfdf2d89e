"""The batch ingestion service: batches are created, filled with files, and completed, aborted, failed or reverted."""

import shutil
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from headrace.catalog.batch import Batch, BatchFile
from headrace.catalog.batches import Batches
from headrace.catalog.dataset import Dataset
from headrace.catalog.datasets import Catalog
from headrace.catalog.errors import BatchInvalid, BatchUnknown, DatasetUnknown
from headrace.clock import Clock
from headrace.ingest import batch_store as store
from headrace.ingest.batch_errors import ActionUnknown, BatchNotOpen, BatchRequestInvalid, FileUnknown, TooManyFiles
from headrace.ingest.batch_folders import is_safe_id, staging_folder, upload_path
from headrace.ingest.batch_request import check_format, format_of, stored_form
from headrace.ingest.files import FileFormat, FileUnreadable, read_rows
from headrace.ingest.uploads import PartUpload, Range, Upload, check_name, parts_path, received, whole_length, with_part
from headrace.model import BatchReverted, Sandbox, encode_entry
from headrace.storage.control import ControlStore
from headrace.storage.disk import sync_file
from headrace.storage.log import Log

ACTIONS = ("COMPLETE", "ABORT", "FAIL", "REVERT")
RECORDS, BELL = "records", "batches"
MOST_FILES = 1500
_OPEN = "loading"
_COMPLETED = ("loaded", "staging", "staged", "processing", "queued", "retrying", "active", "success")
_SUCCESS = ("success", "active")
_PREVIEW_ROWS = 100


class BatchImport:
    """Keeps batches and their uploads; safe between threads of one process, which is the only one to take uploads."""

    def __init__(
        self, control: ControlStore, catalog: Catalog, batches: Batches, record_log: Log, home: Path, clock: Clock
    ) -> None:
        """Open the service.

        Args:
            control: Knows the external ids of batches.
            catalog: Knows the datasets.
            batches: Where batches are noted.
            record_log: Takes the news that a batch is reverted, and wakes the batch loader by the bell ``batches``.
            home: Holds ``staging/``.
            clock: Stamps changes.
        """
        self._control = control
        self._catalog = catalog
        self._batches = batches
        self._log = record_log
        self._home = home
        self._clock = clock
        self._lock = threading.Lock()

    # --- batches ------------------------------------------------------------------------------------------------------

    def create(self, sandbox: Sandbox, body: Mapping[str, Any], *, client_id: str, user_id: str) -> Batch:
        """Create a batch.

        Args:
            sandbox: The sandbox.
            body: The wire form: ``datasetId``, ``inputFormat`` and others.
            client_id: Client that creates it.
            user_id: Technical account that creates it.

        Raises:
            BatchRequestInvalid: A member is not acceptable.
            DatasetUnknown: The sandbox has no such dataset.
        """
        dataset_id = body.get("datasetId")
        if not isinstance(dataset_id, str) or not dataset_id:
            raise BatchRequestInvalid("The body has no 'datasetId'.", path="/datasetId")
        dataset = self._catalog.dataset(sandbox, dataset_id)
        stored = stored_form(body)
        stored["relatedObjects"] = [{"type": "dataSet", "id": dataset.id}]
        if "externalId" in stored and store_ids(self._control, [stored["externalId"]]):
            raise BatchRequestInvalid(f"A batch has the externalId '{stored['externalId']}' already.", path="/externalId")
        if "replay" in stored:
            stored["replay"] = self._resolved(sandbox, dataset, stored["replay"])
        return self._batches.create(sandbox, dataset, stored, client_id=client_id, user_id=user_id)

    def act(self, sandbox: Sandbox, batch_id: str, action: str, *, user_id: str = "") -> Batch:
        """Complete, abort, fail or revert a batch. Completing it again changes nothing.

        Raises:
            ActionUnknown: The action is none of `ACTIONS`, in any case.
            BatchUnknown: The sandbox has no such batch.
            BatchNotOpen: The batch is in a state that does not allow the action.
        """
        batch = self._imported(sandbox, batch_id)
        match action.upper():
            case "COMPLETE":
                return self._complete(sandbox, batch, user_id)
            case "ABORT":
                ended = self._changed(sandbox, batch, "aborted", (_OPEN,), user_id, completed=self._clock.now_ms())
                self._remove_files(batch_id)
                return ended
            case "FAIL":
                error = {"code": "INGEST-1299-400", "description": "The batch was marked as failed by its client."}
                ended = self._changed(sandbox, batch, "failed", (_OPEN,), user_id, errors=[error], completed=self._clock.now_ms())
                self._remove_files(batch_id)
                return ended
            case "REVERT":
                return self._revert(sandbox, batch, user_id)
            case _:
                raise ActionUnknown(f"'{action}' is no action; use one of {', '.join(ACTIONS)}.", path="action")

    def dataset_of(self, sandbox: Sandbox, batch: Batch) -> Dataset | None:
        """Return the dataset of a batch, None when it is deleted."""
        return self._catalog.dataset_by_number(sandbox, batch.dataset)

    # --- small files --------------------------------------------------------------------------------------------------

    def begin_upload(self, sandbox: Sandbox, batch_id: str, dataset_id: str, name: str) -> Upload:
        """Start to receive a whole file; a file of the same name is replaced when it is finished.

        Raises:
            BatchUnknown, DatasetUnknown: The batch does not exist, or belongs to another dataset.
            BatchNotOpen: The batch is complete.
            FileNameInvalid: The name cannot be one.
            TooManyFiles: The batch is full.
        """
        name = check_name(name)
        self._open(sandbox, batch_id, dataset_id)
        self._check_room(batch_id, name)
        return Upload(upload_path(self._home, batch_id, name))

    def finish_upload(self, sandbox: Sandbox, batch_id: str, dataset_id: str, name: str, upload: Upload) -> bool:
        """Put a received file in its place.

        Returns:
            Whether the batch had no file of this name.

        Raises:
            BatchNotOpen: The batch was completed in the meantime.
            StorageFull: There is no room.
        """
        name = check_name(name)
        with self._lock:
            self._open(sandbox, batch_id, dataset_id)
            upload.finish()
            parts_path(upload_path(self._home, batch_id, name)).unlink(missing_ok=True)
            is_new = self._batches.put_file(batch_id, name, size_bytes=upload.byte_count)
            self._touch(sandbox, batch_id)
        return is_new

    # --- large files --------------------------------------------------------------------------------------------------

    def initialize_file(self, sandbox: Sandbox, batch_id: str, dataset_id: str, name: str) -> BatchFile:
        """Start a large file anew, without any part."""
        name = check_name(name)
        with self._lock:
            self._open(sandbox, batch_id, dataset_id)
            self._check_room(batch_id, name)
            path = upload_path(self._home, batch_id, name)
            path.unlink(missing_ok=True)
            parts_path(path).unlink(missing_ok=True)
            self._batches.put_file(batch_id, name, size_bytes=0, is_complete=False)
            self._touch(sandbox, batch_id)
        return self._file(batch_id, name)

    def begin_part(self, sandbox: Sandbox, batch_id: str, dataset_id: str, name: str, part: Range) -> PartUpload:
        """Start to receive a part of a large file.

        Raises:
            FileUnknown: The file was not initialized.
            BatchNotOpen: The batch or the file is complete.
        """
        name = check_name(name)
        self._open(sandbox, batch_id, dataset_id)
        self._unfinished(batch_id, name)
        return PartUpload(parts_path(upload_path(self._home, batch_id, name)), part)

    def finish_part(
        self, sandbox: Sandbox, batch_id: str, dataset_id: str, name: str, part: Range, upload: PartUpload
    ) -> tuple[BatchFile, str]:
        """Note a part whose bytes are there; returns the file and what has come of it (header ``Range``).

        Raises:
            PartInvalid: More or less has come than the range holds.
            BatchNotOpen: The batch or the file was completed in the meantime.
        """
        name = check_name(name)
        upload.finish()
        with self._lock:
            self._open(sandbox, batch_id, dataset_id)
            noted = with_part(self._unfinished(batch_id, name).body, part)
            size = sum(last - first + 1 for first, last in noted["ranges"])
            self._batches.put_file(batch_id, name, size_bytes=size, is_complete=False, body=noted)
            self._touch(sandbox, batch_id)
        return self._file(batch_id, name), received(noted)

    def complete_file(self, sandbox: Sandbox, batch_id: str, dataset_id: str, name: str) -> BatchFile:
        """Finish a large file; doing it again changes nothing.

        Raises:
            FileUnknown: The file was not initialized.
            PartInvalid: Parts are missing or overlap.
        """
        name = check_name(name)
        with self._lock:
            self._open(sandbox, batch_id, dataset_id)
            file = self._file(batch_id, name)
            if file.is_complete:
                return file
            length = whole_length(file.body)
            path = upload_path(self._home, batch_id, name)
            parts_path(path).replace(path)
            sync_file(path)
            self._batches.put_file(batch_id, name, size_bytes=length, body=file.body)
            self._touch(sandbox, batch_id)
        return self._file(batch_id, name)

    def file_status(self, sandbox: Sandbox, batch_id: str, dataset_id: str, name: str) -> tuple[BatchFile, str]:
        """Return a file and what has come of it (header ``Range``).

        Raises:
            FileUnknown: The batch has no such file.
        """
        self._of_dataset(sandbox, batch_id, dataset_id)
        file = self._file(batch_id, check_name(name))
        if file.body.get("ranges"):
            return file, received(file.body)
        return file, f"bytes=0-{file.size_bytes - 1}" if file.size_bytes else ""

    # --- preview ------------------------------------------------------------------------------------------------------

    def preview(
        self, sandbox: Sandbox, batch_id: str, dataset_id: str, given: Mapping[str, Any], row_count: int
    ) -> tuple[FileFormat, list[str], list[list[str]]]:
        """Return how the files were read, and the first rows of them as a table: names of its columns, and cells by row.

        Args:
            sandbox: The sandbox.
            batch_id: The batch.
            dataset_id: Its dataset.
            given: Members of an input format; what is missing is as the batch says.
            row_count: Most rows; 0 for a hundred.

        Raises:
            BatchRequestInvalid: The format is not acceptable, or a file is not in it.
        """
        batch, _ = self._of_dataset(sandbox, batch_id, dataset_id)
        format_ = format_of({**batch.body.get("inputFormat", {}), **given})
        check_format(format_, "")
        rows: list[dict[str, Any]] = []
        wanted = min(row_count or _PREVIEW_ROWS, _PREVIEW_ROWS)
        for file in self._batches.files(batch_id):
            path = upload_path(self._home, batch_id, file.name)
            if file.is_complete and len(rows) < wanted and path.exists():
                rows += self._first_rows(file.name, path, format_, wanted - len(rows))
        cells = [_flat(row) for row in rows]
        columns = list(dict.fromkeys(name for row in cells for name in row))
        return format_, columns, [[row.get(name, "") for name in columns] for row in cells]

    def _first_rows(self, name: str, path: Path, format_: FileFormat, wanted: int) -> list[dict[str, Any]]:
        chunks = read_rows(path, format_, is_flat=True)
        try:
            return list(islice((row.row for chunk in chunks for row in chunk if row.row is not None), wanted))
        except FileUnreadable as error:
            raise BatchRequestInvalid(f"File '{name}': {error}", path="format") from error
        finally:
            chunks.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _resolved(self, sandbox: Sandbox, dataset: Dataset, replay: dict[str, Any]) -> dict[str, Any]:
        external = replay.get("predecessorsByExternalId", ())
        known = store_ids(self._control, external) if external else {}
        predecessors: list[str] = list(replay["predecessors"])
        for name in external:
            number, batch_id = known.get(name, (0, ""))
            if number != sandbox.number:
                raise BatchRequestInvalid(f"No batch has the externalId '{name}'.", path="/replay/predecessorsByExternalId")
            predecessors.append(batch_id)
        for batch_id in predecessors:
            try:
                found = self._batches.batch(sandbox, batch_id)
            except BatchUnknown as error:
                raise BatchRequestInvalid(f"There is no batch '{batch_id}' to replace.", path="/replay/predecessors") from error
            if found.dataset != dataset.number:
                text = f"Batch '{batch_id}' belongs to another dataset."
                raise BatchRequestInvalid(text, path="/replay/predecessors")
        return {**replay, "predecessors": list(dict.fromkeys(predecessors))}

    def _complete(self, sandbox: Sandbox, batch: Batch, user_id: str) -> Batch:
        if batch.status in _COMPLETED:
            return batch
        with self._lock:
            unfinished = [file.name for file in self._batches.files(batch.id) if not file.is_complete]
            if unfinished and batch.status == _OPEN:
                raise BatchNotOpen(
                    f"File '{unfinished[0]}' of batch {batch.id} is not complete.", path="status", hint="Complete the file first."
                )
            completed = self._changed(sandbox, batch, "loaded", (_OPEN,), user_id)
        self._log.ring(BELL)
        return completed

    def _revert(self, sandbox: Sandbox, batch: Batch, user_id: str) -> Batch:
        if batch.status not in _SUCCESS:
            raise _not_possible(batch, _SUCCESS)
        # The entry goes first: a revert that is interrupted here is asked for again, and taking rows away twice is harmless.
        entry = BatchReverted(sandbox.number, batch.dataset, batch.id, self._clock.now_ms())
        self._log.topic(RECORDS).append([encode_entry(entry)])
        return self._changed(sandbox, batch, "inactive", _SUCCESS, user_id)

    def _changed(
        self, sandbox: Sandbox, batch: Batch, status: str, from_statuses: tuple[str, ...], user_id: str, **fields: Any
    ) -> Batch:
        try:
            return self._batches.change(sandbox, batch.id, status=status, from_statuses=from_statuses, user_id=user_id, **fields)
        except BatchInvalid as error:
            raise _not_possible(self._batches.batch(sandbox, batch.id), from_statuses) from error

    def _imported(self, sandbox: Sandbox, batch_id: str) -> Batch:
        if not is_safe_id(batch_id):
            raise BatchUnknown(batch_id)
        return self._batches.batch(sandbox, batch_id)

    def _of_dataset(self, sandbox: Sandbox, batch_id: str, dataset_id: str) -> tuple[Batch, Dataset]:
        batch = self._imported(sandbox, batch_id)
        dataset = self._catalog.dataset(sandbox, dataset_id)
        if batch.dataset != dataset.number:
            raise DatasetUnknown(dataset_id)
        return batch, dataset

    def _open(self, sandbox: Sandbox, batch_id: str, dataset_id: str) -> Batch:
        batch, _ = self._of_dataset(sandbox, batch_id, dataset_id)
        if batch.status != _OPEN:
            raise _not_possible(batch, (_OPEN,))
        return batch

    def _check_room(self, batch_id: str, name: str) -> None:
        names = {file.name for file in self._batches.files(batch_id)}
        if name not in names and len(names) >= MOST_FILES:
            raise TooManyFiles(f"Batch {batch_id} has {MOST_FILES} files; it may have no more.", path="filePath")

    def _file(self, batch_id: str, name: str) -> BatchFile:
        found = next((file for file in self._batches.files(batch_id) if file.name == name), None)
        if found is None:
            raise FileUnknown(f"Batch {batch_id} has no file '{name}'.", path="filePath")
        return found

    def _unfinished(self, batch_id: str, name: str) -> BatchFile:
        file = self._file(batch_id, name)
        if file.is_complete:
            raise BatchNotOpen(f"File '{name}' is complete.", path="filePath", hint="Initialize it to begin again.")
        return file

    def _touch(self, sandbox: Sandbox, batch_id: str) -> None:
        with suppress(BatchUnknown):
            self._batches.change(sandbox, batch_id)

    def _remove_files(self, batch_id: str) -> None:
        shutil.rmtree(staging_folder(self._home, batch_id), ignore_errors=True)


def store_ids(control: ControlStore, external_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Return external id → (sandbox, batch id) of the batches that have them."""
    with control.read() as connection:
        return store.ids_by_external_id(connection, external_ids)


def _not_possible(batch: Batch, wanted: tuple[str, ...]) -> BatchNotOpen:
    return BatchNotOpen(f"Batch {batch.id} is '{batch.status}'; this is possible when it is '{wanted[0]}'.", path="status")


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    cells: dict[str, str] = {}
    for name, value in row.items():
        if isinstance(value, Mapping) and value:
            cells |= _flat(value, f"{prefix}{name}/")
        elif value is not None:
            cells[f"{prefix}{name}"] = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return cells
