"""The schema registry of all sandboxes."""

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection

from headrace.clock import Clock
from headrace.model import Sandbox
from headrace.schemas import store
from headrace.schemas.describing import DescriptorEditor
from headrace.schemas.descriptor import Descriptor, IdentityDescriptor
from headrace.schemas.editing import ResourceEditor
from headrace.schemas.errors import ResourceUnknown
from headrace.schemas.library import GlobalLayer, Library
from headrace.schemas.resource import (
    ADHOC_BEHAVIOR,
    PROFILE_CLASS,
    TIME_SERIES_BEHAVIOR,
    Resource,
)
from headrace.schemas.standard import shipped_components
from headrace.schemas.validation import RecordValidator
from headrace.storage.control import ControlStore

Behavior = Literal["record", "time-series", "adhoc"]

IsSchemaInUse = Callable[[Sandbox, str], bool]
"""Tells whether a dataset of the sandbox is built on a schema."""

NamespaceLookup = Callable[[Sandbox, str], str | None]
"""Returns the code of a namespace given its code or its number as text, or None when the sandbox has no such namespace."""


class _Compiled(NamedTuple):
    """A validator, and what it was made from."""

    library: Library
    form: Mapping[str, Any]
    identities: tuple[IdentityDescriptor, ...]
    validator: RecordValidator


class SchemaRegistry:
    """Reads and changes what the registry holds. What is read belongs to one revision of a sandbox; safe between threads."""

    def __init__(self, control: ControlStore, clock: Clock, tenant_id: str) -> None:
        """Open the registry.

        Args:
            control: Where the tenant's resources are stored.
            clock: Stamps changes.
            tenant_id: The organisation's id in ``$id``s; custom fields lie under ``_{tenant_id}``.
        """
        self.control = control
        self.clock = clock
        self.tenant_id = tenant_id
        self._is_schema_in_use: IsSchemaInUse = lambda _sandbox, _schema_id: False
        self._namespace_of: NamespaceLookup | None = None
        self._seen_revision: dict[int, int] = {}
        self._libraries: dict[int, tuple[int, int, Library]] = {}
        self._checked: dict[int, Library] = {}
        self._layers: tuple[int, GlobalLayer] | None = None
        self._validators: dict[tuple[int, str], _Compiled] = {}
        self._lock = Lock()
        self.resources = ResourceEditor(self)
        self.descriptors = DescriptorEditor(self)

    def connect(self, *, is_schema_in_use: IsSchemaInUse | None = None, namespace_of: NamespaceLookup | None = None) -> None:
        """Give the registry what later stages know; until then no schema counts as used and every namespace as known."""
        if is_schema_in_use is not None:
            self._is_schema_in_use = is_schema_in_use
        if namespace_of is not None:
            self._namespace_of = namespace_of

    def is_in_use(self, sandbox: Sandbox, schema_id: str) -> bool:
        """Tell whether a dataset of the sandbox is built on a schema."""
        return self._is_schema_in_use(sandbox, schema_id)

    def namespace_code(self, sandbox: Sandbox, name: str) -> str | None:
        """Return the code of a namespace given by code or number, None when it is unknown; ``name`` when nobody can tell."""
        return self._namespace_of(sandbox, name) if self._namespace_of is not None else name

    # The state of a sandbox

    def library(self, sandbox: Sandbox) -> Library:
        """Return the registry's present state in a sandbox; cheap unless something was configured since the last call."""
        number = sandbox.number
        revision = self.control.revision()
        known = self._libraries.get(number)
        if known is not None and self._seen_revision.get(number) == revision:
            return known[2]
        with self._lock:
            library = self._reloaded(number)
            self._seen_revision[number] = revision
        return library

    @property
    def tenant_namespace(self) -> str:
        """Name of the object that holds the organisation's own fields."""
        return f"_{self.tenant_id}"

    def loaded(self, connection: Connection, sandbox: Sandbox) -> Library:
        """Return the state that a transaction sees."""
        return self._loaded(connection, sandbox.number)

    def remember(self, sandbox: Sandbox, checked: Library) -> None:
        """Keep a state that was checked and has been stored, so that the next one need not compose the same again."""
        self._checked[sandbox.number] = checked

    def is_current(self, connection: Connection, sandbox: Sandbox, library: Library) -> bool:
        """Tell whether a state is still the newest, as a transaction sees it."""
        return self._loaded(connection, sandbox.number) is library

    def _reloaded(self, number: int) -> Library:
        with self.control.read() as connection:
            return self._loaded(connection, number)

    def _loaded(self, connection: Connection, number: int) -> Library:
        own, shared = store.revision_of(connection, number), store.revision_of(connection, store.GLOBAL_SANDBOX)
        known = self._libraries.get(number)
        if known is not None and known[:2] == (own, shared):
            return known[2]
        resources = store.resources_of(connection, number)
        library = Library(self.layer(connection), resources, store.descriptors_of(connection, number))
        for earlier in (self._checked.pop(number, None), known[2] if known is not None else None):
            if earlier is not None:
                library.adopt(earlier)
        self._libraries[number] = (own, shared, library)
        return library

    def layer(self, connection: Connection) -> GlobalLayer:
        """Return the standard components that a transaction sees."""
        revision = store.revision_of(connection, store.GLOBAL_SANDBOX)
        if self._layers is None or self._layers[0] != revision:
            imported = {item.id: item for item in store.resources_of(connection, store.GLOBAL_SANDBOX)}
            self._layers = (revision, GlobalLayer({**shipped_components(), **imported}))
        return self._layers[1]

    def at_version(self, sandbox: Sandbox, resource: Resource, minor_version: int) -> tuple[Library, Resource]:
        """Return a resource in an exact version, and the state it was built on then; descriptors are today's.

        Raises:
            ResourceUnknown: The resource never had this version.
        """
        library = self.library(sandbox)
        if resource.minor_version == minor_version:
            return library, resource
        unknown = ResourceUnknown(resource.kind, resource.id, f"1.{minor_version}" if minor_version >= 0 else "other than 1")
        if resource.container == "global":
            raise unknown
        with self.control.read() as connection:
            stored = store.version_of(connection, sandbox.number, resource.id, minor_version)
            if stored is None:
                raise unknown
            body, uses = stored
            parts = [self._part_at(connection, sandbox.number, library, name, minor) for name, minor in uses.items()]
        old = resource.at(body, minor_version, library.class_id(resource))
        return library.with_resources([*(part for part in parts if part is not None), old]), old

    @staticmethod
    def _part_at(connection: Connection, number: int, library: Library, identifier: str, minor: int) -> Resource | None:
        stored = store.version_of(connection, number, identifier, minor)
        part = library.tenant.get(identifier)
        return part.at(stored[0], minor, part.class_id) if stored is not None and part is not None else None

    def changes(self, sandbox: Sandbox, identifier: str) -> list[dict[str, Any]]:
        """Return the audit trail of a resource, newest first.

        Raises:
            ResourceUnknown: There is no such resource, and never was.
        """
        found = self.library(sandbox).find(identifier)
        with self.control.read() as connection:
            entries = store.changes_of(connection, sandbox.number, found.id if found is not None else identifier)
        if found is None and not entries:
            raise ResourceUnknown("resource", identifier)
        return entries

    # What other stages ask

    def exists(self, sandbox: Sandbox, schema_id: str) -> bool:
        """Tell whether the sandbox has a resource or union of this ``$id`` or ``meta:altId``."""
        library = self.library(sandbox)
        return library.find(schema_id) is not None or library.union_class(schema_id) is not None

    def full_form(self, sandbox: Sandbox, schema_id: str) -> Mapping[str, Any]:
        """Return the composed form of a schema, class, field group, data type or union: one tree under ``properties``.

        The tree is shared and must not be changed.

        Raises:
            ResourceUnknown: The sandbox has no such resource.
        """
        return self.library(sandbox).form_of(schema_id)

    def union_form(self, sandbox: Sandbox, class_id: str = PROFILE_CLASS) -> Mapping[str, Any]:
        """Return the composed union of a class; it exists also when no schema is enabled for Profile yet.

        Raises:
            ResourceUnknown: The sandbox has no such class.
        """
        return self.library(sandbox).union_form(class_id)

    def class_id(self, sandbox: Sandbox, schema_id: str) -> str:
        """Return the ``$id`` of the class of a schema or union.

        Raises:
            ResourceUnknown: The sandbox has no such schema.
        """
        library = self.library(sandbox)
        return library.union_class(schema_id) or library.class_id(library.resource(schema_id))

    def behavior(self, sandbox: Sandbox, schema_id: str) -> Behavior:
        """Return what records of a schema are: the state of a subject, an event, or neither.

        Raises:
            ResourceUnknown: The sandbox has no such schema.
        """
        library = self.library(sandbox)
        resource = library.resource(library.union_class(schema_id) or schema_id)
        return behavior_of(library, resource)

    def is_profile_enabled(self, sandbox: Sandbox, schema_id: str) -> bool:
        """Tell whether a schema takes part in the union of its class; unions themselves do.

        Raises:
            ResourceUnknown: The sandbox has no such schema.
        """
        library = self.library(sandbox)
        return library.union_class(schema_id) is not None or library.resource(schema_id).is_profile_enabled

    def identity_descriptors(self, sandbox: Sandbox, schema_id: str) -> tuple[IdentityDescriptor, ...]:
        """Return the identity fields of a schema, the primary one first."""
        library = self.library(sandbox)
        return library.identities(_id(library, schema_id), lambda descriptor: self._code_of(sandbox, descriptor))

    def _code_of(self, sandbox: Sandbox, descriptor: Descriptor) -> str:
        name = str(descriptor.body.get("xdm:namespace", ""))
        return self.namespace_code(sandbox, name) or name

    def has_identity_map(self, sandbox: Sandbox, schema_id: str) -> bool:
        """Tell whether records of a schema can carry an identity map."""
        return self.library(sandbox).has_identity_map(schema_id)

    def validator(self, sandbox: Sandbox, schema_id: str) -> RecordValidator:
        """Return the validator for records of a schema; it is kept until the schema or one of its parts changes.

        Raises:
            ResourceUnknown: The sandbox has no such schema.
        """
        library = self.library(sandbox)
        known = self._validators.get((sandbox.number, schema_id))
        if known is not None and known.library is library:
            return known.validator
        form, identities = library.form_of(schema_id), self.identity_descriptors(sandbox, schema_id)
        is_same = known is not None and known.form is form and known.identities == identities
        validator = known.validator if known is not None and is_same else RecordValidator(form, identities)
        self._validators[sandbox.number, schema_id] = _Compiled(library, form, identities, validator)
        return validator


def behavior_of(library: Library, resource: Resource) -> Behavior:
    """Return the behavior of a schema or class; of a behavior itself, of what it is."""
    built_on = (resource.id, *library.extends(resource))
    if TIME_SERIES_BEHAVIOR in built_on:
        return "time-series"
    return "adhoc" if ADHOC_BEHAVIOR in built_on else "record"


def _id(library: Library, identifier: str) -> str:
    found = library.find(identifier)
    if found is not None:
        return found.id
    if library.union_class(identifier) is not None:
        return identifier
    raise ResourceUnknown("schemas", identifier)
