"""The two spellings of field names: standard XDM (``xdm:birthDate``, ``repo:createDate``) and compatibility mode.

Records, Profile, the lake and PQL use compatibility mode alone: ``birthDate``, ``_repo.createDate``. Only names that a schema
declares are converted; keys of maps stay as they are. The standard name of a converted field is kept in ``meta:xdmField``.
"""

from collections.abc import Iterable, Mapping
from typing import Any

_ADOBE = ("https://ns.adobe.com/", "http://ns.adobe.com/")
STANDARD_NAME = "meta:xdmField"


def compatibility_path(name: str) -> tuple[str, ...]:
    """Return where a field of a standard name lies in compatibility mode: one name, or several nested ones."""
    if name.startswith("xdm:"):
        return (name[4:],)
    if name.startswith("@"):
        return ("_" + name[1:],)
    if "://" in name:
        return _path_of_url(name)
    prefix, colon, local = name.partition(":")
    return ("_" + prefix, local) if colon and prefix and local else (name,)


def _path_of_url(name: str) -> tuple[str, ...]:
    for prefix in _ADOBE:
        if name.startswith(prefix):
            first, *rest = name[len(prefix) :].removeprefix("xdm/").strip("/").split("/")
            return ("_" + first, *rest)
    first, *rest = name.partition("://")[2].strip("/").split("/")
    return ("_" + first.replace(".", "_"), *rest)


def compatibility_pointer(pointer: str) -> str:
    """Return a path like ``/xdm:person/xdm:name`` in compatibility spelling."""
    parts = [part for part in _pointer_parts(pointer) if part]
    return "/" + "/".join(name for part in parts for name in compatibility_path(part))


def _pointer_parts(pointer: str) -> list[str]:
    # A key that is a URL holds slashes itself; it can only end the pointer.
    head, marker, tail = pointer.partition("https:")
    return [*head.split("/"), marker + tail] if marker else pointer.split("/")


def to_compatibility(node: Any) -> Any:
    """Return a definition with its declared names in compatibility spelling; one that has it already is returned equal."""
    if isinstance(node, list):
        return [to_compatibility(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    converted = {key: _converted_keyword(key, value) for key, value in node.items() if key not in ("properties", "required")}
    properties: dict[str, Any] = {}
    if isinstance(declared := node.get("properties"), Mapping):
        _rename_properties(declared, properties)
        converted["properties"] = properties
    if isinstance(required := node.get("required"), list):
        converted["required"] = _renamed_required(required, properties)
        if properties and "properties" not in converted:
            converted["properties"] = properties
    return converted


def _converted_keyword(key: str, value: Any) -> Any:
    if key in ("definitions", "patternProperties") and isinstance(value, Mapping):
        return {name: to_compatibility(schema) for name, schema in value.items()}
    if key in ("allOf", "anyOf", "oneOf", "items", "additionalProperties"):
        return to_compatibility(value)
    if key == "meta:refProperty":
        return [compatibility_pointer(item) for item in value] if isinstance(value, list) else compatibility_pointer(str(value))
    return value


def _rename_properties(declared: Mapping[str, Any], into: dict[str, Any]) -> None:
    for name, schema in declared.items():
        *parents, leaf = compatibility_path(name)
        place = _place(into, parents)
        converted = to_compatibility(schema)
        if isinstance(converted, dict) and (parents or leaf != name):
            converted.setdefault(STANDARD_NAME, name)
        present = place.get(leaf)
        place[leaf] = _joined(present, converted) if isinstance(present, dict) and isinstance(converted, dict) else converted


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    joined = {**first, **second}
    if "properties" in first or "properties" in second:
        joined["properties"] = {**first.get("properties", {}), **second.get("properties", {})}
    return joined


def _place(properties: dict[str, Any], parents: Iterable[str]) -> dict[str, Any]:
    for parent in parents:
        node = properties.setdefault(parent, {"type": "object"})
        properties = node.setdefault("properties", {})
    return properties


def _renamed_required(required: list[Any], properties: dict[str, Any]) -> list[Any]:
    names: dict[str, None] = {}
    for name in required:
        first, *rest = compatibility_path(str(name))
        names[first] = None
        parent = first
        place = properties
        for child in rest:
            node = place.setdefault(parent, {"type": "object"})
            node.setdefault("required", [])
            if child not in node["required"]:
                node["required"].append(child)
            place, parent = node.setdefault("properties", {}), child
    return list(names)


def to_standard(node: Any) -> Any:
    """Return a full form with its fields under their standard names; the inverse of `to_compatibility`."""
    if isinstance(node, list):
        return [to_standard(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    converted = {
        key: to_standard(value) if key in ("items", "additionalProperties", "allOf") else value
        for key, value in node.items()
        if key not in ("properties", "required", STANDARD_NAME)
    }
    if isinstance(properties := node.get("properties"), Mapping):
        required: list[str] = []
        converted["properties"] = dict(_standard_fields(properties, set(node.get("required", ())), required))
        if required:
            converted["required"] = required
    elif "required" in node:
        converted["required"] = node["required"]
    return converted


def _standard_fields(properties: Mapping[str, Any], required: set[str], into: list[str]) -> Iterable[tuple[str, Any]]:
    for name, schema in properties.items():
        if _is_made_by_conversion(name, schema):
            yield from _standard_fields(
                schema["properties"], set(schema.get("required", ())) if name in required else set(), into
            )
            continue
        standard = schema.get(STANDARD_NAME, name) if isinstance(schema, Mapping) else name
        if name in required:
            into.append(standard)
        yield standard, to_standard(schema)


def _is_made_by_conversion(name: str, schema: Any) -> bool:
    """Tell whether an object exists only because its fields' standard names have a prefix."""
    if not name.startswith("_") or not isinstance(schema, Mapping) or STANDARD_NAME in schema:
        return False
    fields = schema.get("properties") or {}
    return bool(fields) and all(_is_named_by_prefix(name, child) for child in fields.values())


def _is_named_by_prefix(parent: str, schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return False
    standard = schema.get(STANDARD_NAME, "")
    if standard:
        return compatibility_path(standard)[:1] == (parent,)
    fields = schema.get("properties") or {}
    return bool(fields) and all(_is_named_by_prefix(parent, child) for child in fields.values())
