"""Segmentation: segment definitions and audiences, jobs, schedules, previews."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, Body, Depends, Query, Request
from starlette.responses import Response

from headrace.api.context import Context, context_of
from headrace.api.paging import filtered, limit_of, ordered, parse_order, parse_properties, start_of
from headrace.api.wire.answer import answer, empty
from headrace.api.wire.segment_jobs import (
    created_preview,
    estimate_body,
    job_body,
    predicate_of,
    preview_body,
    schedule_body,
    schedule_changes,
    schedule_of,
    wanted_segments,
)
from headrace.api.wire.segmentation import (
    METHOD_FLAGS,
    Shown,
    audience_body,
    definition_of,
    explained_body,
    live_metrics,
    patched_definition,
    sandbox_body,
    segment_body,
)
from headrace.audience.conversion import converted
from headrace.audience.definition import INACTIVE, Audience
from headrace.audience.errors import AudiencesUnknown, AudienceUnknown, BulkRequestInvalid, ExpressionInvalid

router = APIRouter(tags=["Segmentation"])
_BASE = "/data/core/ups"
_MOST = 100
_PREVIEW_ROWS = 1_000
Json = dict[str, Any]

# --- segment definitions --------------------------------------------------------------------------------------------------


@router.get(f"{_BASE}/segment/definitions")
def list_definitions(
    request: Request,
    start: str | None = None,
    page: str | None = None,
    limit: str | None = None,
    sort: str | None = None,
    context: Context = Depends(context_of),
) -> Response:
    """List segment definitions."""
    audiences = [item for item in context.services.audiences.all(context.sandbox) if not item.is_external]
    rows = [segment_body(item, context.sandbox) for item in _of_methods(audiences, request.query_params)]
    size = limit_of(limit, default=_MOST, most=_MOST, is_capped=True)
    number = start_of(page if page is not None else start)
    order = parse_order(sort, default="creationTime:desc")
    found = ordered(rows, order)
    field, is_descending = order[0]
    shown = {
        "totalCount": len(found),
        "totalPages": -(-len(found) // size),
        "sortField": field,
        "sort": "desc" if is_descending else "asc",
        "pageSize": size,
        "limit": size,
    }
    return answer({"segments": found[number * size : (number + 1) * size], "page": shown, "link": {}})


def _of_methods(audiences: Sequence[Audience], query: Mapping[str, str]) -> list[Audience]:
    wanted = [
        method for method, flag in METHOD_FLAGS.items() if query.get(f"evaluationInfo.{flag}.enabled", "").lower() == "true"
    ]
    return [item for item in audiences if not wanted or item.method in wanted]


@router.post(f"{_BASE}/segment/definitions")
def create_definition(body: Json = Body(), context: Context = Depends(context_of)) -> Response:
    """Create a segment definition; the system chooses how it is evaluated."""
    definition = definition_of({**body, "type": None}, user_id=context.user_id)
    return answer(segment_body(context.services.audiences.create(context.sandbox, definition), context.sandbox))


@router.post(f"{_BASE}/segment/definitions/bulk-get")
def get_definitions(body: Json = Body(), context: Context = Depends(context_of)) -> Response:
    """Retrieve several segment definitions."""
    ids = _bulk_ids(body)
    found = context.services.audiences.find(context.sandbox, ids)
    results = {audience_id: segment_body(found[audience_id], context.sandbox) for audience_id in ids if audience_id in found}
    if not results:
        raise AudiencesUnknown(ids)
    return answer({"results": results}, 207)


@router.get(f"{_BASE}/segment/definitions/{{definition_id}}")
def get_definition(definition_id: str, context: Context = Depends(context_of)) -> Response:
    """Retrieve a segment definition."""
    return answer(segment_body(_definition(context, definition_id), context.sandbox))


@router.patch(f"{_BASE}/segment/definitions/{{definition_id}}")
def update_definition(definition_id: str, body: Any = Body(), context: Context = Depends(context_of)) -> Response:
    """Overwrite a segment definition with a whole object; members that it lacks stay."""
    _definition(context, definition_id)
    return answer(segment_body(_changed(context, definition_id, body), context.sandbox))


@router.delete(f"{_BASE}/segment/definitions/{{definition_id}}")
def delete_definition(definition_id: str, context: Context = Depends(context_of)) -> Response:
    """Delete a segment definition; refused while a dataflow or another audience uses it."""
    _definition(context, definition_id)
    context.services.audiences.delete(context.sandbox, definition_id)
    return answer({"status": True, "message": f"Segment definition {definition_id} has been deleted."})


def _definition(context: Context, definition_id: str) -> Audience:
    audience: Audience = context.services.audiences.get(context.sandbox, definition_id)
    if audience.is_external:
        raise AudienceUnknown(definition_id)
    return audience


def _changed(context: Context, audience_id: str, body: Any) -> Audience:
    """Return an audience after a body that is an object (given members) or a list (JSON Patch)."""
    read = patched_definition if isinstance(body, list) else definition_of
    audience: Audience = context.services.audiences.update(
        context.sandbox, audience_id, lambda base: read(body, base, user_id=context.user_id)
    )
    return audience


@router.post(f"{_BASE}/segment/conversion")
def convert_definition(body: Json = Body(), context: Context = Depends(context_of)) -> Response:
    """Convert a query from text to JSON or back; nothing is stored."""
    definition = definition_of({"name": "-", **body, "type": None, "ttlInDays": None})
    assert definition.expression is not None  # noqa: S101 - definition_of refuses a new one without
    expression = msgspec.to_builtins(converted(definition.expression))
    return answer(
        {**body, "expression": expression, "imsOrgId": context.organization_id, "sandbox": sandbox_body(context.sandbox)}
    )


# --- audiences ------------------------------------------------------------------------------------------------------------


@router.get(f"{_BASE}/audiences")
def list_audiences(
    request: Request,
    start: str | None = None,
    limit: str | None = None,
    sort: str | None = None,
    name: str | None = None,
    description: str | None = None,
    property_filters: list[str] = Query([], alias="property"),
    context: Context = Depends(context_of),
) -> Response:
    """List audiences; inactive ones are hidden unless the filter asks for their state."""
    is_state_asked = any("lifecycleState" in text for text in property_filters)
    audiences = [
        item for item in context.services.audiences.all(context.sandbox) if is_state_asked or item.lifecycle_state != INACTIVE
    ]
    users = _dependents(context)
    rows = [
        audience_body(item, Shown(context.sandbox, tuple(users.get(item.id, ()))))
        for item in _of_methods(audiences, request.query_params)
    ]
    rows = [row for row in filtered(rows, parse_properties(property_filters)) if _contains(row, "name", name)]
    rows = [row for row in rows if _contains(row, "description", description)]
    order = parse_order(sort, default="updateTime:desc")
    page = _page(ordered(rows, order), start, limit, "audiences", order[0])
    numbers = {item.id: item.number for item in audiences}
    context.services.profiles.refresh()
    for row in page["children"]:
        row["metrics"] = _metrics(context, numbers[row["id"]], row["id"])
    return answer(page)


def _dependents(context: Context) -> dict[str, list[str]]:
    """Return audience → the audiences that use it."""
    users: dict[str, list[str]] = {}
    for item in context.services.audiences.all(context.sandbox):
        for parent in item.dependencies:
            users.setdefault(parent, []).append(item.id)
    return users


def _metrics(context: Context, number: int, audience_id: str) -> Json:
    members = context.services.profiles.member_count(context.sandbox.number, number)
    return live_metrics(audience_id, members, context.services.clock.now_ms())


def _contains(row: Mapping[str, Any], member: str, wanted: str | None) -> bool:
    return not wanted or wanted.lower() in str(row.get(member, "")).lower()


@router.post(f"{_BASE}/audiences")
def create_audience(body: Json = Body(), context: Context = Depends(context_of)) -> Response:
    """Create an audience, from a query or as an external one."""
    definition = definition_of(body, user_id=context.user_id)
    return answer(_shown(context, context.services.audiences.create(context.sandbox, definition)), 201)


@router.post(f"{_BASE}/audiences/bulk-get")
def get_audiences(body: Json = Body(), context: Context = Depends(context_of)) -> Response:
    """Retrieve several audiences; a missing one is told in its place."""
    ids = _bulk_ids(body)
    found = context.services.audiences.find(context.sandbox, ids)
    if not found:
        raise AudiencesUnknown(ids)
    return answer({"results": {key: _shown(context, found[key]) if key in found else _missing(context, key) for key in ids}}, 207)


def _missing(context: Context, audience_id: str) -> Json:
    message = f"The audience entity {audience_id} is not found. Use a valid entity and try again."
    return {"requestId": context.request_id, "errors": {"404": [{"code": 404, "message": message}]}}


@router.get(f"{_BASE}/audiences/{{audience_id}}")
def get_audience(audience_id: str, context: Context = Depends(context_of)) -> Response:
    """Retrieve an audience."""
    return answer(_shown(context, context.services.audiences.get(context.sandbox, audience_id)))


@router.patch(f"{_BASE}/audiences/{{audience_id}}")
def patch_audience(audience_id: str, body: Any = Body(), context: Context = Depends(context_of)) -> Response:
    """Change members of an audience by a JSON Patch whose operations add."""
    audience = context.services.audiences.update(
        context.sandbox, audience_id, lambda base: patched_definition(body, base, user_id=context.user_id)
    )
    return answer(_shown(context, audience))


@router.put(f"{_BASE}/audiences/{{audience_id}}")
def replace_audience(audience_id: str, body: Json = Body(), context: Context = Depends(context_of)) -> Response:
    """Replace an audience; its namespace and its id there never change."""
    return answer(_shown(context, _changed(context, audience_id, body)))


@router.delete(f"{_BASE}/audiences/{{audience_id}}")
def delete_audience(audience_id: str, context: Context = Depends(context_of)) -> Response:
    """Delete an audience; refused while a dataflow or another audience uses it."""
    context.services.audiences.delete(context.sandbox, audience_id)
    return empty()


def _shown(context: Context, audience: Audience) -> Json:
    services, sandbox = context.services, context.sandbox
    dependents = tuple(item.id for item in services.audiences.dependents(sandbox, audience.id))
    services.profiles.refresh()
    return {**audience_body(audience, Shown(sandbox, dependents)), "metrics": _metrics(context, audience.number, audience.id)}


def _bulk_ids(body: Mapping[str, Any]) -> list[str]:
    items = body.get("ids")
    ids = [item.get("id") for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    named = [str(item) for item in ids if item]
    if not 1 <= len(named) <= _MOST:
        raise BulkRequestInvalid(f"A bulk request names 1 to {_MOST} ids, this one {len(named)}.", path="/ids")
    return named


@router.get("/headrace/audiences/{audience_id}/evaluation")
def explain_evaluation(audience_id: str, context: Context = Depends(context_of)) -> Response:
    """Tell how an audience is evaluated, and for each other method why not so."""
    return answer(explained_body(context.services.audiences.get(context.sandbox, audience_id)))


# --- jobs -----------------------------------------------------------------------------------------------------------------


@router.get(f"{_BASE}/segment/jobs")
def list_jobs(
    status: str | None = None,
    start: str | None = None,
    limit: str | None = None,
    sort: str | None = None,
    property_filters: list[str] = Query([], alias="property"),
    context: Context = Depends(context_of),
) -> Response:
    """List segment jobs."""
    jobs = context.services.segmentation.jobs.all(context.sandbox)
    rows = [job_body(job, context.sandbox) for job in jobs if status is None or job.status == status.upper()]
    for text in property_filters:
        rows = _having_item(rows, text) if "~" in text and "==" in text else filtered(rows, parse_properties([text]))
    order = parse_order(sort, default="creationTime:desc")
    return answer(_page(ordered(rows, order), start, limit, "segment/jobs", order[0]))


def _having_item(rows: Sequence[Json], text: str) -> list[Json]:
    """Return the rows in whose array ``<array>~<key>==<value>`` finds an item."""
    array, _, condition = text.partition("~")
    key, _, value = condition.partition("==")
    return [row for row in rows if any(str(item.get(key.strip())) == value.strip() for item in row.get(array.strip()) or [])]


@router.post(f"{_BASE}/segment/jobs")
def create_job(body: Any = Body(), context: Context = Depends(context_of)) -> Response:
    """Create a segment job for some audiences and what they depend on, or for all."""
    segmentation = context.services.segmentation
    job = segmentation.jobs.create(context.sandbox, wanted_segments(body), request_id=context.request_id)
    segmentation.wake()
    return answer(job_body(job, context.sandbox))


@router.post(f"{_BASE}/segment/jobs/bulk-get")
def get_jobs(body: Json = Body(), context: Context = Depends(context_of)) -> Response:
    """Retrieve several segment jobs."""
    ids = _bulk_ids(body)
    found = context.services.segmentation.jobs.find(context.sandbox, ids)
    if not found:
        raise AudiencesUnknown(ids)
    return answer({"results": {key: job_body(job, context.sandbox) for key, job in found.items()}}, 207)


@router.get(f"{_BASE}/segment/jobs/{{job_id}}")
def get_job(job_id: str, context: Context = Depends(context_of)) -> Response:
    """Retrieve a segment job."""
    return answer(job_body(context.services.segmentation.jobs.get(context.sandbox, job_id), context.sandbox))


@router.delete(f"{_BASE}/segment/jobs/{{job_id}}")
def cancel_job(job_id: str, context: Context = Depends(context_of)) -> Response:
    """Cancel a segment job."""
    segmentation = context.services.segmentation
    segmentation.jobs.cancel(context.sandbox, job_id)
    segmentation.wake()
    return empty()


# --- schedules ------------------------------------------------------------------------------------------------------------


@router.get(f"{_BASE}/config/schedules")
def list_schedules(start: str | None = None, limit: str | None = None, context: Context = Depends(context_of)) -> Response:
    """List schedules."""
    schedules = context.services.segmentation.schedules.all(context.sandbox)
    rows = [schedule_body(item, context.sandbox) for item in schedules]
    return answer(_page(rows, start, limit, "config/schedules", ("createEpoch", False)))


@router.post(f"{_BASE}/config/schedules")
def create_schedule(body: Json = Body(), context: Context = Depends(context_of)) -> Response:
    """Create a schedule."""
    schedule, state = schedule_of(body)
    segmentation = context.services.segmentation
    return answer(schedule_body(segmentation.schedules.create(context.sandbox, schedule, state), context.sandbox))


@router.get(f"{_BASE}/config/schedules/{{schedule_id}}")
def get_schedule(schedule_id: str, context: Context = Depends(context_of)) -> Response:
    """Retrieve a schedule."""
    return answer(schedule_body(context.services.segmentation.schedules.get(context.sandbox, schedule_id), context.sandbox))


@router.patch(f"{_BASE}/config/schedules/{{schedule_id}}")
def update_schedule(schedule_id: str, body: Any = Body(), context: Context = Depends(context_of)) -> Response:
    """Start or stop a schedule, or move its time."""
    context.services.segmentation.schedules.change(context.sandbox, schedule_id, **schedule_changes(body))
    return empty()


@router.delete(f"{_BASE}/config/schedules/{{schedule_id}}")
def delete_schedule(schedule_id: str, context: Context = Depends(context_of)) -> Response:
    """Delete a schedule."""
    context.services.segmentation.schedules.delete(context.sandbox, schedule_id)
    return empty()


# --- previews and estimates -----------------------------------------------------------------------------------------------


@router.post(f"{_BASE}/preview")
def create_preview(body: Json = Body(), context: Context = Depends(context_of)) -> Response:
    """Begin a preview of a query, and an estimate under the same id."""
    try:
        preview = context.services.segmentation.previews.create(context.sandbox, predicate_of(body))
    except ExpressionInvalid as error:
        error.path = "/predicateExpression"
        raise
    return answer(created_preview(preview), 201)


@router.get(f"{_BASE}/preview/{{preview_id}}")
def get_preview(
    preview_id: str, offset: str | None = None, limit: str | None = None, context: Context = Depends(context_of)
) -> Response:
    """Retrieve the persons that a preview has found so far."""
    preview = context.services.segmentation.previews.get(context.sandbox, preview_id)
    size = limit_of(limit, default=_PREVIEW_ROWS, most=_PREVIEW_ROWS, is_capped=True)
    return answer(preview_body(preview, start_of(offset, name="offset"), size, context.origin))


@router.delete(f"{_BASE}/preview/{{preview_id}}")
def delete_preview(preview_id: str, context: Context = Depends(context_of)) -> Response:
    """Delete a preview."""
    context.services.segmentation.previews.delete(context.sandbox, preview_id)
    return answer({"status": True, "message": f"Preview {preview_id} has been deleted."})


@router.get(f"{_BASE}/estimate/{{preview_id}}")
def get_estimate(preview_id: str, context: Context = Depends(context_of)) -> Response:
    """Retrieve what a preview tells about the size of its audience so far."""
    return answer(estimate_body(context.services.segmentation.previews.get(context.sandbox, preview_id), context.origin))


# --- pages ----------------------------------------------------------------------------------------------------------------


def _page(rows: Sequence[Json], start: str | None, limit: str | None, path: str, order: tuple[str, bool]) -> Json:
    """Return one page of a list; ``start`` counts pages, and the last page has no next one."""
    size, number = limit_of(limit, default=_MOST, most=_MOST, is_capped=True), start_of(start)
    total = len(rows)
    shown: Json = {
        "totalCount": total,
        "totalPages": -(-total // size),
        "sortField": order[0],
        "sort": "desc" if order[1] else "asc",
        "pageSize": size,
        "limit": size,
        "start": number,
    }
    following: Json = {}
    if (number + 1) * size < total:
        shown["next"] = number + 1
        following = {"href": f"@/{path}?start={number + 1}&limit={size}&totalCount={total}"}
    return {"children": list(rows[number * size : (number + 1) * size]), "_page": shown, "_links": {"next": following}}
