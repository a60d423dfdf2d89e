from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from headrace.model import Sandbox
from headrace.schemas import SchemaRegistry
from headrace.schemas.actor import Actor
from headrace.schemas.errors import (
    BreakingChange,
    ClassMissing,
    DefinitionInvalid,
    FieldGroupIncompatible,
    FieldNameInvalid,
    GlobalReadOnly,
    MergeConflict,
    NamespaceViolated,
    ResourceInUse,
    TitleTaken,
    VersionChanged,
)
from headrace.schemas.resource import Kind, Resource
from tests.unit.schemas.samples import (
    COMMERCE,
    CONTACT_DETAILS,
    EVENT,
    IDENTITY_MAP,
    PERSON_DETAILS,
    PROFILE,
    TEXT,
    acme,
    group,
    schema,
)

ACTOR = Actor("client", "user", "request")
Create = Any


@pytest.fixture
def create(registry: SchemaRegistry, sandbox: Sandbox) -> Create:
    def make(kind: Kind, body: Any) -> Resource:
        return registry.resources.create(sandbox, kind, body, ACTOR)

    return make


def patch(registry: SchemaRegistry, sandbox: Sandbox, resource: Resource, *operations: dict[str, Any]) -> Resource:
    return registry.resources.patch(sandbox, resource.kind, resource.id, list(operations), ACTOR)


def test_schema_has_the_fields_of_its_class_and_groups(registry: SchemaRegistry, sandbox: Sandbox, create: Create) -> None:
    loyalty = create("mixins", group("Loyalty", acme(level=TEXT)))
    made = create("schemas", schema("Members", PERSON_DETAILS, loyalty.id))
    form = registry.full_form(sandbox, made.id)
    assert made.id.startswith("https://ns.adobe.com/acme/schemas/")
    assert made.alt_id == "_acme.schemas." + made.id.rpartition("/")[2]
    assert {"personID", "person", "_acme"} <= set(form["properties"])
    assert form["properties"]["_acme"]["properties"]["level"]["meta:xdmType"] == "string"
    assert form["meta:class"] == PROFILE
    assert form["meta:extends"][0] == PROFILE
    assert {PERSON_DETAILS, loyalty.id, "https://ns.adobe.com/xdm/data/record"} <= set(form["meta:extends"])
    assert registry.full_form(sandbox, made.alt_id) is form
    assert made.version == "1.0"


def test_custom_field_outside_the_tenant_object_is_refused(create: Create) -> None:
    with pytest.raises(NamespaceViolated) as caught:
        create("mixins", group("Loyalty", {"level": TEXT}))
    assert caught.value.wire_code == "XDM-1021-400"
    assert "/_acme/level" in (caught.value.hint or "")


def test_custom_field_may_stand_inside_a_standard_object(registry: SchemaRegistry, sandbox: Sandbox, create: Create) -> None:
    inside = {"person": {"type": "object", "properties": {"name": {"type": "object", "properties": acme(nickName=TEXT)}}}}
    nick = create("mixins", group("Nick", inside))
    made = create("schemas", schema("Members", PERSON_DETAILS, nick.id))
    name = registry.full_form(sandbox, made.id)["properties"]["person"]["properties"]["name"]["properties"]
    assert {"firstName", "_acme"} <= set(name)
    wrong = {"person": {"type": "object", "properties": {"nickName": TEXT}}}
    with pytest.raises(NamespaceViolated):
        create("mixins", group("Wrong", wrong))
    with pytest.raises(NamespaceViolated):
        create("mixins", group("Unknown object", {"thing": {"type": "object", "properties": acme(x=TEXT)}}))


@pytest.mark.parametrize("name", ["_hidden", "with space", "dotted.name", "ünder", ""])
def test_field_name_with_other_characters_is_refused(create: Create, name: str) -> None:
    with pytest.raises(FieldNameInvalid):
        create("mixins", group("G", acme(**{name: TEXT})))


def test_field_names_that_differ_only_in_case_are_refused(create: Create) -> None:
    with pytest.raises(FieldNameInvalid, match="case"):
        create("mixins", group("G", acme(level=TEXT, Level=TEXT)))


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ({"title": "No type"}, "needs a 'type'"),
        ({"type": "text"}, "has the type"),
        ({"type": "array"}, "needs 'items'"),
        ({"type": "string", "enum": []}, "at least one"),
        ({"type": "string", "enum": ["a"], "meta:enum": {"b": "B"}}, "labels 'b'"),
        ({"type": "string", "pattern": "["}, "no regular expression"),
        ({"type": "integer", "minimum": "1"}, "a number"),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, "values of the map"),
    ],
)
def test_malformed_field_is_refused_with_its_path(create: Create, field: dict[str, Any], text: str) -> None:
    with pytest.raises(DefinitionInvalid, match=text) as caught:
        create("mixins", group("G", acme(x=field)))
    assert "/properties/_acme/properties/x" in (caught.value.path or "")


def test_title_is_unique_among_all_resources_of_the_tenant(create: Create) -> None:
    create("mixins", group("Loyalty", acme(level=TEXT)))
    with pytest.raises(TitleTaken, match="Object titles must be unique"):
        create("datatypes", {"title": "Loyalty", "type": "object", "properties": {"a": TEXT}})


def test_schema_needs_exactly_one_class(create: Create) -> None:
    with pytest.raises(ClassMissing):
        create("schemas", schema("S", base=PERSON_DETAILS))
    with pytest.raises(ClassMissing):
        create("schemas", schema("S", EVENT))


def test_field_group_must_fit_the_class(create: Create) -> None:
    with pytest.raises(FieldGroupIncompatible):
        create("schemas", schema("S", COMMERCE))
    assert create("schemas", schema("S", COMMERCE, base=EVENT))


def test_reference_to_nothing_is_refused(create: Create) -> None:
    with pytest.raises(DefinitionInvalid, match="no resource"):
        create("schemas", schema("S", "https://ns.adobe.com/acme/mixins/none"))


def test_two_groups_with_different_types_at_one_path_conflict(create: Create) -> None:
    one = create("mixins", group("One", acme(level=TEXT)))
    two = create("mixins", group("Two", acme(level={"type": "integer"})))
    with pytest.raises(MergeConflict, match="/_acme/level") as caught:
        create("schemas", schema("S", one.id, two.id))
    assert "'string'" in caught.value.message
    assert "'int'" in caught.value.message


def test_change_of_a_field_group_raises_the_versions_of_what_uses_it(
    registry: SchemaRegistry, sandbox: Sandbox, create: Create
) -> None:
    loyalty = create("mixins", group("Loyalty", acme(level=TEXT)))
    made = create("schemas", schema("Members", loyalty.id))
    path = "/definitions/customFields/properties/_acme/properties/points"
    changed = patch(registry, sandbox, loyalty, {"op": "add", "path": path, "value": {"type": "integer"}})
    assert changed.version == "1.1"
    assert registry.library(sandbox).resource(made.id).version == "1.1"
    assert "points" in registry.full_form(sandbox, made.id)["properties"]["_acme"]["properties"]


def test_patch_applies_as_a_whole_or_not_at_all(registry: SchemaRegistry, sandbox: Sandbox, create: Create) -> None:
    made = create("schemas", schema("Members"))
    with pytest.raises(DefinitionInvalid):
        patch(
            registry,
            sandbox,
            made,
            {"op": "replace", "path": "/title", "value": "New"},
            {"op": "remove", "path": "/definitions/none"},
        )
    assert registry.library(sandbox).resource(made.id).title == "Members"


def test_patch_path_without_a_slash_and_system_keys_are_accepted(
    registry: SchemaRegistry, sandbox: Sandbox, create: Create
) -> None:
    made = create("schemas", schema("Members"))
    changed = patch(
        registry,
        sandbox,
        made,
        {"op": "add", "path": "description", "value": "Text"},
        {"op": "add", "path": "/meta:extends/-", "value": PERSON_DETAILS},
        {"op": "add", "path": "/allOf/-", "value": {"$ref": PERSON_DETAILS}},
    )
    assert changed.body["description"] == "Text"
    assert "person" in registry.full_form(sandbox, made.id)["properties"]


def test_used_schema_takes_additions_only(registry: SchemaRegistry, sandbox: Sandbox, create: Create) -> None:
    loyalty = create("mixins", group("Loyalty", acme(level={**TEXT, "enum": ["a", "b"]}, points={"type": "integer"})))
    made = create("schemas", schema("Members", loyalty.id))
    registry.connect(is_schema_in_use=lambda _, schema_id: schema_id == made.id)
    fields = "/definitions/customFields/properties/_acme/properties"
    refused: list[dict[str, Any]] = [
        {"op": "remove", "path": f"{fields}/level"},
        {"op": "replace", "path": f"{fields}/level/enum", "value": ["a"]},
        {"op": "replace", "path": f"{fields}/points/type", "value": "number"},
        {"op": "add", "path": f"{fields}/points/maximum", "value": 5},
        {"op": "move", "from": f"{fields}/level", "path": f"{fields}/tier"},
    ]
    for operation in refused:
        with pytest.raises(BreakingChange) as caught:
            patch(registry, sandbox, loyalty, operation)
        assert caught.value.sub_errors
    patch(registry, sandbox, loyalty, {"op": "add", "path": f"{fields}/city", "value": TEXT})
    patch(registry, sandbox, loyalty, {"op": "add", "path": f"{fields}/level/enum/-", "value": "c"})
    patch(registry, sandbox, loyalty, {"op": "remove", "path": f"{fields}/level/enum"})
    with pytest.raises(BreakingChange):
        patch(registry, sandbox, made, {"op": "remove", "path": "/allOf/1"})
    with pytest.raises(ResourceInUse):
        registry.resources.delete(sandbox, "schemas", made.id, ACTOR)


def test_unused_schema_may_change_freely(registry: SchemaRegistry, sandbox: Sandbox, create: Create) -> None:
    loyalty = create("mixins", group("Loyalty", acme(level=TEXT)))
    create("schemas", schema("Members", loyalty.id))
    changed = registry.resources.replace(
        sandbox, "mixins", loyalty.alt_id, group("Loyalty", acme(points={"type": "integer"})), ACTOR
    )
    assert changed.version == "1.1"


def test_referenced_resource_cannot_be_deleted(registry: SchemaRegistry, sandbox: Sandbox, create: Create) -> None:
    loyalty = create("mixins", group("Loyalty", acme(level=TEXT)))
    made = create("schemas", schema("Members", loyalty.id))
    with pytest.raises(ResourceInUse, match="Members"):
        registry.resources.delete(sandbox, "mixins", loyalty.id, ACTOR)
    registry.resources.delete(sandbox, "schemas", made.id, ACTOR)
    registry.resources.delete(sandbox, "mixins", loyalty.id, ACTOR)
    assert not registry.exists(sandbox, loyalty.id)


def test_standard_resource_is_read_only(registry: SchemaRegistry, sandbox: Sandbox) -> None:
    with pytest.raises(GlobalReadOnly):
        registry.resources.delete(sandbox, "mixins", PERSON_DETAILS, ACTOR)


def test_stale_if_match_is_refused(registry: SchemaRegistry, sandbox: Sandbox, create: Create) -> None:
    made = create("schemas", schema("Members"))
    registry.resources.replace(sandbox, "schemas", made.id, schema("Members 2"), ACTOR, if_match=made.etag)
    with pytest.raises(VersionChanged):
        registry.resources.replace(sandbox, "schemas", made.id, schema("Members 3"), ACTOR, if_match=made.etag)


def test_sandboxes_share_nothing(registry: SchemaRegistry, sandbox: Sandbox, create: Create) -> None:
    made = create("schemas", schema("Members"))
    other = Sandbox(2, "0d1b", "dev", "development", False, "ACME@AdobeOrg")
    assert not registry.exists(other, made.id)
    assert registry.resources.create(other, "schemas", schema("Members"), ACTOR)


def test_single_fields_of_a_group_can_be_picked(registry: SchemaRegistry, sandbox: Sandbox, create: Create) -> None:
    body = schema("Members")
    body["allOf"].append({"$ref": PERSON_DETAILS, "meta:refProperty": ["/xdm:person/xdm:name/xdm:firstName"]})
    body["allOf"].append({"$ref": CONTACT_DETAILS, "meta:refProperty": "/personalEmail"})
    form = registry.full_form(sandbox, create("schemas", body).id)
    assert list(form["properties"]["person"]["properties"]["name"]["properties"]) == ["firstName"]
    assert "address" in form["properties"]["personalEmail"]["properties"]
    assert "homeAddress" not in form["properties"]


def test_custom_class_and_data_type_compose(registry: SchemaRegistry, sandbox: Sandbox, create: Create) -> None:
    address = create("datatypes", {"title": "Spot", "type": "object", "properties": {"lat": {"type": "number"}}})
    shop = create(
        "classes",
        {
            "title": "Shop",
            "type": "object",
            "definitions": {"shop": {"properties": acme(spot={"title": "S", "$ref": address.id})}},
            "allOf": [{"$ref": "https://ns.adobe.com/xdm/data/record"}, {"$ref": "#/definitions/shop"}],
        },
    )
    made = create("schemas", schema("Shops", IDENTITY_MAP, base=shop.id))
    spot = registry.full_form(sandbox, made.id)["properties"]["_acme"]["properties"]["spot"]
    assert spot["meta:referencedFrom"] == address.id
    assert spot["title"] == "S"
    assert registry.class_id(sandbox, made.id) == shop.id
    assert registry.behavior(sandbox, made.id) == "record"


def test_reference_cycle_is_refused(registry: SchemaRegistry, sandbox: Sandbox, create: Create) -> None:
    one = create("datatypes", {"title": "One", "type": "object", "properties": {"a": TEXT}})
    with pytest.raises(DefinitionInvalid, match="refers to itself"):
        patch(registry, sandbox, one, {"op": "add", "path": "/properties/b", "value": {"$ref": one.id}})


def test_adhoc_class_gets_a_namespace_of_its_own(registry: SchemaRegistry, sandbox: Sandbox, create: Create) -> None:
    fields = {"_adhoc": {"type": "object", "properties": {"first": TEXT}}}
    adhoc = create(
        "classes",
        {"title": "A", "type": "object", "allOf": [{"$ref": "https://ns.adobe.com/xdm/data/adhoc"}, {"properties": fields}]},
    )
    namespace = "_" + adhoc.id.rpartition("/")[2]
    assert adhoc.body["meta:datasetNamespace"] == namespace
    made = create("schemas", schema("A schema", base=adhoc.id))
    assert list(registry.full_form(sandbox, made.id)["properties"]) == [namespace]
    assert registry.behavior(sandbox, made.id) == "adhoc"


def test_what_did_not_change_is_not_composed_or_compiled_again(
    registry: SchemaRegistry, sandbox: Sandbox, create: Create
) -> None:
    loyalty = create("mixins", group("Loyalty", acme(level=TEXT)))
    touched, untouched = create("schemas", schema("One", loyalty.id)), create("schemas", schema("Two", PERSON_DETAILS))
    forms = {item.id: registry.full_form(sandbox, item.id) for item in (touched, untouched)}
    validators = {item.id: registry.validator(sandbox, item.id) for item in (touched, untouched)}
    path = "/definitions/customFields/properties/_acme/properties/points"
    patch(registry, sandbox, loyalty, {"op": "add", "path": path, "value": {"type": "integer"}})
    assert registry.full_form(sandbox, untouched.id) is forms[untouched.id]
    assert registry.validator(sandbox, untouched.id) is validators[untouched.id]
    assert registry.full_form(sandbox, touched.id) is not forms[touched.id]
    assert registry.validator(sandbox, touched.id).violations({"_acme": {"points": 1}}) == []


def test_callers_at_once_lose_no_change(registry: SchemaRegistry, sandbox: Sandbox) -> None:
    def make(number: int) -> str:
        return registry.resources.create(sandbox, "schemas", schema(f"S{number}", PERSON_DETAILS, IDENTITY_MAP), ACTOR).id

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(make, range(12)))
    assert {item.id for item in registry.library(sandbox).tenant.values()} == set(made)
