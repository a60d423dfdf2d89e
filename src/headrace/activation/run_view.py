"""A flow run as the wire shows it."""

import uuid
from collections.abc import Iterable
from typing import Any

from headrace.activation.run import CLIENT, HOUR_MS, Issue, Run, Status
from headrace.model import Sandbox

_PROMOTION = "Promotion Activity"
_INGESTION_ACTIVITIES = ("Copy Activity", _PROMOTION)
_ACTIVITIES = ("Activation Batch XdmProcessor Activity", "Activation Batch Publisher Activity")


def wire(sandbox: Sandbox, run: Run, now_ms: int) -> dict[str, Any]:
    """Return a run as the wire shows it at an instant (epoch ms)."""
    state = run.state
    user = state.user_id or CLIENT
    return {
        "id": run.id,
        "createdAt": run.created_at_ms,
        "updatedAt": run.updated_at_ms,
        "createdBy": user,
        "updatedBy": user,
        "createdClient": CLIENT,
        "updatedClient": CLIENT,
        "sandboxId": sandbox.id,
        "sandboxName": sandbox.name,
        "imsOrgId": sandbox.organization_id,
        "flowId": run.flow_id,
        "flowSpec": {"id": state.flow_spec_id, "version": "1.0"},
        "providerRefId": run.id,
        "etag": state.etag,
        "metrics": _metrics(run, now_ms),
        "activities": _activities(run, now_ms),
    }


def brief(run: Run, now_ms: int) -> dict[str, Any]:
    """Return what a dataflow shows of its newest run."""
    return {"id": run.id, "state": status(run, now_ms), **_duration(run, _end(run, now_ms))}


def status(run: Run, now_ms: int) -> Status:
    """Return the status that is shown: the run of an hour is done when the hour is over."""
    return "success" if run.status == "processing" and _end(run, now_ms) else run.status


def _end(run: Run, now_ms: int) -> int:
    if run.state.trigger != "streaming":
        return run.state.completed_at_ms
    end = run.state.started_at_ms + HOUR_MS
    return end if now_ms >= end else 0


def _metrics(run: Run, now_ms: int) -> dict[str, Any]:
    metrics = run.state.metrics
    shown: dict[str, Any] = {"status": status(run, now_ms), "activityRefs": _activity_ids(run)}
    if metrics.errors:
        shown["errors"] = [{**issue.wire(), "type": "Error"} for issue in metrics.errors]
    return {
        "durationSummary": _duration(run, _end(run, now_ms)),
        "sizeSummary": {"inputBytes": metrics.input_bytes, "outputBytes": metrics.output_bytes},
        "recordSummary": _record_summary(run),
        "fileSummary": {"inputFileCount": metrics.input_files, "outputFileCount": metrics.output_files},
        "statusSummary": shown,
    }


def _activities(run: Run, now_ms: int) -> list[dict[str, Any]]:
    metrics = _metrics(run, now_ms)
    summaries = {name: metrics[name] for name in ("durationSummary", "sizeSummary", "recordSummary", "fileSummary")}
    shown: dict[str, Any] = {"status": status(run, now_ms), "extensions": {}}
    return [
        {
            "id": activity_id,
            "name": name,
            **summaries,
            "latencySummary": {},
            "statusSummary": {**shown, "extensions": _diagnostics(run)} if name == _PROMOTION else shown,
            **_batch_of(run, name),
        }
        for activity_id, name in zip(_activity_ids(run), _activity_names(run), strict=True)
    ]


def _activity_names(run: Run) -> tuple[str, ...]:
    if run.status == "waiting" or run.state.trigger == "streaming":
        return ()
    if run.state.kind == "ingestion":  # a run that failed without a batch did not come as far as promoting one
        return _INGESTION_ACTIVITIES if run.state.batch_id or run.status != "failed" else _INGESTION_ACTIVITIES[:1]
    return _ACTIVITIES[:1] if run.status == "failed" else _ACTIVITIES


def _batch_of(run: Run, activity: str) -> dict[str, Any]:
    if activity != _PROMOTION or not run.state.batch_id:
        return {}
    reference = {"type": "Batch", "ids": [run.state.batch_id]}
    return {"targetInfo": [{"type": "TargetConnection", "id": run.state.target_connection_id, "reference": reference}]}


def _diagnostics(run: Run) -> dict[str, Any]:
    metrics, batch_id = run.state.metrics, run.state.batch_id
    if not metrics.failed_records or not batch_id:
        return {}
    meta = f"/data/foundation/export/batches/{batch_id}/meta?path="
    errors = [{"code": issue.code, "message": issue.message, "recordCount": issue.count} for issue in metrics.failed]
    return {"manifest": {"failedRecords": f"{meta}row_errors", "sampleErrors": f"{meta}row_errors_sample.json"}, "errors": errors}


def _activity_ids(run: Run) -> list[str]:
    return [str(uuid.uuid5(uuid.NAMESPACE_URL, f"headrace:activity:{run.id}:{name}")) for name in _activity_names(run)]


def _duration(run: Run, end_ms: int) -> dict[str, int]:
    started = {"startedAtUTC": run.state.started_at_ms} if run.state.started_at_ms else {}
    return {**started, **({"completedAtUTC": end_ms} if end_ms else {})}


def _record_summary(run: Run) -> dict[str, Any]:
    metrics, state = run.state.metrics, run.state
    inputs = {"inputRecordCount": metrics.input_records, "skippedRecordCount": metrics.skipped_records}
    outputs = {"createdRecordCount": metrics.created_records, "outputRecordCount": metrics.output_records}
    if metrics.updated_records:
        outputs["updatedRecordCount"] = metrics.updated_records
    entities = {"id": f"segment:{run.audience_id}"} if run.audience_id else None
    source: dict[str, Any] = {"id": state.source_connection_id, **inputs}
    target: dict[str, Any] = {"id": state.target_connection_id, **outputs}
    if entities is not None:
        source["entitySummaries"] = [{**entities, **inputs}]
        target["entitySummaries"] = [{**entities, **outputs}]
    if run.status == "failed" and state.kind == "activation":
        return {"sourceSummaries": [source], "failedInfo": _wired(metrics.failed or metrics.errors)}
    summary = {**inputs, **outputs, "sourceSummaries": [source], "targetSummaries": [target]}
    if metrics.failed_records:
        summary["failedRecordCount"] = metrics.failed_records
    for name, issues in (("skippedInfo", metrics.skipped), ("failedInfo", metrics.failed)):
        if issues:
            summary[name] = _wired(issues)
    return summary


def _wired(issues: Iterable[Issue]) -> list[dict[str, Any]]:
    return [issue.wire() for issue in issues]
