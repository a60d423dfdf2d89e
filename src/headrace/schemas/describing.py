"""Changing descriptors: each is checked against its schema before it is stored."""

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace.model import Sandbox
from headrace.schemas import store
from headrace.schemas.actor import Actor
from headrace.schemas.descriptor import (
    DEPRECATED,
    DISPLAY,
    GRANULARITY,
    IDENTITY,
    LABEL,
    MODEL_BASED,
    ONE_TO_ONE,
    PRIMARY_KEY,
    REFERENCE_IDENTITY,
    RELATIONSHIP,
    TIMESTAMP,
    VERSION,
    Descriptor,
)
from headrace.schemas.errors import DeletionRefused, DescriptorInvalid, ResourceUnknown
from headrace.schemas.library import Library
from headrace.schemas.membership import check_membership
from headrace.schemas.paths import crosses_array, field_at, names_of, path_of
from headrace.schemas.resource import TIME_SERIES_BEHAVIOR, Resource

if TYPE_CHECKING:
    from headrace.schemas.service import SchemaRegistry

MOST_DESCRIPTORS = 4000

_TYPES = (
    IDENTITY,
    DISPLAY,
    REFERENCE_IDENTITY,
    ONE_TO_ONE,
    RELATIONSHIP,
    DEPRECATED,
    LABEL,
    GRANULARITY,
    PRIMARY_KEY,
    VERSION,
    TIMESTAMP,
)
_ASSIGNED = frozenset(
    ("@id", "imsOrg", "version", "meta:containerId", "meta:sandboxId", "meta:sandboxType", "meta:registryMetadata")
)
_UNPREFIXED = frozenset(("@type", "@id", "meta:enum", "meta:excludeMetaEnum"))
_IDENTITY_TYPES = frozenset(("string", "byte", "short", "int", "long"))
_CARDINALITIES = ("1:1", "1:0", "M:1", "M:0")


class DescriptorEditor:
    """Creates, replaces and deletes descriptors."""

    def __init__(self, registry: "SchemaRegistry") -> None:
        self._registry = registry

    def create(self, sandbox: Sandbox, body: Any, actor: Actor) -> Descriptor:
        """Create a descriptor and return it.

        Raises:
            DescriptorInvalid: It does not fit its schema, or there is one like it.
            RegistryInvalidInput: It would break the union that its schema takes part in.
        """
        now = self._registry.clock.now_ms()
        identifier = secrets.token_hex(20)
        with self._registry.control.write() as connection:
            library = self._registry.loaded(connection, sandbox)
            if len(library.descriptors) >= MOST_DESCRIPTORS:
                raise DescriptorInvalid(f"The sandbox has {MOST_DESCRIPTORS:,} descriptors; there can be no more.")
            made = self._checked(sandbox, library, identifier, body)
            made = _stamped(made, now, now, actor.created())
            self._check_union(library, [*library.descriptors.values(), made], made.schema_id)
            store.put_descriptor(connection, sandbox.number, made)
            store.raise_revision(connection, sandbox.number)
        return made

    def replace(self, sandbox: Sandbox, identifier: str, body: Any, actor: Actor) -> Descriptor:
        """Give a descriptor another content of the same type and return it.

        Raises:
            ResourceUnknown: There is no such descriptor.
            DescriptorInvalid: The content does not fit.
        """
        with self._registry.control.write() as connection:
            library = self._registry.loaded(connection, sandbox)
            old = _existing(library, identifier)
            others = [item for item in library.descriptors.values() if item.id != identifier]
            made = self._checked(sandbox, library.with_descriptors(others), identifier, body)
            if made.type != old.type:
                raise DescriptorInvalid(f"The type stays '{old.type}'.", path="/@type")
            if old.is_primary_identity and _place(made) != _place(old):
                self._check_primary_may_change(sandbox, library, old)
            made = _stamped(made, old.created_at, self._registry.clock.now_ms(), {**old.origin, **actor.modified()})
            for schema_id in {old.schema_id, made.schema_id}:
                self._check_union(library, [*others, made], schema_id)
            store.put_descriptor(connection, sandbox.number, made)
            store.raise_revision(connection, sandbox.number)
        return made

    def delete(self, sandbox: Sandbox, identifier: str) -> None:
        """Delete a descriptor.

        Raises:
            ResourceUnknown: There is no such descriptor.
            DeletionRefused: It identifies the records of a schema that is enabled for Profile.
        """
        with self._registry.control.write() as connection:
            library = self._registry.loaded(connection, sandbox)
            self._check_deletion(sandbox, library, _existing(library, identifier))
            store.delete_descriptors(connection, sandbox.number, [identifier])
            store.raise_revision(connection, sandbox.number)

    def _check_deletion(self, sandbox: Sandbox, library: Library, descriptor: Descriptor) -> None:
        schema = library.by_id(descriptor.schema_id)
        if descriptor.type != IDENTITY or schema is None or not schema.is_profile_enabled:
            return
        if descriptor.is_primary_identity and not library.has_identity_map(schema.id):
            raise DeletionRefused(
                f"'{schema.title}' is enabled for Profile and has no other identity than '{descriptor.pointer}'.",
                path=descriptor.pointer,
            )
        if self._registry.is_in_use(sandbox, schema.id):
            raise DeletionRefused(
                f"'{schema.title}' is enabled for Profile and a dataset uses it: the identity '{descriptor.pointer}' stays.",
                path=descriptor.pointer,
            )

    def _check_primary_may_change(self, sandbox: Sandbox, library: Library, old: Descriptor) -> None:
        schema = library.by_id(old.schema_id)
        if schema is not None and schema.is_profile_enabled and self._registry.is_in_use(sandbox, schema.id):
            raise DescriptorInvalid(
                f"'{schema.title}' is enabled for Profile and a dataset uses it: its primary identity stays '{old.pointer}'.",
                path="/xdm:sourceProperty",
            )

    @staticmethod
    def _check_union(library: Library, descriptors: list[Descriptor], schema_id: str) -> None:
        schema = library.by_id(schema_id)
        if schema is not None and schema.is_profile_enabled:
            check_membership(library.with_descriptors(descriptors), schema)

    # One descriptor

    def _checked(self, sandbox: Sandbox, library: Library, identifier: str, body: Any) -> Descriptor:
        stored = _prefixed(body)
        type_name = stored.get("@type")
        if type_name not in _TYPES:
            raise DescriptorInvalid(f"'@type' is one of {', '.join(_TYPES)}, not {type_name!r}.", path="/@type")
        owner = _owner(library, type_name, stored)
        stored["xdm:sourceSchema"] = owner.id
        stored.setdefault("xdm:sourceVersion", 1)
        pointer = _pointer(library, type_name, stored, owner)
        made = Descriptor(id=identifier, type=type_name, schema_id=owner.id, pointer=pointer, body=stored)
        check = {
            IDENTITY: self._check_identity,
            REFERENCE_IDENTITY: self._check_reference,
            ONE_TO_ONE: self._check_relationship,
            RELATIONSHIP: self._check_relationship,
            LABEL: self._check_labels,
            GRANULARITY: self._check_granularity,
            DISPLAY: self._check_display,
        }.get(type_name)
        if check is not None:
            check(sandbox, library, made)
        if type_name in MODEL_BASED:
            self._check_model_based(library, made)
        _check_unique(library, made)
        return made

    def _check_identity(self, sandbox: Sandbox, library: Library, made: Descriptor) -> None:
        body = made.body
        is_primary = body.setdefault("xdm:isPrimary", False)
        if not isinstance(is_primary, bool):
            raise DescriptorInvalid("'xdm:isPrimary' is true or false.", path="/xdm:isPrimary")
        form = body.setdefault("xdm:property", "xdm:code")
        if form not in ("xdm:code", "xdm:id"):
            raise DescriptorInvalid("'xdm:property' is 'xdm:code' or 'xdm:id'.", path="/xdm:property")
        self._check_namespace(sandbox, body, "xdm:namespace", is_number=form == "xdm:id")
        form_tree = library.form_of(made.schema_id)
        path = path_of(made.pointer)
        _check_identity_field(field_at(form_tree, path), made.pointer)
        if is_primary:
            if crosses_array(form_tree, path):
                raise DescriptorInvalid("A field in an array cannot be the primary identity.", path="/xdm:sourceProperty")
            self._check_single_primary(library, made)

    @staticmethod
    def _check_single_primary(library: Library, made: Descriptor) -> None:
        other = next((item for item in library.descriptors_of(made.schema_id) if item.is_primary_identity), None)
        if other is not None:
            raise DescriptorInvalid(
                f"The schema has a primary identity already: '{other.pointer}', descriptor {other.id}.", path="/xdm:isPrimary"
            )

    def _check_namespace(self, sandbox: Sandbox, body: dict[str, Any], key: str, *, is_number: bool = False) -> None:
        name = body.get(key)
        text = str(name) if isinstance(name, str | int) and not isinstance(name, bool) else ""
        if not text or (is_number and not text.isdigit()):
            form = "the number" if is_number else "the code"
            raise DescriptorInvalid(f"'{key}' is {form} of an identity namespace, not {name!r}.", path=f"/{key}")
        if self._registry.namespace_code(sandbox, text) is None:
            raise DescriptorInvalid(f"The sandbox has no identity namespace '{text}'.", path=f"/{key}", hint="Create it first.")

    def _check_reference(self, sandbox: Sandbox, library: Library, made: Descriptor) -> None:
        self._check_namespace(sandbox, made.body, "xdm:identityNamespace")
        _check_identity_field(field_at(library.form_of(made.schema_id), path_of(made.pointer)), made.pointer)

    def _check_relationship(self, sandbox: Sandbox, library: Library, made: Descriptor) -> None:
        body = made.body
        destination = library.find(str(body.get("xdm:destinationSchema", "")))
        if destination is None or destination.kind != "schemas":
            raise DescriptorInvalid("'xdm:destinationSchema' is no schema of this sandbox.", path="/xdm:destinationSchema")
        body["xdm:destinationSchema"] = destination.id
        body.setdefault("xdm:destinationVersion", 1)
        if made.type == RELATIONSHIP and body.setdefault("xdm:cardinality", "M:1") not in _CARDINALITIES:
            raise DescriptorInvalid(f"'xdm:cardinality' is one of {', '.join(_CARDINALITIES)}.", path="/xdm:cardinality")
        source = field_at(library.form_of(made.schema_id), path_of(made.pointer)) or {}
        if made.type == ONE_TO_ONE:
            self._check_one_to_one(library, made, source, destination)
        target = body.get("xdm:destinationProperty")
        if target:
            field = field_at(library.full_form(destination), path_of(str(target)))
            if field is None:
                raise DescriptorInvalid(f"'{destination.title}' has no field '{target}'.", path="/xdm:destinationProperty")
            if _plain_type(field) != _plain_type(source):
                raise DescriptorInvalid(
                    f"'{made.pointer}' is of type {_plain_type(source)}, '{target}' of {_plain_type(field)}.",
                    path="/xdm:destinationProperty",
                )

    @staticmethod
    def _check_one_to_one(library: Library, made: Descriptor, source: Mapping[str, Any], destination: Resource) -> None:
        if _plain_type(source) != "string":
            raise DescriptorInvalid("The source field of a relationship is a string.", path="/xdm:sourceProperty")
        primaries = [item for item in library.descriptors_of(made.schema_id) if item.is_primary_identity]
        if any(item.pointer == made.pointer for item in primaries):
            raise DescriptorInvalid("The primary identity cannot be the source of a relationship.", path="/xdm:sourceProperty")
        if not any(item.is_primary_identity for item in library.descriptors_of(destination.id)):
            raise DescriptorInvalid(
                f"'{destination.title}' has no primary identity field.",
                path="/xdm:destinationSchema",
                hint="Create an identity descriptor there first; an identityMap alone is not enough.",
            )

    @staticmethod
    def _check_labels(_sandbox: Sandbox, _library: Library, made: Descriptor) -> None:
        body = made.body
        labels = body.pop("xdm:label", None) if "xdm:labels" not in body else body["xdm:labels"]
        labels = [labels] if isinstance(labels, str) else labels
        if not isinstance(labels, list) or not labels or not all(isinstance(label, str) and label for label in labels):
            raise DescriptorInvalid("'xdm:labels' is a list of labels such as 'core/C1'.", path="/xdm:labels")
        body["xdm:labels"] = list(dict.fromkeys(label if "/" in label else f"core/{label}" for label in labels))

    @staticmethod
    def _check_granularity(_sandbox: Sandbox, library: Library, made: Descriptor) -> None:
        if made.body.get("xdm:granularity") not in ("hour", "day"):
            raise DescriptorInvalid("'xdm:granularity' is 'hour' or 'day'.", path="/xdm:granularity")
        if TIME_SERIES_BEHAVIOR not in library.extends(library.resource(made.schema_id)):
            raise DescriptorInvalid("Only time-series schemas have a granularity.", path="/xdm:sourceSchema")

    @staticmethod
    def _check_display(_sandbox: Sandbox, _library: Library, made: Descriptor) -> None:
        for key in ("xdm:title", "xdm:description", "xdm:note"):
            if key in made.body and not isinstance(made.body[key], Mapping | str):
                raise DescriptorInvalid(f"'{key}' is an object of locale and text.", path=f"/{key}")
        for key in ("meta:enum", "meta:excludeMetaEnum", "xdm:excludeMetaEnum"):
            if made.body.get(key) in ("", None):
                made.body.pop(key, None)
            elif not isinstance(made.body[key], Mapping):
                raise DescriptorInvalid(f"'{key}' is an object of value and label.", path=f"/{key}")

    @staticmethod
    def _check_model_based(library: Library, made: Descriptor) -> None:
        form = library.form_of(made.schema_id)
        for pointer in made.pointer.split():
            field = field_at(form, path_of(pointer)) or {}
            if made.type == TIMESTAMP and field.get("meta:xdmType") != "date-time":
                raise DescriptorInvalid(f"The timestamp '{pointer}' is of type date-time.", path="/xdm:sourceProperty")
        is_time_series = TIME_SERIES_BEHAVIOR in library.extends(library.resource(made.schema_id))
        if made.type == TIMESTAMP and not is_time_series:
            raise DescriptorInvalid("Only time-series schemas have a timestamp descriptor.", path="/xdm:sourceSchema")


def _prefixed(body: Any) -> dict[str, Any]:
    if not isinstance(body, Mapping):
        raise DescriptorInvalid("A descriptor is a JSON object.", path="/")
    stored: dict[str, Any] = {}
    for key, value in body.items():
        if key not in _ASSIGNED:
            stored[key if key in _UNPREFIXED or ":" in key else f"xdm:{key}"] = value
    return stored


def _owner(library: Library, type_name: str, body: Mapping[str, Any]) -> Resource:
    identifier = body.get("xdm:sourceSchema")
    owner = library.find(identifier) if isinstance(identifier, str) else None
    kinds = ("schemas", "mixins") if type_name == LABEL else ("schemas",)
    if owner is None or owner.kind not in kinds:
        what = "schema or field group" if type_name == LABEL else "schema"
        raise DescriptorInvalid(f"'xdm:sourceSchema' is no {what} of this sandbox: {identifier!r}.", path="/xdm:sourceSchema")
    return owner


def _pointer(library: Library, type_name: str, body: dict[str, Any], owner: Resource) -> str:
    """Return the path of a descriptor in compatibility spelling, after checking that the field exists."""
    given = body.get("xdm:sourceProperty")
    if type_name == GRANULARITY:
        return ""
    takes_list = type_name in (DEPRECATED, PRIMARY_KEY)
    pointers: list[Any] = given if isinstance(given, list) and takes_list else [given]
    if not pointers or not all(isinstance(pointer, str) and pointer.startswith("/") and len(pointer) > 1 for pointer in pointers):
        raise DescriptorInvalid(
            f"'xdm:sourceProperty' is a path that starts with '/', not {given!r}.", path="/xdm:sourceProperty"
        )
    form = library.full_form(owner)
    found = []
    for pointer in pointers:
        path = path_of(pointer.rstrip("/"))
        if not path or field_at(form, path, through_maps=type_name == LABEL) is None:
            raise DescriptorInvalid(
                f"'{owner.title}' has no field '{pointer}'.",
                path="/xdm:sourceProperty",
                hint="Write the path without 'properties', such as /person/name/firstName.",
            )
        found.append("/" + "/".join(path if type_name == LABEL else names_of(form, path)))
    return " ".join(found)


def _check_identity_field(field: Mapping[str, Any] | None, pointer: str) -> None:
    inner = field or {}
    while isinstance(items := inner.get("items"), Mapping):
        inner = items
    if inner.get("meta:xdmType") not in _IDENTITY_TYPES:
        raise DescriptorInvalid(
            f"An identity is a string or an integer; '{pointer}' is of type {inner.get('meta:xdmType')}.",
            path="/xdm:sourceProperty",
        )


def _plain_type(field: Mapping[str, Any]) -> str:
    inner = field
    while isinstance(items := inner.get("items"), Mapping):
        inner = items
    return str(inner.get("type", "string"))


def _check_unique(library: Library, made: Descriptor) -> None:
    destination = made.body.get("xdm:destinationSchema")
    for other in library.descriptors_of(made.schema_id):
        is_same = (other.type, other.pointer) == (made.type, made.pointer)
        if is_same and other.body.get("xdm:destinationSchema") == destination:
            raise DescriptorInvalid(
                f"A descriptor of the type {made.type} exists already for '{made.pointer or made.schema_id}': {other.id}.",
                path="/xdm:sourceProperty",
            )


def _place(descriptor: Descriptor) -> tuple[Any, ...]:
    return descriptor.schema_id, descriptor.pointer, descriptor.body.get("xdm:namespace"), descriptor.is_primary_identity


def _existing(library: Library, identifier: str) -> Descriptor:
    found = library.descriptors.get(identifier)
    if found is None:
        raise ResourceUnknown("descriptors", identifier)
    return found


def _stamped(made: Descriptor, created_at: int, updated_at: int, origin: dict[str, str]) -> Descriptor:
    return Descriptor(
        id=made.id,
        type=made.type,
        schema_id=made.schema_id,
        pointer=made.pointer,
        body=made.body,
        created_at=created_at,
        updated_at=updated_at,
        origin=origin,
    )
