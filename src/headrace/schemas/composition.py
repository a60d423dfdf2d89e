"""Composition: from a resource that refers to others to one tree of fields, the full form.

A full form has one ``properties`` tree without ``allOf``, ``$ref`` or ``definitions``, in compatibility spelling. Parts are
shared between full forms and must never be changed.
"""

from collections.abc import Callable, Iterator, Mapping
from threading import local
from typing import Any

from headrace.schemas.errors import DefinitionInvalid, MergeConflict
from headrace.schemas.merging import Node, PathConflict, Strictness, merged
from headrace.schemas.paths import selected
from headrace.schemas.resource import Resource
from headrace.schemas.types import TYPE_KEY, json_type, xdm_type

Find = Callable[[str], Resource | None]

_CONTEXT = "https://ns.adobe.com/xdm/common/extensible"
_STRUCTURE = ("properties", "items", "additionalProperties", "required", "allOf", "$ref", "definitions", TYPE_KEY)
_OF_RESOURCES = (
    "$id",
    "$schema",
    "auditable",
    "examples",
    "meta:abstract",
    "meta:altId",
    "meta:class",
    "meta:containerId",
    "meta:createdDate",
    "meta:descriptionId",
    "meta:extends",
    "meta:extensible",
    "meta:immutableTags",
    "meta:intendedToExtend",
    "meta:license",
    "meta:refProperty",
    "meta:registryMetadata",
    "meta:resourceType",
    "meta:sandboxId",
    "meta:sandboxType",
    "meta:tenantNamespace",
    "meta:titleId",
    "oneOf",
    "anyOf",
    "patternProperties",
    "version",
)
_IGNORED = frozenset((*_STRUCTURE, *_OF_RESOURCES))


class _OpenTargets(local):
    """The targets that a thread is expanding now, outermost first."""

    def __init__(self) -> None:
        self.keys: list[str] = []


class Composer:
    """Expands references; safe between threads. Results are kept as long as it lives, which is as long as no resource changes."""

    def __init__(self, find: Find, parent: "Composer | None" = None) -> None:
        """Make a composer.

        Args:
            find: Returns a resource by its ``$id``.
            parent: Composer of the global container, which then keeps the expansions of global components.
        """
        self._find = find
        self._parent = parent
        self._targets: dict[str, dict[str, Any]] = {}
        self._open = _OpenTargets()

    def fields_of(self, resource: Resource) -> dict[str, Any]:
        """Return the object with all fields of a resource.

        Raises:
            MergeConflict: Two components define a path differently.
            ResourceUnknown: A reference leads nowhere.
            DefinitionInvalid: A reference leads back to itself, or to a definition that its document lacks.
        """
        strictness = Strictness.LATER_WINS if resource.container == "global" else Strictness.STRICT
        root: dict[str, Any] = {"type": "object", "properties": {}}
        for member in self._members(resource):
            node = self.expanded(member, resource)
            part: Node = {key: node[key] for key in ("properties", "required") if key in node}
            try:
                root = merged(root, part, strictness)
            except PathConflict as conflict:
                raise _conflict_of(conflict, resource, member) from conflict
        root[TYPE_KEY] = "object"
        return _with_all_types(root)

    @staticmethod
    def _members(resource: Resource) -> Iterator[Node]:
        body = resource.compatible
        yield from (member for member in body.get("allOf", ()) if isinstance(member, Mapping))
        own: Node = {key: body[key] for key in ("properties", "required") if key in body}
        if own:
            yield own

    def expanded(self, node: Node, base: Resource) -> dict[str, Any]:
        """Return a definition with every reference in it followed; ``base`` is the document that holds it."""
        result: dict[str, Any] = {}
        reference = node.get("$ref")
        if isinstance(reference, str):
            if reference.startswith(_CONTEXT):
                return {}
            result = self._referenced(reference, base)
            if "meta:refProperty" in node:
                pointers = node["meta:refProperty"]
                result = selected(result, pointers if isinstance(pointers, list) else [pointers])
        for member in node.get("allOf", ()):
            if isinstance(member, Mapping):
                result = merged(result, self.expanded(member, base), Strictness.LATER_WINS)
        own = self._own(node, base)
        return merged(result, own, Strictness.LATER_WINS) if result else own

    def _own(self, node: Node, base: Resource) -> dict[str, Any]:
        own = {key: value for key, value in node.items() if key not in _IGNORED and not _is_stray(key, value)}
        if isinstance(properties := node.get("properties"), Mapping):
            own["properties"] = {
                name: self.expanded(field, base) for name, field in properties.items() if isinstance(field, Mapping)
            }
            own.setdefault("type", "object")
        for keyword in ("items", "additionalProperties"):
            value = node.get(keyword)
            if isinstance(value, Mapping):
                own[keyword] = self.expanded(value, base)
            elif isinstance(value, bool):
                own[keyword] = value
        if isinstance(required := node.get("required"), list):
            own["required"] = required
        if node.get(TYPE_KEY) == "map":
            own[TYPE_KEY] = "map"
        if (type_name := xdm_type(own)) is not None:
            own.setdefault("type", json_type(type_name))
            own[TYPE_KEY] = type_name
        return own

    def _referenced(self, reference: str, base: Resource) -> dict[str, Any]:
        identifier, _, fragment = reference.partition("#")
        resource = base if not identifier or identifier == base.id else self._resource(identifier, base)
        node = self._target(resource, fragment)
        if resource is not base and resource.kind == "datatypes":
            return {**node, "meta:referencedFrom": resource.id}
        return node

    def _resource(self, identifier: str, base: Resource) -> Resource:
        resource = self._find(identifier)
        if resource is None:
            raise DefinitionInvalid(
                f"There is no resource '{identifier}'; '{base.title or base.id}' refers to it.", path=identifier
            )
        return resource

    def _target(self, resource: Resource, fragment: str) -> dict[str, Any]:
        if self._parent is not None and resource.container == "global":
            return self._parent._target(resource, fragment)
        key = f"{resource.id}#{fragment}"
        known = self._targets.get(key)
        if known is not None:
            return known
        if key in self._open.keys:
            raise DefinitionInvalid(f"'{resource.id}' refers to itself: {' → '.join([*self._open.keys, key])}.", path=key)
        self._open.keys.append(key)
        try:
            node = self.expanded(_definition(resource, fragment), resource)
        finally:
            self._open.keys.pop()
        if node.get("meta:status") == "stable":
            del node["meta:status"]
        self._targets[key] = node
        return node


def _is_stray(key: str, value: Any) -> bool:
    """Tell whether a key is a field definition that stands where only keywords belong, as some standard components have it."""
    return isinstance(value, Mapping) and not key.startswith("meta:") and key not in ("default", "const")


def _definition(resource: Resource, fragment: str) -> Node:
    node: Any = resource.compatible
    for part in fragment.strip("/").split("/") if fragment.strip("/") else ():
        name = part.replace("~1", "/").replace("~0", "~")
        node = node.get(name) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping):
        raise DefinitionInvalid(f"'{resource.id}' has no '#{fragment}'.", path=f"{resource.id}#{fragment}")
    return node


def _conflict_of(conflict: PathConflict, resource: Resource, member: Node) -> MergeConflict:
    other = member.get("$ref", "its own fields")
    return MergeConflict(
        f"Merge Schema Error: '{resource.title or resource.id}' defines the path '/{'/'.join(conflict.path)}' with the"
        f" {conflict.what} '{conflict.first}', {other} with '{conflict.second}'.",
        path="/" + "/".join(conflict.path),
        hint="Give one of the fields another name, or take out one of the components.",
    )


def _with_all_types(node: dict[str, Any]) -> dict[str, Any]:
    """Return a definition whose fields all have a type; those that no keyword determines are strings."""
    changed: dict[str, Any] = {}
    if TYPE_KEY not in node:
        changed = {"type": node.get("type", "string"), TYPE_KEY: node.get("type", "string")}
    if properties := node.get("properties"):
        fields = {name: _with_all_types(field) for name, field in properties.items()}
        if any(fields[name] is not properties[name] for name in fields):
            changed["properties"] = fields
    for keyword in ("items", "additionalProperties"):
        inner = node.get(keyword)
        if isinstance(inner, dict) and (typed := _with_all_types(inner)) is not inner:
            changed[keyword] = typed
    return {**node, **changed} if changed else node


def extends_of(resource: Resource, find: Find) -> tuple[str, ...]:
    """Return the ``$id`` of everything a class or schema is built on, transitively, in the order of the first visit."""
    found: dict[str, None] = {}

    def visit(document: Resource) -> None:
        for reference in _composed_references(document.body):
            target = find(reference)
            if target is None or reference in found:
                continue
            if target.kind != "datatypes":
                found[reference] = None
            visit(target)
        if document.container == "global":
            declared = document.body.get("meta:extends", ())
            found.update((item, None) for item in declared if isinstance(item, str) and "#" not in item)

    visit(resource)
    return tuple(found)


def _composed_references(body: Node) -> Iterator[str]:
    for member in body.get("allOf", ()):
        reference = member.get("$ref", "") if isinstance(member, Mapping) else ""
        identifier = str(reference).partition("#")[0]
        if identifier and not identifier.startswith(_CONTEXT):
            yield identifier
