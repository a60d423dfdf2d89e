"""What evaluations read of a home folder: persons, merge rules, namespaces, and the events of the lake."""

from collections.abc import Callable, Mapping

import pyarrow as pa

from headrace.audience.lake_events import EventTable
from headrace.audience.service import Audiences
from headrace.audience.snapshot import View
from headrace.catalog.datasets import Catalog, Dataset
from headrace.identity.namespaces import Namespaces
from headrace.model import Sandbox
from headrace.profile.merge import MergeRule
from headrace.profile.reader import ProfileReader
from headrace.profile.rules import PolicyRules
from headrace.schemas import SchemaRegistry
from headrace.storage.lake import Lake, TableId

# Namespaces of these types identify no person: their identities are no part of a graph.
_NO_GRAPH_TYPES = ("NON_PEOPLE", "PARTNER", "B2B_")


class HomeSurroundings:
    """The surroundings of evaluations in one process. See `evaluating.Surroundings` and `preview.PreviewSource`."""

    def __init__(
        self,
        *,
        reader: Callable[[], ProfileReader],
        rules: PolicyRules,
        namespaces: Namespaces,
        catalog: Catalog,
        schemas: SchemaRegistry,
        audiences: Audiences,
        lake: Callable[[], Lake],
    ) -> None:
        """Take what evaluations read.

        Args:
            reader: Gives the reader of the hot state.
            rules: Gives merge rules.
            namespaces: The identity namespaces.
            catalog: The datasets.
            schemas: Their schemas.
            audiences: The audiences.
            lake: Opens the lake; called only when events are read.
        """
        self._reader = reader
        self._rules = rules
        self._namespaces = namespaces
        self._catalog = catalog
        self._schemas = schemas
        self._audiences = audiences
        self._lake = lake

    def reader(self) -> ProfileReader:
        """Return a reader of the hot state, refreshed now."""
        reader = self._reader()
        reader.refresh()
        return reader

    def rule(self, sandbox: Sandbox, policy_id: str) -> MergeRule:
        """Return how a merge policy merges."""
        return self._rules.of_id(sandbox, policy_id)

    def view(self, sandbox: Sandbox) -> View:
        """Return how persons become profiles under the default merge policy."""
        return View(self._rules.default(sandbox), self.namespace_codes(sandbox), self._audiences.ids(sandbox))

    def namespace_codes(self, sandbox: Sandbox) -> Mapping[int, str]:
        """Return namespace id → key in ``identityMap`` of the merged profile; the standard ones are written small there."""
        return {item.id: item.code if item.custom else item.code.lower() for item in self._namespaces.all(sandbox)}

    def namespace_ids(self, sandbox: Sandbox) -> Mapping[str, int]:
        """Return code in lower case → namespace id, of the namespaces that identify persons."""
        return {
            item.code.lower(): item.id for item in self._namespaces.all(sandbox) if not item.id_type.startswith(_NO_GRAPH_TYPES)
        }

    def event_tables(self, sandbox: Sandbox) -> list[EventTable]:
        """Return the tables of the datasets whose events belong to profiles."""
        lake = self._lake()
        wanted = [item for item in self._catalog.datasets(sandbox) if self._has_events(sandbox, item)]
        return [self._table(lake, sandbox, item) for item in wanted]

    def _has_events(self, sandbox: Sandbox, dataset: Dataset) -> bool:
        return (
            dataset.is_profile_enabled
            and self._schemas.behavior(sandbox, dataset.schema_id) == "time-series"
            and self._schemas.is_profile_enabled(sandbox, dataset.schema_id)
        )

    def _table(self, lake: Lake, sandbox: Sandbox, dataset: Dataset) -> EventTable:
        table = TableId(sandbox.number, dataset.table_name)
        files = tuple(str(file.path) for file in lake.files(table))
        primary = None
        for item in self._schemas.identity_descriptors(sandbox, dataset.schema_id):
            if item.is_primary:
                namespace = self._namespaces.by_code(sandbox, item.namespace_code)
                primary = (tuple(item.path), namespace.id if namespace else 0)
        return EventTable(files, lake.schema(table) if files else pa.schema([]), primary)
