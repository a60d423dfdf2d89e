from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from headrace.schemas.conversions import RowConverter, RowError


def form_of(**fields: Any) -> dict[str, Any]:
    required = [name.removeprefix("must_") for name in fields if name.startswith("must_")]
    properties = {name.removeprefix("must_"): node for name, node in fields.items()}
    return {"type": "object", "meta:xdmType": "object", "properties": properties, "required": required}


TEXT = {"type": "string", "meta:xdmType": "string"}
INT = {"type": "integer", "meta:xdmType": "int"}
BYTE = {"type": "integer", "meta:xdmType": "byte", "minimum": -128, "maximum": 128}
LONG = {"type": "integer", "meta:xdmType": "long"}
NUMBER = {"type": "number", "meta:xdmType": "number"}
TRUTH = {"type": "boolean", "meta:xdmType": "boolean"}
DAY = {"type": "string", "format": "date", "meta:xdmType": "date"}
INSTANT = {"type": "string", "format": "date-time", "meta:xdmType": "date-time"}
TAGS = {"type": "array", "meta:xdmType": "array", "items": TEXT}
COUNTS = {"type": "object", "meta:xdmType": "map", "additionalProperties": INT}


@pytest.mark.parametrize(
    ("node", "given", "expected"),
    [
        (INT, "42", 42),
        (INT, "42.0", 42),
        (INT, 42.0, 42),
        (INT, Decimal("7"), 7),
        (LONG, "9007199254740991", 9007199254740991),
        (NUMBER, "1.5", 1.5),
        (NUMBER, 3, 3),
        (TRUTH, "True", True),
        (TEXT, 5, "5"),
        (TEXT, 5.5, "5.5"),
        (TEXT, b"abc", "abc"),
        (DAY, date(2026, 2, 3), "2026-02-03"),
        (DAY, 1770076800000, "2026-02-03"),
        (INSTANT, 1770076800123, "2026-02-03T00:00:00.123Z"),
        (INSTANT, "2026-02-03T01:00:00", "2026-02-03T01:00:00.000Z"),
        (INSTANT, "2026-02-03T01:00:00+02:00", "2026-02-03T01:00:00+02:00"),
        (INSTANT, datetime(2026, 2, 3, 1, tzinfo=UTC), "2026-02-03T01:00:00.000Z"),
        (COUNTS, {"a": "1"}, {"a": 1}),
        (COUNTS, [("a", "1")], {"a": 1}),
        (TAGS, ["a", None, 5], ["a", "5"]),
    ],
)
def test_value_becomes_the_declared_type(node: dict[str, Any], given: Any, expected: Any) -> None:
    assert RowConverter(form_of(x=node)).convert({"x": given}) == {"x": expected}


@pytest.mark.parametrize(
    ("node", "given"),
    [
        (INT, "42.5"),
        (INT, 2**31),
        (BYTE, 128),
        (INT, True),
        (INT, "abc"),
        (NUMBER, "nan"),
        (TRUTH, 1),
        (TEXT, True),
        (TEXT, ["a"]),
        (DAY, "2026-02-30"),
        (DAY, "2026-02-03T00:00:00Z"),
        (INSTANT, "yesterday"),
        (INSTANT, 1.5),
        (INSTANT, date(2026, 2, 3)),
        (TAGS, "a"),
        (COUNTS, "a"),
    ],
)
def test_value_that_cannot_become_the_type_is_a_row_error(node: dict[str, Any], given: Any) -> None:
    with pytest.raises(RowError, match="TypeCompatibilityException") as caught:
        RowConverter(form_of(x=node)).convert({"x": given})
    assert caught.value.error_code == "INGEST-1902-400"
    assert caught.value.path == "/x"


def test_row_that_fits_is_returned_itself() -> None:
    row = {"x": "a"}
    assert RowConverter(form_of(x=TEXT)).convert(row) is row


def test_null_means_absent_and_a_required_null_is_missing() -> None:
    converter = RowConverter(form_of(x=TEXT, must_y=TEXT))
    assert converter.convert({"x": None, "y": "b"}) == {"y": "b"}
    with pytest.raises(RowError) as caught:
        converter.convert({"x": "a", "y": None})
    assert (caught.value.error_code, caught.value.path) == ("INGEST-1555-400", "/y")


def test_unknown_field_is_named_with_its_path() -> None:
    converter = RowConverter(form_of(a=form_of(x=TEXT)))
    with pytest.raises(RowError) as caught:
        converter.convert({"a": {"z": 1}})
    assert (caught.value.error_code, caught.value.path) == ("INGEST-1903-400", "/a/z")


def test_constraint_is_checked_after_the_conversion() -> None:
    converter = RowConverter(form_of(x={**INT, "maximum": 5}, s={**TEXT, "enum": ["a"]}))
    assert converter.convert({"x": "5"}) == {"x": 5}
    with pytest.raises(RowError, match="maximum") as caught:
        converter.convert({"x": "6"})
    assert caught.value.error_code == "INGEST-1904-400"
    with pytest.raises(RowError, match="enum"):
        converter.convert({"s": "b"})


def test_default_fills_a_missing_required_value() -> None:
    converter = RowConverter(form_of(must_x={**TEXT, "enum": ["a", "b"], "default": "a"}))
    assert converter.convert({}) == {"x": "a"}
    assert converter.convert({"x": "b"}) == {"x": "b"}
