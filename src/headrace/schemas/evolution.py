"""Which changes of a schema break data in the shape of the version before."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from headrace.schemas.types import TYPE_KEY

Node = Mapping[str, Any]


class Breakage(msgspec.Struct, frozen=True):
    """One part of a change that is refused.

    Attributes:
        path: The field, as ``/a/b``.
        reason: What the change would do to it.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        """Return both as one sentence."""
        return f"{self.path or '/'}: {self.reason}"


def breakages(old: Node, new: Node, path: str = "") -> Iterator[Breakage]:
    """Yield what a change from one full form to another would break; nothing when it only adds and loosens."""
    if old is new:
        return
    if path and old.get(TYPE_KEY) != new.get(TYPE_KEY):
        yield Breakage(path, f"the type '{old.get(TYPE_KEY)}' would become '{new.get(TYPE_KEY)}'")
        return
    yield from _broken_values(old, new, path)
    new_fields = new.get("properties") or {}
    for name, field in (old.get("properties") or {}).items():
        if name not in new_fields:
            yield Breakage(f"{path}/{name}", "the field would be removed")
        else:
            yield from breakages(field, new_fields[name], f"{path}/{name}")
    for keyword in ("items", "additionalProperties"):
        one, other = old.get(keyword), new.get(keyword)
        if isinstance(one, Mapping):
            if isinstance(other, Mapping):
                yield from breakages(one, other, f"{path}/*")
            else:
                yield Breakage(path, f"'{keyword}' would be removed")


def _broken_values(old: Node, new: Node, path: str) -> Iterator[Breakage]:
    if path and old.get("meta:referencedFrom") != new.get("meta:referencedFrom"):
        yield Breakage(path, "the data type would change")
    if old.get("format") != new.get("format") and new.get("format") is not None:
        yield Breakage(path, f"the format would become '{new['format']}'")
    if new.get("pattern") not in (None, old.get("pattern")):
        yield Breakage(path, f"the pattern would become '{new['pattern']}'")
    yield from _narrower_bounds(old, new, path)
    yield from _fewer_values(old, new, path)


def _narrower_bounds(old: Node, new: Node, path: str) -> Iterator[Breakage]:
    for keyword in ("minimum", "exclusiveMinimum", "minLength", "minItems"):
        if (bound := new.get(keyword)) is not None and (old.get(keyword) is None or bound > old[keyword]):
            yield Breakage(path, f"'{keyword}' would become {bound}")
    for keyword in ("maximum", "exclusiveMaximum", "maxLength", "maxItems"):
        if (bound := new.get(keyword)) is not None and (old.get(keyword) is None or bound < old[keyword]):
            yield Breakage(path, f"'{keyword}' would become {bound}")


def _fewer_values(old: Node, new: Node, path: str) -> Iterator[Breakage]:
    values, allowed = old.get("enum"), new.get("enum")
    if allowed is None:
        return
    if values is None:
        yield Breakage(path, "an enum would restrict a field without one")
    elif missing := [value for value in values if value not in allowed]:
        yield Breakage(path, f"the enum value {missing[0]!r} would be removed")
