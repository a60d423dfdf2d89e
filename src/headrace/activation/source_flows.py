"""Dataflows from sources as their runner reads them, and their runs."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from headrace.activation import specs
from headrace.activation.connections import Connections
from headrace.activation.entities import object_of
from headrace.activation.errors import EntityUnknown, RunRefused
from headrace.activation.run import Issue, Run, RunMetrics
from headrace.activation.runs import Runs
from headrace.activation.store import FlowStore, StoredConnection, StoredFlow
from headrace.errors import HeadraceError
from headrace.ingest.batch_request import MAPPER_TAG
from headrace.ingest.sources.flow import SourceFlow, SourceResult, SourceRun
from headrace.ingest.sources.schedule import parse_source_schedule
from headrace.ingest.sources.selection import format_of, selection_of
from headrace.model import Sandbox
from headrace.storage.control import ControlStore
from headrace.telemetry import log


class StoredSourceFlows:
    """The dataflows from sources of all sandboxes; see `headrace.ingest.sources.flow.SourceFlows`."""

    def __init__(
        self, control: ControlStore, connections: Connections, runs: Runs, *, sandboxes: Callable[[], Sequence[Sandbox]]
    ) -> None:
        """Keep where they are read from.

        Args:
            control: Where they are stored.
            connections: Opens accounts.
            runs: Their runs.
            sandboxes: Gives all sandboxes.
        """
        self._control = control
        self._store = FlowStore(control)
        self._connections = connections
        self._runs = runs
        self._sandboxes = sandboxes

    # --- dataflows ----------------------------------------------------------------------------------------------------

    def revision(self) -> int:
        """See `SourceFlows.revision`."""
        return self._control.revision()

    def active(self) -> Sequence[SourceFlow]:
        """See `SourceFlows.active`; one that cannot be read is left out and logged."""
        return [flow for sandbox in self._sandboxes() for flow in self._active_in(sandbox)]

    def _active_in(self, sandbox: Sandbox) -> list[SourceFlow]:
        stored = [flow for flow in self._store.flows(sandbox) if flow.spec_id == specs.CLOUD_STORAGE_TO_LAKE]
        ends = self._store.connections_by_id(sandbox) if stored else {}
        read = [self._read(sandbox, flow, ends, is_enabled=True) for flow in stored if flow.state == "enabled"]
        return [flow for flow in read if flow is not None]

    def is_source_flow(self, sandbox: Sandbox, flow_id: str) -> bool:
        """Whether a dataflow takes files from a source."""
        flow = self._store.flow(sandbox, flow_id)
        return flow is not None and flow.spec_id == specs.CLOUD_STORAGE_TO_LAKE

    def _read(
        self, sandbox: Sandbox, flow: StoredFlow, ends: Mapping[str, StoredConnection], *, is_enabled: bool
    ) -> SourceFlow | None:
        source, target = ends.get(flow.source_connection_id), ends.get(flow.target_connection_id)
        if source is None or target is None:
            return None
        base = ends.get(source.base_connection_id)
        if is_enabled and any(end is not None and end.state != "enabled" for end in (source, target, base)):
            return None
        try:
            params = object_of(source.body, "params")
            return SourceFlow(
                id=flow.id,
                name=str(flow.body["name"]),
                sandbox=sandbox,
                flow_spec_id=flow.spec_id,
                source_connection_id=source.id,
                target_connection_id=target.id,
                dataset_id=str(target.body["params"]["dataSetId"]),
                account=self._connections.account(source.spec_id, base),
                params=params,
                selection=selection_of(params),
                format=format_of(object_of(source.body, "data")),
                schedule=parse_source_schedule(flow.body.get("scheduleParams"), flow.created_at),
                batch=_batch_members(flow.body),
            )
        except (HeadraceError, ValueError) as error:
            log("scheduler", logging.ERROR, "A dataflow from a source cannot be read.", flow_id=flow.id, error=str(error))
            return None

    def _flow_of(self, run: Run) -> SourceFlow | None:
        sandbox = next((item for item in self._sandboxes() if item.number == run.sandbox), None)
        stored = self._store.flow(sandbox, run.flow_id) if sandbox else None
        if sandbox is None or stored is None:
            return None
        return self._read(sandbox, stored, self._store.connections_by_id(sandbox), is_enabled=False)

    # --- runs ---------------------------------------------------------------------------------------------------------

    def request(self, sandbox: Sandbox, flow_id: str, user_id: str, *, repeats: str = "") -> Run:
        """Order a run now.

        Raises:
            EntityUnknown: There is no such dataflow.
            RunRefused: It is disabled, or runs already.
        """
        flow = next((item for item in self._active_in(sandbox) if item.id == flow_id), None)
        if flow is None:
            if self._store.flow(sandbox, flow_id) is None:
                raise EntityUnknown("flow", flow_id)
            raise RunRefused(f"Dataflow {flow_id} or one of its connections is disabled.", hint="Enable it first.")
        run, is_new = self._runs.request(flow, "", user_id=user_id, kind="ingestion", repeats=repeats)
        if not is_new:
            raise RunRefused(f"Dataflow {flow_id} runs already, with run id {run.id}.")
        return run

    def repeat(self, sandbox: Sandbox, run_id: str, user_id: str) -> Run:
        """Order that a failed run takes its files again.

        Raises:
            EntityUnknown: There is no such run or dataflow.
            RunRefused: It has not failed: its rows would be doubled.
        """
        run = self._runs.run(sandbox, run_id)
        if run.status != "failed":
            raise RunRefused(f"Run {run_id} cannot be repeated: it is {run.status}; only a failed run of a source can.")
        return self.request(sandbox, run.flow_id, user_id, repeats=run_id)

    def interrupted(self) -> list[SourceRun]:
        """See `SourceFlows.interrupted`."""
        return [SourceRun(run.id, self._flow_of(run), run.state.repeats) for run in self._runs.interrupted("ingestion")]

    def take_waiting(self) -> list[SourceRun]:
        """See `SourceFlows.take_waiting`."""
        waiting = [run for run in self._runs.pending("ingestion") if self._runs.begin(run.id)]
        return [SourceRun(run.id, self._flow_of(run), run.state.repeats) for run in waiting]

    def start(self, flow: SourceFlow, scheduled_at_ms: int) -> str | None:
        """See `SourceFlows.start`."""
        last_ms = self._runs.last_scheduled(flow.id)
        if (last_ms is not None and last_ms >= scheduled_at_ms) or self._runs.active_run(flow.id) is not None:
            return None
        return self._runs.start(flow, scheduled_at_ms=scheduled_at_ms, kind="ingestion")

    def finish(self, run_id: str, result: SourceResult) -> None:
        """See `SourceFlows.finish`; a run that has gone with its sandbox needs no end."""
        with suppress(EntityUnknown):
            self._runs.finish(run_id, status=result.status, metrics=_metrics(result), batch_id=result.batch_id)


def _batch_members(body: Mapping[str, Any]) -> dict[str, Any]:
    options = object_of(body, "options")
    members: dict[str, Any] = {
        "partialIngestionPercent": int(options.get("partialIngestionPercent") or 0),
        "enableErrorDiagnostics": options.get("errorDiagnosticsEnabled", False),
    }
    for step in body.get("transformations", ()):
        params = step["params"]
        pairs = [f"mapping-set-id:{params['mappingId']}", f"mapping-set-version:{params['mappingVersion']}"]
        members["tags"] = {MAPPER_TAG: pairs}
    return members


def _metrics(result: SourceResult) -> RunMetrics:
    found = result.metrics
    issues = tuple(Issue(code, message, count) for code, message, count in result.errors)
    is_failed = result.status == "failed"
    return RunMetrics(
        input_records=int(found.get("inputRecordCount", 0)),
        created_records=int(found.get("outputRecordCount", 0)),
        failed_records=int(found.get("failedRecordCount", 0)),
        output_records=int(found.get("outputRecordCount", 0)),
        input_bytes=result.input_bytes,
        output_bytes=int(found.get("outputByteSize", 0)),
        input_files=result.input_files,
        output_files=0 if is_failed else result.input_files,
        failed=() if is_failed else issues,
        errors=issues if is_failed else (),
        files=result.files,
    )
