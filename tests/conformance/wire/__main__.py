"""``python -m tests.conformance.wire`` writes ``docs/conformance.md``."""

from tests.conformance.wire.table import PLACE, render

if __name__ == "__main__":
    PLACE.write_text(render())
