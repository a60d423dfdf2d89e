"""Schema Registry: ``/data/foundation/schemaregistry``."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Body, Depends, Header, Query, Request
from starlette.responses import Response

from headrace.api.context import Context, context_of
from headrace.api.schema_registry_accept import (
    Accept,
    descriptor_accept,
    descriptor_list_accept,
    list_accept,
    lookup_accept,
)
from headrace.api.schema_registry_lists import MOST_ROWS, ListQuery, Page, filtered, page_of
from headrace.api.wire.answer import JsonAnswer, answer, empty
from headrace.clock import from_ms
from headrace.schemas.actor import Actor
from headrace.schemas.errors import GlobalReadOnly, ResourceUnknown
from headrace.schemas.exchange import exported, import_resources
from headrace.schemas.library import Library
from headrace.schemas.resource import PROFILE_CLASS, UNION_SUFFIX, Kind, Resource
from headrace.schemas.samples import sample_of
from headrace.schemas.views import RAW, View, Viewer

router = APIRouter(prefix="/data/foundation/schemaregistry", tags=["Schema Registry"])

_KINDS: Mapping[str, Kind] = {
    "schemas": "schemas",
    "classes": "classes",
    "fieldgroups": "mixins",
    "mixins": "mixins",
    "datatypes": "datatypes",
    "behaviors": "behaviors",
}
_WRITABLE = frozenset(("schemas", "classes", "mixins", "datatypes"))
_CONTAINERS = frozenset(("global", "tenant"))
_RECENT = 5


class Call:
    """One call: who asks, what the registry holds for them, and how they want it shown."""

    def __init__(self, request: Request, context: Annotated[Context, Depends(context_of)]) -> None:
        self.context = context
        self.sandbox = context.sandbox
        self.registry = context.services.schemas
        self.accept_header = request.headers.get("accept", "")
        self.is_strict = context.services.settings.strict_accept
        self.actor = Actor(context.client_id, context.user_id, context.request_id)

    @property
    def library(self) -> Library:
        """The registry's present state."""
        return self.registry.library(self.sandbox)

    def viewer(self, library: Library | None = None) -> Viewer:
        """Return what shows resources of a state."""
        return Viewer(library or self.library, self.sandbox, self.registry.tenant_namespace)

    def written(self, resource: Resource, status: int) -> Response:
        """Return the answer to a change."""
        return answer(self.viewer().resource(resource), status)


CallDep = Annotated[Call, Depends(Call)]
IfMatch = Annotated[str, Header(alias="If-Match")]


def _list_query(
    conditions: Annotated[list[str] | None, Query(alias="property")] = None,
    orderby: str = "",
    order_by: Annotated[str, Query(alias="orderBy")] = "",
    start: str = "",
    limit: str = "",
) -> ListQuery:
    return ListQuery(conditions or (), orderby or order_by, start, limit)


QueryDep = Annotated[ListQuery, Depends(_list_query)]


def _kind(container: str, collection: str) -> Kind:
    kind = _KINDS.get(collection)
    if kind is None or container not in _CONTAINERS:
        raise ResourceUnknown("resource", f"{container}/{collection}")
    return kind


def _writable_kind(container: str, collection: str) -> Kind:
    kind = _kind(container, collection)
    if container != "tenant" or kind not in _WRITABLE:
        raise GlobalReadOnly(f"Resources under '{container}/{collection}' cannot be written.", hint="Write under 'tenant'.")
    return kind


# Statistics and remote procedures


@router.get("/stats")
def get_stats(call: CallDep) -> Response:
    """Retrieve the tenant id and usage figures ("retrieveStats")."""
    library, viewer = call.library, call.viewer()
    own = list(library.tenant.values())
    counts = {
        kind: sum(1 for item in library.all() if item.kind == kind) for kind in ("schemas", "mixins", "datatypes", "classes")
    }
    by_creation = sorted(own, key=lambda item: item.created_at, reverse=True)[:_RECENT]
    by_update = sorted(own, key=lambda item: item.updated_at, reverse=True)[:_RECENT]
    return answer(
        {
            "imsOrg": call.context.organization_id,
            "tenantId": call.registry.tenant_id,
            "counts": {**counts, "unions": len(_union_classes(library))},
            "recentlyCreatedResources": [_recent(viewer, item, "created", item.created_at) for item in by_creation],
            "recentlyUpdatedResources": [_recent(viewer, item, "updated", item.updated_at) for item in by_update],
            "classUsage": _class_usage(library),
        }
    )


def _recent(viewer: Viewer, resource: Resource, name: str, at_ms: int) -> dict[str, Any]:
    shown = viewer.summary(resource)
    return {
        **shown,
        "description": resource.body.get("description", ""),
        name: f"{from_ms(at_ms):%a %b %d %Y %H:%M:%S} GMT+0000 (UTC)",
    }


def _class_usage(library: Library) -> list[dict[str, Any]]:
    usage: dict[str, list[dict[str, Any]]] = {}
    for item in library.tenant.values():
        if item.kind == "schemas":
            entry = {"$id": item.id, "title": item.title, "description": item.body.get("description", "")}
            usage.setdefault(library.class_id(item), []).append(entry)
    return [
        {"$id": class_id, "title": library.resource(class_id).title, "numberOfSchemas": len(schemas), "schemas": schemas}
        for class_id, schemas in usage.items()
    ]


@router.get("/rpc/sampledata/{identifier}")
def get_sample_data(call: CallDep, identifier: str) -> Response:
    """Generate a sample record of a schema ("retrieveSampleData")."""
    found = call.library.find(identifier)
    if found is None or found.kind != "schemas":
        raise ResourceUnknown("schemas", identifier)
    return answer(sample_of(call.library.full_form(found)))


@router.get("/rpc/export/{identifier}")
def export_resource(call: CallDep, identifier: str) -> Response:
    """Export a resource with what it is built on ("exportResource")."""
    library = call.library
    return answer(exported(library, library.resource(identifier), call.registry.tenant_id, call.viewer().resource))


@router.post("/rpc/import")
@router.post("/rpc/export")
def import_exported(call: CallDep, body: Annotated[Any, Body()]) -> Response:
    """Import what an export gave ("importResource"); the public client posts it to the export path."""
    made = import_resources(call.registry, call.sandbox, body, call.actor)
    viewer = call.viewer()
    return answer([viewer.resource(resource) for resource in made])


@router.get("/rpc/auditlog/{identifier}")
def get_audit_log(call: CallDep, identifier: str) -> Response:
    """List the changes of a resource, newest first ("retrieveAuditLog")."""
    return answer([_audit_entry(entry) for entry in call.registry.changes(call.sandbox, identifier)])


def _audit_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    at_ms = entry["updated"]
    return {
        **entry,
        "updatedTime": f"{from_ms(at_ms):%m-%d-%Y %H:%M:%S}",
        "sandBoxId": entry["sandboxId"],
        "auditTrails": entry["updates"],
    }


# Unions


def _union_classes(library: Library) -> list[str]:
    return list(dict.fromkeys([PROFILE_CLASS, *library.union_classes]))


@router.get("/{container}/unions")
def list_unions(call: CallDep, query: QueryDep, container: str) -> Response:
    """List the unions ("listUnions"); that of the profile class always exists."""
    accept = list_accept(call.accept_header, is_strict=call.is_strict)
    library, viewer = call.library, call.viewer()
    classes = _union_classes(library) if container == "tenant" else []
    view = View(is_standard=accept.is_standard, has_texts=accept.view.has_texts)
    rows = [{**viewer.union(class_id, view), "id": class_id} for class_id in classes]
    page = page_of(rows, query, size=query.size())
    shown = [
        viewer.union_summary(row["id"]) if accept.style == "id" else {key: value for key, value in row.items() if key != "id"}
        for row in page.rows
    ]
    return _listed(call, page, shown, query, accept, f"{container}/unions")


@router.get("/{container}/unions/{identifier}")
def get_union(call: CallDep, container: str, identifier: str) -> Response:
    """Look up a union ("retrieveUnion")."""
    accept = lookup_accept(call.accept_header, is_strict=call.is_strict)
    return _union(call, container, identifier, accept)


def _union(call: Call, container: str, identifier: str, accept: Accept) -> Response:
    library = call.library
    class_id = library.union_class(identifier)
    if class_id is None or class_id not in _union_classes(library) or container != "tenant" or accept.minor_version is not None:
        raise ResourceUnknown("unions", identifier, accept.version or "1")
    return _shown(call.viewer().union(class_id, accept.view), accept)


# Descriptors


@router.get("/{container}/descriptors")
def list_descriptors(call: CallDep, query: QueryDep, container: str) -> Response:
    """List descriptors, grouped by type or as pages ("listDescriptors")."""
    accept = descriptor_list_accept(call.accept_header, is_strict=call.is_strict)
    viewer = call.viewer()
    size = query.size(highest=MOST_ROWS) if query.limit else None
    found = call.library.descriptors.values() if container == "tenant" else ()
    rows = [viewer.descriptor(descriptor) for descriptor in found]
    if "v2" in accept.suffixes:
        page = page_of(rows, query, size=size)
        return _listed(
            call, page, [_descriptor_entry(row, accept) for row in page.rows], query, accept, f"{container}/descriptors"
        )
    grouped: dict[str, list[Any]] = {}
    for row in filtered(rows, query.conditions):
        grouped.setdefault(row["@type"], []).append(_descriptor_entry(row, accept))
    return _shown(grouped, accept)


def _descriptor_entry(row: Mapping[str, Any], accept: Accept) -> Any:
    identifier = row["@id"]
    return {"whole": row, "id": identifier, "link": f"/tenant/descriptors/{identifier}"}[accept.style]


@router.get("/{container}/descriptors/{identifier}")
def get_descriptor(call: CallDep, container: str, identifier: str) -> Response:
    """Look up a descriptor ("retrieveDescriptor")."""
    accept = descriptor_accept(call.accept_header)
    found = call.library.descriptors.get(identifier)
    if found is None or container != "tenant":
        raise ResourceUnknown("descriptors", identifier)
    return _shown(call.viewer().descriptor(found), accept)


@router.post("/{container}/descriptors")
def create_descriptor(call: CallDep, container: str, body: Annotated[Any, Body()]) -> Response:
    """Create a descriptor ("createDescriptor")."""
    _require_tenant(container)
    return answer(call.viewer().descriptor(call.registry.descriptors.create(call.sandbox, body, call.actor)), 201)


@router.put("/{container}/descriptors/{identifier}")
def replace_descriptor(call: CallDep, container: str, identifier: str, body: Annotated[Any, Body()]) -> Response:
    """Replace a descriptor ("updateDescriptor")."""
    _require_tenant(container)
    return answer(call.viewer().descriptor(call.registry.descriptors.replace(call.sandbox, identifier, body, call.actor)))


@router.delete("/{container}/descriptors/{identifier}")
def delete_descriptor(call: CallDep, container: str, identifier: str) -> Response:
    """Delete a descriptor ("deleteDescriptor")."""
    _require_tenant(container)
    call.registry.descriptors.delete(call.sandbox, identifier)
    return empty()


def _require_tenant(container: str) -> None:
    if container != "tenant":
        raise GlobalReadOnly(f"Descriptors under '{container}' cannot be written.", hint="Write under 'tenant'.")


# Schemas, classes, field groups, data types, behaviors


@router.get("/{container}/{collection}")
def list_resources(call: CallDep, query: QueryDep, container: str, collection: str) -> Response:
    """List resources of one type ("listSchemas", "listClasses", "listFieldGroups", "listDataTypes", "listBehaviors")."""
    kind = _kind(container, collection)
    accept = list_accept(call.accept_header, is_strict=call.is_strict)
    library, viewer = call.library, call.viewer()
    found = [item for item in library.all() if item.kind == kind and item.container == container]
    page = page_of([viewer.resource(item, RAW) for item in found], query, size=query.size())
    return _listed(
        call, page, [_entry(library, viewer, row, accept) for row in page.rows], query, accept, f"{container}/{collection}"
    )


def _entry(library: Library, viewer: Viewer, row: Mapping[str, Any], accept: Accept) -> Mapping[str, Any]:
    resource = library.resource(row["$id"])
    if accept.style == "id":
        return viewer.summary(resource)
    view = View(is_standard=accept.is_standard, has_texts=accept.view.has_texts)
    return row if view == RAW else viewer.resource(resource, view)


@router.get("/{container}/{collection}/{identifier}")
def get_resource(call: CallDep, container: str, collection: str, identifier: str) -> Response:
    """Look up a resource ("retrieveSchema", "retrieveClass", "retrieveFieldGroup", "retrieveDataType", "retrieveBehavior")."""
    kind = _kind(container, collection)
    accept = lookup_accept(call.accept_header, is_strict=call.is_strict)
    if kind == "schemas" and identifier.endswith(UNION_SUFFIX):
        return _union(call, container, identifier, accept)
    found = call.library.find(identifier)
    if found is None or found.kind != kind or (container == "global" and found.container != "global"):
        raise ResourceUnknown(kind, identifier, accept.version or "1")
    library = call.library
    if (minor := accept.minor_version) is not None:
        library, found = call.registry.at_version(call.sandbox, found, minor)
    return _shown(call.viewer(library).resource(found, accept.view), accept)


@router.post("/{container}/{collection}")
def create_resource(call: CallDep, container: str, collection: str, body: Annotated[Any, Body()]) -> Response:
    """Create a resource ("createSchema", "createClass", "createFieldGroup", "createDataType")."""
    kind = _writable_kind(container, collection)
    return call.written(call.registry.resources.create(call.sandbox, kind, body, call.actor), 201)


@router.put("/{container}/{collection}/{identifier}")
def replace_resource(
    call: CallDep, container: str, collection: str, identifier: str, body: Annotated[Any, Body()], if_match: IfMatch = ""
) -> Response:
    """Replace a resource ("updateSchema", "updateClass", "updateFieldGroup", "updateDataType")."""
    kind = _writable_kind(container, collection)
    changed = call.registry.resources.replace(call.sandbox, kind, identifier, body, call.actor, if_match=if_match)
    return call.written(changed, 200)


@router.patch("/{container}/{collection}/{identifier}")
def patch_resource(
    call: CallDep, container: str, collection: str, identifier: str, body: Annotated[Any, Body()], if_match: IfMatch = ""
) -> Response:
    """Change a resource by JSON Patch ("patchSchema", "patchClass", "patchFieldGroup", "patchDataType")."""
    kind = _writable_kind(container, collection)
    changed = call.registry.resources.patch(call.sandbox, kind, identifier, body, call.actor, if_match=if_match)
    return call.written(changed, 200)


@router.delete("/{container}/{collection}/{identifier}")
def delete_resource(call: CallDep, container: str, collection: str, identifier: str) -> Response:
    """Delete a resource ("deleteSchema", "deleteClass", "deleteFieldGroup", "deleteDataType")."""
    kind = _writable_kind(container, collection)
    call.registry.resources.delete(call.sandbox, kind, identifier, call.actor)
    return empty()


def _shown(body: Any, accept: Accept) -> Response:
    return JsonAnswer(body, media_type=accept.media_type)


def _listed(call: Call, page: Page, shown: Sequence[Any], query: ListQuery, accept: Accept, place: str) -> Response:
    base = f"{call.context.origin}{router.prefix}"
    text = query.text()
    links: dict[str, Any] = {}
    if place.startswith("tenant/") and not place.endswith("/descriptors"):
        links["global_schemas"] = {"href": f"{base}/global/schemas" + (f"?{text}" if text else "")}
    body = page.body(shown, links)
    if page.next is not None:
        body["_links"]["next"] = {"href": f"{base}/{place}?{urlencode({'start': page.next})}" + (f"&{text}" if text else "")}
    return _shown(body, accept)
