"""Validation of one record against a schema, as strict as streaming: nothing is converted, unknown keys and nulls are refused.

The happy path is one call into a compiled validator. Only a refused record is looked at a second time, to say why; codes are
those of the platform (``DCVS-…``) and texts follow the wording of its validator.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import jsonschema_rs
import msgspec

from headrace.schemas.descriptor import IdentityDescriptor
from headrace.schemas.strict import PATTERN_OF_FORMAT, forbid_empty, require_paths, strict_schema

MOST_VIOLATIONS = 5
PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000)
"""How patterns are matched: in linear time; those with look-around or back references in at most half a millisecond."""

_MOST_SHOWN = 200  # characters of a value, a name or a pointer in a text

_CODES = {
    "type": "DCVS-1104-400",
    "null": "DCVS-1101-400",
    "format": "DCVS-1105-400",
    "enum": "DCVS-1106-400",
    "required": "DCVS-1111-400",
    "additionalProperties": "DCVS-1901-400",
    "pattern": "DCVS-1902-400",
    "minLength": "DCVS-1902-400",
    "maxLength": "DCVS-1902-400",
}
_CODE_OF_OTHERS = "DCVS-1903-400"

_TYPE_NAMES = {
    "string": "String",
    "number": "Number",
    "integer": "Integer",
    "boolean": "Boolean",
    "array": "JSONArray",
    "object": "JSONObject",
}
_DATE_TIME_FORMS = (
    "[yyyy-MM-dd'T'HH:mm:ssZ, yyyy-MM-dd'T'HH:mm:ss.[0-9]{1,9}Z, yyyy-MM-dd'T'HH:mm:ss[+-]HH:mm,"
    " yyyy-MM-dd'T'HH:mm:ss.[0-9]{1,9}[+-]HH:mm]"
)
_FORMAT_OF_PATTERN = {pattern: name for name, pattern in PATTERN_OF_FORMAT.items()}
_FORMAT_TEXTS = {
    "date-time": f"is not a valid date-time. Expected {_DATE_TIME_FORMS}",
    "date": "is not a valid date. Expected [yyyy-MM-dd]",
    "email": "is not a valid email address",
    "ipv4": "is not a valid ipv4 address",
    "ipv6": "is not a valid ipv6 address",
    "uri": "is not a valid URI",
    "uri-reference": "is not a valid URI reference",
}


class Violation(msgspec.Struct, frozen=True):
    """One thing in a record that its schema does not allow.

    Attributes:
        pointer: The place in the record, such as ``#/person/name``; ``#`` for the record itself.
        keyword: The JSON Schema keyword that is violated.
        code: Stable code, such as ``DCVS-1104-400``.
        message: What was expected and what was found.
        schema_location: The place in the schema, such as ``#/properties/person``.
    """

    pointer: str
    keyword: str
    code: str
    message: str
    schema_location: str


class RecordValidator:
    """Checks records of one schema; safe to share between threads."""

    def __init__(
        self, form: Mapping[str, Any], identities: Sequence[IdentityDescriptor] = (), *, closes_objects: bool = True
    ) -> None:
        """Compile the validator.

        Args:
            form: Full form of the schema.
            identities: Its identity fields; the primary one is required, none may be an empty text.
            closes_objects: False permits undeclared keys.
        """
        self._schema = strict_schema(form, closes_objects=closes_objects)
        require_paths(self._schema, (identity.path for identity in identities if identity.is_primary))
        for identity in identities:
            forbid_empty(self._schema, identity.path)
        self._validator = jsonschema_rs.Draft4Validator(self._schema, validate_formats=True, pattern_options=PATTERNS)
        self.is_valid: Callable[[Any], bool] = self._validator.is_valid

    def violations(self, record: Any) -> list[Violation]:
        """Return why a record is refused, at most five reasons; empty when it is valid."""
        if self.is_valid(record):
            return []
        try:
            return self._explained(record)
        except ValueError:  # the validator gives up on such depth
            return [_violation("#", "type", "the record is nested too deep", "#")]

    def _explained(self, record: Any) -> list[Violation]:
        errors = self._validator.iter_errors(record)
        return list(islice((violation for error in errors for violation in _violations_of(error)), MOST_VIOLATIONS))


def _violations_of(error: jsonschema_rs.ValidationError) -> Iterator[Violation]:
    kind: Any = error.kind
    keyword = str(error.schema_path[-1])
    pointer = _pointer(error.instance_path)
    location = _pointer(error.schema_path[:-1])
    if keyword == "additionalProperties":
        for name in kind.unexpected:
            yield _violation(pointer, keyword, f"extraneous key [{_cut(name)}] is not permitted", location)
    elif keyword == "required":
        yield _violation(pointer, keyword, f"required key [{_required_name(kind)}] not found", location)
    elif keyword == "pattern" and (name := _FORMAT_OF_PATTERN.get(getattr(kind, "pattern", ""))) and _is_format(error):
        text = f"[{_shown(error.instance)}] {_FORMAT_TEXTS[name]}"
        yield _violation(pointer, "format", text, _pointer(error.schema_path[:-3]))
    else:
        code = _CODES["null"] if keyword == "type" and error.instance is None else None
        yield _violation(pointer, keyword, _text(keyword, kind, error.instance), location, code)


def _is_format(error: jsonschema_rs.ValidationError) -> bool:
    # `strict_schema` keeps the patterns of formats apart from those of the definition: under an index of `allOf`.
    return len(error.schema_path) > 2 and isinstance(error.schema_path[-2], int)


def _violation(pointer: str, keyword: str, message: str, location: str, code: str | None = None) -> Violation:
    return Violation(pointer, keyword, code or _CODES.get(keyword, _CODE_OF_OTHERS), message, location)


def _pointer(path: Sequence[str | int]) -> str:
    return "/".join(["#", *(_cut(str(part)).replace("~", "~0").replace("/", "~1") for part in path)])


def _required_name(kind: Any) -> str:
    return str(kind.property).strip('"')


def _text(keyword: str, kind: Any, value: Any) -> str:
    match keyword:
        case "type":
            expected = _TYPE_NAMES.get(str(kind.types[0]), str(kind.types[0]))
            return f"expected type: {expected}, found: {_type_name(value)}"
        case "enum":
            return f"{_shown(value)} is not a valid enum value"
        case "format":
            return f"[{_shown(value)}] {_FORMAT_TEXTS.get(kind.format, 'is not a valid ' + kind.format)}"
        case "pattern":
            pattern = getattr(kind, "pattern", None)
            if pattern is None:  # given up, see `PATTERNS`
                return f"string [{_shown(value)}] takes too long to match its pattern"
            return f"string [{_shown(value)}] does not match pattern {_cut(pattern)}"
        case "minLength" | "maxLength":
            return f"expected {keyword}: {kind.limit}, actual: {len(value)}"
        case "minItems":
            return f"expected minimum item count: {kind.limit}, found: {len(value)}"
        case "maxItems":
            return f"expected maximum item count: {kind.limit}, found: {len(value)}"
        case "minimum":
            return f"{_shown(value)} is not greater or equal to {kind.limit}"
        case "maximum":
            return f"{_shown(value)} is not less or equal to {kind.limit}"
        case "exclusiveMinimum":
            return f"{_shown(value)} is not greater than {kind.limit}"
        case "exclusiveMaximum":
            return f"{_shown(value)} is not less than {kind.limit}"
        case "uniqueItems":
            return "array items are not unique"
        case "minProperties":
            return f"minimum size: [{kind.limit}], found: [{len(value)}]"
        case "maxProperties":
            return f"maximum size: [{kind.limit}], found: [{len(value)}]"
        case _:
            return f"{_shown(value)} violates {keyword}"


def _type_name(value: Any) -> str:
    match value:
        case None:
            return "Null"
        case bool():
            return "Boolean"
        case int():
            return "Long"
        case float():
            return "Double"
        case str():
            return "String"
        case list() | tuple():
            return "JSONArray"
        case _:
            return "JSONObject"


def _shown(value: Any) -> str:
    return _cut(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
