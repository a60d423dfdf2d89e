"""Reading the public XDM components from a folder of ``*.schema.json`` files.

The folder a file lies in says what it is: ``behaviors``, ``classes`` and ``fieldgroups`` hold those, everything else is a data
type. Files are known by their ``$id``, never by their name, which differs for some.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from headrace.schemas.errors import ImportRefused
from headrace.schemas.references import references
from headrace.schemas.resource import Kind

_KIND_OF_FOLDER: dict[str, Kind] = {"behaviors": "behaviors", "classes": "classes", "fieldgroups": "mixins"}
COMMON_CONTEXT = "https://ns.adobe.com/xdm/common/extensible"


def read_components(folder: Path) -> dict[str, tuple[Kind, dict[str, Any]]]:
    """Return the kind and raw document of every component below ``folder``, by ``$id``, in the order of their paths.

    Raises:
        ImportRefused: A file is no JSON object with an ``$id``, or two files carry the same one.
    """
    found: dict[str, tuple[Kind, dict[str, Any]]] = {}
    for path in sorted(folder.rglob("*.schema.json")):
        document = _document(path)
        identifier = document["$id"]
        if identifier in found:
            raise ImportRefused(f"Two files define '{identifier}'; the second is {path.name}.", path=path.name)
        found[identifier] = (_kind(path.relative_to(folder)), document)
    if not found:
        raise ImportRefused(
            f"No *.schema.json file lies below {folder}.", hint="Name the folder 'components' of the XDM sources."
        )
    return found


def with_dependencies(
    wanted: Iterable[str], components: Mapping[str, tuple[Kind, dict[str, Any]]]
) -> dict[str, tuple[Kind, dict[str, Any]]]:
    """Return the wanted components and everything they refer to, dependencies first."""
    ordered: dict[str, tuple[Kind, dict[str, Any]]] = {}
    visiting: set[str] = set()

    def visit(identifier: str) -> None:
        if identifier in visiting or identifier in ordered:
            return
        if identifier not in components:
            raise ImportRefused(f"No component has the $id '{identifier}'.", path=identifier)
        visiting.add(identifier)
        for reference in dict.fromkeys(references(components[identifier][1])):
            visit(reference)
        ordered[identifier] = components[identifier]

    for identifier in wanted:
        visit(identifier)
    return ordered


def _document(path: Path) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError as error:
        raise ImportRefused(f"{path.name} is not JSON: {error}", path=path.name) from error
    if not isinstance(document, dict) or not isinstance(document.get("$id"), str):
        raise ImportRefused(f"{path.name} has no '$id'.", path=path.name)
    return document


def _kind(path: Path) -> Kind:
    for part in path.parts[:-1]:
        if part in _KIND_OF_FOLDER:
            return _KIND_OF_FOLDER[part]
    return "datatypes"
