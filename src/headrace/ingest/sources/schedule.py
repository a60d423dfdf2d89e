"""When a dataflow from a source runs."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.ingest.sources.errors import SourceScheduleInvalid

_UNITS_MS = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 7 * 86_400_000}
_SMALLEST_MINUTES = 15


class SourceSchedule(msgspec.Struct, frozen=True):
    """When files are looked for.

    Attributes:
        start_ms: The first run (epoch ms).
        step_ms: Between two runs; 0 for a single one.
        is_backfill: Whether files from before `start_ms` are taken, too.
    """

    start_ms: int
    step_ms: int = 0
    is_backfill: bool = True

    def last_due(self, now_ms: int) -> int | None:
        """Return the newest instant up to now at which a run is due; those missed before it are merged into it."""
        if now_ms < self.start_ms:
            return None
        if not self.step_ms:
            return self.start_ms
        return self.start_ms + (now_ms - self.start_ms) // self.step_ms * self.step_ms

    def next_due(self, now_ms: int) -> int | None:
        """Return the first instant after now at which a run is due; None when there is none."""
        if now_ms < self.start_ms:
            return self.start_ms
        last = self.last_due(now_ms)
        return last + self.step_ms if last is not None and self.step_ms else None


def parse_source_schedule(value: Any, now_ms: int, path: str = "/scheduleParams") -> SourceSchedule | None:
    """Return the schedule that ``scheduleParams`` describe; None without any: such a dataflow runs when it is asked to.

    Args:
        value: The object as it came over the wire.
        now_ms: Start when none is given (epoch ms).
        path: JSON pointer of the object, for errors.

    Raises:
        SourceScheduleInvalid: A field is unknown, or not allowed with the others.
    """
    if value is None or value == {}:
        return None
    if not isinstance(value, Mapping):
        raise SourceScheduleInvalid("scheduleParams must be an object.", path=path)
    frequency = str(value.get("frequency") or "").lower()
    if frequency != "once" and frequency not in _UNITS_MS:
        raise SourceScheduleInvalid(
            f"frequency must be one of once, {', '.join(_UNITS_MS)}, got {value.get('frequency')!r}.", path=f"{path}/frequency"
        )
    start = _whole_number(value, "startTime", path)
    start_ms = now_ms if start is None else start * 1000
    return SourceSchedule(start_ms, _step(value, frequency, path), _backfill(value, path))


def _step(value: Mapping[str, Any], frequency: str, path: str) -> int:
    if frequency == "once":
        return 0
    interval = _whole_number(value, "interval", path)
    smallest = _SMALLEST_MINUTES if frequency == "minute" else 1
    if interval is None or interval < smallest:
        raise SourceScheduleInvalid(
            f"interval must be at least {smallest} with frequency {frequency}, got {value.get('interval')!r}.",
            path=f"{path}/interval",
        )
    return interval * _UNITS_MS[frequency]


def _backfill(value: Mapping[str, Any], path: str) -> bool:
    given = str(value.get("backfill", True)).lower()
    if given not in ("true", "false"):
        raise SourceScheduleInvalid(f"backfill must be true or false, got {value['backfill']!r}.", path=f"{path}/backfill")
    return given == "true"


def _whole_number(value: Mapping[str, Any], name: str, path: str) -> int | None:
    given = value.get(name)
    if given in (None, ""):
        return None
    if isinstance(given, bool) or not re.fullmatch(r"\d{1,12}", str(given)):
        raise SourceScheduleInvalid(f"{name} must be a whole number, got {given!r}.", path=f"{path}/{name}")
    return int(given)
