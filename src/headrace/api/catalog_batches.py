"""Catalog Service: batches."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import QueryParams
from starlette.responses import Response

from headrace.api.body import JsonBody, JsonObject
from headrace.api.catalog import BASE, IfMatch, IfNoneMatch, Pragma, is_dry_run
from headrace.api.context import Context, context_of
from headrace.api.paging import value_at
from headrace.api.patching import apply_patch
from headrace.api.wire.answer import answer, empty
from headrace.api.wire.catalog import CatalogQuery, parse_query, references, version_headers, version_in
from headrace.api.wire.datasets import DatasetWriter
from headrace.catalog.batch import Batch, with_synonyms
from headrace.catalog.batches import BatchFilter
from headrace.catalog.dataset import Dataset
from headrace.catalog.errors import BatchInvalid, VersionMismatch

router = APIRouter(prefix=BASE, tags=["Catalog"])


@router.get("/batches")
def list_batches(request: Request, context: Context = Depends(context_of)) -> Response:
    """List batches, keyed by id."""
    query = parse_query(request.query_params)
    return answer(_applied(query).page(_rows(context, query)))


@router.get("/batches/uniques/{field}")
def list_unique_values(field: str, request: Request, context: Context = Depends(context_of)) -> Response:
    """List the distinct values of a member among the batches that fit."""
    query = parse_query(request.query_params)
    everything = CatalogQuery(10**9, 0, (), query.order, query.is_default_order, query.conditions, query.tags, query.ranges)
    values: dict[Any, None] = {}
    for batch_id, row in _applied(everything).page(_rows(context, query)).items():
        value = batch_id if field in ("id", "batch") else value_at(row, field)
        if isinstance(value, str | int | float | bool):
            values[value] = None
    return answer(list(values)[query.start : query.start + query.limit])


def _applied(query: CatalogQuery) -> CatalogQuery:
    return query.without("status", "dataSet" if query.values_of("dataSet") else "dataSetId", "batch")


def _rows(context: Context, query: CatalogQuery) -> Iterator[dict[str, Any]]:
    """Yield the batches that fit the parts of a query that the store understands, the newest first."""
    catalog, sandbox = context.services.catalog, context.sandbox
    ids, wanted_batches = query.values_of("dataSet") or query.values_of("dataSetId"), query.values_of("batch")
    statuses = query.values_of("status")
    datasets = {item.number: item for item in catalog.datasets(sandbox)}
    numbers = [item.number for item in datasets.values() if item.id in ids] if ids is not None else None
    wanted = BatchFilter(
        datasets=numbers,
        statuses=[name for status in statuses for name in with_synonyms(status)] if statuses is not None else None,
        created_after=query.bound("created", is_lower=True),
        created_before=query.bound("created", is_lower=False),
        updated_after=query.bound("updated", is_lower=True),
        updated_before=query.bound("updated", is_lower=False),
    )
    for batch in context.services.batches.list(sandbox, wanted):
        if wanted_batches is None or batch.id in wanted_batches:
            dataset = datasets.get(batch.dataset)
            keys = {"id": batch.id, "batch": batch.id, "dataSet": dataset.id if dataset else None}
            yield {**keys, **batch_body(batch, dataset, context)}


def batch_body(batch: Batch, dataset: Dataset | None, context: Context) -> dict[str, Any]:
    """Return a batch's wire form, without its id."""
    related = [item for item in batch.body.get("relatedObjects", []) if isinstance(item, Mapping)]
    if dataset is not None and not any(item.get("type") == "dataSet" for item in related):
        related = [{"type": "dataSet", "id": dataset.id}, *related]
    return {
        "externalId": batch.id,
        "tags": {},
        **batch.body,
        "status": batch.status,
        "version": batch.wire_version,
        "imsOrg": context.organization_id,
        "sandboxId": context.sandbox.id,
        "created": batch.created_at,
        "updated": batch.updated_at,
        "relatedObjects": related,
    }


@router.post("/batches")
def create_batch(body: JsonObject, pragma: Pragma = None, context: Context = Depends(context_of)) -> Response:
    """Create a batch for bookkeeping; data comes by the Batch Ingestion API."""
    return _created(context, "", body, pragma)


@router.post("/batches/{id}")
def create_batch_with_id(
    id: str,  # the wire's word, here and below
    body: JsonObject,
    pragma: Pragma = None,
    context: Context = Depends(context_of),
) -> Response:
    """Create a batch with a given id."""
    return _created(context, id, body, pragma)


def _created(context: Context, batch_id: str, body: Mapping[str, Any], pragma: str | None) -> Response:
    status = _status_in(body)
    if status is None:
        raise BatchInvalid("A batch needs a status.", path="/status")
    dataset = _dataset_in(context, body)
    if is_dry_run(pragma):
        return answer([])
    batch = context.services.batches.create(
        context.sandbox, dataset, body, batch_id=batch_id, status=status, client_id=context.client_id, user_id=context.user_id
    )
    headers = {"Location": f"{context.origin}{BASE}/batches/{batch.id}", **version_headers(batch.wire_version)}
    return answer(references("batches", batch.id), 201, headers=headers)


def _status_in(body: Mapping[str, Any]) -> str | None:
    status = body.get("status")
    if status is not None and not isinstance(status, str):
        raise BatchInvalid("'status' is a text.", path="/status")
    return status.lower() if status else None


def _dataset_in(context: Context, body: Mapping[str, Any]) -> Dataset | None:
    related = body.get("relatedObjects")
    listed = [item for item in related if isinstance(item, Mapping)] if isinstance(related, list) else []
    found = next((item.get("id") for item in listed if item.get("type") == "dataSet"), body.get("datasetId"))
    return context.services.catalog.dataset(context.sandbox, str(found)) if found else None


@router.get("/batches/{id}")
@router.get("/batch/{id}")
def get_batch(
    id: str,
    request: Request,
    if_none_match: IfNoneMatch = None,
    context: Context = Depends(context_of),
) -> Response:
    """Look up a batch; the answer is keyed by its id."""
    batch = context.services.batches.batch(context.sandbox, id)
    headers = version_headers(batch.wire_version)
    if version_in(if_none_match) == batch.wire_version:
        return empty(304, headers=headers)
    return answer(_looked_up(context, batch, parse_query(request.query_params)), headers=headers)


def look_up_batch(context: Context, batch_id: str) -> dict[str, Any]:
    """Return a batch as a look-up without a query shows it."""
    return _looked_up(context, context.services.batches.batch(context.sandbox, batch_id), parse_query(QueryParams()))


def _looked_up(context: Context, batch: Batch, query: CatalogQuery) -> dict[str, Any]:
    dataset = context.services.catalog.dataset_by_number(context.sandbox, batch.dataset)
    return {batch.id: query.shown({"id": batch.id, **batch_body(batch, dataset, context)})}


@router.put("/batches/{id}")
def replace_batch(
    id: str,
    body: JsonObject,
    if_match: IfMatch = None,
    context: Context = Depends(context_of),
) -> Response:
    """Replace the members of a batch."""
    return _edited(context, id, lambda _: body, if_match)


@router.patch("/batches/{id}")
def change_batch(
    id: str,
    body: JsonBody,
    if_match: IfMatch = None,
    context: Context = Depends(context_of),
) -> Response:
    """Change members of a batch, by an object or by JSON Patch."""
    if isinstance(body, Mapping) and "op" not in body:
        return _edited(context, id, lambda present: {**present, **body}, if_match)
    return _edited(context, id, lambda present: apply_patch(present, body, with_parents=True), if_match)


def _edited(context: Context, batch_id: str, edit: Any, if_match: str | None) -> Response:
    batches = context.services.batches
    present = batches.batch(context.sandbox, batch_id)
    expected = version_in(if_match)
    if expected and expected != present.wire_version:
        raise VersionMismatch(f"batch {batch_id} has version {present.wire_version}, not {expected}.", path="If-Match")
    status = _status_in(edit({**present.body, "status": present.status}))
    batch = batches.edit(
        context.sandbox, batch_id, lambda body: edit({**body, "status": present.status}), status, user_id=context.user_id
    )
    return answer(references("batches", batch.id), headers=version_headers(batch.wire_version))


@router.delete("/batches/{id}")
def delete_batch(id: str, context: Context = Depends(context_of)) -> Response:
    """Forget a batch; to remove its data, revert it by the Batch Ingestion API."""
    context.services.batches.delete(context.sandbox, id)
    return answer(references("batches", id))


@router.get("/lastBatches")
def list_last_batches(request: Request, context: Context = Depends(context_of)) -> Response:
    """List the newest batches of each dataset, keyed by dataset."""
    query = parse_query(request.query_params)
    ids = query.values_of("dataSetId")
    writer = DatasetWriter(context)
    owner = {"imsOrg": context.organization_id, "sandboxId": context.sandbox.id}
    rows = [
        {"id": dataset.id, **summary, **owner}
        for dataset in context.services.catalog.datasets(context.sandbox)
        if (ids is None or dataset.id in ids) and (summary := writer.last_batches(dataset))
    ]
    rows.sort(key=lambda row: (-row["created"], row["id"]))
    return answer(query.without("dataSetId").page(rows))
