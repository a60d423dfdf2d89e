"""Text to the unbound tree: what the golden cases of canonical text do not show."""

import pytest

from headrace.pql import PqlError, ProblemCode, parse, syntax
from headrace.pql.cursor import MAX_NESTING
from headrace.pql.parser import MAX_TREE_DEPTH
from headrace.pql.tokens import MAX_TEXT_BYTES


def refusal(text: str) -> PqlError:
    with pytest.raises(PqlError) as caught:
        parse(text)
    return caught.value


def test_every_lexical_problem_of_a_text_is_listed_in_order_of_position() -> None:
    error = refusal("a = 'x' and b.matches(\"\\w\") and c = ?")
    assert [problem.code for problem in error.problems] == [ProblemCode.LEX] * 3
    assert [problem.column for problem in error.problems] == [5, 24, 37]
    assert error.problems[0].replacement == '"x"'
    assert error.problems[1].replacement == "\\\\w"


def test_problem_knows_line_and_column() -> None:
    (problem,) = refusal("a = 1\n  and b == 2").problems
    assert (problem.line, problem.column, problem.start, problem.end) == (2, 9, 14, 16)
    assert problem.message == "E-SYNTAX at 2:9: There is no operator ==; use =."


def test_text_of_the_greatest_length_is_accepted_and_a_longer_one_is_not() -> None:
    text = "a = 1".ljust(MAX_TEXT_BYTES)
    assert parse(text) == parse("a = 1")
    assert refusal(text + " ").problems[0].code is ProblemCode.LIMIT


@pytest.mark.parametrize(
    "text",
    [
        "(" * 20_000,
        "[" * 20_000,
        "not " * 15_000 + "a",
        "-" * 30_000 + "1",
        "- " * 30_000 + "1",
        "a" + ".b" * 30_000,
        "a" + " + 1" * 15_000,
        "a" + "[b" * 20_000,
        "f(" * 20_000,
        "exists X from " * 4_000,
        "sum a over X from " * 3_000 + "b",
        "let a = " * 8_000,
        "(a) => " * 9_000 + "a",
        "^" * 60_000 + "a",
        "{" + '"a": {' * 9_000,
        "if(" * 20_000,
        "chain(" * 10_000,
        "a or " * 13_000 + "b",
        "exists " + ", ".join(f"V{i} from a" for i in range(4_000)),
    ],
)
def test_hostile_text_is_parsed_or_refused_without_overflow(text: str) -> None:
    try:
        tree = parse(text)
    except PqlError as error:
        assert error.problems[0].code in (ProblemCode.LIMIT, ProblemCode.SYNTAX)
    else:
        assert syntax.depth(tree) <= MAX_TREE_DEPTH


def test_nesting_up_to_the_limit_is_accepted() -> None:
    depth = MAX_NESTING - 1
    assert parse("(" * depth + "a" + ")" * depth) == syntax.Name("a")
    assert refusal("(" * MAX_NESTING + "a" + ")" * MAX_NESTING).problems[0].code is ProblemCode.LIMIT


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a AND b Or NOT c", "a and b or not c"),
        ("a.equals(b)", "equals(a, b)"),
        ("a occurs 'x'".replace("'", '"'), 'a occurs on "x"'),
        ("forall O from a : O.b", "FORALL O FROM a WHERE O.b"),
        ("a NOTIN [1]", "a notIn [1]"),
        ("! (a)", "not a"),
        ("Chain(xevent, timestamp, [A: what(a)])", "chain(xEvent, timestamp, [A: WHAT(a) COUNT(1)])"),
        ("a = /* one */ 1 // two\n", "a = 1"),
        ("1e3", "1000.0"),
        ("`a` = 1", "a = 1"),
        ("^^a", "^^.a"),
        ("t occurs <= 1 DAYS before now", "t occurs <= 1 day before now"),
        ("let x = 1 in (x)", "let x = 1 in x"),
    ],
)
def test_two_spellings_of_one_query_give_equal_trees(text: str, same: str) -> None:
    assert parse(text) == parse(same)


@pytest.mark.parametrize(
    "text",
    [
        "date = 1",
        "a.in.select",
        "count > 1",
        "sum - 1 > 2",
        "last = next",
        "timestamp occurs before",
        "values.keys() = [on]",
        "a.`b c`",
    ],
)
def test_contextual_words_are_names(text: str) -> None:
    if text == "timestamp occurs before":
        assert parse(text) == syntax.Occurs(syntax.Name("timestamp"), syntax.When(syntax.Name("before")))
    else:
        parse(text)


def test_smallest_integer_is_a_literal_and_its_opposite_is_not() -> None:
    assert parse("-9223372036854775808") == syntax.Constant(-(2**63), syntax.LiteralKind.INTEGER)
    assert refusal("9223372036854775808").problems[0].code is ProblemCode.LEX
    assert refusal("-9223372036854775809").problems[0].code is ProblemCode.LEX


def test_surrogate_pair_is_one_character_and_half_of_one_is_refused() -> None:
    assert parse('"\\ud83d\\ude00"') == syntax.Constant("\U0001f600", syntax.LiteralKind.STRING)
    assert refusal('"\\ud83d"').problems[0].code is ProblemCode.LEX


@pytest.mark.parametrize("text", ['"abc', "a /* b", "`a", "a @ b", "``"])
def test_unfinished_token_is_refused(text: str) -> None:
    assert refusal(text).problems[0].code is ProblemCode.LEX


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "a.",
        "a[",
        "a[b",
        "f(a",
        "{1: a}",
        "{}",
        "exists X in a",
        "select X",
        "let x = 1",
        "chain(a, b, [])",
        "^3",
        "chain(a, b, [A: WHAT(a) WHAT(b)])",
        "chain(a, b, [A: WHAT(a) COUNT(1) COUNT(2)])",
        "chain(a, b, [A: WHAT(a) COUNT(< 0)])",
        "chain(a, b, [A: WHAT(a) COUNT(!= 2)])",
        "t occurs <= 1 fortnight before now",
        "t occurs <= 1.5 days before now",
        "t occurs <= 1 day",
        "t occurs between a",
        "a = 1 = 2",
        "a in b in c",
        "x => x",
        "select and from a",
    ],
)
def test_malformed_text_is_a_syntax_error(text: str) -> None:
    assert refusal(text).problems[0].code is ProblemCode.SYNTAX
