"""The read model: what exporters, senders and the pipeline see of dataflows."""

from pathlib import Path
from typing import Any

import pytest

from headrace.activation.dataflows import Dataflow, Dataflows
from headrace.activation.runs import RunMetrics
from headrace.activation.service import FlowService
from headrace.activation.store import StoredFlow
from headrace.clock import ManualClock, parse_iso
from headrace.config import Secret
from headrace.destinations.base import Context
from headrace.destinations.data_landing_zone import DataLandingZone
from headrace.storage.control import ControlStore
from tests.unit.activation.flow_fakes import (
    AUTHOR,
    PROD,
    S3_FLOW,
    STREAM_FLOW,
    ZONE,
    FakeAudiences,
    FakeNamespaces,
    FakeSchemas,
    attribute_selector,
    audience_selector,
    file_selector,
    flow_service,
    http_bodies,
    make_ends,
    s3_bodies,
    spec,
)


@pytest.fixture
def service(control: ControlStore, clock: ManualClock, tmp_path: Path) -> FlowService:
    return flow_service(control, clock, tmp_path)


def made_stream(service: FlowService, *audiences: str, attributes: tuple[str, ...] = (), **params: Any) -> StoredFlow:
    base, target = http_bodies()
    target["params"] |= {"includeSegmentNames": True, "exportTriggers": {"identities": False}}
    transformation = {
        "segmentSelectors": {"selectors": [audience_selector(item) for item in audiences]},
        "profileSelectors": {"selectors": [attribute_selector(path) for path in attributes]},
        **params,
    }
    body = {
        "name": "Hook flow",
        "flowSpec": spec(STREAM_FLOW),
        **make_ends(service, (base, target)),
        "transformations": [{"name": "General Transform", "params": transformation}],
    }
    return service.flows.create(PROD, body, AUTHOR)


def only(service: FlowService) -> Dataflow:
    (flow,) = service.dataflows.active(PROD)
    return flow


def test_streaming_dataflow_is_read_complete(service: FlowService, clock: ManualClock) -> None:
    made = made_stream(service, "aud-1", "aud-2", attributes=("person.name.firstName",))
    flow = only(service)
    assert (flow.id, flow.kind, flow.content, flow.title, flow.auth_name) == (
        made.id,
        "stream",
        "audience",
        "HTTP API",
        "Bearer Token",
    )
    assert flow.auth_params["bearerToken"] == Secret("s3cret-token")
    assert "s3cret-token" not in repr(flow)
    assert flow.target.include_segment_names
    assert not flow.target.export_triggers.identities
    assert [(item.audience_id, item.number, item.mapped_at_ms) for item in flow.audiences] == [
        ("aud-1", 1, clock.now_ms()),
        ("aud-2", 2, clock.now_ms()),
    ]
    assert flow.attributes[0].path == ("person", "name", "firstName")


def test_file_audience_has_its_schedule(service: FlowService) -> None:
    ends = make_ends(service, s3_bodies())
    params = {"segmentSelectors": {"selectors": [file_selector("aud-3")]}}
    body = {
        "name": "Files",
        "flowSpec": spec(S3_FLOW),
        **ends,
        "transformations": [{"name": "GeneralTransform", "params": params}],
    }
    service.flows.create(PROD, body, AUTHOR)
    selector = only(service).audience("aud-3")
    assert selector is not None
    assert selector.schedule is not None
    assert selector.schedule.due_after(parse_iso("2027-02-14T08:00:00Z")) == parse_iso("2027-02-14T09:00:00Z")


def test_dataflow_opens_its_destination(service: FlowService, clock: ManualClock, tmp_path: Path) -> None:
    target = {
        "name": "z",
        "connectionSpec": spec(ZONE),
        "params": {"path": "out", "compression": "NONE", "fileType": "CSV"},
    }
    ends = make_ends(service, ({"name": "Zone"}, target))
    body = {"name": "Files", "flowSpec": spec("7e635b9f-e59b-4546-8ba8-fce6496693c8"), **ends}
    service.flows.create(PROD, body, AUTHOR)
    context = Context(clock=clock, sandbox_name="prod", landing_zone=tmp_path)
    assert isinstance(only(service).open(context), DataLandingZone)


def test_connection_key_follows_credentials_and_place_alone(service: FlowService) -> None:
    made = made_stream(service, "aud-1")
    before = only(service).connection_key
    service.flows.patch(
        PROD, made.id, lambda document: {**document, "name": "New"}, operations=[], if_match=made.etag, author=AUTHOR
    )
    assert only(service).connection_key == before
    base = service.connections.all(PROD, "base")[0]
    service.connections.patch(PROD, "base", base.id, dict, if_match=base.etag, author=AUTHOR)
    assert only(service).connection_key != before


def test_gone_audience_is_left_out(service: FlowService) -> None:
    made_stream(service, "aud-1", "aud-2")
    audiences: Any = service.dataflows._audiences
    del audiences.known["aud-1"]
    assert [item.number for item in only(service).audiences] == [2]


def test_dataflow_whose_secrets_cannot_be_opened_is_left_out(service: FlowService, monkeypatch: pytest.MonkeyPatch) -> None:
    made_stream(service, "aud-1")

    def lost(self: object, sealed: bytes) -> bytes:
        raise ValueError("the key is lost")

    monkeypatch.setattr("tests.unit.activation.flow_fakes.FakeBox.open", lost)
    assert service.dataflows.active(PROD) == []
    assert service.dataflows.streaming_interest(PROD).audiences == frozenset({1})


def test_dataflow_with_a_disabled_account_is_not_active(service: FlowService) -> None:
    made_stream(service, "aud-1")
    base = service.connections.all(PROD, "base")[0]
    service.connections.patch(
        PROD, "base", base.id, lambda document: {**document, "state": "disabled"}, if_match=base.etag, author=AUTHOR
    )
    assert service.dataflows.active(PROD) == []
    assert service.dataflows.streaming_interest(PROD).audiences == frozenset()


def test_interest_joins_streaming_dataflows(service: FlowService) -> None:
    first = made_stream(service, "aud-1", "aud-2", attributes=("person.name.firstName",))
    second = made_stream(service, "aud-2", attributes=("person.name.firstName", "orders"))
    interest = service.dataflows.streaming_interest(PROD)
    assert interest.audiences == frozenset({1, 2})
    assert interest.attribute_paths == ("person.name.firstName", "orders", "consents")
    assert interest.flows == {first.id: frozenset({1, 2}), second.id: frozenset({2})}


def test_consents_are_not_asked_for_when_no_dataflow_enforces_them(service: FlowService) -> None:
    made_stream(service, "aud-1", consentEnforcement="aep-compatible")
    assert service.dataflows.streaming_interest(PROD).attribute_paths == ()
    assert not only(service).enforces_consent


def test_dataflow_without_audiences_asks_for_nothing(service: FlowService) -> None:
    made_stream(service)
    interest = service.dataflows.streaming_interest(PROD)
    assert (interest.audiences, interest.flows) == (frozenset(), {})


def test_interest_needs_no_secrets(service: FlowService, control: ControlStore, clock: ManualClock) -> None:
    made_stream(service, "aud-1")
    pipeline = Dataflows(control, clock, schemas=FakeSchemas(), namespaces=FakeNamespaces(), audiences=FakeAudiences())
    assert pipeline.streaming_interest(PROD).audiences == frozenset({1})


def test_answers_are_kept_until_something_is_configured(service: FlowService) -> None:
    made = made_stream(service, "aud-1")
    first = service.dataflows.active(PROD)
    assert service.dataflows.active(PROD) is first
    service.runs.add(first[0], 0, RunMetrics(input_records=1))
    assert service.dataflows.active(PROD) is first
    service.flows.set_state(PROD, made.id, "disabled", AUTHOR)
    assert service.dataflows.active(PROD) == []
