"""The body of a resource as clients send it: what of it is stored, and where the tenant's rules apply."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import jsonpatch
import jsonpointer

from headrace.errors import Conflict
from headrace.schemas import rules
from headrace.schemas.errors import BreakingChange, ClassMissing, DefinitionInvalid, FieldGroupIncompatible
from headrace.schemas.library import Library
from headrace.schemas.resource import ADHOC_BEHAVIOR, UNION_TAG, Kind, Resource
from headrace.schemas.spelling import compatibility_path, to_compatibility
from headrace.schemas.types import TYPE_KEY

TAGS = "meta:immutableTags"
ASSIGNED_KEYS = frozenset(
    (
        "$id",
        "$schema",
        "imsOrg",
        "meta:abstract",
        "meta:altId",
        "meta:class",
        "meta:containerId",
        "meta:createdDate",
        "meta:descriptors",
        "meta:extends",
        "meta:extensible",
        "meta:registryMetadata",
        "meta:resourceType",
        "meta:sandboxId",
        "meta:sandboxType",
        "meta:tenantNamespace",
        "meta:xedConverted",
        TYPE_KEY,
        "version",
    )
)
"""Keys of a resource that the registry assigns; what a client sends under them is ignored."""


class PatchTestFailed(Conflict):
    """A ``test`` operation of a patch found another value."""

    code = "schema_patch_test_failed"
    wire_code = "urn:headrace:schema:patch-test-failed"
    wire_title = "Patch test failed"


def stored_body(body: Any) -> dict[str, Any]:
    """Return what of a client's body is stored: no assigned keys, names in compatibility spelling.

    Raises:
        DefinitionInvalid: The body is no object.
    """
    if not isinstance(body, Mapping):
        raise DefinitionInvalid("The body of a resource is a JSON object.", path="/")
    kept = {key: deepcopy(value) for key, value in body.items() if key not in ASSIGNED_KEYS}
    kept.setdefault("type", "object")
    tags = kept.get(TAGS)
    if tags is not None and (not isinstance(tags, list) or any(tag != UNION_TAG for tag in tags)):
        raise DefinitionInvalid(f"'{TAGS}' can only hold '{UNION_TAG}'.", path=f"/{TAGS}")
    rules.check_fields(kept)
    converted: dict[str, Any] = to_compatibility(kept)
    return converted


def patched(shown: Mapping[str, Any], operations: Any) -> dict[str, Any]:
    """Return a resource as it is shown, changed by JSON Patch operations: all of them, or an error.

    Raises:
        DefinitionInvalid: The operations are malformed or do not fit the resource.
        PatchTestFailed: A ``test`` operation found another value.
    """
    if isinstance(operations, Mapping):
        operations = [operations]
    if not isinstance(operations, list) or not operations:
        raise DefinitionInvalid("A patch is an array of operations with 'op' and 'path'.", path="/")
    document = deepcopy(dict(shown))
    for index, operation in enumerate(operations):
        document = _applied(document, _normalised(operation, index, document), index)
    return document


def _normalised(operation: Any, index: int, document: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(operation, Mapping) or not isinstance(operation.get("path"), str):
        raise DefinitionInvalid(f"Operation {index} of the patch needs 'op' and 'path'.", path=f"/{index}")
    changed = {**operation, "op": str(operation.get("op", "")).lower(), "path": _pointer(operation["path"])}
    if isinstance(changed.get("from"), str):
        changed["from"] = _pointer(changed["from"])
    # Two older ways of adding one tag: a path that ends in "-", and an append to a list that may not exist yet.
    if changed["path"] in (f"/{TAGS}-", f"/{TAGS}/-") and changed["op"] == "add":
        value = changed.get("value")
        added = value if isinstance(value, list) else [value]
        changed["path"], changed["value"] = f"/{TAGS}", list(dict.fromkeys([*document.get(TAGS, []), *added]))
    return changed


def _pointer(path: str) -> str:
    parts = (path if path.startswith("/") else "/" + path).split("/")
    renamed: list[str] = []
    for before, part in zip(["", *parts], parts, strict=False):
        renamed.append("/properties/".join(compatibility_path(part)) if before == "properties" else part)
    return "/".join(renamed)


def _applied(document: dict[str, Any], operation: dict[str, Any], index: int) -> dict[str, Any]:
    try:
        changed = jsonpatch.apply_patch(document, [operation], in_place=True)
    except jsonpatch.JsonPatchTestFailed as error:
        raise PatchTestFailed(
            f"Operation {index} found another value at '{operation['path']}'.", path=operation["path"]
        ) from error
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, KeyError, TypeError, IndexError) as error:
        raise DefinitionInvalid(
            f"Operation {index} ({operation['op']} '{operation['path']}') does not fit the resource: {error}",
            path=operation["path"],
        ) from error
    if not isinstance(changed, dict):
        raise DefinitionInvalid(f"Operation {index} would leave no object.", path=operation["path"])
    return changed


def class_of(library: Library, kind: Kind, body: Mapping[str, Any]) -> str:
    """Return the class of a schema after checking what it, or a class, is built on; an empty text for other kinds.

    Raises:
        ClassMissing: A schema has not exactly one class, or a class not exactly one behavior.
        DefinitionInvalid: A schema refers to nothing, or to something that is neither class nor field group.
    """
    if kind not in ("schemas", "classes"):
        return ""
    wanted: Kind = "classes" if kind == "schemas" else "behaviors"
    bases: list[str] = []
    for index, member in enumerate(body.get("allOf", ())):
        reference = member.get("$ref")
        if not isinstance(reference, str) or reference.startswith("#"):
            continue
        target = library.by_id(reference.partition("#")[0])
        if target is None:
            raise DefinitionInvalid(f"There is no resource '{reference}' in this sandbox.", path=f"/allOf/{index}/$ref")
        if target.kind == wanted:
            bases.append(target.id)
        elif kind == "schemas" and target.kind != "mixins":
            raise DefinitionInvalid(
                f"'{reference}' is neither a class nor a field group.", path=f"/allOf/{index}", hint="Put it into a field group."
            )
    if len(bases) != 1:
        noun = "class" if kind == "schemas" else "behavior"
        raise ClassMissing(f"'allOf' must refer to exactly one {noun}; it refers to {len(bases)}.", path="/allOf")
    return bases[0] if kind == "schemas" else ""


def check_groups_fit(library: Library, schema: Resource) -> None:
    """Check that each field group of a schema is meant for its class.

    Raises:
        FieldGroupIncompatible: One is not.
    """
    class_resource = library.resource(schema.class_id)
    accepted = {class_resource.id, *library.extends(class_resource)}
    for index, member in enumerate(schema.body.get("allOf", ())):
        group = library.by_id(str(member.get("$ref", "")).partition("#")[0])
        fits = group.body.get("meta:intendedToExtend") if group is not None and group.kind == "mixins" else None
        if group is not None and fits and accepted.isdisjoint(fits):
            raise FieldGroupIncompatible(
                f"The field group '{group.title}' fits {', '.join(fits)}; the class of the schema is {class_resource.id}.",
                path=f"/allOf/{index}",
                hint="Choose another field group, or extend its 'meta:intendedToExtend'.",
            )


def check_custom_fields(library: Library, resource: Resource, namespace: str) -> None:
    """Check the names and the place of the fields that a resource of the tenant adds.

    Raises:
        FieldNameInvalid: A name is not allowed.
        NamespaceViolated: A field of a class, field group or schema lies outside the tenant's object.
    """
    is_tenant = rules.IsTenant(item.id for item in library.tenant.values() if item.kind == "datatypes")
    own = rules.own_fields(resource, library.composer, is_tenant)
    is_adhoc = resource.kind in ("classes", "schemas") and ADHOC_BEHAVIOR in library.extends(resource)
    if is_adhoc:
        return
    rules.check_names(own, namespace=namespace, is_custom=resource.kind == "datatypes")
    if resource.kind != "datatypes":
        rules.check_namespace(own, namespace=namespace, standard_objects=library.layer.object_paths)


def renamed_adhoc(body: dict[str, Any], identifier: str) -> dict[str, Any]:
    """Return the body of an ad-hoc class with its object ``_adhoc`` named after the class; other bodies as they are."""
    namespace = "_" + identifier.rpartition("/")[2]
    if not any(member.get("$ref") == ADHOC_BEHAVIOR for member in body.get("allOf", ()) if isinstance(member, Mapping)):
        return body
    members = [_renamed_member(member, namespace) for member in body["allOf"]]
    return {**body, "allOf": members, "meta:datasetNamespace": namespace}


def _renamed_member(member: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    properties = member.get("properties")
    if not isinstance(properties, Mapping) or "_adhoc" not in properties:
        return dict(member)
    return {**member, "properties": {namespace if name == "_adhoc" else name: node for name, node in properties.items()}}


def check_tag_stays(old: Resource, new: Resource) -> None:
    """Refuse a change that would take a schema out of its union.

    Raises:
        BreakingChange: It would.
    """
    if old.is_profile_enabled and not new.is_profile_enabled:
        raise BreakingChange(f"'{old.title}' is enabled for Profile; that cannot be undone.", path=f"/{TAGS}")
