"""The data access service: files of a batch in the lake, what a batch has set aside, and the first rows of a dataset."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from headrace.catalog.batch import Batch
from headrace.catalog.batches import Batches
from headrace.catalog.datasets import Catalog
from headrace.catalog.errors import BatchUnknown
from headrace.ingest.batch_errors import DataFileUnknown
from headrace.ingest.batch_folders import is_safe_id, quarantine_folder
from headrace.ingest.row_errors import FOLDER, SAMPLE
from headrace.model import Sandbox
from headrace.storage.lake import Lake, LakeFile, TableId

SUCCESS_MARK = "_SUCCESS"
PREVIEW_ROWS = 100
_SUCCESS, _FAILED = ("success", "active"), ("failed", "failure")
_INPUT_FILES, _FILE_META, _OLD_SAMPLE = "input_files", "fileMetaData1.json", "row_error_samples.json"
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class DataFile:
    """Something that can be downloaded, or listed further.

    Attributes:
        name: Its path below what was listed.
        byte_count: Its length; of a folder the length of all in it.
        path: Where it lies; None for folders and for what is made when it is read.
        content: What it holds when it lies nowhere.
        is_folder: Whether it is to be listed by a further call.
    """

    name: str
    byte_count: int
    path: Path | None = None
    content: bytes = b""
    is_folder: bool = False

    def read(self, first: int, last: int) -> Iterator[bytes]:
        """Yield the bytes from ``first`` to ``last``, both included."""
        if self.path is None:
            yield self.content[first : last + 1]
            return
        left = last - first + 1
        with self.path.open("rb") as file:
            file.seek(first)
            while left > 0 and (block := file.read(min(left, _BLOCK_BYTES))):
                left -= len(block)
                yield block


@dataclass(frozen=True)
class DatasetFile:
    """The files of one batch in one dataset, as one entry.

    Attributes:
        id: ``{batch}-1``.
        view_id: View of the dataset.
        batch: The batch.
        row_count: Rows in all its files.
        byte_count: Bytes of all its files.
    """

    id: str
    view_id: str
    batch: Batch
    row_count: int
    byte_count: int


class DataAccess:
    """Reads; safe between threads."""

    def __init__(self, catalog: Catalog, batches: Batches, lake: Callable[[], Lake], home: Path) -> None:
        """Open the service.

        Args:
            catalog: Knows the datasets.
            batches: Knows the batches.
            lake: Gives the lake, which holds their rows; called only when they are read.
            home: Holds ``quarantine/``.
        """
        self._catalog = catalog
        self._batches = batches
        self._lake = lake
        self._home = home

    # --- files of the lake --------------------------------------------------------------------------------------------

    def dataset_files(self, sandbox: Sandbox, batch_id: str) -> list[DatasetFile]:
        """Return the entries of a batch; none unless it is promoted and holds rows.

        Raises:
            BatchUnknown: The sandbox has no such batch.
        """
        batch = self._batches.batch(sandbox, batch_id)
        files = self._files(sandbox, batch)
        if not files:
            return []
        dataset = self._catalog.dataset_by_number(sandbox, batch.dataset)
        view_id = str(dataset.body.get("viewId", "")) if dataset else ""
        rows, size = sum(file.row_count for file in files), sum(file.byte_count for file in files)
        return [DatasetFile(f"{batch.id}-1", view_id, batch, rows, size)]

    def parts(self, sandbox: Sandbox, dataset_file_id: str) -> list[DataFile]:
        """Return the Parquet files behind an entry of a batch.

        Raises:
            DataFileUnknown: There is no such entry.
        """
        batch_id, _, number = dataset_file_id.rpartition("-")
        try:
            batch = self._batches.batch(sandbox, batch_id)
        except BatchUnknown as error:
            raise DataFileUnknown(f"There is no file '{dataset_file_id}'.", path="dataSetFileId") from error
        files = self._files(sandbox, batch) if number == "1" else []
        if not files:
            raise DataFileUnknown(f"There is no file '{dataset_file_id}'.", path="dataSetFileId")
        return [DataFile(file.path.name, file.byte_count, file.path) for file in files]

    def part(self, sandbox: Sandbox, dataset_file_id: str, name: str) -> DataFile:
        """Return one Parquet file of an entry.

        Raises:
            DataFileUnknown: There is no such entry or file.
        """
        return _named(self.parts(sandbox, dataset_file_id), name)

    def _files(self, sandbox: Sandbox, batch: Batch) -> list[LakeFile]:
        dataset = self._catalog.dataset_by_number(sandbox, batch.dataset)
        if dataset is None or batch.status not in _SUCCESS:
            return []
        return self._lake().files(TableId(sandbox.number, dataset.table_name), batch.id)

    def preview(self, sandbox: Sandbox, dataset_id: str) -> list[Mapping[str, Any]]:
        """Return the first rows of a dataset.

        Raises:
            DatasetUnknown: The sandbox has no such dataset.
        """
        dataset = self._catalog.dataset(sandbox, dataset_id)
        table = TableId(sandbox.number, dataset.table_name)
        return [row.entity for row in self._lake().read(table, limit=PREVIEW_ROWS)]

    # --- what a batch has set aside -----------------------------------------------------------------------------------

    def failed_files(self, sandbox: Sandbox, batch_id: str) -> list[DataFile]:
        """Return the files of a failed batch, and the empty mark that they are complete; none of another batch.

        Raises:
            BatchUnknown: The sandbox has no such batch.
        """
        batch = self._batch(sandbox, batch_id)
        if batch.status not in _FAILED:
            return []
        folder = quarantine_folder(self._home, batch_id)
        files = [_on_disk(path) for path in (*folder.glob("*.json"), *(folder / FOLDER).glob("*.json")) if path.name != SAMPLE]
        return [DataFile(SUCCESS_MARK, 0), *sorted(files, key=lambda file: file.name)]

    def failed_file(self, sandbox: Sandbox, batch_id: str, name: str) -> DataFile:
        """Return one file of a failed batch.

        Raises:
            BatchUnknown: The sandbox has no such batch.
            DataFileUnknown: It has no such file.
        """
        return _named(self.failed_files(sandbox, batch_id), name)

    def meta(self, sandbox: Sandbox, batch_id: str, path: str) -> list[DataFile] | DataFile:
        """Return what lies at a path of a batch's meta folder: the entries of a folder, or a file.

        Args:
            sandbox: The sandbox.
            batch_id: The batch.
            path: ``row_errors``, ``row_errors/<file>``, ``input_files``…; empty for the root.

        Raises:
            BatchUnknown: The sandbox has no such batch.
            DataFileUnknown: There is nothing at the path.
        """
        batch = self._batch(sandbox, batch_id)
        folders = self._meta_folders(batch)
        path = path.strip("/")
        if not path:
            return self._meta_root(batch, folders)
        if path in (SAMPLE, _OLD_SAMPLE):
            return _named(self._samples(batch), path)
        head, _, name = path.partition("/")
        if head not in folders:
            raise DataFileUnknown(f"Batch {batch_id} has no '{path}'.", path="path")
        return _named(folders[head], name) if name else folders[head]

    def _meta_root(self, batch: Batch, folders: Mapping[str, list[DataFile]]) -> list[DataFile]:
        listed = [
            DataFile(name, sum(file.byte_count for file in files), is_folder=True) for name, files in folders.items() if files
        ]
        return listed + self._samples(batch)[:1]

    def _meta_folders(self, batch: Batch) -> dict[str, list[DataFile]]:
        names = [file.name for file in self._batches.files(batch.id)]
        content = b"".join(msgspec.json.encode({"path": name}) + b"\n" for name in names)
        rows = sorted((quarantine_folder(self._home, batch.id) / FOLDER).glob("*.json"))
        return {
            FOLDER: [_on_disk(path) for path in rows],
            _INPUT_FILES: [DataFile(_FILE_META, len(content), content=content)] if names else [],
        }

    def _samples(self, batch: Batch) -> list[DataFile]:
        sample = quarantine_folder(self._home, batch.id) / SAMPLE
        if not sample.exists():
            return []
        return [DataFile(name, sample.stat().st_size, sample) for name in (SAMPLE, _OLD_SAMPLE)]

    def _batch(self, sandbox: Sandbox, batch_id: str) -> Batch:
        if not is_safe_id(batch_id):
            raise BatchUnknown(batch_id)
        return self._batches.batch(sandbox, batch_id)


def _on_disk(path: Path) -> DataFile:
    return DataFile(path.name, path.stat().st_size, path)


def _named(files: list[DataFile], name: str) -> DataFile:
    found = next((file for file in files if file.name == name), None)
    if found is None:
        raise DataFileUnknown(f"There is no file '{name}' here.", path="path")
    return found
