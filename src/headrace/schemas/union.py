"""The union of a class: one tree with the fields of every profile-enabled schema of the class."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from headrace.schemas.errors import MergeConflict
from headrace.schemas.merging import PathConflict, Strictness, merged
from headrace.schemas.paths import selected
from headrace.schemas.resource import EVENT_CLASS, PROFILE_CLASS, UNION_SUFFIX, Resource
from headrace.schemas.types import TYPE_KEY

if TYPE_CHECKING:
    from headrace.schemas.library import Library

IDENTITY_MAP_GROUP = "https://ns.adobe.com/xdm/context/identitymap"
SEGMENTATION_GROUP = "https://ns.adobe.com/xdm/context/profile-segmentation"


def union_fields(library: "Library", class_resource: Resource) -> dict[str, Any]:
    """Return the composed union of a class, with the fields that every union has."""
    class_id = class_resource.id
    members = library.members(class_id)
    form = joined([library.full_form(class_resource), *map(library.full_form, members)], [class_resource, *members])
    form["properties"] = {**form["properties"], **_automatic_fields(library, class_id, form["properties"])}
    return {
        "$id": class_id + UNION_SUFFIX,
        "meta:altId": class_resource.alt_id + UNION_SUFFIX,
        "title": f"Union object for {class_resource.title}",
        "meta:class": class_id,
        "meta:extends": list(dict.fromkeys([class_id, *(item for member in members for item in library.extends(member))])),
        **form,
    }


def joined(forms: Iterable[Mapping[str, Any]], owners: Iterable[Resource]) -> dict[str, Any]:
    """Return one form with the fields of all; where constraints differ the wider one stays.

    Raises:
        MergeConflict: Two forms give a path different types.
    """
    result: dict[str, Any] = {"type": "object", TYPE_KEY: "object", "properties": {}}
    before: list[str] = []
    for form, owner in zip(forms, owners, strict=True):
        part = {"properties": form.get("properties", {})}
        try:
            result = merged(result, part, Strictness.WIDE)
        except PathConflict as conflict:
            raise _conflict_of(conflict, owner, before) from conflict
        before.append(owner.title or owner.id)
    return result


def _conflict_of(conflict: PathConflict, owner: Resource, before: list[str]) -> MergeConflict:
    path = "/" + "/".join(conflict.path)
    others = ", ".join(f"'{name}'" for name in before)
    return MergeConflict(
        f"Merge Schema Error: '{owner.title}' defines the path '{path}' with the type '{conflict.second}', but the union of"
        f" {others} has the type '{conflict.first}' there.",
        path=path,
        hint="Schemas of one union must agree on the type of a path.",
    )


def _automatic_fields(library: "Library", class_id: str, present: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for group, name in ((IDENTITY_MAP_GROUP, "identityMap"), (SEGMENTATION_GROUP, "segmentMembership")):
        resource = library.by_id(group)
        if resource is not None and name not in present:
            fields.update(selected(library.full_form(resource), [f"/{name}"])["properties"])
    if class_id == PROFILE_CLASS:
        fields["timeSeriesEvents"] = {"type": "array", TYPE_KEY: "array", "items": _events(library)}
    return fields


def _events(library: "Library") -> dict[str, Any]:
    event = library.union_form(EVENT_CLASS)
    return {"type": "object", TYPE_KEY: "object", "properties": event["properties"]}
