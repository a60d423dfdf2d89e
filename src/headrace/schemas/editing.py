"""Changing resources of the tenant: every change is checked on the whole state it would lead to, then stored at once."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import jsonpatch
import msgspec

from headrace.model import Sandbox
from headrace.schemas import rules, store
from headrace.schemas.actor import Actor, change_entry
from headrace.schemas.definition import (
    check_custom_fields,
    check_groups_fit,
    check_tag_stays,
    class_of,
    patched,
    renamed_adhoc,
    stored_body,
)
from headrace.schemas.errors import (
    BreakingChange,
    GlobalReadOnly,
    ResourceInUse,
    ResourceUnknown,
    TitleTaken,
    VersionChanged,
    noun_of,
)
from headrace.schemas.evolution import Breakage, breakages
from headrace.schemas.library import Library
from headrace.schemas.membership import check_membership
from headrace.schemas.resource import Kind, Resource, new_id

if TYPE_CHECKING:
    from headrace.schemas.service import SchemaRegistry

_MOST_ATTEMPTS = 10


class Edit(msgspec.Struct, frozen=True):
    """Resources to be stored together, and what the audit trail says about each."""

    resources: tuple[Resource, ...]
    updates: dict[str, list[dict[str, object]]]


class ResourceEditor:
    """Creates, replaces, patches and deletes resources of the tenant."""

    def __init__(self, registry: "SchemaRegistry") -> None:
        self._registry = registry

    def create(self, sandbox: Sandbox, kind: Kind, body: Any, actor: Actor, *, identifier: str = "") -> Resource:
        """Create a resource and return it.

        Raises:
            RegistryInvalidInput: The definition is refused; the subclass says why.
        """

        def edit(library: Library) -> Edit:
            resource = self._new(library, kind, body, actor, identifier)
            return Edit((resource,), {resource.id: [_update(resource, "add", "/", resource.body)]})

        return self._commit(sandbox, edit, actor)[0]

    def create_all(self, sandbox: Sandbox, documents: Iterable[tuple[Kind, str, Any]], actor: Actor) -> list[Resource]:
        """Create resources that may refer to each other, all or none; given as kind, ``$id`` and body, dependencies first."""
        wanted = list(documents)

        def edit(library: Library) -> Edit:
            made: list[Resource] = []
            for kind, identifier, body in wanted:
                made.append(self._new(library.with_resources(made), kind, body, actor, identifier))
            return Edit(tuple(made), {item.id: [_update(item, "add", "/", item.body)] for item in made})

        return list(self._commit(sandbox, edit, actor))

    def replace(self, sandbox: Sandbox, kind: Kind, identifier: str, body: Any, actor: Actor, *, if_match: str = "") -> Resource:
        """Give a resource another definition and return it; assigned keys in ``body`` are ignored.

        Raises:
            ResourceUnknown: There is no such resource.
            RegistryInvalidInput: The definition, or the change, is refused.
            VersionChanged: ``if_match`` is not its present version or ETag.
        """
        return self._change(sandbox, kind, identifier, lambda _: body, actor, if_match)

    def patch(
        self, sandbox: Sandbox, kind: Kind, identifier: str, operations: Any, actor: Actor, *, if_match: str = ""
    ) -> Resource:
        """Change a resource by JSON Patch operations and return it.

        Raises:
            ResourceUnknown: There is no such resource.
            RegistryInvalidInput: The operations do not fit, or the change is refused.
            VersionChanged: ``if_match`` is not its present version or ETag.
        """

        def changed(shown: Mapping[str, Any]) -> Any:
            return patched(shown, operations)

        return self._change(sandbox, kind, identifier, changed, actor, if_match)

    def delete(self, sandbox: Sandbox, kind: Kind, identifier: str, actor: Actor) -> None:
        """Delete a resource, and the descriptors bound to it.

        Raises:
            ResourceUnknown: There is no such resource.
            ResourceInUse: Something is built on it, or it is enabled for Profile.
        """
        registry = self._registry
        resource = self._own(registry.library(sandbox), kind, identifier)
        with registry.control.write() as connection:
            library = registry.loaded(connection, sandbox)
            self._check_unused(sandbox, library, resource)
            store.delete_resource(connection, sandbox.number, resource.id)
            now = self._now()
            entry = change_entry(sandbox, actor, resource.id, now, [_update(resource, "remove", "/", None)])
            store.add_change(connection, sandbox.number, resource.id, now, entry)
            store.raise_revision(connection, sandbox.number)

    # One change

    def _change(
        self,
        sandbox: Sandbox,
        kind: Kind,
        identifier: str,
        body_from: Callable[[Mapping[str, Any]], Any],
        actor: Actor,
        if_match: str,
    ) -> Resource:
        def edit(library: Library) -> Edit:
            old = self._own(library, kind, identifier)
            if if_match and if_match.strip('"') not in ("*", old.etag, old.version):
                raise VersionChanged(f"'{old.title}' has the version {old.version}, not {if_match}.")
            shown = {"$id": old.id, "meta:extends": list(library.extends(old)), **old.body}
            new_body = renamed_adhoc(stored_body(body_from(shown)), old.id)
            if new_body == old.body:
                return Edit((), {old.id: []})
            new = self._checked(library, old.revised(new_body, class_of(library, kind, new_body), actor, self._now()), old)
            steps = jsonpatch.make_patch(old.body, new_body).patch
            return Edit((new,), {old.id: [_update(new, step["op"], step["path"], step.get("value")) for step in steps]})

        changed = self._commit(sandbox, edit, actor)
        return changed[0] if changed else self._own(self._registry.library(sandbox), kind, identifier)

    def _new(self, library: Library, kind: Kind, body: Any, actor: Actor, identifier: str) -> Resource:
        identifier = identifier or new_id(self._registry.tenant_id, kind)
        stored = stored_body(body)
        rules.check_shape(kind, stored)
        stored = renamed_adhoc(stored, identifier)
        now = self._now()
        resource = Resource(
            kind,
            identifier,
            stored,
            class_id=class_of(library, kind, stored),
            created_at=now,
            updated_at=now,
            origin=actor.created(),
        )
        return self._checked(library, resource, None)

    def _checked(self, library: Library, resource: Resource, old: Resource | None) -> Resource:
        rules.check_shape(resource.kind, resource.body)
        self._check_title(library, resource)
        if resource.kind == "schemas":
            check_groups_fit(library, resource)
        state = library.with_resources([resource])
        check_custom_fields(state, resource, self._registry.tenant_namespace)
        rules.check_size(state.full_form(resource), resource.title)
        if old is not None:
            check_tag_stays(old, resource)
        return resource

    @staticmethod
    def _check_title(library: Library, resource: Resource) -> None:
        for other in library.tenant.values():
            if other.id != resource.id and other.title == resource.title:
                raise TitleTaken(
                    f"Object titles must be unique. An object {other.id} already exists with the same title", path="/title"
                )

    @staticmethod
    def _own(library: Library, kind: Kind, identifier: str) -> Resource:
        found = library.find(identifier)
        if found is None or found.kind != kind:
            raise ResourceUnknown(kind, identifier)
        if found.container != "tenant":
            raise GlobalReadOnly(f"The {noun_of(kind)} '{found.title}' is a standard resource and cannot be changed.")
        return found

    def _check_unused(self, sandbox: Sandbox, library: Library, resource: Resource) -> None:
        if resource.is_profile_enabled:
            raise ResourceInUse(f"'{resource.title}' is enabled for Profile and cannot be deleted.", path="/meta:immutableTags")
        users = library.direct_users_of(resource.id)
        if users:
            names = ", ".join(f"'{user.title}' ({user.id})" for user in users)
            raise ResourceInUse(f"'{resource.title}' is used by {names}.", sub_errors=[f"{user.id} uses it." for user in users])
        if resource.kind == "schemas" and self._registry.is_in_use(sandbox, resource.id):
            raise ResourceInUse(f"'{resource.title}' is used by a dataset and cannot be deleted.")

    # The state after the change

    def _commit(self, sandbox: Sandbox, edit: Callable[[Library], Edit], actor: Actor) -> tuple[Resource, ...]:
        """Check an edit on the newest state and store it; done again when somebody else changed the registry meanwhile."""
        registry = self._registry
        for _ in range(_MOST_ATTEMPTS):
            library = registry.library(sandbox)
            planned = edit(library)
            if not planned.resources:
                return ()
            affected, state = self._checked_dependants(sandbox, library, planned, actor)
            with registry.control.write() as connection:
                if not registry.is_current(connection, sandbox, library):
                    continue
                for resource in (*planned.resources, *affected):
                    store.put_resource(connection, sandbox.number, resource, state.uses_of(resource))
                    updates = planned.updates.get(resource.id) or [step for steps in planned.updates.values() for step in steps]
                    entry = change_entry(sandbox, actor, resource.id, resource.updated_at, updates)
                    store.add_change(connection, sandbox.number, resource.id, resource.updated_at, entry)
                store.raise_revision(connection, sandbox.number)
            registry.remember(sandbox, state)
            return planned.resources
        raise VersionChanged("The registry is being changed by many callers at once.", hint="Send the request again.")

    def _checked_dependants(
        self, sandbox: Sandbox, library: Library, planned: Edit, actor: Actor
    ) -> tuple[list[Resource], Library]:
        """Return the next version of everything built on the changed resources, and the state then; nothing in it breaks."""
        edited = {resource.id for resource in planned.resources}
        users = {user.id: user for resource in planned.resources for user in library.users_of(resource.id)}
        now = self._now()
        affected = [user.revised(user.body, user.class_id, actor, now) for user in users.values() if user.id not in edited]
        state = library.with_resources([*planned.resources, *affected])
        for resource in (*planned.resources, *affected):
            old = library.tenant.get(resource.id)
            if old is not None and resource.kind == "schemas":
                self._check_evolution(sandbox, library, state, old, resource)
            elif resource.id not in edited:
                state.full_form(resource)
        for resource in (*planned.resources, *affected):
            if resource.kind == "schemas" and resource.is_profile_enabled:
                check_membership(state, resource)
        return affected, state

    def _check_evolution(self, sandbox: Sandbox, library: Library, state: Library, old: Resource, new: Resource) -> None:
        form = state.full_form(new)
        reason = "is enabled for Profile" if old.is_profile_enabled else ""
        if not reason and self._registry.is_in_use(sandbox, old.id):
            reason = "is used by a dataset"
        if not reason:
            return
        broken = list(breakages(library.full_form(old), form))
        if old.class_id != new.class_id:
            broken.append(Breakage("/allOf", "the class would change"))
        if broken:
            raise BreakingChange(
                f"The schema '{old.title}' {reason}; the change would break it: {broken[0]}"
                + (f" (and {len(broken) - 1} more)." if len(broken) > 1 else "."),
                path=broken[0].path,
                sub_errors=[str(item) for item in broken],
            )

    def _now(self) -> int:
        return self._registry.clock.now_ms()


def _update(resource: Resource, action: str, path: str, value: object) -> dict[str, object]:
    return {"id": resource.id, "xdmType": resource.kind, "action": action, "path": path, "value": value}
