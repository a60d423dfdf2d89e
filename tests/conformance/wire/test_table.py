"""The committed table is the one that the list of operations gives."""

from tests.conformance.wire.operations import MUST, OPERATIONS
from tests.conformance.wire.table import PLACE, render, state_of


def test_committed_table_is_up_to_date() -> None:
    assert PLACE.read_text() == render(), "run python -m tests.conformance.wire"


def test_every_must_conforms() -> None:
    assert [str(item) for item in OPERATIONS if item.scope == MUST and state_of(item) != "yes"] == []
