"""Which other documents a definition refers to."""

from collections.abc import Iterator, Mapping
from typing import Any


def references(document: Any) -> Iterator[str]:
    """Yield the ``$id`` of every other document that ``document`` refers to, with repeats."""
    if isinstance(document, Mapping):
        reference = document.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            yield reference.partition("#")[0]
        for value in document.values():
            yield from references(value)
    elif isinstance(document, list):
        for value in document:
            yield from references(value)
