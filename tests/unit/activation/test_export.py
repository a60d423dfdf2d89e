"""File exports from schedule to file: what is due, what is in it, and what a fault leaves behind."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from headrace.activation import export, export_job
from headrace.activation.dataflows import AudienceSelector, Dataflow
from headrace.activation.export import RETRY_WAITS_SECONDS, Exporter, ExportSupport
from headrace.activation.export_job import ExportJob
from headrace.activation.mapping import AttributeMapping, DedupKey
from headrace.activation.runs import Run, Runs
from headrace.activation.schedules import FULL, INCREMENTAL, ExportMode, Schedule
from headrace.clock import ManualClock, from_ms, parse_iso
from headrace.destinations import registry
from headrace.destinations.base import Context, FileDestination, FileUpload, Limits, NoAuth
from headrace.destinations.data_landing_zone import DataLandingZone
from headrace.destinations.errors import DestinationDenied, DestinationUnreachable
from headrace.destinations.file_settings import FileSettings
from headrace.destinations.settings import settings_from
from headrace.identity.graph import Vertex
from headrace.model import Identity, Sandbox
from headrace.profile import keys
from headrace.profile.merge import TIMESTAMP_ORDERED
from headrace.profile.person import Fragment, Person, encode_person, encode_record
from headrace.profile.reader import ProfileReader
from headrace.storage.control import ControlStore
from headrace.storage.control.base import RevisionPage
from headrace.storage.errors import StorageFull
from headrace.storage.state.memory import MemoryState

PROD = Sandbox(1, "sb-1", "prod", "production", True, "org@AdobeOrg")
NOON = parse_iso("2027-02-10T12:00:00Z")
HOUR, DAY = 3_600_000, 24 * 3_600_000
FLOW = "5e0fb6e1-1f0c-4c0e-9a7f-6a0c1f2b3d4e"
FIRST = AttributeMapping("attribute", "person.name.firstName", "first", ("person", "name", "firstName"))
STATUS = AttributeMapping("membership_status", "segmentMembership.status", "status")
EMAIL = AttributeMapping("identity", "identityMap.Email", "Email", namespace="Email")
DAILY = Schedule("DAILY", "SCHEDULED", from_ms(NOON).date(), None, 13)


def audience(**values: Any) -> AudienceSelector:
    given: dict[str, Any] = {
        "audience_id": "aud-1",
        "number": 1,
        "name": "Weekend riders",
        "merge_policy_id": "mp-1",
        "schedule": DAILY,
        "export_mode": FULL,
        "filename_template": "%SEGMENT_NAME%_%DATETIME(YYYYMMdd_HHmmss)%",
        "mapped_at_ms": NOON,
        "mapping_updated_at_ms": NOON,
    }
    return AudienceSelector(**{**given, **values})


def dataflow(*audiences: AudienceSelector, destination: type[FileDestination] = DataLandingZone, **values: Any) -> Dataflow:
    params: dict[str, Any] = {"path": "crm/daily", "fileType": "CSV", "compression": "NONE", **values.pop("params", {})}
    given: dict[str, Any] = {
        "id": FLOW,
        "name": "VIPs",
        "sandbox": PROD,
        "kind": "file",
        "content": "audience",
        "connection_spec_id": destination.connection_spec_id,
        "flow_spec_id": destination.flow_spec_id,
        "source_connection_id": "source",
        "target_connection_id": "target",
        "auth_name": "",
        "auth_params": {},
        "target_params": params,
        "target": settings_from(destination.target_settings, params),
        "connection_key": ("", ""),
        "public_key": "",
        "audiences": audiences or (audience(),),
        "attributes": (FIRST, STATUS),
        "mandatory": (),
        "keys": (),
        "dataset_ids": (),
        "dataset_schedule": None,
        "marketing_actions": (),
        "enforces_consent": False,
        "created_at_ms": NOON,
        "updated_at_ms": NOON,
    }
    return Dataflow(**{**given, **values})


@dataclass
class FakeDataflows:
    """Dataflows that a test sets."""

    flows: list[Dataflow]
    number: int = 1

    def revision(self) -> int:
        return self.number

    def active(self, sandbox: Sandbox) -> list[Dataflow]:
        return self.flows if sandbox.number == PROD.number else []

    def replace(self, *flows: Dataflow) -> None:
        self.flows = list(flows)
        self.number += 1


class UnreliableFiles(FileDestination):
    """Takes files into the landing zone, after failing as often as it is told to."""

    name, title = "unreliable_files", "Unreliable files"
    connection_spec_id = "00000000-0000-5000-8000-00000000f11e"
    flow_spec_id = "00000000-0000-5000-8000-00000000f10a"
    auth_specs = {"None": NoAuth}
    target_settings = FileSettings
    faults: list[Exception] = []
    fails_in_commit = False

    async def check(self) -> None:
        """Nothing to reach."""

    def folder(self) -> str:
        return "files"

    def begin(self, folder: str, run_id: str) -> FileUpload:
        zone = DataLandingZone(auth=None, target=None, context=self.context)
        upload = zone.begin(folder, run_id)
        if self.faults:
            fault = self.faults.pop(0)

            async def fail(*_: Any) -> int:
                raise fault

            setattr(upload, "commit" if self.fails_in_commit else "add", fail)
        return upload


class World:
    """A home folder with persons, dataflows and an exporter, on a clock that tests move."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(NOON)
        self.state = MemoryState()
        self.control = ControlStore(f"sqlite:///{folder}/control.sqlite", RevisionPage(folder / "revision"))
        self.control.create_tables()
        self.runs = Runs(self.control, self.clock)
        self.dataflows = FakeDataflows([dataflow()])
        self.evaluated_at_ms: int | None = None
        self.violation = ""
        self.is_settled = True
        self.consent: Callable[[Mapping[str, Any]], str] = lambda profile: ""
        self.limits = Limits()
        self.exporter = self.started()

    def started(self) -> Exporter:
        return Exporter(
            sandboxes=lambda: [PROD],
            dataflows=self.dataflows,
            runs=self.runs,
            reader=ProfileReader(self.state),
            clock=self.clock,
            staging=self.folder / "staging",
            landing_zone=self.folder / "zone",
            support=ExportSupport(
                rule_of=lambda sandbox, policy_id: TIMESTAMP_ORDERED,
                namespaces_of=lambda sandbox: {6: "Email"},
                context_of=lambda sandbox: Context(
                    clock=self.clock, sandbox_name=sandbox.name, landing_zone=self.folder / "zone"
                ),
                expressions=lambda source: lambda profile: source,
                exclusion_of=lambda flow: self.consent,
                violation_of=lambda flow: self.violation,
                evaluated_at=lambda sandbox, selector: self.evaluated_at_ms,
                is_settled=lambda until_ms: self.is_settled,
                organization_name="Velo AG",
            ),
            limits=self.limits,
        )

    def put(self, number: int, first: str, *, is_member: bool = True, changed_at_ms: int = NOON, email: str = "") -> None:
        identity = Identity(6, email or f"p{number}@x")
        body = encode_record({"person": {"name": {"firstName": first}}})
        person = Person(
            number.to_bytes(16, "big"),
            [Vertex(identity, 0, 0)],
            fragments=[Fragment(0, 1, NOON, NOON, 0, body)],
            member_since={1: changed_at_ms} if is_member else {},
            exited_at={} if is_member else {1: changed_at_ms},
        )
        self.state.commit({keys.person_key(1, person.id): encode_person(person)})

    def settle(self) -> None:
        for _ in range(10_000):
            if not self.exporter.step():
                return
        raise AssertionError("the exporter never comes to rest")

    def at(self, instant: str | int) -> None:
        self.clock.move_to(parse_iso(instant) if isinstance(instant, str) else instant)
        self.settle()

    def files(self, folder: str = "crm/daily") -> dict[str, str]:
        place = self.folder / "zone" / "prod" / folder
        return {path.name: path.read_text() for path in sorted(place.iterdir())} if place.exists() else {}

    def all_runs(self) -> list[Run]:
        return sorted(self.runs.all(PROD), key=lambda run: (run.created_at_ms, run.state.scheduled_at_ms))

    def crash(self) -> None:
        self.exporter._pool.shutdown(wait=True)
        self.exporter = self.started()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    registry.register(UnreliableFiles)
    UnreliableFiles.faults = []
    UnreliableFiles.fails_in_commit = False
    made = World(tmp_path)
    yield made
    made.exporter.close()
    made.control.close()
    registry.unregister(UnreliableFiles.name)


def test_a_full_export_holds_every_member_and_nobody_else(world: World) -> None:
    world.put(1, "Ilse")
    world.put(2, "Jan", is_member=False)
    world.put(3, "Kim")
    world.at("2027-02-10T12:59:59Z")
    assert world.files() == {}
    world.at("2027-02-10T13:00:00Z")
    assert world.files() == {"Weekend_riders_20270210_130000.csv": "first,status\nIlse,realized\nKim,realized\n"}
    (run,) = world.all_runs()
    assert (run.status, run.cutoff_ms, run.state.trigger) == ("success", NOON + HOUR, "scheduled")
    metrics = run.state.metrics
    assert (metrics.input_records, metrics.output_records, metrics.output_files) == (2, 2, 1)
    assert metrics.output_bytes == len("first,status\nIlse,realized\nKim,realized\n")
    assert not list((world.folder / "staging").iterdir())


def test_the_exporter_says_when_it_is_next_due(world: World) -> None:
    world.settle()
    assert world.exporter.next_due_ms() == NOON + HOUR


def test_exports_missed_during_a_downtime_are_one(world: World) -> None:
    world.at("2027-02-14T09:00:00Z")
    assert [run.state.scheduled_at_ms for run in world.all_runs()] == [parse_iso("2027-02-13T13:00:00Z")]


def incremental(world: World, **values: Any) -> None:
    schedule = Schedule("EVERY_6_HOURS", "SCHEDULED", from_ms(NOON).date(), None, 13)
    world.dataflows.replace(dataflow(audience(export_mode=INCREMENTAL, schedule=schedule), **values))


def test_the_first_increment_is_full_and_the_next_holds_what_changed_since(world: World) -> None:
    incremental(world)
    world.put(1, "Ilse", changed_at_ms=NOON - 30 * DAY)
    world.at("2027-02-10T13:00:00Z")
    world.put(2, "Jan", changed_at_ms=NOON + HOUR)  # at the cut-off of the first run: it was in that one's window
    world.put(3, "Kim", changed_at_ms=NOON + HOUR + 1)
    world.put(4, "Lou", changed_at_ms=NOON + 7 * HOUR)
    world.put(5, "Max", is_member=False, changed_at_ms=NOON + 2 * HOUR)
    world.at("2027-02-10T19:00:00Z")
    assert list(world.files().values()) == [
        "first,status\nIlse,realized\n",
        "first,status\nKim,realized\nLou,realized\nMax,exited\n",
    ]


def test_exits_are_left_out_when_no_column_tells_them(world: World) -> None:
    incremental(world, attributes=(FIRST,))
    world.at("2027-02-10T13:00:00Z")
    world.put(5, "Max", is_member=False, changed_at_ms=NOON + 2 * HOUR)
    world.at("2027-02-10T19:00:00Z")
    assert list(world.files().values()) == ["first\n", "first\n"]


def test_a_failed_run_does_not_move_the_window(world: World) -> None:
    incremental(world, destination=UnreliableFiles, params={})
    world.at("2027-02-10T13:00:00Z")
    world.put(3, "Kim", changed_at_ms=NOON + 2 * HOUR)
    UnreliableFiles.faults = [DestinationDenied("The account was locked.")]
    world.at("2027-02-10T19:00:00Z")
    world.put(4, "Lou", changed_at_ms=NOON + 8 * HOUR)
    world.at("2027-02-11T01:00:00Z")
    assert list(world.files("files").values()) == ["first,status\n", "first,status\nKim,realized\nLou,realized\n"]
    failed = world.all_runs()[1]
    assert (failed.status, failed.cutoff_ms) == ("failed", 0)
    (error,) = failed.state.metrics.errors
    assert (error.code, error.message) == ("ACTIVATION_BATCH-0001-AUTH", "The account was locked.")
    assert [issue.message for issue in failed.state.metrics.failed] == ["Job aborted."]


@pytest.mark.parametrize("in_commit", [False, True])
def test_a_transport_error_is_tried_five_times_more_with_growing_waits(world: World, in_commit: bool) -> None:
    UnreliableFiles.fails_in_commit = in_commit
    UnreliableFiles.faults = [DestinationUnreachable("Nobody is at home.") for _ in range(5)]
    world.dataflows.replace(dataflow(destination=UnreliableFiles, params={}))
    world.put(1, "Ilse")
    world.at("2027-02-10T13:00:00Z")
    now_ms = NOON + HOUR
    for wait in RETRY_WAITS_SECONDS:
        assert world.files("files") == {}
        assert world.exporter.next_due_ms() == now_ms + wait * 1000
        now_ms += wait * 1000
        world.at(now_ms)
    assert list(world.files("files")) == ["Weekend_riders_20270210_130000.csv"]
    assert world.all_runs()[0].status == "success"


def test_after_the_sixth_fault_the_run_has_failed_and_nothing_is_left(world: World) -> None:
    UnreliableFiles.faults = [DestinationUnreachable("Nobody is at home.") for _ in range(6)]
    world.dataflows.replace(dataflow(destination=UnreliableFiles, params={}))
    world.at("2027-02-10T13:00:00Z")
    for minutes in range(1, 30):
        world.at(NOON + HOUR + minutes * 60_000)
    (run,) = world.all_runs()
    assert run.status == "failed"
    assert run.state.metrics.errors[0].code == "ACTIVATION_BATCH-0002-TRANSPORT"
    assert world.files("files") == {}
    assert not list((world.folder / "staging").iterdir())


def test_a_destination_in_trouble_delays_no_other_export(world: World) -> None:
    UnreliableFiles.faults = [DestinationUnreachable("Nobody is at home.")]
    broken = dataflow(destination=UnreliableFiles, params={}, id=FLOW.replace("5", "6"))
    world.dataflows.replace(broken, dataflow())
    world.put(1, "Ilse")
    world.at("2027-02-10T13:00:00Z")
    assert len(world.files()) == 1
    assert world.exporter.status() == {"is_idle": True, "exporting": 1, "succeeded": 1, "failed": 0}


@pytest.mark.parametrize("part", ["write_files", "take", "noting the end"])
def test_an_export_begins_anew_until_the_disk_here_has_room(world: World, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setattr(export, "_AGAIN_SECONDS", 0.05)
    is_disk_full = True
    place, name = (Runs, "finish") if part == "noting the end" else (ExportJob, part)
    done = getattr(place, name)

    def act(*args: Any, **more: Any) -> Any:
        if is_disk_full:
            raise StorageFull("The disk is full.") if place is Runs else OSError(28, "No space left on device")
        return done(*args, **more)

    monkeypatch.setattr(place, name, act)
    world.put(1, "Ilse")
    for _ in range(2):
        world.at("2027-02-10T13:00:00Z")
        assert world.exporter.status() == {"is_idle": False, "exporting": 0, "succeeded": 0, "failed": 0}
        assert [run.status for run in world.all_runs()] == ["processing"]
        assert not list((world.folder / "staging").glob("*"))
        time.sleep(0.06)
    is_disk_full = False
    world.settle()
    assert [run.status for run in world.all_runs()] == ["success"]
    assert len(world.files()) == 1
    assert world.exporter.status()["is_idle"]


def test_a_run_that_is_due_while_the_former_one_works_waits_for_it(world: World) -> None:
    UnreliableFiles.faults = [DestinationUnreachable("x") for _ in range(4)]
    schedule = Schedule("EVERY_3_HOURS", "SCHEDULED", from_ms(NOON).date(), None, 13)
    flow = dataflow(audience(export_mode=INCREMENTAL, schedule=schedule), destination=UnreliableFiles, params={})
    world.dataflows.replace(flow)
    world.at("2027-02-10T13:00:00Z")
    world.clock.move_to(parse_iso("2027-02-10T16:00:00Z"))
    assert len(world.all_runs()) == 1
    world.settle()
    for minutes in range(1, 20):
        world.at(parse_iso("2027-02-10T16:00:00Z") + minutes * 60_000)
    assert [run.status for run in world.all_runs()] == ["success", "success"]


def test_an_on_demand_run_is_full_and_leaves_the_window_alone(world: World) -> None:
    incremental(world)
    world.put(1, "Ilse", changed_at_ms=NOON - 30 * DAY)
    world.at("2027-02-10T13:00:00Z")
    run_id = world.runs.start(world.dataflows.flows[0], "aud-1", status="waiting", trigger="on_demand")
    world.at("2027-02-10T14:00:00Z")
    assert list(world.files().values()) == ["first,status\nIlse,realized\n"] * 2
    run = next(run for run in world.all_runs() if run.id == run_id)
    assert (run.status, run.cutoff_ms) == ("success", 0)
    assert world.runs.last_success(FLOW, "aud-1") == NOON + HOUR


def test_a_pending_run_of_a_dataflow_that_is_gone_fails(world: World) -> None:
    world.runs.start(world.dataflows.flows[0], "aud-1", status="waiting", trigger="on_demand")
    world.dataflows.replace()
    world.settle()
    assert [run.status for run in world.all_runs()] == ["failed"]


def test_an_export_after_evaluation_follows_each_evaluation(world: World) -> None:
    schedule = Schedule("DAILY", "AFTER_SEGMENT_EVAL", from_ms(NOON).date())
    world.dataflows.replace(dataflow(audience(schedule=schedule)))
    world.at(NOON + 2 * HOUR)
    assert world.all_runs() == []
    for hours in (3, 5):
        world.evaluated_at_ms = NOON + hours * HOUR
        world.exporter.look()
        world.at(NOON + hours * HOUR + 60_000)
        world.exporter.look()
        world.settle()
    assert [run.state.trigger for run in world.all_runs()] == ["after_evaluation"] * 2


def test_once_after_evaluation_happens_once(world: World) -> None:
    schedule = Schedule("ONCE", "AFTER_SEGMENT_EVAL", from_ms(NOON).date())
    world.dataflows.replace(dataflow(audience(schedule=schedule)))
    for hours in (3, 5):
        world.evaluated_at_ms = NOON + hours * HOUR
        world.exporter.look()
        world.at(NOON + hours * HOUR)
    assert len(world.all_runs()) == 1


def test_a_scan_waits_until_memberships_are_settled(world: World) -> None:
    world.is_settled = False
    world.at("2027-02-10T13:00:00Z")
    waits = [world.exporter.is_waiting]  # nobody rings when it may go on
    assert not world.exporter.status()["is_idle"]  # or a manual clock would move on, and the file would hold what came later
    world.put(1, "Ilse", changed_at_ms=NOON + HOUR)
    world.is_settled = True
    world.at("2027-02-10T13:05:00Z")
    waits.append(world.exporter.is_waiting)
    assert waits == [True, False]
    assert world.exporter.status()["is_idle"]
    assert list(world.files().values()) == ["first,status\nIlse,realized\n"]
    assert world.all_runs()[0].cutoff_ms == NOON + HOUR


def test_mandatory_fields_and_consent_leave_persons_out_and_are_counted(world: World) -> None:
    world.dataflows.replace(dataflow(mandatory=(FIRST,)))
    world.consent = lambda profile: "ACTIVATION-0010-CONSENT" if profile["person"]["name"]["firstName"] == "Kim" else ""
    for number, first in enumerate(["Ilse", "", "Kim"]):
        world.put(number, first)
    world.at("2027-02-10T13:00:00Z")
    metrics = world.all_runs()[0].state.metrics
    assert (metrics.input_records, metrics.output_records, metrics.skipped_records) == (3, 1, 2)
    assert [(issue.code, issue.count) for issue in metrics.skipped] == [
        ("ACTIVATION_BATCH-0000-SKIP", 1),
        ("ACTIVATION-0010-CONSENT", 1),
    ]


def test_a_policy_that_forbids_the_dataflow_fails_the_run(world: World) -> None:
    world.violation = "Policy 'No mail' forbids C4."
    world.at("2027-02-10T13:00:00Z")
    assert world.all_runs()[0].state.metrics.errors[0].code == "POLICY-0001-403"
    assert world.files() == {}


def test_rows_are_made_unique_over_all_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_job, "_SPOOL_ROWS", 2)
    world.dataflows.replace(dataflow(keys=(DedupKey("ATTRIBUTE", "person.name.firstName"),), attributes=(EMAIL, FIRST)))
    world.limits = Limits(rows_per_file=2)
    world.crash()
    for number, first in enumerate(["Ilse", "Jan", "Ilse", "Kim", "Jan"]):
        world.put(number, first, changed_at_ms=NOON + number)
    world.at("2027-02-10T13:00:00Z")
    assert list(world.files().values()) == ["Email,first\np2@x,Ilse\np3@x,Kim\n", "Email,first\np4@x,Jan\n"]
    assert world.all_runs()[0].state.metrics.output_records == 3


def test_structures_are_exported_to_parquet_when_the_target_says_so(world: World) -> None:
    name = AttributeMapping("attribute", "person.name", "person_name", ("person", "name"), type="object")
    params = {"fileType": "PARQUET", "exportComplexTypes": True}
    world.dataflows.replace(dataflow(attributes=(name, STATUS), params=params))
    world.put(1, "Ilse")
    world.at("2027-02-10T13:00:00Z")
    (path,) = (world.folder / "zone" / "prod" / "crm" / "daily").iterdir()
    assert pq.read_table(path).to_pylist() == [{"person_name": {"firstName": "Ilse"}, "status": "realized"}]


def test_the_manifest_is_written_even_for_an_empty_export(world: World) -> None:
    world.dataflows.replace(dataflow(params={"includeFileManifest": True, "path": "out/%SEGMENT_NAME%"}))
    world.at("2027-02-10T13:00:00Z")
    (run,) = world.all_runs()
    written = world.files("out/Weekend riders")
    assert sorted(written) == ["Weekend_riders_20270210_130000.csv", f"manifest-{FLOW}-{run.id}.json"]
    assert json.loads(written[f"manifest-{FLOW}-{run.id}.json"]) == {
        "flowRunId": run.id,
        "scheduledTime": "2027-02-10T13:00:00Z",
        "exportResults": [
            {"sinkPath": "out/Weekend riders", "name": "Weekend_riders_20270210_130000.csv", "size": len("first,status\n")}
        ],
    }


def test_a_run_that_a_crash_interrupted_is_done_again_under_the_same_names(world: World) -> None:
    UnreliableFiles.faults = [DestinationUnreachable("x")]
    world.dataflows.replace(dataflow(destination=UnreliableFiles, params={}))
    world.put(1, "Ilse")
    world.at("2027-02-10T13:00:00Z")
    world.crash()
    world.at("2027-02-10T14:30:00Z")
    assert list(world.files("files")) == ["Weekend_riders_20270210_130000.csv"]
    assert [run.status for run in world.all_runs()] == ["success"]


def test_two_audiences_are_exported_in_one_pass_into_their_own_files(world: World) -> None:
    other = audience(audience_id="aud-2", number=2, name="Others")
    world.dataflows.replace(dataflow(audience(), other))
    world.put(1, "Ilse")
    world.at("2027-02-10T13:00:00Z")
    assert list(world.files().values()) == ["first,status\n", "first,status\nIlse,realized\n"]


def test_another_sandboxes_persons_are_not_exported(world: World) -> None:
    world.put(1, "Ilse")
    stolen = dict(world.state.scan(keys.person_key(1, b""), keys.person_key(1, b"\xff" * 17)))
    world.state.commit({keys.person_key(2, key[5:]): value for key, value in stolen.items()})
    world.at("2027-02-10T13:00:00Z")
    assert list(world.files().values()) == ["first,status\nIlse,realized\n"]


def test_a_key_that_cannot_encrypt_fails_the_run(world: World) -> None:
    world.dataflows.replace(dataflow(public_key="bm8="))
    world.at("2027-02-10T13:00:00Z")
    assert world.all_runs()[0].status == "failed"
    assert world.files() == {}


@pytest.mark.skipif(shutil.which("gpg") is None, reason="needs GnuPG (Debian package gnupg)")
def test_files_of_an_account_with_a_key_are_encrypted(world: World, tmp_path: Path) -> None:
    from tests.unit.activation.test_export_encryption import Keyring

    keyring = Keyring(tmp_path / "g", "rsa2048", "sign,cert")
    try:
        world.dataflows.replace(dataflow(public_key=keyring.public_key()))
        world.put(1, "Ilse")
        world.at("2027-02-10T13:00:00Z")
        (path,) = (world.folder / "zone" / "prod" / "crm" / "daily").iterdir()
        assert path.name == "Weekend_riders_20270210_130000.csv.gpg"
        assert keyring.run("--decrypt", path) == b"first,status\nIlse,realized\n"
    finally:
        keyring.close()


def test_old_files_leave_the_landing_zone_after_seven_days(world: World) -> None:
    world.at("2027-02-10T13:00:00Z")
    world.dataflows.replace()
    world.at(NOON + HOUR + 7 * DAY - 1)
    assert len(world.files()) == 1
    assert world.exporter.next_due_ms() == NOON + HOUR + 7 * DAY
    world.at(NOON + HOUR + 7 * DAY)
    assert world.files() == {}


@pytest.mark.parametrize("mode", [FULL, INCREMENTAL])
def test_the_end_date_is_exclusive(world: World, mode: ExportMode) -> None:
    schedule = Schedule("DAILY", "SCHEDULED", from_ms(NOON).date(), from_ms(NOON + 2 * DAY).date(), 13)
    world.dataflows.replace(dataflow(audience(schedule=schedule, export_mode=mode)))
    for days in range(5):
        world.at(NOON + HOUR + days * DAY)
    assert len(world.all_runs()) == 2
