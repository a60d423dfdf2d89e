import time
from typing import Any

import pytest

from headrace.schemas import IdentityDescriptor, RecordValidator, Violation
from headrace.schemas.types import xdm_type

TEXT = {"type": "string"}
DATE_TIME_FORMS = (
    "[yyyy-MM-dd'T'HH:mm:ssZ, yyyy-MM-dd'T'HH:mm:ss.[0-9]{1,9}Z, yyyy-MM-dd'T'HH:mm:ss[+-]HH:mm,"
    " yyyy-MM-dd'T'HH:mm:ss.[0-9]{1,9}[+-]HH:mm]"
)


def form_of(*required: str, **fields: dict[str, Any]) -> dict[str, Any]:
    properties = {name: {**node, "meta:xdmType": xdm_type(node)} for name, node in fields.items()}
    return {"type": "object", "meta:xdmType": "object", "properties": properties, "required": list(required)}


def only_violation(node: dict[str, Any], value: Any) -> Violation:
    found = RecordValidator(form_of(x=node)).violations({"x": value})
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("node", "value", "keyword", "code", "message"),
    [
        (TEXT, 5, "type", "DCVS-1104-400", "expected type: String, found: Long"),
        (TEXT, 5.5, "type", "DCVS-1104-400", "expected type: String, found: Double"),
        (TEXT, True, "type", "DCVS-1104-400", "expected type: String, found: Boolean"),
        (TEXT, None, "type", "DCVS-1101-400", "expected type: String, found: Null"),
        ({"type": "integer"}, "5", "type", "DCVS-1104-400", "expected type: Integer, found: String"),
        ({"type": "integer"}, 5.0, "type", "DCVS-1104-400", "expected type: Integer, found: Double"),
        ({"type": "number"}, [], "type", "DCVS-1104-400", "expected type: Number, found: JSONArray"),
        ({"type": "boolean"}, {}, "type", "DCVS-1104-400", "expected type: Boolean, found: JSONObject"),
        ({"type": "array", "items": TEXT}, "a", "type", "DCVS-1104-400", "expected type: JSONArray, found: String"),
        ({"type": "object", "properties": {}}, "a", "type", "DCVS-1104-400", "expected type: JSONObject, found: String"),
        ({**TEXT, "enum": ["gold", "blue"]}, "gold2", "enum", "DCVS-1106-400", "gold2 is not a valid enum value"),
        ({**TEXT, "pattern": "^a+$"}, "b", "pattern", "DCVS-1902-400", "string [b] does not match pattern ^a+$"),
        ({**TEXT, "minLength": 3}, "b", "minLength", "DCVS-1902-400", "expected minLength: 3, actual: 1"),
        ({**TEXT, "maxLength": 1}, "bb", "maxLength", "DCVS-1902-400", "expected maxLength: 1, actual: 2"),
        ({"type": "number", "minimum": 10}, 5, "minimum", "DCVS-1903-400", "5 is not greater or equal to 10"),
        ({"type": "number", "maximum": 10}, 11.5, "maximum", "DCVS-1903-400", "11.5 is not less or equal to 10"),
        ({"type": "number", "exclusiveMinimum": 0}, 0, "exclusiveMinimum", "DCVS-1903-400", "0 is not greater than 0"),
        (
            {"type": "array", "items": TEXT, "minItems": 1},
            [],
            "minItems",
            "DCVS-1903-400",
            "expected minimum item count: 1, found: 0",
        ),
        ({**TEXT, "format": "ipv4"}, "1.2.3.400", "format", "DCVS-1105-400", "[1.2.3.400] is not a valid ipv4 address"),
        ({**TEXT, "format": "ipv6"}, "1.2.3.4", "format", "DCVS-1105-400", "[1.2.3.4] is not a valid ipv6 address"),
        ({**TEXT, "format": "email"}, "nobody", "format", "DCVS-1105-400", "[nobody] is not a valid email address"),
        ({**TEXT, "format": "uri"}, "a b", "format", "DCVS-1105-400", "[a b] is not a valid URI"),
        (
            {**TEXT, "format": "date"},
            "2026-02-30",
            "format",
            "DCVS-1105-400",
            "[2026-02-30] is not a valid date. Expected [yyyy-MM-dd]",
        ),
        (
            {**TEXT, "format": "date-time"},
            "2018-00-10T22:07:56Z",
            "format",
            "DCVS-1105-400",
            f"[2018-00-10T22:07:56Z] is not a valid date-time. Expected {DATE_TIME_FORMS}",
        ),
    ],
)
def test_violation_has_the_platforms_code_and_text(
    node: dict[str, Any], value: Any, keyword: str, code: str, message: str
) -> None:
    found = only_violation(node, value)
    assert (found.keyword, found.code, found.message) == (keyword, code, message)
    assert found.pointer == "#/x"
    assert found.schema_location == "#/properties/x"


@pytest.mark.parametrize("text", ["2026-02-14T08:01:09Z", "2026-02-14T08:01:09.123456789Z", "2024-02-29T23:59:59+05:30"])
def test_date_time_with_a_zone_is_valid(text: str) -> None:
    assert RecordValidator(form_of(x={**TEXT, "format": "date-time"})).violations({"x": text}) == []


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-14T08:01:09",
        "2026-02-14 08:01:09Z",
        "2026-02-14T08:01Z",
        "2026-02-14T24:00:00Z",
        "2026-02-14T08:01:60Z",
        "2026-02-14T08:01:09.1234567890Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-02-14T08:01:09z",
        "2026-02-14T08:01:09Z\n",
        "",
    ],
)
def test_other_date_times_are_not(text: str) -> None:
    assert only_violation({**TEXT, "format": "date-time"}, text).keyword == "format"


@pytest.mark.parametrize(
    ("node", "accepted", "refused"),
    [
        ({"type": "integer"}, -(2**31), 2**31),
        ({"type": "integer", "minimum": -128, "maximum": 128}, 127, 128),
        ({"type": "integer", "minimum": -32768, "maximum": 32768}, -32768, 32768),
        ({"type": "integer", "minimum": -9007199254740992, "maximum": 9007199254740992}, 2**53 - 1, 2**53),
        ({"type": "integer", "minimum": 0, "maximum": 10}, 10, 11),
        ({"type": "integer", "minimum": -9007199254740992, "maximum": 9007199254740992}, 0, 2**70),
    ],
)
def test_integers_keep_to_the_range_of_their_type(node: dict[str, Any], accepted: int, refused: int) -> None:
    validator = RecordValidator(form_of(x=node))
    assert validator.violations({"x": accepted}) == []
    assert [item.code for item in validator.violations({"x": refused})] == ["DCVS-1903-400"]


def test_unknown_keys_are_violations_at_every_level_except_maps() -> None:
    inner = form_of(a=TEXT)
    validator = RecordValidator(
        form_of(
            o=inner,
            l={"type": "array", "items": inner},
            m={"type": "object", "additionalProperties": TEXT},
        )
    )
    assert validator.violations({"m": {"anything": "goes", "https://a/b": "too"}}) == []
    found = validator.violations({"z": 1, "o": {"y": 1}, "l": [{}, {"x/1": 1}]})
    assert {(item.pointer, item.message) for item in found} == {
        ("#", "extraneous key [z] is not permitted"),
        ("#/o", "extraneous key [y] is not permitted"),
        ("#/l/1", "extraneous key [x/1] is not permitted"),
    }
    assert {item.code for item in found} == {"DCVS-1901-400"}


def test_missing_required_key_is_named_at_its_object() -> None:
    found = RecordValidator(form_of("a", o={**form_of("b", b=TEXT)}, a=TEXT)).violations({"o": {}})
    assert {(item.pointer, item.message, item.code) for item in found} == {
        ("#", "required key [a] not found", "DCVS-1111-400"),
        ("#/o", "required key [b] not found", "DCVS-1111-400"),
    }


def test_at_most_five_violations_are_told() -> None:
    assert len(RecordValidator(form_of(a=TEXT)).violations({f"k{number}": 1 for number in range(9)})) == 5


def test_empty_text_is_valid_unless_required_or_an_identity() -> None:
    form = form_of("needed", needed=TEXT, free=TEXT, identity=TEXT)
    validator = RecordValidator(form, [IdentityDescriptor(("identity",), "Email", False)])
    assert validator.violations({"needed": "a", "free": ""}) == []
    assert [item.pointer for item in validator.violations({"needed": ""})] == ["#/needed"]
    assert [item.pointer for item in validator.violations({"needed": "a", "identity": ""})] == ["#/identity"]


def test_suggested_values_are_not_enforced_and_defaults_make_up_for_missing_ones() -> None:
    form = form_of("x", x={**TEXT, "meta:enum": {"a": "A"}, "default": "a"})
    assert RecordValidator(form).violations({"x": "other"}) == []
    assert RecordValidator(form).violations({}) == []


def test_record_that_is_no_object_is_a_violation() -> None:
    found = RecordValidator(form_of(a=TEXT)).violations([])
    assert (found[0].pointer, found[0].message) == ("#", "expected type: JSONObject, found: JSONArray")


def test_record_nested_too_deep_is_a_violation() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    assert RecordValidator(form_of(a=TEXT)).violations({"a": deep})


@pytest.mark.parametrize("pattern", ["^(a+)+$", r"(a|a)*\1b", "^(?=(a|aa)+$)b", r"(.*)*(.*)*\1$"])
def test_no_pattern_can_take_long(pattern: str) -> None:
    validator = RecordValidator(form_of(code={"type": "string", "pattern": pattern}))
    begin = time.process_time()
    for length in (30, 1000, 100_000):
        assert {each.keyword for each in validator.violations({"code": "a" * length + "!"})} <= {"pattern"}
    assert time.process_time() - begin < 1


def test_a_pattern_that_is_given_up_is_a_violation() -> None:
    found = only_violation({"type": "string", "pattern": r"(a|a)*\1b"}, "a" * 50)
    assert (found.code, found.message) == ("DCVS-1902-400", f"string [{'a' * 50}] takes too long to match its pattern")


def test_texts_show_no_more_than_the_beginning_of_long_values_and_names() -> None:
    validator = RecordValidator(form_of(code={"type": "string", "pattern": "^b$", "maxLength": 3, "enum": ["b"]}))
    found = validator.violations({"code": "a" * 500_000, "c" * 500_000: 1})
    assert {each.keyword for each in found} == {"pattern", "maxLength", "enum", "additionalProperties"}
    assert all(len(each.message) < 300 for each in found)


def test_a_field_may_have_the_name_of_a_keyword() -> None:
    node = {"type": "array", "items": {"type": "string", "pattern": "^b$"}}
    [found] = RecordValidator(form_of(allOf=node)).violations({"allOf": ["a"]})
    assert (found.keyword, found.pointer) == ("pattern", "#/allOf/0")
