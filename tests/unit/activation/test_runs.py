from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.activation.errors import EntityUnknown, RunRefused
from headrace.activation.runs import FAILED, HOUR_MS, SKIPPED, Issue, RunMetrics, Runs
from headrace.activation.service import FlowService
from headrace.clock import ManualClock
from headrace.model import Sandbox
from headrace.storage.control import ControlStore
from tests.unit.activation.flow_fakes import (
    AUTHOR,
    OTHER,
    PROD,
    S3_FLOW,
    STREAM_FLOW,
    audience_selector,
    file_selector,
    flow_service,
    http_bodies,
    make_ends,
    s3_bodies,
    spec,
)


class Subject(msgspec.Struct, frozen=True):
    id: str = "flow-1"
    sandbox: Sandbox = PROD
    flow_spec_id: str = S3_FLOW
    source_connection_id: str = "src"
    target_connection_id: str = "tgt"


@pytest.fixture
def runs(control: ControlStore, clock: ManualClock) -> Runs:
    return Runs(control, clock)


def wired(runs: Runs, run_id: str) -> dict[str, Any]:
    return runs.wire(PROD, runs.run(PROD, run_id))


def test_finished_run_is_shown_with_its_counters(runs: Runs, clock: ManualClock) -> None:
    run_id = runs.start(Subject(), "aud-1")
    clock.move_to(clock.now_ms() + 58_000)
    metrics = RunMetrics(
        input_records=120,
        created_records=100,
        output_records=100,
        skipped_records=20,
        output_bytes=512,
        output_files=2,
        skipped=(Issue(SKIPPED, "Records didn't match attribute filter.", 20),),
    )
    runs.finish(run_id, status="success", metrics=metrics, cutoff_ms=77)
    shown = wired(runs, run_id)
    now = clock.now_ms()
    assert shown["metrics"]["durationSummary"] == {"startedAtUTC": now - 58_000, "completedAtUTC": now}
    records = shown["metrics"]["recordSummary"]
    assert records["skippedInfo"] == [{"code": SKIPPED, "message": "Records didn't match attribute filter.", "count": 20}]
    assert records["sourceSummaries"] == [
        {
            "id": "src",
            "inputRecordCount": 120,
            "skippedRecordCount": 20,
            "entitySummaries": [{"id": "segment:aud-1", "inputRecordCount": 120, "skippedRecordCount": 20}],
        }
    ]
    assert records["targetSummaries"][0]["entitySummaries"] == [
        {"id": "segment:aud-1", "createdRecordCount": 100, "outputRecordCount": 100}
    ]
    assert shown["metrics"]["statusSummary"]["status"] == "success"
    assert [item["id"] for item in shown["activities"]] == shown["metrics"]["statusSummary"]["activityRefs"]


def test_failed_run_shows_its_error_and_the_failing_activity_alone(runs: Runs) -> None:
    run_id = runs.start(Subject(), "aud-1")
    runs.finish(run_id, status="failed", metrics=RunMetrics(errors=(Issue(FAILED, "Job aborted."),)))
    metrics = wired(runs, run_id)["metrics"]
    assert metrics["statusSummary"]["errors"] == [{"code": FAILED, "message": "Job aborted.", "count": 1, "type": "Error"}]
    assert set(metrics["recordSummary"]) == {"sourceSummaries", "failedInfo"}
    assert len(metrics["statusSummary"]["activityRefs"]) == 1


def test_cut_off_is_that_of_the_newest_success_and_not_moved_by_others(runs: Runs) -> None:
    assert runs.last_success("flow-1", "aud-1") is None
    for cutoff in (100, 200):
        runs.finish(runs.start(Subject(), "aud-1"), status="success", metrics=RunMetrics(), cutoff_ms=cutoff)
    runs.finish(runs.start(Subject(), "aud-1"), status="failed", metrics=RunMetrics(), cutoff_ms=300)
    runs.finish(runs.start(Subject(), "aud-1", trigger="on_demand"), status="success", metrics=RunMetrics())
    runs.finish(runs.start(Subject(), "aud-2"), status="success", metrics=RunMetrics(), cutoff_ms=400)
    assert runs.last_success("flow-1", "aud-1") == 200


def test_last_due_instant_counts_failed_runs_too(runs: Runs) -> None:
    runs.finish(runs.start(Subject(), "aud-1", scheduled_at_ms=5), status="failed", metrics=RunMetrics())
    runs.start(Subject(), "aud-1", trigger="on_demand", scheduled_at_ms=9)
    assert runs.last_scheduled("flow-1", "aud-1") == 5


def test_waiting_run_is_taken_up_once(runs: Runs) -> None:
    run, is_new = runs.request(Subject(), "aud-1", user_id="ada")
    assert is_new
    assert runs.request(Subject(), "aud-1") == (run, False)
    assert [item.id for item in runs.pending()] == [run.id]
    assert runs.begin(run.id)
    assert not runs.begin(run.id)
    assert runs.pending() == []
    assert [item.id for item in runs.interrupted()] == [run.id]
    assert wired(runs, run.id)["createdBy"] == "ada"


def test_streaming_counts_of_an_hour_make_one_run_that_ends_with_the_hour(runs: Runs, clock: ManualClock) -> None:
    hour = clock.now_ms() // HOUR_MS * HOUR_MS
    delta = RunMetrics(input_records=2, output_records=1, failed_records=1, failed=(Issue("C", "m"),))
    runs.add(Subject(), hour + 5, delta)
    runs.add(Subject(), hour + 60_000, delta)
    (run,) = runs.all(PROD)
    assert run.state.metrics.failed == (Issue("C", "m", 2),)
    assert (runs.status(run), run.state.metrics.input_records) == ("processing", 4)
    clock.move_to(hour + HOUR_MS)
    assert runs.status(run) == "success"
    assert runs.wire(PROD, run)["metrics"]["durationSummary"] == {"startedAtUTC": hour, "completedAtUTC": hour + HOUR_MS}
    runs.add(Subject(), hour + HOUR_MS, delta)
    assert len(runs.all(PROD)) == 2


def test_runs_raise_no_configuration_revision(runs: Runs, control: ControlStore) -> None:
    before = control.revision()
    runs.finish(runs.start(Subject()), status="success", metrics=RunMetrics())
    runs.add(Subject(), 0, RunMetrics())
    assert control.revision() == before


def test_newest_run_of_each_flow_is_found(runs: Runs, clock: ManualClock) -> None:
    runs.start(Subject())
    clock.move_to(clock.now_ms() + 1)
    newest = runs.start(Subject())
    other = runs.start(Subject(id="flow-2"))
    found = runs.latest(["flow-1", "flow-2", "flow-3"])
    assert {flow: run.id for flow, run in found.items()} == {"flow-1": newest, "flow-2": other}


def test_runs_are_paged_newest_first(runs: Runs, clock: ManualClock) -> None:
    made = []
    for number in range(6):
        made.append(runs.start(Subject(id=f"flow-{number % 2}")))
        clock.move_to(clock.now_ms() + number % 2)
    whole = [run.id for run in runs.all(PROD)]
    assert sorted(whole) == sorted(made)
    first = runs.all(PROD, limit=4)
    rest = runs.all(PROD, after=(first[-1].created_at_ms, first[-1].id))
    assert [run.id for run in [*first, *rest]] == whole
    assert (runs.count(PROD), runs.count(PROD, flow_ids=["flow-1"]), runs.count(OTHER)) == (6, 3, 0)


def test_run_of_another_sandbox_is_unknown(runs: Runs) -> None:
    run_id = runs.start(Subject())
    with pytest.raises(EntityUnknown, match="runs not found"):
        runs.run(OTHER, run_id)


# Exports on demand


@pytest.fixture
def service(control: ControlStore, clock: ManualClock, tmp_path: Path) -> FlowService:
    return flow_service(control, clock, tmp_path)


def file_flow(service: FlowService, *selectors: dict[str, Any]) -> str:
    params = {"segmentSelectors": {"selectors": list(selectors)}}
    body = {
        "name": "Files",
        "flowSpec": spec(S3_FLOW),
        **make_ends(service, s3_bodies()),
        "transformations": [{"name": "GeneralTransform", "params": params}],
    }
    return service.flows.create(PROD, body, AUTHOR).id


def test_ordered_exports_wait_for_the_exporter(service: FlowService) -> None:
    flow_id = file_flow(service, file_selector("aud-1"), file_selector("aud-2"))
    orders = service.exports.order(PROD, {flow_id: ["aud-1", "aud-2"]}, "ada")
    waiting = service.runs.pending()
    assert sorted(order.run_id for order in orders) == sorted(run.id for run in waiting)
    assert {(run.audience_id, run.state.trigger) for run in waiting} == {("aud-1", "on_demand"), ("aud-2", "on_demand")}


def test_second_order_of_a_running_export_is_refused_with_the_run(service: FlowService) -> None:
    flow_id = file_flow(service, file_selector("aud-1"), file_selector("aud-2"))
    (order,) = service.exports.order(PROD, {flow_id: ["aud-1"]}, "ada")
    text = f"Run already going on for audience aud-1 for order {flow_id} with run id {order.run_id}"
    with pytest.raises(RunRefused, match=text):
        service.exports.order(PROD, {flow_id: ["aud-2", "aud-1"]}, "ada")
    assert len(service.runs.pending()) == 1


def test_audience_outside_its_schedule_cannot_be_ordered(service: FlowService) -> None:
    flow_id = file_flow(
        service,
        file_selector("aud-1", startDate="2027-01-01", endDate="2027-02-14"),
        file_selector("aud-2", startDate="2027-02-15"),
        file_selector("aud-3", frequency="ONCE", startDate="2027-02-01"),
    )
    text = "Segments Audience 1, Audience 2, aud-9 are not part of this dataflow or out of schedule range!"
    with pytest.raises(RunRefused, match=text):
        service.exports.order(PROD, {flow_id: ["aud-1", "aud-2", "aud-3", "aud-9"]}, "ada")
    assert service.exports.order(PROD, {flow_id: ["aud-3"]}, "ada")


def test_too_many_audiences_are_refused(service: FlowService) -> None:
    with pytest.raises(RunRefused, match="80 audiences per ad-hoc job, got 81"):
        service.exports.order(PROD, {"x": [str(number) for number in range(81)]}, "ada")


@pytest.mark.parametrize("wanted", [None, {}, [], {"flow": []}, {"flow": "aud-1"}])
def test_malformed_orders_are_refused(service: FlowService, wanted: Any) -> None:
    with pytest.raises(RunRefused):
        service.exports.order(PROD, wanted, "ada")


def test_streams_cannot_be_exported_on_demand(service: FlowService) -> None:
    params = {"segmentSelectors": {"selectors": [audience_selector("aud-1")]}}
    body = {
        "name": "Hook",
        "flowSpec": spec(STREAM_FLOW),
        **make_ends(service, http_bodies()),
        "transformations": [{"name": "GeneralTransform", "params": params}],
    }
    made = service.flows.create(PROD, body, AUTHOR)
    with pytest.raises(RunRefused, match="all the time"):
        service.exports.order(PROD, {made.id: ["aud-1"]}, "ada")


def test_flow_is_run_now_for_all_that_its_schedules_cover(service: FlowService) -> None:
    flow_id = file_flow(service, file_selector("aud-1"), file_selector("aud-2", startDate="2027-03-01"))
    assert [order.audience_id for order in service.exports.run_now(PROD, flow_id, "ada")] == ["aud-1"]
    with pytest.raises(RunRefused, match="already"):
        service.exports.run_now(PROD, flow_id, "ada")


def test_finished_run_can_be_repeated(service: FlowService) -> None:
    flow_id = file_flow(service, file_selector("aud-1"))
    (order,) = service.exports.run_now(PROD, flow_id, "ada")
    with pytest.raises(RunRefused):
        service.exports.repeat(PROD, order.run_id, "ada")
    service.runs.begin(order.run_id)
    service.runs.finish(order.run_id, status="failed", metrics=RunMetrics())
    assert service.exports.repeat(PROD, order.run_id, "ada").run_id != order.run_id
