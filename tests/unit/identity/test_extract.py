"""Identities of a record, and XIDs."""

from hypothesis import given
from hypothesis import strategies as st

from headrace.identity.extract import IdentityExtractor
from headrace.identity.xid import decode_xid, encode_xid
from headrace.model import Identity

CRM, EMAIL, ECID = 10_000_000, 6, 4
CODES = {"CRMID": CRM, "Email": EMAIL, "ECID": ECID}
FIELD: list[tuple[tuple[str, ...], int, bool]] = [(("personalEmail", "address"), EMAIL, False), (("_acme", "crm"), CRM, True)]


def extractor(fields: list[tuple[tuple[str, ...], int, bool]]) -> IdentityExtractor:
    return IdentityExtractor(fields, CODES.get)


def test_a_primary_descriptor_wins_over_flags_in_the_map() -> None:
    record = {"_acme": {"crm": "7"}, "identityMap": {"Email": [{"id": "A@x", "primary": True}]}}
    found = extractor(FIELD).extract(record)
    assert found.primary == Identity(CRM, "7")
    assert found.identities == [Identity(CRM, "7"), Identity(EMAIL, "a@x", "A@x")]


def test_the_first_entry_of_the_map_is_primary_when_none_is_marked() -> None:
    record = {"identityMap": {"ECID": [{"id": "1" * 38}], "CRMID": [{"id": "7"}]}}
    found = extractor([]).extract(record)
    assert found.primary == Identity(ECID, "1" * 38)


def test_several_marked_entries_give_the_first_and_a_warning() -> None:
    record = {"identityMap": {"CRMID": [{"id": "7", "primary": True}, {"id": "8", "primary": True}]}}
    found = extractor([]).extract(record)
    assert found.primary == Identity(CRM, "7")
    assert found.warnings


def test_the_same_identity_from_map_and_field_counts_once() -> None:
    record = {"personalEmail": {"address": " A@x "}, "identityMap": {"Email": [{"id": "a@X"}], "CRMID": [{"id": "7"}]}}
    assert len(extractor(FIELD).extract(record).identities) == 2


def test_blocked_values_are_left_out_and_unknown_namespaces_are_told() -> None:
    record = {"identityMap": {"CRMID": [{"id": " Anonymous "}], "Nope": [{"id": "1"}], "Email": [{"id": "a@x"}]}}
    found = extractor([]).extract(record)
    assert found.identities == [Identity(EMAIL, "a@x")]
    assert found.primary is None
    assert any("Nope" in warning for warning in found.warnings)


def test_a_malformed_ecid_and_too_many_identities_keep_the_record_out_of_the_graph() -> None:
    assert extractor([]).extract({"identityMap": {"ECID": [{"id": "12"}]}}).graph_fault
    many = {"identityMap": {"CRMID": [{"id": str(number)} for number in range(21)]}}
    assert extractor([]).extract(many).graph_fault


def test_identities_inside_arrays_are_found() -> None:
    record = {"cards": [{"number": "1"}, {"number": "2"}, {}]}
    found = extractor([(("cards", "number"), CRM, False)]).extract(record)
    assert [identity.value for identity in found.identities] == ["1", "2"]


@given(st.integers(0, 2**31), st.text(min_size=1, max_size=12))
def test_a_short_value_comes_back_out_of_its_xid(namespace: int, value: str) -> None:
    assert decode_xid(encode_xid(namespace, value)) == (namespace, value)


@given(st.integers(0, 2**31), st.text(min_size=80, max_size=90))
def test_a_long_value_is_hashed_and_stays_short(namespace: int, value: str) -> None:
    xid = encode_xid(namespace, value)
    assert len(xid) <= 48
    assert decode_xid(xid) is None


@given(st.text(max_size=60))
def test_any_text_is_an_xid_or_none(text: str) -> None:
    decoded = decode_xid(text)
    assert decoded is None or isinstance(decoded[1], str)
