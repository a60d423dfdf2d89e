from typing import Any

import pytest

from headrace.api.paging import (
    FilterInvalid,
    PageInvalid,
    decode_token,
    encode_token,
    filtered,
    limit_of,
    ordered,
    parse_order,
    parse_properties,
    start_of,
)

ROWS: list[dict[str, Any]] = [
    {"id": "a", "name": "Ada", "age": 36, "is": True, "x": {"y": "deep"}, "tags": ["red", "blue"]},
    {"id": "b", "name": "bob", "age": 7, "is": False},
    {"id": "c", "name": "Cleo", "dotted.name": "d"},
]


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("name", [("name", False)]),
        ("-name", [("name", True)]),
        ("+name", [("name", False)]),
        (" name", [("name", False)]),
        ("desc:created,name", [("created", True), ("name", False)]),
        ("updateTime:desc", [("updateTime", True)]),
        ("ASC:a", [("a", False)]),
        ("", []),
        (None, []),
    ],
)
def test_order_is_read_in_all_its_forms(text: str | None, order: list[tuple[str, bool]]) -> None:
    assert parse_order(text) == order


@pytest.mark.parametrize(
    ("order", "ids"),
    [("name", "abc"), ("-name", "cba"), ("age", "bac"), ("-age", "abc"), ("is", "bac"), ("x.y", "abc"), ("tags", "abc")],
)
def test_rows_without_the_field_come_last(order: str, ids: str) -> None:
    assert "".join(row["id"] for row in ordered(ROWS, parse_order(order))) == ids


@pytest.mark.parametrize(
    ("conditions", "ids"),
    [
        (["name==Ada"], "a"),
        (["name=Ada"], "a"),
        (["name==Ada,bob"], "ab"),
        (["name!=Ada"], "bc"),
        (["name~^[AB]"], "a"),
        (["age>7"], "a"),
        (["age>=7"], "ab"),
        (["age<8"], "b"),
        (["age<=36", "is==True"], "a"),
        (["age>old"], ""),
        (["is==false"], "b"),
        (["x.y==deep"], "a"),
        (["dotted.name==d"], "c"),
        (["age"], "ab"),
        (["!age"], "c"),
        (["tags==blue"], "a"),
        (["name==Ada&property=age>1"], "a"),
        (["name<b"], "ac"),
        ([], "abc"),
    ],
)
def test_rows_satisfy_every_condition(conditions: list[str], ids: str) -> None:
    assert "".join(row["id"] for row in filtered(ROWS, parse_properties(conditions))) == ids


@pytest.mark.parametrize("text", ["!", " ", "name~("])
def test_condition_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(FilterInvalid):
        parse_properties([text])


def test_limit_has_bounds() -> None:
    assert limit_of(None, default=20, most=100) == 20
    assert limit_of("100", default=20, most=100) == 100
    assert limit_of("500", default=20, most=100, is_capped=True) == 100
    for value in ("0", "-1", "101", "many"):
        with pytest.raises(PageInvalid):
            limit_of(value, default=20, most=100)


def test_start_has_a_bound() -> None:
    assert start_of(None) == 0
    assert start_of("7") == 7
    for value in ("-1", "x"):
        with pytest.raises(PageInvalid):
            start_of(value)


@pytest.mark.parametrize("value", [0, "a=b", ["x", 1], {"after": [1, "é"]}])
def test_token_gives_back_its_value_and_holds_no_equals_sign(value: Any) -> None:
    token = encode_token(value)
    assert "=" not in token
    assert decode_token(token) == value


@pytest.mark.parametrize("token", ["%", "a", "AAAA"])
def test_token_of_somebody_else_is_refused(token: str) -> None:
    with pytest.raises(PageInvalid):
        decode_token(token)
