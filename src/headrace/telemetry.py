"""Every log event the product emits goes through here: one line of JSON each, secrets never among the values."""

import json
import logging
import sys
from typing import Any


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
            "level": record.levelname,
            "role": record.name.removeprefix("headrace."),
            "event": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logging(level: str) -> None:
    """Send every event of at least ``level`` to standard error, one JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    root = logging.getLogger("headrace")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False


def log(role: str, level: int, event: str, /, **fields: Any) -> None:
    """Emit one event: ``event`` is a fixed sentence, everything that varies goes into ``fields``."""
    logging.getLogger(f"headrace.{role}").log(level, event, extra={"fields": fields})
