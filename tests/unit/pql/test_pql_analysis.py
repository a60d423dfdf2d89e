"""One call for everything: dependencies, cycles, warnings, limits, types of schemas."""

from typing import Any

import pytest

from headrace.errors import InvalidInput
from headrace.pql import (
    Audiences,
    NotStreamable,
    PqlError,
    ProblemCode,
    ReasonCode,
    Setting,
    evaluate,
    from_json,
    parse,
    to_json,
    unparse,
)
from headrace.pql.bind import bind
from headrace.pql.dependencies import dependencies_of, find_cycle
from headrace.pql.render import rendered
from headrace.pql.tree import And, Bound, Field, Literal, Variable, renumbered, transform, walk
from headrace.pql.types import ANY, INTEGER, STRING, ArrayType, MapType, ObjectType, object_type_from_schema
from tests.unit.pql.retail import NAMES, SCHEMA, SETTING, analysis, bound, codes, planned


def refusal(text: str, **more: Any) -> PqlError:
    with pytest.raises(PqlError) as caught:
        analysis(text, **more)
    return caught.value


# --- dependencies


def test_dependencies_name_audiences_in_order_and_once() -> None:
    found = analysis('inSegment("b") and (inSegment("a") or not inSegment("b"))').dependencies
    assert found.audience_ids == ("b", "a")


@pytest.mark.parametrize(
    ("text", "profile", "events"),
    [
        ("homeAddress.city = workAddress.city", {"homeAddress.city", "workAddress.city"}, set()),
        ("exists O from _acme.orders where O.price > 3", {"_acme.orders", "_acme.orders.price"}, set()),
        ('_acme.orders[paid].storeId.includes("a")', {"_acme.orders.storeId", "_acme.orders.paid"}, set()),
        ("_acme.orders.topN(price, 1).head().qty > 1", {"_acme.orders.qty", "_acme.orders.price"}, set()),
        (
            'segmentMembership.get(homeAddress.city).get("x").status = "exited"',
            {"segmentMembership.status", "homeAddress.city"},
            set(),
        ),
        ("xEvent[price > $1.person.age].count() > 1", {"person.age"}, {"price"}),
        ("let a = homeAddress in a.city = a.state", {"homeAddress", "homeAddress.city", "homeAddress.state"}, set()),
    ],
)
def test_dependencies_name_the_paths_that_are_read(text: str, profile: set[str], events: set[str]) -> None:
    found = analysis(text).dependencies
    assert (set(found.profile_paths), set(found.event_paths)) == (profile, events)


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("person.age > 3", set()),
        ('chain(xEvent, timestamp, [A: WHAT(eventType = "A"), B: WHAT(eventType.equals("b", false) and a = 1)])', {"a", "b"}),
        ('xEvent[eventType in ["a", "b"]][eventType = "b"]', {"b"}),
        ('xEvent[eventType = "a" or eventType = "b"].count() > 1', {"a", "b"}),
        ('xEvent[eventType = "a" or price > 1]', None),
        ('forall E from xEvent where not (E.eventType = "a") or E.price > 1', {"a"}),
        ('(sum E.price over E from xEvent where E.eventType = "a") > 3', {"a"}),
        ('xEvent[eventType = "a"] and xEvent.count() > 1', None),
        ('exists E from xEvent where E.eventType = "a", F from xEvent where F.eventType = "b"', {"a", "b"}),
    ],
)
def test_dependencies_name_the_event_types_that_can_matter(text: str, types: set[str] | None) -> None:
    found = dependencies_of(bound(text))
    assert found.event_types == types
    assert found.reads_events is (types != set())


def test_cycle_of_audiences_is_refused_with_its_path() -> None:
    saved = {"a1": ["b2"], "b2": []}
    audiences = Audiences(references=lambda one: saved.get(one, []), own_id="b2")
    (problem,) = refusal('person.age > 3 and inSegment("a1")', audiences=audiences).problems
    assert problem.message == "E-CYCLE at 1:20: The audience would depend on itself: b2 → a1 → b2."
    assert refusal('inSegment("b2")', audiences=audiences).problems[0].code is ProblemCode.CYCLE
    assert analysis('inSegment("b2")', audiences=Audiences(references=saved.__getitem__, own_id="c3")).bound


def test_cycle_that_does_not_pass_through_the_saved_audience_is_not_its_fault() -> None:
    saved = {"x": ["y"], "y": ["x"]}
    assert find_cycle("a", ["x"], saved.__getitem__) is None


# --- warnings and limits


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('person.gender = "robot"', "enum_value_unknown"),
        ('person.gender in ["male", "robot"]', "enum_value_unknown"),
        ("loyalty.joinDate occurs between date(2025, 2, 1) and date(2025, 1, 1)", "range_empty"),
        ("xEvent.eventType.isNull()", "array_path_never_null"),
        (
            "_acme.orders.sum(qty) + _acme.orders.count() + _acme.orders.max(qty) + _acme.orders.min(qty) > 1",
            "too_many_aggregations",
        ),
        ('exists E from xEvent, I from E.productListItems, C from I.categories where C = "x"', "arrays_nested_deeply"),
    ],
)
def test_odd_query_is_accepted_with_a_warning(text: str, code: str) -> None:
    assert [one.code for one in analysis(text).advice] == [code]


def test_ordinary_query_has_no_warning() -> None:
    assert analysis('person.gender = "male" and xEvent[timestamp occurs today].count() > 1').advice == ()


def test_query_of_too_many_clauses_is_refused() -> None:
    group = "(person.age = 1 and person.age = 2 and person.age = 3)"
    assert analysis(" or ".join([group.replace("3", str(i)) for i in range(4, 12)]))
    (problem,) = refusal(" or ".join(group.replace("3", str(i)) for i in range(4, 14))).problems
    assert problem.code is ProblemCode.LIMIT


def test_long_flat_list_of_alternatives_is_accepted() -> None:
    assert analysis(" or ".join(f"person.age = {i}" for i in range(3_000))).bound


def test_unknown_format_is_refused() -> None:
    assert refusal("a", query_format="pql/xml").problems[0].code is ProblemCode.FORMAT


def test_error_is_invalid_input_with_all_problems() -> None:
    error = refusal("person.aeg > 3 and homeAdress.city = 3")
    assert isinstance(error, InvalidInput)
    assert error.code == "pql_invalid"
    assert [(problem.code, problem.replacement) for problem in error.problems] == [("E-NAME", "age"), ("E-NAME", "homeAddress")]
    assert str(error).count("E-NAME") == 2


def test_result_of_any_type_is_kept_when_no_boolean_is_asked_for() -> None:
    assert codes("person.age + 1") == ["E-RESULT"]
    assert bound("person.age + 1", needs_boolean=False).result == INTEGER


def test_events_are_no_field_of_the_profile() -> None:
    assert refusal("timeSeriesEvents.count() > 1").problems[0].code is ProblemCode.NAME


# --- plan


def test_reasons_of_the_setting_come_with_the_others() -> None:
    verdict = planned("person.age > 3", Setting(is_active_on_edge=False, is_schedule_enabled=False)).streaming
    assert isinstance(verdict, NotStreamable)
    assert verdict.codes == (ReasonCode.MERGE_POLICY, ReasonCode.SCHEDULE)


def test_reason_points_at_the_node_and_tells_the_remedy() -> None:
    verdict = planned('person.age > 3 and chain(xEvent, timestamp, [A: WHAT(eventType = "a")])', SETTING).streaming
    assert isinstance(verdict, NotStreamable)
    assert (verdict.reason_code, verdict.node.span.start) == (ReasonCode.WINDOW, 19)
    assert "24 hours" in verdict.text


# --- types and the tree


def test_schema_becomes_a_type() -> None:
    profile = object_type_from_schema(SCHEMA["profile"])
    acme = profile.fields["_acme"]
    assert isinstance(acme, ObjectType)
    assert acme.fields["counts"] == MapType(INTEGER)
    assert acme.fields["tags"] == ArrayType(STRING)
    assert acme.fields["untyped"] == ANY
    assert object_type_from_schema({"properties": {"a": {"type": ["null", "integer"]}, "b": {"items": {}}}}).fields == {
        "a": INTEGER,
        "b": ArrayType(ANY),
    }


def test_bound_tree_cannot_be_bound_again() -> None:
    root = bound("true")
    with pytest.raises(PqlError):
        bind(root, NAMES)  # type: ignore[arg-type]


def test_equal_queries_with_other_variable_names_are_equal_trees() -> None:
    one = bound("exists E from xEvent where E.price > 3, I from E.productListItems where I.quantity > 1")
    other = bound("exists A from xEvent where A.price > 3, B from A.productListItems where B.quantity > 1")
    assert one == other
    assert hash(one) == hash(other)


def test_slots_are_unique_on_every_path_from_the_root() -> None:
    root = bound("xEvent[productListItems[categories.filter((C) => C = SKU).count() > 1]].groupBy(product).keys().count() > 1")
    assert {node.slot for node in walk(root) if isinstance(node, Variable)} <= {0, 1, 2}
    assert renumbered(root) == root


def test_transform_changes_nodes_bottom_up_and_keeps_what_is_unchanged() -> None:
    root = bound("person.age = 1 and person.birthYear = 2")
    assert transform(root, lambda node: node) is root

    def plus(node: Bound) -> Bound:
        return Literal(node.value + 1, node.type) if isinstance(node, Literal) and isinstance(node.value, int) else node

    assert transform(root, plus) == bound("person.age = 2 and person.birthYear = 3")
    assert isinstance(root, And)
    assert sum(isinstance(node, Field) for node in walk(root)) == 4


def test_spans_point_into_the_text() -> None:
    text = "person.age = 1 and person.name.firstName = null"
    root = bound(text)
    assert isinstance(root, And)
    assert [text[part.span.start : part.span.end] for part in root.operands] == text.split(" and ")


def test_parse_gives_spans_of_the_whole_text() -> None:
    tree = parse("  a + b ")
    assert (tree.span.start, tree.span.end) == (2, 7)


# --- hostile queries


def nested(start: str, end: str, inner: str, levels: int) -> str:
    return start * levels + inner + end * levels


HOSTILE = {
    "sums": "person.age" + " + 1" * 94 + " > 1",
    "steps of a path": "_acme.untyped" + ".a" * 95 + " = 1",
    "filters of filters": "_acme.untyped" + "[a = 1]" * 95,
    "filters in filters": nested("_acme.untyped[", "]", "a = 1", 1).replace("a = 1", nested("a[", "]", "b = 1", 30)),
    "negations": nested("not (", ")", "testProfile", 19),
    "conditions": nested("if(testProfile, ", ", 1)", "1", 30) + " = 1",
    "maps": "_acme.untyped" + ".map(a)" * 95 + ".count() = 1",
    "declarations": " and ".join(
        "(exists " + ", ".join(f"V{i}_{n} from _acme.untyped where V{i}_{n}.a = 1" for n in range(15)) + ")" for i in range(9)
    ),
    "declarations in declarations": "".join(f"exists A{i} from _acme.untyped, B{i} from A{i}.b where (" for i in range(15))
    + "true"
    + ")" * 15,
    "anchors in anchors": nested(
        "person.birthDate occurs = 1 month from if(", ", person.birthDate, loyalty.joinDate)", "testProfile", 18
    ),
    "texts in texts": nested(
        'if(homeAddress.city.equals("a", "b", "c", "d", "e", "f", "g", false), ', ', "x")', '"y"', 30
    ) + '.equals("a", "b", "c", "d", false)',
    "subjects in subjects": nested("if(", '.equals("a", "b", "c", "d", "e", "f", false), "x", "y")', "timeZone", 20)
    + ' = "x"',
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_query_is_handled_or_refused_without_overflow(name: str) -> None:
    text = HOSTILE[name]
    try:
        found = analysis(text)
    except PqlError as error:
        assert {problem.code for problem in error.problems} <= {ProblemCode.LIMIT, ProblemCode.VAR, ProblemCode.NAME}
        return
    planned(text)
    assert rendered(found.bound)
    assert from_json(to_json(found.tree)).tree
    assert parse(unparse(found.tree)) == found.tree
    assert evaluate(found.bound, {"_acme": {"untyped": [{"a": 1}]}}, [], now=0) in (True, False)
