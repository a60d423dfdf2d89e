"""Making rows unique: the published example, and what it leaves open."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from headrace.activation.dedup import Deduplicator

MARCH, APRIL = 1_803_000_000_000, 1_806_000_000_000
A, B = 0, 1


def survivors(folder: Path, rows: Sequence[tuple[int, tuple[str | None, ...], int, Any]], *, by_identity: bool) -> list[Any]:
    with Deduplicator(folder, by_identity=by_identity) as dedup:
        for ordinal, (person, key, updated_at_ms, row) in enumerate(rows):
            dedup.add(ordinal, person, key, updated_at_ms, row)
        losers = dedup.losers()
    return [row for ordinal, (_, _, _, row) in enumerate(rows) if ordinal not in losers]


def test_by_namespace_the_later_of_connected_persons_stays_with_all_identities(tmp_path: Path) -> None:
    rows = [
        (A, ("a@x",), MARCH, ["a@x", "Doe"]),
        (A, ("b@x",), MARCH, ["b@x", "Doe"]),
        (B, ("a@x",), APRIL, ["a@x", "D"]),
        (B, ("c@x",), APRIL, ["c@x", "D"]),
    ]
    assert survivors(tmp_path, rows, by_identity=True) == [["a@x", "D"], ["c@x", "D"]]


def test_by_one_attribute_the_later_row_stays(tmp_path: Path) -> None:
    rows = [(A, ("a@x",), MARCH, ["Doe"]), (B, ("a@x",), APRIL, ["D"])]
    assert survivors(tmp_path, rows, by_identity=False) == [["D"]]


def test_by_two_attributes_both_must_be_equal(tmp_path: Path) -> None:
    rows = [(A, ("a@x", "Doe"), MARCH, ["Doe"]), (B, ("a@x", "D"), APRIL, ["D"])]
    assert survivors(tmp_path, rows, by_identity=False) == [["Doe"], ["D"]]


@pytest.mark.parametrize("by_identity", [True, False])
def test_among_equals_the_first_by_its_values_stays(tmp_path: Path, by_identity: bool) -> None:
    rows = [(A, ("k",), MARCH, ["zoe", None]), (B, ("k",), MARCH, ["ann", {"x": 1}])]
    assert survivors(tmp_path, rows, by_identity=by_identity) == [["ann", {"x": 1}]]


def test_a_row_that_misses_its_attribute_key_stays(tmp_path: Path) -> None:
    rows = [(A, (None,), MARCH, ["a"]), (B, (None,), APRIL, ["b"]), (2, ("k", None), APRIL, ["c"])]
    assert survivors(tmp_path, rows, by_identity=False) == [["a"], ["b"], ["c"]]


def test_persons_are_connected_over_others(tmp_path: Path) -> None:
    rows = [
        (0, ("a",), MARCH, ["0"]),
        (1, ("a",), MARCH + 1, ["1"]),
        (1, ("b",), MARCH + 1, ["1b"]),
        (2, ("b",), APRIL, ["2"]),
        (3, ("z",), MARCH, ["3"]),
    ]
    assert survivors(tmp_path, rows, by_identity=True) == [["2"], ["3"]]


def test_parts_of_a_key_do_not_run_together(tmp_path: Path) -> None:
    rows = [(A, ("ab", "c"), MARCH, ["1"]), (B, ("a", "bc"), MARCH, ["2"])]
    assert survivors(tmp_path, rows, by_identity=False) == [["1"], ["2"]]


def test_many_rows_are_handled_in_steps(tmp_path: Path) -> None:
    with Deduplicator(tmp_path, by_identity=False) as dedup:
        for ordinal in range(120_000):
            dedup.add(ordinal, ordinal, (str(ordinal % 60_000),), ordinal, [])
        assert dedup.losers() == list(range(60_000))
