from typing import Any

import pytest

from headrace.clock import ManualClock
from headrace.ingest.mapping import FieldMapping, Mapper, MappingInvalid, field_mappings
from headrace.ingest.mapping.functions import functions_of
from headrace.ingest.mapping.mapper import SourceType
from headrace.ingest.mapping.paths import EVERY, is_present, parse_path, value_at

FUNCTIONS = functions_of(ManualClock(0))


def node(kind: str, **rest: Any) -> dict[str, Any]:
    json_type = {"date": "string", "date-time": "string", "int": "integer", "long": "integer", "map": "object"}.get(kind, kind)
    return {"type": json_type, "meta:xdmType": kind, **rest}


FORM = node(
    "object",
    properties={
        "s": node("string"),
        "n": node("number"),
        "i": node("int"),
        "b": node("boolean"),
        "d": node("date"),
        "t": node("date-time"),
        "tags": node("array", items=node("string")),
        "person": node("object", properties={"first": node("string"), "last": node("string")}),
        "pi": node("array", items=node("object", properties={"names": node("string"), "kind": node("string")})),
        "map": node("map", additionalProperties=node("int")),
    },
)


def apply(source: dict[str, Any], *lines: tuple[str, str] | tuple[str, str, SourceType]) -> tuple[dict[str, Any], list[str]]:
    mappings = [FieldMapping(line[2] if len(line) == 3 else "ATTRIBUTE", line[0], line[1]) for line in lines]
    record, warnings = Mapper(mappings, FORM, FUNCTIONS).apply(source)
    return record, [warning.message for warning in warnings]


@pytest.mark.parametrize(
    ("target", "given", "expected"),
    [
        ("s", 12, "12"),
        ("s", 1.5, "1.5"),
        ("s", True, "true"),
        ("n", "1.5", 1.5),
        ("n", "12", 12),
        ("i", "12", 12),
        ("i", 12.0, 12),
        ("b", "yes", True),
        ("b", "OFF", False),
        ("d", "03/04/2026", "2026-03-04"),
        ("d", "2026-03-04", "2026-03-04"),
        ("d", "20260304", "2026-03-04"),
        ("d", "03042026", "2026-03-04"),
        ("t", "2026-03-04 05:06:07+0100", "2026-03-04T04:06:07.000Z"),
        ("t", "04.3.2026 05:06:07 PM", "2026-03-04T17:06:07.000Z"),
        ("t", 0, "1970-01-01T00:00:00.000Z"),
        ("tags", ["a", 1, None], ["a", "1"]),
        ("map", {"a": "1"}, {"a": 1}),
    ],
)
def test_values_are_converted_to_the_targets_type(target: str, given: Any, expected: Any) -> None:
    assert apply({"x": given}, ("x", target)) == ({target: expected}, [])


@pytest.mark.parametrize(
    ("target", "given", "parts"),
    [
        ("n", "x", ("NUMBER", "STRING")),
        ("i", 1.5, ("INTEGER", "NUMBER")),
        ("i", 2**31, ("INTEGER", "NUMBER")),
        ("b", 1, ("BOOLEAN", "NUMBER")),
        ("t", "soon", ("DATETIME", "STRING")),
        ("d", "2026-02-30", ("DATE", "STRING")),
        ("s", {}, ("STRING", "OBJECT")),
        ("person", "x", ("OBJECT", "STRING")),
        ("tags", "x", ("ARRAY", "STRING")),
    ],
)
def test_what_does_not_fit_is_left_out_with_a_warning_clients_can_read(target: str, given: Any, parts: tuple[str, str]) -> None:
    record, (text,) = apply({"x": given, "y": "kept"}, ("x", target), ("y", "person.first"))
    assert record == {"person": {"first": "kept"}}
    assert text == (
        f"Mapper Transform Error: The value cannot be converted. destination path {target}. "
        f"expected data type was: {parts[0]}, actual data type was: {parts[1]}. sourceField: x destinationField: {target}"
    )


def test_object_copy_takes_equally_named_members_and_deeper_targets_refine_it() -> None:
    source = {"p": {"first": "A", "last": "B", "other": 1}, "x": "C"}
    assert apply(source, ("x", "person.last"), ("p", "person")) == ({"person": {"first": "A", "last": "C"}}, [])
    assert source["p"] == {"first": "A", "last": "B", "other": 1}


def test_items_stay_aligned_and_gaps_close() -> None:
    source = {"emails": [{"name": "a", "type": "x"}, {"type": "y"}, {}, {"name": "d"}]}
    record, _ = apply(source, ("emails[*].name", "pi[*].names"), ("emails[*].type", "pi[*].kind"))
    assert record == {"pi": [{"names": "a", "kind": "x"}, {"kind": "y"}, {"names": "d"}]}


def test_indexes_and_lists_make_arrays() -> None:
    record, _ = apply({"x": "a", "l": [{"n": 1}, {"n": 2}]}, ("x", "pi[2].names"), ("l[*].n", "tags"))
    assert record == {"pi": [{"names": "a"}], "tags": ["1", "2"]}


def test_static_and_expression_and_missing_sources() -> None:
    record, warnings = apply({"a": "x"}, ("5", "i", "STATIC"), ("upper(a)", "s", "EXPRESSION"), ("missing", "person.first"))
    assert (record, warnings) == ({"i": 5, "s": "X"}, [])


def test_failing_expression_names_its_function() -> None:
    record, (text,) = apply({"a": "x"}, ("to_integer(a)", "i", "EXPRESSION"))
    assert record == {}
    assert text.startswith("Mapper Transform Error: to_integer(): 'x' is no number.")


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a.b.c", ("a", "b", "c")),
        ("${First Name}.x", ("First Name", "x")),
        ("address.street\\.name", ("address", "street.name")),
        ("${First\\.Name}", ("First.Name",)),
        ("a[0].b[*]", ("a", 0, "b", EVERY)),
        ("_id", ("_id",)),
        ("$x", ("$x",)),
        ("naïve", ("naïve",)),
    ],
)
def test_paths_are_read(text: str, steps: tuple[Any, ...]) -> None:
    assert parse_path(text) == steps


@pytest.mark.parametrize("text", ["", ".", "a.", "a..b", "1a", "a[", "a[x]", "[0]", "a b", "a[99999999]"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(MappingInvalid):
        parse_path(text)


def test_presence_counts_nulls() -> None:
    source = {"a": None, "l": [1]}
    assert is_present(source, parse_path("a"))
    assert is_present(source, parse_path("l[0]"))
    assert not is_present(source, parse_path("l[1]"))
    assert value_at(source, parse_path("l[1]")) is None


def test_both_dialects_of_mapping_sets_are_read() -> None:
    body = {
        "mappings": [
            {"sourceType": "text/x.schema-path", "source": "a", "destination": "s"},
            {"sourceAttribute": "b", "destinationXdmPath": "n", "identity": False},
            {"sourceAttribute": "upper(b)", "destinationXdmPath": "i"},
        ]
    }
    assert [mapping.source_type for mapping in field_mappings(body)] == ["ATTRIBUTE", "ATTRIBUTE", "EXPRESSION"]


@pytest.mark.parametrize(
    "mappings",
    [
        [{"source": "a"}],
        [{"sourceType": "SECRET", "source": "a", "destination": "s"}],
        [{"source": "a", "destination": "s"}, {"source": "b", "destination": "s"}],
    ],
)
def test_mapping_sets_that_cannot_run_are_refused(mappings: list[dict[str, Any]]) -> None:
    with pytest.raises(MappingInvalid):
        field_mappings({"mappings": mappings})
