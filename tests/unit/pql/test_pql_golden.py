"""Cases of two lines in tests/golden/pql: an input and what becomes of it. ``--update-golden`` rewrites what is expected."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.pql import NotStreamable, Plan, RuleSet, Setting, parse, rules, unparse
from headrace.pql.render import rendered
from headrace.pql.tree import renumbered
from tests.unit.pql.retail import GOLDEN, KNOWN_AUDIENCES, bound, planned, problems


def eligibility(text: str, setting: Setting | None = None) -> str:
    plan = planned(text) if setting is None else planned(text, setting)
    methods = "B" + "S" * is_allowed(plan, "streaming") + "E" * is_allowed(plan, "edge")
    if isinstance(plan.streaming, NotStreamable):
        return f"{methods} {', '.join(plan.streaming.codes)}"
    return f"{methods} {plan.code}"


def extended_eligibility(text: str) -> str:
    setting = Setting(rules=RuleSet.EXTENDED, lookback_days=30, class_of_audience=KNOWN_AUDIENCES.get)
    plan = planned(text, setting)
    verdict = eligibility(text, setting)
    return verdict if isinstance(plan.streaming, NotStreamable) else f"{verdict} {plan.streaming.lookback_ms // 1000} s"


def is_allowed(plan: Plan, method: str) -> bool:
    return not isinstance(getattr(plan, method), NotStreamable)


def by_rule(rule: rules.Rule) -> Callable[[str], str]:
    return lambda text: rendered(renumbered(rule(bound(text))))


READERS: dict[str, Callable[[str], str]] = {
    "eligibility": eligibility,
    "eligibility_extended": extended_eligibility,
    "bind": lambda text: rendered(bound(text)),
    "bind__invalid": lambda text: " | ".join(problems(text)),
    "unparse": lambda text: unparse(parse(text)),
    "normalised": lambda text: rendered(rules.normalised(bound(text))),
    **{rule.__name__: by_rule(rule) for rule in rules.RULES},
}


def lines_of(path: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Return a file's comments and its cases."""
    lines = path.read_text().splitlines()
    comments = [line for line in lines if line.startswith("#")]
    body = [line for line in lines if line and not line.startswith("#")]
    return comments, list(zip(body[::2], body[1::2], strict=True))


def cases() -> Iterator[object]:
    for path in sorted(GOLDEN.glob("*.pql")):
        for index, (text, expected) in enumerate(lines_of(path)[1]):
            yield pytest.param(path.stem, text, expected, id=f"{path.stem}-{index + 1}")


@pytest.mark.parametrize(("name", "text", "expected"), list(cases()))
def test_golden_case_gives_what_is_expected(name: str, text: str, expected: str) -> None:
    assert READERS[name](text) == expected


def test_every_golden_file_has_a_reader_and_every_reader_a_file(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--update-golden", default=False):
        update()
    assert {path.stem for path in GOLDEN.glob("*.pql")} == set(READERS)


def update() -> None:
    """Rewrite the second line of every case."""
    for path in GOLDEN.glob("*.pql"):
        comments, pairs = lines_of(path)
        body = [line for text, _ in pairs for line in (text, READERS[path.stem](text))]
        path.write_text("\n".join([*comments, "", *body, ""]))
