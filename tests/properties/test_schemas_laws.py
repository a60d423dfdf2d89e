"""Laws of the schema registry that hold for any definition."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.schemas.conversions import RowConverter, RowError
from headrace.schemas.evolution import breakages
from headrace.schemas.merging import PathConflict, Strictness, merged
from headrace.schemas.spelling import to_compatibility, to_standard
from headrace.schemas.types import xdm_type
from headrace.schemas.validation import RecordValidator

NAMES = st.sampled_from(["a", "b", "c", "d"])
STANDARD_NAMES = st.sampled_from(
    [
        "xdm:name",
        "xdm:other",
        "@id",
        "repo:createDate",
        "repo:modifyDate",
        "schema:latitude",
        "https://ns.adobe.com/experience/mcid",
    ]
)


def typed(node: dict[str, Any]) -> dict[str, Any]:
    name = xdm_type(node)
    return {**node, "meta:xdmType": name} if name else node


leaf = st.one_of(
    st.builds(lambda low: typed({"type": "string", "minLength": low}), st.integers(0, 3)),
    st.builds(lambda values: typed({"type": "string", "enum": values}), st.lists(NAMES, min_size=1, unique=True)),
    st.builds(lambda high: typed({"type": "integer", "minimum": 0, "maximum": high}), st.integers(1, 2**31)),
    st.just(typed({"type": "integer"})),
    st.just(typed({"type": "number"})),
    st.just(typed({"type": "boolean"})),
    st.just(typed({"type": "string", "format": "date-time"})),
    st.just(typed({"type": "string", "format": "date"})),
)


def containers(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        st.builds(lambda fields: typed({"type": "object", "properties": fields}), st.dictionaries(NAMES, inner, min_size=1)),
        st.builds(lambda items: typed({"type": "array", "items": items}), inner),
        st.builds(lambda values: typed({"type": "object", "additionalProperties": values}), inner),
    )


nodes = st.recursive(leaf, containers, max_leaves=8)
forms = st.builds(lambda fields: typed({"type": "object", "properties": fields}), st.dictionaries(NAMES, nodes, min_size=1))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "5", "1.5", "true", "2026-02-03", "2026-02-03T04:05:06Z"]),
)
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)), max_leaves=8
)
rows = st.dictionaries(NAMES, values, max_size=4)


@given(forms)
def test_a_form_never_breaks_itself(form: dict[str, Any]) -> None:
    assert list(breakages(form, form)) == []


@given(forms, forms)
def test_a_merge_keeps_every_field_of_both(one: dict[str, Any], two: dict[str, Any]) -> None:
    try:
        joined = merged(one, two, Strictness.WIDE)
    except PathConflict:
        return
    assert set(joined["properties"]) == set(one["properties"]) | set(two["properties"])
    assert merged(joined, two, Strictness.WIDE) == joined
    assert merged(joined, one, Strictness.WIDE) == joined


@given(forms, forms)
def test_a_wide_merge_has_no_field_that_breaks_a_member(one: dict[str, Any], two: dict[str, Any]) -> None:
    try:
        joined = merged(one, two, Strictness.WIDE)
    except PathConflict:
        return
    assert [item for item in breakages(one, joined) if "type" not in item.reason] == []


@given(forms, rows)
def test_a_record_of_the_old_form_fits_the_new_one_when_nothing_breaks(form: dict[str, Any], row: dict[str, Any]) -> None:
    wider = merged(form, {"properties": {"added": typed({"type": "string"})}}, Strictness.STRICT)
    assert list(breakages(form, wider)) == []
    if RecordValidator(form).violations(row) == []:
        assert RecordValidator(wider).violations(row) == []


@given(forms, rows)
def test_a_converted_row_is_valid_and_converting_it_again_changes_nothing(form: dict[str, Any], row: dict[str, Any]) -> None:
    converter = RowConverter(form)
    try:
        record = converter.convert(row)
    except RowError:
        return
    assert RecordValidator(form).violations(record) == []
    assert converter.convert(record) == record


@given(forms, rows)
def test_violations_are_found_exactly_when_a_record_is_invalid(form: dict[str, Any], row: dict[str, Any]) -> None:
    validator = RecordValidator(form)
    found = validator.violations(row)
    assert (found == []) == validator.is_valid(row)
    assert len(found) <= 5
    assert all(item.pointer.startswith("#") and item.code.startswith("DCVS-") and item.message for item in found)


@given(st.dictionaries(STANDARD_NAMES, leaf, min_size=1), st.data())
def test_spelling_goes_there_and_back(fields: dict[str, Any], data: st.DataObject) -> None:
    required = data.draw(st.lists(st.sampled_from(sorted(fields)), unique=True))
    standard = {"type": "object", "properties": fields, "required": required}
    compatible = to_compatibility(standard)
    assert to_compatibility(compatible) == compatible
    back = to_standard(compatible)
    assert set(back["properties"]) == set(fields)
    assert set(back.get("required", ())) == set(required)
    assert not any(":" in name or name.startswith("@") for name in compatible["properties"])
