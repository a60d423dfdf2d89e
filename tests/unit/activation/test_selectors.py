"""Dataflows: what they accept, what they make of it, and what they refuse."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonpatch
import pytest

from headrace.activation.errors import (
    EntityInvalid,
    EntityUnknown,
    MappingInvalid,
    MappingSetInUse,
    ScheduleInvalid,
    SelectorInvalid,
    SpecInvalid,
    VersionStale,
)
from headrace.activation.selectors import DEFAULT_FILE_NAME, check_file_name
from headrace.activation.service import FlowService
from headrace.activation.store import StoredFlow
from headrace.clock import ManualClock
from headrace.errors import HeadraceError
from headrace.storage.control import ControlStore
from tests.unit.activation.flow_fakes import (
    AUTHOR,
    DATA_LAKE,
    LAKE_TARGET,
    OTHER,
    PROD,
    S3_DATASET_FLOW,
    S3_FLOW,
    STREAM_FLOW,
    STREAMING,
    attribute_selector,
    audience_selector,
    file_selector,
    flow_service,
    http_bodies,
    make_ends,
    s3_bodies,
    spec,
)

PARAMS = "/transformations/0/params"
NOW_SECONDS = "1802592000"


@pytest.fixture
def service(control: ControlStore, clock: ManualClock, tmp_path: Path) -> FlowService:
    return flow_service(control, clock, tmp_path)


@pytest.fixture
def stream(service: FlowService) -> StoredFlow:
    body = {"name": "Hook flow", "flowSpec": spec(STREAM_FLOW), **make_ends(service, http_bodies())}
    return service.flows.create(PROD, body, AUTHOR)


@pytest.fixture
def files(service: FlowService) -> StoredFlow:
    body = {"name": "File flow", "flowSpec": spec(S3_FLOW), **make_ends(service, s3_bodies()), "transformations": []}
    return service.flows.create(PROD, body, AUTHOR)


@pytest.fixture
def patch(service: FlowService) -> Callable[..., StoredFlow]:
    def patched(flow: StoredFlow, *operations: dict[str, Any]) -> StoredFlow:
        present = service.flows.get(PROD, flow.id)
        return service.flows.patch(
            PROD,
            flow.id,
            lambda document: jsonpatch.apply_patch(document, list(operations)),
            operations=operations,
            if_match=present.etag,
            author=AUTHOR,
        )

    return patched


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": f"{PARAMS}/{path}", "value": value}


def params_of(flow: StoredFlow) -> dict[str, Any]:
    found: dict[str, Any] = flow.body["transformations"][0]["params"]
    return found


def mapping_set(service: FlowService, *mappings: tuple[str, str], kind: str = "ATTRIBUTE") -> str:
    body = {"mappings": [{"sourceType": kind, "source": source, "destination": target} for source, target in mappings]}
    return service.mapping_sets.create(PROD, body, "ada").id


def test_new_flows_are_normalised_to_one_transformation(stream: StoredFlow, files: StoredFlow) -> None:
    assert stream.body["transformations"] == [
        {
            "name": "GeneralTransform",
            "params": {"segmentSelectors": {"selectors": []}, "profileSelectors": {"selectors": []}},
        }
    ]
    assert params_of(files) == {
        "segmentSelectors": {"selectors": []},
        "mandatoryFields": [],
        "primaryFields": [],
        "profileMapping": {},
    }


def test_audience_of_a_stream_is_stamped_and_loses_schedule_keys(stream: StoredFlow, patch: Callable[..., StoredFlow]) -> None:
    value = file_selector("aud-1")["value"]
    changed = patch(stream, add("segmentSelectors/selectors/-", {"type": "PLATFORM_SEGMENT", "value": value}))
    assert params_of(changed)["segmentSelectors"]["selectors"] == [
        {
            "type": "PLATFORM_SEGMENT",
            "value": {
                "id": "aud-1",
                "name": "Audience 1",
                "description": "",
                "createTime": NOW_SECONDS,
                "updateTime": NOW_SECONDS,
            },
        }
    ]


def test_only_a_changed_selector_gets_a_new_update_time(
    files: StoredFlow, patch: Callable[..., StoredFlow], clock: ManualClock
) -> None:
    patch(
        files,
        add("segmentSelectors/selectors/-", file_selector("aud-1")),
        add("segmentSelectors/selectors/-", file_selector("aud-2")),
    )
    clock.move_to(clock.now_ms() + 5000)
    changed = patch(
        files,
        {"op": "replace", "path": f"{PARAMS}/segmentSelectors/selectors/1", "value": file_selector("aud-2", startTime="10:00")},
    )
    times = [
        (item["value"]["createTime"], item["value"]["updateTime"]) for item in params_of(changed)["segmentSelectors"]["selectors"]
    ]
    assert times == [(NOW_SECONDS, NOW_SECONDS), (NOW_SECONDS, str(int(NOW_SECONDS) + 5))]


def test_removal_follows_the_order_of_the_patch(files: StoredFlow, patch: Callable[..., StoredFlow]) -> None:
    patch(files, *(add("segmentSelectors/selectors/-", file_selector(f"aud-{number}")) for number in (1, 2, 3)))
    selectors = f"{PARAMS}/segmentSelectors/selectors"
    changed = patch(files, {"op": "remove", "path": f"{selectors}/0"}, {"op": "remove", "path": f"{selectors}/1"})
    assert [item["value"]["id"] for item in params_of(changed)["segmentSelectors"]["selectors"]] == ["aud-2"]


def test_file_selector_gets_default_name_and_trigger(files: StoredFlow, patch: Callable[..., StoredFlow]) -> None:
    selector = file_selector("aud-1")
    del selector["value"]["schedule"]["triggerType"]
    value = params_of(patch(files, add("segmentSelectors/selectors/-", selector)))["segmentSelectors"]["selectors"][0]["value"]
    assert (value["filenameTemplate"], value["schedule"]["triggerType"]) == (DEFAULT_FILE_NAME, "SCHEDULED")


def test_other_spelling_of_the_file_name_is_returned_in_the_usual_one(
    files: StoredFlow, patch: Callable[..., StoredFlow]
) -> None:
    selector = file_selector("aud-1")
    selector["value"]["fileNameTemplate"] = "%SEGMENT_NAME%"
    value = params_of(patch(files, add("segmentSelectors/selectors/-", selector)))["segmentSelectors"]["selectors"][0]["value"]
    assert value["filenameTemplate"] == "%SEGMENT_NAME%"
    assert "fileNameTemplate" not in value


def test_external_audience_is_found_by_its_system_id(stream: StoredFlow, patch: Callable[..., StoredFlow]) -> None:
    selector = audience_selector("ext-9", systemSegmentId="aud-7", namespace="aamSegments")
    changed = patch(stream, add("segmentSelectors/selectors/-", selector))
    assert params_of(changed)["segmentSelectors"]["selectors"][0]["value"]["name"] == "Audience 7"


@pytest.mark.parametrize(
    ("operation", "error", "path"),
    [
        (add("segmentSelectors/selectors/-", file_selector("nobody")), SelectorInvalid, "segmentSelectors/selectors/0/value/id"),
        (
            add("segmentSelectors/selectors/-", audience_selector("aud-1")),
            ScheduleInvalid,
            "segmentSelectors/selectors/0/value/exportMode",
        ),
        (
            add("segmentSelectors/selectors/-", file_selector("aud-1", frequency="CHAINED")),
            ScheduleInvalid,
            "segmentSelectors/selectors/0/value/schedule/frequency",
        ),
        (
            add("profileSelectors/selectors/-", attribute_selector("person.name.fristName")),
            SelectorInvalid,
            "profileSelectors/selectors/0/value/path",
        ),
        (add("profileSelectors/selectors/-", attribute_selector("orders")), MappingInvalid, None),
        (add("mandatoryFields", ["nowhere"]), SelectorInvalid, "mandatoryFields/0"),
        (add("primaryFields", [{"fieldType": "IDENTITY", "identityNamespace": "Nope"}]), SelectorInvalid, None),
        (
            add(
                "primaryFields",
                [
                    {"fieldType": "IDENTITY", "identityNamespace": "Email"},
                    {"fieldType": "ATTRIBUTE", "attributePath": "personalEmail.address"},
                ],
            ),
            SelectorInvalid,
            "primaryFields",
        ),
        (add("profileMapping", {"mappingId": "gone", "mappingVersion": 0}), MappingInvalid, "profileMapping/mappingId"),
        (add("consentEnforcement", "off"), SelectorInvalid, "consentEnforcement"),
    ],
)
def test_selection_that_cannot_be_exported_is_refused_by_field(
    files: StoredFlow,
    patch: Callable[..., StoredFlow],
    operation: dict[str, Any],
    error: type[HeadraceError],
    path: str | None,
) -> None:
    with pytest.raises(error) as refused:
        patch(files, operation)
    assert path is None or refused.value.path == f"{PARAMS}/{path}"


def test_unknown_field_names_the_nearest_one(stream: StoredFlow, patch: Callable[..., StoredFlow]) -> None:
    with pytest.raises(SelectorInvalid, match=r"person\.name\.fristName.*Nearest: 'person\.name\.firstName'"):
        patch(stream, add("profileSelectors/selectors/-", attribute_selector("person.name.fristName")))


def test_event_field_is_refused_with_the_reason(stream: StoredFlow, patch: Callable[..., StoredFlow]) -> None:
    with pytest.raises(SelectorInvalid, match="belongs to events"):
        patch(stream, add("profileSelectors/selectors/-", attribute_selector("eventType")))


def test_patch_changes_all_or_nothing(stream: StoredFlow, patch: Callable[..., StoredFlow], service: FlowService) -> None:
    with pytest.raises(SelectorInvalid):
        patch(
            stream,
            add("segmentSelectors/selectors/-", audience_selector("aud-1")),
            add("segmentSelectors/selectors/-", audience_selector("aud-1")),
        )
    assert service.flows.get(PROD, stream.id) == stream


def test_draft_audience_cannot_be_activated(service: FlowService, stream: StoredFlow, patch: Callable[..., StoredFlow]) -> None:
    audiences: Any = service.flows._audiences
    known = audiences.known["aud-5"]
    audiences.known["aud-5"] = type(known)(5, "aud-5", "Later", "draft")
    with pytest.raises(SelectorInvalid, match="draft"):
        patch(stream, add("segmentSelectors/selectors/-", audience_selector("aud-5")))


def test_gone_audience_of_a_flow_does_not_block_other_changes(
    service: FlowService, stream: StoredFlow, patch: Callable[..., StoredFlow]
) -> None:
    patch(stream, add("segmentSelectors/selectors/-", audience_selector("aud-5")))
    audiences: Any = service.flows._audiences
    del audiences.known["aud-5"]
    assert patch(stream, {"op": "replace", "path": "/name", "value": "Renamed"}).body["name"] == "Renamed"


def test_attribute_shows_its_mapping(stream: StoredFlow, patch: Callable[..., StoredFlow]) -> None:
    changed = patch(stream, add("profileSelectors/selectors/-", {"type": "JSON_PATH", "value": {"path": "person.birthDate"}}))
    value = params_of(changed)["profileSelectors"]["selectors"][0]["value"]
    assert (value["operator"], value["mapping"]["sourceAttribute"], value["mapping"]["identity"]) == (
        "EXISTS",
        "person.birthDate",
        False,
    )


def test_stream_takes_maps_and_arrays(stream: StoredFlow, patch: Callable[..., StoredFlow]) -> None:
    changed = patch(
        stream,
        add("profileSelectors/selectors/-", attribute_selector("orders")),
        add("profileSelectors/selectors/-", attribute_selector("scores")),
    )
    assert len(params_of(changed)["profileSelectors"]["selectors"]) == 2


def test_mapping_set_gives_a_file_its_columns(service: FlowService, files: StoredFlow, patch: Callable[..., StoredFlow]) -> None:
    mapping_id = mapping_set(
        service,
        ("person.name.firstName", "firstName"),
        ("identityMap.Phone_E//.164", "Phone_E_164"),
        ("segmentMembership.ups.seg_id.status", "segmentMembership_status"),
        ("orders[0].sku", "sku"),
    )
    patch(files, add("profileMapping", {"mappingId": mapping_id, "mappingVersion": 0}))
    patch(files, add("mandatoryFields", ["firstName"]))
    attributes = service.dataflows.active(PROD)[0].attributes
    assert [(item.kind, item.target, item.path, item.namespace) for item in attributes] == [
        ("attribute", "firstName", ("person", "name", "firstName"), ""),
        ("identity", "Phone_E_164", (), "Phone_E.164"),
        ("membership_status", "segmentMembership_status", (), ""),
        ("attribute", "sku", ("orders", 0, "sku"), ""),
    ]


@pytest.mark.parametrize(
    ("mappings", "kind", "text"),
    [
        ([("person.name.firstName", "first.name")], "ATTRIBUTE", "must not contain a dot"),
        ([("identityMap.Email", "e"), ("identityMap.CRMID", "c")], "ATTRIBUTE", "Only one identity"),
        ([("identityMap.Nope", "e")], "ATTRIBUTE", "Nope"),
        ([("person.name.middleName", "m")], "ATTRIBUTE", "no field 'person.name.middleName'"),
        ([("person.name", "n")], "ATTRIBUTE", "type object"),
        ([("orders.sku", "n")], "ATTRIBUTE", "no field 'orders.sku'"),
        ([("personalEmail.address", "n"), ("person.birthDate", "n")], "ATTRIBUTE", "Two mappings"),
        ([("!!", "n")], "EXPRESSION", "no expression"),
    ],
)
def test_mapping_set_that_gives_no_columns_is_refused(
    service: FlowService,
    files: StoredFlow,
    patch: Callable[..., StoredFlow],
    mappings: list[tuple[str, str]],
    kind: str,
    text: str,
) -> None:
    mapping_id = mapping_set(service, *mappings, kind=kind)
    with pytest.raises(HeadraceError, match=text):
        patch(files, add("profileMapping", {"mappingId": mapping_id, "mappingVersion": 0}))


def test_flow_keeps_the_version_of_the_mapping_set_that_it_names(
    service: FlowService, files: StoredFlow, patch: Callable[..., StoredFlow]
) -> None:
    mapping_id = mapping_set(service, ("person.name.firstName", "old"))
    patch(files, add("profileMapping", {"mappingId": mapping_id, "mappingVersion": 0}))
    changed = service.mapping_sets.replace(
        PROD, mapping_id, {"mappings": [{"source": "person.name.firstName", "destination": "new"}]}, "ada"
    )
    assert changed.version == 1
    assert [item.target for item in service.dataflows.active(PROD)[0].attributes] == ["old"]


def test_mapping_set_in_use_is_not_deleted(service: FlowService, files: StoredFlow, patch: Callable[..., StoredFlow]) -> None:
    mapping_id = mapping_set(service, ("person.name.firstName", "first"))
    patch(files, add("profileMapping", {"mappingId": mapping_id, "mappingVersion": 0}))
    with pytest.raises(MappingSetInUse, match=files.id):
        service.mapping_sets.delete(PROD, mapping_id)


def test_file_flow_derives_its_columns_from_attribute_selectors(
    service: FlowService, files: StoredFlow, patch: Callable[..., StoredFlow]
) -> None:
    patch(files, add("profileSelectors/selectors/-", attribute_selector("person.name.lastName")))
    assert service.dataflows.active(PROD)[0].attributes[0].target == "person_name_lastName"


def test_mapped_identity_is_mandatory_and_the_key(
    service: FlowService, files: StoredFlow, patch: Callable[..., StoredFlow]
) -> None:
    mapping_id = mapping_set(service, ("identityMap.Email", "Email"), ("person.name.firstName", "first"))
    patch(files, add("profileMapping", {"mappingId": mapping_id, "mappingVersion": 0}))
    flow = service.dataflows.active(PROD)[0]
    assert [item.target for item in flow.mandatory] == ["Email"]
    assert [(key.field_type, key.name) for key in flow.keys] == [("IDENTITY", "Email")]


def test_marketing_actions_are_kept_once(service: FlowService, stream: StoredFlow, patch: Callable[..., StoredFlow]) -> None:
    action = "/dulepolicy/marketingActions/custom/mail/constraints"
    patch(
        stream,
        {"op": "add", "path": "/policy", "value": {"enforcementRefs": []}},
        {"op": "add", "path": "/policy/enforcementRefs/-", "value": action},
        {"op": "add", "path": "/policy/enforcementRefs/-", "value": action},
    )
    assert service.dataflows.active(PROD)[0].marketing_actions == (action,)


def test_flow_between_ends_that_do_not_fit_is_refused(service: FlowService) -> None:
    lake = {"name": "Lake", "connectionSpec": spec(DATA_LAKE), "params": {"datasets": [{"dataSetId": "ds1"}]}}
    ends = make_ends(service, s3_bodies(), lake)
    with pytest.raises(EntityInvalid, match=S3_DATASET_FLOW):
        service.flows.create(PROD, {"name": "x", "flowSpec": spec(S3_FLOW), **ends}, AUTHOR)
    with pytest.raises(SpecInvalid):
        service.flows.create(PROD, {"name": "x", "flowSpec": spec("nope"), **ends}, AUTHOR)


@pytest.mark.parametrize("ids", [[], ["a", "b"], None, ["missing"]])
def test_flow_needs_exactly_one_source_that_exists(service: FlowService, ids: Any) -> None:
    ends = {**make_ends(service, s3_bodies()), "sourceConnectionIds": ids}
    with pytest.raises(EntityInvalid) as refused:
        service.flows.create(PROD, {"name": "x", "flowSpec": spec(S3_FLOW), **ends}, AUTHOR)
    assert str(refused.value.path).startswith("/sourceConnectionIds")


def test_audience_flow_may_name_the_dataset_spec_of_its_destination(service: FlowService) -> None:
    body = {"name": "Old tutorial", "flowSpec": spec(S3_DATASET_FLOW), **make_ends(service, s3_bodies())}
    service.flows.create(PROD, body, AUTHOR)
    assert service.dataflows.active(PROD)[0].content == "audience"


def dataset_flow(service: FlowService, **changes: Any) -> StoredFlow:
    lake = {
        "name": "Lake",
        "connectionSpec": spec(DATA_LAKE),
        "params": {"datasets": [{"dataSetId": "ds1", "name": "Orders"}, {"dataSetId": "ds2"}]},
    }
    ends = make_ends(service, s3_bodies(fileType=None, datasetFileType="JSON", **changes), lake)
    body = {
        "name": "Datasets",
        "flowSpec": spec(S3_DATASET_FLOW),
        **ends,
        "transformations": [],
        "scheduleParams": {
            "interval": 3,
            "timeUnit": "hour",
            "exportMode": "FIRST_FULL_THEN_INCREMENTAL",
            "startTime": 1802600000,
            "foldernameTemplate": "%DATASET_NAME%",
        },
    }
    return service.flows.create(PROD, body, AUTHOR)


def test_dataset_flow_has_its_datasets_and_schedule(service: FlowService) -> None:
    made = dataset_flow(service)
    flow = service.dataflows.active(PROD)[0]
    assert (flow.content, flow.dataset_ids) == ("dataset", ("ds1", "ds2"))
    assert flow.dataset_schedule is not None
    assert (flow.dataset_schedule.interval_hours, flow.dataset_schedule.folder_name_template) == (3, "%DATASET_NAME%")
    assert made.body["scheduleParams"]["folderNameTemplate"] == "%DATASET_NAME%"


def test_uncompressed_json_of_datasets_is_refused(service: FlowService) -> None:
    with pytest.raises(EntityInvalid, match="compression"):
        dataset_flow(service, compression="NONE")


def ingestion_ends(service: FlowService) -> dict[str, Any]:
    connections = service.connections
    base = connections.create(
        PROD,
        "base",
        {
            "name": "Shop",
            "connectionSpec": spec(STREAMING),
            "auth": {"specName": "Streaming Connection", "params": {"dataType": "xdm", "name": "shop"}},
        },
        AUTHOR,
    )
    source = {"name": "s", "connectionSpec": spec(STREAMING), "baseConnectionId": base.id, "data": {"format": "json"}}
    target = {"name": "t", "connectionSpec": spec(LAKE_TARGET), "params": {"dataSetId": "ds1"}}
    return {
        "sourceConnectionIds": [connections.create(PROD, "source", source, AUTHOR).id],
        "targetConnectionIds": [connections.create(PROD, "target", target, AUTHOR).id],
    }


WITHOUT_MAPPING, WITH_MAPPING = "d8a6f005-7eaf-4153-983e-e8574508b877", "c1a19761-d2c7-4702-b9fa-fe91f0613e81"


def test_ingestion_flow_is_no_destination(service: FlowService) -> None:
    made = service.flows.create(PROD, {"name": "In", "flowSpec": spec(WITHOUT_MAPPING), **ingestion_ends(service)}, AUTHOR)
    shown = service.flows.wire(PROD, [made])[0]
    assert shown["inheritedAttributes"]["properties"] == {"isSourceFlow": True}
    assert service.dataflows.active(PROD) == []
    assert not service.flows.is_destination(PROD, made)


def test_ingestion_flow_with_mapping_names_an_existing_set(service: FlowService) -> None:
    mapping_id = mapping_set(service, ("first", "person.name.firstName"))
    step = {"name": "Mapping", "params": {"mappingId": mapping_id, "mappingVersion": 0}}
    body = {"name": "In", "flowSpec": spec(WITH_MAPPING), **ingestion_ends(service), "transformations": [step]}
    assert service.flows.create(PROD, body, AUTHOR).body["transformations"] == [step]
    for wrong in ([], [{**step, "name": "Other"}], [{"name": "Mapping", "params": {"mappingId": "gone"}}]):
        with pytest.raises(EntityInvalid):
            service.flows.create(PROD, {**body, "transformations": wrong}, AUTHOR)


def test_disabled_flow_is_not_active(service: FlowService, stream: StoredFlow) -> None:
    changed = service.flows.set_state(PROD, stream.id, "disabled", AUTHOR)
    assert (changed.state, changed.etag != stream.etag, service.dataflows.active(PROD)) == ("disabled", True, [])


def test_flows_say_which_audiences_and_datasets_they_use(
    service: FlowService, stream: StoredFlow, patch: Callable[..., StoredFlow]
) -> None:
    patch(stream, add("segmentSelectors/selectors/-", audience_selector("ext-9", systemSegmentId="aud-7")))
    assert service.flows.users_of_audience(PROD, "aud-7") == ["flow 'Hook flow'"]
    assert service.flows.users_of_audience(PROD, "aud-1") == []
    service.flows.create(PROD, {"name": "In", "flowSpec": spec(WITHOUT_MAPPING), **ingestion_ends(service)}, AUTHOR)
    dataset_flow(service)
    assert sorted(service.flows.users_of_dataset(PROD, "ds1")) == ["flow 'Datasets'", "flow 'In'"]
    assert service.flows.users_of_dataset(PROD, "ds3") == []


def test_stale_version_is_refused(service: FlowService, stream: StoredFlow, patch: Callable[..., StoredFlow]) -> None:
    patch(stream, {"op": "replace", "path": "/name", "value": "New"})
    with pytest.raises(VersionStale):
        service.flows.patch(PROD, stream.id, dict, operations=[], if_match=stream.etag, author=AUTHOR)


def test_flow_of_another_sandbox_is_unknown(service: FlowService, stream: StoredFlow) -> None:
    with pytest.raises(EntityUnknown):
        service.flows.get(OTHER, stream.id)
    assert service.dataflows.active(OTHER) == []


def test_file_names_are_checked() -> None:
    check_file_name("%DESTINATION%_%SEGMENT_ID%_%TIMESTAMP%_extra", "/t")
    for wrong in ("a/b", "%TIMESTAMP%_%DATETIME(YYYY)%", "x" * 256, 5):
        with pytest.raises(SelectorInvalid):
            check_file_name(wrong, "/t")
