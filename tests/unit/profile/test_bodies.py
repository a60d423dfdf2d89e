"""Reading only parts of records gives the same as reading them whole and looking at those parts."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.profile.bodies import fragment_reader, json_reader, read_json
from headrace.profile.merge import merge_records, value_at

NAMES = st.sampled_from(("a", "b", "val", "c"))
VALUES = st.recursive(
    st.one_of(st.none(), st.integers(-3, 3), st.booleans(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=12,
)
RECORDS = st.dictionaries(NAMES, VALUES, max_size=4)
PATHS = st.frozensets(st.lists(NAMES, min_size=1, max_size=3).map(tuple), max_size=4)


@given(record=RECORDS, paths=PATHS)
def test_a_part_of_an_event_has_all_that_lies_at_its_paths(record: dict[str, Any], paths: frozenset[tuple[str, ...]]) -> None:
    part = json_reader(paths)(json.dumps(record).encode())
    for path in paths:
        assert value_at(part, path) == value_at(record, path)


@given(records=st.lists(RECORDS, max_size=3), paths=PATHS)
def test_parts_of_fragments_merge_to_what_whole_ones_merge_to(
    records: list[dict[str, Any]], paths: frozenset[tuple[str, ...]]
) -> None:
    read = fragment_reader(paths)
    parts = merge_records([read(msgspec.msgpack.encode(record)) for record in records])
    whole = merge_records(records)
    for path in paths:
        assert value_at(parts, path) == value_at(whole, path)


def test_fields_that_nobody_reads_are_left_out() -> None:
    body = {"_id": "e", "shop": {"price": 3, "note": "long"}, "items": [{"sku": "a", "name": "x"}, None], "more": {"x": 1}}
    read = json_reader(frozenset({("_id",), ("shop", "price"), ("items", "sku")}))
    assert read(json.dumps(body).encode()) == {"_id": "e", "shop": {"price": 3}, "items": [{"sku": "a"}, None]}


def test_a_short_path_takes_everything_below() -> None:
    read = json_reader(frozenset({("shop", "price"), ("shop",)}))
    assert read(b'{"shop":{"price":3,"note":"n"}}') == {"shop": {"price": 3, "note": "n"}}


@pytest.mark.parametrize("read", [read_json, json_reader(frozenset({("n",)}))])
def test_numbers_beyond_64_bits_become_floating_point(read: Any) -> None:
    assert read(b'{"n": 123456789012345678901234567890, "m": 1}')["n"] == 1.2345678901234568e29
