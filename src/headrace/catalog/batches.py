"""The catalog of batches: what came in together, and how far it is."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from headrace.catalog import batch_store as store
from headrace.catalog.batch import STATUSES, Batch, BatchFile, batch_of, new_batch_id
from headrace.catalog.batch_store import BatchFilter
from headrace.catalog.dataset import Dataset
from headrace.catalog.errors import BatchExists, BatchInvalid, BatchUnknown
from headrace.clock import Clock
from headrace.model import Sandbox
from headrace.storage.control import ControlStore

__all__ = ["Batch", "BatchFile", "BatchFilter", "Batches"]

READ_ONLY = (
    "id",
    "status",
    "version",
    "created",
    "updated",
    "imsOrg",
    "sandboxId",
    "createdClient",
    "createdUser",
    "updatedUser",
)


class Batches:
    """Reads and changes batches. They are no configuration: nobody caches them."""

    def __init__(self, control: ControlStore, clock: Clock) -> None:
        self._control = control
        self._clock = clock

    def create(
        self,
        sandbox: Sandbox,
        dataset: Dataset | None,
        body: Mapping[str, Any],
        *,
        batch_id: str = "",
        status: str = "loading",
        client_id: str = "",
        user_id: str = "",
    ) -> Batch:
        """Create a batch.

        Args:
            sandbox: The sandbox.
            dataset: Where its records belong; None for bookkeeping.
            body: Members of its wire form; read-only ones are ignored.
            batch_id: Id to use; one is made when empty.
            status: Its state.
            client_id: Client that creates it.
            user_id: Technical account that creates it.

        Raises:
            BatchExists: The id is taken.
            BatchInvalid: The state is none of the known ones.
        """
        _check_status(status)
        now_ms = self._clock.now_ms()
        batch_id = batch_id or new_batch_id(now_ms)
        stored = {name: value for name, value in body.items() if name not in READ_ONLY}
        stored.update(createdClient=client_id, createdUser=user_id, updatedUser=user_id)
        row = {
            "id": batch_id,
            "sandbox": sandbox.number,
            "dataset": dataset.number if dataset else 0,
            "status": status,
            "body": stored,
            "version": 0,
            "created_at": now_ms,
            "updated_at": now_ms,
        }
        with self._control.write(is_configuration=False) as connection:
            if store.is_taken(connection, batch_id):
                raise BatchExists(f"There is a batch '{batch_id}' already.", path="/id")
            store.add(connection, row)
        return batch_of(row)

    def batch(self, sandbox: Sandbox, batch_id: str) -> Batch:
        """Return a batch by its id.

        Raises:
            BatchUnknown: The sandbox has none of this id.
        """
        with self._control.read() as connection:
            row = store.row(connection, sandbox.number, batch_id)
        if row is None:
            raise BatchUnknown(batch_id)
        return batch_of(row)

    def list(self, sandbox: Sandbox, wanted: BatchFilter = BatchFilter()) -> Iterator[Batch]:  # noqa: B008  # immutable
        """Yield the batches that fit, the newest first; stop reading when you have enough."""
        with self._control.read() as connection:
            for row in store.newest_first(connection, sandbox.number, wanted):
                yield batch_of(row)

    def newest_by_status(self, sandbox: Sandbox) -> dict[int, dict[str, dict[str, Any]]]:
        """Return dataset number → status → ``{"id", "created_at", "updated_at"}`` of the newest batch in that state."""
        with self._control.read() as connection:
            rows = store.newest_by_status(connection, sandbox.number)
        found: dict[int, dict[str, dict[str, Any]]] = {}
        for row in rows:
            found.setdefault(row["dataset"], {})[row["status"]] = row
        return found

    def change(
        self,
        sandbox: Sandbox,
        batch_id: str,
        *,
        status: str | None = None,
        from_statuses: tuple[str, ...] = (),
        user_id: str = "",
        **fields: Any,
    ) -> Batch:
        """Change the state or members of the wire form; the version rises.

        Args:
            sandbox: The sandbox.
            batch_id: The batch.
            status: New state; None leaves it.
            from_statuses: States in which the change is allowed; any when empty.
            user_id: Technical account that changes it, when a caller does.
            fields: Members of the wire form; None removes one.

        Raises:
            BatchUnknown: The sandbox has none of this id.
            BatchInvalid: The state is none of the known ones, or the batch is in another than ``from_statuses``.
        """
        return self.edit(sandbox, batch_id, lambda body: {**body, **fields}, status, from_statuses, user_id)

    def edit(
        self,
        sandbox: Sandbox,
        batch_id: str,
        edit: Callable[[dict[str, Any]], Mapping[str, Any]],
        status: str | None = None,
        from_statuses: tuple[str, ...] = (),
        user_id: str = "",
    ) -> Batch:
        """Change a batch by a function of its stored members; see `change`."""
        if status is not None:
            _check_status(status)
        with self._control.write(is_configuration=False) as connection:
            row = store.row(connection, sandbox.number, batch_id)
            if row is None:
                raise BatchUnknown(batch_id)
            if from_statuses and row["status"] not in from_statuses:
                raise BatchInvalid(
                    f"Batch {batch_id} is '{row['status']}'; this is possible when it is {' or '.join(from_statuses)}.",
                    path="status",
                )
            system = {name: row["body"].get(name) for name in ("createdClient", "createdUser", "updatedUser")}
            edited = {
                name: value for name, value in edit(dict(row["body"])).items() if name not in READ_ONLY and value is not None
            }
            changes = {
                "status": status or row["status"],
                "body": {**edited, **system, "updatedUser": user_id or system["updatedUser"]},
                "version": row["version"] + 1,
                "updated_at": self._clock.now_ms(),
            }
            store.change(connection, batch_id, **changes)
        return batch_of({**row, **changes})

    def delete(self, sandbox: Sandbox, batch_id: str) -> None:
        """Forget a batch; data that it brought stays.

        Raises:
            BatchUnknown: The sandbox has none of this id.
        """
        with self._control.write(is_configuration=False) as connection:
            if store.row(connection, sandbox.number, batch_id) is None:
                raise BatchUnknown(batch_id)
            store.remove(connection, batch_id)

    def files(self, batch_id: str) -> "tuple[BatchFile, ...]":
        """Return the files of a batch by name."""
        with self._control.read() as connection:
            rows = store.files(connection, batch_id)
        return tuple(BatchFile(row["name"], row["size_bytes"], row["is_complete"], row["body"]) for row in rows)

    def put_file(
        self, batch_id: str, name: str, *, size_bytes: int, is_complete: bool = True, body: Mapping[str, Any] | None = None
    ) -> bool:
        """Note a file of a batch, or what has become of it.

        Returns:
            Whether the file is new.
        """
        values = {"size_bytes": size_bytes, "is_complete": is_complete, "body": dict(body or {})}
        with self._control.write(is_configuration=False) as connection:
            return store.put_file(connection, batch_id, name, values, self._clock.now_ms())


def _check_status(status: str) -> None:
    if status not in STATUSES:
        raise BatchInvalid(f"'{status}' is no status of a batch; use one of {', '.join(STATUSES)}.", path="/status")
