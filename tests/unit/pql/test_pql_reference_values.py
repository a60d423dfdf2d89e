"""Nulls, types, strings, numbers, arrays and maps, as the reference evaluator defines them."""

from typing import Any

import pytest

from headrace.clock import parse_iso
from headrace.pql import evaluate
from tests.unit.pql.retail import bound, event, holds, value

ORDERS = {"_acme": {"orders": [{"storeId": "s1", "price": 9.5, "qty": 1}, {"storeId": "s2", "price": 20.0, "paid": True}]}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("person.age = 3", False),
        ("person.age != 3", False),
        ("not (person.age = 3)", True),
        ("person.age > 3 or true", True),
        ("testProfile and true", False),
        ("not testProfile", True),
        ("person.age = null", True),
        ("person.name.isNull()", True),
        ('person.name.firstName.doesNotContain("x")', False),
        ('person.name.firstName.notEqualTo("x", false)', False),
        ("person.age notIn [3]", False),
        ("person.age in [3]", False),
        ("homeAddress.state = workAddress.state", False),
        ('_acme.tags.subsetOf(["a"])', False),
        ("forall O from _acme.orders : O.paid", True),
        ("exists O from _acme.orders", False),
        ("_acme.orders.count() = 0", True),
        ("_acme.orders.sum(price) = 0", True),
        ("_acme.orders.average(price) > 3", False),
        ("_acme.orders.average(price).isNull()", True),
        ('person.name.firstName like "%"', False),
        ('stringCompare("doesNotContain", homeAddress.city, _acme.tags, true)', False),
        ("person.birthDate occurs before now", False),
        ("not (person.birthDate occurs before now)", True),
        ('inSegment("a1")', False),
        ('identityMap.get("Email").isNull()', True),
        ("if(testProfile, 1, 2) = 2", True),
    ],
)
def test_null_operand_gives_what_the_function_says(text: str, expected: bool) -> None:
    assert holds(text) is expected


def test_missing_field_and_explicit_null_and_path_through_missing_object_are_one_null() -> None:
    profiles: list[dict[str, Any]] = [{}, {"person": None}, {"person": {}}, {"person": {"name": None}}]
    for profile in profiles:
        assert holds("person.name.isNull()", profile)
        assert holds("person.name.firstName = null", profile)


def test_empty_values_are_not_null() -> None:
    assert holds("person.name.isNotNull()", {"person": {"name": {}}})
    assert holds("person.name.firstName.isNotNull()", {"person": {"name": {"firstName": ""}}})
    assert holds("_acme.orders.isNotNull() and not (_acme.orders)", {"_acme": {"orders": []}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7 / 2", 3.5),
        ("7 / 0", None),
        ("-7 % 5", -2),
        ("7 % -5", 2),
        ("7 % 0", None),
        ("7.5 % 2", 1.5),
        ("2 * 1.5", 3.0),
        ("-(3)", -3),
        ("9223372036854775807 + 1", None),
        ("-(-9223372036854775808)", None),
        ("1e308 * 10", None),
        ("-9223372036854775808 % -1", 0),
        ('if(3 > 2, "a", "b")', "a"),
        ("let s = 2 in s * s", 4),
        ('"a@example.org".regexGroup("@(\\\\w+)", 1)', "example"),
        ('"a@example.org".regexGroup("@(\\\\w+)", 0)', "@example"),
        ('"abc".regexGroup("x", 0)', None),
    ],
)
def test_arithmetic_and_other_values(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"Bremen" like "%em%"', True),
        ('"Bremen" like "b%"', False),
        ('"Bremen" like "Br_men"', True),
        ('"50%" like "50\\\\%"', True),
        ('"500" like "50\\\\%"', False),
        ('"a\nb" like "a%b"', True),
        ('"Anna".startsWith("an")', False),
        ('"Anna".startsWith("an", false)', True),
        ('"ÅSE".equals("åse", false)', True),
        ('"NV".equals("CA", "NV")', True),
        ('"nv".equals("CA", "NV", false)', True),
        ('"NV".notEqualTo("CA", "NV")', False),
        ('"NV".doesNotEndWith("v")', True),
        ('stringCompare("equals", "nv", ["CA", "NV"], false)', True),
        ('stringCompare("doesNotContain", "abc", ["x", "b"], true)', False),
        ('"John B".matches("^John")', True),
        ('"John B".matches("(?i)^john$")', False),
        ('"B" < "a"', True),
        ('"".isNull()', False),
    ],
)
def test_strings(text: str, expected: bool) -> None:
    assert holds(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6 in [3, 6, 9]", True),
        ('["r", "b"].intersects(["b"])', True),
        ("[1, 2].intersection([2, 3]) = [2]", True),
        ("[2, 2].subsetOf([1, 2])", True),
        ("[1, 2].supersetOf([2, 2])", True),
        ("[1, 2, 1] = [2, 1]", True),
        ("[1, 2] != [2, 1]", False),
        ("[] = []", True),
        ("[1] = []", False),
        ("[1, 2] = [1.0, 2.0]", True),
        ("[4, 4].count() = 2", True),
        ("[1, 4, 7].filter((X) => X > 3).count() = 2", True),
        ("[4, 7].head() = 4", True),
        ("[[1], [2]].count() = 2", True),
    ],
)
def test_arrays_of_literals(text: str, expected: bool) -> None:
    assert holds(text) is expected


def test_distinct_keeps_the_first_and_drops_null() -> None:
    profile = {"_acme": {"numbers": [3, None, 1, 3]}}
    assert value("_acme.numbers.distinct()", profile) == [3, 1]
    assert value("_acme.numbers.count()", profile) == 4
    assert value("_acme.numbers.sum()", profile) == 7


def test_group_by_drops_items_without_key_and_keeps_order() -> None:
    items = [{"storeId": "b"}, {"storeId": "a", "qty": 1}, {"qty": 9}, {"storeId": "b", "qty": 2}]
    profile = {"_acme": {"orders": items}}
    assert value("_acme.orders.groupBy(storeId)", profile) == {"b": [items[0], items[3]], "a": [items[1]]}
    assert value("_acme.orders.groupBy(storeId).keys()", profile) == ["a", "b"]
    assert value("_acme.orders.groupBy(storeId).map((K, G) => mapEntry(K, G.sum(qty)))", profile) == {"a": 1, "b": 2}
    assert list(value("_acme.orders.groupBy(qty)", profile)) == ["1", "9", "2"]


def test_top_and_bottom_keep_the_order_of_ties_and_put_null_last() -> None:
    items = [{"storeId": name, "price": price} for name, price in [("a", 2.0), ("b", None), ("c", 5.0), ("d", 2.0)]]
    profile = {"_acme": {"orders": items}}
    assert value("_acme.orders.topN(price, 3).map(storeId)", profile) == ["c", "a", "d"]
    assert value("_acme.orders.bottomN(price, 4).map(storeId)", profile) == ["a", "d", "c", "b"]
    assert value("_acme.orders.topN(price, -1)", profile) == []


def test_map_and_path_differ_in_what_they_do_with_null() -> None:
    profile = {"_acme": {"orders": [{"storeId": "a", "lines": [{"sku": "x"}, {}]}, {"lines": [{"sku": "y"}]}, {}]}}
    assert value("_acme.orders.map(storeId)", profile) == ["a", None, None]
    assert value("_acme.orders.storeId", profile) == ["a"]
    assert value("_acme.orders.lines.sku", profile) == ["x", "y"]
    assert value("_acme.orders.lines.sku", {}) is None


def test_positive_test_of_a_path_means_any_element_and_conditions_are_independent() -> None:
    assert holds("_acme.orders.price > 15", ORDERS)
    assert holds('_acme.orders.price > 15 and _acme.orders.storeId = "s1"', ORDERS)
    assert not holds('exists O from _acme.orders where O.price > 15 and O.storeId = "s1"', ORDERS)
    assert holds("_acme.orders.paid", ORDERS)


def test_aggregates_over_declarations() -> None:
    assert value("sum O.price over O from _acme.orders where O.paid", ORDERS) == 20.0
    assert value("count O.qty over O from _acme.orders", ORDERS) == 1
    assert value("max O.storeId over O from _acme.orders", ORDERS) == "s2"
    assert value("_acme.orders.average(price)", ORDERS) == 14.75
    assert value("_acme.orders.sum(qty)", ORDERS) == 1
    assert type(value("_acme.orders.sum(qty)", ORDERS)) is int


def test_select_of_several_variables_gives_their_tuples() -> None:
    profile = {"_acme": {"orders": [{"storeId": "a", "lines": [{"sku": "x"}, {"sku": "y"}]}, {"storeId": "b"}]}}
    found = value("select O from _acme.orders, L from O.lines", profile)
    assert [(one["O"]["storeId"], one["L"]["sku"]) for one in found] == [("a", "x"), ("a", "y")]
    assert holds("(select O from _acme.orders, L from O.lines).count() = 2", profile)


def test_outer_receivers_are_reached_with_carets() -> None:
    events = [event("1", "09:00", productListItems=[{"SKU": "a"}])]
    assert holds('xEvent[productListItems[SKU = "z" or ^^.person.gender = "female"]]', {"person": {"gender": "female"}}, events)
    assert not holds('xEvent[productListItems[SKU = "z" or ^^.person.gender = "female"]]', {}, events)
    assert holds('xEvent[productListItems[^.eventType = "view"]]', {}, events)


def test_membership_is_read_from_the_map_of_the_profile() -> None:
    for status, expected in (("realized", True), ("existing", True), ("exited", False)):
        profile = {"segmentMembership": {"ups": {"a1": {"status": status}}}}
        assert holds('inSegment("a1")', profile) is expected
        text = 'segmentMembership.get("ups").get("a1").status in ["realized", "existing"]'
        assert holds(text, profile) is expected


def test_events_are_equal_by_id_and_objects_deeply() -> None:
    events = [event("1", "09:00", a=1), event("2", "09:00", a=1), event("2", "09:30", a=1)]
    assert holds("exists A from xEvent where A.a = 1, B from xEvent where B.a = 1 and A != B", {}, events)
    assert holds("xEvent.count() = 2", {}, events)
    same = {"homeAddress": {"city": "Oslo", "state": None}, "workAddress": {"city": "Oslo"}}
    assert holds("homeAddress = workAddress", same)


def test_events_stand_in_order_of_time_then_id() -> None:
    events = [event("b", "09:30"), event("c", "09:00"), event("a", "09:30")]
    assert value("xEvent.map(_id)", {}, events) == ["c", "a", "b"]
    assert value("xEvent.head()._id", {}, events) == "c"


def test_lookup_finds_the_related_entity() -> None:
    stores = {"7": {"city": "Bergen"}}
    root = bound('exists E from xEvent where lookup(E.storeId).city = "Bergen"')
    events = [event("1", "09:00", storeId="7")]
    now = parse_iso("2025-03-14T10:00:00Z")

    def find(entity: str, key: str) -> dict[str, str] | None:
        assert entity == "Store"
        return stores.get(key)

    assert evaluate(root, {}, events, now=now, lookup=find) is True
    assert evaluate(root, {}, events, now=now) is False


def test_now_must_be_an_instant() -> None:
    with pytest.raises(TypeError, match="epoch milliseconds"):
        evaluate(bound("true"), {}, now="later")  # type: ignore[arg-type]
