"""Paths into a full form: through objects and the items of arrays, and through map values where a caller allows it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from headrace.schemas.spelling import compatibility_pointer

Node = Mapping[str, Any]


def path_of(pointer: str) -> tuple[str, ...]:
    """Return the names of a path such as ``/a/b``, ``/a[*]/b``, ``/a/items/b`` or ``a.b``, in compatibility spelling.

    Segments that only say that an array is entered (``[*]``, ``*``, ``items``) are kept apart from names by `field_at`.
    """
    text = pointer.replace("[*]", "/*").strip()
    if "/" not in text:
        text = text.replace(".", "/")
    return tuple(part for part in compatibility_pointer(text).split("/") if part)


def field_at(tree: Node, path: tuple[str, ...], *, through_maps: bool = False) -> Node | None:
    """Return the definition at a path of names, or None when the full form has no such field."""
    node: Node | None = tree
    for name in path:
        node = _child(node, name, through_maps=through_maps) if node is not None else None
    return node


def names_of(tree: Node, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return a path without the segments that only enter an array."""
    names: list[str] = []
    node: Node | None = tree
    for name in path:
        inner = _item_of(node) if node is not None else None
        is_marker = name == "*" or (name == "items" and node is not None and "items" in node and name not in _fields(inner))
        if not is_marker:
            names.append(name)
        node = _child(node, name, through_maps=True) if node is not None else None
    return tuple(names)


def crosses_array(tree: Node, path: tuple[str, ...]) -> bool:
    """Tell whether a field lies inside an array, or is one."""
    node: Node | None = tree
    for name in path:
        node = _child(node, name, through_maps=True) if node is not None else None
        if node is not None and "items" in node:
            return True
    return False


def _child(node: Node, name: str, *, through_maps: bool) -> Node | None:
    inner = _item_of(node)
    fields = _fields(inner)
    if name in fields:
        child: Node = fields[name]
        return child
    if "items" in node and name in ("*", "items"):
        return inner
    values = inner.get("additionalProperties")
    if through_maps and isinstance(values, Mapping):
        return values
    return None


def _item_of(node: Node) -> Node:
    while isinstance(items := node.get("items"), Mapping):
        node = items
    return node


def _fields(node: Node | None) -> Node:
    fields = node.get("properties") if node is not None else None
    return fields if isinstance(fields, Mapping) else {}


def replaced_at(tree: Node, path: tuple[str, ...], change: Callable[[Node], Node]) -> dict[str, Any]:
    """Return a full form with the field at ``path`` changed; untouched parts are shared, an unknown path changes nothing."""
    if not path:
        return dict(change(tree))
    if isinstance(tree.get("items"), Mapping):
        rest = path[1:] if path[0] == "*" else path
        return {**tree, "items": replaced_at(tree["items"], rest, change)}
    fields = _fields(tree)
    if path[0] not in fields:
        return dict(tree)
    return {**tree, "properties": {**fields, path[0]: replaced_at(fields[path[0]], path[1:], change)}}


def leaves(tree: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Yield each field that has no fields of its own, with its path; arrays and maps are entered with the name ``*``."""
    if fields := _fields(tree):
        for name, node in fields.items():
            yield from leaves(node, (*path, name))
    elif isinstance(items := tree.get("items"), Mapping):
        yield from leaves(items, (*path, "*"))
    elif isinstance(values := tree.get("additionalProperties"), Mapping):
        yield from leaves(values, (*path, "*"))
    elif path:
        yield path, tree


def selected(tree: Node, pointers: list[str]) -> dict[str, Any]:
    """Return a definition that keeps only the fields or subtrees at ``pointers``, with their parents."""
    wanted: dict[str, list[str]] = {}
    for pointer in pointers:
        first, *rest = [part for part in pointer.split("/") if part] or [""]
        wanted.setdefault(first, []).append("/".join(rest))
    if isinstance(tree.get("items"), Mapping):
        return {**tree, "items": selected(tree["items"], pointers)}
    fields = _fields(tree)
    kept = {name: node if "" in wanted[name] else selected(node, wanted[name]) for name, node in fields.items() if name in wanted}
    result = {**tree, "properties": kept}
    if "required" in tree:
        result["required"] = [name for name in tree["required"] if name in kept]
    return result


def object_paths(form: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every object, or array of objects, in a full form."""
    node = form
    while isinstance(items := node.get("items"), Mapping):
        node = items
    fields = node.get("properties") or {}
    if fields and path:
        yield path
    for name, child in fields.items():
        yield from object_paths(child, (*path, name))
