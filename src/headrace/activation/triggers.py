"""Which changes make a message for a streaming dataflow.

Three causes: a mapped audience was entered or left; a mapped attribute was written; an identity was added or removed. The
last two count only while the person is in at least one mapped audience. Each cause can be switched off per dataflow.
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from headrace.destinations.stream_settings import ExportTriggers
from headrace.model import Change, MembershipChange

PLATFORM_NAMESPACE = "ups"


class AudienceFacts(msgspec.Struct, frozen=True):
    """What a message says about an audience.

    Attributes:
        number: Its number in changes.
        id: Its id on the wire.
        namespace: ``ups`` for audiences of the platform, else where they come from.
        merge_policy_id: The policy it is evaluated under.
        name: Its name.
        created_at_ms: When it was made (epoch ms).
        updated_at_ms: When its definition changed last (epoch ms).
    """

    number: int
    id: str
    namespace: str
    merge_policy_id: str
    name: str = ""
    created_at_ms: int = 0
    updated_at_ms: int = 0


class MappedAudience(msgspec.Struct, frozen=True):
    """An audience of a dataflow.

    Attributes:
        number: Its number.
        created_at_ms: When it was added to the dataflow (epoch ms).
        updated_at_ms: When its mapping changed last (epoch ms).
    """

    number: int
    created_at_ms: int = 0
    updated_at_ms: int = 0


class Selection(Protocol):
    """What of a dataflow decides about triggers."""

    @property
    def flow_id(self) -> str:
        """Id of the dataflow."""

    @property
    def mapped(self) -> Mapping[int, MappedAudience]:
        """Its audiences by number."""

    @property
    def attributes(self) -> frozenset[str]:
        """Its attributes as dotted paths."""

    @property
    def triggers(self) -> ExportTriggers:
        """Its switches."""


def triggering_audiences(change: Change, selection: Selection, facts: Mapping[int, AudienceFacts]) -> set[int]:
    """Return the mapped audiences on whose account the change makes a message; empty when it makes none.

    For a cause other than a membership these are the mapped audiences that the person is in.
    """
    if change.backfill_flow:
        if change.backfill_flow != selection.flow_id:
            return set()
        return change.member_since.keys() & selection.mapped.keys() & set(change.backfill_audiences)
    found = {item.audience for item in change.memberships_changed if _switched_on(item, selection, facts)}
    if _is_written(change, selection) or (change.are_identities_changed and selection.triggers.identities):
        found |= change.member_since.keys() & selection.mapped.keys()
    return found


def _switched_on(item: MembershipChange, selection: Selection, facts: Mapping[int, AudienceFacts]) -> bool:
    if item.audience not in selection.mapped or item.audience not in facts:
        return False
    is_external = facts[item.audience].namespace != PLATFORM_NAMESPACE
    return selection.triggers.external_audiences if is_external else selection.triggers.audiences


def _is_written(change: Change, selection: Selection) -> bool:
    if not selection.triggers.attributes:
        return False
    if not selection.attributes.isdisjoint(change.attributes_changed):
        return True
    return selection.triggers.unchanged_attributes and not selection.attributes.isdisjoint(change.attributes_written)
