"""The strict JSON Schema of a full form: what one streamed record must satisfy.

It is made for a draft 4 validator, the last draft in which ``1.0`` is no integer. Formats are regular expressions here, so that
no validator's own idea of them matters; they stand in an ``allOf`` entry to be told from patterns of the definition.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from headrace.schemas.types import MACHINE_RANGES, TYPE_KEY

_YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_DAY = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_URI_CHARACTERS = r"(?:[^\x00-\x20\x7f<>\"\\^`%]|%[0-9A-Fa-f]{2})"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"

PATTERN_OF_FORMAT = {
    "date": f"^{_DAY}$",
    "date-time": f"^{_DAY}T{_TIME}$",
    # The platform's examples have addresses without a scheme here, so only the characters are checked.
    "uri": f"^{_URI_CHARACTERS}+$",
    "uri-reference": f"^{_URI_CHARACTERS}*$",
    "email": r"^[^\s@]+@[^\s@]+$",
    "ipv4": f"^(?:{_OCTET}\\.){{3}}{_OCTET}$",
}
NATIVE_FORMATS = frozenset(("ipv6",))
_COPIED = ("enum", "pattern", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties")


def strict_schema(form: Mapping[str, Any], *, closes_objects: bool = True) -> dict[str, Any]:
    """Return the draft 4 schema of a full form.

    Args:
        form: A full form; `additionalProperties` of its maps is kept, every other object is closed.
        closes_objects: False lets objects hold undeclared keys.
    """
    type_name = form.get(TYPE_KEY) or form.get("type", "string")
    if type_name in ("object", "map"):
        schema = _object_schema(form, closes_objects)
    elif type_name == "array":
        schema = _array_schema(form, closes_objects)
    elif type_name in MACHINE_RANGES:
        schema = _integer_schema(form, type_name)
    elif type_name == "number":
        schema = {"type": "number", **_bounds(form)}
    elif type_name == "boolean":
        schema = {"type": "boolean"}
    else:
        schema = _string_schema(form)
    schema.update({key: form[key] for key in _COPIED if key in form})
    if "const" in form and not isinstance(form["const"], list | dict):
        schema["enum"] = [form["const"]]
    return schema


def _object_schema(form: Mapping[str, Any], closes_objects: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    properties = form.get("properties")
    values = form.get("additionalProperties")
    if isinstance(values, Mapping):
        schema["additionalProperties"] = strict_schema(values, closes_objects=closes_objects)
    elif properties is not None and closes_objects:
        schema["additionalProperties"] = False
    if properties:
        schema["properties"] = {name: strict_schema(field, closes_objects=closes_objects) for name, field in properties.items()}
    required = required_names(form)
    if required:
        schema["required"] = required
    for name in required:
        _forbid_empty(schema.get("properties", {}).get(name))
    return schema


def required_names(form: Mapping[str, Any]) -> list[str]:
    """Return the fields of an object that a record must hold; a declared default makes up for a missing value."""
    properties = form.get("properties", {})
    return [name for name in form.get("required", ()) if "default" not in properties.get(name, {})]


def _array_schema(form: Mapping[str, Any], closes_objects: bool) -> dict[str, Any]:
    items = form.get("items")
    schema: dict[str, Any] = {"type": "array"}
    if isinstance(items, Mapping):
        schema["items"] = strict_schema(items, closes_objects=closes_objects)
    return schema


def _integer_schema(form: Mapping[str, Any], type_name: str) -> dict[str, Any]:
    low, high = MACHINE_RANGES[type_name]
    bounds = _bounds(form)
    schema: dict[str, Any] = {"type": "integer", **bounds}
    schema["minimum"] = max(low, bounds.get("minimum", low))
    schema["maximum"] = min(high, bounds.get("maximum", high))
    return schema


def _bounds(form: Mapping[str, Any]) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    for inclusive, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(form.get(inclusive), int | float):
            bounds[inclusive] = form[inclusive]
        limit = form.get(exclusive)
        if isinstance(limit, int | float) and not isinstance(limit, bool):
            bounds[inclusive], bounds[exclusive] = limit, True
    return bounds


def _string_schema(form: Mapping[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    name = form.get("format", "")
    if name in PATTERN_OF_FORMAT:
        schema["allOf"] = [{"pattern": PATTERN_OF_FORMAT[name]}]
    elif name in NATIVE_FORMATS:
        schema["format"] = name
    return schema


def require_paths(schema: dict[str, Any], paths: Iterable[tuple[str, ...]]) -> None:
    """Require the fields at ``paths``, and the objects that hold them, in a strict schema."""
    for path in paths:
        node = schema
        for name in path:
            if name not in node.get("properties", {}):
                break
            required = node.setdefault("required", [])
            if name not in required:
                required.append(name)
            node = node["properties"][name]


def forbid_empty(schema: dict[str, Any], path: tuple[str, ...]) -> None:
    """Refuse an empty text at ``path``, walking the items of arrays."""
    node: dict[str, Any] | None = schema
    for name in path:
        node = _items(node).get("properties", {}).get(name) if node is not None else None
    _forbid_empty(_items(node) if node is not None else None)


def _items(node: dict[str, Any] | None) -> dict[str, Any]:
    while node is not None and isinstance(node.get("items"), dict):
        node = node["items"]
    return node or {}


def _forbid_empty(node: dict[str, Any] | None) -> None:
    if node is not None and node.get("type") == "string" and "enum" not in node:
        node.setdefault("minLength", 1)
