"""Files in folders and buckets come into a dataset, each of them once."""

import asyncio
import bz2
import gzip
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from headrace.activation.source_flows import StoredSourceFlows
from headrace.app import scheduler
from headrace.catalog.batches import Batches
from headrace.destinations.errors import DestinationRefused, DestinationUnreachable
from headrace.ingest.sources.errors import SourceInvalid
from headrace.ingest.sources.ledger import SourceLedger
from headrace.ingest.sources.selection import FileSelection
from headrace.ingest.sources.taking import SourceTaking
from headrace.storage.control.tables import flow_runs, flows
from tests.integration import source_world
from tests.integration.source_world import Source, SourceWorld, people

SOURCES = ["landing_zone", "amazon_s3", "sftp_openssh", "sftp_asyncssh"]
HOUR_MS = 3_600_000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SourceWorld]:
    opened = SourceWorld.opened(tmp_path / "home")
    yield opened
    opened.close()


@pytest.fixture
def source(request: pytest.FixtureRequest, world: SourceWorld, tmp_path: Path) -> Iterator[Source]:
    with ExitStack() as stack:
        server = tmp_path / "server"
        server.mkdir()
        yield stack.enter_context(getattr(source_world, request.param)(world, server))


every = pytest.mark.parametrize("source", SOURCES, indirect=True)
in_zone = pytest.mark.parametrize("source", ["landing_zone"], indirect=True)


@every
def test_new_files_come_in_once_and_a_changed_one_again(world: SourceWorld, source: Source) -> None:
    source.put("crm/a.json", people("ann", "bob"))
    source.put("crm/b.json", people("cy"))
    source.put("crm/notes.txt", b"not ours")
    source.put("other/c.json", people("no"))
    flow_id = world.flow(source, "crm/*.json")
    run = world.run_now(flow_id)
    assert (run.status, run.state.metrics.input_files, run.state.metrics.output_records) == ("success", 2, 3)
    assert world.ids() == ["ann", "bob", "cy"]
    again = world.run_now(flow_id)
    assert (again.status, again.state.metrics.input_files, again.state.batch_id) == ("success", 0, "")
    source.put("crm/b.json", people("cy", "dan"))
    third = world.run_now(flow_id)
    assert third.state.metrics.input_files == 1
    assert sorted(Path(name).name for name in third.state.metrics.files) == ["b.json"]
    assert world.ids() == ["ann", "bob", "cy", "cy", "dan"]


@every
def test_a_folder_is_read_with_those_below_when_asked(world: SourceWorld, source: Source) -> None:
    source.put("crm/a.json", people("ann"))
    source.put("crm/2027/b.json", people("bob"))
    source.put("crm/_SUCCESS", b"x")
    source.put("crm/empty.json", b"")
    assert world.run_now(world.flow(source, "crm", params={"type": "folder"})).state.metrics.input_files == 1
    deep = world.run_now(world.flow(source, "crm/", params={"recursive": "true"}))
    assert deep.state.metrics.input_files == 2
    assert world.ids() == ["ann", "ann", "bob"]


@every
def test_a_connection_is_tested_by_reading(world: SourceWorld, source: Source) -> None:
    world.flow(source, "crm/a.json", params={"type": "file"})
    for base in world.service.connections.all(world.sandbox, "base"):
        assert asyncio.run(world.service.connections.test(world.sandbox, base.id)).places == 1


@in_zone
def test_a_schedule_runs_a_flow_and_missed_instants_are_one_run(world: SourceWorld, source: Source) -> None:
    start = (world.now_ms + HOUR_MS) // 1000
    flow_id = world.flow(
        source, "in/", scheduleParams={"startTime": str(start), "frequency": "hour", "interval": "1", "backfill": True}
    )
    source.put("in/a.json", people("ann"))
    world.settle()
    assert world.runs(flow_id) == []
    world.move(HOUR_MS)
    world.settle()
    assert [run.status for run in world.runs(flow_id)] == ["success"]
    source.put("in/b.json", people("bob"))
    world.move(5 * HOUR_MS)
    world.settle()
    assert [run.state.metrics.input_files for run in world.runs(flow_id)] == [1, 1]
    assert world.ids() == ["ann", "bob"]


@in_zone
def test_without_backfill_only_files_from_the_start_on_are_taken(world: SourceWorld, source: Source) -> None:
    source.put("in/old.json", people("old"))
    world.move(HOUR_MS)
    start = world.now_ms // 1000
    flow_id = world.flow(source, "in/", scheduleParams={"startTime": start, "frequency": "once", "backfill": "false"})
    world.move(1000)
    source.put("in/new.json", people("new"))
    world.settle()
    assert [run.state.metrics.input_files for run in world.runs(flow_id)] == [1]
    assert world.ids() == ["new"]


@in_zone
def test_a_disabled_flow_does_not_run(world: SourceWorld, source: Source) -> None:
    source.put("in/a.json", people("ann"))
    flow_id = world.flow(source, "in/", scheduleParams={"frequency": "once"}, state="disabled")
    world.settle()
    assert world.runs(flow_id) == []
    world.service.flows.set_state(world.sandbox, flow_id, "enabled", source_world.AUTHOR)
    world.settle()
    assert [run.status for run in world.runs(flow_id)] == ["success"]


CSV = b"Vorname;Mail\nann;ann@x.org\nbob;bob@x.org\n"
MAPPINGS = [
    {"sourceType": "ATTRIBUTE", "source": "Vorname", "destination": "person.name.firstName"},
    {"sourceType": "ATTRIBUTE", "source": "Vorname", "destination": "_id"},
    {"sourceType": "ATTRIBUTE", "source": "Mail", "destination": "identityMap.Email[0].id"},
]


@in_zone
@pytest.mark.parametrize("compression", ["", "gzip", "bzip2", "deflate"])
def test_delimited_files_are_unpacked_and_mapped(world: SourceWorld, source: Source, compression: str) -> None:
    pack: dict[str, Any] = {"": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "deflate": zlib.compress}
    source.put("in/a.csv", pack[compression](CSV))
    output = {"schemaRef": {"id": world.people.schema_id, "contentType": "application/vnd.adobe.xed-full+json;version=1"}}
    made = world.service.mapping_sets.create(world.sandbox, {"outputSchema": output, "mappings": MAPPINGS}, "ada")
    data = {"format": "delimited", "columnDelimiter": ";", "properties": {"compressionType": compression or "none"}}
    step = {"name": "Mapping", "params": {"mappingId": made.id, "mappingVersion": "0"}}
    options = {"partialIngestionPercent": 100, "errorDiagnosticsEnabled": True}
    run = world.run_now(world.flow(source, "in/a.csv", data=data, transformations=[step], options=options))
    batch = world.home.batches.batch(world.sandbox, run.state.batch_id)
    assert (run.status, run.state.metrics.output_records) == ("success", 2), batch.body
    assert world.ids() == ["ann", "bob"]
    assert batch.body["tags"]["aep_sip_mapper"] == [f"mapping-set-id:{made.id}", "mapping-set-version:0"]


@in_zone
def test_one_json_array_is_read_as_rows(world: SourceWorld, source: Source) -> None:
    source.put("in/a.json", b"[" + people("ann", "bob").strip().replace(b"\n", b",\n") + b"]")
    source.put("in/b.json", people("cy"))
    assert world.run_now(world.flow(source, "in/")).status == "success"
    assert world.ids() == ["ann", "bob", "cy"]


@in_zone
def test_rows_in_error_are_set_aside_within_the_threshold_and_fail_the_run_beyond(world: SourceWorld, source: Source) -> None:
    source.put("in/a.json", people("ann") + b'{"person": 7}\n')
    options = {"partialIngestionPercent": 60, "errorDiagnosticsEnabled": True}
    partly = world.run_now(world.flow(source, "in/", options=options))
    assert (partly.status, partly.state.metrics.failed_records, partly.state.metrics.output_records) == ("success", 1, 1)
    shown = world.service.runs.wire(world.sandbox, partly)
    assert shown["activities"][1]["statusSummary"]["extensions"]["manifest"]["failedRecords"].endswith("row_errors")
    strict_flow = world.flow(source, "in/")
    strict = world.run_now(strict_flow)
    assert (strict.status, strict.state.metrics.output_records) == ("failed", 0)
    assert world.run_now(strict_flow).state.metrics.input_files == 0  # it stays with the failed run
    world.service.sources.repeat(world.sandbox, strict.id, "ada")
    world.settle()
    assert [run.state.metrics.input_files for run in world.runs(strict_flow)][:1] == [1]
    assert world.ids() == ["ann"]


class Killed(BaseException):
    """Ends a process in the middle."""


STEPS = [("list", False)] + [
    (step, is_done) for step in ("claim", "batch", "stage", "complete", "finish") for is_done in (False, True)
]


@in_zone
@pytest.mark.parametrize(("step", "is_done"), STEPS)
def test_a_run_that_is_killed_goes_on_without_doubling_rows(
    world: SourceWorld, source: Source, step: str, is_done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.put("in/a.json", people("ann"))
    source.put("in/b.json", people("bob"))
    flow_id = world.flow(source, "in/*.json")
    owner, name = {
        "list": (FileSelection, "files"),
        "claim": (SourceLedger, "claim"),
        "batch": (SourceTaking, "_batch_of"),
        "stage": (Batches, "put_file"),
        "complete": (Batches, "change"),
        "finish": (StoredSourceFlows, "finish"),
    }[step]
    real = getattr(owner, name)

    def dies(*arguments: Any, **named: Any) -> Any:
        if is_done:
            real(*arguments, **named)
        raise Killed

    monkeypatch.setattr(owner, name, dies)
    run_id = world.service.sources.request(world.sandbox, flow_id, "ada").id
    with pytest.raises(Killed):
        world.settle()
    monkeypatch.undo()
    source.put("in/c.json", people("cy"))
    world.restart()
    world.settle()
    run = world.service.runs.run(world.sandbox, run_id)
    assert run.status == "success"
    assert len(world.runs(flow_id)) == 1
    world.run_now(flow_id)
    assert world.ids() == ["ann", "bob", "cy"]


@every
def test_a_source_that_cannot_be_reached_is_tried_again_and_then_gives_its_files_back(
    world: SourceWorld, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.put("in/a.json", people("ann"))
    flow_id = world.flow(source, "in/")

    async def unreachable(*_: Any) -> bool:
        raise DestinationUnreachable("The line is dead.")

    monkeypatch.setattr("headrace.ingest.sources.taking.stage", unreachable)
    run_id = world.run_now(flow_id).id
    world.settle()
    run = world.service.runs.run(world.sandbox, run_id)
    assert (run.status, run.state.metrics.errors[0].message) == ("failed", "The line is dead.")
    assert world.home.batches.batch(world.sandbox, run.state.batch_id).status == "aborted"
    monkeypatch.undo()
    assert world.run_now(flow_id).state.metrics.input_files == 1
    assert world.ids() == ["ann"]


@every
def test_a_file_that_goes_or_changes_while_it_is_taken_is_left_to_the_next_run(
    world: SourceWorld, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        source.put(f"in/{name}.json", people(name))
    flow_id = world.flow(source, "in/")
    claim = SourceLedger.claim

    def late(*arguments: Any, **named: Any) -> Any:
        claims = claim(*arguments, **named)
        source.put("in/b.json", people("b", "bb"))
        source.remove("in/c.json")
        return claims

    monkeypatch.setattr(SourceLedger, "claim", late)
    assert world.run_now(flow_id).state.metrics.input_files == 1
    monkeypatch.undo()
    assert world.ids() == ["a"]
    assert world.run_now(flow_id).state.metrics.input_files == 1
    assert world.ids() == ["a", "b", "bb"]


@in_zone
def test_nothing_outside_of_the_zone_is_read(world: SourceWorld, source: Source, tmp_path: Path) -> None:
    source.put("in/a.json", people("ann"))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_bytes(people("secret"))
    zone = world.home.path / "landing-zone" / "prod"
    (zone / "in" / "link.json").symlink_to(outside / "secret.json")
    (zone / "in" / "below").symlink_to(outside)
    assert world.run_now(world.flow(source, "in/", params={"recursive": "true"})).state.metrics.input_files == 1
    with pytest.raises(SourceInvalid, match=r"neither '\.\.'"):
        world.flow(source, "../dev/")
    run = world.run_now(world.flow(source, "in/below/*.json"))
    assert (run.status, world.ids()) == ("failed", ["ann"])


@in_zone
def test_files_that_a_deleted_flow_took_are_new_for_another(world: SourceWorld, source: Source) -> None:
    source.put("in/a.json", people("ann"))
    flow_id = world.flow(source, "in/")
    world.run_now(flow_id)
    world.service.flows.delete(world.sandbox, flow_id)
    assert world.run_now(world.flow(source, "in/")).state.metrics.input_files == 1


@in_zone
def test_files_are_taken_beside_the_other_tasks(world: SourceWorld, source: Source) -> None:
    source.put("in/a.json", people("ann"))
    flow_id = world.flow(source, "in/")
    world.roles["scheduler"].close()
    world.roles["scheduler"] = scheduler.make(world.home)  # with threads of its own
    run_id = world.service.sources.request(world.sandbox, flow_id, "ada").id
    for _ in range(1000):
        world.run(until_idle=1)
        if not world.service.runs.run(world.sandbox, run_id).is_active:
            break
        time.sleep(0.01)
        world.move(1000)
    assert world.service.runs.run(world.sandbox, run_id).status == "success"
    assert world.ids() == ["ann"]


@in_zone
def test_a_sandbox_that_goes_in_the_middle_stops_no_other(
    world: SourceWorld, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.put("in/a.json", people("ann"))
    flow_id = world.flow(source, "in/")

    def gone(*_: Any, **named: Any) -> Any:
        with world.home.control.write() as connection:
            connection.execute(delete(flow_runs))
            connection.execute(delete(flows))
        raise DestinationRefused("There is no such place.")

    monkeypatch.setattr(SourceLedger, "claim", gone)
    world.service.sources.request(world.sandbox, flow_id, "ada")
    world.settle()
    assert world.roles["scheduler"].status()["resting"] == {}
    assert world.roles["scheduler"].status()["tasks"]["sources"]["running"] == 0
