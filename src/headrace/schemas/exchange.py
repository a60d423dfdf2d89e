"""Export of a resource with everything of the tenant it is built on, and import of such an export."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.model import Sandbox
from headrace.schemas.actor import Actor
from headrace.schemas.errors import ImportRefused, RegistryInvalidInput, ResourceUnknown
from headrace.schemas.library import Library
from headrace.schemas.references import references
from headrace.schemas.resource import Kind, Resource

if TYPE_CHECKING:
    from headrace.schemas.service import SchemaRegistry

PLACEHOLDER = "<XDM_TENANTID_PLACEHOLDER>"
_KINDS: tuple[Kind, ...] = ("schemas", "classes", "mixins", "datatypes")
_HOST = "https://ns.adobe.com/"


def exported(library: Library, resource: Resource, tenant_id: str, show: Callable[[Resource], dict[str, Any]]) -> list[Any]:
    """Return a resource and the tenant's resources it is built on, dependencies first, with the tenant's id masked.

    Args:
        library: What holds them.
        resource: The one wanted; it comes last.
        tenant_id: The id to mask.
        show: Renders one resource.
    """
    ordered: dict[str, Resource] = {}

    def visit(item: Resource) -> None:
        for reference in references(item.body):
            dependency = library.tenant.get(reference)
            if dependency is not None and dependency.id not in ordered and dependency is not item:
                visit(dependency)
        ordered[item.id] = item

    visit(resource)
    return [_masked(show(item), tenant_id) for item in ordered.values()]


def _masked(node: Any, tenant_id: str) -> Any:
    if isinstance(node, Mapping):
        return {_masked_text(key, tenant_id): _masked(value, tenant_id) for key, value in node.items()}
    if isinstance(node, list):
        return [_masked(item, tenant_id) for item in node]
    return _masked_text(node, tenant_id) if isinstance(node, str) else node


def _masked_text(text: str, tenant_id: str) -> str:
    if text.startswith(f"{_HOST}{tenant_id}/"):
        return f"{_HOST}{PLACEHOLDER}/" + text.removeprefix(f"{_HOST}{tenant_id}/")
    parts = text.split("/")
    if f"_{tenant_id}" in parts:
        return "/".join(f"_{PLACEHOLDER}" if part == f"_{tenant_id}" else part for part in parts)
    return f"_{PLACEHOLDER}." + text.removeprefix(f"_{tenant_id}.") if text.startswith(f"_{tenant_id}.") else text


def import_resources(registry: "SchemaRegistry", sandbox: Sandbox, documents: Any, actor: Actor) -> list[Resource]:
    """Create the resources of an export, all or none, and return them in the order they came.

    Raises:
        ImportRefused: The list is malformed, an ``$id`` or title is taken, or a definition is refused.
    """
    documents = [documents] if isinstance(documents, Mapping) else documents
    if not isinstance(documents, list) or not documents:
        raise ImportRefused("An import is an array of resources.", path="/")
    text = msgspec.json.encode(documents).decode().replace(PLACEHOLDER, registry.tenant_id)
    library = registry.library(sandbox)
    wanted: list[tuple[Kind, str, Any]] = []
    for index, document in enumerate(msgspec.json.decode(text)):
        kind, identifier = _kind_and_id(document, index)
        if not identifier.startswith(f"{_HOST}{registry.tenant_id}/"):
            continue  # a standard component, which every registry has
        if library.by_id(identifier) is not None:
            raise ImportRefused(f"A resource with the $id {identifier} exists already.", path=f"/{index}/$id")
        wanted.append((kind, identifier, document))
    try:
        return registry.resources.create_all(sandbox, wanted, actor)
    except (RegistryInvalidInput, ResourceUnknown) as error:
        raise ImportRefused(f"Import Resource Failed: {error.message}", path=error.path, hint=error.hint) from error


def _kind_and_id(document: Any, index: int) -> tuple[Kind, str]:
    identifier = document.get("$id") if isinstance(document, Mapping) else None
    if not isinstance(identifier, str):
        raise ImportRefused(f"Resource {index} has no '$id'.", path=f"/{index}/$id")
    kind = document.get("meta:resourceType") or (identifier.split("/")[-2] if identifier.count("/") > 3 else "")
    if kind not in _KINDS:
        raise ImportRefused(f"Resource {index} is of no known type: {kind!r}.", path=f"/{index}/meta:resourceType")
    return kind, identifier
