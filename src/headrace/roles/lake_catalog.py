"""What the lake writer asks of the catalog, and what it writes there about batches and datasets."""

from collections.abc import Mapping
from typing import Any

from headrace.catalog.batch import Batch, new_batch_id
from headrace.catalog.batches import Batches
from headrace.catalog.dataset_rules import days_of
from headrace.catalog.datasets import Catalog
from headrace.catalog.errors import BatchExists, BatchInvalid, BatchUnknown
from headrace.catalog.sandboxes import Sandboxes
from headrace.clock import Clock
from headrace.errors import NotFound
from headrace.model import Sandbox
from headrace.roles.lake_datasets import Counts, LakeDataset
from headrace.schemas import SchemaRegistry
from headrace.storage.lake import TableId
from headrace.storage.lake.arrow import entity_schema

_UNFINISHED = ("loaded", "staging", "staged", "processing", "queued", "retrying", "stalled")
_SUCCESS = ("active", "success")
PROMOTION_FAILED = "CONNECTOR-2001-500"


class CatalogOfLake:
    """Answers from the catalog; what is told twice, after a crash, is noted once."""

    def __init__(self, sandboxes: Sandboxes, catalog: Catalog, batches: Batches, schemas: SchemaRegistry, clock: Clock) -> None:
        self._sandboxes = sandboxes
        self._catalog = catalog
        self._batches = batches
        self._schemas = schemas
        self._clock = clock

    def revision(self) -> int:
        """See `LakeCatalog.revision`."""
        return self._catalog.revision()

    def dataset(self, sandbox: int, number: int) -> LakeDataset | None:
        """See `LakeCatalog.dataset`."""
        owner = self._sandboxes.by_number(sandbox)
        found = self._catalog.dataset_by_number(owner, number) if owner else None
        if owner is None or found is None:
            return None
        try:
            form: Mapping[str, Any] = self._schemas.full_form(owner, found.schema_id)
            is_event = self._schemas.behavior(owner, found.schema_id) == "time-series"
        except NotFound:  # rows are kept with the columns that the table has, rather than not at all
            form, is_event = {}, False
        return LakeDataset(
            sandbox=sandbox,
            number=number,
            id=found.id,
            table=TableId(sandbox, found.table_name),
            schema=entity_schema(form),
            is_event=is_event,
        )

    def retentions(self) -> dict[TableId, int]:
        """See `LakeCatalog.retentions`."""
        found = {}
        for owner in self._sandboxes.all():
            for dataset in self._catalog.datasets(owner):
                extension = dataset.body.get("extensions", {}).get("adobe_lakeHouse") or {}
                days = days_of((extension.get("rowExpiration") or {}).get("ttlValue"))
                if days:
                    found[TableId(owner.number, dataset.table_name)] = days
        return found

    def resized(self, table: TableId, row_count: int, byte_count: int) -> None:
        """See `LakeCatalog.resized`."""
        owner = self._sandboxes.by_number(table.sandbox)
        datasets = self._catalog.datasets(owner) if owner else ()
        dataset = next((dataset for dataset in datasets if dataset.table_name == table.name), None)
        if owner is not None and dataset is not None:
            self._note_facts(owner, dataset.number, Counts(total_rows=row_count, total_bytes=byte_count))

    def new_batch_id(self) -> str:
        """See `LakeCatalog.new_batch_id`."""
        return new_batch_id(self._clock.now_ms())

    def streamed(self, dataset: LakeDataset, batch_id: str, counts: Counts) -> None:
        """See `LakeCatalog.streamed`."""
        owner = self._sandboxes.by_number(dataset.sandbox)
        found = self._catalog.dataset_by_number(owner, dataset.number) if owner else None
        if owner is None or found is None:
            return
        body: dict[str, Any] = {
            "relatedObjects": [{"type": "dataSet", "id": dataset.id}],
            "started": counts.started_at_ms or self._clock.now_ms(),
            "metrics": {
                "inputByteSize": counts.input_bytes,
                "inputRecordCount": counts.rows + counts.skipped,
                "failedRecordCount": 0,
                **_output_metrics(counts),
            },
            "tags": {"flowId": list(counts.flow_ids)} if counts.flow_ids else {},
            **self._result(counts, 0),
        }
        try:
            self._batches.create(owner, found, body, batch_id=batch_id, status="success")
        except BatchExists:
            return
        self._note_facts(owner, dataset.number, counts)

    def promoted(self, dataset: LakeDataset, batch_id: str, counts: Counts, predecessors: tuple[str, ...]) -> None:
        """See `LakeCatalog.promoted`."""
        owner = self._sandboxes.by_number(dataset.sandbox)
        batch = self._batch(owner, batch_id) if owner else None
        if owner is None or batch is None or batch.status not in _UNFINISHED:  # done before, or taken back in the meantime
            return
        metrics = {**batch.body.get("metrics", {}), **_output_metrics(counts)}
        result = self._result(counts, metrics.get("failedRecordCount", 0))
        self._change(owner, batch_id, "success", _UNFINISHED, metrics=metrics, **result)
        for predecessor in predecessors:
            replaced = self._batch(owner, predecessor)
            if replaced is not None:
                tags = {**replaced.body.get("tags", {}), "acp_successor": [batch_id]}
                self._change(owner, predecessor, "inactive", _SUCCESS, tags=tags)
        self._note_facts(owner, dataset.number, counts)

    def lost(self, dataset: LakeDataset, batch_id: str, reason: str) -> None:
        """See `LakeCatalog.lost`."""
        owner = self._sandboxes.by_number(dataset.sandbox)
        if owner is not None:
            errors = [{"code": PROMOTION_FAILED, "description": f"Error occurred at promotion activity. {reason}"}]
            self._change(owner, batch_id, "failed", _UNFINISHED, completed=self._clock.now_ms(), errors=errors)

    def reverted(self, dataset: LakeDataset, counts: Counts) -> None:
        """See `LakeCatalog.reverted`."""
        owner = self._sandboxes.by_number(dataset.sandbox)
        if owner is not None:
            self._note_facts(owner, dataset.number, counts)

    def _result(self, counts: Counts, failed: int) -> dict[str, Any]:
        return {
            "completed": self._clock.now_ms(),
            "recordCount": counts.rows,
            "failedRecordCount": failed,
            "size": counts.output_bytes,
        }

    def _batch(self, owner: Sandbox, batch_id: str) -> Batch | None:
        try:
            return self._batches.batch(owner, batch_id)
        except BatchUnknown:
            return None

    def _change(self, owner: Sandbox, batch_id: str, status: str, from_statuses: tuple[str, ...], **fields: Any) -> None:
        try:
            self._batches.change(owner, batch_id, status=status, from_statuses=from_statuses, **fields)
        except (BatchInvalid, BatchUnknown):  # somebody else changed or deleted it just now
            return

    def _note_facts(self, owner: Sandbox, number: int, counts: Counts) -> None:
        known = self._catalog.facts(owner).get(number, {})
        self._catalog.note_facts(
            owner,
            number,
            row_count=counts.total_rows,
            storage_bytes=counts.total_bytes,
            observed_paths=sorted(counts.filled_paths.union(known.get("observedPaths", ()))),
        )


def _output_metrics(counts: Counts) -> dict[str, int]:
    metrics = {
        "outputRecordCount": counts.rows,
        "outputByteSize": counts.output_bytes,
        "outputFileCount": counts.output_files,
        "partitionCount": 1 if counts.rows else 0,
    }
    return {**metrics, "skippedRecordCount": counts.skipped} if counts.skipped else metrics
