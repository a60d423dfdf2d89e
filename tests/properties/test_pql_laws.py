"""Laws of PQL: text and tree are two spellings of one thing, so is JSON, and no rule changes what a query means."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.pql.retail import GOLDEN, analysis, bound

from headrace.clock import parse_iso
from headrace.pql import PqlError, evaluate, from_json, parse, syntax, to_json, unparse
from headrace.pql.rules import RULES, normalised
from headrace.pql.syntax import LiteralKind, Syntax
from headrace.pql.tree import Unit, renumbered

# --- unbound trees --------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["a", "person", "_acme", "count", "sum", "order", "in", "before", "last", "today", "on", "x y", "SKU", "not"]
)
VARIABLES = st.sampled_from(["X", "Y", "Z", "from", "min"])
FUNCTIONS = st.sampled_from(
    ["equals", "count", "map", "exists", "sum", "get", "if", "inSegment", "unheardOf", "topN", "mapEntry"]
)
CONSTANTS = st.one_of(
    st.text(max_size=5)
    .filter(lambda text: not any("\ud800" <= one <= "\udfff" for one in text))
    .map(lambda text: syntax.Constant(text, LiteralKind.STRING)),
    st.integers(-(2**63), 2**63 - 1).map(lambda number: syntax.Constant(number, LiteralKind.INTEGER)),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: syntax.Constant(number, LiteralKind.DOUBLE)),
    st.booleans().map(lambda truth: syntax.Constant(truth, LiteralKind.BOOLEAN)),
    st.just(syntax.Constant(None, LiteralKind.NULL)),
)
LEAVES = st.one_of(
    CONSTANTS,
    NAMES.map(syntax.Name),
    st.just(syntax.Name("xEvent")),
    st.integers(1, 3).map(syntax.Parameter),
    st.builds(syntax.Up, st.integers(1, 3), NAMES),
    st.sampled_from(["now", "today", "yesterday", "tomorrow"]).map(syntax.TimeWord),
)
COUNTS = st.one_of(
    st.tuples(st.integers(0, 3), st.none()),
    st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda pair: (min(pair), max(pair))),
)


def whens(inner: st.SearchStrategy[Syntax]) -> st.SearchStrategy[syntax.When]:
    anchors = st.one_of(inner, st.builds(syntax.CalendarUnit, st.sampled_from(["this", "last", "next"]), st.sampled_from(Unit)))
    distance = st.builds(
        syntax.When,
        anchors,
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        st.integers(0, 30),
        st.sampled_from(Unit),
        st.sampled_from(["before", "after", "from"]),
    )
    return st.one_of(
        distance,
        st.builds(syntax.When, anchors, direction=st.sampled_from([None, "before", "after"])),
        st.builds(syntax.When, anchors, anchor_end=anchors),
    )


def branches(inner: st.SearchStrategy[Syntax]) -> st.SearchStrategy[Syntax]:
    pairs = st.lists(inner, min_size=2, max_size=3).map(tuple)
    declarations = st.lists(
        st.builds(syntax.Declaration, VARIABLES, inner, st.one_of(st.none(), inner)), min_size=1, max_size=2
    ).map(tuple)
    names = st.lists(VARIABLES, max_size=2, unique=True).map(tuple)
    lambdas = st.builds(syntax.Lambda, names, inner)
    terms = st.builds(
        lambda label, what, when, count, where: syntax.Term(label, what, tuple(when), count[0], count[1], where),
        VARIABLES,
        inner,
        st.lists(whens(inner), max_size=2),
        COUNTS,
        st.one_of(st.none(), inner),
    )
    comparisons = st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "in", "notIn", "like", "+", "-", "*", "/", "%"])
    return st.one_of(
        st.builds(syntax.Member, inner, NAMES),
        st.builds(syntax.Call, FUNCTIONS, st.lists(st.one_of(inner, lambdas), min_size=1, max_size=3).map(tuple)),
        st.builds(syntax.Filter, inner, st.one_of(inner, lambdas)),
        st.lists(inner, max_size=3).map(lambda items: syntax.ListLiteral(tuple(items))),
        st.lists(st.builds(syntax.Entry, st.text("ab", max_size=2), inner), min_size=1, max_size=2).map(
            lambda entries: syntax.ObjectLiteral(tuple(entries))
        ),
        st.builds(syntax.Let, VARIABLES, inner, inner),
        st.builds(syntax.Select, declarations),
        st.builds(syntax.Quantifier, st.booleans(), declarations),
        st.builds(syntax.AggregateOver, st.sampled_from(["sum", "average", "min", "max", "count"]), inner, declarations),
        st.builds(syntax.Junction, st.sampled_from(["and", "or"]), pairs),
        st.builds(syntax.Not, inner),
        st.builds(syntax.Negate, inner),
        st.builds(syntax.Binary, comparisons, inner, inner),
        st.builds(syntax.Occurs, inner, whens(inner)),
        st.builds(syntax.Chain, inner, inner, st.lists(terms, min_size=1, max_size=2).map(tuple)),
        lambdas,
    )


TREES = st.recursive(LEAVES, branches, max_leaves=12)


def queries() -> list[str]:
    """Return the valid queries of the golden files."""
    found: dict[str, None] = {}
    for name in ("eligibility", "eligibility_extended", "bind", "fold_constants", "flatten_logic", "push_not_inward"):
        lines = [line for line in (GOLDEN / f"{name}.pql").read_text().splitlines() if line and not line.startswith("#")]
        found.update(dict.fromkeys(lines[::2]))
    return list(found)


QUERIES = queries()


@given(TREES)
@settings(max_examples=400, deadline=None)
def test_parsing_the_canonical_text_of_a_tree_gives_the_tree(tree: Syntax) -> None:
    text = unparse(tree)
    assert parse(text) == tree
    assert unparse(parse(text)) == text


@given(TREES)
@settings(max_examples=300, deadline=None)
def test_json_of_a_tree_read_and_written_again_is_the_same_json(tree: Syntax) -> None:
    try:
        written = to_json(tree)
    except PqlError:
        return  # ^ leads out of the query
    again = to_json(from_json(json.dumps(written)).tree)
    assert again == written
    assert parse(unparse(from_json(written).tree)) == from_json(written).tree


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_tree_or_a_refusal(text: str) -> None:
    try:
        parse(text)
    except PqlError as error:
        assert error.problems


@pytest.mark.parametrize("text", QUERIES)
def test_query_means_the_same_from_text_canonical_text_and_json(text: str) -> None:
    tree = parse(text)
    assert parse(unparse(tree)) == tree
    expected = analysis(text).bound
    assert analysis(unparse(tree)).bound == expected
    assert analysis(json.dumps(to_json(tree)), query_format="pql/json").bound == expected
    assert analysis(unparse(from_json(to_json(tree)).tree)).bound == expected


# --- meaning --------------------------------------------------------------------------------------------------------------

NOW = parse_iso("2025-03-14T10:00:00Z")
TEXTS = st.sampled_from(["NO", "no", "CA", "female", "a", "s1", "KY-7", "Oslo", "", "vip"])
INSTANTS = st.integers(NOW - 3 * 86_400_000, NOW + 86_400_000).map(lambda instant: instant // 1_800_000 * 1_800_000)
DAYS = st.sampled_from(["2007-03-14", "2007-03-15", "2000-02-29", "2025-03-14", "1970-06-02"])
EVENT_TYPES = st.sampled_from(
    ["a", "addToCart", "purchase", "pageView", "checkout", "login", "homePageView", "download", "commerce.checkouts"]
)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


NUMBERS = st.integers(-1, 6)
DOUBLES = st.sampled_from([0.0, 2.0, 9.5, 80.0, 300.0])
LINES = objects(sku=TEXTS, amount=DOUBLES)
ORDERS = objects(
    storeId=TEXTS,
    price=DOUBLES,
    qty=NUMBERS,
    paid=st.booleans(),
    currency=TEXTS,
    placedAt=INSTANTS,
    lines=st.lists(LINES, max_size=2),
)
ADDRESSES = objects(city=TEXTS, state=TEXTS, country=TEXTS, countryCode=TEXTS)
PROFILES = objects(
    person=objects(
        age=NUMBERS,
        birthYear=NUMBERS,
        birthMonth=NUMBERS,
        birthDate=DAYS,
        gender=TEXTS,
        name=objects(firstName=TEXTS, lastName=TEXTS),
    ),
    homeAddress=ADDRESSES,
    workAddress=ADDRESSES,
    loyalty=objects(points=DOUBLES, joinDate=INSTANTS),
    testProfile=st.booleans(),
    _acme=objects(
        orders=st.lists(ORDERS, max_size=3),
        tags=st.lists(TEXTS, max_size=3),
        numbers=st.lists(NUMBERS, max_size=3),
        flags=st.lists(st.booleans(), max_size=2),
    ),
    segmentMembership=st.just({"ups": {"a1": {"status": "realized"}, "b2": {"status": "exited"}}}),
)
EVENTS = st.lists(
    st.fixed_dictionaries(
        {"_id": st.sampled_from("abcdefgh"), "timestamp": INSTANTS, "eventType": EVENT_TYPES},
        optional={
            "a": st.integers(1, 2),
            "price": DOUBLES,
            "type": st.sampled_from(["FERRY", "DELAY"]),
            "channel": st.sampled_from(["web", "app"]),
            "commerce": objects(order=objects(priceTotal=DOUBLES, currencyCode=TEXTS)),
            "productListItems": st.lists(objects(SKU=TEXTS, name=TEXTS, quantity=NUMBERS), max_size=2),
        },
    ),
    max_size=6,
)


@given(st.sampled_from(QUERIES), PROFILES, EVENTS)
@settings(max_examples=500, deadline=None)
def test_no_rule_changes_the_answer_of_a_query(text: str, profile: dict[str, Any], events: list[dict[str, Any]]) -> None:
    root = bound(text)
    expected = evaluate(root, profile, events, now=NOW)
    assert isinstance(expected, bool)
    assert evaluate(normalised(root), profile, events, now=NOW) is expected
    for rule in RULES:
        assert evaluate(renumbered(rule(root)), profile, events, now=NOW) is expected, rule.__name__


@given(st.sampled_from(QUERIES), PROFILES, EVENTS, st.randoms())
@settings(max_examples=200, deadline=None)
def test_order_of_arrival_does_not_change_the_answer(
    text: str, profile: dict[str, Any], events: list[dict[str, Any]], random: Any
) -> None:
    distinct = list({event["_id"]: event for event in events}.values())
    shuffled = random.sample(distinct, len(distinct))
    root = bound(text)
    assert evaluate(root, profile, shuffled, now=NOW) is evaluate(root, profile, distinct, now=NOW)
