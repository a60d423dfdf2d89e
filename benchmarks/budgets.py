"""The budgets of the design, and the table that shows figures beside them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Budget:
    """One row; a figure measured at a smaller size than the budget's says so.

    Attributes:
        key: Dotted path of the figure in a result.
        what: What is measured.
        unit: Its unit.
        first: What must be reached.
        goal: What is aimed at.
        is_higher_better: Whether more is better.
        bare: Dotted path of the reference's figure; empty when there is none.
    """

    key: str
    what: str
    unit: str
    first: float
    goal: float
    is_higher_better: bool = False
    bare: str = ""


BUDGETS = (
    Budget(
        "headrace.single.events_per_second",
        "sustained end to end, one event a POST, 500 audiences",
        "events/s",
        6_000,
        15_000,
        True,
        "bare.single.events_per_second",
    ),
    Budget(
        "headrace.batch.events_per_second",
        "the same, 100 events a call",
        "events/s",
        10_000,
        25_000,
        True,
        "bare.batch.events_per_second",
    ),
    Budget(
        "headrace.latency.receipt_ms.p99",
        "POST → receipt at 1,000 events/s, p99",
        "ms",
        1_000,
        100,
        False,
        "bare.latency.receipt_ms.p99",
    ),
    Budget("lookup.p99_ms", "profile look-up by any identity, 200 k profiles (budget: 1 M), p99", "ms", 10, 3),
    Budget("growth.audiences.grows_by", "cost per event, audiences 100 → 4,000", "times", 5, 2),
    Budget("growth.profiles.grows_by", "cost per event, profiles 100 k → 500 k (budget: 5 M)", "times", 2, 1.2),
    Budget("growth.history.grows_by", "cost per event, a person's events 10 → 10,000", "times", 2, 1.2),
    Budget("memory.megabytes", "resident memory of all roles, 200 k profiles (budget: 1 M)", "MB", 2_000, 1_000),
    Budget("memory.ready_seconds", "`headrace serve` ready", "s", 3, 1),
    Budget("memory.restart_seconds", "ready after kill -9, 200 k profiles (budget: 1 M)", "s", 10, 3),
)


def value_at(result: Mapping[str, Any], path: str) -> float | None:
    """Return a figure of a result, None when it was not measured."""
    node: Any = result
    for name in path.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return None
        node = node[name]
    return float(node)


def table(result: Mapping[str, Any]) -> str:
    """Return the figures beside their budgets, as a Markdown table."""
    rows = [("what, on these cores", "first", "goal", "Headrace", "bare reference", "ratio", "")]
    for budget in BUDGETS:
        figure = value_at(result, budget.key)
        if figure is None:
            continue
        bare = value_at(result, budget.bare) if budget.bare else None
        rows.append(
            (
                budget.what,
                _shown(budget.first, budget.unit),
                _shown(budget.goal, budget.unit),
                _shown(figure, budget.unit),
                _shown(bare, budget.unit) if bare is not None else "",
                f"{figure / bare:.2f}" if bare else "",
                _verdict(budget, figure),
            )
        )
    return _markdown(rows)


def _shown(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2g}" if value < 1 else f"{value:.1f}"
    return f"{text} {unit}"


def _verdict(budget: Budget, figure: float) -> str:
    def reaches(limit: float) -> bool:
        return figure >= limit if budget.is_higher_better else figure <= limit

    return "goal" if reaches(budget.goal) else "first" if reaches(budget.first) else "**missed**"


def _markdown(rows: Iterable[tuple[str, ...]]) -> str:
    head, *rest = rows
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 2)}---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rest)])
