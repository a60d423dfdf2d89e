r"""Paths of mapping sets: ``a.b[0].c``, ``emails[*].name``, ``${First Name}``, ``street\.name``."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from headrace.ingest.mapping.errors import MappingInvalid

_IDENTIFIER = re.compile(r"[^\W\d](?:[\w$]|\\\.)*|\$(?!\{)(?:[\w$]|\\\.)*|_(?:[\w$]|\\\.)*")
_NAME_IN_BRACES = re.compile(r"\$\{([^}]*)\}")
_INDEX = re.compile(r"\[\s*(\d+|\*)\s*\]")
_LONGEST_INDEX = 6


class EveryItem:
    """The step ``[*]``: all items of an array, in order."""

    def __repr__(self) -> str:
        return "[*]"


EVERY = EveryItem()
Step = str | int | EveryItem
Path = tuple[Step, ...]


class Items(list[Any]):
    """What ``[*]`` has found: values that belong to the items of an array one by one."""


class _Gap:
    """An item of an array under construction that nothing was written to."""


_GAP = _Gap()


def parse_path(text: str) -> Path:
    """Return the steps of a path.

    Raises:
        MappingInvalid: The text is no path.
    """
    steps = tuple(_steps(text.strip()))
    if not steps or not isinstance(steps[0], str):
        raise MappingInvalid(f"'{text}' is no path.", hint="Write a.b[0].c; wrap other names as ${First Name}.")
    return steps


def _steps(text: str) -> Iterator[Step]:
    position = 0
    while position < len(text):
        found = _NAME_IN_BRACES.match(text, position) or _IDENTIFIER.match(text, position)
        if found is None:
            raise MappingInvalid(f"'{text}' is no path: a name is expected at character {position + 1}.")
        yield (found[1] if found.re is _NAME_IN_BRACES else found[0]).replace("\\.", ".")
        position = found.end()
        while index := _INDEX.match(text, position):
            if len(index[1]) > _LONGEST_INDEX:
                raise MappingInvalid(f"'{text}' is no path: index {index[1]} is too large.")
            yield EVERY if index[1] == "*" else int(index[1])
            position = index.end()
        if position < len(text):
            if text[position] != "." or position + 1 == len(text):
                raise MappingInvalid(f"'{text}' is no path: a dot is expected at character {position + 1}.")
            position += 1


def value_at(source: Any, path: Sequence[Step]) -> Any:
    """Return what stands at a path, None when nothing does; `Items` when the path has ``[*]``."""
    for index, step in enumerate(path):
        if isinstance(step, EveryItem):
            if not isinstance(source, list):
                return None
            return Items(value_at(item, path[index + 1 :]) for item in source)
        source = _child(source, step)
        if source is None:
            return None
    return source


def is_present(source: Any, path: Sequence[Step]) -> bool:
    """Tell whether a path exists, also when a null stands there."""
    parent = value_at(source, path[:-1])
    last = path[-1]
    if isinstance(last, str):
        return isinstance(parent, dict) and last in parent
    return isinstance(parent, list) and (isinstance(last, EveryItem) or last < len(parent))


def _child(source: Any, step: str | int) -> Any:
    if isinstance(step, str):
        return source.get(step) if isinstance(source, dict) else None
    return source[step] if isinstance(source, list) and step < len(source) else None


def put(target: dict[str, Any], path: Path, value: Any) -> None:
    """Write a value at a path, making objects and arrays on the way; ``[*]`` spreads a list over the items of an array."""
    _put(target, path, value)


def _put(node: Any, path: Sequence[Step], value: Any) -> None:
    step, rest = path[0], path[1:]
    if isinstance(step, EveryItem):
        values = value if isinstance(value, list) else [value]
        for index, item in enumerate(values):
            if item is not None:
                _put(node, (index, *rest), item)
        return
    if isinstance(step, int):
        node.extend([_GAP] * (step + 1 - len(node)))
    if not rest:
        node[step] = list(value) if isinstance(value, Items) else value
        return
    wanted: type = dict if isinstance(rest[0], str) else list
    child = node.get(step) if isinstance(step, str) else node[step]
    if not isinstance(child, wanted):
        child = node[step] = wanted()
    _put(child, rest, value)


def without_gaps(value: Any) -> Any:
    """Return a document whose arrays have closed up over the items that nothing was written to."""
    if isinstance(value, dict):
        return {key: without_gaps(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_gaps(item) for item in value if not isinstance(item, _Gap)]
    return value
