"""Storing the public components of a folder as standard resources, which every sandbox then sees.

The rules of a repeated import: what is the same stays, what differs gets a new minor version, what vanished is deprecated but
never deleted. Nothing is stored when a change would break a schema that is in use.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.model import Sandbox
from headrace.schemas import store
from headrace.schemas.actor import SYSTEM
from headrace.schemas.components import COMMON_CONTEXT, read_components
from headrace.schemas.errors import BreakingChange, ImportRefused
from headrace.schemas.evolution import breakages
from headrace.schemas.library import GlobalLayer, Library
from headrace.schemas.membership import check_membership
from headrace.schemas.references import references
from headrace.schemas.resource import Kind, Resource

if TYPE_CHECKING:
    from headrace.schemas.service import SchemaRegistry


class ImportReport(msgspec.Struct, frozen=True):
    """What an import did.

    Attributes:
        added: Ids that were not there before.
        changed: Ids that got a new minor version.
        deprecated: Ids of imported components that the folder no longer has.
        unchanged: How many were the same.
    """

    added: tuple[str, ...]
    changed: tuple[str, ...]
    deprecated: tuple[str, ...]
    unchanged: int


def import_components(
    registry: "SchemaRegistry",
    folder: Path,
    sandboxes: Iterable[Sandbox],
    *,
    on_stored: Callable[[int, int], None] = lambda done, total: None,
) -> ImportReport:
    """Import every ``*.schema.json`` below a folder.

    Args:
        registry: Where they are stored.
        folder: Directory ``components`` of the public sources, or one laid out like it.
        sandboxes: All sandboxes; schemas in use there must survive the change.
        on_stored: Told after each component how many are stored, and how many there are to store.

    Raises:
        ImportRefused: A file is malformed, or a reference leads nowhere.
        BreakingChange: A changed component would break a schema in use.
    """
    components = read_components(folder)
    components.pop(COMMON_CONTEXT, None)
    with registry.control.write() as connection:
        imported = {item.id: item for item in store.resources_of(connection, store.GLOBAL_SANDBOX)}
        before = registry.layer(connection)
        planned = _planned(components, imported, before, registry.clock.now_ms())
        after = GlobalLayer({**before.resources, **{item.id: item for item in planned}})
        _check_references(after)
        for sandbox in sandboxes:
            _check_sandbox(registry, sandbox, registry.loaded(connection, sandbox), after)
        for number, resource in enumerate(planned, 1):
            store.put_resource(connection, store.GLOBAL_SANDBOX, resource, {})
            on_stored(number, len(planned))
        if planned:
            store.raise_revision(connection, store.GLOBAL_SANDBOX)
    return _report(planned, components, imported)


def _planned(
    components: Mapping[str, tuple[Kind, dict[str, Any]]], imported: Mapping[str, Resource], layer: GlobalLayer, now: int
) -> list[Resource]:
    planned: list[Resource] = []
    for identifier, (kind, document) in components.items():
        body = {key: value for key, value in document.items() if key != "$id"}
        old = imported.get(identifier)
        stamp = now + len(planned)  # all differ, so that lists can be paged by time
        if old is None:
            shipped = layer.resources.get(identifier)
            created_at = shipped.created_at if shipped is not None else stamp
            planned.append(
                Resource(
                    kind, identifier, body, container="global", created_at=created_at, updated_at=stamp, origin=SYSTEM.created()
                )
            )
        elif old.body != body:
            planned.append(old.revised(body, "", SYSTEM, stamp))
    for identifier, old in imported.items():
        if identifier not in components and not old.is_deprecated:
            planned.append(old.revised({**old.body, "meta:status": "deprecated"}, "", SYSTEM, now + len(planned)))
    return planned


def _check_references(layer: GlobalLayer) -> None:
    for resource in layer.resources.values():
        for reference in references(resource.body):
            if reference not in layer.resources and reference != COMMON_CONTEXT:
                raise ImportRefused(f"'{resource.id}' refers to '{reference}', which no file defines.", path=resource.id)


def _check_sandbox(registry: "SchemaRegistry", sandbox: Sandbox, library: Library, layer: GlobalLayer) -> None:
    state = Library(layer, library.tenant.values(), library.descriptors.values())
    for resource in library.tenant.values():
        form = state.full_form(resource)
        is_fixed = resource.kind == "schemas" and (resource.is_profile_enabled or registry.is_in_use(sandbox, resource.id))
        if not is_fixed:
            continue
        broken = list(breakages(library.full_form(resource), form))
        if broken:
            raise BreakingChange(
                f"The import would break the schema '{resource.title}' of sandbox '{sandbox.name}': {broken[0]}.",
                path=broken[0].path,
                sub_errors=[str(item) for item in broken],
            )
        if resource.is_profile_enabled:
            check_membership(state, resource)


def _report(
    planned: list[Resource], components: Mapping[str, tuple[Kind, dict[str, Any]]], imported: Mapping[str, Resource]
) -> ImportReport:
    added = tuple(item.id for item in planned if item.id not in imported)
    deprecated = tuple(item.id for item in planned if item.id not in components)
    changed = tuple(item.id for item in planned if item.id in imported and item.id in components)
    return ImportReport(added, changed, deprecated, len(components) - len(added) - len(changed))
