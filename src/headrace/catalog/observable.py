"""The observable schema of a dataset: of its schema, only the fields that have received data."""

from collections.abc import Iterable, Mapping
from typing import Any

Tree = dict[str, "Tree"]


def observable_schema(form: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Return the part of a schema's composed form that holds some fields.

    Args:
        form: The composed form.
        paths: Dotted paths of fields; arrays are walked without a mark.

    Returns:
        A JSON schema with ``$id``, ``title``, ``type`` and ``properties``; empty when no path is given.
    """
    tree: Tree = {}
    for path in paths:
        place = tree
        for part in path.split("."):
            place = place.setdefault(part, {})
    if not tree:
        return {}
    head = {name: form[name] for name in ("$id", "title", "meta:altId", "meta:class") if name in form}
    return {**head, "type": "object", "properties": _pruned(form.get("properties", {}), tree)}


def _pruned(properties: Mapping[str, Any], tree: Tree) -> dict[str, Any]:
    return {name: _field(properties[name], below) for name, below in tree.items() if name in properties}


def _field(definition: Mapping[str, Any], below: Tree) -> dict[str, Any]:
    if not below:
        return dict(definition)
    if "properties" in definition:
        return {**definition, "properties": _pruned(definition["properties"], below)}
    items = definition.get("items")
    if isinstance(items, Mapping):
        return {**definition, "items": _field(items, below)}
    return dict(definition)  # a map: its keys are data, not fields
