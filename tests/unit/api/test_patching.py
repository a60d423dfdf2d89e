from typing import Any

import pytest

from headrace.api.patching import (
    PatchInapplicable,
    PatchMalformed,
    PatchTestFailed,
    apply_patch,
    operations_of,
)


@pytest.mark.parametrize(
    "body",
    [
        [{"op": "REPLACE", "path": "/a", "value": 2}],
        {"op": "replace", "path": "a", "value": 2},
        {"operations": [{"op": "Replace", "path": "/a", "value": 2}]},
    ],
)
def test_patch_comes_in_three_forms(body: Any) -> None:
    assert apply_patch({"a": 1}, body) == {"a": 2}


def test_document_itself_is_not_changed() -> None:
    document = {"a": {"b": 1}}
    assert apply_patch(document, [{"op": "remove", "path": "/a/b"}]) == {"a": {}}
    assert document == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], "/"),
        ("text", "/"),
        ([5], "/0"),
        ([{"op": "grow", "path": "/a"}], "/0/op"),
        ([{"op": "add", "path": "/a", "value": 1}, {"op": "add", "value": 1}], "/1/path"),
        ([{"op": "add", "path": "/a"}], "/0/value"),
    ],
)
def test_what_is_no_patch_is_named(body: Any, path: str) -> None:
    with pytest.raises(PatchMalformed) as caught:
        operations_of(body)
    assert caught.value.path == path


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "add", "path": "/a/b/c", "value": 1},
        {"op": "add", "path": "/list/x", "value": 1},
        {"op": "move", "path": "/a", "from": "/none"},
        {"op": "move", "path": "/a"},
        {"op": "add", "path": "/~5", "value": 1},
    ],
)
def test_operation_that_does_not_fit_names_its_path(operation: dict[str, Any]) -> None:
    with pytest.raises(PatchInapplicable) as caught:
        apply_patch({"a": 1, "list": []}, [operation])
    assert caught.value.path == operation["path"]


def test_failed_test_is_a_conflict() -> None:
    with pytest.raises(PatchTestFailed):
        apply_patch({"a": 1}, [{"op": "test", "path": "/a", "value": 2}])


def test_missing_parents_are_made_when_asked_for() -> None:
    patch = [{"op": "replace", "path": "/tags/adobe~1x", "value": ["a"]}]
    assert apply_patch({}, patch, with_parents=True) == {"tags": {"adobe/x": ["a"]}}
