"""What the lake writer asks of the catalog, and what it writes there about batches."""

from typing import Any

from headrace.catalog.batch import new_batch_id
from headrace.catalog.batches import Batches
from headrace.catalog.datasets import Catalog
from headrace.catalog.errors import BatchUnknown
from headrace.catalog.sandboxes import Sandboxes
from headrace.clock import Clock
from headrace.roles.lake_datasets import Counts, LakeDataset
from headrace.schemas import SchemaRegistry
from headrace.storage.lake import TableId
from headrace.storage.lake.arrow import entity_schema


class CatalogOfLake:
    """Answers from the catalog; keeps nothing but what a revision holds."""

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
        if owner is None or found is None or not self._schemas.exists(owner, found.schema_id):
            return None
        return LakeDataset(
            sandbox=sandbox,
            number=number,
            id=found.id,
            table=TableId(sandbox, found.table_name),
            schema=entity_schema(self._schemas.full_form(owner, found.schema_id)),
            is_event=self._schemas.behavior(owner, found.schema_id) == "time-series",
        )

    def new_batch_id(self) -> str:
        """See `LakeCatalog.new_batch_id`."""
        return new_batch_id(self._clock.now_ms())

    def streamed(self, dataset: LakeDataset, batch_id: str, counts: Counts) -> None:
        """See `LakeCatalog.streamed`."""
        owner = self._sandboxes.by_number(dataset.sandbox)
        if owner is None:
            return
        fields = self._fields(counts)
        try:
            self._batches.change(owner, batch_id, status="success", **fields)
        except BatchUnknown:
            found = self._catalog.dataset_by_number(owner, dataset.number)
            body = {"relatedObjects": [{"type": "dataSet", "id": dataset.id}], **fields}
            self._batches.create(owner, found, body, batch_id=batch_id, status="success")

    def promoted(self, dataset: LakeDataset, batch_id: str, counts: Counts, predecessors: tuple[str, ...]) -> None:
        """See `LakeCatalog.promoted`."""
        owner = self._sandboxes.by_number(dataset.sandbox)
        if owner is None:
            return
        fields = self._fields(counts)
        metrics = fields.pop("metrics")

        def edited(body: dict[str, Any]) -> dict[str, Any]:
            return {**body, **fields, "metrics": {**metrics, **body.get("metrics", {}), "outputRecordCount": counts.rows}}

        self._batches.edit(owner, batch_id, edited, "success")
        for predecessor in predecessors:
            try:
                self._batches.change(owner, predecessor, status="inactive")
            except BatchUnknown:
                continue

    def lost(self, dataset: LakeDataset, batch_id: str, reason: str) -> None:
        """See `LakeCatalog.lost`."""
        owner = self._sandboxes.by_number(dataset.sandbox)
        if owner is not None:
            errors = [{"code": "CONNECTOR-2001-500", "description": f"Error occurred at promotion activity. {reason}"}]
            self._batches.change(owner, batch_id, status="failed", completed=self._clock.now_ms(), errors=errors)

    def _fields(self, counts: Counts) -> dict[str, Any]:
        return {
            "started": counts.started_at_ms or self._clock.now_ms(),
            "completed": self._clock.now_ms(),
            "recordCount": counts.rows,
            "size": counts.output_bytes,
            "metrics": {
                "inputByteSize": counts.input_bytes,
                "inputRecordCount": counts.rows + counts.skipped,
                "outputByteSize": counts.output_bytes,
                "outputFileCount": counts.output_files,
                "outputRecordCount": counts.rows,
                "partitionCount": counts.output_files,
                "failedRecordCount": 0,
            },
            "tags": {"flowId": list(counts.flow_ids)} if counts.flow_ids else {},
        }
