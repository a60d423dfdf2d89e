"""What the routes call. `headrace.app` builds it once for each process that answers the wire API."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from headrace.activation.dead_letters import DeadLetters
    from headrace.activation.service import FlowService
    from headrace.audience.segmentation import Segmentation
    from headrace.audience.service import Audiences
    from headrace.catalog.batches import Batches
    from headrace.catalog.datasets import Catalog
    from headrace.catalog.sandboxes import Sandboxes
    from headrace.clock import Clock
    from headrace.config import Settings
    from headrace.governance.accounts import Accounts
    from headrace.governance.secrets import SecretBox
    from headrace.identity.clusters import GraphReader
    from headrace.identity.namespaces import Namespaces
    from headrace.ingest.batch_import import BatchImport
    from headrace.ingest.data_access import DataAccess
    from headrace.profile.access import ProfileAccess
    from headrace.profile.policies import MergePolicies
    from headrace.profile.reader import ProfileReader
    from headrace.schemas import SchemaRegistry
    from headrace.storage.control import ControlStore
    from headrace.storage.log import Log


class Operations(Protocol):
    """What an operator asks of the whole server."""

    def health(self) -> dict[str, Any]:
        """Return ``{"status": "ready" | "starting" | "degraded", "is_ready": …, "roles": {name: {"pid": …, "fault": …}}}``."""
        ...

    def progress(self) -> dict[str, Any]:
        """Return the counters of all stages, and whether everything accepted has gone all the way."""
        ...

    def move_clock(self, now_ms: int) -> dict[str, Any]:
        """Move a manual clock forward; answers when everything that fell due is done.

        Raises:
            StateError: The server runs on the machine's clock.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Services:
    """The stages' services, one field each."""

    settings: "Settings"
    clock: "Clock"
    control: "ControlStore"
    log: "Log"
    secrets: "SecretBox"
    accounts: "Accounts"
    sandboxes: "Sandboxes"
    schemas: "SchemaRegistry"
    catalog: "Catalog"
    batches: "Batches"
    namespaces: "Namespaces"
    graphs: "GraphReader"
    profiles: "ProfileReader"
    access: "ProfileAccess"
    policies: "MergePolicies"
    operations: Operations
    # A stage that is written adds its services below, typed under TYPE_CHECKING above.
    audiences: "Audiences"
    segmentation: "Segmentation"
    dataflows: Any  # activation.Dataflows
    flow_service: "FlowService"
    dead_letters: "DeadLetters"
    imports: "BatchImport"
    data_access: "DataAccess"
