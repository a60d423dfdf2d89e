"""The platform's names of field types, and which JSON Schema keywords make each."""

from collections.abc import Mapping
from typing import Any

TYPE_KEY = "meta:xdmType"

MACHINE_RANGES: dict[str, tuple[int, int]] = {
    "byte": (-(2**7), 2**7 - 1),
    "short": (-(2**15), 2**15 - 1),
    "int": (-(2**31), 2**31 - 1),
    "long": (-(2**53) + 1, 2**53 - 1),
}
"""What a value of an integer type may be. The bounds that definitions carry are often one off."""

_PUBLISHED_BOUNDS = (("byte", 2**7), ("short", 2**15), ("int", 2**31))
_JSON_TYPE = {"byte": "integer", "short": "integer", "int": "integer", "long": "integer", "date": "string", "date-time": "string"}


def xdm_type(node: Mapping[str, Any]) -> str | None:
    """Return the type name of a field, or None when its keywords do not determine one."""
    json_type = node.get("type")
    if json_type == "string":
        return _type_of_string(node)
    if json_type == "integer":
        return _type_of_integer(node)
    if json_type == "object" or (json_type is None and isinstance(node.get("properties"), Mapping)):
        return _type_of_object(node)
    if json_type in ("number", "boolean", "array"):
        return str(json_type)
    if json_type is None and "items" in node:
        return "array"
    return _type_of_values(node) if json_type is None else None


def json_type(type_name: str) -> str:
    """Return the JSON Schema type behind a type name: ``date-time`` is a string, a ``map`` an object."""
    return "object" if type_name == "map" else _JSON_TYPE.get(type_name, type_name)


def _type_of_string(node: Mapping[str, Any]) -> str:
    text_format = node.get("format")
    return text_format if text_format in ("date", "date-time") else "string"


def _type_of_integer(node: Mapping[str, Any]) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    bounds = [abs(bound) for bound in (low, high) if isinstance(bound, int | float)]
    largest = max(bounds, default=0)
    candidates = _PUBLISHED_BOUNDS if len(bounds) == 2 else _PUBLISHED_BOUNDS[2:]
    return next((name for name, bound in candidates if largest <= bound), "long")


def _type_of_object(node: Mapping[str, Any]) -> str:
    if node.get("properties"):
        return "object"
    return "map" if isinstance(node.get("additionalProperties"), Mapping) or node.get(TYPE_KEY) == "map" else "object"


def _type_of_values(node: Mapping[str, Any]) -> str | None:
    values = node.get("enum") or ([node["const"]] if "const" in node else [])
    if not isinstance(values, list) or not values:
        return None
    kinds = {bool: "boolean", str: "string", int: "int", float: "number"}
    return kinds.get(type(values[0]))
