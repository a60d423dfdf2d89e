"""Batch Ingestion: batches, their files, and what is done with them."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from headrace.api.body import RAW_BODY, JsonObject, raw_body
from headrace.api.catalog_batches import batch_body
from headrace.api.context import Context, context_of
from headrace.api.wire.answer import answer, empty
from headrace.catalog.batch import Batch, BatchFile
from headrace.errors import HeadraceError
from headrace.ingest.batch_errors import ActionUnknown, MediaTypeUnsupported
from headrace.ingest.uploads import LONGEST_PART_BYTES, content_range_of

_FILE = "/batches/{batch_id}/datasets/{dataset_id}/files/{file_path:path}"
_BLOCK_BYTES = 1 << 20
_SMALL_BODY, _LARGE_BODY = raw_body(256 * (1 << 20)), raw_body(LONGEST_PART_BYTES)
_PREVIEW_NAMES = ("format", "isMultiLineJson", "delimiter", "quote", "escape", "charset", "header")

router = APIRouter(prefix="/data/foundation/import", tags=["Batch ingestion"])
Result = TypeVar("Result")


class _Upload(Protocol):
    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...


@router.post("/batches")
@router.patch("/batches")
def create_batch(body: JsonObject, context: Context = Depends(context_of)) -> Response:
    """Open a batch (createBatch); a replay may come as PATCH."""
    batch = context.services.imports.create(context.sandbox, body, client_id=context.client_id, user_id=context.user_id)
    return answer(_batch(batch, context), 201)


@router.post("/batches/{batch_id}")
def act_on_batch(batch_id: str, action: str = "", context: Context = Depends(context_of)) -> Response:
    """Complete, abort, fail or revert a batch (completeBatch)."""
    batch = context.services.imports.act(context.sandbox, batch_id, action, user_id=context.user_id)
    return answer(_batch(batch, context))


@router.put(_FILE, openapi_extra=_SMALL_BODY)
async def upload_file(
    batch_id: str, dataset_id: str, file_path: str, request: Request, context: Context = Depends(context_of)
) -> Response:
    """Upload a file of at most 256 MB (uploadSmallFile); one of the same path is replaced."""
    _check_media_type(request)
    imports, place = context.services.imports, (context.sandbox, batch_id, dataset_id, file_path)
    upload = await run_in_threadpool(imports.begin_upload, *place)
    is_new = await _received(request, upload, lambda: imports.finish_upload(*place, upload))
    # The public client takes an answer without JSON for an error unless its status is 200.
    return answer({}, 201) if is_new else empty(200)


@router.patch(_FILE, openapi_extra=_LARGE_BODY)
async def upload_part(
    batch_id: str, dataset_id: str, file_path: str, request: Request, context: Context = Depends(context_of)
) -> Response:
    """Upload a part of a large file (uploadLargeFilePart)."""
    _check_media_type(request)
    part = content_range_of(request.headers.get("content-range"))
    imports, place = context.services.imports, (context.sandbox, batch_id, dataset_id, file_path)
    upload = await run_in_threadpool(imports.begin_part, *place, part)
    file, have = await _received(request, upload, lambda: imports.finish_part(*place, part, upload))
    return answer(_file(file), headers={"Range": have})


@router.post(_FILE, openapi_extra=RAW_BODY)
def act_on_file(
    batch_id: str, dataset_id: str, file_path: str, action: str = "", context: Context = Depends(context_of)
) -> Response:
    """Begin or finish a large file (completeLargeFileUpload)."""
    actions: dict[str, Callable[..., BatchFile]] = {
        "INITIALIZE": context.services.imports.initialize_file,
        "COMPLETE": context.services.imports.complete_file,
    }
    perform = actions.get(action.upper())
    if perform is None:
        raise ActionUnknown(f"'{action}' is no action; use one of {', '.join(actions)}.", path="action")
    return answer(_file(perform(context.sandbox, batch_id, dataset_id, file_path)), 201)


@router.head(_FILE)
def show_file_status(batch_id: str, dataset_id: str, file_path: str, context: Context = Depends(context_of)) -> Response:
    """Tell how much of a file has come (getLargeFileStatus)."""
    file, have = context.services.imports.file_status(context.sandbox, batch_id, dataset_id, file_path)
    return empty(200, headers={"Range": have, "Content-Length": str(file.size_bytes)} if have else None)


@router.get("/batches/{batch_id}/datasets/{dataset_id}/preview")
def preview_batch(
    batch_id: str,
    dataset_id: str,
    request: Request,
    nrow: int = Query(0, ge=0),
    context: Context = Depends(context_of),
) -> Response:
    """Show the first rows of the uploaded files (retrievePreview)."""
    given = {name: request.query_params[name] for name in _PREVIEW_NAMES if name in request.query_params}
    format_, columns, rows = context.services.imports.preview(context.sandbox, batch_id, dataset_id, given, nrow)
    params: dict[str, Any] = {"format": format_.format}
    if format_.format == "json":
        params["isMultiLineJson"] = format_.is_array
    elif format_.format == "csv":
        params |= {"delimiter": format_.delimiter, "quote": format_.quote, "escape": format_.escape}
        params |= {"charset": format_.charset, "header": format_.has_header}
    preview = {
        "columns": [{"cid": str(index), "name": name} for index, name in enumerate(columns)],
        "rows": [{str(index): cell for index, cell in enumerate(row)} for row in rows],
    }
    return answer({"formatParams": params, "preview": preview})


def _batch(batch: Batch, context: Context) -> dict[str, Any]:
    dataset = context.services.imports.dataset_of(context.sandbox, batch)
    return {"id": batch.id, **batch_body(batch, dataset, context)}


def _file(file: BatchFile) -> dict[str, Any]:
    return {"name": file.name, "sizeInBytes": file.size_bytes}


def _check_media_type(request: Request) -> None:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/octet-stream":
        raise MediaTypeUnsupported(
            f"Content-Type is '{media}'.", path="Content-Type", hint="Send the file's bytes as application/octet-stream."
        )


async def _received(request: Request, upload: _Upload, finish: Callable[[], Result]) -> Result:
    """Take a request's body in, piece by piece, and finish the upload; whatever goes wrong, nothing of it stays."""
    body = request.stream()
    try:
        block = bytearray()
        async for piece in body:
            block += piece
            if len(block) >= _BLOCK_BYTES:
                await run_in_threadpool(upload.write, bytes(block))
                block.clear()
        if block:
            await run_in_threadpool(upload.write, bytes(block))
        return await run_in_threadpool(finish)
    except HeadraceError:
        async for _ in body:  # a client that is still sending when the connection is closed would not see the answer
            pass
        raise
    finally:
        await run_in_threadpool(upload.abort)
