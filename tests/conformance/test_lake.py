"""Every lake keeps what `headrace.storage.lake.base` promises."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.storage.lake import Lake, LakeRow, TableId
from headrace.storage.lake.arrow import META_NAMES, entity_schema
from headrace.storage.lake.errors import TableUnknown
from headrace.storage.lake.iceberg import IcebergLake
from headrace.storage.lake.memory import MemoryLake

ORDERS = TableId(1, "orders")
FORM: dict[str, Any] = {
    "properties": {
        "_id": {"type": "string"},
        "timestamp": {"type": "string", "format": "date-time"},
        "total": {"type": "number"},
        "first-name": {"type": "string"},
        "identityMap": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "string"}}}},
        },
    }
}
SCHEMA = entity_schema(FORM)


@pytest.fixture(params=["iceberg", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    opened: Lake = IcebergLake(tmp_path / "lake") if request.param == "iceberg" else MemoryLake()
    yield opened
    opened.close()


def rows(*ids: str, offset: int = 0) -> list[LakeRow]:
    return [LakeRow({"_id": id_}, offset + index, 0, 1_700_000_000_000 + index) for index, id_ in enumerate(ids)]


def ids(lake: Lake, **how: Any) -> list[str]:
    return [row.entity["_id"] for row in lake.read(ORDERS, **how)]


def test_an_unknown_table_is_empty(lake: Lake) -> None:
    assert lake.committed_offset(ORDERS) == 0
    assert lake.row_count(ORDERS) == 0
    assert lake.files(ORDERS) == []
    assert list(lake.read(ORDERS)) == []
    assert lake.tables(1) == []
    assert lake.delete_batch(ORDERS, "b") == 0
    lake.purge(ORDERS)
    lake.drop(ORDERS)
    with pytest.raises(TableUnknown):
        lake.schema(ORDERS)


def test_rows_come_back_as_they_were_accepted(lake: Lake) -> None:
    entity = {
        "_id": "e1",
        "timestamp": "2024-03-01T09:00:00.250Z",
        "total": 1.5,
        "first-name": "Ada",
        "identityMap": {"Email": [{"id": "a@b"}, {"id": "c@d"}], "ECID": []},
    }
    written = lake.append(ORDERS, SCHEMA, "b1", [LakeRow(entity, 7, 3, 1_700_000_000_123)], committed_offset=8)
    assert (written.row_count, written.is_new) == (1, True)
    assert list(lake.read(ORDERS)) == [LakeRow(entity, 7, 3, 1_700_000_000_123)]


def test_the_offset_travels_with_the_rows(lake: Lake) -> None:
    lake.append(ORDERS, SCHEMA, "b1", rows("a", "b"), committed_offset=2)
    assert lake.committed_offset(ORDERS) == 2
    lake.append(ORDERS, SCHEMA, "b2", [], committed_offset=9)
    assert (lake.committed_offset(ORDERS), lake.row_count(ORDERS)) == (9, 2)


def test_replaying_a_commit_adds_nothing(lake: Lake) -> None:
    lake.append(ORDERS, SCHEMA, "b1", rows("a", "b"), committed_offset=2)
    again = lake.append(ORDERS, SCHEMA, "b1", rows("a", "b"), committed_offset=2)
    assert (again.row_count, again.is_new) == (0, False)
    assert ids(lake) == ["a", "b"]
    assert sum(file.row_count for file in lake.files(ORDERS)) == (2 if lake.has_files else 0)


def test_pending_rows_are_invisible_until_the_commit_and_gone_after_an_abort(lake: Lake) -> None:
    pending = lake.begin(ORDERS, SCHEMA, "b1")
    pending.add(rows("a"))
    pending.add(rows("b", offset=1))
    assert lake.row_count(ORDERS) == 0
    pending.abort()
    assert lake.row_count(ORDERS) == 0
    pending = lake.begin(ORDERS, SCHEMA, "b1")
    pending.add(rows("a"))
    pending.add(rows("b", offset=1))
    written = pending.commit(committed_offset=2)
    assert written.row_count == 2
    assert written.byte_count > 0
    assert ids(lake) == ["a", "b"]


def test_a_batch_can_be_read_counted_and_deleted_alone(lake: Lake) -> None:
    lake.append(ORDERS, SCHEMA, "01HQ0000000000000000000001", rows("a", "b"), committed_offset=2)
    lake.append(ORDERS, SCHEMA, "01HQ0000000000000000000002", rows("c", offset=2), committed_offset=3)
    assert ids(lake, batch_id="01HQ0000000000000000000001") == ["a", "b"]
    assert lake.row_count(ORDERS, "01HQ0000000000000000000002") == 1
    assert lake.delete_batch(ORDERS, "01HQ0000000000000000000001") == 2
    assert lake.delete_batch(ORDERS, "01HQ0000000000000000000001") == 0
    assert ids(lake) == ["c"]
    assert lake.row_count(ORDERS) == 1
    assert lake.committed_offset(ORDERS) == 3


def test_a_commit_replaces_batches_in_one_act(lake: Lake) -> None:
    lake.append(ORDERS, SCHEMA, "b1", rows("a", "b"), committed_offset=2)
    lake.append(ORDERS, SCHEMA, "b2", rows("c", offset=2), committed_offset=3)
    pending = lake.begin(ORDERS, SCHEMA, "b3")
    pending.add(rows("d", offset=3))
    assert ids(lake) == ["a", "b", "c"]
    pending.commit(committed_offset=4, replaces=("b1", "unknown"))
    assert ids(lake) == ["c", "d"]


def test_reading_stops_at_the_limit(lake: Lake) -> None:
    lake.append(ORDERS, SCHEMA, "b1", rows("a", "b"), committed_offset=2)
    lake.append(ORDERS, SCHEMA, "b2", rows("c", "d", offset=2), committed_offset=4)
    assert ids(lake, limit=0) == []
    assert ids(lake, limit=3) == ["a", "b", "c"]


def test_fields_that_hold_something_are_known_by_path(lake: Lake) -> None:
    form = {
        "properties": {
            "_id": {"type": "string"},
            "empty": {"type": "string"},
            "person": {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}},
            "tags": {
                "type": "array",
                "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string"}}},
            },
            "none": {"type": "array", "items": {"type": "string"}},
            "identityMap": FORM["properties"]["identityMap"],
            "after": {"type": "boolean"},
        }
    }
    first = {"_id": "a", "person": {"name": "Ada"}, "tags": [{"k": "x"}], "none": [], "identityMap": {"E": [{"id": "1"}]}}
    lake.append(ORDERS, entity_schema(form), "b1", [LakeRow(first, 0, 0, 0)], committed_offset=1)
    lake.append(ORDERS, entity_schema(form), "b2", [LakeRow({"after": False}, 1, 0, 0)], committed_offset=2)
    assert lake.filled_paths(ORDERS, "b1") == {"_id", "person.name", "tags.k", "identityMap"}
    assert lake.filled_paths(ORDERS, "b2") == {"after"}
    assert lake.filled_paths(ORDERS, "b3") == set()


def test_only_the_columns_asked_for_are_read(lake: Lake) -> None:
    entity = {"_id": "a", "total": 1.0, "first-name": "Ada"}
    lake.append(ORDERS, SCHEMA, "b1", [LakeRow(entity, 0, 0, 0)], committed_offset=1)
    assert [row.entity for row in lake.read(ORDERS, columns=("_id", "total", "unheard"))] == [{"_id": "a", "total": 1.0}]


def test_a_table_grows_by_the_columns_it_lacks(lake: Lake) -> None:
    lake.append(ORDERS, SCHEMA, "b1", rows("a"), committed_offset=1)
    properties = FORM["properties"]
    identity = {"type": "object", "properties": {"id": {"type": "string"}, "primary": {"type": "boolean"}}}
    wider = {
        "properties": {
            **{name: node for name, node in properties.items() if name != "total"},
            "identityMap": {"type": "object", "additionalProperties": {"type": "array", "items": identity}},
            "_acme": {"type": "object", "properties": {"points": {"type": "integer"}}},
        }
    }
    entity = {"_id": "b", "_acme": {"points": 5}, "identityMap": {"Email": [{"id": "x", "primary": True}]}}
    lake.append(ORDERS, entity_schema(wider), "b2", [LakeRow(entity, 1, 0, 0)], committed_offset=2)
    assert {"total", "_acme", *META_NAMES} <= set(lake.schema(ORDERS).names)
    assert [row.entity for row in lake.read(ORDERS)] == [{"_id": "a"}, entity]


def test_a_column_keeps_its_type_when_the_schema_disagrees(lake: Lake) -> None:
    lake.append(ORDERS, SCHEMA, "b1", rows("a"), committed_offset=1)
    other = entity_schema({"properties": {"total": {"type": "object", "properties": {"amount": {"type": "number"}}}}})
    lake.append(ORDERS, other, "b2", [LakeRow({"total": {"amount": 1}}, 1, 0, 0)], committed_offset=2)
    assert [row.entity for row in lake.read(ORDERS)] == [{"_id": "a"}, {}]


def test_keys_without_a_column_and_values_that_do_not_fit_are_left_out(lake: Lake) -> None:
    entity = {"_id": "a", "surprise": {"deep": [1]}, "timestamp": "yesterday", "total": "much", "identityMap": 5}
    lake.append(ORDERS, SCHEMA, "b1", [LakeRow(entity, 0, 0, 0)], committed_offset=1)
    assert [row.entity for row in lake.read(ORDERS)] == [{"_id": "a"}]


def test_sandboxes_do_not_see_each_other(lake: Lake) -> None:
    lake.append(ORDERS, SCHEMA, "b1", rows("a"), committed_offset=1)
    lake.append(TableId(2, "orders"), SCHEMA, "b1", rows("x", "y"), committed_offset=2)
    lake.append(TableId(2, "visits"), SCHEMA, "b2", rows("z"), committed_offset=3)
    assert lake.tables(1) == ["orders"]
    assert lake.tables(2) == ["orders", "visits"]
    assert lake.row_count(ORDERS) == 1
    lake.drop(TableId(2, "orders"))
    assert lake.tables(2) == ["visits"]
    assert ids(lake) == ["a"]


def test_a_dropped_table_can_be_made_again(lake: Lake) -> None:
    lake.append(ORDERS, SCHEMA, "b1", rows("a"), committed_offset=5)
    lake.drop(ORDERS)
    assert lake.committed_offset(ORDERS) == 0
    lake.append(ORDERS, SCHEMA, "b2", rows("b"), committed_offset=1)
    assert ids(lake) == ["b"]
