"""Worked merges: fragments of one person become one profile."""

from itertools import permutations
from typing import Any

import pytest

from headrace.identity.graph import Vertex
from headrace.model import Identity
from headrace.profile.merge import MergeRule, apply_upsert, merged, restricted
from headrace.profile.person import Fragment, Person, encode_record
from headrace.profile.writing import absorb_person, write_fragment

D1, D2, D3 = 1, 2, 3
CRM, EMAIL = 0, 1


def person(*fragments: tuple[int, int, int, dict[str, Any]]) -> Person:
    vertices = [Vertex(Identity(10_000_000, "1"), 1, 1), Vertex(Identity(6, "a"), 1, 1), Vertex(Identity(4, "9"), 1, 1)]
    made = [
        Fragment(vertex, dataset, time, time, offset, encode_record(body))
        for offset, (dataset, vertex, time, body) in enumerate(fragments)
    ]
    return Person(b"p" * 16, vertices, fragments=made)


ADA = ((D1, CRM, 10, {"first": "Ada", "city": "Bern"}), (D2, EMAIL, 20, {"first": "Adele", "tier": "gold"}))


def test_the_newest_fragment_wins_and_the_others_fill_the_gaps() -> None:
    assert merged(person(*ADA)) == {"first": "Adele", "city": "Bern", "tier": "gold"}


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ((D1, D2), {"first": "Ada", "city": "Bern", "tier": "gold"}),
        ((D1,), {"first": "Ada", "city": "Bern"}),
        ((D2,), {"first": "Adele", "tier": "gold"}),
    ],
)
def test_precedence_decides_and_datasets_not_listed_are_not_merged(order: tuple[int, ...], expected: dict[str, str]) -> None:
    assert merged(person(*ADA), MergeRule(precedence=order)) == expected


def test_without_stitching_only_the_identity_asked_for_counts() -> None:
    rule = MergeRule(is_stitched=False)
    assert merged(person(*ADA), rule, vertex=CRM) == {"first": "Ada", "city": "Bern"}
    assert merged(person(*ADA), rule, vertex=EMAIL) == {"first": "Adele", "tier": "gold"}
    assert merged(person(*ADA), rule, vertex=2) == {}


def test_two_identities_in_one_dataset_are_two_fragments() -> None:
    two = person((D1, CRM, 10, {"first": "Ada", "vip": True}), (D1, EMAIL, 30, {"first": "A."}))
    assert merged(two) == {"first": "A.", "vip": True}
    assert merged(two, MergeRule(precedence=(D1,))) == {"first": "A.", "vip": True}


def write(target: Person, dataset: int, vertex: int, time: int, body: dict[str, Any], operation: Any = "create") -> bool:
    return write_fragment(target, vertex, dataset, body, operation, accepted_at_ms=time, offset=time)


def test_a_record_replaces_its_fragment_and_an_upsert_changes_what_it_names() -> None:
    target = person()
    write(target, D1, CRM, 10, {"first": "Ada", "city": "Bern"})
    write(target, D1, CRM, 20, {"first": "Ada"})
    assert merged(target) == {"first": "Ada"}
    write(target, D1, CRM, 30, {"city": "Bern"}, "merge")
    assert merged(target) == {"first": "Ada", "city": "Bern"}
    write(target, D1, CRM, 40, {}, "delete")
    assert merged(target) == {}


def test_an_upsert_makes_the_whole_fragment_the_newest() -> None:
    target = person()
    write(target, D1, CRM, 10, {"first": "Ada", "tier": "silver"})
    write(target, D2, EMAIL, 20, {"tier": "gold"})
    write(target, D1, CRM, 30, {"phone": "1"}, "merge")
    assert merged(target) == {"first": "Ada", "tier": "silver", "phone": "1"}


def test_null_is_absent_and_an_older_value_shows_through() -> None:
    assert merged(person((D1, CRM, 30, {"city": None}), (D2, EMAIL, 10, {"city": "Bern"}))) == {"city": "Bern"}
    assert merged(person((D1, CRM, 30, {"a": {"b": None, "c": 1}}))) == {"a": {"c": 1}}


def test_objects_merge_leaf_by_leaf_arrays_whole_and_maps_by_key() -> None:
    address = person((D1, CRM, 10, {"addr": {"street": "A", "zip": "1"}}), (D2, EMAIL, 20, {"addr": {"street": "B"}}))
    assert merged(address) == {"addr": {"street": "B", "zip": "1"}}
    assert merged(person((D1, CRM, 10, {"tags": ["x", "y"]}), (D2, EMAIL, 20, {"tags": []}))) == {"tags": []}
    assert merged(person((D1, CRM, 10, {"tags": ["x"]}), (D2, EMAIL, 20, {"tags": None}))) == {"tags": ["x"]}
    assert merged(person((D1, CRM, 10, {"m": {"a": 1, "b": 2}}), (D2, EMAIL, 20, {"m": {"b": 3}}))) == {"m": {"a": 1, "b": 3}}


def test_a_consent_is_one_statement() -> None:
    older = (D1, CRM, 10, {"consents": {"marketing": {"email": {"val": "y", "time": "4"}}}})
    newer = (D2, EMAIL, 20, {"consents": {"marketing": {"email": {"val": "n"}}}})
    assert merged(person(older, newer)) == {"consents": {"marketing": {"email": {"val": "n"}}}}


def audited(hour: int, city: str) -> dict[str, Any]:
    return {"city": city, "extSourceSystemAudit": {"lastUpdatedDate": f"2027-01-01T{hour:02}:00:00Z"}}


def test_a_record_that_is_not_newer_at_its_source_is_discarded() -> None:
    target = person()
    assert write(target, D1, CRM, 10, audited(12, "Bern"))
    assert not write(target, D1, CRM, 20, audited(11, "Rome"))
    assert not write(target, D1, CRM, 20, audited(12, "Rome"))
    write(target, D2, EMAIL, 30, audited(10, "Oslo"))
    assert merged(target)["city"] == "Bern"


def test_the_order_of_arrival_does_not_change_the_profile() -> None:
    fragments = [*person(*ADA, (D3, 2, 15, {"first": "A", "x": {"y": 1}})).fragments]
    views = []
    for order in permutations(fragments):
        shuffled = person()
        shuffled.fragments = list(order)
        views.append(merged(shuffled))
    assert all(view == views[0] for view in views)


def test_a_person_who_absorbs_another_has_both_fragments_and_keeps_the_later_of_the_same_key() -> None:
    one, other = person((D1, CRM, 10, {"a": 1})), person((D1, CRM, 20, {"a": 2}), (D2, EMAIL, 5, {"b": 3}))
    other.fragments[0].offset = 7
    absorb_person(one, other)
    assert merged(one) == {"a": 2, "b": 3}
    assert len(one.vertices) == 3


def test_restricting_keeps_the_nesting_and_leaves_out_what_is_missing() -> None:
    record = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert restricted(record, [("a", "b"), ("d",), ("x", "y")]) == {"a": {"b": 1}, "d": [1]}


def test_an_upsert_goes_deep_and_null_deletes() -> None:
    stored = {"a": {"b": 1, "c": 2}, "d": [1, 2]}
    assert apply_upsert(stored, {"a": {"b": None}, "d": [3]}) == {"a": {"c": 2}, "d": [3]}
    assert stored["a"] == {"b": 1, "c": 2}
