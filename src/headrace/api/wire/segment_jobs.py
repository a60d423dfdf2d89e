"""Wire forms of segment jobs, schedules, previews and estimates. Source: Segmentation Service."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace.api.wire.segmentation import sandbox_body, times
from headrace.audience import jobs as states
from headrace.audience.definition import PROFILE_SCHEMA, Expression
from headrace.audience.errors import JobInvalid, PreviewInvalid, ScheduleInvalid
from headrace.audience.jobs import EVERY_AUDIENCE, Counts, Job
from headrace.audience.schedules import SEGMENTATION, SYSTEM_CRON, Schedule, ScheduleBody
from headrace.model import Sandbox

if TYPE_CHECKING:
    from headrace.audience.preview import Preview

Json = dict[str, Any]
_MOST_SEGMENTS_SHOWN = 1_500

# --- jobs -----------------------------------------------------------------------------------------------------------------


def wanted_segments(body: Any) -> list[str]:
    """Return the ids of audiences that a new job asks for; ``*`` is all.

    Raises:
        JobInvalid: The body names none.
    """
    items = body.get("segments") if isinstance(body, dict) else body
    if not isinstance(items, list) or not items:
        raise JobInvalid("A segment job is an array of {segmentId}, or an object with segments.", path="/")
    found = []
    for index, item in enumerate(items):
        named = item.get("segmentId") if isinstance(item, dict) else None
        if not isinstance(named, str) or not named:
            raise JobInvalid(f"Entry {index} has no segmentId.", path=f"/{index}/segmentId")
        found.append(named)
    return found


def job_body(job: Job, sandbox: Sandbox) -> Json:
    """Return a segment job."""
    body = job.body
    links = {
        "cancel": {"href": f"/segment/jobs/{job.id}", "method": "DELETE"},
        "checkStatus": {"href": f"/segment/jobs/{job.id}", "method": "GET"},
    }
    shown: Json = {
        "id": job.id,
        "imsOrgId": sandbox.organization_id,
        "sandbox": sandbox_body(sandbox),
        "profileInstanceId": "ups",
        "source": body.source,
        "status": job.status,
        "batchId": body.batch_id,
        "computeJobId": body.number,
        "computeGatewayJobId": job.id,
        "segments": _segments(job),
        "metrics": _metrics(job),
        "errors": [{"code": item.code, "msg": item.text, "callStack": []} for item in body.errors],
        "requestId": body.request_id,
        "schema": {"name": PROFILE_SCHEMA},
        "_links": links,
        **times(job.created_at, job.updated_at),
    }
    if body.schedule_id:
        shown["properties"] = {"scheduleId": body.schedule_id, "runId": job.id}
    return shown


def _segments(job: Job) -> list[Json]:
    if job.is_for_all or len(job.body.segments) > _MOST_SEGMENTS_SHOWN:
        return [{"segmentId": EVERY_AUDIENCE}]
    return [
        {
            "segmentId": item.id,
            "segment": {
                "id": item.id,
                "version": item.version,
                "expression": {"type": "PQL", "format": item.format, "value": item.expression},
                "mergePolicyId": item.merge_policy_id,
                "mergePolicy": {"id": item.merge_policy_id, "version": item.policy_version},
            },
        }
        for item in job.body.segments
    ]


def _metrics(job: Job) -> Json:
    figures = job.body.figures
    if not figures.ended_at or job.status != states.SUCCEEDED:
        total = {"startTimeInMs": figures.started_at} if figures.started_at else {}
        return {"totalTime": total, "profileSegmentationTime": {}}
    return {
        "totalTime": _span(figures.started_at, figures.ended_at),
        "profileSegmentationTime": _span(figures.segmented_from, figures.segmented_to),
        "totalProfiles": figures.profiles,
        "totalProfilesByMergePolicy": figures.by_policy,
        "segmentedProfileCounter": {name: item.members for name, item in figures.audiences.items()},
        "segmentedProfileByNamespaceCounter": {name: item.by_namespace for name, item in figures.audiences.items()},
        "segmentedProfileByStatusCounter": {name: _by_status(item) for name, item in figures.audiences.items()},
    }


def _span(start_ms: int, end_ms: int) -> Json:
    return {"startTimeInMs": start_ms, "endTimeInMs": end_ms, "totalTimeInMs": end_ms - start_ms}


def _by_status(counts: Counts) -> Json:
    return {"realized": counts.entered, "existing": counts.stayed, "exited": counts.left}


# --- schedules ------------------------------------------------------------------------------------------------------------


def schedule_of(body: Any) -> tuple[ScheduleBody, str]:
    """Return the schedule that a body describes, and its state.

    Raises:
        ScheduleInvalid: A member is missing or has the wrong shape.
    """
    if not isinstance(body, dict):
        raise ScheduleInvalid("A schedule is a JSON object.", path="/")
    for name in ("name", "type"):
        if not isinstance(body.get(name), str):
            raise ScheduleInvalid(f"Mandatory field '{name}' is missing.", path=f"/{name}")
    properties = body.get("properties") or {}
    if not isinstance(properties, dict):
        raise ScheduleInvalid("'properties' must be an object.", path="/properties")
    segments = properties.get("segments") or []
    if body["type"] == SEGMENTATION and not segments:
        raise ScheduleInvalid("properties.segments is missing.", path="/properties/segments", hint='Write ["*"] for all.')
    return (
        ScheduleBody(
            name=body["name"],
            type=body["type"],
            segments=tuple(str(item) for item in segments),
            cron=str(body.get("schedule") or SYSTEM_CRON),
            properties=properties,
        ),
        str(body.get("state") or "inactive"),
    )


def schedule_changes(body: Any) -> dict[str, str]:
    """Return what a JSON Patch changes of a schedule: ``state`` or ``cron``.

    Raises:
        ScheduleInvalid: An operation is not ``add``, or its path cannot be changed.
    """
    operations = body if isinstance(body, list) else [body]
    changes: dict[str, str] = {}
    for index, operation in enumerate(operations):
        if not isinstance(operation, Mapping) or str(operation.get("op", "")).lower() not in ("add", "replace"):
            raise ScheduleInvalid(f"Operation {index}: 'op' must be 'add'.", path=f"/{index}/op")
        member = {"/state": "state", "/schedule": "cron"}.get("/" + str(operation.get("path", "")).lstrip("/"))
        if member is None or not isinstance(operation.get("value"), str):
            raise ScheduleInvalid(
                f"Operation {index}: only /state and /schedule can be changed, to strings.", path=f"/{index}/path"
            )
        changes[member] = operation["value"]
    return changes


def schedule_body(schedule: Schedule, sandbox: Sandbox) -> Json:
    """Return a schedule."""
    body = schedule.body
    return {
        "id": schedule.id,
        "imsOrgId": sandbox.organization_id,
        "sandbox": sandbox_body(sandbox),
        "name": body.name,
        "state": schedule.state,
        "type": body.type,
        "schedule": body.cron,
        "frequency": schedule.frequency,
        "properties": {**body.properties, "segments": list(body.segments)},
        "isSystem": body.is_system,
        "nextFireTime": schedule.next_fire_at,
        **times(schedule.created_at, schedule.updated_at),
    }


# --- previews -------------------------------------------------------------------------------------------------------------


def predicate_of(body: Any) -> Expression:
    """Return the query that a preview asks for.

    Raises:
        PreviewInvalid: It is missing, or asks for another class than the profile.
    """
    if not isinstance(body, dict) or not isinstance(body.get("predicateExpression"), str):
        raise PreviewInvalid("predicateExpression is missing.", path="/predicateExpression")
    if body.get("predicateModel", PROFILE_SCHEMA) != PROFILE_SCHEMA:
        raise PreviewInvalid(f"predicateModel must be {PROFILE_SCHEMA}.", path="/predicateModel")
    return Expression(body["predicateExpression"], str(body.get("predicateType") or "pql/text"))


def created_preview(preview: "Preview") -> Json:
    """Return the answer to a new preview."""
    return {
        "state": "NEW",
        "previewQueryId": preview.query_id,
        "previewQueryStatus": "NEW",
        "previewId": preview.id,
        "previewExecutionId": 0,
    }


def preview_body(preview: "Preview", offset: int, limit: int, origin: str) -> Json:
    """Return the results of a preview."""
    page = preview.matches[offset : offset + limit]
    results = [
        {
            "objectId": item.xids[0],
            "_href": _entity(origin, item.xids[0]),
            "relatedObjects": [{"objectId": xid, "_href": _entity(origin, xid)} for xid in item.xids[1:]],
        }
        for item in page
        if item.xids
    ]
    return {"state": preview.state, "results": results, "page": {"offset": offset, "size": len(results)}, "link": {}}


def _entity(origin: str, xid: str) -> str:
    return f"{origin}/data/core/ups/access/entities?schema.name={PROFILE_SCHEMA}&entityId={xid}"


def estimate_body(preview: "Preview", origin: str) -> Json:
    """Return what a preview tells about the size of its audience."""
    return {
        "estimatedSize": preview.estimated,
        "numRowsToRead": preview.to_read,
        "state": preview.state,
        "profilesReadSoFar": preview.read,
        "standardError": preview.standard_error,
        "error": {"description": preview.fault, "traceback": ""},
        "profilesMatchedSoFar": preview.matched,
        "totalRows": preview.total,
        "confidenceInterval": "95%",
        "estimatedNamespaceDistribution": [
            {"namespaceId": str(number), "profilesMatchedSoFar": count} for number, count in sorted(preview.by_namespace.items())
        ],
        "_links": {"preview": f"{origin}/data/core/ups/preview/{preview.id}"},
    }
