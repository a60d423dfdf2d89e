"""Puts the gateway together: the inlets, and the services that the wire API calls."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from headrace.api.build import build_api
from headrace.api.inlet import InletApp, quieten_collector
from headrace.api.services import Services
from headrace.app.home import JOBS_BELL, Home
from headrace.audience.segmentation import Segmentation
from headrace.catalog.errors import SandboxUnknown
from headrace.catalog.sandboxes import Sandboxes
from headrace.config import Settings
from headrace.errors import HeadraceError
from headrace.governance.accounts import Accounts
from headrace.ingest.admission import RequestRate, Room
from headrace.ingest.batch_import import BatchImport
from headrace.ingest.commit import GroupCommit
from headrace.ingest.counting import InletCounter
from headrace.ingest.data_access import DataAccess
from headrace.ingest.failed_batches import CatalogFailedBatches
from headrace.ingest.inlets import Inlets
from headrace.ingest.quarantine import Quarantine, QuarantineRoller
from headrace.ingest.streaming import StreamingIntake
from headrace.ingest.targets import Targets
from headrace.model import Sandbox
from headrace.profile.access import ProfileAccess
from headrace.roles.gateway import Gateway
from headrace.roles.status import StatusBoard

if TYPE_CHECKING:
    from headrace.audience.preview import Previews


def run(settings: Settings) -> None:
    """Run the gateway in this process until it is told to stop."""
    home = Home(settings)
    records, quarantined = home.log.topic("records"), home.log.topic("quarantine")
    failed = CatalogFailedBatches(home.batches, home.catalog, home.sandboxes.by_number)
    quarantine = Quarantine(quarantined, home.path / "quarantine", failed)
    roller = QuarantineRoller(quarantine)
    commit = GroupCommit(records, quarantined, max_linger_ms=home.settings.max_linger_ms, on_quarantined=roller.wake)
    intake = StreamingIntake(Targets(home.catalog, home.schemas, home.mapping_sets), commit, home.clock)
    inlets = Inlets(home.control, _known_sandbox(home.sandboxes))
    room = Room(
        home.path,
        records,
        partial(_applied, home.board),
        least_free_bytes=settings.inlet_least_free_bytes,
        most_waiting_entries=settings.inlet_most_backlog_records,
    )
    inlet = InletApp(
        inlets,
        intake,
        InletCounter(records, quarantined),
        home.clock,
        partial(_is_token_valid, home.accounts),
        rate=RequestRate(settings.inlet_requests_per_second, home.clock),
        lack_of_room=room.lack,
    )
    quieten_collector()
    gateway = Gateway(inlet, build_api(services_of(home)), home.clock, home.board, host=settings.host, port=settings.port)
    gateway.run()
    roller.close()


def _applied(board: StatusBoard) -> int | None:
    """Return up to which offset both readers of the log have read it, None while one of them is not up."""
    pipeline, lake = board.read("pipeline"), board.read("lake_writer")
    if pipeline is None or lake is None:
        return None
    return min(int(pipeline["offset"]), int(lake["saved_offset"]))


def _is_token_valid(known: Accounts, token: str) -> bool:
    try:
        known.authenticate(token)
    except HeadraceError:
        return False
    return True


def _known_sandbox(sandboxes: Sandboxes) -> Callable[[int], Sandbox]:
    def found(number: int) -> Sandbox:
        sandbox = sandboxes.by_number(number)
        if sandbox is None:
            raise SandboxUnknown(f"sandbox {number}")
        return sandbox

    return found


def services_of(home: Home) -> Services:
    """Return what the routes call."""
    flows = home.flow_service.flows
    home.audiences.connect(users_of=flows.users_of_audience)
    home.catalog.connect(users_of=flows.users_of_dataset)
    return Services(
        settings=home.settings,
        clock=home.clock,
        control=home.control,
        log=home.log,
        secrets=home.secrets,
        accounts=home.accounts,
        sandboxes=home.sandboxes,
        schemas=home.schemas,
        catalog=home.catalog,
        batches=home.batches,
        namespaces=home.namespaces,
        graphs=home.reader,
        profiles=home.reader,
        access=ProfileAccess(lambda: home.reader, home.namespaces, home.policies, home.catalog, home.audiences.ids),
        policies=home.policies,
        operations=home.operations,
        audiences=home.audiences,
        segmentation=segmentation_of(home),
        dataflows=home.flow_service.dataflows,
        flow_service=home.flow_service,
        dead_letters=home.dead_letters,
        imports=BatchImport(home.control, home.catalog, home.batches, home.log, home.path, home.clock),
        data_access=DataAccess(home.catalog, home.batches, lambda: home.lake, home.path),
    )


def segmentation_of(home: Home) -> Segmentation:
    """Return segmentation beside the audiences themselves."""
    wake = partial(home.log.ring, JOBS_BELL)
    return Segmentation(home.segment_jobs, home.schedules, partial(_previews_of, home), wake)


def _previews_of(home: Home) -> "Previews":
    from headrace.app.evaluations import previews_of  # brings the engine, which a gateway needs for nothing else

    return previews_of(home)
