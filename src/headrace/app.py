"""The composition root: settings in, running product out. The only importer of concrete engines.

`Home` opens what a home folder holds, each thing when somebody first asks; every role's process has a `Home` of its own.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from headrace.activation.delivery_store import DeliveryStore
from headrace.activation.export import Exporter, ExportSupport
from headrace.activation.service import FlowService
from headrace.activation.streaming_runs import StreamingRuns
from headrace.api.build import build_api
from headrace.api.inlet import InletApp, quieten_collector
from headrace.api.services import Services
from headrace.audience.jobs import SegmentJobs
from headrace.audience.preview import Previews
from headrace.audience.run import JobRunner
from headrace.audience.schedules import Schedules
from headrace.audience.segmentation import Segmentation
from headrace.audience.service import Audiences
from headrace.audience.surroundings import HomeSurroundings
from headrace.catalog.batches import Batches
from headrace.catalog.datasets import Catalog
from headrace.catalog.errors import SandboxUnknown
from headrace.catalog.retired import Retired
from headrace.catalog.sandboxes import Sandboxes
from headrace.clock import SharedClock, SystemClock, parse_iso
from headrace.config import Settings
from headrace.destinations.base import Context
from headrace.engine.duckdb import DuckDbEngine
from headrace.errors import HeadraceError
from headrace.governance import accounts
from headrace.governance.accounts import Accounts
from headrace.governance.secrets import SecretBox
from headrace.identity.namespaces import Namespaces
from headrace.ingest.batch import BatchLoader
from headrace.ingest.batch_book import CatalogBook
from headrace.ingest.batch_import import BatchImport
from headrace.ingest.commit import GroupCommit
from headrace.ingest.counting import InletCounter
from headrace.ingest.data_access import DataAccess
from headrace.ingest.failed_batches import CatalogFailedBatches
from headrace.ingest.inlets import Inlets
from headrace.ingest.mapping.expression import compile_expression
from headrace.ingest.mapping.functions import functions_of
from headrace.ingest.mapping.sets import MappingSets
from headrace.ingest.quarantine import Quarantine, QuarantineRoller
from headrace.ingest.streaming import StreamingIntake
from headrace.ingest.targets import Targets
from headrace.model import Sandbox
from headrace.profile.access import ProfileAccess
from headrace.profile.policies import MergePolicies
from headrace.profile.reader import ProfileReader
from headrace.profile.rules import PolicyRules
from headrace.roles.activation import Activation
from headrace.roles.activation_plans import ActivationPlans
from headrace.roles.control_rules import ControlRules
from headrace.roles.gateway import Gateway
from headrace.roles.home_lock import home_lock
from headrace.roles.lake_catalog import CatalogOfLake
from headrace.roles.lake_position import PositionFile
from headrace.roles.lake_seen import SeenEvents
from headrace.roles.lake_writer import LakeWriter
from headrace.roles.log_upkeep import LogUpkeep
from headrace.roles.operations import Operations
from headrace.roles.pipeline import Pipeline
from headrace.roles.purging import Purging
from headrace.roles.runner import Role, Runner
from headrace.roles.scheduler import RunningJobs, ScheduledJobs, Scheduler, Task
from headrace.roles.status import StatusBoard
from headrace.roles.supervisor import Supervisor
from headrace.schemas import SchemaRegistry
from headrace.schemas.importing import ImportReport, import_components
from headrace.storage.control import ControlStore
from headrace.storage.control.base import RevisionPage
from headrace.storage.control.migrate import migrate
from headrace.storage.lake.iceberg import IcebergLake
from headrace.storage.log.lmdb import LmdbLog
from headrace.storage.state.rocksdb import RocksState, RocksStateFollower
from headrace.telemetry import configure_logging

FLUSH_BELL, JOBS_BELL = "flush", "jobs"
_BELLS: Mapping[str, tuple[str, ...]] = {
    "pipeline": ("records", "control", "clock"),
    "lake_writer": ("records", "control", "clock", FLUSH_BELL),
    "scheduler": ("control", "clock", "batches", "jobs"),
    "activation": ("changes", "control", "clock"),
}


class Home:
    """Everything of one home folder, opened when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.path = settings.home
        self.path.mkdir(parents=True, exist_ok=True)

    # --- stores -----------------------------------------------------------------------------------------------------------

    @cached_property
    def clock(self) -> SystemClock | SharedClock:
        """The server's clock."""
        if not self.settings.is_manual_clock:
            return SystemClock()
        start_ms = parse_iso(self.settings.clock.partition(":")[2])
        return SharedClock(self.path / "run" / "clock", start_ms=start_ms)

    @cached_property
    def log(self) -> LmdbLog:
        """The topics."""
        return LmdbLog(self.path / "log", self.path / "run" / "bells")

    @cached_property
    def control(self) -> ControlStore:
        """The control plane's tables."""
        page = RevisionPage(self.path / "run" / "revision")
        url = f"sqlite:///{self.path / 'control.sqlite'}"
        return ControlStore(url, page, on_write=partial(self.log.ring, "control"))

    @cached_property
    def board(self) -> StatusBoard:
        """What the roles say about themselves."""
        return StatusBoard(self.path / "run")

    @cached_property
    def followed_state(self) -> RocksStateFollower:
        """The hot state as other processes than the pipeline see it."""
        return RocksStateFollower(self.path / "state")

    @cached_property
    def lake(self) -> IcebergLake:
        """The dataset tables."""
        return IcebergLake(self.path / "lake")

    @cached_property
    def secrets(self) -> SecretBox:
        """Encrypts what must not be stored in clear."""
        return SecretBox.of_home(self.path)

    def prepare(self) -> None:
        """Make what a new home folder needs, and bring the tables of an older version up to date."""
        (self.path / "run").mkdir(parents=True, exist_ok=True)
        migrate(self.control)
        self.control.publish_revision()
        accounts.bootstrap(self.control, self.path, self.clock)

    # --- stages -----------------------------------------------------------------------------------------------------------

    @cached_property
    def accounts(self) -> Accounts:
        """Who may call; a token lives by the machine's time, so that moving a manual clock ends no session."""
        return Accounts(self.control, self.path, SystemClock())

    @cached_property
    def sandboxes(self) -> Sandboxes:
        """The sandboxes."""
        return Sandboxes(self.control, self.clock)

    @cached_property
    def schemas(self) -> SchemaRegistry:
        """The schema registry."""
        registry = SchemaRegistry(self.control, self.clock, self.accounts.organization().tenant_id)
        registry.connect(
            is_schema_in_use=lambda sandbox, schema_id: self.catalog.is_schema_in_use(sandbox, schema_id),
            namespace_of=self._namespace_code,
        )
        return registry

    def _namespace_code(self, sandbox: Sandbox, text: str) -> str | None:
        by_id = self.namespaces.by_id(sandbox, int(text)) if text.isdigit() else None
        found = by_id or self.namespaces.by_code(sandbox, text)
        return found.code if found else None

    @cached_property
    def catalog(self) -> Catalog:
        """The datasets."""
        return Catalog(self.control, self.clock, self.schemas)

    @cached_property
    def batches(self) -> Batches:
        """The batches."""
        return Batches(self.control, self.clock)

    @cached_property
    def namespaces(self) -> Namespaces:
        """The identity namespaces."""
        return Namespaces(self.control, self.clock)

    @cached_property
    def policies(self) -> MergePolicies:
        """The merge policies."""
        return MergePolicies(self.control, self.clock, self.catalog)

    @cached_property
    def rules(self) -> PolicyRules:
        """The merge rules of the policies."""
        return PolicyRules(self.policies, self.catalog)

    @cached_property
    def audiences(self) -> Audiences:
        """The audiences."""
        audiences = Audiences(self.control, self.clock, self.schemas, self.policies)
        audiences.connect(users_of=self._dataflows_of)
        self.policies.connect(users_of=audiences.users_of_policy, default_moved=audiences.move_policy)
        return audiences

    def _dataflows_of(self, sandbox: Sandbox, audience_id: str) -> list[str]:
        flows = self.flow_service.dataflows.active(sandbox)
        return [f"dataflow '{flow.name}'" for flow in flows if flow.audience(audience_id) is not None]

    @cached_property
    def surroundings(self) -> HomeSurroundings:
        """What evaluations of audiences read."""
        return HomeSurroundings(
            reader=lambda: self.reader,
            rules=self.rules,
            namespaces=self.namespaces,
            catalog=self.catalog,
            schemas=self.schemas,
            audiences=self.audiences,
            lake=lambda: IcebergLake(self.path / "lake"),
        )

    @cached_property
    def segment_jobs(self) -> SegmentJobs:
        """The segment jobs."""
        return SegmentJobs(self.control, self.clock, self.audiences)

    @cached_property
    def schedules(self) -> Schedules:
        """The schedules of segment jobs."""
        return Schedules(self.control, self.clock)

    def segmentation(self) -> Segmentation:
        """Return segmentation beside the audiences themselves."""
        executor = ThreadPoolExecutor(1, thread_name_prefix="preview")
        previews = Previews(self.audiences, self.surroundings, self.clock, engine=DuckDbEngine, executor=executor)
        return Segmentation(self.segment_jobs, self.schedules, previews, partial(self.log.ring, JOBS_BELL))

    @cached_property
    def mapping_sets(self) -> MappingSets:
        """Mapping sets in a form that runs."""
        return MappingSets(self.control, self.schemas, self.clock)

    @cached_property
    def flow_service(self) -> FlowService:
        """Connections, dataflows and their runs."""
        functions = functions_of(self.clock)
        return FlowService.over(
            self.control,
            self.clock,
            secrets=self.secrets,
            schemas=self.schemas,
            namespaces=self.namespaces,
            audiences=self.audiences,
            datasets=self.catalog,
            context_of=self.destination_context,
            check_expression=lambda text: _discard(compile_expression(text, functions)),
        )

    def destination_context(self, sandbox: Sandbox) -> Context:
        """Return what destinations get from the server."""
        return Context(
            clock=self.clock,
            sandbox_name=sandbox.name,
            landing_zone=self.path / "landing-zone",
            allow_private_destinations=self.settings.allow_private_destinations,
        )

    @cached_property
    def reader(self) -> ProfileReader:
        """The persons, followed from another process than the pipeline."""
        return ProfileReader(self.followed_state)

    @cached_property
    def operations(self) -> Operations:
        """Health, progress and the clock of the whole server."""
        return Operations(self.board, self.log, self.control, self.clock)

    def services(self) -> Services:
        """Return what the routes call."""
        flows = self.flow_service.flows
        self.audiences.connect(users_of=flows.users_of_audience)
        self.catalog.connect(users_of=flows.users_of_dataset)
        return Services(
            settings=self.settings,
            clock=self.clock,
            control=self.control,
            log=self.log,
            secrets=self.secrets,
            accounts=self.accounts,
            sandboxes=self.sandboxes,
            schemas=self.schemas,
            catalog=self.catalog,
            batches=self.batches,
            namespaces=self.namespaces,
            graphs=self.reader,
            profiles=self.reader,
            access=ProfileAccess(lambda: self.reader, self.namespaces, self.policies, self.catalog, self.audiences.ids),
            policies=self.policies,
            operations=self.operations,
            audiences=self.audiences,
            segmentation=self.segmentation(),
            dataflows=self.flow_service.dataflows,
            flow_service=self.flow_service,
            imports=BatchImport(self.control, self.catalog, self.batches, self.log, self.path, self.clock),
            data_access=DataAccess(self.catalog, self.batches, self.lake, self.path),
        )


# --- roles ----------------------------------------------------------------------------------------------------------------


def make_pipeline(home: Home) -> Pipeline:
    """Return the pipeline role over the stores of a home folder."""
    rules = ControlRules(
        sandboxes=home.sandboxes,
        catalog=home.catalog,
        schemas=home.schemas,
        namespaces=home.namespaces,
        audiences=home.audiences,
        dataflows=home.flow_service.dataflows,
        policies=home.rules,
    )
    state = RocksState(home.path / "state")
    return Pipeline(state, home.log, rules, home.clock, home.path, max_records=home.settings.micro_batch_records)


def make_lake_writer(home: Home) -> LakeWriter:
    """Return the lake writer role over the stores of a home folder."""
    catalog = CatalogOfLake(home.sandboxes, home.catalog, home.batches, home.schemas, home.clock)
    return LakeWriter(
        IcebergLake(home.path / "lake"),  # the role closes it, and opens another after a fault
        home.log,
        catalog,
        SeenEvents(RocksState(home.path / "lake" / "seen")),
        PositionFile(home.path / "lake" / "position.json"),
        home.clock,
        home.path,
        flush_seconds=home.settings.lake_flush_seconds,
        flush_bytes=home.settings.lake_flush_bytes,
    )


def make_activation(home: Home) -> Activation:
    """Return the activation role over the stores of a home folder."""
    plans = ActivationPlans(
        home.sandboxes, home.flow_service.dataflows, home.audiences, home.namespaces, home.destination_context
    )
    return Activation(
        topics=home.log,
        store=DeliveryStore(home.path / "activation"),
        clock=home.clock,
        plans=plans,
        revision=home.control.revision,
        runs=StreamingRuns(home.flow_service.runs, home.clock),
    )


def make_exporter(home: Home) -> Exporter:
    """Return what exports files; the scheduler drives it."""
    functions = functions_of(home.clock)
    support = ExportSupport(
        rule_of=home.rules.of_id,
        namespaces_of=lambda sandbox: {item.id: item.code for item in home.namespaces.all(sandbox)},
        context_of=home.destination_context,
        expressions=partial(_expression, functions),
        evaluated_at=lambda sandbox, audience: home.segment_jobs.evaluated_at(sandbox, audience.audience_id),
        is_settled=lambda until_ms: _has_applied(home, until_ms),
    )
    return Exporter(
        sandboxes=home.sandboxes.all,
        dataflows=home.flow_service.dataflows,
        runs=home.flow_service.runs,
        reader=home.reader,
        clock=home.clock,
        staging=home.path / "staging" / "exports",
        landing_zone=home.path / "landing-zone",
        support=support,
    )


def _expression(functions: Mapping[str, Any], text: str) -> Callable[[Mapping[str, Any]], Any]:
    evaluate = compile_expression(text, functions)
    return lambda profile: evaluate(dict(profile))


def _has_applied(home: Home, until_ms: int) -> bool:
    status = home.board.read("pipeline")
    if status is None:
        return False
    is_drained = status["offset"] >= home.log.topic("records").next_offset() and status["caught_up_ms"] >= until_ms
    return bool(is_drained or status["instant_ms"] >= until_ms)


def make_loader(home: Home) -> BatchLoader:
    """Return what loads completed batches; the scheduler drives it."""
    book = CatalogBook(home.sandboxes, home.catalog, home.batches, home.schemas, home.path, home.clock)
    return BatchLoader(book, home.schemas, home.log, home.path, home.clock, home.mapping_sets)


class _BoardProgress:
    """How far the roles say that they are."""

    def __init__(self, board: StatusBoard) -> None:
        self._board = board

    def pipeline_offset(self) -> int:
        return int((self._board.read("pipeline") or {}).get("offset", 0))

    def lake_offset(self) -> int:
        return int((self._board.read("lake_writer") or {}).get("lake_offset", 0))


def make_job_runner(home: Home, executor: Executor) -> JobRunner:
    """Return what runs segment jobs; the scheduler drives it, their statements run in ``executor``."""
    return JobRunner(
        home.segment_jobs,
        home.audiences,
        home.surroundings,
        _BoardProgress(home.board),
        home.log,
        home.clock,
        home.path,
        sandbox_of=home.sandboxes.by_number,
        engine=DuckDbEngine,
        executor=executor,
    )


def make_scheduler(home: Home, executor: Executor | None = None) -> Scheduler:
    """Return the scheduler role over the stores of a home folder; long work runs in ``executor``, by default a thread."""
    executor = executor or ThreadPoolExecutor(1, thread_name_prefix="segment-job")
    scheduled = ScheduledJobs(home.schedules, home.segment_jobs, sandboxes=home.sandboxes.all, revision=home.control.revision)
    tasks: dict[str, Task] = {
        "schedules": scheduled,
        "segment_jobs": RunningJobs(make_job_runner(home, executor), home.segment_jobs),
        "batches": make_loader(home),
        "purges": Purging(Retired(home.control), home.log, home.board, home.clock, home.path),
        "exports": make_exporter(home),
        "log_upkeep": LogUpkeep(home.log, home.board, home.clock, home.path, retention_hours=home.settings.log_retention_hours),
    }
    return Scheduler(tasks, home.clock)


ROLE_MAKERS: Mapping[str, Callable[[Home], Role]] = {
    "pipeline": make_pipeline,
    "lake_writer": make_lake_writer,
    "scheduler": make_scheduler,
    "activation": make_activation,
}


def run_role(name: str, settings: Settings) -> None:
    """Run one role in this process until it is told to stop."""
    configure_logging(settings.log_level)
    home = Home(settings)
    wakeup = home.log.subscribe(name, _BELLS[name])
    runner = Runner(name, partial(ROLE_MAKERS[name], home), home.clock, wakeup, home.board)
    runner.run()


def run_gateway(settings: Settings) -> None:
    """Run the gateway in this process until it is told to stop."""
    configure_logging(settings.log_level)
    home = Home(settings)
    records, quarantined = home.log.topic("records"), home.log.topic("quarantine")
    failed = CatalogFailedBatches(home.batches, home.catalog, home.sandboxes.by_number)
    quarantine = Quarantine(quarantined, home.path / "quarantine", failed)
    roller = QuarantineRoller(quarantine)
    commit = GroupCommit(records, quarantined, max_linger_ms=home.settings.max_linger_ms, on_quarantined=roller.wake)
    intake = StreamingIntake(Targets(home.catalog, home.schemas, home.mapping_sets), commit, home.clock)
    inlets = Inlets(home.control, _known_sandbox(home.sandboxes))
    inlet = InletApp(inlets, intake, InletCounter(records, quarantined), home.clock, partial(_is_token_valid, home.accounts))
    quieten_collector()
    gateway = Gateway(inlet, build_api(home.services()), home.clock, home.board, host=settings.host, port=settings.port)
    gateway.run()
    roller.close()


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


def serve(settings: Settings) -> None:
    """Start all roles and keep them running until this process is interrupted.

    Raises:
        HomeInUse: Another server works on the home folder.
    """
    configure_logging(settings.log_level)
    with home_lock(settings.home):
        home = Home(settings)
        home.prepare()
        home.log.close()
        home.control.close()
        mains: dict[str, Callable[[], None]] = {"gateway": partial(run_gateway, settings)}
        mains.update({name: partial(run_role, name, settings) for name in ROLE_MAKERS})
        Supervisor(mains, home.board).run()


def issue_token(settings: Settings) -> str:
    """Return an access token for the technical account of a home folder."""
    home = Home(settings)
    return accounts.issue_token(home.control, settings.home, SystemClock())


def import_xdm(settings: Settings, folder: Path, on_stored: Callable[[int, int], None]) -> ImportReport:
    """Store the standard components of a folder in a home folder; a server that runs on it sees them at once.

    Args:
        settings: Name the home folder; a new one is prepared.
        folder: Folder ``components`` of the XDM sources, or one laid out like it.
        on_stored: Told after each component how many are stored, and how many there are to store.

    Raises:
        ImportRefused: A file is malformed, or a reference leads nowhere; nothing was stored.
        BreakingChange: A changed component would break a schema in use; nothing was stored.
    """
    home = Home(settings)
    try:
        home.prepare()
        return import_components(home.schemas, folder, home.sandboxes.all(), on_stored=on_stored)
    finally:
        home.control.close()
        home.log.close()


def _discard(value: Any) -> None:
    del value
