"""Sandboxes of the organisation."""

import re
import threading
import uuid
from dataclasses import dataclass
from typing import Any

from headrace.catalog import sandbox_store as store
from headrace.catalog.errors import (
    SandboxInvalid,
    SandboxIsDefault,
    SandboxNameTaken,
    SandboxNotActive,
    SandboxUnknown,
)
from headrace.clock import Clock
from headrace.model import Sandbox
from headrace.storage.control import ControlStore

ACTIVE = "active"
SANDBOX_TYPES = ("production", "development")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,255}")
_DEFAULT_NAME, _DEFAULT_TITLE = "prod", "Production"


@dataclass(frozen=True)
class SandboxEntry:
    """A sandbox with what only its management shows.

    Attributes:
        sandbox: The sandbox.
        title: For people.
        state: ``active`` or ``deleted``.
        version: Rises with every change.
        created_at: Epoch ms.
        updated_at: Epoch ms.
        created_by: Technical account.
        updated_by: Technical account.
    """

    sandbox: Sandbox
    title: str
    state: str
    version: int
    created_at: int
    updated_at: int
    created_by: str
    updated_by: str


class Sandboxes:
    """Reads and changes sandboxes; safe between threads.

    A number is never given twice. Resetting gives the sandbox a new number: what was stored under the old one is out of reach at
    once, whatever is still on its way, and can be cleared away at leisure.
    """

    def __init__(self, control: ControlStore, clock: Clock) -> None:
        self._control = control
        self._clock = clock
        self._known: tuple[int, list[SandboxEntry]] = (-1, [])
        self._lock = threading.Lock()

    def entries(self) -> list[SandboxEntry]:
        """Return all sandboxes, also deleted ones, in the order of their numbers."""
        revision = self._control.revision()
        if self._known[0] != revision:
            with self._lock, self._control.read() as connection:
                organization = store.organization_id(connection)
                self._known = (revision, [_entry(row, organization) for row in store.all_rows(connection)])
        return self._known[1]

    def all(self) -> list[Sandbox]:
        """Return the active sandboxes."""
        return [entry.sandbox for entry in self.entries() if entry.state == ACTIVE]

    def default(self) -> Sandbox:
        """Return the sandbox that calls without a sandbox header mean."""
        return next(entry.sandbox for entry in self.entries() if entry.sandbox.is_default)

    def by_name(self, name: str) -> Sandbox:
        """Return an active sandbox by its name.

        Raises:
            SandboxUnknown: There is none of this name.
            SandboxNotActive: It is deleted.
        """
        entry = self.entry(name)
        if entry.state != ACTIVE:
            raise SandboxNotActive(f"Sandbox '{name}' is {entry.state}.", path="name")
        return entry.sandbox

    def by_number(self, number: int) -> Sandbox | None:
        """Return the active sandbox with a number; None for numbers of deleted and reset sandboxes."""
        return next((sandbox for sandbox in self.all() if sandbox.number == number), None)

    def entry(self, name: str) -> SandboxEntry:
        """Return a sandbox by its name, in any state; an active one goes before deleted ones of the same name.

        Raises:
            SandboxUnknown: There is none of this name.
        """
        found = [entry for entry in self.entries() if entry.sandbox.name == name]
        if not found:
            raise SandboxUnknown(name)
        return next((entry for entry in found if entry.state == ACTIVE), found[-1])

    def entry_by_id(self, sandbox_id: str) -> SandboxEntry:
        """Return a sandbox by its id, in any state.

        Raises:
            SandboxUnknown: There is none with this id.
        """
        for entry in self.entries():
            if entry.sandbox.id == sandbox_id:
                return entry
        raise SandboxUnknown(sandbox_id)

    def ensure_default(self) -> Sandbox:
        """Return the default sandbox; it is made when there is none yet."""
        if not self.entries():
            self._add(_DEFAULT_NAME, _DEFAULT_TITLE, "production", user_id="system", is_default=True)
        return self.default()

    def create(self, name: str, title: str, type: str, *, user_id: str) -> SandboxEntry:  # the wire's word
        """Create a sandbox; it is active at once.

        Raises:
            SandboxInvalid: Name, title or type is not acceptable.
            SandboxNameTaken: A sandbox that is not deleted has this name.
        """
        if not _NAME.fullmatch(name):
            raise SandboxInvalid(
                f"'{name}' is no sandbox name: it starts with a letter and has lower-case letters, digits and '-' only.",
                path="/name",
            )
        _check_title(title)
        if type not in SANDBOX_TYPES:
            raise SandboxInvalid(f"'{type}' is no sandbox type; use {' or '.join(SANDBOX_TYPES)}.", path="/type")
        self._add(name, title, type, user_id=user_id, is_default=False)
        return self.entry(name)

    def _add(self, name: str, title: str, kind: str, *, user_id: str, is_default: bool) -> None:
        now_ms = self._clock.now_ms()
        with self._control.write() as connection:
            if any(row["name"] == name and row["state"] == ACTIVE for row in store.all_rows(connection)):
                raise SandboxNameTaken(f"A sandbox named '{name}' exists already.", path="/name")
            row = {
                "id": str(uuid.uuid4()),
                "name": name,
                "title": title,
                "type": kind,
                "state": ACTIVE,
                "is_default": is_default,
                "version": 1,
                "created_by": user_id,
                "updated_by": user_id,
                "created_at": now_ms,
                "updated_at": now_ms,
            }
            store.add(connection, row)

    def rename(self, name: str, title: str, *, user_id: str) -> SandboxEntry:
        """Change the title of an active sandbox.

        Raises:
            SandboxUnknown: There is none of this name.
            SandboxNotActive: It is deleted.
            SandboxInvalid: The title is empty.
        """
        _check_title(title)
        entry = self._active(name)
        with self._control.write() as connection:
            store.change(connection, entry.sandbox.number, title=title, **self._touched(entry, user_id))
        return self.entry(name)

    def reset(self, name: str, *, user_id: str) -> SandboxEntry:
        """Empty a sandbox; its id and name stay.

        Raises:
            SandboxUnknown: There is none of this name.
            SandboxNotActive: It is deleted.
        """
        entry = self._active(name)
        with self._control.write() as connection:
            row = next(row for row in store.all_rows(connection) if row["number"] == entry.sandbox.number)
            store.renumber(connection, {**row, **self._touched(entry, user_id)}, self._clock.now_ms())
        return self.entry(name)

    def delete(self, name: str, *, user_id: str) -> SandboxEntry:
        """Delete a sandbox with all that it holds.

        Raises:
            SandboxUnknown: There is none of this name.
            SandboxNotActive: It is deleted already.
            SandboxIsDefault: It is the default one.
        """
        entry = self.deletable(name)
        now_ms = self._clock.now_ms()
        with self._control.write() as connection:
            store.retire(connection, entry.sandbox.number, entry.sandbox.id, now_ms)
            store.change(connection, entry.sandbox.number, state=store.DELETED, **self._touched(entry, user_id))
        return self.entry_by_id(entry.sandbox.id)

    def deletable(self, name: str) -> SandboxEntry:
        """Return a sandbox that may be deleted; see `delete` for what it raises."""
        entry = self._active(name)
        if entry.sandbox.is_default:
            raise SandboxIsDefault(f"'{name}' is the default sandbox.", hint="Reset it instead.")
        return entry

    def resettable(self, name: str) -> SandboxEntry:
        """Return a sandbox that may be reset; see `reset` for what it raises."""
        return self._active(name)

    def _active(self, name: str) -> SandboxEntry:
        self.by_name(name)
        return self.entry(name)

    def _touched(self, entry: SandboxEntry, user_id: str) -> dict[str, Any]:
        return {"version": entry.version + 1, "updated_by": user_id, "updated_at": self._clock.now_ms()}


def _check_title(title: str) -> None:
    if not title.strip():
        raise SandboxInvalid("A sandbox needs a title.", path="/title")


def _entry(row: dict[str, Any], organization: str) -> SandboxEntry:
    return SandboxEntry(
        sandbox=Sandbox(row["number"], row["id"], row["name"], row["type"], row["is_default"], organization),
        title=row["title"],
        state=row["state"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        created_by=row["created_by"],
        updated_by=row["updated_by"],
    )
