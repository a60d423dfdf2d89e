"""Data Access: files of batches, in whole and in part."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response, StreamingResponse

from headrace.api.context import Context, context_of, exchange_of
from headrace.api.errors import render
from headrace.api.paging import limit_of
from headrace.api.wire.answer import answer, empty
from headrace.errors import InvalidInput
from headrace.ingest.batch_errors import PathMissing
from headrace.ingest.data_access import DataFile, DatasetFile

BASE = "/data/foundation/export"
router = APIRouter(prefix=BASE, tags=["Data access"])
_PAGE = 100
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_MEDIA_TYPES = {"parquet": "application/parquet", "csv": "application/csv", "json": "application/json"}


class RangeUnsatisfiable(InvalidInput):
    """The range lies beyond the end of the file."""

    code = "range_unsatisfiable"
    wire_code = "DAS-1006"
    wire_title = "Range not satisfiable"
    wire_status = 416


@router.get("/batches/{batch_id}/files")
def list_dataset_files(batch_id: str, request: Request, context: Context = Depends(context_of)) -> Response:
    """List a batch's dataset files (listDatasetFiles)."""
    files = context.services.data_access.dataset_files(context.sandbox, batch_id)
    return _page([_dataset_file(file, context) for file in files], [file.id for file in files], request, context)


@router.get("/batches/{batch_id}/failed")
def show_failed_batch(batch_id: str, request: Request, path: str = "", context: Context = Depends(context_of)) -> Response:
    """List what a failed batch holds, or download one of its files (retrieveFailedBatch)."""
    access = context.services.data_access
    if path:
        return _download(access.failed_file(context.sandbox, batch_id, path), request)
    return _listing(access.failed_files(context.sandbox, batch_id), f"/batches/{batch_id}/failed", request, context)


@router.get("/batches/{batch_id}/meta")
def show_batch_meta(batch_id: str, request: Request, path: str = "", context: Context = Depends(context_of)) -> Response:
    """List what is known about a batch's rows and files, or download one of these files (retrieveBatchMeta)."""
    found = context.services.data_access.meta(context.sandbox, batch_id, path)
    if isinstance(found, DataFile):
        return _download(found, request)
    return _listing(found, f"/batches/{batch_id}/meta", request, context, folder=path.strip("/"))


@router.get("/files/{file_id}")
def show_dataset_file(file_id: str, request: Request, path: str = "", context: Context = Depends(context_of)) -> Response:
    """List the parts of a dataset file, or download one of them (retrieveDatasetFile)."""
    access = context.services.data_access
    if path:
        return _download(access.part(context.sandbox, file_id, path), request)
    return _listing(access.parts(context.sandbox, file_id), f"/files/{file_id}", request, context)


@router.head("/files/{file_id}")
def show_dataset_file_headers(file_id: str, path: str = "", context: Context = Depends(context_of)) -> Response:
    """Tell the length and type of a part of a dataset file (retrieveDatasetFileHeaders)."""
    if not path:
        raise PathMissing("The query has no 'path'.", path="path")
    file = context.services.data_access.part(context.sandbox, file_id, path)
    return empty(200, headers={**_headers(file), "Content-Length": str(file.byte_count)})


@router.get("/datasets/{dataset_id}/preview")
def preview_dataset(dataset_id: str, context: Context = Depends(context_of)) -> Response:
    """Show the first rows of a dataset (retrieveDatasetPreview)."""
    return answer({"data": context.services.data_access.preview(context.sandbox, dataset_id)})


# --- lists ------------------------------------------------------------------------------------------------------------------


def _dataset_file(file: DatasetFile, context: Context) -> dict[str, object]:
    return {
        "dataSetFileId": file.id,
        "dataSetViewId": file.view_id,
        "version": "1.0.0",
        "created": str(file.batch.created_at),
        "updated": str(file.batch.updated_at),
        "records": str(file.row_count),
        "size": str(file.byte_count),
        "isValid": True,
        "_links": {"self": {"href": f"{context.origin}{BASE}/files/{file.id}"}},
    }


def _listing(files: Sequence[DataFile], place: str, request: Request, context: Context, folder: str = "") -> Response:
    prefix = f"{folder}/" if folder else ""
    rows: list[dict[str, object]] = [
        {
            "name": file.name,
            "length": str(file.byte_count),
            "_links": {"self": {"href": f"{context.origin}{BASE}{place}?path={quote(prefix + file.name, safe='')}"}},
        }
        for file in files
    ]
    return _page(rows, [file.name for file in files], request, context)


def _page(rows: list[dict[str, object]], names: Sequence[str], request: Request, context: Context) -> Response:
    limit = limit_of(request.query_params.get("limit"), default=_PAGE, most=_PAGE, is_capped=True)
    start = _start(request.query_params.get("start", ""), names)
    shown = rows[start : start + limit]
    url = f"{context.origin}{request.url.path}"
    links: dict[str, object] = {"page": {"href": f"{url}?start={{?start}}&limit={{?limit}}", "templated": True}}
    if start + limit < len(rows):
        links["next"] = {"href": f"{url}?start={start + limit}&limit={limit}"}
    return answer({"data": shown, "_page": {"limit": limit, "count": len(shown)}, "_links": links})


def _start(given: str, names: Sequence[str]) -> int:
    """Return the offset that ``start`` means: a number, or the name of an entry."""
    if given.isdecimal():
        return int(given)
    return names.index(given) if given in names else 0


# --- bytes ------------------------------------------------------------------------------------------------------------------


def _headers(file: DataFile) -> dict[str, str]:
    media = _MEDIA_TYPES.get(file.name.rpartition(".")[2], "application/octet-stream")
    return {"Accept-Ranges": "bytes", "Content-Type": media}


def _download(file: DataFile, request: Request) -> Response:
    wanted = request.headers.get("range") or request.query_params.get("range", "")
    # Bytes are sent as they are: a compressed answer would hide the length and shift the ranges.
    headers = {**_headers(file), "Content-Encoding": "identity"}
    part = _range_of(wanted, file.byte_count)
    if part is None:
        return StreamingResponse(file.read(0, file.byte_count - 1), headers={**headers, "Content-Length": str(file.byte_count)})
    first, last = part
    if first >= file.byte_count or first > last:
        return _unsatisfiable(file, request)
    headers |= {"Content-Range": f"bytes {first}-{last}/{file.byte_count}", "Content-Length": str(last - first + 1)}
    return StreamingResponse(file.read(first, last), 206, headers=headers)


def _unsatisfiable(file: DataFile, request: Request) -> Response:
    fault = RangeUnsatisfiable(f"'{file.name}' has {file.byte_count} bytes; the range begins behind them.", path="Range")
    refused = render(fault, exchange_of(request.scope))
    refused.headers["Content-Range"] = f"bytes */{file.byte_count}"
    return refused


def _range_of(text: str, length: int) -> tuple[int, int] | None:
    """Return the first and last byte that a range means; None for the whole: no range, several, or one that is none."""
    found = _RANGE.fullmatch(text.strip().replace(" ", ""))
    if found is None or found[0] == "bytes=-":
        return None
    if not found[1]:
        return max(0, length - int(found[2])), length - 1
    if found[2] and int(found[2]) < int(found[1]):
        return None
    return int(found[1]), min(int(found[2]), length - 1) if found[2] else length - 1
