"""Filters, order and pages of Flow Service's lists."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.activation.errors import FilterInvalid
from headrace.activation.query import list_query, page, parse_filter, select

FLOW: dict[str, Any] = {
    "id": "f1",
    "name": "VIPs, all",
    "state": "enabled",
    "createdAt": 5,
    "sourceConnectionIds": ["s1"],
    "inheritedAttributes": {"properties": {"isDestinationFlow": True}},
    "transformations": [{"params": {"segmentSelectors": {"selectors": [{"value": {"id": "a1"}}, {"value": {"id": "a2"}}]}}}],
    "metrics": {"statusSummary": {"status": "failed"}, "durationSummary": {"startedAtUTC": 100}},
}


@pytest.mark.parametrize(
    ("text", "is_match"),
    [
        ("transformations[].params.segmentSelectors.selectors[].value.id==a2", True),
        ("transformations[].params.segmentSelectors.selectors[].value.id==a3", False),
        ("transformations.params.segmentSelectors.selectors.value.id==a2", False),
        ("sourceConnectionIds[]==s1", True),
        ("inheritedAttributes.properties.isDestinationFlow==true", True),
        ("inheritedAttributes.properties.isDestinationFlow==True", True),
        ("id==x,f1,y", True),
        ("name==VIPs, all", True),
        ("metrics.statusSummary.status==Failed", True),
        ("metrics.durationSummary.startedAtUTC>99", True),
        ("metrics.durationSummary.startedAtUTC>=100", True),
        ("metrics.durationSummary.startedAtUTC<100", False),
        ("metrics.durationSummary.startedAtUTC>abc", False),
        ("nowhere.at.all==1", False),
        ("state!=disabled", True),
        ("state!=enabled", False),
    ],
)
def test_filter_matches(text: str, is_match: bool) -> None:
    assert parse_filter(text).matches(FLOW) is is_match


@pytest.mark.parametrize("text", ["name", "==x", "id=5", " "])
def test_filter_without_path_or_operator_is_refused(text: str) -> None:
    with pytest.raises(FilterInvalid):
        list_query(filters=[text])


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5"])
def test_limit_must_be_positive(limit: str) -> None:
    with pytest.raises(FilterInvalid):
        list_query(limit=limit)


def test_limit_is_at_most_one_hundred() -> None:
    assert list_query(limit="5000").limit == 100


def test_all_filters_must_match() -> None:
    assert select([FLOW], list_query(filters=["id==f1", "state==enabled"])) == [FLOW]
    assert select([FLOW], list_query(filters=["id==f1", "state==disabled"])) == []


def items(count: int) -> list[dict[str, Any]]:
    return [{"id": f"i{number:03}", "createdAt": number // 2, "name": f"n{number % 3}"} for number in range(count)]


def all_pages(rows: list[dict[str, Any]], **query: Any) -> list[str]:
    found: list[str] = []
    token: str | None = None
    while True:
        part = page(rows, list_query(token=token, **query) if token is None else list_query(token=token))
        found += [item["id"] for item in part.items]
        if not part.token:
            return found
        assert "=" not in part.token
        token = part.token


def test_newest_come_first() -> None:
    assert [item["id"] for item in page(items(5), list_query()).items] == ["i004", "i002", "i003", "i000", "i001"]


def test_order_by_several_fields() -> None:
    found = page(items(6), list_query(order="-name,+createdAt")).items
    assert [(item["name"], item["createdAt"]) for item in found] == [
        ("n2", 1),
        ("n2", 2),
        ("n1", 0),
        ("n1", 2),
        ("n0", 0),
        ("n0", 1),
    ]


@given(st.integers(0, 40), st.integers(1, 7), st.sampled_from([None, "name", "-name,createdAt", "nothing"]))
def test_pages_together_are_the_whole_list(count: int, limit: int, order: str | None) -> None:
    rows = items(count)
    whole = [item["id"] for item in page(rows, list_query(order=order)).items]
    assert all_pages(rows, limit=limit, order=order) == whole


def test_token_carries_filters_and_survives_what_clients_append() -> None:
    first = page(items(9), list_query(filters=["name==n1"], limit=2))
    second = page(items(9), list_query(token=f"{first.token}&limit"))
    assert [item["name"] for item in [*first.items, *second.items]] == ["n1"] * 3


def test_new_items_do_not_move_a_page() -> None:
    first = page(items(6), list_query(limit=3))
    rows = [*items(6), {"id": "new", "createdAt": 99, "name": "n"}]
    second = page(rows, list_query(token=first.token))
    assert {item["id"] for item in [*first.items, *second.items]} == {item["id"] for item in items(6)}


def test_foreign_token_is_refused() -> None:
    for token in ("abc", "e30x", "!!!"):
        with pytest.raises(FilterInvalid):
            list_query(token=token)
