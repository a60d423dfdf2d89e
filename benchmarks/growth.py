"""What one event costs the pipeline when audiences, profiles or a person's history grow: processor time, in one process.

Guards against the complaint that a platform is fast until it is used. Three series, each beside its own starting point:
audiences 100 → 4,000, profiles 100 thousand → more, events of one person 10 → 10,000.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.pipeline_world import EVENTS, PROFILES, START_MS, TENANT, PipelineWorld
from benchmarks.workload import event, profile

_ROUNDS, _EVENTS = 7, 1000


def measure(folder: Path, *, is_quick: bool) -> dict[str, Any]:
    """Return microseconds of processor time per event, for each size of each series."""
    audiences = (100, 1000) if is_quick else (100, 1000, 4000)
    profiles = (20_000, 100_000) if is_quick else (100_000, 500_000)
    history = (10, 1000) if is_quick else (10, 1000, 10_000)
    return {
        "audiences": _series(folder, audiences, lambda world, size: None, audiences_are_size=True),
        "profiles": _series(folder, profiles, _grow_profiles),
        "history": _series(folder, history, _grow_history, persons=8),
    }


def _series(
    folder: Path,
    sizes: tuple[int, ...],
    grow: Callable[[PipelineWorld, int], None],
    *,
    audiences_are_size: bool = False,
    persons: int = 4000,
) -> dict[str, Any]:
    costs = {}
    for size in sizes:
        with TemporaryDirectory(dir=folder) as scratch:
            world = PipelineWorld(Path(scratch), size if audiences_are_size else 500)
            grow(world, size)
            costs[str(size)] = _cost(world, size if grow is _grow_profiles else persons)
            world.close()
    first, last = costs[str(sizes[0])], costs[str(sizes[-1])]
    return {"cpu_us_per_event": costs, "grows_by": round(last / first, 2)}


def _grow_profiles(world: PipelineWorld, size: int) -> None:
    for start in range(0, size, 20_000):
        world.add(PROFILES, [profile(person, TENANT) for person in range(start, min(size, start + 20_000))])
        world.run()


def _grow_history(world: PipelineWorld, size: int) -> None:
    """Give eight persons ``size`` events each, older than any audience looks back."""
    world.add_profiles(8)
    old = START_MS - 60 * 86_400_000
    for start in range(0, size * 8, 8000):
        serials = range(start, min(size * 8, start + 8000))
        world.add(EVENTS, [event(1_000_000_000 + serial, serial % 8, serial // 8, TENANT, old) for serial in serials])
        world.run()


def _cost(world: PipelineWorld, persons: int) -> float:
    """Return the median over some rounds; the events of a round go to persons all over the range."""
    world.add_profiles(min(persons, 4000))
    world.run()
    step = max(1, persons // _EVENTS)
    found = []
    for number in range(_ROUNDS + 1):
        serials = range(number * _EVENTS, (number + 1) * _EVENTS)
        bodies = [
            event(serial, (serial * step + number) % persons, serial // persons, TENANT, START_MS - 3_600_000)
            for serial in serials
        ]
        world.add(EVENTS, bodies)
        before = time.thread_time()
        world.run()
        found.append((time.thread_time() - before) / _EVENTS * 1e6)
    return round(median(found[1:]), 1)
