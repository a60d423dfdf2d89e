"""Catalog Service: datasets, their views and files."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request
from starlette.datastructures import QueryParams
from starlette.responses import Response

from headrace.api.body import JsonBody, JsonObject
from headrace.api.context import Context, context_of
from headrace.api.wire.answer import answer, empty
from headrace.api.wire.catalog import CatalogQuery, parse_query, references, version_headers, version_in
from headrace.api.wire.datasets import OBSERVABLE, DatasetWriter, deeply_patched_by, patched_by
from headrace.catalog.batches import BatchFilter
from headrace.catalog.dataset import Dataset
from headrace.catalog.dataset_rules import DEFAULT_RETENTION, LONGEST_RETENTION, SHORTEST_RETENTION
from headrace.catalog.datasets import Actor
from headrace.catalog.errors import UnsupportedObject
from headrace.errors import Denied

BASE = "/data/foundation/catalog"
router = APIRouter(prefix=BASE, tags=["Catalog"])
_KINDS = ("dataSets", "batches", "lastBatches", "dataSetViews", "dataSetFiles")
_IN_LAKE = ("success", "active")
IfMatch = Annotated[str | None, Header(alias="If-Match")]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match")]
Pragma = Annotated[str | None, Header()]


class CredentialsWithheld(Denied):
    """Nobody is given the lake's own credentials."""

    code = "dataset_credentials_withheld"
    wire_code = "CTLG-1003"


def is_dry_run(pragma: str | None) -> bool:
    """Tell whether a request asks to be checked only (``Pragma: validate-only``)."""
    return (pragma or "").strip().lower() == "validate-only"


def _actor(context: Context) -> Actor:
    return Actor(context.client_id, context.user_id)


@router.get("/")
def list_resources() -> Response:
    """List the kinds of objects that the catalog has, as links."""
    return answer({kind: f"@/{kind}" for kind in _KINDS})


@router.get("/dataSets")
def list_datasets(request: Request, context: Context = Depends(context_of)) -> Response:
    """List datasets, keyed by id."""
    query = parse_query(request.query_params)
    writer = DatasetWriter(context)
    newest_first = sorted(context.services.catalog.datasets(context.sandbox), key=lambda item: (-item.created_at, item.id))
    has_schema = OBSERVABLE in query.properties
    return answer(query.page(writer.row(dataset, has_schema=has_schema) for dataset in newest_first))


@router.post("/dataSets")
def create_dataset(body: JsonObject, pragma: Pragma = None, context: Context = Depends(context_of)) -> Response:
    """Create a dataset."""
    catalog = context.services.catalog
    if is_dry_run(pragma):
        catalog.check(context.sandbox, body)
        return answer([])
    dataset = catalog.create(context.sandbox, body, _actor(context))
    headers = {"Location": f"{context.origin}{BASE}/dataSets/{dataset.id}", **version_headers(dataset.wire_version)}
    return answer(references("dataSets", dataset.id), 201, headers=headers)


@router.get("/dataSets/{id}")
def get_dataset(
    id: str,  # the wire's word, here and below
    request: Request,
    if_none_match: IfNoneMatch = None,
    context: Context = Depends(context_of),
) -> Response:
    """Look up a dataset."""
    dataset = context.services.catalog.dataset(context.sandbox, id)
    headers = version_headers(dataset.wire_version)
    if version_in(if_none_match) == dataset.wire_version:
        return empty(304, headers=headers)
    return answer(_looked_up(context, dataset, parse_query(request.query_params)), headers=headers)


def look_up_dataset(context: Context, dataset_id: str) -> dict[str, Any]:
    """Return a dataset as a look-up without a query shows it."""
    return _looked_up(context, context.services.catalog.dataset(context.sandbox, dataset_id), parse_query(QueryParams()))


def _looked_up(context: Context, dataset: Dataset, query: CatalogQuery) -> dict[str, Any]:
    row = DatasetWriter(context).row(dataset, has_schema=not query.properties or OBSERVABLE in query.properties)
    return {dataset.id: query.shown(row)}


@router.put("/dataSets/{id}")
def replace_dataset(
    id: str,
    body: JsonObject,
    if_match: IfMatch = None,
    pragma: Pragma = None,
    context: Context = Depends(context_of),
) -> Response:
    """Replace a dataset; read-only members and the platform's tags stay."""
    return _edited(context, id, lambda _: body, if_match, pragma)


@router.patch("/dataSets/{id}")
def change_dataset(
    id: str,
    body: JsonBody,
    if_match: IfMatch = None,
    pragma: Pragma = None,
    context: Context = Depends(context_of),
) -> Response:
    """Change a dataset by members or by JSON Patch."""
    return _edited(context, id, patched_by(body), if_match, pragma)


@router.patch("/v2/dataSets/{id}")
@router.patch("/v2/datasets/{id}")
def change_dataset_deeply(
    id: str,
    body: JsonBody,
    if_match: IfMatch = None,
    pragma: Pragma = None,
    context: Context = Depends(context_of),
) -> Response:
    """Change a dataset by a merge at every depth, or by JSON Patch."""
    return _edited(context, id, deeply_patched_by(body), if_match, pragma)


def _edited(context: Context, dataset_id: str, edit: Any, if_match: str | None, pragma: str | None) -> Response:
    dataset = context.services.catalog.edit(
        context.sandbox, dataset_id, edit, _actor(context), if_match=version_in(if_match), is_dry_run=is_dry_run(pragma)
    )
    return answer(references("dataSets", dataset.id), headers=version_headers(dataset.wire_version))


@router.delete("/dataSets/{id}")
def delete_dataset(id: str, context: Context = Depends(context_of)) -> Response:
    """Delete a dataset with its data."""
    context.services.catalog.delete(context.sandbox, id)
    return answer(references("dataSets", id))


@router.get("/dataSets/{id}/credentials")
def get_dataset_credentials(id: str, context: Context = Depends(context_of)) -> Response:
    """Refuse: the lake lies in the server's home folder and has no credentials to hand out."""
    context.services.catalog.dataset(context.sandbox, id)
    raise CredentialsWithheld("This server hands out no storage credentials.", hint="Read the data by the Data Access API.")


@router.get("/dataSets/{id}/views")
def list_views(id: str, context: Context = Depends(context_of)) -> Response:
    """List the views of a dataset: it has one."""
    dataset = context.services.catalog.dataset(context.sandbox, id)
    return answer({dataset.body["viewId"]: _view(context, dataset)})


@router.get("/dataSets/{id}/views/{view}")
def get_view(id: str, view: str, context: Context = Depends(context_of)) -> Response:
    """Look up a view of a dataset."""
    dataset = _dataset_of_view(context, id, view)
    return answer({view: _view(context, dataset)})


@router.get("/dataSets/{id}/views/{view}/files")
def list_view_files(id: str, view: str, request: Request, context: Context = Depends(context_of)) -> Response:
    """List the files of a view."""
    return answer(_files(context, _dataset_of_view(context, id, view), parse_query(request.query_params)))


@router.get("/dataSetViews")
def list_all_views(request: Request, context: Context = Depends(context_of)) -> Response:
    """List the views of all datasets."""
    query = parse_query(request.query_params)
    datasets = reversed(context.services.catalog.datasets(context.sandbox))
    return answer(query.page({"id": item.body["viewId"], **_view(context, item)} for item in datasets))


@router.get("/dataSetFiles")
def list_files(request: Request, context: Context = Depends(context_of)) -> Response:
    """List the files of a dataset (``dataSetId=``)."""
    query = parse_query(request.query_params)
    ids = query.values_of("dataSetId")
    if not ids:
        raise UnsupportedObject("Files are listed by dataset.", path="dataSetId", hint="Add dataSetId= to the query.")
    return answer(_files(context, context.services.catalog.dataset(context.sandbox, ids[0]), query.without("dataSetId")))


def _dataset_of_view(context: Context, dataset_id: str, view_id: str) -> Dataset:
    dataset = context.services.catalog.dataset(context.sandbox, dataset_id)
    if dataset.body["viewId"] != view_id:
        raise UnsupportedObject(f"dataSet {dataset_id} has no view {view_id}", path="viewId")
    return dataset


def _view(context: Context, dataset: Dataset) -> dict[str, Any]:
    return {
        "dataSetId": dataset.id,
        "imsOrg": context.organization_id,
        "sandboxId": context.sandbox.id,
        "version": dataset.wire_version,
        "created": dataset.created_at,
        "updated": dataset.updated_at,
        "createdClient": dataset.body["createdClient"],
        "createdUser": dataset.body["createdUser"],
        "updatedUser": dataset.body["updatedUser"],
        "files": f"@/dataSetFiles?dataSetId={dataset.id}",
    }


def _files(context: Context, dataset: Dataset, query: CatalogQuery) -> dict[str, Any]:
    batches = context.services.batches.list(context.sandbox, BatchFilter(datasets=(dataset.number,), statuses=_IN_LAKE))
    return query.page(
        {
            "id": f"{batch.id}-1",
            "batchId": batch.id,
            "dataSetId": dataset.id,
            "dataSetViewId": dataset.body["viewId"],
            "imsOrg": context.organization_id,
            "version": batch.wire_version,
            "created": batch.created_at,
            "updated": batch.updated_at,
            "records": batch.body.get("recordCount", 0),
        }
        for batch in batches
    )


@router.get("/ttl/{id}")
def get_retention_bounds(id: str, context: Context = Depends(context_of)) -> Response:
    """Return the bounds of row expiration, and what is set."""
    dataset = context.services.catalog.dataset(context.sandbox, id)
    retention = dataset.body["extensions"].get("adobe_lakeHouse", {}).get("rowExpiration", {})
    bounds = {"defaultValue": DEFAULT_RETENTION, "maxValue": LONGEST_RETENTION, "minValue": SHORTEST_RETENTION}
    return answer({"extensions": {"adobe_lakeHouse": {"rowExpiration": {**bounds, **retention}}}})


@router.get("/connections")
@router.get("/accounts")
@router.get("/connectors")
def list_former_objects() -> Response:
    """Answer that there is none of the objects that Flow Service has replaced."""
    return answer({})
