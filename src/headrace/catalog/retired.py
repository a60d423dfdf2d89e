"""What was deleted and is not yet cleared away everywhere."""

from collections.abc import Collection
from dataclasses import dataclass

from headrace.catalog import retired_store as store
from headrace.storage.control import ControlStore


@dataclass(frozen=True, slots=True)
class RetiredSandbox:
    """A sandbox that was reset or deleted.

    Attributes:
        number: The number that it had.
        name: Its name, which a reset keeps.
    """

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class RetiredDataset:
    """A deleted dataset, or one of a sandbox that was reset or deleted.

    Attributes:
        number: The number that it had.
        sandbox: Number of its sandbox.
        table_name: Its table.
    """

    number: int
    sandbox: int
    table_name: str


class Retired:
    """Reads what waits to be cleared away, and forgets what was; a name of a table is not given again before."""

    def __init__(self, control: ControlStore) -> None:
        self._control = control

    def revision(self) -> int:
        """Return a number that changes whenever there may be more."""
        return self._control.revision()

    def sandboxes(self) -> list[RetiredSandbox]:
        """Return the sandboxes, by number."""
        with self._control.read() as connection:
            return [RetiredSandbox(row["sandbox"], row["name"]) for row in store.sandbox_rows(connection)]

    def is_name_free(self, name: str) -> bool:
        """Tell whether no active sandbox has a name."""
        with self._control.read() as connection:
            return name not in store.active_names(connection)

    def datasets(self) -> list[RetiredDataset]:
        """Return the datasets, by number."""
        with self._control.read() as connection:
            rows = store.dataset_rows(connection)
        return [RetiredDataset(row["dataset"], row["sandbox"], row["table_name"]) for row in rows]

    def unknown_batches(self, batch_ids: Collection[str]) -> set[str]:
        """Return those of some ids that no batch has."""
        with self._control.read() as connection:
            return set(batch_ids) - store.known_batches(connection, batch_ids)

    def forget_sandbox(self, number: int) -> None:
        """Note that nothing of a sandbox is left."""
        with self._control.write(is_configuration=False) as connection:
            store.forget_sandbox(connection, number)

    def forget_dataset(self, number: int) -> None:
        """Note that nothing of a dataset is left."""
        with self._control.write(is_configuration=False) as connection:
            store.forget_dataset(connection, number)
