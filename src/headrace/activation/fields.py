"""Fields of the profile that a dataflow may export: looked up in the union schema, with the nearest name when there is none."""

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import msgspec

from headrace.activation.errors import SelectorInvalid
from headrace.schemas.paths import field_at, leaves
from headrace.schemas.types import xdm_type

Step = str | int

_SEGMENT = re.compile(r"(?P<name>(?:\\.|//\.|[^.\[\]\\])+)(?P<indexes>(?:\[(?:\d+|\*)\])*)(?:\.|$)")
_INDEX = re.compile(r"\[(\d+)\]")


class Field(msgspec.Struct, frozen=True):
    """A field of the union schema.

    Attributes:
        path: Names, and indexes where one item of an array is taken.
        type: The platform's type name of the value at the path: ``string``, ``date``, ``array``, ``map``, ``object``…
    """

    path: tuple[Step, ...]
    type: str

    @property
    def is_complex(self) -> bool:
        """Whether the value is an array, a map or an object."""
        return self.type in ("array", "map", "object")


def parse_path(text: str) -> tuple[Step, ...]:
    r"""Return the steps of a dotted path; ``a[0].b`` takes one item, a dot within a name is written ``\.`` or ``//.``.

    Raises:
        ValueError: The text is no path.
    """
    steps: list[Step] = []
    position = 0
    while position < len(text):
        found = _SEGMENT.match(text, position)
        if found is None or "[*]" in found["indexes"]:
            raise ValueError(text)
        steps.append(re.sub(r"\\(.)|//(\.)", lambda part: part[1] or part[2], found["name"]))
        steps += [int(index) for index in _INDEX.findall(found["indexes"])]
        position = found.end()
    if not steps or text.endswith("."):
        raise ValueError(text)
    return tuple(steps)


def find_field(
    form: Mapping[str, Any], text: str, pointer: str, *, event_form: Callable[[], Mapping[str, Any]] | None = None
) -> Field:
    """Return the field that a dotted path of a request names.

    Args:
        form: Union schema of profile records.
        text: The path.
        pointer: JSON pointer of the path in the request, for errors.
        event_form: Gives the union schema of events; only asked to explain why a field is not there.

    Raises:
        SelectorInvalid: The union schema has no such field.
    """
    try:
        path = parse_path(text)
    except ValueError as error:
        raise SelectorInvalid(f"'{text}' is no path of a field.", path=pointer) from error
    node = _node_at(form, path)
    if node is not None:
        return Field(path, xdm_type(node) or "object")
    names = _names(path)
    if event_form is not None and field_at(event_form(), names, through_maps=True) is not None:
        raise SelectorInvalid(f"Field '{text}' belongs to events; only attributes of profiles can be exported.", path=pointer)
    near = nearest_field(form, names)
    raise SelectorInvalid(
        f"The profile's union schema has no field '{text}'.", path=pointer, hint=f"Nearest: '{near}'." if near else None
    )


def nearest_field(form: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """Return the dotted path of the field whose name is most like the path of names, None when none is like it."""
    known = [".".join(part for part in path if part != "*") for path, _ in leaves(form)]
    text = ".".join(names)
    if near := get_close_matches(text, known, n=1, cutoff=0.75):
        return near[0]
    by_last_name = {path.rpartition(".")[2]: path for path in reversed(known)}
    near = get_close_matches(names[-1], list(by_last_name), n=1, cutoff=0.75)
    return by_last_name[near[0]] if near else None


def _names(path: Sequence[Step]) -> tuple[str, ...]:
    return tuple(step for step in path if isinstance(step, str))


def _node_at(form: Mapping[str, Any], path: Sequence[Step]) -> Mapping[str, Any] | None:
    node: Mapping[str, Any] | None = form
    for step in path:
        if node is None:
            return None
        if isinstance(step, int):
            items = node.get("items")
            node = items if isinstance(items, Mapping) else None
        elif "items" in node:
            return None  # a field of every item is not one value; an index picks one
        else:
            node = field_at(node, (step,), through_maps=True)
    return node
