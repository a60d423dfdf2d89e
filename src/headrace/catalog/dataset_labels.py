"""Data usage labels of datasets and of their fields. Source: Dataset Service, "labels"."""

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headrace.catalog import dataset_store as store
from headrace.catalog.errors import (
    DatasetUnknown,
    LabelsExist,
    LabelsInvalid,
    LabelsMissing,
    LabelsOutdated,
    LabelsVersionMissing,
)
from headrace.clock import Clock
from headrace.model import Sandbox
from headrace.schemas import SchemaRegistry
from headrace.storage.control import ControlStore

LABELS_MEMBER = "usageLabels"
"""Member of a dataset's stored body; no part of the dataset's own wire form."""

_LABEL = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?")
_MOST_LABELS = 300


class DatasetLabels(msgspec.Struct, frozen=True):
    """The labels of one dataset.

    Attributes:
        labels: Labels of the dataset as a whole.
        optional_labels: Labels of fields, ``{"option": {"id", "contentType", "schemaPath"}, "labels"}``.
        etag: Changes with every write.
    """

    labels: list[str]
    optional_labels: list[dict[str, Any]]
    etag: str


class LabelBook:
    """Reads and writes the labels of datasets; safe between threads."""

    def __init__(self, control: ControlStore, clock: Clock, schemas: SchemaRegistry) -> None:
        """Open the labels.

        Args:
            control: Where datasets are stored.
            clock: Stamps changes.
            schemas: Knows the fields that can be labelled.
        """
        self._control = control
        self._clock = clock
        self._schemas = schemas

    def labels(self, sandbox: Sandbox, dataset_id: str) -> DatasetLabels:
        """Return the labels of a dataset.

        Raises:
            DatasetUnknown: The sandbox has no such dataset.
            LabelsMissing: The dataset has no labels.
        """
        with self._control.read() as connection:
            row = store.row(connection, sandbox.number, dataset_id)
        found = _labels_in(row, dataset_id)
        if found is None:
            raise LabelsMissing(dataset_id)
        return found

    def create(self, sandbox: Sandbox, dataset_id: str, body: Mapping[str, Any]) -> DatasetLabels:
        """Label a dataset that has no labels.

        Raises:
            DatasetUnknown: The sandbox has no such dataset.
            LabelsExist: It has labels.
            LabelsInvalid: A member of the body is not acceptable.
        """

        def check(present: DatasetLabels | None) -> None:
            if present is not None:
                raise LabelsExist(f"Dataset {dataset_id} has labels already.", hint="Replace them by PUT with If-Match.")

        return self._write(sandbox, dataset_id, body, check)

    def replace(self, sandbox: Sandbox, dataset_id: str, body: Mapping[str, Any], if_match: str) -> DatasetLabels:
        """Replace all labels of a dataset.

        Args:
            sandbox: The sandbox.
            dataset_id: The dataset.
            body: ``labels`` and ``optionalLabels``.
            if_match: The etag that the caller has read.

        Raises:
            DatasetUnknown: The sandbox has no such dataset.
            LabelsMissing: It has no labels.
            LabelsVersionMissing: No etag is given.
            LabelsOutdated: The labels have another etag.
            LabelsInvalid: A member of the body is not acceptable.
        """
        return self._write(sandbox, dataset_id, body, _same_version(dataset_id, if_match))

    def delete(self, sandbox: Sandbox, dataset_id: str, if_match: str) -> None:
        """Remove all labels of a dataset; refusals are those of `replace`."""
        self._write(sandbox, dataset_id, None, _same_version(dataset_id, if_match))

    def _write(
        self,
        sandbox: Sandbox,
        dataset_id: str,
        body: Mapping[str, Any] | None,
        check: Callable[[DatasetLabels | None], None],
    ) -> DatasetLabels:
        with self._control.write() as connection:
            row = store.row(connection, sandbox.number, dataset_id)
            check(_labels_in(row, dataset_id))
            if row is None:
                raise DatasetUnknown(dataset_id)
            stored = {name: value for name, value in row["body"].items() if name != LABELS_MEMBER}
            made = DatasetLabels([], [], secrets.token_hex(8))
            if body is not None:
                given = self._checked(sandbox, row["schema_id"], body)
                made = DatasetLabels(given["labels"], given["optionalLabels"], made.etag)
                stored[LABELS_MEMBER] = {**given, "etag": made.etag, "updated": self._clock.now_ms()}
            store.change(connection, row["number"], body=stored)
        return made

    def _checked(self, sandbox: Sandbox, schema_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        options = body.get("optionalLabels", [])
        if not isinstance(options, list):
            raise LabelsInvalid("'optionalLabels' is a list of objects.", path="/optionalLabels")
        form = self._schemas.full_form(sandbox, schema_id) if options else {}
        fields = [_field_labels(option, f"/optionalLabels/{index}", schema_id, form) for index, option in enumerate(options)]
        return {"labels": _label_list(body.get("labels", []), "/labels"), "optionalLabels": fields}


def _labels_in(row: Mapping[str, Any] | None, dataset_id: str) -> DatasetLabels | None:
    if row is None:
        raise DatasetUnknown(dataset_id)
    found = row["body"].get(LABELS_MEMBER)
    return DatasetLabels(found["labels"], found["optionalLabels"], found["etag"]) if found else None


def _same_version(dataset_id: str, if_match: str) -> Callable[[DatasetLabels | None], None]:
    def check(present: DatasetLabels | None) -> None:
        if present is None:
            raise LabelsMissing(dataset_id)
        if not if_match:
            raise LabelsVersionMissing("The header If-Match is required.", path="If-Match", hint="Send the etag of the GET.")
        if if_match not in ("*", present.etag):
            raise LabelsOutdated(f"The labels of dataset {dataset_id} have changed since they were read.", path="If-Match")

    return check


def _label_list(given: Any, path: str) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(label, str) for label in given):
        raise LabelsInvalid("Labels are a list of names such as 'C1'.", path=path)
    wrong = next((label for label in given if not _LABEL.fullmatch(label)), None)
    if wrong is not None:
        raise LabelsInvalid(f"'{wrong}' is no name of a label.", path=path, hint="Use letters, digits, '_', '-' and '.'.")
    if len(given) > _MOST_LABELS:
        raise LabelsInvalid(f"There are more than {_MOST_LABELS} labels.", path=path)
    return list(dict.fromkeys(given))


def _field_labels(given: Any, path: str, schema_id: str, form: Mapping[str, Any]) -> dict[str, Any]:
    option = given.get("option") if isinstance(given, Mapping) else None
    if not isinstance(option, Mapping):
        raise LabelsInvalid("A labelled field has an 'option' that names it.", path=f"{path}/option")
    if option.get("id") != schema_id:
        raise LabelsInvalid(f"'option.id' is the dataset's schema, '{schema_id}'.", path=f"{path}/option/id")
    place = option.get("schemaPath")
    if not isinstance(place, str) or not _has_field(form, place):
        raise LabelsInvalid(
            f"The schema has nothing at '{place}'.",
            path=f"{path}/option/schemaPath",
            hint="Write the path with its 'properties' segments, '/properties/person/properties/name'.",
        )
    return {"option": dict(option), "labels": _label_list(given.get("labels", []), f"{path}/labels")}


def _has_field(form: Mapping[str, Any], pointer: str) -> bool:
    node: Any = form
    for segment in pointer.removeprefix("/").split("/"):
        name = segment.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, Mapping) or name not in node:
            return False
        node = node[name]
    return pointer.startswith("/") and isinstance(node, Mapping) and node is not form
