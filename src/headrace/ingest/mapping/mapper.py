"""A mapping set that runs: it makes an XDM record from a document of any shape."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from headrace.ingest.mapping.conversion import convert
from headrace.ingest.mapping.errors import TransformFailed
from headrace.ingest.mapping.expression import compile_expression
from headrace.ingest.mapping.functions import Function
from headrace.ingest.mapping.paths import EveryItem, Items, Path, Step, parse_path, put, value_at, without_gaps
from headrace.schemas import Violation

SourceType = Literal["ATTRIBUTE", "EXPRESSION", "STATIC"]
TRANSFORM_ERROR = "MAPPER-3700-400"

Evaluate = Callable[[dict[str, Any]], Any]


class FieldMapping(msgspec.Struct, frozen=True):
    """One line of a mapping set.

    Attributes:
        source_type: How ``source`` is read.
        source: A path of the input, an expression, or the value itself.
        destination: Path in the record.
    """

    source_type: SourceType
    source: str
    destination: str


class _Assignment(msgspec.Struct, frozen=True):
    mapping: FieldMapping
    target: Path
    evaluate: Evaluate
    form: Mapping[str, Any] | None


class Mapper:
    """Applies a mapping set; safe to share between threads."""

    def __init__(self, mappings: list[FieldMapping], form: Mapping[str, Any] | None, functions: Mapping[str, Function]) -> None:
        """Compile a mapping set.

        Args:
            mappings: Its lines.
            form: Full form of the record's schema; None converts nothing.
            functions: What its expressions can call.

        Raises:
            MappingInvalid: A path or an expression cannot be read.
        """
        assignments = [_assignment(mapping, form, functions) for mapping in mappings]
        # A parent first, so that what is mapped below it refines the copy.
        self._assignments = sorted(assignments, key=lambda each: len(each.target))

    def apply(self, source: dict[str, Any]) -> tuple[dict[str, Any], tuple[Violation, ...]]:
        """Return the record of a document, and what could not be mapped; that is left out."""
        record: dict[str, Any] = {}
        warnings: list[Violation] = []
        for each in self._assignments:
            try:
                value = _converted(each.evaluate(source), each)
            except TransformFailed as error:
                warnings.append(_warning(each.mapping, error))
                continue
            if value is not None:
                put(record, each.target, value)
        return without_gaps(record), tuple(warnings)


def _assignment(mapping: FieldMapping, form: Mapping[str, Any] | None, functions: Mapping[str, Function]) -> _Assignment:
    target = parse_path(mapping.destination)
    return _Assignment(mapping, target, _evaluator(mapping, functions), form_at(form, target) if form is not None else None)


def _evaluator(mapping: FieldMapping, functions: Mapping[str, Function]) -> Evaluate:
    source = mapping.source
    if mapping.source_type == "STATIC":
        return lambda _: source
    if mapping.source_type == "EXPRESSION":
        return compile_expression(source, functions)
    path = parse_path(source)
    return lambda document: value_at(document, path)


def _converted(value: Any, assignment: _Assignment) -> Any:
    if isinstance(value, Items):
        if not _has_every(assignment.target):
            return convert(_flat(value), assignment.form)
        return Items(_spread(item, assignment) for item in value)
    return convert(value, assignment.form)


def _spread(value: Any, assignment: _Assignment) -> Any:
    if isinstance(value, Items):
        return Items(_spread(item, assignment) for item in value)
    return convert(value, assignment.form)


def _has_every(path: Path) -> bool:
    return any(isinstance(step, EveryItem) for step in path)


def _flat(values: Items) -> list[Any]:
    found: list[Any] = []
    for value in values:
        found.extend(_flat(value) if isinstance(value, Items) else [value])
    return found


def form_at(form: Mapping[str, Any], path: Path) -> Mapping[str, Any] | None:
    """Return the part of a full form that describes a path, None when the schema has no such field."""
    node: Mapping[str, Any] | None = form
    for step in path:
        node = _form_below(node, step)
        if node is None:
            return None
    return node


def _form_below(node: Mapping[str, Any] | None, step: Step) -> Mapping[str, Any] | None:
    if node is None:
        return None
    if not isinstance(step, str):
        items = node.get("items")
        return items if isinstance(items, Mapping) else None
    found = node.get("properties", {}).get(step)
    if found is None:
        found = node.get("additionalProperties")
    return found if isinstance(found, Mapping) else None


def _warning(mapping: FieldMapping, error: TransformFailed) -> Violation:
    # Clients find these parts by their order.
    text = f"Mapper Transform Error: {error.message} destination path {mapping.destination}. "
    if error.expected:
        text += f"expected data type was: {error.expected}, actual data type was: {error.actual}. "
    text += f"sourceField: {mapping.source} destinationField: {mapping.destination}"
    pointer = "/".join(["#", *mapping.destination.split(".")])
    return Violation(pointer, "mapping", TRANSFORM_ERROR, text, "#")
