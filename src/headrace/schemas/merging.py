"""Joining two definitions of the same place: by components of one schema, or by schemas of one union."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from headrace.schemas.spelling import STANDARD_NAME
from headrace.schemas.types import TYPE_KEY, json_type, xdm_type

Node = Mapping[str, Any]

_LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_CONSTRAINTS = ("pattern", "format", *_LOWER_BOUNDS, *_UPPER_BOUNDS)


class Strictness(Enum):
    """What happens when two definitions constrain a place differently."""

    LATER_WINS = "inside one component: the later definition refines the earlier"
    STRICT = "between the components of one schema: refused"
    WIDE = "between the schemas of a union: the wider constraint stays"


class PathConflict(Exception):
    """Two definitions of a path cannot be joined; the caller knows whose they are."""

    def __init__(self, path: tuple[str, ...], what: str, first: Any, second: Any) -> None:
        super().__init__(f"{'/' + '/'.join(path)}: {what} {first} and {second}")
        self.path = path
        self.what = what
        self.first = first
        self.second = second


def merged(first: Node, second: Node, strictness: Strictness, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return one definition that has the fields of both; of texts the later wins.

    Raises:
        PathConflict: Types differ, or constraints do in a strict merge.
    """
    if first is second or not second:
        return dict(first)
    if not first:
        return dict(second)
    _check_types(first, second, strictness, path)
    result = {**first, **second}
    _merge_structure(result, first, second, strictness, path)
    _merge_enums(result, first, second, strictness)
    _merge_constraints(result, first, second, strictness, path)
    if STANDARD_NAME in first:
        result[STANDARD_NAME] = first[STANDARD_NAME]
    if (type_name := xdm_type(result)) is not None:
        result[TYPE_KEY] = type_name
    return result


def _check_types(first: Node, second: Node, strictness: Strictness, path: tuple[str, ...]) -> None:
    one, other = xdm_type(first), xdm_type(second)
    if one is None or other is None or one == other:
        return
    if strictness is Strictness.LATER_WINS and json_type(one) == json_type(other):
        return
    if {one, other} == {"object", "map"} and (_is_bare_object(first) or _is_bare_object(second)):
        return
    raise PathConflict(path, "types", one, other)


def _is_bare_object(node: Node) -> bool:
    return not node.get("properties") and not isinstance(node.get("additionalProperties"), Mapping)


def _merge_structure(result: dict[str, Any], first: Node, second: Node, strictness: Strictness, path: tuple[str, ...]) -> None:
    if "properties" in first and "properties" in second:
        result["properties"] = _merged_properties(first["properties"], second["properties"], strictness, path)
    if "required" in first or "required" in second:
        result["required"] = list(dict.fromkeys([*first.get("required", ()), *second.get("required", ())]))
    for keyword in ("items", "additionalProperties"):
        one, other = first.get(keyword), second.get(keyword)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            result[keyword] = merged(one, other, strictness, (*path, "*"))


def _merged_properties(first: Node, second: Node, strictness: Strictness, path: tuple[str, ...]) -> dict[str, Any]:
    joined = dict(first)
    for name, node in second.items():
        present = joined.get(name)
        if present is None:
            joined[name] = node
        elif present != node:  # most often both came from one component
            joined[name] = merged(present, node, strictness, (*path, name))
    return joined


def _merge_enums(result: dict[str, Any], first: Node, second: Node, strictness: Strictness) -> None:
    one, other = first.get("meta:enum"), second.get("meta:enum")
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        result["meta:enum"] = {**one, **other}
    if "enum" in first and "enum" in second:
        result["enum"] = [*first["enum"], *(value for value in second["enum"] if value not in first["enum"])]
    elif strictness is Strictness.WIDE:
        result.pop("enum", None)
    if strictness is Strictness.WIDE and first.get("const") != second.get("const"):
        result.pop("const", None)


def _merge_constraints(result: dict[str, Any], first: Node, second: Node, strictness: Strictness, path: tuple[str, ...]) -> None:
    for keyword in _CONSTRAINTS:
        one, other = first.get(keyword), second.get(keyword)
        if one == other:
            continue
        if strictness is Strictness.WIDE:
            _widen(result, keyword, one, other)
        elif strictness is Strictness.STRICT and one is not None and other is not None:
            raise PathConflict(path, keyword, one, other)


def _widen(result: dict[str, Any], keyword: str, one: Any, other: Any) -> None:
    if one is None or other is None or keyword in ("pattern", "format"):
        result.pop(keyword, None)
    elif keyword in _LOWER_BOUNDS:
        result[keyword] = min(one, other)
    else:
        result[keyword] = max(one, other)
