"""Dataset Service: the data usage labels of datasets; Catalog has the same under its own path."""

from typing import Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from headrace.api.body import JsonObject
from headrace.api.catalog import BASE as CATALOG
from headrace.api.catalog import IfMatch
from headrace.api.context import Context, context_of
from headrace.api.wire.answer import answer
from headrace.api.wire.catalog import version_headers
from headrace.catalog.dataset_labels import DatasetLabels

_LABELS = "/data/foundation/dataset/datasets/{id}/labels"
_CATALOG_LABELS = f"{CATALOG}/dataSets/{{id}}/labels"
router = APIRouter(tags=["Dataset Service"])


@router.get(_LABELS)
@router.get(_CATALOG_LABELS)
def get_labels(id: str, context: Context = Depends(context_of)) -> Response:  # the wire's word, here and below
    """Look up the labels of a dataset and of its fields; the answer is keyed by the dataset."""
    found = context.services.catalog.labels.labels(context.sandbox, id)
    body = {"imsOrg": context.organization_id, **_body(found)}
    return answer({f"AEP:dataset:{id}": body}, headers=version_headers(found.etag))


@router.post(_LABELS)
@router.post(_CATALOG_LABELS)
def create_labels(id: str, body: JsonObject, context: Context = Depends(context_of)) -> Response:
    """Label a dataset that has no labels."""
    made = context.services.catalog.labels.create(context.sandbox, id, body)
    return answer(_body(made), 201, headers=version_headers(made.etag))


@router.put(_LABELS)
@router.put(_CATALOG_LABELS)
def replace_labels(id: str, body: JsonObject, if_match: IfMatch = None, context: Context = Depends(context_of)) -> Response:
    """Replace all labels of a dataset."""
    made = context.services.catalog.labels.replace(context.sandbox, id, body, _etag(if_match))
    return answer(_body(made), headers=version_headers(made.etag))


@router.delete(_LABELS)
@router.delete(_CATALOG_LABELS)
def delete_labels(id: str, if_match: IfMatch = None, context: Context = Depends(context_of)) -> Response:
    """Remove all labels of a dataset."""
    context.services.catalog.labels.delete(context.sandbox, id, _etag(if_match))
    return answer({})


def _etag(if_match: str | None) -> str:
    return (if_match or "").strip().removeprefix("W/").strip('"')


def _body(labels: DatasetLabels) -> dict[str, Any]:
    return {"labels": labels.labels, "optionalLabels": labels.optional_labels}
