"""Source of the functions that look at a new event: one an event type, whose conditions share what they read."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from headrace.pql import tree as t
from headrace.pql.compile.kept import reading
from headrace.pql.compile.shared_fields import SharedFields
from headrace.pql.compile.source import Module
from headrace.pql.compile.tracks import Track, conjuncts, joined, names_type

Observer = Callable[[Mapping[str, Any], dict[int, Any], int, int, set[int]], None]
_PARAMETERS = "event, k, at, now, found"


def observer(module: Module, tracks: Iterable[Track]) -> str:
    """Add a function that adds an event to those of ``tracks`` whose condition it satisfies; returns its name.

    The function takes the event, what is kept of the person's events, the event's time, now, and the set to which it adds the
    audiences that the event can affect.
    """
    by_type: dict[str, list[tuple[Track, list[t.Bound]]]] = {}
    tests: dict[str, tuple[t.Bound, t.Variable] | None] = {}
    for track in tracks:
        test, rest = _split(track)
        key = repr(test and _plain(test))
        tests.setdefault(key, (test, track.variable) if test is not None and track.variable is not None else None)
        by_type.setdefault(key, []).append((track, rest))
    lines = ["p = m = x = None"]
    for key, items in by_type.items():
        lines += _group(module, tests[key], items)
    name = module.fresh("o")
    module.function(name, _PARAMETERS, lines)
    return name


def _split(track: Track) -> tuple[t.Bound | None, list[t.Bound]]:
    """Return the test of the event's type and the other conditions."""
    if track.condition is None or track.variable is None:
        return None, []
    parts = list(conjuncts(track.condition))
    test = next((part for part in parts if names_type(part, track.variable) is not None), None)
    return test, [part for part in parts if part is not test]


def _plain(test: t.Bound) -> tuple[str, str]:
    literals = [node.value for node in t.walk(test) if isinstance(node, t.Literal)]
    return type(test).__name__ + str(getattr(test, "ignores_case", "")), str(literals[0])


def _group(module: Module, test: tuple[t.Bound, t.Variable] | None, items: Iterable[tuple[Track, list[t.Bound]]]) -> list[str]:
    shared = SharedFields(module.fresh)
    lines: list[str] = []
    for track, rest in items:
        kept = [*_kept(module, track), f"found.update({module.constant(frozenset(track.users))})"]
        if rest and track.variable is not None:
            lines.append(f"v{track.variable.slot} = event")
            lines += [f"if {module.event_condition(joined(rest), track.variable, shared)}:", *_indented(kept)]
        else:
            lines += kept
    lines = [*shared.lines, *lines]
    if test is None:
        return lines
    outer = SharedFields(module.fresh)
    source = module.event_condition(*test, outer)
    return [*outer.lines, f"if {source}:", *_indented(lines)]


def _kept(module: Module, track: Track) -> list[str]:
    """Return the lines that keep an event: at the end of its track when that is all there is to do, else by `Track.add`."""
    add = f"{module.constant(track.add)}(k, event, at, now)"
    if track.paths is not None:
        return [add]
    if track.cap is not None:  # so few that those too old for every audience may stay among them
        kept = ["if e and e[-1] <= at <= now:", "    e.append(at)", f"    if len(e) > {track.cap}:", "        del e[0]"]
    else:
        is_sound = "" if track.lookback_ms is None else f" and e[0] >= now - {track.lookback_ms}"
        kept = [f"if e and at >= e[-1]{is_sound}:", "    e.append(at)"]
    return [*reading("e", track.key), *kept, "elif e is None:", f"    k[{track.key}] = [at]", "else:", f"    {add}"]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]
