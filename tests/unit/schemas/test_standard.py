from headrace.model import Sandbox
from headrace.schemas import EVENT_CLASS, PROFILE_CLASS, SchemaRegistry

XDM = "https://ns.adobe.com/xdm/"


def test_every_shipped_component_composes(registry: SchemaRegistry, sandbox: Sandbox) -> None:
    for identifier in registry.library(sandbox).layer.resources:
        assert registry.full_form(sandbox, identifier)["type"] == "object"


def test_profile_class_has_its_fields_in_compatibility_spelling(registry: SchemaRegistry, sandbox: Sandbox) -> None:
    fields = registry.full_form(sandbox, PROFILE_CLASS)["properties"]
    assert {"_id", "personID", "_repo", "repositoryCreatedBy", "createdByBatchID"} <= set(fields)
    assert fields["_repo"]["properties"]["createDate"]["meta:xdmType"] == "date-time"
    assert fields["personID"]["meta:xdmField"] == "xdm:personID"


def test_event_class_requires_id_and_timestamp_and_carries_identities(registry: SchemaRegistry, sandbox: Sandbox) -> None:
    form = registry.full_form(sandbox, EVENT_CLASS)
    assert form["required"] == ["_id", "timestamp"]
    assert form["properties"]["identityMap"]["meta:xdmType"] == "map"
    assert len(form["properties"]["eventType"]["meta:enum"]) == 88
    assert registry.has_identity_map(sandbox, EVENT_CLASS)
    assert registry.behavior(sandbox, EVENT_CLASS) == "time-series"
    assert f"{XDM}data/time-series" in form["meta:extends"]


def test_field_groups_have_the_documented_shapes(registry: SchemaRegistry, sandbox: Sandbox) -> None:
    def fields(group: str, *path: str) -> set[str]:
        node = registry.full_form(sandbox, XDM + group)
        for name in path:
            node = node["properties"][name]
        return set(node["properties"])

    assert {"firstName", "lastName", "fullName"} <= fields("context/profile-person-details", "person", "name")
    assert {"personalEmail", "homeAddress", "mobilePhone"} <= fields("context/profile-personal-details")
    assert {"latitude", "longitude"} <= fields("context/profile-personal-details", "homeAddress", "_schema")
    assert {"collect", "share", "marketing", "idSpecific"} <= fields("mixins/profile-consents", "consents")
    assert {"mcid", "aaid", "emailid"} <= fields("context/experienceevent-enduserids", "endUserIDs", "_experience")
    assert {"order", "cart", "purchases"} <= fields("context/experienceevent-commerce", "commerce")
    assert "segmentMembership" in fields("context/profile-segmentation")


def test_profile_union_exists_before_any_schema(registry: SchemaRegistry, sandbox: Sandbox) -> None:
    union = registry.union_form(sandbox)
    assert {"identityMap", "segmentMembership", "timeSeriesEvents", "personID"} <= set(union["properties"])
    assert "eventType" in union["properties"]["timeSeriesEvents"]["items"]["properties"]
    assert registry.exists(sandbox, f"{PROFILE_CLASS}__union")
    assert registry.exists(sandbox, "_xdm.context.profile__union")
    assert "timeSeriesEvents" not in registry.union_form(sandbox, EVENT_CLASS)["properties"]
