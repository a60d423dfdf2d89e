"""JSON Patch as the platform's clients send it."""

from copy import deepcopy
from typing import Any

import jsonpatch
import jsonpointer

from headrace.errors import Conflict, InvalidInput

_OPERATIONS = frozenset({"add", "replace", "remove", "move", "copy", "test"})


class PatchMalformed(InvalidInput):
    """A patch is not a list of JSON Patch operations."""

    code = "patch_malformed"


class PatchInapplicable(InvalidInput):
    """An operation's path does not exist in the object, or cannot be changed so."""

    code = "patch_inapplicable"


class PatchTestFailed(Conflict):
    """A ``test`` operation found another value."""

    code = "patch_test_failed"


def operations_of(body: Any) -> list[dict[str, Any]]:
    """Return the operations of a patch body: an array, one bare operation, or ``{"operations": […]}``.

    Each has ``op`` in lower case and ``path`` as a JSON Pointer (``/a.b`` and ``a.b`` become ``/a/b``).

    Raises:
        PatchMalformed: The body is no patch.
    """
    if isinstance(body, dict):
        body = body["operations"] if isinstance(body.get("operations"), list) else [body]
    if not isinstance(body, list) or not body:
        raise PatchMalformed("A patch is an array of operations with 'op' and 'path', and has at least one.", path="/")
    return [_operation(item, index) for index, item in enumerate(body)]


def _operation(item: Any, index: int) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise PatchMalformed(f"Operation {index} of the patch is not an object.", path=f"/{index}")
    name = str(item.get("op", "")).lower()
    if name not in _OPERATIONS:
        raise PatchMalformed(
            f"Operation {index} of the patch has op '{item.get('op')}'; use one of {', '.join(sorted(_OPERATIONS))}.",
            path=f"/{index}/op",
        )
    if not isinstance(item.get("path"), str):
        raise PatchMalformed(f"Operation {index} of the patch has no path.", path=f"/{index}/path")
    if name in ("add", "replace", "test") and "value" not in item:
        raise PatchMalformed(f"Operation {index} of the patch ({name}) has no value.", path=f"/{index}/value")
    return {**item, "op": name, "path": item["path"] if item["path"][:1] in ("/", "") else "/" + item["path"]}


def dotted_as_pointer(path: str) -> str:
    """Return ``/identityGraph.type`` as ``/identityGraph/type``; for objects whose member names hold no dots."""
    return path.replace(".", "/")


def apply_patch(document: Any, body: Any, *, with_parents: bool = False) -> Any:
    """Return a changed copy of a document.

    Args:
        document: The object as it is.
        body: A patch as `operations_of` reads it.
        with_parents: Create missing parent objects of an added path, and let ``replace`` add what is missing.

    Raises:
        PatchMalformed: The body is no patch.
        PatchInapplicable: An operation does not fit the document.
        PatchTestFailed: A ``test`` operation found another value.
    """
    changed = deepcopy(document)
    for index, operation in enumerate(operations_of(body)):
        if with_parents and operation["op"] in ("add", "replace"):
            operation = {**operation, "op": "add"}
            _make_parents(changed, operation["path"])
        changed = _applied(changed, operation, index)
    return changed


def _applied(document: Any, operation: dict[str, Any], index: int) -> Any:
    try:
        return jsonpatch.apply_patch(document, [operation], in_place=True)
    except jsonpatch.JsonPatchTestFailed as error:
        raise PatchTestFailed(
            f"Operation {index} of the patch found another value at '{operation['path']}'.", path=operation["path"]
        ) from error
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, KeyError, TypeError, IndexError) as error:
        raise PatchInapplicable(
            f"Operation {index} of the patch ({operation['op']} '{operation['path']}') does not fit the object: {error}.",
            path=operation["path"],
        ) from error


def _make_parents(document: Any, path: str) -> None:
    place = document
    for part in jsonpointer.JsonPointer(path).parts[:-1]:
        if not isinstance(place, dict):
            return
        place = place.setdefault(part, {})
