"""Everything one sandbox's registry holds at one moment, ready to be looked up and composed."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from headrace.schemas.composition import Composer, extends_of
from headrace.schemas.descriptor import DISPLAY, IDENTITY, Descriptor, IdentityDescriptor
from headrace.schemas.display import with_display
from headrace.schemas.errors import ResourceUnknown
from headrace.schemas.paths import names_of, object_paths, path_of
from headrace.schemas.references import references
from headrace.schemas.resource import UNION_SUFFIX, Resource
from headrace.schemas.union import union_fields

IDENTITY_MAP = "identityMap"

NamespaceCode = Callable[[Descriptor], str]
"""Returns the code of the namespace that an identity descriptor names by code or by number."""


class GlobalLayer:
    """The standard components: those shipped, and those an operator imported, which replace shipped ones of the same id."""

    def __init__(self, components: Mapping[str, Resource]) -> None:
        self.resources = dict(components)
        self.by_alt_id = {resource.alt_id: resource for resource in components.values()}
        self.composer = Composer(self.resources.get)

    @cached_property
    def object_paths(self) -> frozenset[tuple[str, ...]]:
        """The path of every object that a standard class or field group has; a tenant's field group may add fields in them."""
        owners = (item for item in self.resources.values() if item.kind in ("classes", "mixins"))
        return frozenset(path for item in owners for path in object_paths(self.composer.fields_of(item)))


class Library:
    """One consistent state of a sandbox's registry; never changed, replaced when the registry changes."""

    def __init__(self, layer: GlobalLayer, resources: Iterable[Resource] = (), descriptors: Iterable[Descriptor] = ()) -> None:
        self.layer = layer
        self.tenant = {resource.id: resource for resource in resources}
        self._by_alt_id = {resource.alt_id: resource for resource in self.tenant.values()}
        self.descriptors = {descriptor.id: descriptor for descriptor in descriptors}
        self._descriptors_of: dict[str, list[Descriptor]] = defaultdict(list)
        for descriptor in self.descriptors.values():
            self._descriptors_of[descriptor.schema_id].append(descriptor)
        self.composer = Composer(self.by_id, layer.composer)
        self._forms: dict[str, Mapping[str, Any]] = {}
        self._extends: dict[Resource, tuple[str, ...]] = {}

    def with_resources(self, changed: Iterable[Resource]) -> "Library":
        """Return the state in which resources of the tenant are added or replaced."""
        replaced = {resource.id: resource for resource in changed}
        state = Library(self.layer, {**self.tenant, **replaced}.values(), self.descriptors.values())
        affected = {*replaced, *(user.id for identifier in replaced for user in self.users_of(identifier))}
        state._adopt(self, (identifier for identifier in self._forms if identifier not in affected))
        return state

    def with_descriptors(self, descriptors: Iterable[Descriptor]) -> "Library":
        """Return the state with exactly these descriptors."""
        return Library(self.layer, self.tenant.values(), descriptors)

    def adopt(self, earlier: "Library") -> None:
        """Take over what an earlier state of the same sandbox has composed, as far as it is still true.

        A resource whose version is the same is built on the same versions of others, since a change of those raises its own.
        """
        if earlier.layer is self.layer:
            self._adopt(earlier, (identifier for identifier in earlier._forms if self._has_same(identifier, earlier)))

    def _has_same(self, identifier: str, earlier: "Library") -> bool:
        old, new = earlier.by_id(identifier), self.by_id(identifier)
        if old is None or new is None or self.descriptors_of(identifier) != earlier.descriptors_of(identifier):
            return False
        return old is new or (old.minor_version == new.minor_version and old.body == new.body)

    def _adopt(self, earlier: "Library", identifiers: Iterable[str]) -> None:
        for identifier in list(identifiers):
            if not identifier.endswith(UNION_SUFFIX):
                self._forms[identifier] = earlier._forms[identifier]

    def by_id(self, identifier: str) -> Resource | None:
        """Return a resource by its ``$id``."""
        return self.tenant.get(identifier) or self.layer.resources.get(identifier)

    def find(self, identifier: str) -> Resource | None:
        """Return a resource by its ``$id`` or ``meta:altId``."""
        return self.by_id(identifier) or self._by_alt_id.get(identifier) or self.layer.by_alt_id.get(identifier)

    def resource(self, identifier: str) -> Resource:
        """Return a resource by its ``$id`` or ``meta:altId``.

        Raises:
            ResourceUnknown: There is none.
        """
        found = self.find(identifier)
        if found is None:
            raise ResourceUnknown("resource" if UNION_SUFFIX not in identifier else "unions", identifier)
        return found

    def all(self) -> Iterator[Resource]:
        """Yield the resources of both containers."""
        yield from self.layer.resources.values()
        yield from self.tenant.values()

    def descriptors_of(self, schema_id: str) -> list[Descriptor]:
        """Return the descriptors bound to a schema or field group."""
        return self._descriptors_of.get(schema_id, [])

    def class_id(self, resource: Resource) -> str:
        """Return the class a schema is built on, a class itself, or an empty text."""
        if resource.kind == "classes":
            return resource.id
        for member in resource.body.get("allOf", ()):
            target = self.by_id(str(member.get("$ref", ""))) if isinstance(member, Mapping) else None
            if target is not None and target.kind == "classes":
                return target.id
        return ""

    def extends(self, resource: Resource) -> tuple[str, ...]:
        """Return the ids of everything a resource is built on, transitively."""
        known = self._extends.get(resource)
        if known is None:
            known = self._extends[resource] = extends_of(resource, self.by_id)
        return known

    def full_form(self, resource: Resource) -> Mapping[str, Any]:
        """Return the composed form of a resource, with the display texts that descriptors give its fields."""
        known = self._forms.get(resource.id)
        if known is None:
            known = self._forms[resource.id] = self._composed(resource)
        return known

    def _composed(self, resource: Resource) -> dict[str, Any]:
        form: dict[str, Any] = {"$id": resource.id, "meta:altId": resource.alt_id, "title": resource.title}
        if "description" in resource.body:
            form["description"] = resource.body["description"]
        form.update(self.composer.fields_of(resource))
        if resource.kind in ("schemas", "classes"):
            form["meta:class"] = self.class_id(resource)
            form["meta:extends"] = list(self.extends(resource))
        for descriptor in self.descriptors_of(resource.id):
            if descriptor.type == DISPLAY:
                form = with_display(form, descriptor)
        return form

    def members(self, class_id: str) -> list[Resource]:
        """Return the profile-enabled schemas of a class."""
        return [item for item in self.tenant.values() if item.is_profile_enabled and self.class_id(item) == class_id]

    @cached_property
    def union_classes(self) -> tuple[str, ...]:
        """The classes that have a profile-enabled schema."""
        enabled = (item for item in self.tenant.values() if item.kind == "schemas" and item.is_profile_enabled)
        return tuple(dict.fromkeys(self.class_id(item) for item in enabled))

    def union_form(self, class_id: str) -> Mapping[str, Any]:
        """Return the composed union of a class; one without members has the class's own and the automatic fields.

        Raises:
            ResourceUnknown: There is no such class.
        """
        key = class_id + UNION_SUFFIX
        known = self._forms.get(key)
        if known is None:
            known = self._forms[key] = union_fields(self, self._class(class_id))
        return known

    def union_class(self, identifier: str) -> str | None:
        """Return the class whose union has this ``$id`` or ``meta:altId``, or None."""
        if not identifier.endswith(UNION_SUFFIX):
            return None
        found = self.find(identifier.removesuffix(UNION_SUFFIX))
        return found.id if found is not None and found.kind == "classes" else None

    def _class(self, class_id: str) -> Resource:
        found = self.find(class_id)
        if found is None or found.kind != "classes":
            raise ResourceUnknown("classes", class_id)
        return found

    def form_of(self, identifier: str) -> Mapping[str, Any]:
        """Return the composed form of any resource or union.

        Raises:
            ResourceUnknown: There is no such resource.
        """
        known = self._forms.get(identifier)
        if known is not None:
            return known
        class_id = self.union_class(identifier)
        return self.union_form(class_id) if class_id else self.full_form(self.resource(identifier))

    def identities(self, schema_id: str, code_of: NamespaceCode) -> tuple[IdentityDescriptor, ...]:
        """Return the identity fields of a schema, the primary first."""
        found = [
            IdentityDescriptor(
                path=names_of(self.form_of(schema_id), path_of(descriptor.pointer)),
                namespace_code=code_of(descriptor),
                is_primary=descriptor.is_primary_identity,
            )
            for descriptor in self.descriptors_of(schema_id)
            if descriptor.type == IDENTITY
        ]
        return tuple(sorted(found, key=lambda item: not item.is_primary))

    def has_identity_map(self, schema_id: str) -> bool:
        """Tell whether records of a schema can carry an identity map."""
        return IDENTITY_MAP in self.form_of(schema_id).get("properties", {})

    def users_of(self, identifier: str) -> list[Resource]:
        """Return the tenant's resources that are built on a resource, directly or through others."""
        users: dict[str, Resource] = {}
        targets = [identifier]
        while targets:
            target = targets.pop()
            for item in self._direct_users.get(target, ()):
                if item.id not in users:
                    users[item.id] = item
                    targets.append(item.id)
        return list(users.values())

    def direct_users_of(self, identifier: str) -> list[Resource]:
        """Return the tenant's resources that refer to a resource themselves."""
        return self._direct_users.get(identifier, [])

    @cached_property
    def _direct_users(self) -> dict[str, list[Resource]]:
        users: dict[str, list[Resource]] = defaultdict(list)
        for item in self.tenant.values():
            for reference in dict.fromkeys(references(item.body)):
                users[reference].append(item)
        return users

    def uses_of(self, resource: Resource) -> dict[str, int]:
        """Return the minor version of each of the tenant's resources that a resource is built on."""
        uses: dict[str, int] = {}
        pending = [resource]
        while pending:
            for reference in references(pending.pop().body):
                target = self.tenant.get(reference)
                if target is not None and target.id not in uses:
                    uses[target.id] = target.minor_version
                    pending.append(target)
        return uses
