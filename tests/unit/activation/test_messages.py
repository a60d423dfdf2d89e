"""What a streaming message holds, and which changes make one."""

import uuid
from typing import Any

import msgspec
import pytest

from headrace.activation.messages import EXITS_ARE_TOLD_MS, NO_IDENTITY, Excluded, MessageBuilder
from headrace.activation.triggers import AudienceFacts, MappedAudience
from headrace.clock import parse_iso
from headrace.destinations.base import Message
from headrace.destinations.stream_settings import ExportTriggers
from headrace.model import Change, Identity, MembershipChange

FLOW = "5e0fb6e1-1f0c-4c0e-9a7f-6a0c1f2b3d4e"
NOW = parse_iso("2027-02-14T08:01:09Z")
RIDERS, LAPSED, OTHERS_POLICY, EXTERNAL = 1, 2, 3, 4
AUDIENCES = {
    RIDERS: AudienceFacts(RIDERS, "aud-riders", "ups", "mp-1", "Weekend riders", 1_800_000_000_000, 1_800_000_360_000),
    LAPSED: AudienceFacts(LAPSED, "aud-lapsed", "ups", "mp-1", "Lapsed"),
    OTHERS_POLICY: AudienceFacts(OTHERS_POLICY, "aud-other", "ups", "mp-2", "Other policy"),
    EXTERNAL: AudienceFacts(EXTERNAL, "aud-ext", "CustomerAudienceUpload", "mp-1", "Uploaded"),
}
NAMESPACES = {4: "ECID", 6: "Email", 7: "Email_LC_SHA256"}


def builder(**options: Any) -> MessageBuilder:
    given: dict[str, Any] = {
        "sandbox": 1,
        "mapped": [MappedAudience(RIDERS, 1_801_000_000_000, 1_801_000_000_001)],
        "attributes": ["person.name", "personalEmail.address"],
        "audiences": AUDIENCES,
        "namespaces": NAMESPACES,
    }
    return MessageBuilder(FLOW, **{**given, **options})


def change(**values: Any) -> Change:
    given: dict[str, Any] = {
        "sandbox": 1,
        "person_id": b"p" * 16,
        "at_ms": NOW,
        "memberships_changed": (),
        "attributes_written": (),
        "attributes_changed": (),
        "are_identities_changed": False,
        "attributes": {
            "person": {"name": {"firstName": "Ilse", "lastName": "Moreau"}, "birthDate": "1991-06-02"},
            "homeAddress": {"city": "Ghent"},
        },
        "identities": (Identity(4, "384"), Identity(6, "ilse@example.com", "Ilse@Example.com")),
    }
    memberships = values.pop("memberships", ())
    given["member_since"] = {item.audience: item.changed_at_ms for item in memberships if item.is_member}
    given["exited_at"] = {item.audience: item.changed_at_ms for item in memberships if not item.is_member}
    return Change(**{**given, **values})


def entered(audience: int = RIDERS, at_ms: int = NOW) -> MembershipChange:
    return MembershipChange(audience, True, at_ms)


def left(audience: int = RIDERS, at_ms: int = NOW) -> MembershipChange:
    return MembershipChange(audience, False, at_ms)


def body_of(made: Message | Excluded | None) -> Any:
    assert isinstance(made, Message)
    return msgspec.json.decode(made.body)


def test_an_entry_is_told_with_mapped_attributes_memberships_and_all_identities() -> None:
    made = builder().message(change(memberships_changed=(entered(),), memberships=(entered(),)), 7)
    assert body_of(made) == {
        "person": {"name": {"firstName": "Ilse", "lastName": "Moreau"}},
        "segmentMembership": {"ups": {"aud-riders": {"lastQualificationTime": "2027-02-14T08:01:09Z", "status": "realized"}}},
        "identityMap": {"ecid": [{"id": "384"}], "email": [{"id": "Ilse@Example.com"}]},
    }


def test_an_exit_is_told() -> None:
    body = body_of(builder().message(change(memberships_changed=(left(),), memberships=(left(),)), 7))
    assert body["segmentMembership"]["ups"]["aud-riders"]["status"] == "exited"


def test_other_memberships_of_the_same_merge_policy_are_told_too() -> None:
    memberships = (entered(), entered(LAPSED, NOW - 9_000), entered(OTHERS_POLICY), entered(EXTERNAL), entered(99))
    body = body_of(builder().message(change(memberships_changed=(entered(),), memberships=memberships), 7))
    assert {space: sorted(ids) for space, ids in body["segmentMembership"].items()} == {
        "ups": ["aud-lapsed", "aud-riders"],
        "CustomerAudienceUpload": ["aud-ext"],
    }


@pytest.mark.parametrize(("age_ms", "is_told"), [(EXITS_ARE_TOLD_MS, True), (EXITS_ARE_TOLD_MS + 1, False)])
def test_an_older_exit_is_told_for_thirty_days(age_ms: int, is_told: bool) -> None:
    memberships = (entered(), left(LAPSED, NOW - age_ms))
    body = body_of(builder().message(change(memberships_changed=(entered(),), memberships=memberships), 7))
    assert ("aud-lapsed" in body["segmentMembership"]["ups"]) is is_told


def test_names_and_timestamps_are_added_to_mapped_audiences_only() -> None:
    memberships = (entered(), entered(LAPSED))
    made = builder(includes_names=True, includes_timestamps=True).message(
        change(memberships_changed=(entered(),), memberships=memberships), 7
    )
    told = body_of(made)["segmentMembership"]["ups"]
    assert told["aud-riders"] == {
        "lastQualificationTime": "2027-02-14T08:01:09Z",
        "status": "realized",
        "createdAt": 1_800_000_000_000,
        "updatedAt": 1_800_000_360_000,
        "mappingCreatedAt": 1_801_000_000_000,
        "mappingUpdatedAt": 1_801_000_000_001,
        "name": "Weekend riders",
    }
    assert set(told["aud-lapsed"]) == {"lastQualificationTime", "status"}


def test_the_message_id_is_the_uuid_of_flow_and_sequence() -> None:
    made = builder().message(change(memberships_changed=(entered(),), memberships=(entered(),)), 4711)
    assert isinstance(made, Message)
    assert made.id == str(uuid.uuid5(uuid.UUID(FLOW), "4711"))


@pytest.mark.parametrize(
    ("values", "triggers", "is_made"),
    [
        ({"attributes_written": ("person.name",)}, {}, True),
        ({"attributes_written": ("person.name",)}, {"attributes": False}, False),
        ({"attributes_written": ("person.name",)}, {"unchanged_attributes": False}, False),
        ({"attributes_written": ("person.name",), "attributes_changed": ("person.name",)}, {"unchanged_attributes": False}, True),
        ({"attributes_changed": ("person.name",)}, {}, True),
        ({"attributes_written": ("homeAddress.city",)}, {}, False),
        ({"are_identities_changed": True}, {}, True),
        ({"are_identities_changed": True}, {"identities": False}, False),
        ({"memberships_changed": (entered(),)}, {}, True),
        ({"memberships_changed": (entered(),)}, {"audiences": False}, False),
        ({"memberships_changed": (entered(),), "are_identities_changed": True}, {"audiences": False}, True),
        ({"memberships_changed": (entered(LAPSED),)}, {}, False),
        ({"sandbox": 2, "memberships_changed": (entered(),)}, {}, False),
        ({}, {}, False),
    ],
)
def test_a_cause_makes_a_message_when_it_is_switched_on(values: dict[str, Any], triggers: dict[str, bool], is_made: bool) -> None:
    made = builder(triggers=ExportTriggers(**triggers)).message(change(**{"memberships": (entered(),), **values}), 1)
    assert (made is not None) is is_made


@pytest.mark.parametrize("is_on", [True, False])
def test_external_audiences_have_a_switch_of_their_own(is_on: bool) -> None:
    made = builder(mapped=[MappedAudience(EXTERNAL)], triggers=ExportTriggers(external_audiences=is_on, audiences=False)).message(
        change(memberships_changed=(entered(EXTERNAL),), memberships=(entered(EXTERNAL),)), 1
    )
    assert (made is not None) is is_on


@pytest.mark.parametrize("memberships", [(), (left(RIDERS, NOW - 9_000),), (entered(LAPSED),)])
@pytest.mark.parametrize("cause", [{"attributes_written": ("person.name",)}, {"are_identities_changed": True}])
def test_attributes_and_identities_are_told_only_of_members(cause: dict[str, Any], memberships: tuple[Any, ...]) -> None:
    assert builder().message(change(memberships=memberships, **cause), 1) is None


def test_a_backfill_is_told_to_its_own_dataflow_alone() -> None:
    repeated = change(backfill_flow=FLOW, backfill_audiences=(RIDERS,), memberships=(entered(RIDERS, NOW - 9_000),))
    assert body_of(builder().message(repeated, 1))["segmentMembership"]["ups"]["aud-riders"]["status"] == "realized"
    assert builder().message(msgspec.structs.replace(repeated, backfill_flow="another"), 1) is None


def test_a_backfill_of_somebody_who_has_left_is_not_told() -> None:
    repeated = change(backfill_flow=FLOW, backfill_audiences=(RIDERS,), memberships=(left(RIDERS, NOW - 9_000),))
    assert builder().message(repeated, 1) is None


def test_a_person_without_exportable_identity_is_excluded() -> None:
    made = builder().message(
        change(memberships_changed=(entered(),), memberships=(entered(),), identities=(Identity(99, "x"),)), 1
    )
    assert made == Excluded(NO_IDENTITY)


def test_a_path_covers_the_paths_below_it() -> None:
    made = builder(attributes=["person.name.firstName", "person.name", "person.birthDate"]).message(
        change(memberships_changed=(entered(),), memberships=(entered(),)), 1
    )
    assert body_of(made)["person"] == {"birthDate": "1991-06-02", "name": {"firstName": "Ilse", "lastName": "Moreau"}}
