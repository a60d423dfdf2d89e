"""Laws of the lake's columns: what fits comes back, what does not fit harms nobody."""

from datetime import datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.storage.lake import LakeRow
from headrace.storage.lake.arrow import entity_schema, with_meta
from headrace.storage.lake.columns import table_of
from headrace.storage.lake.rows import rows_of

FORM: dict[str, Any] = {
    "properties": {
        "text": {"type": "string"},
        "number": {"type": "number"},
        "small": {"type": "integer", "meta:xdmType": "int"},
        "large": {"type": "integer", "meta:xdmType": "long"},
        "truth": {"type": "boolean"},
        "day": {"type": "string", "format": "date"},
        "instant": {"type": "string", "format": "date-time"},
        "open": {"type": "object"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "map": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "string"}}}},
        },
        "deep": {"type": "object", "properties": {"er": {"type": "object", "properties": {"n": {"type": "integer"}}}}},
    }
}
SCHEMA = with_meta(entity_schema(FORM))
NAMES = list(FORM["properties"])

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "n", "er", "x"]) | texts, inner, max_size=3)
    ),
    max_leaves=8,
)
_FIRST = datetime(1000, 1, 1)  # noqa: DTZ001  # Hypothesis wants it so
instants = st.datetimes(min_value=_FIRST).map(lambda at: at.isoformat(timespec="milliseconds") + "Z")
fitting = st.fixed_dictionaries(
    {},
    optional={
        "text": texts,
        "number": st.floats(allow_nan=False, allow_infinity=False),
        "small": st.integers(-(2**31), 2**31 - 1),
        "large": st.integers(-(2**63), 2**63 - 1),
        "truth": st.booleans(),
        "day": st.dates().map(str),
        "instant": instants,
        "open": anything.filter(lambda value: value is not None),
        "tags": st.lists(texts, max_size=3),
        "map": st.dictionaries(texts, st.lists(st.fixed_dictionaries({}, optional={"id": texts}), max_size=2), max_size=3),
        "deep": st.fixed_dictionaries({}, optional={"er": st.fixed_dictionaries({}, optional={"n": st.integers(0, 9)})}),
    },
)


def through(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    table = table_of([LakeRow(entity, index, 0, 0) for index, entity in enumerate(entities)], SCHEMA, "b")
    table.validate(full=True)
    return [dict(row.entity) for row in rows_of(table)]


@given(st.lists(fitting, max_size=5))
@settings(deadline=None)
def test_what_fits_comes_back(entities: list[dict[str, Any]]) -> None:
    assert through(entities) == entities


@given(
    st.lists(fitting, max_size=3),
    st.lists(st.dictionaries(st.sampled_from(NAMES) | texts, anything, max_size=6), min_size=1, max_size=3),
)
@settings(max_examples=300, deadline=None)
def test_what_does_not_fit_harms_nobody(entities: list[dict[str, Any]], wild: list[dict[str, Any]]) -> None:
    found = through([*entities, *wild])
    assert found[: len(entities)] == entities
    assert all(set(row) <= set(NAMES) for row in found)
