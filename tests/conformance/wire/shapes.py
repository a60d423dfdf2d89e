"""JSON Schemas of answers, written short."""

from collections.abc import Mapping
from typing import Any

JsonSchema = Mapping[str, Any]


def obj(required: tuple[str, ...] = (), /, **properties: JsonSchema) -> JsonSchema:
    return {"type": "object", "required": list(required or properties), "properties": properties}


def keyed(schema: JsonSchema) -> JsonSchema:
    return {"type": "object", "minProperties": 1, "additionalProperties": schema}


def many(items: JsonSchema) -> JsonSchema:
    return {"type": "array", "items": items}


TEXT: JsonSchema = {"type": "string"}
NUMBER: JsonSchema = {"type": "integer"}
TEXTS = many(TEXT)
