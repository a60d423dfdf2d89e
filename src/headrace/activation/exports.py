"""Exports on demand: whole files of audiences, outside of their schedules."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headrace.activation.dataflows import AudienceSelector, Dataflow, Dataflows
from headrace.activation.errors import EntityUnknown, RunRefused
from headrace.activation.runs import Run, Runs
from headrace.clock import Clock
from headrace.model import Sandbox

MAX_AUDIENCES = 80


class Order(msgspec.Struct, frozen=True):
    """One export that was ordered.

    Attributes:
        flow_id: The dataflow.
        audience_id: The audience; empty for datasets.
        run_id: The run that waits for the exporter.
    """

    flow_id: str
    audience_id: str
    run_id: str


class Exports:
    """Orders exports; the scheduler's exporter finds them in `Runs.pending`.

    An export on demand is full, and moves neither the schedule nor the increments' window.
    """

    def __init__(self, clock: Clock, dataflows: Dataflows, runs: Runs) -> None:
        self._clock = clock
        self._dataflows = dataflows
        self._runs = runs

    def order(self, sandbox: Sandbox, wanted: Any, user_id: str) -> list[Order]:
        """Order the exports of audiences by dataflow, all or none.

        Args:
            sandbox: Where the dataflows are.
            wanted: Dataflow id → audience ids, as it came over the wire.
            user_id: Who asks.

        Raises:
            EntityUnknown: There is no active dataflow with one of the ids.
            RunRefused: An audience is not part of its dataflow or outside of its schedule, is being exported, or there are
                too many.
        """
        requests = _requests(wanted)
        planned = [self._planned(self._flow(sandbox, flow_id), ids) for flow_id, ids in requests.items()]
        for flow, selectors in planned:
            for selector in selectors:
                if active := self._runs.active_run(flow.id, selector.audience_id):
                    raise _already_running(active)
        return [self._ordered(flow, selector.audience_id, user_id) for flow, selectors in planned for selector in selectors]

    def run_now(self, sandbox: Sandbox, flow_id: str, user_id: str) -> list[Order]:
        """Order the export of everything that a dataflow exports today.

        Raises:
            EntityUnknown: There is no active dataflow with this id.
            RunRefused: It runs all the time, has nothing to export, or all of it is being exported.
        """
        flow = self._flow(sandbox, flow_id)
        if flow.content == "dataset":
            return [self._ordered(flow, "", user_id)]
        now = self._clock.now_ms()
        due = [item for item in flow.audiences if item.schedule is not None and item.schedule.covers(now)]
        if not due:
            raise RunRefused(f"Dataflow {flow_id} has no audience whose schedule covers today.")
        made = []
        active: Run | None = None
        for item in due:
            run, is_new = self._runs.request(flow, item.audience_id, user_id=user_id)
            if is_new:
                made.append(Order(flow.id, item.audience_id, run.id))
            else:
                active = run
        if not made and active is not None:
            raise _already_running(active)
        return made

    def repeat(self, sandbox: Sandbox, run_id: str, user_id: str) -> Order:
        """Order the export of a run that ended once more.

        Raises:
            EntityUnknown: There is no such run, or its dataflow is no longer active.
            RunRefused: It has not ended, or is the run of an hour of streaming.
        """
        run = self._runs.run(sandbox, run_id)
        if run.is_active or run.state.trigger == "streaming":
            raise RunRefused(f"Run {run_id} cannot be repeated: it is {run.status} and was started as {run.state.trigger}.")
        return self._ordered(self._flow(sandbox, run.flow_id), run.audience_id, user_id)

    def _ordered(self, flow: Dataflow, audience_id: str, user_id: str) -> Order:
        run, is_new = self._runs.request(flow, audience_id, user_id=user_id)
        if not is_new:
            raise _already_running(run)
        return Order(flow.id, audience_id, run.id)

    def _flow(self, sandbox: Sandbox, flow_id: str) -> Dataflow:
        flow = self._dataflows.dataflow(sandbox, flow_id)
        if flow is None:
            raise EntityUnknown("flow", flow_id)
        if flow.kind != "file":
            raise RunRefused(f"Dataflow {flow_id} sends messages all the time; only file destinations export on demand.")
        return flow

    def _planned(self, flow: Dataflow, audience_ids: Sequence[str]) -> tuple[Dataflow, list[AudienceSelector]]:
        now = self._clock.now_ms()
        selectors = {audience_id: flow.audience(audience_id) for audience_id in audience_ids}
        missing = []
        for audience_id, selector in selectors.items():
            if selector is None or selector.schedule is None or not selector.schedule.covers(now):
                missing.append(selector.name if selector else audience_id)
        if missing:
            raise RunRefused(f"Segments {', '.join(missing)} are not part of this dataflow or out of schedule range!")
        return flow, [selector for selector in selectors.values() if selector is not None]


def _requests(wanted: Any) -> Mapping[str, list[str]]:
    if not isinstance(wanted, Mapping) or not wanted:
        raise RunRefused("activationInfo must name dataflows and their audiences.", path="/activationInfo")
    for flow_id, ids in wanted.items():
        if not isinstance(ids, list) or not ids or not all(isinstance(audience_id, str) for audience_id in ids):
            raise RunRefused("A dataflow needs a list of audience ids.", path=f"/activationInfo/{flow_id}")
    count = sum(len(ids) for ids in wanted.values())
    if count > MAX_AUDIENCES:
        raise RunRefused(f"{MAX_AUDIENCES} audiences per ad-hoc job, got {count}", path="/activationInfo")
    return wanted


def _already_running(run: Run) -> RunRefused:
    return RunRefused(f"Run already going on for audience {run.audience_id} for order {run.flow_id} with run id {run.id}")
