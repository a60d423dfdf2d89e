"""Records that no schema has looked at, or that leave out what a schema does not demand."""

from typing import Any

import pytest

from headrace.identity.extract import IdentityExtractor

EMAIL = 6
GOOD = {"id": "a@b.ch"}


def extractor(*fields: tuple[tuple[str, ...], int, bool]) -> IdentityExtractor:
    return IdentityExtractor(fields, {"Email": EMAIL}.get)


@pytest.mark.parametrize("odd", [{}, {"id": None}, {"id": 5}, {"id": []}, None, "x", 5, []])
def test_an_entry_without_an_id_is_no_identity(odd: Any) -> None:
    found = extractor().extract({"identityMap": {"Email": [odd, GOOD]}})
    assert [identity.value for identity in found.identities] == ["a@b.ch"]
    assert (found.primary, found.warnings) == (None, ["an entry of identityMap has no id"])


@pytest.mark.parametrize("odd", [None, True, 5, "x", [], [GOOD], {"Email": None}, {"Email": GOOD}, {"Email": "x"}, {"Email": 5}])
def test_what_is_no_map_of_lists_has_no_identities(odd: Any) -> None:
    found = extractor().extract({"identityMap": odd})
    assert (found.identities, found.primary) == ([], None)


def test_an_object_in_an_identity_field_is_no_identity() -> None:
    found = extractor((("mail",), EMAIL, True)).extract({"mail": {"address": "a@b.ch"}})
    assert (found.identities, found.primary) == ([], None)
