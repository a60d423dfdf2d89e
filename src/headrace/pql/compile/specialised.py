"""Source for the chains that most audiences are made of, where a comparison or two take the place of a search.

All of them need windows that follow now at fixed distances; everything else runs through `chains`.
"""

from dataclasses import dataclass

from headrace.pql.compile.chains import CountedTerm, EventSequence, Term
from headrace.pql.compile.kept import reading


@dataclass(frozen=True, slots=True)
class Window:
    """Times from now + ``low`` to now + ``high``, both included; None is unbounded."""

    low: int | None
    high: int | None


def source_of(test: CountedTerm | EventSequence) -> list[str] | None:
    """Return the body of a function ``(x, k)`` that means the same as ``test``; None when it has no such form."""
    terms = test.terms
    windows = [_window(term) for term in terms]
    if any(window is None for window in windows) or any(term.label_ranges for term in terms):
        return None
    known = [window for window in windows if window is not None]
    if len(terms) == 1 and terms[0].max_count is None and terms[0].min_count > 0:
        return _counted(terms[0], known[0])
    if len(terms) != 2 or terms[0].min_count != 1 or terms[0].max_count is not None:
        return None
    if terms[1].max_count == 0:
        return _then_none(terms[0], known[0], terms[1], known[1])
    if terms[1].max_count is None and terms[1].min_count == 1:
        return _then_one(terms[0], known[0], terms[1], known[1])
    return None


def _window(term: Term) -> Window | None:
    low = high = None
    for item in term.ranges:
        if item.lower is not None:
            distance = item.lower.distance_ms
            if distance is None:
                return None
            first = distance + (0 if item.is_lower_inclusive else 1)
            low = first if low is None else max(low, first)
        if item.upper is not None:
            distance = item.upper.distance_ms
            if distance is None:
                return None
            last = distance - (0 if item.is_upper_inclusive else 1)
            high = last if high is None else min(high, last)
    return Window(low, high)


def _note(instant: str) -> list[str]:
    return [f"d = {instant}", "if d < x.due or not x.due:", "    x.due = d"]


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _newest(name: str, term: Term, window: Window, count: int) -> list[str]:
    """Set ``v<name>`` to the ``count``-th newest time in the window, or return False; ``e<name>`` counts the times so far."""
    lines = [
        *reading(name, term.track),
        f"if not {name}:",
        "    return False",
        *_end(name, window),
        f"if e{name} < {count}:",
        "    return False",
        f"v{name} = {name}[e{name} - {count}]",
    ]
    if window.low is not None:
        lines += [f"if v{name} < now + {window.low}:", "    return False"]
    return lines


def _end(name: str, window: Window) -> list[str]:
    lines = [f"e{name} = len({name})"]
    if window.high is not None:
        lines += [
            f"if {name}[-1] > now + {window.high}:",
            f"    e{name} = bisect_right({name}, now + {window.high})",
            *_indented(_note(f"{name}[e{name}] - {window.high}")),
        ]
    return lines


def _leaving(name: str, window: Window) -> list[str]:
    return [] if window.low is None else _note(f"v{name} + {1 - window.low}")


def _counted(term: Term, window: Window) -> list[str]:
    return ["now = x.now", *_newest("a", term, window, term.min_count), *_leaving("a", window), "return True"]


def _then_one(first: Term, first_window: Window, second: Term, second_window: Window) -> list[str]:
    """The newest event of the second term leaves the most room for one of the first before it."""
    lines = ["now = x.now", *_newest("b", second, second_window, 1)]
    lines += [*reading("a", first.track), "if not a:", "    return False", *_end("a", first_window)]
    lines += ["i = min(ea, bisect_left(a, vb))", "if i == 0:", "    return False", "va = a[i - 1]"]
    if first_window.low is not None:
        lines += [f"if va < now + {first_window.low}:", "    return False"]
    return [*lines, *_leaving("a", first_window), *_leaving("b", second_window), "return True"]


def _then_none(first: Term, first_window: Window, second: Term, second_window: Window) -> list[str]:
    """Whatever follows the newest event of the first term also follows the older ones."""
    blocked = ["if eb and b[eb - 1] > va:", "    vb = b[eb - 1]"]
    if second_window.low is None:
        blocked += ["    return False"]
    else:
        blocked += [f"    if vb >= now + {second_window.low}:"]
        blocked += [f"        {line}" for line in [*_leaving("b", second_window), "return False"]]
    return [
        "now = x.now",
        *_newest("a", first, first_window, 1),
        *reading("b", second.track),
        "if b:",
        *_indented([*_end("b", second_window), *blocked]),
        *_leaving("a", first_window),
        "return True",
    ]
