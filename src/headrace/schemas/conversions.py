"""Conversion of batch rows to the types of a schema; streaming never converts.

Text becomes any scalar, numbers become text or other numbers, whole numbers (epoch milliseconds) become dates. Booleans and
arrays convert to nothing, and a value never loses a fraction or overflows. A null means that the key is absent.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

from headrace.clock import from_ms, iso_millis, parse_iso, to_ms
from headrace.errors import InvalidInput
from headrace.schemas.descriptor import IdentityDescriptor
from headrace.schemas.strict import PATTERN_OF_FORMAT
from headrace.schemas.types import MACHINE_RANGES, TYPE_KEY
from headrace.schemas.validation import RecordValidator, Violation

CONVERSION_FAILED = "INGEST-1902-400"
FIELD_UNKNOWN = "INGEST-1903-400"
CONSTRAINT_VIOLATED = "INGEST-1904-400"
REQUIRED_MISSING = "INGEST-1555-400"

Convert = Callable[[Any, str], Any]

_WHOLE = re.compile(r"[+-]?[0-9]+")
_DAY = re.compile(PATTERN_OF_FORMAT["date"])
_INSTANT = re.compile(PATTERN_OF_FORMAT["date-time"])
_LOOSE_DAY = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}")


class RowError(InvalidInput):
    """A row of a batch that cannot become a record of its schema.

    Attributes:
        error_code: The platform's code: ``INGEST-1902-400`` conversion failed, ``-1903-`` unknown field, ``-1904-`` constraint
            violated, ``-1555-`` required field missing.
        path: Where in the row, as ``/a/0/b``.
    """

    code = "row_invalid"

    def __init__(self, error_code: str, message: str, path: str) -> None:
        super().__init__(message, path=path)
        self.error_code = error_code


class RowConverter:
    """Makes records of one schema from rows; safe to share between threads."""

    def __init__(self, full_form: Mapping[str, Any], identities: Sequence[IdentityDescriptor] = ()) -> None:
        """Compile the converter.

        Args:
            full_form: Full form of the schema.
            identities: Its identity fields; the primary one is required, none may be an empty text.
        """
        self._validator = RecordValidator(full_form, identities)
        self._convert = _converter(full_form)
        self._has_defaults = _has_required_default(full_form)

    def convert(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the record of a row; the row itself when nothing has to change.

        Raises:
            RowError: A value cannot be converted, a field is unknown, a constraint is violated or a required field is missing.
        """
        if not self._has_defaults and self._is_valid(row):
            return row
        record: dict[str, Any] = self._convert(row, "")
        violations = self._validator.violations(record)
        if violations:
            raise _error_of(violations[0])
        return record

    def _is_valid(self, row: dict[str, Any]) -> bool:
        try:
            return self._validator.is_valid(row)
        except (TypeError, ValueError):  # values that JSON lacks, such as dates of a Parquet file
            return False


def _error_of(violation: Violation) -> RowError:
    path = violation.pointer[1:]
    if violation.keyword == "required":
        name = violation.message.partition("[")[2].partition("]")[0]
        return RowError(REQUIRED_MISSING, f"The required field '{path}/{name}' is missing or null.", f"{path}/{name}")
    return RowError(CONSTRAINT_VIOLATED, f"{path or '/'}: {violation.keyword}: {violation.message}", path)


def _converter(form: Mapping[str, Any]) -> Convert:
    type_name = form.get(TYPE_KEY) or form.get("type", "string")
    if type_name in MACHINE_RANGES:
        return _integer_converter(type_name)
    if type_name == "map" or (type_name == "object" and isinstance(form.get("additionalProperties"), Mapping)):
        return _map_converter(form)
    if type_name == "object":
        return _object_converter(form)
    if type_name == "array":
        return _array_converter(form)
    simple = {"number": _to_number, "boolean": _to_boolean, "date": _to_date, "date-time": _to_instant}
    return simple.get(type_name, _to_text)


def _object_converter(form: Mapping[str, Any]) -> Convert:
    if form.get("properties") is None:
        return _to_open_object
    fields = {name: _converter(field) for name, field in form["properties"].items()}
    defaults = _required_defaults(form)

    def convert(value: Any, path: str) -> Any:
        pairs = _pairs(value, "object", path)
        record: dict[str, Any] = {}
        for name, item in pairs:
            if item is None:
                continue
            field = fields.get(name)
            if field is None:
                raise RowError(FIELD_UNKNOWN, f"The schema has no field '{path}/{name}'.", f"{path}/{name}")
            record[name] = field(item, f"{path}/{name}")
        for name, default in defaults.items():
            record.setdefault(name, default)
        return record

    return convert


def _required_defaults(form: Mapping[str, Any]) -> dict[str, Any]:
    properties = form["properties"]
    return {name: properties[name]["default"] for name in form.get("required", ()) if "default" in properties.get(name, {})}


def _has_required_default(form: Mapping[str, Any]) -> bool:
    if form.get("properties") and _required_defaults(form):
        return True
    inner = [*form.get("properties", {}).values(), form.get("items"), form.get("additionalProperties")]
    return any(_has_required_default(node) for node in inner if isinstance(node, Mapping))


def _map_converter(form: Mapping[str, Any]) -> Convert:
    convert_value = _converter(form["additionalProperties"]) if isinstance(form.get("additionalProperties"), Mapping) else None

    def convert(value: Any, path: str) -> Any:
        pairs = _pairs(value, "map", path)
        if convert_value is None:
            return {str(name): item for name, item in pairs if item is not None}
        return {str(name): convert_value(item, f"{path}/{name}") for name, item in pairs if item is not None}

    return convert


def _pairs(value: Any, target: str, path: str) -> Sequence[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, list) and value and all(isinstance(item, tuple) and len(item) == 2 for item in value):
        return value  # a map column as pyarrow gives it
    raise _incompatible(value, target, path)


def _array_converter(form: Mapping[str, Any]) -> Convert:
    convert_item = _converter(form["items"]) if isinstance(form.get("items"), Mapping) else None

    def convert(value: Any, path: str) -> Any:
        if not isinstance(value, list | tuple):
            raise _incompatible(value, "array", path)
        if convert_item is None:
            return [item for item in value if item is not None]
        return [convert_item(item, f"{path}/{index}") for index, item in enumerate(value) if item is not None]

    return convert


def _to_open_object(value: Any, path: str) -> Any:
    return dict(_pairs(value, "object", path))


def _integer_converter(type_name: str) -> Convert:
    low, high = MACHINE_RANGES[type_name]

    def convert(value: Any, path: str) -> Any:
        number = _whole_number(value)
        if number is None:
            raise _incompatible(value, type_name, path)
        if not low <= number <= high:
            raise _incompatible(value, type_name, path, "the value is out of range")
        return number

    return convert


def _whole_number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        text = value.strip()
        if _WHOLE.fullmatch(text):
            return int(text)
        value = _parsed_number(text)
    if isinstance(value, float | Decimal) and isfinite(value) and value == int(value):
        return int(value)
    return None


def _parsed_number(text: str) -> float | None:
    try:
        number = float(text) if "_" not in text else None
    except ValueError:
        return None
    return number if number is not None and isfinite(number) else None


def _to_number(value: Any, path: str) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
        return value
    if isinstance(value, Decimal) and value.is_finite():
        return float(value)
    if isinstance(value, str) and (number := _parsed_number(value.strip())) is not None:
        return number
    raise _incompatible(value, "number", path)


def _to_boolean(value: Any, path: str) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise _incompatible(value, "boolean", path)


def _to_text(value: Any, path: str) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise _incompatible(value, "string", path, "the bytes are no UTF-8") from error
    raise _incompatible(value, "string", path)


def _to_date(value: Any, path: str) -> Any:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        text = value.strip()
        if _DAY.fullmatch(text):
            return text
        if _LOOSE_DAY.fullmatch(text):
            return _parsed_date(text, path)
    if isinstance(value, int) and not isinstance(value, bool):
        return _instant_of_ms(value, "date", path)[:10]
    raise _incompatible(value, "date", path)


def _parsed_date(text: str, path: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise _incompatible(text, "date", path) from error


def _to_instant(value: Any, path: str) -> Any:
    if isinstance(value, datetime):
        return iso_millis(to_ms(value if value.tzinfo else value.replace(tzinfo=UTC)))
    if isinstance(value, str):
        text = value.strip()
        if _INSTANT.fullmatch(text):
            return text
        try:
            return iso_millis(parse_iso(text))
        except (ValueError, OverflowError) as error:
            raise _incompatible(value, "date-time", path) from error
    if isinstance(value, int) and not isinstance(value, bool):
        return _instant_of_ms(value, "date-time", path)
    raise _incompatible(value, "date-time", path)


def _instant_of_ms(value: int, target: str, path: str) -> str:
    try:
        from_ms(value)
    except (ValueError, OverflowError, OSError) as error:
        raise _incompatible(value, target, path, "the value is out of range") from error
    return iso_millis(value)


def _incompatible(value: Any, target: str, path: str, reason: str = "") -> RowError:
    shown = repr(value) if len(repr(value)) <= 100 else repr(value)[:97] + "…"
    because = f": {reason}" if reason else ""
    text = f"TypeCompatibilityException: {shown} of type {_name(value)} at '{path}' cannot become {target}{because}."
    return RowError(CONVERSION_FAILED, text, path)


def _name(value: Any) -> str:
    names = {str: "String", bool: "Boolean", int: "Long", float: "Double", list: "Array", dict: "Object", date: "Date"}
    return names.get(type(value), "DateTime" if isinstance(value, datetime) else type(value).__name__)
