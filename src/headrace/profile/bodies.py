"""Reading records: whole, or only the parts that somebody looks at.

Most fields of an event concern no audience. A decoder that knows which do makes no objects of the others, which takes a third of
the time.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, TypedDict

import msgspec

from headrace.profile.writing import bounded

Read = Callable[[bytes], dict[str, Any]]
Path = tuple[str, ...]

_json = msgspec.json.Decoder()
_msgpack = msgspec.msgpack.Decoder()
# What may stand before a number as ":", digits as "0", the rest as "x": a long number then is a fixed text, found at the speed
# of memory. A regular expression takes longer than the decoding.
_SHAPE = bytes(
    ord("0") if chr(code) in "0123456789" else ord(":") if chr(code) in ":[,-+ \t\r\n" else ord("x") for code in range(256)
)
_LONG_NUMBER = b":" + b"0" * 19
# A consent, an object with a value, is merged whole or not at all.
_ALWAYS_READ = "val"


def read_json(data: bytes) -> dict[str, Any]:
    """Return an entity from its JSON, with numbers that the stores can hold."""
    return _within_bounds(_json.decode(data), data)


@lru_cache(maxsize=256)
def json_reader(paths: frozenset[Path]) -> Read:
    """Return a function like `read_json` that gives only what lies at and below some paths."""
    decoder = msgspec.json.Decoder(_type_of(_tree(paths)))

    def read(data: bytes) -> dict[str, Any]:
        try:
            return _within_bounds(decoder.decode(data), data)
        except msgspec.ValidationError:  # a plain value where the paths have an object
            return read_json(data)

    return read


@lru_cache(maxsize=256)
def fragment_reader(paths: frozenset[Path]) -> Read:
    """Return a function that gives what lies at and below some paths of a stored record, with all that its merging looks at."""
    decoder = msgspec.msgpack.Decoder(_type_of(_tree(paths), _ALWAYS_READ))

    def read(data: bytes) -> dict[str, Any]:
        record: dict[str, Any]
        try:
            record = decoder.decode(data)
        except msgspec.ValidationError:
            record = _msgpack.decode(data)
        return record

    return read


def _within_bounds(body: dict[str, Any], data: bytes) -> dict[str, Any]:
    return bounded(body) if _LONG_NUMBER in data.translate(_SHAPE) else body


_Tree = dict[str, "_Tree"]


def _tree(paths: Iterable[Path]) -> _Tree:
    """Return the paths as nested mappings; an empty one stands for everything below."""
    root: _Tree = {}
    for path in sorted(paths, key=len):
        node = root
        for depth, name in enumerate(path):
            if name in node and not node[name]:
                break  # a shorter path takes it whole
            node = node.setdefault(name, {})
            if depth == len(path) - 1:
                node.clear()
    return root


def _type_of(tree: Mapping[str, _Tree], *always: str) -> Any:
    fields: dict[str, Any] = dict.fromkeys(always, Any)
    for name, below in tree.items():
        fields[name] = _type_of_value(below, *always)
    return TypedDict("Part", fields, total=False)  # type: ignore[operator]  # made of paths known at run time


def _type_of_value(tree: Mapping[str, _Tree], *always: str) -> Any:
    if not tree:
        return Any
    part = _type_of(tree, *always)
    return part | list[part | None] | None  # type: ignore[valid-type]  # likewise
