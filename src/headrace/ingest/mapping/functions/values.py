"""Functions on objects, maps, arrays and single values."""

import hashlib
import re
import uuid
from typing import Any

import msgspec

from headrace.ingest.mapping.errors import TransformFailed
from headrace.ingest.mapping.functions.base import Library, items, members, text
from headrace.ingest.mapping.operators import compared, equal, key_text, number_of, text_of, truth

LIBRARY = Library()

_is_less = compared(lambda left, right: left < right)


# Objects


@LIBRARY.add("to_object", takes_nulls=True)
def to_object(*pairs: Any) -> dict[str, Any]:
    """Make an object of keys and values in turn."""
    if len(pairs) % 2:
        raise TransformFailed("Keys and values do not pair up.")
    return {key_text(key): value for key, value in zip(pairs[::2], pairs[1::2], strict=True)}


@LIBRARY.add("str_to_object")
def str_to_object(value: Any, value_separator: Any = ":", field_separator: Any = ",") -> dict[str, str]:
    """Make an object of a text such as ``a:1,b:2``."""
    return _fields(value, value_separator, field_separator)


@LIBRARY.add("get_values")
def get_values(value: Any, key: Any, value_separator: Any = None, field_separator: Any = None) -> str | None:
    """Return the value of a key in a text such as ``a:1,b:2``."""
    return _fields(value, value_separator, field_separator).get(text(key))


def _fields(value: Any, value_separator: Any, field_separator: Any) -> dict[str, str]:
    found = {}
    for field in text(value).split(text(field_separator) if field_separator else ","):
        key, separator, part = field.partition(text(value_separator) if value_separator else ":")
        if separator:
            found[key.strip()] = part.strip()
    return found


@LIBRARY.add("arrays_to_object", "arrays_to_objects")
def arrays_to_object(*pairs: Any) -> list[dict[str, Any]]:
    """Zip named arrays to a list of objects; a shorter array leaves its key out."""
    if len(pairs) % 2:
        raise TransformFailed("Keys and arrays do not pair up.")
    columns = [(text(key), items(column)) for key, column in zip(pairs[::2], pairs[1::2], strict=True)]
    longest = max((len(column) for _, column in columns), default=0)
    return [{key: column[row] for key, column in columns if row < len(column)} for row in range(longest)]


@LIBRARY.add("contains_key", "is_set", takes_path=True)
def contains_key(path: Any) -> bool:
    """Tell whether a path is present; the language reads its argument as a path."""
    return path is not None


@LIBRARY.add("is_empty", takes_nulls=True)
def is_empty(value: Any) -> bool:
    """Tell whether a value is null, or has nothing in it."""
    return value is None or (isinstance(value, str | list | dict) and not value)


@LIBRARY.add("size_of", takes_nulls=True)
def size_of(value: Any) -> int:
    """Return the number of items, members or characters; 0 for null."""
    if value is None:
        return 0
    if isinstance(value, str | list | dict):
        return len(value)
    raise TransformFailed("A number has no size.")


@LIBRARY.add("get_keys")
def get_keys(value: Any) -> list[str]:
    """Return the keys of an object."""
    return list(members(value))


@LIBRARY.add("nullify")
def nullify() -> None:
    """Return null on purpose."""


# Maps


@LIBRARY.add("to_map", takes_nulls=True)
def to_map(*pairs: Any) -> dict[str, Any]:
    """Make a map of keys and values in turn."""
    return to_object(*pairs)


@LIBRARY.add("object_to_map")
def object_to_map(first: Any, *rest: Any) -> dict[str, Any]:
    """Make a map of an object, of objects by one of their attributes, or of keys and values in turn."""
    if isinstance(first, dict) and not rest:
        return dict(first)
    if isinstance(first, list) and len(rest) == 1:
        return array_to_map(first, rest[0])
    return to_object(first, *rest)


@LIBRARY.add("array_to_map")
def array_to_map(objects: Any, attribute: Any) -> dict[str, Any]:
    """Make a map of objects by one of their attributes."""
    name = text(attribute)
    return {key_text(each[name]): each for each in items(objects) if isinstance(each, dict) and each.get(name) is not None}


@LIBRARY.add("map_get_values")
def map_get_values(entries: Any, keys: Any) -> Any:
    """Return the value of a key, or the part of the map that a list of keys names."""
    found = members(entries)
    if isinstance(keys, list):
        return {key: found[key] for key in dict.fromkeys(map(key_text, keys)) if key in found}
    return found.get(key_text(keys))


@LIBRARY.add("map_has_keys")
def map_has_keys(entries: Any, keys: Any) -> bool:
    """Tell whether a map has one of the keys."""
    found = members(entries)
    return any(key_text(key) in found for key in (keys if isinstance(keys, list) else [keys]))


@LIBRARY.add("add_to_map")
def add_to_map(*maps: Any) -> dict[str, Any]:
    """Unite maps; the first that has a key wins."""
    found: dict[str, Any] = {}
    for entries in maps:
        if entries is not None:
            found = {**members(entries), **found}
    return found


# Arrays


@LIBRARY.add("coalesce", is_lazy=True)
def coalesce(*values: Any) -> Any:
    """Return the first value that is not null."""
    for value in values:
        found = value()
        if found is not None:
            return found
    return None


@LIBRARY.add("first", takes_nulls=True)
def first(*values: Any) -> Any:
    """Return the first of the arguments, or of one array."""
    found = _spread(values)
    return found[0] if found else None


@LIBRARY.add("last", takes_nulls=True)
def last(*values: Any) -> Any:
    """Return the last of the arguments, or of one array."""
    found = _spread(values)
    return found[-1] if found else None


def _spread(values: tuple[Any, ...]) -> list[Any]:
    return values[0] if len(values) == 1 and isinstance(values[0], list) else list(values)


@LIBRARY.add("add_to_array")
def add_to_array(values: Any, *added: Any) -> list[Any]:
    """Append items to an array."""
    return [*items(values), *added]


@LIBRARY.add("join_arrays")
def join_arrays(values: Any, *others: Any) -> list[Any]:
    """Append arrays to an array."""
    return [*items(values), *(item for other in others if other is not None for item in items(other))]


@LIBRARY.add("to_array")
def to_array(with_nulls: Any, *values: Any) -> list[Any]:
    """Make an array of the arguments."""
    return [value for value in values if value is not None or truth(with_nulls)]


@LIBRARY.add("upsert_array_append", "upsert_array_replace")
def upsert_array(values: Any, *_: Any) -> list[Any]:
    """Return the array itself; how it joins the profile's is the upsert's matter."""
    return items(values)


# Arrays of file exports


@LIBRARY.add("array_to_string")
def array_to_string(separator: Any, values: Any) -> str:
    """Join the items of an array, and of the arrays in it."""
    return text(separator).join(text_of(item) for item in flatten_array(values) if item is not None)


@LIBRARY.add("filterArray", takes_lambda=True)
def filter_array(values: Any, condition: Any) -> list[Any]:
    """Return the items for which a condition is true."""
    return [item for item in items(values) if truth(condition(item))]


@LIBRARY.add("transformArray", takes_lambda=True)
def transform_array(values: Any, change: Any) -> list[Any]:
    """Return what an expression makes of each item."""
    return [change(item) for item in items(values)]


@LIBRARY.add("flattenArray")
def flatten_array(values: Any) -> list[Any]:
    """Return the items of an array, and of the arrays in it, in order."""
    found: list[Any] = []
    for item in items(values):
        found.extend(flatten_array(item) if isinstance(item, list) else [item])
    return found


# Logic and aggregates


@LIBRARY.add("decode", takes_nulls=True)
def decode(key: Any, *cases: Any) -> Any:
    """Return the value whose key is equal, else the default at the end, else null."""
    for index in range(0, len(cases) - 1, 2):
        if equal(key, cases[index]):
            return cases[index + 1]
    return cases[-1] if len(cases) % 2 else None


@LIBRARY.add("iif", is_lazy=True)
def iif(condition: Any, chosen: Any, other: Any) -> Any:
    """Return one of two values; only that one is computed."""
    return chosen() if truth(condition()) else other()


@LIBRARY.add("min", takes_nulls=True)
def least(*values: Any) -> Any:
    """Return the smallest value, leaving out nulls."""
    return _extreme(values, lambda value, best: _is_less(value, best))


@LIBRARY.add("max", takes_nulls=True)
def greatest(*values: Any) -> Any:
    """Return the largest value, leaving out nulls."""
    return _extreme(values, lambda value, best: _is_less(best, value))


def _extreme(values: tuple[Any, ...], is_better: Any) -> Any:
    best = None
    for value in _spread(values):
        if value is not None and (best is None or is_better(value, best)):
            best = value
    return best


# Conversion


@LIBRARY.add("to_bigint", "to_integer")
def to_integer(value: Any) -> int:
    """Return a whole number; a fraction is cut off."""
    number = int(number_of(value))
    if abs(number) >= 2**63:
        raise TransformFailed("The number is too large.")
    return number


@LIBRARY.add("to_decimal", "to_float")
def to_decimal(value: Any) -> float:
    """Return a number with a fraction."""
    return float(number_of(value))


@LIBRARY.add("json_to_object")
def json_to_object(value: Any) -> Any:
    """Return what a JSON text stands for."""
    try:
        return msgspec.json.decode(text(value))
    except msgspec.DecodeError as error:
        raise TransformFailed("The text is no JSON.") from error


# Identifiers


@LIBRARY.add("uuid", "guid")
def new_uuid() -> str:
    """Return a random UUID."""
    return str(uuid.uuid4())


@LIBRARY.add("fpid_to_ecid")
def fpid_to_ecid(value: Any) -> str:
    """Return the 38 digits that stand for a first-party device id."""
    if not re.fullmatch(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text(value)):
        raise TransformFailed("The value is no UUID.")
    digest = hashlib.sha256(text(value).lower().encode()).digest()
    halves = (int.from_bytes(digest[:8], "big") % 10**19, int.from_bytes(digest[8:16], "big") % 10**19)
    return "".join(f"{half:019d}" for half in halves)
