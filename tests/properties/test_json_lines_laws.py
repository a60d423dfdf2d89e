"""Laws of reading files of JSON lines in bulk: the same columns as row by row, or none."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.properties.test_lake_laws import FORM, SCHEMA, fitting, instants, texts

from headrace.storage.lake import LakeRow
from headrace.storage.lake.arrow import META_NAMES, entity_schema, with_meta
from headrace.storage.lake.columns import table_of
from headrace.storage.lake.json_lines import LineReader
from headrace.storage.lake.rows import objects_of

odd_instants = instants | st.sampled_from(
    ["2026-03-04T05:06:07+02:00", "2026-03-04t05:06:07z", "2026-03-04T05:06:07.1239Z", None]
)
rows = fitting | st.fixed_dictionaries({"instant": odd_instants}, optional={"text": st.none() | texts, "unknown": texts})


@pytest.fixture(scope="module")
def reader() -> Iterator[LineReader]:
    opened = LineReader(SCHEMA)
    yield opened
    opened.close()


def read(reader: LineReader, lines: list[bytes]) -> pa.Table | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return reader.read(path)


def row_by_row(entities: list[dict[str, Any]]) -> pa.Table:
    table = table_of([LakeRow(entity, 0, number, 0) for number, entity in enumerate(entities)], SCHEMA, "b")
    return table.select([name for name in table.column_names if name not in META_NAMES])


@given(st.lists(rows, min_size=1, max_size=6))
@settings(deadline=None, max_examples=200)
def test_a_file_read_at_once_gives_what_its_rows_give_one_by_one(reader: LineReader, entities: list[dict[str, Any]]) -> None:
    found = read(reader, [json.dumps(entity).encode() for entity in entities])

    assert found is not None
    found.validate(full=True)
    assert found.schema.equals(row_by_row(entities).schema)
    assert objects_of(found) == objects_of(row_by_row(entities))


@pytest.mark.parametrize(
    "line",
    [
        b'{"small": 3000000000}',
        b'{"text": "a", "text": "b"}',
        b'{"map": {"a": [], "a": []}}',
        b'{"deep": 5}',
        b'{"tags": {"a": 1}}',
    ],
)
def test_a_file_with_a_value_that_does_not_fit_is_left_to_reading_row_by_row(reader: LineReader, line: bytes) -> None:
    assert read(reader, [b'{"text": "a"}', line]) is None


def test_columns_whose_names_differ_by_case_alone_are_left_to_reading_row_by_row() -> None:
    reader = LineReader(with_meta(entity_schema({"properties": {"a": {"type": "string"}, "A": {"type": "string"}}})))

    assert read(reader, [b'{"a": "1", "A": "2"}']) is None
    reader.close()


def test_a_name_that_would_end_a_quotation_is_a_name() -> None:
    name = """it's "a, name': 'VARCHAR'"""
    reader = LineReader(with_meta(entity_schema({"properties": {name: FORM["properties"]["deep"], "b": {"type": "string"}}})))

    found = read(reader, [json.dumps({name: {"er": {"n": 3}}, "b": "x"}).encode()])

    assert found is not None
    assert objects_of(found) == [{name: {"er": {"n": 3}}, "b": "x"}]
    reader.close()
