"""Completed batches in the catalog: what the batch loader works on, and where it writes what became of them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace.catalog.batch import Batch
from headrace.catalog.batches import Batches, BatchFilter
from headrace.catalog.datasets import Catalog
from headrace.catalog.errors import BatchInvalid, BatchUnknown
from headrace.catalog.sandboxes import Sandboxes
from headrace.clock import Clock
from headrace.ingest.batch import IDLE_LIMIT_MS, CompletedBatch, UploadedFile
from headrace.ingest.batch_folders import ANNOUNCED, is_safe_id, staging_folder, upload_path
from headrace.ingest.batch_request import diagnostics_in, error_percent_in, file_format_in, mapping_in
from headrace.model import Sandbox
from headrace.schemas import SchemaRegistry

_OPEN = ("loaded", "staging")


class CatalogBook:
    """The catalog as the batch loader knows it."""

    def __init__(
        self, sandboxes: Sandboxes, catalog: Catalog, batches: Batches, schemas: SchemaRegistry, home: Path, clock: Clock
    ) -> None:
        self._sandboxes = sandboxes
        self._catalog = catalog
        self._batches = batches
        self._schemas = schemas
        self._home = home
        self._clock = clock

    def next_completed(self) -> CompletedBatch | None:
        """See `BatchBook.next_completed`."""
        waiting = sorted(self._waiting(), key=lambda pair: (pair[1].updated_at, pair[1].id))
        for sandbox, batch in waiting:
            completed = self._completed(sandbox, batch)
            if completed is not None:
                return completed
        return None

    def started(self, batch: CompletedBatch) -> None:
        """See `BatchBook.started`."""
        self._change(batch, status="staging", started=self._clock.now_ms())

    def validated(self, batch: CompletedBatch, errors: Sequence[Mapping[str, Any]], metrics: Mapping[str, int]) -> None:
        """See `BatchBook.validated`."""
        self._change(batch, errors=list(errors) or None, metrics=dict(metrics))

    def failed(self, batch: CompletedBatch, errors: Sequence[Mapping[str, Any]], metrics: Mapping[str, int]) -> None:
        """See `BatchBook.failed`."""
        self._change(
            batch,
            status="failed",
            errors=list(errors),
            metrics=dict(metrics),
            failedRecordCount=metrics["failedRecordCount"],
            completed=self._clock.now_ms(),
        )

    def abandon_idle(self) -> int | None:
        """See `BatchBook.abandon_idle`."""
        now_ms = self._clock.now_ms()
        dues = []
        for sandbox in self._sandboxes.all():
            for batch in list(self._batches.list(sandbox, BatchFilter(statuses=("loading",)))):
                due_ms = batch.updated_at + IDLE_LIMIT_MS
                if due_ms > now_ms:
                    dues.append(due_ms)
                    continue
                try:
                    self._batches.change(sandbox, batch.id, status="abandoned", from_statuses=("loading",), completed=now_ms)
                except (BatchInvalid, BatchUnknown):  # it was touched just now
                    continue
        return min(dues, default=None)

    def _waiting(self) -> Iterator[tuple[Sandbox, Batch]]:
        for sandbox in self._sandboxes.all():
            for batch in self._batches.list(sandbox, BatchFilter(statuses=_OPEN)):
                if is_safe_id(batch.id) and not (staging_folder(self._home, batch.id) / ANNOUNCED).exists():
                    yield sandbox, batch

    def _completed(self, sandbox: Sandbox, batch: Batch) -> CompletedBatch | None:
        dataset = self._catalog.dataset_by_number(sandbox, batch.dataset)
        if dataset is None or "inputFormat" not in batch.body:  # bookkeeping of somebody else
            return None
        is_event = self._catalog.is_event_dataset(sandbox, dataset.id)
        return CompletedBatch(
            sandbox=sandbox,
            id=batch.id,
            dataset=dataset.number,
            schema_id=dataset.schema_id,
            files=tuple(
                UploadedFile(file.name, upload_path(self._home, batch.id, file.name), file.size_bytes)
                for file in self._batches.files(batch.id)
                if file.is_complete
            ),
            format=file_format_in(batch.body),
            error_percent=error_percent_in(batch.body),
            has_diagnostics=diagnostics_in(batch.body) or bool(dataset.body.get("enableErrorDiagnostics")),
            is_upsert=dataset.is_upsert and not is_event,
            is_validation_disabled=dataset.is_validation_disabled,
            predecessors=tuple(batch.body.get("replay", {}).get("predecessors", ())),
            mapping=mapping_in(batch.body),
        )

    def _change(self, batch: CompletedBatch, **changes: Any) -> None:
        try:
            self._batches.change(batch.sandbox, batch.id, **changes)
        except BatchUnknown:  # deleted from the catalog; what it holds stays out of reach
            return
