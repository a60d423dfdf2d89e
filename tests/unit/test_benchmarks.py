"""The benchmarks' own arithmetic, and that both subjects are asked the same."""

import json

from benchmarks import audiences, bare, workload
from benchmarks.budgets import table
from benchmarks.compare import compare
from benchmarks.load import Load, requests_of

NOW = 1_790_000_000_000
HOUR = 3_600_000


def test_a_difference_of_one_per_cent_is_no_change() -> None:
    before = {"machine": {"cores": 2}, "headrace": {"single": {"events_per_second": 6000, "p99": 10.0}}}
    after = {"machine": {"cores": 8}, "headrace": {"single": {"events_per_second": 6050, "p99": 12.0}}}
    assert compare(before, after) == [
        ("headrace.single.events_per_second", 6000, 6050, "no change"),
        ("headrace.single.p99", 10.0, 12.0, "+20.0%"),
    ]


def test_the_table_says_which_column_a_figure_reaches_and_its_ratio_to_the_reference() -> None:
    result = {
        "headrace": {"single": {"events_per_second": 7000}, "batch": {"events_per_second": 9000}},
        "bare": {"single": {"events_per_second": 14000}},
        "lookup": {"p99_ms": 2.5},
    }
    lines = table(result).splitlines()
    assert "7,000 events/s | 14,000 events/s | 0.50 | first |" in lines[2]
    assert lines[3].endswith("9,000 events/s |  |  | **missed** |")
    assert lines[4].endswith("2.5 ms |  |  | goal |")


def test_the_mix_is_the_same_in_every_run_and_parents_come_first() -> None:
    generated = audiences.generate(500)
    assert generated == audiences.generate(500)
    assert {item.kind for item in generated} == {"switch", "attribute", "single", "count", "sequence", "absence", "segment"}
    assert all(item.parent < item.number for item in generated if item.kind == "segment")


def test_the_switch_turns_with_every_event_of_a_person() -> None:
    own = [workload.event(serial, 3, serial, "_t", NOW)["_t"][workload.GROUP] for serial in range(4)]
    assert [item["isOn"] for item in own] == [True, False, True, False]


def test_an_event_has_about_a_kilobyte() -> None:
    assert 800 < len(workload.encoded(workload.event(1, 1, 0, "_t", NOW))) < 1200


def test_hand_written_conditions_find_what_turned() -> None:
    functions = bare.conditions(500)
    item = next(item for item in audiences.generate(500) if item.kind == "count")
    memberships: dict[int, int] = {}
    attributes = {"country": "XX", "points": 0, "tier": ""}
    events = {item.first: [(NOW - HOUR // 2, 0)] * item.count}
    assert item.number in functions[item.first](attributes, events, memberships, False, NOW)
    assert item.number not in functions[item.first](attributes, events, memberships, False, NOW)
    assert item.number in functions[item.first](attributes, {}, memberships, False, NOW)


def test_a_batch_holds_as_many_messages_as_asked_for() -> None:
    load = Load("http://h:1/collection/batch/x", '{"e":@ENTITY@}', "_t", events=10, persons=5, first=0, base_ms=NOW, batch=4)
    bodies = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in requests_of(load)]
    assert [len(body["messages"]) for body in bodies] == [4, 4, 2]
    assert bodies[1]["messages"][1]["e"]["_id"] == "event-000000000005"
