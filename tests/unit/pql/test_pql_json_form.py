"""The JSON form: what is written, what is read, what is refused."""

import json
from typing import Any

import pytest

from headrace.pql import PqlError, ProblemCode, from_json, parse, to_json, unparse
from tests.unit.pql.retail import analysis

PROFILE = {"nodeType": "parameterReference", "position": 1}


def refusal(value: Any) -> PqlError:
    with pytest.raises(PqlError) as caught:
        from_json(value if isinstance(value, str) else json.dumps(value))
    return caught.value


def text_of(value: Any) -> str:
    return unparse(from_json(json.dumps(value)).tree)


def field(name: str, receiver: Any = None) -> dict[str, Any]:
    return {"nodeType": "fieldLookup", "fieldName": name, "object": receiver or PROFILE}


def test_select_has_the_published_shape() -> None:
    tree = parse('select e1 from xEvent where e1.eventType.equals("order", true)')
    assert to_json(tree) == {
        "nodeType": "select",
        "variables": [
            {
                "nodeType": "varDecl",
                "varName": "e1",
                "from": field("xEvent"),
                "where": {
                    "nodeType": "fnApply",
                    "fnName": "equals",
                    "params": [
                        field("eventType", {"nodeType": "varRef", "varName": "e1"}),
                        {"nodeType": "literal", "literalType": "String", "value": "order"},
                        {"nodeType": "literal", "literalType": "Boolean", "value": True},
                    ],
                },
            }
        ],
    }


def test_implicit_receivers_become_lambdas_named_by_depth() -> None:
    node = to_json(parse("xEvent[productListItems[SKU = ^.product]]"))
    outer = node["params"][1]
    inner = outer["body"]["params"][1]
    assert (outer["varNames"], inner["varNames"]) == (["_1"], ["_2"])
    assert inner["body"]["params"] == [
        field("SKU", {"nodeType": "varRef", "varName": "_2"}),
        field("product", {"nodeType": "varRef", "varName": "_1"}),
    ]


def test_receivers_avoid_the_names_of_variables() -> None:
    text = "_acme.numbers.map((_1) => _acme.orders[qty = _1].count()).sum() > 1"
    assert to_json(parse(text)) == to_json(from_json(to_json(parse(text))).tree)
    assert analysis(text).bound == analysis(json.dumps(to_json(parse(text))), query_format="pql/json").bound


def test_chain_writes_counts_windows_and_labels() -> None:
    last = "B: WHAT(a = 2) WHEN(<= 1 hour after A and today) COUNT(0) WHERE(a > ^.b)"
    text = f"chain(xEvent, timestamp, [A: WHAT(a = 1) COUNT(2), {last}])"
    node = to_json(parse(text))
    first, second = node["elements"]
    assert first["count"] == {"min": 2, "max": None}
    assert second["count"] == {"min": 0, "max": 0}
    assert second["when"] == [
        {"op": "<=", "amount": 1, "unit": "hour", "direction": "after", "anchor": {"nodeType": "varRef", "varName": "A"}},
        {"anchor": {"nodeType": "timeReference", "name": "today"}},
    ]
    assert unparse(from_json(node).tree) == text.replace("^.b", "$1.b")


def test_old_spelling_of_the_profile_is_read() -> None:
    profile = {"nodeType": "literal", "literalType": "XDMObject", "value": "profile"}
    assert text_of(field("city", field("homeAddress", profile))) == "homeAddress.city"


def test_lists_dates_and_maps_are_literals() -> None:
    assert text_of({"nodeType": "literal", "literalType": "List", "value": ["a", 1, 2.5, True]}) == '["a", 1, 2.5, true]'
    assert text_of({"nodeType": "literal", "literalType": "Date", "value": "2025-03-14"}) == "date(2025, 3, 14)"
    assert text_of({"nodeType": "literal", "literalType": "Map", "value": {"a": 1}}) == '{"a": 1}'
    assert to_json(parse("date(2025, 3, 14)"))["literalType"] == "Date"
    assert to_json(parse("date(2025, 2, 30)"))["nodeType"] == "fnApply"
    assert to_json(parse("[a, 1]"))["nodeType"] == "list"


def test_unknown_member_is_ignored_with_a_warning() -> None:
    query = from_json({"nodeType": "literal", "literalType": "Boolean", "value": True, "note": "x"})
    assert [one.code for one in query.advice] == ["json_member_ignored"]
    assert unparse(query.tree) == "true"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"nodeType": "fnApply", "fnName": "="}, "$"),
        ({"nodeType": "fnApply", "fnName": "=", "params": [PROFILE]}, "$"),
        ({"nodeType": "fnApply", "fnName": "and", "params": [PROFILE, {"nodeType": "nope"}]}, "$.params[1]"),
        ({"nodeType": "fnApply", "fnName": "a b", "params": []}, "$.fnName"),
        ({"nodeType": "literal", "literalType": "Integer", "value": "3"}, "$"),
        ({"nodeType": "literal", "literalType": "Integer", "value": 2**63}, "$"),
        ({"nodeType": "literal", "literalType": "Date", "value": "2025-02-30"}, "$"),
        ({"nodeType": "parameterReference", "position": 0}, "$.position"),
        ({"nodeType": "fieldLookup", "fieldName": "a`b", "object": PROFILE}, "$.fieldName"),
        ({"nodeType": "select", "variables": []}, "$.variables"),
        ({"nodeType": "timeReference", "name": "this", "unit": "day"}, "$.name"),
        ({"nodeType": "occurs", "object": PROFILE, "op": "<=", "amount": -1, "unit": "day", "anchor": PROFILE}, "$.amount"),
        ({"nodeType": "chain", "array": PROFILE, "timestampField": PROFILE, "elements": [{"name": "A"}]}, "$.elements[0]"),
        ([], "$"),
        ("not json", "$"),
    ],
)
def test_malformed_node_is_refused_with_its_path(value: Any, path: str) -> None:
    (problem,) = refusal(value).problems
    assert (problem.code, problem.node_path) == (ProblemCode.FORMAT, path)
    assert problem.message.startswith(f"E-FORMAT at {path}: ")


def test_deep_json_is_refused_without_overflow() -> None:
    node: Any = PROFILE
    for _ in range(400):
        node = {"nodeType": "fnApply", "fnName": "not", "params": [node]}
    assert refusal(node).problems[0].code is ProblemCode.LIMIT
    assert refusal("[" * 100_000).problems[0].code is ProblemCode.LIMIT


def test_binding_problem_of_json_names_the_node() -> None:
    node = {
        "nodeType": "fnApply",
        "fnName": "=",
        "params": [field("name", field("persn")), {"nodeType": "literal", "literalType": "Null"}],
    }
    with pytest.raises(PqlError) as caught:
        analysis(json.dumps(node), query_format="pql/json")
    assert [problem.message for problem in caught.value.problems] == [
        "E-NAME at $.params[0].object: Unknown field persn. Did you mean person?"
    ]
