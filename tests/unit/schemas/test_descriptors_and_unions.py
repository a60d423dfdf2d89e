from typing import Any

import pytest

from headrace.model import Sandbox
from headrace.schemas import EVENT_CLASS, IdentityDescriptor, SchemaRegistry
from headrace.schemas.actor import Actor
from headrace.schemas.descriptor import Descriptor
from headrace.schemas.errors import (
    BreakingChange,
    DeletionRefused,
    DescriptorInvalid,
    IdentityMissing,
    MergeConflict,
    ReferenceIdentityMissing,
    RelationshipNamespacesDiffer,
    ResourceInUse,
    UnionImpossible,
)
from headrace.schemas.resource import Kind, Resource
from tests.unit.schemas.samples import CONTACT_DETAILS, IDENTITY_MAP, PERSON_DETAILS, TEXT, acme, group, identity, schema

ACTOR = Actor("client", "user", "request")
ENABLE = [{"op": "add", "path": "/meta:immutableTags", "value": ["union"]}]


class Workshop:
    """Short forms of the calls that these tests make."""

    def __init__(self, registry: SchemaRegistry, sandbox: Sandbox) -> None:
        self.registry, self.sandbox = registry, sandbox

    def make(self, kind: Kind, body: Any) -> Resource:
        return self.registry.resources.create(self.sandbox, kind, body, ACTOR)

    def members(self, title: str = "Members", **fields: Any) -> Resource:
        fields = fields or {"crmId": TEXT, "tags": {"type": "array", "items": TEXT}, "points": {"type": "number"}}
        loyalty = self.make("mixins", group(f"{title} fields", acme(**fields)))
        return self.make("schemas", schema(title, loyalty.id))

    def describe(self, body: dict[str, Any]) -> Descriptor:
        return self.registry.descriptors.create(self.sandbox, body, ACTOR)

    def enable(self, made: Resource) -> Resource:
        return self.registry.resources.patch(self.sandbox, "schemas", made.id, ENABLE, ACTOR)


@pytest.fixture
def work(registry: SchemaRegistry, sandbox: Sandbox) -> Workshop:
    return Workshop(registry, sandbox)


def test_primary_identity_is_required_in_records(work: Workshop) -> None:
    made = work.members()
    work.describe(identity(made.id, "/_acme/crmId"))
    work.describe(identity(made.id, "/_acme/tags", is_primary=False, namespace="Tag"))
    assert work.registry.identity_descriptors(work.sandbox, made.alt_id) == (
        IdentityDescriptor(("_acme", "crmId"), "CRMID", True),
        IdentityDescriptor(("_acme", "tags"), "Tag", False),
    )
    validator = work.registry.validator(work.sandbox, made.id)
    assert validator.violations({"_id": "1", "_acme": {"crmId": "a", "tags": ["x"]}}) == []
    assert [item.message for item in validator.violations({"_id": "1"})] == ["required key [_acme] not found"]
    assert [item.code for item in validator.violations({"_acme": {"crmId": ""}})] == ["DCVS-1902-400"]
    assert [item.code for item in validator.violations({"_acme": {"crmId": "a", "tags": [""]}})] == ["DCVS-1902-400"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"xdm:sourceSchema": "https://ns.adobe.com/acme/schemas/none"}, "no schema"),
        ({"xdm:sourceProperty": "/_acme/none"}, "has no field"),
        ({"xdm:sourceProperty": "_acme.crmId"}, "starts with '/'"),
        ({"xdm:sourceProperty": "/_acme/points"}, "string or an integer"),
        ({"xdm:sourceProperty": "/_acme/tags"}, "array"),
        ({"xdm:namespace": "Nowhere"}, "no identity namespace"),
        ({"xdm:namespace": "CRMID", "xdm:property": "xdm:id"}, "the number"),
        ({"@type": "xdm:descriptorNothing"}, "'@type'"),
    ],
)
def test_descriptor_that_does_not_fit_is_refused(work: Workshop, changes: dict[str, Any], text: str) -> None:
    work.registry.connect(namespace_of=lambda _, name: name if name == "CRMID" else None)
    made = work.members()
    with pytest.raises(DescriptorInvalid, match=text):
        work.describe({**identity(made.id, "/_acme/crmId"), **changes})


def test_second_primary_identity_and_second_like_descriptor_are_refused(work: Workshop) -> None:
    made = work.members()
    first = work.describe(identity(made.id, "/_acme/crmId"))
    with pytest.raises(DescriptorInvalid, match=first.id):
        work.describe(identity(made.id, "/_acme/crmId", is_primary=False))
    with pytest.raises(DescriptorInvalid, match=first.id):
        work.describe(identity(made.id, "/personID"))


def test_unprefixed_keys_and_standard_spelling_are_accepted(work: Workshop) -> None:
    made = work.make("schemas", schema("S", PERSON_DETAILS))
    stored = work.describe(
        {
            "@type": "xdm:alternateDisplayInfo",
            "sourceSchema": made.id,
            "sourceVersion": 1,
            "sourceProperty": "/xdm:person/xdm:gender",
            "title": {"en_us": "Sex"},
            "meta:enum": {"x": {"en_us": "Other"}},
            "meta:excludeMetaEnum": {"male": "Male"},
        }
    )
    assert stored.pointer == "/person/gender"
    gender = work.registry.full_form(work.sandbox, made.id)["properties"]["person"]["properties"]["gender"]
    assert gender["title"] == "Sex"
    assert gender["meta:enum"]["x"] == "Other"
    assert "male" not in gender["meta:enum"]
    assert "female" in gender["meta:enum"]


def test_labels_are_stored_with_their_prefix_also_on_a_field_group(work: Workshop) -> None:
    made = work.make("mixins", group("G", acme(crmId=TEXT)))
    body = {"@type": "xdm:descriptorLabel", "xdm:sourceSchema": made.id, "xdm:sourceProperty": "/_acme/crmId"}
    assert work.describe({**body, "xdm:label": ["C1", "custom/X"]}).body["xdm:labels"] == ["core/C1", "custom/X"]


def test_enabling_needs_an_identity(work: Workshop) -> None:
    made = work.members()
    with pytest.raises(IdentityMissing) as caught:
        work.enable(made)
    assert caught.value.wire_code == "XDM-1528-400"
    work.describe(identity(made.id, "/_acme/crmId"))
    assert work.enable(made).version == "1.1"
    assert work.enable(made).version == "1.1"
    assert work.registry.is_profile_enabled(work.sandbox, made.id)
    assert "crmId" in work.registry.union_form(work.sandbox)["properties"]["_acme"]["properties"]


@pytest.mark.parametrize(("path", "value"), [("/meta:immutableTags-", "union"), ("/meta:immutableTags/-", "union")])
def test_older_forms_of_enabling_work(work: Workshop, path: str, value: str) -> None:
    made = work.make("schemas", schema("S", IDENTITY_MAP))
    operations = [{"op": "add", "path": path, "value": value}]
    assert work.registry.resources.patch(work.sandbox, "schemas", made.id, operations, ACTOR).is_profile_enabled


def test_tag_can_stand_in_the_body_of_a_new_schema(work: Workshop) -> None:
    assert work.make("schemas", {**schema("S", IDENTITY_MAP), "meta:immutableTags": ["union"]}).is_profile_enabled


def test_tag_can_never_be_removed_and_the_schema_never_deleted(work: Workshop) -> None:
    made = work.enable(work.make("schemas", schema("S", IDENTITY_MAP)))
    with pytest.raises(BreakingChange):
        work.registry.resources.patch(work.sandbox, "schemas", made.id, [{"op": "remove", "path": "/meta:immutableTags"}], ACTOR)
    with pytest.raises(BreakingChange):
        work.registry.resources.replace(work.sandbox, "schemas", made.id, schema("S", IDENTITY_MAP), ACTOR)
    with pytest.raises(ResourceInUse):
        work.registry.resources.delete(work.sandbox, "schemas", made.id, ACTOR)


def test_schemas_of_one_union_must_agree_on_types(work: Workshop) -> None:
    one, two = work.members("One", crmId=TEXT, level=TEXT), work.members("Two", crmId=TEXT, level={"type": "integer"})
    for made in (one, two):
        work.describe(identity(made.id, "/_acme/crmId"))
    work.enable(one)
    with pytest.raises(MergeConflict, match="/_acme/level"):
        work.enable(two)


def test_union_keeps_the_wider_constraint_and_all_suggestions(work: Workshop) -> None:
    def level(high: int, **labels: str) -> dict[str, Any]:
        return {"type": "integer", "minimum": 0, "maximum": high, "meta:enum": labels}

    for title, node in (("One", level(100, a="A")), ("Two", level(120, b="B"))):
        made = work.members(title, crmId=TEXT, level=node)
        work.describe(identity(made.id, "/_acme/crmId"))
        work.enable(made)
    joined = work.registry.union_form(work.sandbox)["properties"]["_acme"]["properties"]["level"]
    assert joined["maximum"] == 120
    assert joined["meta:enum"] == {"a": "A", "b": "B"}


def test_adhoc_and_foreign_time_series_have_no_union(work: Workshop) -> None:
    shop = work.make(
        "classes",
        {"title": "Sales", "type": "object", "allOf": [{"$ref": "https://ns.adobe.com/xdm/data/time-series"}]},
    )
    made = work.make("schemas", schema("S", IDENTITY_MAP, base=shop.id))
    with pytest.raises(UnionImpossible):
        work.enable(made)


def test_event_schema_is_enabled_by_the_identity_map_of_its_class(work: Workshop) -> None:
    made = work.enable(work.make("schemas", schema("Events", base=EVENT_CLASS)))
    assert work.registry.library(work.sandbox).union_classes == (EVENT_CLASS,)
    assert work.registry.behavior(work.sandbox, made.id) == "time-series"


def test_relationship_rules_of_unions(work: Workshop) -> None:
    shops = work.members("Shops", shopId=TEXT)
    work.describe(identity(shops.id, "/_acme/shopId", namespace="Shop"))
    work.enable(shops)
    members = work.members("Members", crmId=TEXT, home=TEXT)
    work.describe(identity(members.id, "/_acme/crmId"))
    relation = {
        "@type": "xdm:descriptorOneToOne",
        "xdm:sourceSchema": members.id,
        "xdm:sourceVersion": 1,
        "xdm:sourceProperty": "/_acme/home",
        "xdm:destinationSchema": shops.id,
    }
    work.describe(relation)
    with pytest.raises(ReferenceIdentityMissing):
        work.enable(members)
    reference = {
        "@type": "xdm:descriptorReferenceIdentity",
        "xdm:sourceSchema": members.id,
        "xdm:sourceVersion": 1,
        "xdm:sourceProperty": "/_acme/home",
        "xdm:identityNamespace": "Other",
    }
    wrong = work.describe(reference)
    with pytest.raises(RelationshipNamespacesDiffer):
        work.enable(members)
    work.registry.descriptors.replace(work.sandbox, wrong.id, {**reference, "xdm:identityNamespace": "Shop"}, ACTOR)
    assert work.enable(members).is_profile_enabled


def test_primary_identity_of_an_enabled_schema_stays(work: Workshop) -> None:
    made = work.members()
    primary = work.describe(identity(made.id, "/_acme/crmId"))
    work.enable(made)
    with pytest.raises(DeletionRefused):
        work.registry.descriptors.delete(work.sandbox, primary.id)
    work.registry.connect(is_schema_in_use=lambda _, schema_id: schema_id == made.id)
    with pytest.raises(DescriptorInvalid, match="stays"):
        work.registry.descriptors.replace(work.sandbox, primary.id, identity(made.id, "/personID"), ACTOR)


def test_change_that_breaks_a_union_through_a_group_is_refused(work: Workshop) -> None:
    one = work.make("schemas", schema("One", IDENTITY_MAP, CONTACT_DETAILS))
    work.enable(one)
    shared = work.make("mixins", group("Shared", acme(level=TEXT)))
    two = work.make("schemas", schema("Two", IDENTITY_MAP, shared.id))
    work.enable(two)
    other = work.make("mixins", group("Other", acme(level={"type": "integer"})))
    with pytest.raises(MergeConflict):
        operations = [{"op": "add", "path": "/allOf/-", "value": {"$ref": other.id}}]
        work.registry.resources.patch(work.sandbox, "schemas", one.id, operations, ACTOR)


def test_deleting_a_schema_deletes_its_descriptors(work: Workshop) -> None:
    made = work.members()
    work.describe(identity(made.id, "/_acme/crmId"))
    work.registry.resources.delete(work.sandbox, "schemas", made.id, ACTOR)
    assert not work.registry.library(work.sandbox).descriptors
