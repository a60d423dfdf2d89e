"""The catalog of datasets."""

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from headrace.catalog import dataset_store as store
from headrace.catalog.dataset import Dataset, dataset_of, table_name_of
from headrace.catalog.dataset_labels import LabelBook
from headrace.catalog.dataset_rules import WRITABLE, DatasetRules, system_tags
from headrace.catalog.errors import (
    DatasetInUse,
    DatasetSchemaFixed,
    DatasetUnknown,
    VersionMismatch,
)
from headrace.clock import Clock
from headrace.model import Sandbox
from headrace.schemas import SchemaRegistry
from headrace.storage.control import ControlStore

__all__ = ["Actor", "Catalog", "Dataset", "UsersOf"]

UsersOf = Callable[[Sandbox, str], Sequence[str]]
"""Returns what uses a dataset, in words for people (``flow 'CRM to S3'``)."""

Edit = Callable[[dict[str, Any]], Mapping[str, Any]]
"""Returns a definition as it shall be, given its writable members as they are."""


@dataclass(frozen=True)
class Actor:
    """Who makes a change."""

    client_id: str
    user_id: str


class Catalog:
    """Reads and changes datasets; safe between threads.

    Attributes:
        labels: Their data usage labels.
    """

    def __init__(self, control: ControlStore, clock: Clock, schemas: SchemaRegistry) -> None:
        """Open the catalog.

        Args:
            control: Where datasets are stored.
            clock: Stamps changes.
            schemas: Knows the schemas that datasets are built on.
        """
        self._control = control
        self._clock = clock
        self._schemas = schemas
        self._rules = DatasetRules(schemas)
        self.labels = LabelBook(control, clock, schemas)
        self._users_of: UsersOf = lambda _sandbox, _dataset_id: ()
        self._known: dict[int, tuple[int, _Shelf]] = {}
        self._lock = threading.Lock()

    def connect(self, *, users_of: UsersOf) -> None:
        """Give the catalog what later stages know; until then nothing but batches counts as using a dataset."""
        self._users_of = users_of

    def revision(self) -> int:
        """Return the number of the newest configuration change; what was read under another one may be outdated."""
        return self._control.revision()

    def datasets(self, sandbox: Sandbox) -> list[Dataset]:
        """Return all datasets of a sandbox, oldest first."""
        return list(self._shelf(sandbox).by_id.values())

    def dataset(self, sandbox: Sandbox, dataset_id: str) -> Dataset:
        """Return a dataset by its id.

        Raises:
            DatasetUnknown: The sandbox has none of this id.
        """
        found = self._shelf(sandbox).by_id.get(dataset_id)
        if found is None:
            raise DatasetUnknown(dataset_id)
        return found

    def dataset_by_number(self, sandbox: Sandbox, number: int) -> Dataset | None:
        """Return a dataset by its number, None when the sandbox has none."""
        return self._shelf(sandbox).by_number.get(number)

    def is_event_dataset(self, sandbox: Sandbox, dataset_id: str) -> bool:
        """Tell whether a dataset holds events; False for a dataset that does not exist."""
        found = self._shelf(sandbox).by_id.get(dataset_id)
        return found is not None and self._schemas.behavior(sandbox, found.schema_id) == "time-series"

    def is_schema_in_use(self, sandbox: Sandbox, schema_id: str) -> bool:
        """Tell whether a dataset of the sandbox is built on a schema; for `SchemaRegistry.connect`."""
        return any(item.schema_id == schema_id for item in self.datasets(sandbox))

    def _shelf(self, sandbox: Sandbox) -> "_Shelf":
        revision = self._control.revision()
        known = self._known.get(sandbox.number)
        if known is not None and known[0] == revision:
            return known[1]
        with self._lock, self._control.read() as connection:
            shelf = _Shelf([dataset_of(row) for row in store.rows(connection, sandbox.number)])
            self._known[sandbox.number] = (revision, shelf)
        return shelf

    def check(self, sandbox: Sandbox, body: Mapping[str, Any]) -> None:
        """Raise what `create` would raise, and store nothing."""
        self._rules.checked(sandbox, body, {}, self._clock.now_ms())

    def create(self, sandbox: Sandbox, body: Mapping[str, Any], actor: Actor) -> Dataset:
        """Create a dataset.

        Args:
            sandbox: The sandbox.
            body: The wire form: ``name`` and ``schemaRef``; ``tags`` and others when given.
            actor: Who creates it.

        Raises:
            DatasetInvalid: A member is missing or not acceptable.
        """
        now_ms = self._clock.now_ms()
        stored = self._rules.checked(sandbox, body, {}, now_ms)
        dataset_id = secrets.token_hex(12)
        with self._control.write() as connection:
            table_name = table_name_of(stored["name"], store.table_names(connection, sandbox.number))
            stored["tags"].update(system_tags(table_name))
            stored.update(
                viewId=secrets.token_hex(12),
                createdClient=actor.client_id,
                createdUser=actor.user_id,
                updatedUser=actor.user_id,
            )
            row = {
                "sandbox": sandbox.number,
                "id": dataset_id,
                "name": stored["name"],
                "schema_id": stored["schemaRef"]["id"],
                "table_name": table_name,
                "body": stored,
                "version": 0,
                "created_at": now_ms,
                "updated_at": now_ms,
            }
            store.add(connection, row)
        return self.dataset(sandbox, dataset_id)

    def edit(
        self,
        sandbox: Sandbox,
        dataset_id: str,
        edit: Edit,
        actor: Actor,
        *,
        if_match: str = "",
        is_dry_run: bool = False,
    ) -> Dataset:
        """Change a dataset.

        Args:
            sandbox: The sandbox.
            dataset_id: The dataset.
            edit: Returns the definition as it shall be; read-only members and the platform's tags stay whatever it says.
            actor: Who changes it.
            if_match: Version that the caller has read, ``1.0.3``; empty for any.
            is_dry_run: Whether to check only.

        Raises:
            DatasetUnknown: The sandbox has none of this id.
            VersionMismatch: The dataset has another version.
            DatasetInvalid: The definition is not acceptable.
            DatasetSchemaFixed: The schema would change under data.
        """
        now_ms = self._clock.now_ms()
        with self._control.write(is_configuration=not is_dry_run) as connection:
            row = store.row(connection, sandbox.number, dataset_id)
            if row is None:
                raise DatasetUnknown(dataset_id)
            present = dataset_of(row)
            if if_match and if_match != present.wire_version:
                raise VersionMismatch(
                    f"dataSet {dataset_id} has version {present.wire_version}, not {if_match}.", path="If-Match"
                )
            definition = edit({name: deepcopy(value) for name, value in present.body.items() if name in WRITABLE})
            stored = self._rules.checked(sandbox, definition, present.body, now_ms)
            self._refuse_new_schema(connection, present, stored["schemaRef"]["id"])
            if not is_dry_run:
                store.change(
                    connection,
                    present.number,
                    name=stored["name"],
                    schema_id=stored["schemaRef"]["id"],
                    body={**stored, "updatedUser": actor.user_id},
                    version=present.version + 1,
                    updated_at=now_ms,
                )
        return self.dataset(sandbox, dataset_id)

    def _refuse_new_schema(self, connection: Connection, present: Dataset, schema_id: str) -> None:
        if schema_id == present.schema_id:
            return
        if store.has_batch(connection, present.number, store.IN_LAKE) or store.has_rows(connection, present.number):
            raise DatasetSchemaFixed(
                f"Dataset '{present.name}' holds data, so its schema cannot change.",
                path="/schemaRef/id",
                hint="Make another dataset.",
            )

    def delete(self, sandbox: Sandbox, dataset_id: str) -> None:
        """Delete a dataset; what the stores hold of it belongs to nobody from then on.

        Raises:
            DatasetUnknown: The sandbox has none of this id.
            DatasetInUse: A running batch or something else uses it.
        """
        users = list(self._users_of(sandbox, dataset_id))
        with self._control.write() as connection:
            row = store.row(connection, sandbox.number, dataset_id)
            if row is None:
                raise DatasetUnknown(dataset_id)
            if store.has_batch(connection, row["number"], store.RUNNING):
                users.append("a batch that is not finished")
            if users:
                raise DatasetInUse(f"Dataset '{row['name']}' is used by {', '.join(users)}.", hint="End these first.")
            store.retire(connection, row, self._clock.now_ms())

    def facts(self, sandbox: Sandbox) -> dict[int, dict[str, Any]]:
        """Return what the lake has noted about datasets, by number; see `note_facts`."""
        with self._control.read() as connection:
            return store.facts(connection, sandbox.number)

    def note_facts(
        self, sandbox: Sandbox, number: int, *, row_count: int, storage_bytes: int, observed_paths: Sequence[str]
    ) -> None:
        """Note how large a dataset is, and which fields (dotted paths) have ever received data."""
        now_ms = self._clock.now_ms()
        body = {
            "rowCount": row_count,
            "storageSize": storage_bytes,
            "asOf": now_ms,
            "observedPaths": sorted(observed_paths),
        }
        with self._control.write(is_configuration=False) as connection:
            store.set_facts(connection, sandbox.number, number, body, now_ms)


class _Shelf:
    """The datasets of one sandbox at one revision."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self.by_id = {item.id: item for item in datasets}
        self.by_number = {item.number: item for item in datasets}
