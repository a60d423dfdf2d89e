"""From dataflows to plans of the delivery loop."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from headrace.activation.dataflows import AudienceSelector, Dataflow
from headrace.activation.mapping import AttributeMapping
from headrace.clock import ManualClock
from headrace.destinations.base import Context, Message
from headrace.destinations.http_api import HttpApi
from headrace.destinations.settings import settings_from
from headrace.model import Change, Identity, MembershipChange, Sandbox
from headrace.roles.activation_plans import ActivationPlans

PROD = Sandbox(1, "sb-1", "prod", "production", True, "org@AdobeOrg")
NOW = 1_800_000_000_000


def dataflow(**params: Any) -> Dataflow:
    target = {"httpEndpoint": "https://hooks.example.com/in", **params}
    return Dataflow(
        id="5e0fb6e1-1f0c-4c0e-9a7f-6a0c1f2b3d4e",
        name="Hook",
        sandbox=PROD,
        kind="stream",
        content="audience",
        connection_spec_id=HttpApi.connection_spec_id,
        flow_spec_id=HttpApi.flow_spec_id,
        source_connection_id="source",
        target_connection_id="target",
        auth_name="",
        auth_params={},
        target_params=target,
        target=settings_from(HttpApi.target_settings, target),
        connection_key=("base-1", "target-1"),
        public_key="",
        audiences=(AudienceSelector("aud-1", 1, "Riders", "mp-1", None, None, "", NOW, NOW),),
        attributes=(AttributeMapping("attribute", "person.name", "person.name", ("person", "name"), type="object"),),
        mandatory=(),
        keys=(),
        dataset_ids=(),
        dataset_schedule=None,
        marketing_actions=(),
        enforces_consent=False,
        created_at_ms=NOW,
        updated_at_ms=NOW,
    )


def audience(number: int, *, namespace: str = "") -> Any:
    return SimpleNamespace(
        number=number,
        id=f"aud-{number}",
        name=f"Audience {number}",
        merge_policy_id="mp-1",
        created_at=NOW,
        updated_at=NOW,
        is_external=bool(namespace),
        definition=SimpleNamespace(namespace=namespace or "AEPSegments"),
    )


def plans_of(*flows: Dataflow) -> ActivationPlans:
    context = Context(clock=ManualClock(NOW), sandbox_name="prod", landing_zone=Path("unused"))
    return ActivationPlans(
        SimpleNamespace(all=lambda: [PROD]),  # type: ignore[arg-type]
        SimpleNamespace(active=lambda sandbox: list(flows)),  # type: ignore[arg-type]
        SimpleNamespace(active=lambda sandbox: [audience(1), audience(2, namespace="CustomerAudienceUpload")]),  # type: ignore[arg-type]
        SimpleNamespace(all=lambda sandbox: [SimpleNamespace(id=6, code="Email")]),  # type: ignore[arg-type]
        lambda sandbox: context,
    )


def entered(*numbers: int) -> Change:
    return Change(
        sandbox=1,
        person_id=b"p" * 16,
        at_ms=NOW,
        memberships_changed=(MembershipChange(numbers[0], True, NOW),),
        attributes_written=(),
        attributes_changed=(),
        are_identities_changed=False,
        attributes={"person": {"name": {"firstName": "Ilse"}}},
        identities=(Identity(6, "a@x"),),
        member_since=dict.fromkeys(numbers, NOW),
        exited_at={},
    )


def test_a_plan_builds_the_messages_of_its_dataflow() -> None:
    (plan,) = plans_of(dataflow(includeSegmentNames=True))()
    made = plan.builder.message(entered(1, 2), 7)
    assert isinstance(made, Message)
    body = msgspec.json.decode(made.body)
    assert body["person"] == {"name": {"firstName": "Ilse"}}
    assert body["identityMap"] == {"email": [{"id": "a@x"}]}
    assert body["segmentMembership"]["ups"]["aud-1"]["name"] == "Audience 1"
    assert list(body["segmentMembership"]["CustomerAudienceUpload"]) == ["aud-2"]


@pytest.mark.parametrize(("policy", "is_persistent"), [("standard", False), ("persistent", True)])
def test_the_retry_policy_is_the_targets(policy: str, is_persistent: bool) -> None:
    (plan,) = plans_of(dataflow(retryPolicy=policy))()
    assert plan.policy.is_persistent is is_persistent


def test_a_plan_opens_its_destination_and_names_its_subject() -> None:
    flow = dataflow()
    (plan,) = plans_of(flow)()
    assert isinstance(plan.open(), HttpApi)
    assert plan.connection == flow.connection_key
    assert plan.subject is flow


def test_files_and_datasets_have_no_plan() -> None:
    files = msgspec.structs.replace(dataflow(), kind="file")
    datasets = msgspec.structs.replace(dataflow(), content="dataset")
    assert plans_of(files, datasets)() == []
