"""Audiences: what the system derives from a definition, and which changes it refuses."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from headrace.audience.definition import EXTERNAL, Definition, Expression
from headrace.audience.errors import (
    AudienceExists,
    AudienceInUse,
    AudienceInvalid,
    AudienceNameTaken,
    AudienceRefused,
    AudienceUnknown,
    ExpressionInvalid,
)
from headrace.audience.evaluation import MethodRules
from headrace.audience.service import Audiences
from headrace.clock import ManualClock
from headrace.model import Sandbox
from headrace.pql.plan import RuleSet
from headrace.profile.policies import MergePolicies

IN_A_DAY = "WHEN(<= 24 hours before now)"
CHECKOUT = f'chain(xEvent, timestamp, [A: WHAT(eventType = "checkout") {IN_A_DAY}])'
EVER = 'chain(xEvent, timestamp, [A: WHAT(eventType = "checkout")])'


def definition(text: str, name: str = "Runners", **more: Any) -> Definition:
    return Definition(name=name, expression=Expression(text), **more)


def renamed(name: str) -> Any:
    return lambda base: msgspec.structs.replace(base, name=name)


def rewritten(text: str) -> Any:
    return lambda base: msgspec.structs.replace(base, expression=Expression(text))


def moved(state: str) -> Any:
    return lambda base: msgspec.structs.replace(base, lifecycle_state=state)


def test_an_eligible_audience_is_streamed_without_being_asked(audiences: Audiences, prod: Sandbox) -> None:
    made = audiences.create(prod, definition(f'person.gender = "male" and {CHECKOUT}'))
    assert (made.method, made.evaluation.query_class, made.evaluation.unmet("")) == ("streaming", "E1", ())
    assert [item.id for item in audiences.all_streaming(prod)] == [made.id]
    assert audiences.all_streaming(prod)[0].bound is not None
    assert made.evaluation.lookback_ms == 86_400_000


def test_an_audience_that_cannot_be_streamed_becomes_batch_and_says_why(audiences: Audiences, prod: Sandbox) -> None:
    made = audiences.create(prod, definition(EVER, requested="streaming"))
    assert made.method == "batch"
    assert [reason.code for reason in made.evaluation.unmet("streaming")] == ["W"]
    assert audiences.all_streaming(prod) == []
    assert [item.id for item in audiences.evaluated(prod)] == [made.id]


@pytest.mark.parametrize(
    ("requested", "method"), [("batch", "batch"), ("streaming", "streaming"), ("edge", "edge"), ("", "streaming")]
)
def test_an_eligible_wish_is_granted(audiences: Audiences, prod: Sandbox, requested: str, method: str) -> None:
    assert audiences.create(prod, definition(CHECKOUT, requested=requested)).method == method


def test_an_unmet_wish_for_the_edge_falls_to_streaming(audiences: Audiences, prod: Sandbox) -> None:
    made = audiences.create(prod, definition(f"{CHECKOUT} and {CHECKOUT.replace('checkout', 'view')}", requested="edge"))
    assert made.method == "streaming"
    assert [reason.code for reason in made.evaluation.unmet("edge")] == ["EM"]


def test_a_sandbox_may_choose_other_rules(audiences: Audiences, prod: Sandbox) -> None:
    week = CHECKOUT.replace("24 hours", "7 days")
    assert audiences.create(prod, definition(week)).method == "batch"
    audiences.connect(rules_of=lambda _: MethodRules(RuleSet.EXTENDED, lookback_days=30))
    assert audiences.create(prod, definition(week, "Longer")).method == "streaming"
    audiences.connect(rules_of=lambda _: MethodRules(is_automatic=False))
    assert audiences.create(prod, definition(CHECKOUT, "By hand")).method == "batch"


def test_another_merge_policy_than_the_default_is_not_streamed(
    audiences: Audiences, policies: MergePolicies, prod: Sandbox
) -> None:
    other = policies.create(
        prod,
        {
            "name": "Other",
            "schema": {"name": "_xdm.context.profile"},
            "identityGraph": {"type": "none"},
            "attributeMerge": {"type": "timestampOrdered"},
        },
    )
    made = audiences.create(prod, definition(CHECKOUT, merge_policy_id=other.id))
    assert made.method == "batch"
    assert [reason.code for reason in made.evaluation.streaming_reasons] == ["MP"]
    assert "default merge policy" in made.evaluation.streaming_reasons[0].text
    assert audiences.users_of_policy(prod, other.id) == ["audience 'Runners'"]
    with pytest.raises(AudienceInvalid, match="no merge policy 'nope'"):
        audiences.create(prod, definition(CHECKOUT, "X", merge_policy_id="nope"))


def test_audiences_follow_the_default_merge_policy(audiences: Audiences, policies: MergePolicies, prod: Sandbox) -> None:
    made = audiences.create(prod, definition(CHECKOUT))
    policies.connect(default_moved=audiences.move_policy)
    new = policies.create(
        prod,
        {
            "name": "New",
            "schema": {"name": "_xdm.context.profile"},
            "identityGraph": {"type": "pdg"},
            "attributeMerge": {"type": "timestampOrdered"},
            "default": True,
        },
    )
    after = audiences.get(prod, made.id)
    assert (after.merge_policy_id, after.method, after.version) == (new.id, "streaming", 2)


def test_all_problems_of_a_query_are_told_with_their_places(audiences: Audiences, prod: Sandbox) -> None:
    with pytest.raises(ExpressionInvalid) as caught:
        audiences.create(prod, definition('person.gendr = "male" and\n person.name.firstName > 3'))
    assert [problem.code for problem in caught.value.problems] == ["E-NAME", "E-TYPE"]
    assert caught.value.sub_errors[0].startswith("E-NAME at 1:8:")
    assert caught.value.sub_errors[1].startswith("E-TYPE at 2:")
    assert caught.value.hint == "Write gender."


def test_a_name_is_unique_in_its_sandbox(audiences: Audiences, prod: Sandbox) -> None:
    first = audiences.create(prod, definition(CHECKOUT))
    with pytest.raises(AudienceNameTaken):
        audiences.create(prod, definition(EVER))
    second = audiences.create(prod, definition(EVER, "Others"))
    with pytest.raises(AudienceNameTaken):
        audiences.update(prod, second.id, renamed("Runners"))
    assert audiences.update(prod, first.id, renamed("Runners")).version == 1


def test_sandboxes_share_nothing(audiences: Audiences, prod: Sandbox) -> None:
    made = audiences.create(prod, definition(CHECKOUT))
    other = replace_sandbox(prod)
    with pytest.raises(AudienceUnknown):
        audiences.get(other, made.id)
    assert audiences.all(other) == ()


def replace_sandbox(sandbox: Sandbox) -> Sandbox:
    return msgspec.structs.replace(sandbox, number=sandbox.number + 7, id="other", name="dev")


def test_version_rises_with_the_query_alone(audiences: Audiences, prod: Sandbox, clock: ManualClock) -> None:
    made = audiences.create(prod, definition(CHECKOUT))
    clock.move_to(clock.now_ms() + 5_000)
    assert audiences.update(prod, made.id, renamed("Walkers")).version == 1
    after = audiences.update(prod, made.id, rewritten(EVER))
    assert (after.version, after.method, after.updated_at - after.created_at) == (2, "batch", 5_000)


def test_references_make_dependencies_and_cycles_are_refused(audiences: Audiences, prod: Sandbox) -> None:
    first = audiences.create(prod, definition('person.gender = "male"', "First"))
    second = audiences.create(prod, definition(f'inSegment("{first.id}")', "Second"))
    assert second.dependencies == (first.id,)
    assert [item.id for item in audiences.dependents(prod, first.id)] == [second.id]
    assert [item.id for item in audiences.with_dependencies(prod, [second.id])] == [first.id, second.id]
    with pytest.raises(ExpressionInvalid, match="E-CYCLE"):
        audiences.update(prod, first.id, rewritten(f'inSegment("{second.id}")'))
    with pytest.raises(ExpressionInvalid, match="E-SEGREF"):
        audiences.create(prod, definition('inSegment("nowhere")', "Third"))


def test_an_event_beside_a_reference_is_streamed_only_for_profile_audiences(audiences: Audiences, prod: Sandbox) -> None:
    plain = audiences.create(prod, definition('person.gender = "male"', "Plain"))
    eventful = audiences.create(prod, definition(CHECKOUT, "Eventful"))
    good = audiences.create(prod, definition(f'inSegment("{plain.id}") and {CHECKOUT}', "Good"))
    bad = audiences.create(prod, definition(f'inSegment("{eventful.id}") and {CHECKOUT}', "Bad"))
    assert (good.method, bad.method) == ("streaming", "batch")
    assert [reason.code for reason in bad.evaluation.streaming_reasons] == ["IS"]


def test_references_go_ten_deep_at_most(audiences: Audiences, prod: Sandbox) -> None:
    last = audiences.create(prod, definition('person.gender = "male"', "0"))
    for depth in range(1, 10):
        last = audiences.create(prod, definition(f'inSegment("{last.id}")', str(depth)))
    with pytest.raises(AudienceRefused, match="10 deep"):
        audiences.create(prod, definition(f'inSegment("{last.id}")', "too deep"))


def test_an_audience_that_is_used_cannot_be_deleted(audiences: Audiences, prod: Sandbox) -> None:
    first = audiences.create(prod, definition('person.gender = "male"', "First"))
    second = audiences.create(prod, definition(f'inSegment("{first.id}")', "Second"))
    with pytest.raises(AudienceInUse, match="used by audience 'Second'"):
        audiences.delete(prod, first.id)
    audiences.connect(users_of=lambda _, audience_id: ["dataflow 'Mail'"] if audience_id == second.id else [])
    with pytest.raises(AudienceInUse, match="used by dataflow 'Mail'"):
        audiences.delete(prod, second.id)
    audiences.connect(users_of=lambda _, audience_id: [])
    audiences.delete(prod, second.id)
    audiences.delete(prod, first.id)
    assert audiences.all(prod) == ()


def test_life_cycle_goes_forward_and_never_back_to_draft(audiences: Audiences, prod: Sandbox) -> None:
    made = audiences.create(prod, definition(CHECKOUT, lifecycle_state="draft"))
    assert audiences.all_streaming(prod) == audiences.active(prod) == []
    with pytest.raises(AudienceRefused, match="draft audience cannot become inactive"):
        audiences.update(prod, made.id, moved("inactive"))
    audiences.update(prod, made.id, moved("published"))
    assert len(audiences.all_streaming(prod)) == 1
    with pytest.raises(AudienceRefused, match="cannot become draft"):
        audiences.update(prod, made.id, moved("draft"))
    audiences.update(prod, made.id, moved("inactive"))
    assert audiences.all_streaming(prod) == []
    assert [item.id for item in audiences.active(prod)] == [made.id]


def test_leaving_published_waits_for_those_who_use_it(audiences: Audiences, prod: Sandbox) -> None:
    first = audiences.create(prod, definition('person.gender = "male"', "First"))
    second = audiences.create(prod, definition(f'inSegment("{first.id}")', "Second"))
    with pytest.raises(AudienceInUse, match="deactivated"):
        audiences.update(prod, first.id, moved("inactive"))
    audiences.update(prod, second.id, moved("inactive"))
    assert audiences.update(prod, first.id, moved("inactive")).lifecycle_state == "inactive"


def test_publishing_needs_published_parents(audiences: Audiences, prod: Sandbox) -> None:
    first = audiences.create(prod, definition('person.gender = "male"', "First", lifecycle_state="draft"))
    with pytest.raises(AudienceRefused, match="cannot use the draft 'First'"):
        audiences.create(prod, definition(f'inSegment("{first.id}")', "Second"))
    audiences.create(prod, definition(f'inSegment("{first.id}")', "Third", lifecycle_state="draft"))


def test_external_audiences_are_named_by_their_namespace(audiences: Audiences, prod: Sandbox) -> None:
    wanted = Definition(name="Partner", kind=EXTERNAL, namespace="AAMSegments", audience_id="88121", origin="AUDIENCE_MANAGER")
    made = audiences.create(prod, wanted)
    assert made.id == f"QUFNU2VnbWVudHNfODgxMjE_{prod.id}"
    assert (made.is_external, made.has_query, audiences.evaluated(prod)) == (True, False, [])
    again = msgspec.structs.replace(wanted, name="Again", namespace="aamsegments")
    with pytest.raises(AudienceExists):
        audiences.create(prod, again)
    other = audiences.create(prod, msgspec.structs.replace(again, audience_id="2"))
    assert other.definition.namespace == "AAMSegments"
    with pytest.raises(AudienceRefused, match="namespace"):
        audiences.update(prod, made.id, lambda base: msgspec.structs.replace(base, namespace="AAMTraits"))


def test_uploaded_audience_ids_have_a_shape(audiences: Audiences, prod: Sandbox) -> None:
    wanted = Definition(
        name="Upload", kind=EXTERNAL, namespace="CustomerAudienceUpload", audience_id="1-2", origin="CUSTOM_UPLOAD"
    )
    with pytest.raises(AudienceInvalid, match="begins with a letter"):
        audiences.create(prod, wanted)


def test_readers_see_changes_of_another_process(audiences: Audiences, prod: Sandbox, policies: MergePolicies) -> None:
    other = Audiences(audiences._control, audiences._clock, audiences.binder._schemas, policies)
    assert audiences.all(prod) == ()
    made = other.create(prod, definition(CHECKOUT))
    assert [item.id for item in audiences.all(prod)] == [made.id]
    assert audiences.ids(prod) == {made.number: made.id}
    assert replace(made) == made
