"""Resources, unions and descriptors as the wire shows them."""

from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.model import Sandbox
from headrace.schemas.descriptor import DEPRECATED, Descriptor
from headrace.schemas.library import Library
from headrace.schemas.paths import path_of, replaced_at
from headrace.schemas.resource import Resource, union_id_of
from headrace.schemas.spelling import to_standard
from headrace.schemas.types import TYPE_KEY, xdm_type

LIBRARY_VERSION = "1.0"
_NOT_SHOWN = frozenset(("meta:license", "meta:titleId", "meta:descriptionId", "meta:extends", "$schema"))
_TEXTS = frozenset(("title", "description"))


class View(msgspec.Struct, frozen=True):
    """How a resource is shown.

    Attributes:
        is_standard: Field names in standard spelling; otherwise in compatibility spelling.
        is_full: Composed; otherwise as it was defined.
        is_flat: Composed, all fields side by side under dotted paths.
        has_texts: With titles and descriptions.
        has_descriptors: With the descriptors bound to it.
        marks_deprecated: Composed, fields marked that a descriptor declares deprecated.
    """

    is_standard: bool = False
    is_full: bool = False
    is_flat: bool = False
    has_texts: bool = True
    has_descriptors: bool = False
    marks_deprecated: bool = False

    @property
    def is_composed(self) -> bool:
        """Whether references are followed."""
        return self.is_full or self.is_flat or self.marks_deprecated


RAW = View()


class Viewer:
    """Shows what a library holds to a caller in its sandbox."""

    def __init__(self, library: Library, sandbox: Sandbox, namespace: str) -> None:
        self._library = library
        self._sandbox = sandbox
        self._namespace = namespace

    def summary(self, resource: Resource) -> dict[str, Any]:
        """Return what identifies a resource."""
        return {
            "$id": resource.id,
            "meta:altId": resource.alt_id,
            "version": resource.version,
            "title": resource.title,
        }

    def resource(self, resource: Resource, view: View = RAW) -> dict[str, Any]:
        """Return a resource."""
        head: dict[str, Any] = {
            "$id": resource.id,
            "meta:altId": resource.alt_id,
            "meta:resourceType": resource.kind,
            "version": resource.version,
        }
        if view.is_composed:
            definition = self._composed(self._library.full_form(resource), view, resource.id)
            definition.update(_resource_keys(resource.body))
        else:
            body = resource.body if view.is_standard else resource.compatible
            definition = {key: _typed(value) for key, value in body.items() if key not in _NOT_SHOWN}
        definition.setdefault("description", "")
        shown = {**head, "title": resource.title, "type": "object", **definition, **self._assigned(resource)}
        if not view.is_standard:
            shown["meta:xedConverted"] = True
        return self._finished(shown, view, resource.id)

    def _composed(self, form: Mapping[str, Any], view: View, schema_id: str) -> dict[str, Any]:
        shown = {key: value for key, value in form.items() if key not in ("$id", "meta:altId")}
        if view.marks_deprecated:
            for descriptor in self._library.descriptors_of(schema_id):
                if descriptor.type == DEPRECATED:
                    for pointer in descriptor.pointer.split():
                        shown = replaced_at(shown, path_of(pointer), _deprecated)
        if view.is_standard:
            shown = to_standard(shown)
        if view.is_flat:
            shown["properties"] = dict(_flat_fields(shown))
            shown.pop("required", None)
        return shown

    def _assigned(self, resource: Resource) -> dict[str, Any]:
        is_schema = resource.kind == "schemas"
        assigned: dict[str, Any] = {
            "meta:extensible": not is_schema,
            "meta:abstract": not is_schema,
            TYPE_KEY: "object",
            "meta:extends": list(self._library.extends(resource)),
            **self._place(resource.container),
            "meta:registryMetadata": self._metadata(resource),
        }
        if is_schema:
            assigned["meta:class"] = self._library.class_id(resource)
        return assigned

    def _place(self, container: str) -> dict[str, Any]:
        return {
            "imsOrg": self._sandbox.organization_id,
            "meta:containerId": container,
            "meta:sandboxId": self._sandbox.id,
            "meta:sandboxType": self._sandbox.type,
            "meta:tenantNamespace": self._namespace,
        }

    def _metadata(self, resource: Resource) -> dict[str, Any]:
        return {
            "repo:createdDate": resource.created_at,
            "repo:lastModifiedDate": resource.updated_at,
            **_origin(resource.origin),
            "eTag": resource.etag,
            "meta:globalLibVersion": LIBRARY_VERSION,
            "meta:usageCount": len(self._library.direct_users_of(resource.id)),
        }

    def _finished(self, shown: dict[str, Any], view: View, schema_id: str) -> dict[str, Any]:
        if view.has_descriptors:
            owners = self._library.members(shown["meta:class"]) if shown["meta:resourceType"] == "unions" else ()
            bound = [item for name in (schema_id, *(owner.id for owner in owners)) for item in self._library.descriptors_of(name)]
            shown["meta:descriptors"] = [self.descriptor(item) for item in bound]
        return shown if view.has_texts else _without_texts(shown)

    def union(self, class_id: str, view: View = RAW) -> dict[str, Any]:
        """Return the union of a class."""
        form = self._library.union_form(class_id)
        identifier = union_id_of(class_id)
        members = self._library.members(class_id)
        class_resource = self._library.resource(class_id)
        shown: dict[str, Any] = {
            "$id": identifier,
            "meta:altId": form["meta:altId"],
            "meta:resourceType": "unions",
            "version": "1.0",
            "title": form["title"],
            "type": "object",
            "description": class_resource.body.get("description", ""),
        }
        if view.is_composed:
            shown.update(self._composed(form, view, identifier))
        else:
            parts = dict.fromkeys([class_id, *(part for member in members for part in self._parts(member))])
            shown["allOf"] = [{"$ref": part, "type": "object", TYPE_KEY: "object"} for part in parts]
        shown.update(
            {
                **self._place("tenant"),
                TYPE_KEY: "object",
                "meta:class": class_id,
                "meta:extends": form["meta:extends"],
                "meta:registryMetadata": {"meta:globalLibVersion": LIBRARY_VERSION, "meta:usageCount": len(members)},
            }
        )
        return self._finished(shown, view, identifier)

    def union_summary(self, class_id: str) -> dict[str, Any]:
        """Return what identifies the union of a class."""
        form = self._library.union_form(class_id)
        return {"$id": form["$id"], "meta:altId": form["meta:altId"], "version": "1", "title": form["title"]}

    @staticmethod
    def _parts(member: Resource) -> list[str]:
        references = (item.get("$ref") for item in member.body.get("allOf", ()))
        return [reference for reference in references if isinstance(reference, str) and not reference.startswith("#")]

    def descriptor(self, descriptor: Descriptor) -> dict[str, Any]:
        """Return a descriptor."""
        metadata = {
            "repo:createdDate": descriptor.created_at,
            "repo:lastModifiedDate": descriptor.updated_at,
            **_origin(descriptor.origin),
        }
        return {
            "@id": descriptor.id,
            **descriptor.body,
            "imsOrg": self._sandbox.organization_id,
            "version": "1",
            "meta:containerId": "tenant",
            "meta:sandboxId": self._sandbox.id,
            "meta:sandboxType": self._sandbox.type,
            "meta:registryMetadata": metadata,
        }


def _resource_keys(body: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("meta:intendedToExtend", "meta:immutableTags", "meta:status", "meta:datasetNamespace")
    return {key: body[key] for key in keys if key in body}


def _origin(origin: Mapping[str, str]) -> dict[str, str]:
    return {f"xdm:{key}": value for key, value in origin.items()}


def _deprecated(node: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**node, "meta:status": "deprecated"}


def _typed(node: Any) -> Any:
    """Return a definition in which every field that says its type also says its platform type."""
    if isinstance(node, list):
        return [_typed(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    typed = {key: value if key in ("enum", "meta:enum", "default") else _typed(value) for key, value in node.items()}
    if isinstance(node.get("type"), str) and TYPE_KEY not in typed and (name := xdm_type(node)) is not None:
        typed[TYPE_KEY] = name
    return typed


def _flat_fields(node: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, field in node.get("properties", {}).items():
        inner = field
        path = f"{prefix}{name}"
        while isinstance(items := inner.get("items"), Mapping):
            inner, path = items, f"{path}[*]"
        if inner.get("properties"):
            found.extend(_flat_fields(inner, f"{path}."))
        else:
            found.append((path.removesuffix("[*]"), field))
    return found


def _without_texts(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_texts(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    kept: dict[str, Any] = {}
    for key, value in node.items():
        if key in ("properties", "definitions") and isinstance(value, Mapping):
            kept[key] = {name: _without_texts(field) for name, field in value.items()}
        elif key == "meta:enum":
            kept[key] = value
        elif key not in _TEXTS:
            kept[key] = _without_texts(value)
    return kept
