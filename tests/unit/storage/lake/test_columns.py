"""From a schema to columns, from rows to columns and back."""

from typing import Any

import pyarrow as pa
import pytest

from headrace.storage.lake import LakeRow
from headrace.storage.lake.arrow import INSTANT, META_SCHEMA, entity_schema, grown, is_json_text, with_meta
from headrace.storage.lake.columns import table_of
from headrace.storage.lake.rows import rows_of

STRING = {"type": "string"}


def type_of(node: dict[str, Any]) -> pa.DataType:
    return entity_schema({"properties": {"x": node}}).field("x").type


def through(node: dict[str, Any], *values: Any) -> list[Any]:
    """Return what is read back after each of ``values`` was written to one column."""
    schema = with_meta(entity_schema({"properties": {"x": node}}))
    table = table_of([LakeRow({"x": value}, index, 0, 0) for index, value in enumerate(values)], schema, "b")
    table.validate(full=True)
    return [row.entity.get("x") for row in rows_of(table)]


@pytest.mark.parametrize(
    ("node", "type_"),
    [
        (STRING, pa.string()),
        ({"type": "string", "format": "uri"}, pa.string()),
        ({"type": "string", "format": "date"}, pa.date32()),
        ({"type": "string", "format": "date-time"}, INSTANT),
        ({"type": "boolean"}, pa.bool_()),
        ({"type": "number"}, pa.float64()),
        ({"type": "integer"}, pa.int32()),
        ({"type": "integer", "minimum": -128, "maximum": 128}, pa.int32()),
        ({"type": "integer", "minimum": -9007199254740991, "maximum": 9007199254740991}, pa.int64()),
        ({"type": "integer", "meta:xdmType": "long"}, pa.int64()),
        ({"type": ["null", "string"]}, pa.string()),
        ({"type": "array", "items": STRING}, pa.list_(pa.field("element", pa.string()))),
        ({"type": "object", "properties": {"a": STRING}}, pa.struct([("a", pa.string())])),
        ({"properties": {"a": STRING}}, pa.struct([("a", pa.string())])),
        ({"type": "object", "additionalProperties": STRING}, pa.map_(pa.string(), pa.string())),
    ],
)
def test_a_field_becomes_a_column(node: dict[str, Any], type_: pa.DataType) -> None:
    assert type_of(node) == type_


@pytest.mark.parametrize(
    "node", [{}, {"type": "object"}, {"type": "object", "properties": {}}, {"type": "array"}, {"type": "array", "items": {}}]
)
def test_what_a_schema_leaves_open_is_kept_as_text(node: dict[str, Any]) -> None:
    assert is_json_text(entity_schema({"properties": {"x": node}}).field("x"))
    assert through(node, {"a": [1, None]}, [1, "b"], "text", None) == [{"a": [1, None]}, [1, "b"], "text", None]


def test_the_columns_of_headrace_come_last() -> None:
    schema = with_meta(pa.schema([*META_SCHEMA, pa.field("a", pa.string())]))
    assert schema.names == ["a", *META_SCHEMA.names]


def test_instants_are_kept_to_the_millisecond_in_utc() -> None:
    node = {"type": "string", "format": "date-time"}
    written = ("2024-03-01T10:00:00+01:00", "2024-03-01T09:00:00.123456789Z", "1969-12-31T23:59:59.999Z", None)
    read = ["2024-03-01T09:00:00.000Z", "2024-03-01T09:00:00.123Z", "1969-12-31T23:59:59.999Z", None]
    assert through(node, *written) == read


def test_one_bad_value_does_not_cost_the_others() -> None:
    node = {"type": "string", "format": "date-time"}
    assert through(node, "2024-03-01T09:00:00Z", "soon", 5, "1650-01-01T00:00:00Z") == [
        "2024-03-01T09:00:00.000Z",
        None,
        None,
        "1650-01-01T00:00:00.000Z",
    ]
    assert through({"type": "string", "format": "date"}, "2024-02-29", "2023-02-29") == ["2024-02-29", None]
    assert through({"type": "integer"}, 1, 2.0, 2.5, True, "3", 2**31) == [1, 2, None, None, None, None]
    assert through({"type": "integer", "meta:xdmType": "long"}, 2**62, 2**63, 1e300) == [2**62, None, None]
    assert through({"type": "number"}, 1, 2.5, True, "3", 2**70) == [1.0, 2.5, None, None, float(2**70)]
    assert through({"type": "number"}, 2**53 + 1, 10**400) == [float(2**53), None]
    assert through({"type": "boolean"}, True, 1, "true", False) == [True, None, None, False]
    assert through(STRING, "a", 5, {"b": 1}, True) == ["a", "5", '{"b":1}', "true"]
    assert through({"type": "array", "items": STRING}, ["a"], "a", {}) == [["a"], None, None]
    assert through({"type": "object", "properties": {"a": STRING}}, {"a": "b"}, [], "x") == [{"a": "b"}, None, None]
    assert through({"type": "object", "additionalProperties": STRING}, {"a": "b"}, [], "x") == [{"a": "b"}, None, None]


def test_nested_values_keep_their_shape() -> None:
    node = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "tags": {"type": "array", "items": STRING},
                "by": {"type": "object", "additionalProperties": {"type": "object", "properties": {"n": {"type": "integer"}}}},
            },
        },
    }
    values: tuple[Any, ...] = (
        [{"tags": ["a", "b"], "by": {"k": {"n": 1}, "l": {}}}, {}],
        [],
        [{"by": {}}, {"tags": []}],
        None,
        [{"by": {"z": {"n": 2}}}],
    )
    assert through(node, *values) == list(values)


def test_a_slice_of_a_batch_reads_as_its_rows() -> None:
    form = {"properties": {"m": {"type": "object", "additionalProperties": {"type": "array", "items": STRING}}}}
    entities: list[dict[str, Any]] = [{"m": {"a": ["1"]}}, {}, {"m": {"b": ["2", "3"], "c": []}}, {"m": {}}]
    table = table_of([LakeRow(item, index, 0, 5) for index, item in enumerate(entities)], with_meta(entity_schema(form)), "b")
    assert [row.entity for row in rows_of(table.to_batches()[0].slice(1, 3))] == entities[1:]
    assert [row.offset for row in rows_of(table.slice(2))] == [2, 3]


def test_a_schema_grows_at_any_depth_and_never_changes_a_type() -> None:
    present = entity_schema(
        {"properties": {"a": {"type": "integer"}, "b": STRING, "o": {"type": "object", "properties": {"x": STRING}}}}
    )
    wanted = entity_schema(
        {
            "properties": {
                "b": {"type": "number"},
                "a": {"type": "integer", "meta:xdmType": "long"},
                "o": {"type": "object", "properties": {"y": {"type": "array", "items": STRING}}},
                "c": {"type": "boolean"},
            }
        }
    )
    merged = grown(present, wanted)
    assert merged.names == ["a", "b", "o", "c"]
    assert merged.field("a").type == pa.int64()
    assert merged.field("b").type == pa.string()
    assert [field.name for field in merged.field("o").type.fields] == ["x", "y"]
    assert grown(merged, present) == merged
