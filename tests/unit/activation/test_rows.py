"""From members to rows."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from headrace.activation.mapping import AttributeMapping, DedupKey
from headrace.activation.rows import Member, Row, RowBuilder
from headrace.clock import parse_iso
from headrace.model import Identity

AT_MS = parse_iso("2027-02-14T08:01:09Z")
NAMESPACES = {4: "ECID", 6: "Email"}
FIRST = AttributeMapping("attribute", "person.name.firstName", "first", ("person", "name", "firstName"))
EMAIL = AttributeMapping("identity", "identityMap.Email", "Email", namespace="Email")
STATUS = AttributeMapping("membership_status", "segmentMembership.status", "status")
TIME = AttributeMapping("membership_time", "segmentMembership.lastQualificationTime", "since", type="date-time")


def upper(source: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda profile: f"{source}:{profile.get('tier')}"


def builder(*columns: AttributeMapping, **options: Any) -> RowBuilder:
    return RowBuilder(columns, namespaces=NAMESPACES, expressions=upper, **options)


def member(profile: dict[str, Any] | None = None, *emails: str, is_member: bool = True) -> Member:
    identities = [Identity(6, email.lower(), email) for email in emails]
    return Member(profile or {}, [Identity(4, "384"), *identities], is_member, AT_MS, AT_MS)


def rows_of(made: RowBuilder, someone: Member) -> list[Row]:
    return made.rows(someone).rows


def test_columns_come_in_mapping_order() -> None:
    made = builder(TIME, FIRST, STATUS, AttributeMapping("static", "const", "x"), AttributeMapping("expression", "up", "y"))
    someone = member({"person": {"name": {"firstName": "Ilse"}}, "tier": "gold"})
    assert rows_of(made, someone) == [["2027-02-14T08:01:09Z", "Ilse", "realized", "const", "up:gold"]]


def test_an_exit_has_its_status() -> None:
    assert rows_of(builder(STATUS), member(is_member=False)) == [["exited"]]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tier",), "gold"),
        (("orders", 0, "sku"), "a"),
        (("orders", 1, "sku"), None),
        (("tier", "x"), None),
        (("gone", "x"), None),
    ],
)
def test_a_path_gives_a_value_or_nothing(path: tuple[str | int, ...], value: object) -> None:
    made = builder(AttributeMapping("attribute", "p", "p", path))
    assert rows_of(made, member({"tier": "gold", "orders": [{"sku": "a"}]})) == [[value]]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2027-02-14T09:01:09+01:00", "2027-02-14T08:01:09Z"),
        ("2027-02-14T08:01:09.250Z", "2027-02-14T08:01:09.250Z"),
        ("2027-02-14T08:01:09", "2027-02-14T08:01:09Z"),
        ("soon", "soon"),
        (None, None),
    ],
)
def test_times_are_shown_in_utc(value: object, shown: object) -> None:
    made = builder(AttributeMapping("attribute", "at", "at", ("at",), type="date-time"))
    assert rows_of(made, member({"at": value})) == [[shown]]


def test_a_mapped_identity_gives_one_row_per_identity() -> None:
    assert rows_of(builder(FIRST, EMAIL), member(None, "A@x", "b@x")) == [[None, "A@x"], [None, "b@x"]]


def test_a_person_without_the_mapped_identity_is_left_out() -> None:
    assert rows_of(builder(EMAIL), member()) == []


@pytest.mark.parametrize("value", [None, "", []])
def test_a_person_without_a_mandatory_value_is_left_out(value: object) -> None:
    made = builder(FIRST, mandatory=[FIRST])
    assert rows_of(made, member({"person": {"name": {"firstName": value}}})) == []
    assert rows_of(made, member({"person": {"name": {"firstName": "x"}}})) == [["x"]]


@pytest.mark.parametrize("value", [0, False])
def test_zero_and_false_are_values(value: object) -> None:
    assert rows_of(
        builder(FIRST, mandatory=[AttributeMapping("attribute", "tier", "tier", ("tier",))]), member({"tier": value})
    ) == [[None]]


def test_a_namespace_can_be_mandatory() -> None:
    made = builder(FIRST, mandatory=[EMAIL])
    assert rows_of(made, member()) == []
    assert rows_of(made, member(None, "a@x")) == [[None]]


def test_a_mandatory_column_of_the_audience_is_always_there() -> None:
    assert rows_of(builder(STATUS, mandatory=[STATUS]), member()) == [["realized"]]


def test_an_attribute_key_has_its_values_and_none_for_missing_ones() -> None:
    keys = [DedupKey("ATTRIBUTE", "personalEmail.address"), DedupKey("ATTRIBUTE", "tier")]
    made = builder(FIRST, keys=keys).rows(member({"personalEmail": {"address": "a@x"}}))
    assert made.keys == [("a@x", None)]


def test_an_identity_key_has_the_rows_own_identity() -> None:
    made = builder(EMAIL, keys=[DedupKey("IDENTITY", "Email")]).rows(member(None, "a@x", "b@x"))
    assert made.keys == [("a@x",), ("b@x",)]


def test_rows_without_their_identity_key_are_left_out() -> None:
    assert rows_of(builder(FIRST, keys=[DedupKey("IDENTITY", "Email")]), member()) == []


def test_an_identity_key_that_is_no_column_has_all_identities() -> None:
    made = builder(FIRST, keys=[DedupKey("IDENTITY", "Email")]).rows(member(None, "a@x", "b@x"))
    assert (made.rows, made.keys) == ([[None]], [("a@x", "b@x")])
