"""Identities of a record: from ``identityMap`` and from the fields that identity descriptors name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from headrace.identity.normalise import ECID, LONGEST_BLOCKED, MAX_VALUE_CHARACTERS, fault_of, is_blocked, normalised
from headrace.model import Identity

MAX_IDENTITIES = 20


class Extracted(msgspec.Struct):
    """The identities of one record.

    Attributes:
        identities: Distinct identities, descriptors' first, then the map's in its order; blocked ones are left out.
        primary: The identity that keys the profile fragment; None when the record has no usable one.
        graph_fault: Why the record makes no links; None when it may.
        warnings: What was odd about the record, in words.
    """

    identities: list[Identity] = []
    primary: Identity | None = None
    graph_fault: str | None = None
    warnings: list[str] = []


NamespaceOf = Callable[[str], int | None]


class IdentityExtractor:
    """Extracts the identities of the records of one schema."""

    def __init__(self, descriptors: Sequence[tuple[tuple[str, ...], int, bool]], namespace_of: NamespaceOf) -> None:
        """Prepare the extraction.

        Args:
            descriptors: (path of field names, namespace id, whether it is the primary identity) of each identity field.
            namespace_of: Gives the id of a namespace code as it stands in an ``identityMap``; None when not registered.
        """
        self._fields = [(path, namespace, is_primary) for path, namespace, is_primary in descriptors]
        self._has_primary_field = any(is_primary for _, _, is_primary in descriptors)
        self._namespace_of = namespace_of

    @property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """Paths of the identity fields, beside ``identityMap``."""
        return tuple(path for path, _, _ in self._fields)

    def extract(self, record: Mapping[str, Any]) -> Extracted:
        """Return the identities of ``record``."""
        found = Extracted()
        seen: dict[tuple[int, str], Identity] = {}
        for path, namespace, is_primary in self._fields:
            for value in _values_at(record, path):
                if isinstance(value, dict):  # of a dataset that is not validated, like all that is odd here
                    continue
                identity = _take(found, seen, namespace, str(value))
                if is_primary and found.primary is None:
                    found.primary = identity
        identity_map = record.get("identityMap")
        if isinstance(identity_map, dict):
            self._take_map(identity_map, found, seen)
        found.identities = list(seen.values())
        if len(found.identities) > MAX_IDENTITIES:
            found.graph_fault = f"a record has at most {MAX_IDENTITIES} identities, this one {len(found.identities)}"
        return found

    def _take_map(self, identity_map: Mapping[str, Any], found: Extracted, seen: dict[tuple[int, str], Identity]) -> None:
        flagged: list[Identity | None] = []
        first: Identity | None = None
        is_first_seen = False
        for code, items in identity_map.items():
            namespace = self._namespace_of(code)
            for item in items if isinstance(items, list) else ():
                original = item.get("id") if isinstance(item, dict) else None
                if namespace is None:
                    found.warnings.append(f"namespace '{code}' is not registered")
                    identity = None
                elif not isinstance(original, str):
                    found.warnings.append("an entry of identityMap has no id")
                    identity = None
                else:
                    identity = _take(found, seen, namespace, original)
                if not is_first_seen:
                    first, is_first_seen = identity, True
                if isinstance(item, dict) and item.get("primary"):
                    flagged.append(identity)
        if self._has_primary_field:
            return
        if len(flagged) > 1:
            found.warnings.append("several entries of identityMap are marked primary; the first counts")
        found.primary = flagged[0] if flagged else first


def _take(found: Extracted, seen: dict[tuple[int, str], Identity], namespace: int, original: str) -> Identity | None:
    value = normalised(namespace, original)
    if len(value) <= LONGEST_BLOCKED and is_blocked(value):
        found.warnings.append("an identity value stands for no identity")
        return None
    if namespace == ECID or len(value) > MAX_VALUE_CHARACTERS:
        found.graph_fault = fault_of(namespace, value) or found.graph_fault
    key = (namespace, value)
    identity = seen.get(key)
    if identity is None:
        identity = seen[key] = Identity(namespace, value, "" if value == original else original)
    return identity


def _values_at(node: Any, path: tuple[str, ...]) -> Iterator[Any]:
    for index, name in enumerate(path):
        if isinstance(node, list):
            for item in node:
                yield from _values_at(item, path[index:])
            return
        if not isinstance(node, dict):
            return
        node = node.get(name)
    if isinstance(node, list):
        yield from (item for item in node if item is not None)
    elif node is not None:
        yield node
