"""`python -m benchmarks`: measures the budgets of the design and prints them beside a bare reference of the same job.

    python -m benchmarks [--quick] [--only NAME] [--json FILE]

The whole takes about ten minutes, ``--quick`` two. Nothing else should run on the machine meanwhile; where that cannot be had,
the ratio to the bare reference, measured in turns with Headrace, says more than the figures.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import bare, growth, machine, memory, product
from benchmarks.budgets import table
from benchmarks.end_to_end import BATCH, RATE, Course
from benchmarks.sink import sink

_FOLDER = Path("bench-results")
_AUDIENCES = 500
_TEN_MINUTES_MS = 600_000


def throughput(folder: Path, *, is_quick: bool) -> dict[str, Any]:
    """Measure rows 1 to 3: sustained one by one, in batches, and the latency; Headrace and the reference in turns."""
    persons, events = (5_000, 20_000) if is_quick else (20_000, 100_000)
    seconds = 10 if is_quick else 20
    found: dict[str, Any] = {"headrace": {}, "bare": {}}
    base_ms = int(time.time() * 1000) - _TEN_MINUTES_MS
    with (
        sink() as here,
        sink() as there,
        product.running(folder / "product", here.url, _AUDIENCES) as subject,
        bare.running(folder / "bare", there.port, _AUDIENCES) as reference,
    ):
        subject.load_profiles(persons)
        reference.load_profiles(persons)
        courses = {
            "headrace": Course(subject, here, folder, persons, base_ms),
            "bare": Course(reference, there, folder, persons, base_ms),
        }
        for course in courses.values():
            course.run(persons)  # warm-up: every person has an event
        for name, settings in (
            ("single", {"events": events}),
            ("batch", {"events": events, "batch": BATCH}),
            ("latency", {"events": round(seconds * RATE), "rate": RATE}),
        ):
            for who, course in courses.items():
                found[who][name] = course.run(**settings)
                _say(f"{who} {name}: {json.dumps(found[who][name])}")
    return found


def growing(folder: Path, *, is_quick: bool) -> dict[str, Any]:
    """Measure row 8."""
    return {"growth": growth.measure(folder, is_quick=is_quick)}


def resident(folder: Path, *, is_quick: bool) -> dict[str, Any]:
    """Measure rows 7, 9 and 10."""
    return memory.measure(folder, 20_000 if is_quick else 200_000)


_PARTS: dict[str, Callable[..., dict[str, Any]]] = {"throughput": throughput, "growth": growing, "memory": resident}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print the table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, shorter runs")
    parser.add_argument("--only", choices=sorted(_PARTS), action="append", help="measure this part; may be repeated")
    parser.add_argument("--json", type=Path, default=_FOLDER / "result.json", help="where the figures go")
    parser.add_argument("--folder", type=Path, default=_FOLDER, help="where scratch data goes: on a disk, not in memory")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"machine": machine.about(), "is_quick": arguments.quick}
    for name in arguments.only or _PARTS:
        with TemporaryDirectory(dir=arguments.folder, prefix="bench-") as folder:
            for part in ("product", "bare"):
                (Path(folder) / part).mkdir()
            _say(f"Measuring {name} …")
            result |= _PARTS[name](Path(folder).resolve(), is_quick=arguments.quick)
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
