"""Datasets on the wire."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from headrace.api.context import Context
from headrace.api.patching import apply_patch, operations_of
from headrace.catalog.dataset import Dataset
from headrace.catalog.dataset_labels import LABELS_MEMBER
from headrace.catalog.dataset_rules import WRITABLE
from headrace.catalog.datasets import Edit
from headrace.catalog.errors import DatasetInvalid
from headrace.catalog.observable import observable_schema

OBSERVABLE = "observableSchema"
_SUCCESSFUL, _FAILED = ("success", "active"), ("failed", "failure")


class DatasetWriter:
    """Writes the datasets of one sandbox; what they need of batches and lake is read once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._facts = context.services.catalog.facts(context.sandbox)
        self._batches = context.services.batches.newest_by_status(context.sandbox)

    def row(self, dataset: Dataset, *, has_schema: bool) -> dict[str, Any]:
        """Return a dataset's wire form with its ``id``.

        Args:
            dataset: The dataset.
            has_schema: Whether to add its observable schema.
        """
        facts = self._facts.get(dataset.number, {})
        row = {
            "id": dataset.id,
            "state": "ACTIVE",
            "namespace": "ACP",
            **deepcopy({name: value for name, value in dataset.body.items() if name != LABELS_MEMBER}),
            "imsOrg": self._context.organization_id,
            "sandboxId": self._context.sandbox.id,
            "version": dataset.wire_version,
            "created": dataset.created_at,
            "updated": dataset.updated_at,
            "files": f"@/dataSetFiles?dataSetId={dataset.id}",
            "basePath": f"lake/{self._context.sandbox.name}/{dataset.table_name}",
            **self._last_batches(dataset),
        }
        metrics = {name: facts.get(name, 0) for name in ("storageSize", "rowCount")}
        row["extensions"].setdefault("adobe_lakeHouse", {})["metrics"] = {
            **metrics,
            "asOf": facts.get("asOf", dataset.created_at),
        }
        if has_schema:
            form = self._context.services.schemas.full_form(self._context.sandbox, dataset.schema_id)
            row[OBSERVABLE] = observable_schema(form, facts.get("observedPaths", ()))
        return row

    def _last_batches(self, dataset: Dataset) -> dict[str, Any]:
        summary = self.last_batches(dataset)
        names = {"lastSuccessfulBatchId": "lastSuccessfulBatch", "lastFailedBatchId": "lastFailedBatch"}
        return {
            names.get(name, name): value for name, value in summary.items() if name in ("lastBatchId", "lastBatchStatus", *names)
        }

    def last_batches(self, dataset: Dataset) -> dict[str, Any]:
        """Return which batches of a dataset are the newest; empty when it has none."""
        by_status = self._batches.get(dataset.number, {})
        if not by_status:
            return {}
        newest = max(by_status.values(), key=_age)
        summary = {"lastBatchId": newest["id"], "lastBatchStatus": newest["status"]}
        for name, statuses in (("lastSuccessfulBatchId", _SUCCESSFUL), ("lastFailedBatchId", _FAILED)):
            found = [by_status[status] for status in statuses if status in by_status]
            if found:
                summary[name] = max(found, key=_age)["id"]
        return {**summary, "created": newest["created_at"], "updated": newest["updated_at"]}


def _age(batch: Mapping[str, Any]) -> tuple[int, str]:
    return batch["created_at"], batch["id"]


def patched_by(body: Any) -> Edit:
    """Return the edit of a PATCH: a JSON Patch, or members that replace those of the dataset (tags one by one)."""
    if isinstance(body, list) or (isinstance(body, Mapping) and "op" in body and "path" in body):
        return _patched_by_operations(body)
    if not isinstance(body, Mapping):
        raise DatasetInvalid("A dataset is changed by an object or by an array of operations.", path="/")
    return lambda definition: _merged(definition, body)


def _patched_by_operations(body: Any) -> Edit:
    for index, operation in enumerate(operations_of(body)):
        member = operation["path"].split("/")[1] if "/" in operation["path"] else ""
        if member not in WRITABLE:
            raise DatasetInvalid(f"'{operation['path']}' of a dataset cannot be changed.", path=f"/{index}/path")
    return lambda definition: apply_patch(definition, body, with_parents=True)


def _merged(definition: dict[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**definition, **body}
    if isinstance(body.get("tags"), Mapping):
        tags = {**definition.get("tags", {}), **body["tags"]}
        merged["tags"] = {name: values for name, values in tags.items() if values is not None}
    return merged


def deeply_patched_by(body: Any) -> Edit:
    """Return the edit of a PATCH of version 2: a JSON Patch, or a merge at every depth; null removes."""
    if isinstance(body, Mapping) and not ("op" in body and "path" in body):
        return lambda definition: _deeply_merged(definition, body)
    return patched_by(body)


def _deeply_merged(present: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(present)
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            before = merged.get(name)
            merged[name] = _deeply_merged(before if isinstance(before, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged
