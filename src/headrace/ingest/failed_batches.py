"""Failed streamed records as the catalog shows them: one failed batch."""

from collections.abc import Callable
from typing import Any

from headrace.catalog.batches import Batches
from headrace.catalog.datasets import Catalog
from headrace.catalog.errors import BatchUnknown
from headrace.ingest.quarantine import FailedBatch
from headrace.model import Sandbox


class CatalogFailedBatches:
    """Writes failed batches into the catalog."""

    def __init__(self, batches: Batches, catalog: Catalog, sandbox_of: Callable[[int], Sandbox | None]) -> None:
        self._batches = batches
        self._catalog = catalog
        self._sandbox_of = sandbox_of

    def put(self, batch: FailedBatch) -> None:
        """See `FailedBatches.put`."""
        sandbox = self._sandbox_of(batch.sandbox)
        if sandbox is None:
            return
        fields: dict[str, Any] = {
            "started": batch.opened_at_ms,
            "completed": batch.changed_at_ms,
            "errors": batch.errors,
            "metrics": batch.metrics,
            "failedRecordCount": batch.record_count,
            "tags": {"flowId": batch.flow_ids} if batch.flow_ids else {},
        }
        try:
            self._batches.change(sandbox, batch.id, status="failed", **fields)
        except BatchUnknown:
            dataset = self._catalog.dataset_by_number(sandbox, batch.dataset)
            related = [{"type": "dataSet", "id": dataset.id}] if dataset else []
            body = {**fields, "relatedObjects": related}
            self._batches.create(sandbox, dataset, body, batch_id=batch.id, status="failed")
