import pytest

from headrace.catalog.batch import new_batch_id, with_synonyms
from headrace.catalog.dataset import dataset_of, flags_of, table_name_of, trimmed_flags
from headrace.catalog.observable import observable_schema


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("Orders", "orders"),
        ("  CRM -- Daily (EU) ", "crm_daily_eu"),
        ("Größe 7", "gr_e_7"),
        ("___", "dataset"),
        ("日本", "dataset"),
    ],
)
def test_table_name_is_lower_case_with_underscores(name: str, table: str) -> None:
    assert table_name_of(name, ()) == table


def test_taken_table_name_gets_the_next_number() -> None:
    assert table_name_of("Orders", ["orders"]) == "orders_2"
    assert table_name_of("Orders", ["orders", "orders_2"]) == "orders_3"


def test_flags_are_read_without_blanks() -> None:
    assert flags_of(["enabled: true", " isUpsert :true", "enabledAt:2026-01-20 10:49:51"]) == {
        "enabled": "true",
        "isUpsert": "true",
        "enabledAt": "2026-01-20 10:49:51",
    }
    assert trimmed_flags(["enabled: true", "word"]) == ["enabled:true", "word"]


@pytest.mark.parametrize(
    ("tags", "facts"),
    [
        ({}, (False, False, False, False)),
        ({"unifiedProfile": ["enabled:true"]}, (True, False, False, False)),
        ({"unifiedProfile": ["enabled:true", "isUpsert:true"]}, (True, False, True, False)),
        ({"unifiedProfile": ["enabled:false", "isUpsert:true"]}, (False, False, False, False)),
        ({"unifiedIdentity": ["enabled:true"]}, (False, True, False, False)),
        ({"acp_validationContext": ["disabled"]}, (False, False, False, True)),
    ],
)
def test_tags_say_what_happens_to_records(tags: dict[str, list[str]], facts: tuple[bool, ...]) -> None:
    row = {
        "number": 1,
        "id": "a",
        "name": "A",
        "schema_id": "s",
        "table_name": "a",
        "body": {"tags": tags},
        "version": 3,
        "created_at": 0,
        "updated_at": 0,
    }
    dataset = dataset_of(row)
    found = (
        dataset.is_profile_enabled,
        dataset.is_identity_enabled,
        dataset.is_upsert,
        dataset.is_validation_disabled,
    )
    assert found == facts
    assert dataset.wire_version == "1.0.3"


def test_batch_ids_sort_by_time() -> None:
    ids = [new_batch_id(1_802_592_000_000 + step) for step in range(5)]
    assert ids == sorted(ids)
    assert all(len(item) == 26 and item.isalnum() for item in ids)


def test_synonyms_of_a_status() -> None:
    assert with_synonyms("active") == {"active", "success"}
    assert with_synonyms("failure") == {"failed", "failure"}
    assert with_synonyms("loading") == {"loading"}


FORM = {
    "$id": "s",
    "title": "S",
    "properties": {
        "name": {"type": "object", "properties": {"first": {"type": "string"}, "last": {"type": "string"}}},
        "items": {
            "type": "array",
            "items": {"type": "object", "properties": {"sku": {"type": "string"}, "n": {"type": "integer"}}},
        },
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "age": {"type": "integer"},
    },
}


def test_observable_schema_keeps_fields_with_data() -> None:
    found = observable_schema(FORM, ["name.first", "items.sku", "map.key", "gone.field"])
    assert found == {
        "$id": "s",
        "title": "S",
        "type": "object",
        "properties": {
            "name": {"type": "object", "properties": {"first": {"type": "string"}}},
            "items": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
    assert observable_schema(FORM, []) == {}
