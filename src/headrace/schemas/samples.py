"""Generated sample records of a schema, in standard spelling."""

from collections.abc import Mapping
from typing import Any

from headrace.schemas.spelling import to_standard
from headrace.schemas.types import TYPE_KEY

_TEXT_OF_FORMAT = {
    "uri": "https://ns.adobe.com/xdm/sample",
    "uri-reference": "/uri-reference",
    "email": "sample@example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
_DEEPEST = 12


def sample_of(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return one record with a placeholder in every field of a full form."""
    record: dict[str, Any] = _sample(to_standard(form), 0)
    return record


def _sample(node: Mapping[str, Any], depth: int) -> Any:
    if "default" in node:
        return node["default"]
    if isinstance(values := node.get("enum"), list) and values:
        return values[0]
    if "const" in node:
        return node["const"]
    return _sample_of_type(node, depth)


def _sample_of_type(node: Mapping[str, Any], depth: int) -> Any:
    type_name = node.get(TYPE_KEY) or node.get("type")
    values = node.get("additionalProperties")
    if type_name in ("object", "map") and isinstance(values, Mapping):
        return {"key": _sample(values, depth + 1)}
    match type_name:
        case "object" | "map":
            fields = node.get("properties", {}) if depth < _DEEPEST else {}
            return {name: _sample(field, depth + 1) for name, field in fields.items()}
        case "array":
            items = node.get("items")
            return [_sample(items, depth + 1)] if isinstance(items, Mapping) else []
        case "boolean":
            return True
        case "number":
            return node.get("minimum", 1.5)
        case "byte" | "short" | "int" | "long":
            return max(node.get("minimum", 1), 1) if node.get("maximum", 1) >= 1 else node.get("minimum", 0)
        case "date":
            return "2026-01-15"
        case "date-time":
            return "2026-01-15T09:30:00Z"
        case _:
            return _text(node)


def _text(node: Mapping[str, Any]) -> str:
    labels = node.get("meta:enum")
    if isinstance(labels, Mapping) and labels:
        return str(next(iter(labels)))
    return _TEXT_OF_FORMAT.get(node.get("format", ""), "string")
