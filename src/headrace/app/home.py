"""What every role takes from a home folder: each thing is opened when somebody first asks."""

from functools import cached_property, partial
from typing import Any

from headrace.activation.dead_letters import DeadLetters
from headrace.activation.delivery_store import DeliveryStore
from headrace.activation.service import FlowService
from headrace.audience.jobs import SegmentJobs
from headrace.audience.schedules import Schedules
from headrace.audience.service import Audiences
from headrace.catalog.batches import Batches
from headrace.catalog.datasets import Catalog
from headrace.catalog.sandboxes import Sandboxes
from headrace.clock import SharedClock, SystemClock, parse_iso
from headrace.config import Settings
from headrace.destinations.base import Context
from headrace.governance import accounts
from headrace.governance.accounts import Accounts
from headrace.governance.secrets import SecretBox
from headrace.identity.namespaces import Namespaces
from headrace.ingest.mapping.expression import compile_expression
from headrace.ingest.mapping.functions import functions_of
from headrace.ingest.mapping.sets import MappingSets
from headrace.model import Sandbox
from headrace.profile.policies import MergePolicies
from headrace.profile.reader import ProfileReader
from headrace.profile.rules import PolicyRules
from headrace.roles.operations import Operations
from headrace.roles.status import StatusBoard
from headrace.schemas import SchemaRegistry
from headrace.storage.control import ControlStore
from headrace.storage.control.base import RevisionPage
from headrace.storage.control.migrate import migrate
from headrace.storage.lake import Lake
from headrace.storage.log.lmdb import LmdbLog
from headrace.storage.state.rocksdb import RocksStateFollower

FLUSH_BELL, JOBS_BELL = "flush", "jobs"


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
    def lake(self) -> Lake:
        """The dataset tables."""
        return self.open_lake()

    def open_lake(self) -> Lake:
        """Return the dataset tables, opened anew."""
        from headrace.storage.lake.iceberg import IcebergLake  # takes a second, and most processes never read the lake

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
    def segment_jobs(self) -> SegmentJobs:
        """The segment jobs."""
        return SegmentJobs(self.control, self.clock, self.audiences)

    @cached_property
    def schedules(self) -> Schedules:
        """The schedules of segment jobs."""
        return Schedules(self.control, self.clock)

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
            sandboxes=self.sandboxes.all,
            check_expression=lambda text: _discard(compile_expression(text, functions)),
        )

    @cached_property
    def delivery_store(self) -> DeliveryStore:
        """What is on its way to streaming destinations."""
        return DeliveryStore(self.path / "activation")

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """Messages that were given up."""
        return DeadLetters(lambda: self.delivery_store, wake=partial(self.log.ring, "changes"))

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


def _discard(value: Any) -> None:
    del value
