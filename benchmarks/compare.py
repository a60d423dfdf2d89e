"""Two results side by side: `python -m benchmarks.compare A.json B.json`. A difference of up to 1 % is no change."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

NO_CHANGE = 0.01


def figures(result: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield (dotted path, number) of all figures of a result, but for those about the machine."""
    for name, value in result.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            if path != "machine":
                yield from figures(value, f"{path}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield path, float(value)


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, float, float, str]]:
    """Return (path, figure of A, figure of B, what happened) of all figures that both have."""
    second = dict(figures(b))
    return [(path, value, second[path], _change(value, second[path])) for path, value in figures(a) if path in second]


def _change(before: float, after: float) -> str:
    if before == after:
        return "no change"
    if not before:
        return "new"
    share = after / before - 1
    return "no change" if abs(share) <= NO_CHANGE else f"{share:+.1%}"


def main() -> None:
    """Print the comparison of the two files named."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    first, second = (json.loads(Path(name).read_text()) for name in sys.argv[1:])
    if first.get("machine", {}).get("processor") != second.get("machine", {}).get("processor"):
        print("The two runs are from different machines: only the ratios to the bare reference compare.")
    width = max((len(path) for path, *_ in compare(first, second)), default=0)
    for path, before, after, change in compare(first, second):
        print(f"{path:<{width}}  {before:>12,.2f}  {after:>12,.2f}  {change}")


if __name__ == "__main__":
    main()
