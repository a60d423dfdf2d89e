"""The published OpenAPI files as JSON Schemas that answers can be held against."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from jsonschema_rs import Draft4Validator

from tests.conformance.wire.operations import Operation

_PARAMETER = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True)
class Fault:
    """One difference between a body and its schema.

    Attributes:
        place: Where, as a JSON pointer.
        message: What is wrong.
    """

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place or '/'}: {self.message[:200]}"


class SpecSilent(LookupError):
    """The file does not say what is asked."""


class Spec:
    """One OpenAPI 3.0 or Swagger 2 file."""

    def __init__(self, path: Path) -> None:
        self._document: dict[str, Any] = _as_json_schema(yaml.safe_load(path.read_text()))
        self._places = dict(self._operations())

    def statuses(self, operation: Operation) -> set[int]:
        """Return the statuses of success that an operation may answer.

        Raises:
            SpecSilent: The file does not have the operation.
        """
        _, responses = self._responses(operation)
        return {int(status) for status in responses if status.startswith("2")}

    def faults(self, operation: Operation, status: int, body: Any) -> list[Fault]:
        """Return what is wrong with the body of an answer, empty when nothing is.

        Raises:
            SpecSilent: The file gives no schema for it.
        """
        pointer, responses = self._responses(operation)
        response = responses[str(status)]
        for media, content in response.get("content", {}).items():
            if "schema" in content and "json" in media:
                return self.faults_at(f"{pointer}/{status}/content/{_escaped(media)}/schema", body)
        if "schema" in response:
            return self.faults_at(f"{pointer}/{status}/schema", body)
        raise SpecSilent(f"{operation} {status} has no schema")

    def faults_at(self, pointer: str, body: Any) -> list[Fault]:
        """Return how a body differs from the schema at a place of the file."""
        return faults_of({**self._document, "$ref": f"#{pointer}"}, body)

    def _responses(self, operation: Operation) -> tuple[str, Mapping[str, Any]]:
        path = operation.service.spec_prefix + operation.path
        found = self._places.get((_shape(path), operation.method.lower()))
        if found is None:
            raise SpecSilent(f"{operation} is in no file")
        return found

    def _operations(self) -> Iterator[tuple[tuple[str, str], tuple[str, Mapping[str, Any]]]]:
        """Yield shape of the path and method with the pointer to the responses, and these."""
        for template, item in self._document["paths"].items():
            for method, described in item.items():
                if isinstance(described, dict) and "responses" in described:
                    pointer = f"/paths/{_escaped(template)}/{method}/responses"
                    yield (_shape(template), method), (pointer, described["responses"])


@cache
def spec_at(path: Path) -> Spec:
    """Return the file at a path, read once."""
    return Spec(path)


def faults_of(schema: Mapping[str, Any], body: Any) -> list[Fault]:
    """Return how a body differs from a schema, in words."""
    found = Draft4Validator(dict(schema)).iter_errors(body)
    return [Fault("".join(f"/{part}" for part in error.instance_path), error.message) for error in found]


def _shape(template: str) -> str:
    return _PARAMETER.sub("{}", template).rstrip("/") or "/"


def _escaped(text: str) -> str:
    """Return a member's name as a segment of a JSON pointer in a URI."""
    pointer = text.replace("~", "~0").replace("/", "~1")
    return pointer.replace("%", "%25").replace("{", "%7B").replace("}", "%7D").replace(" ", "%20")


def _as_json_schema(node: Any) -> Any:
    """Return a document in which OpenAPI's own words for schemas are JSON Schema's: ``nullable``, a misplaced ``required``."""
    if isinstance(node, list):
        return [_as_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {str(name): _as_json_schema(value) for name, value in node.items() if not _is_misplaced(name, value)}
    if node.get("nullable") is True and isinstance(node.get("type"), str):
        made["type"] = [node["type"], "null"]
        if "enum" in made:
            made["enum"] = [*made["enum"], None]
    return made


def _is_misplaced(name: str, value: Any) -> bool:
    return name in ("required", "example", "examples", "default") and not (name == "required" and isinstance(value, list))
