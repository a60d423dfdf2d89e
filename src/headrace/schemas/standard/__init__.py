"""The standard components that ship with the product, in standard spelling; see NOTICE for their source and licence."""

from functools import cache
from importlib import resources
from typing import Any, get_args

import msgspec

from headrace.schemas.resource import Kind, Resource

_SHIPPED_AT_MS = 1_767_225_600_000


@cache
def shipped_components() -> dict[str, Resource]:
    """Return every shipped component by ``$id``; read once a process."""
    components: dict[str, Resource] = {}
    root = resources.files(__package__)
    for kind in get_args(Kind):
        folder = root / kind
        if not folder.is_dir():
            continue
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
            document: dict[str, Any] = msgspec.json.decode(file.read_bytes())
            identifier = document.pop("$id")
            stamp = _SHIPPED_AT_MS + len(components)  # all differ, so that lists can be paged by time
            components[identifier] = Resource(kind, identifier, document, container="global", created_at=stamp, updated_at=stamp)
    return components
