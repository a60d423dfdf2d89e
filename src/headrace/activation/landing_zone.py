"""Upkeep of the Data Landing Zones: files live seven days there."""

from pathlib import Path

KEPT_MS = 7 * 24 * 3600 * 1000


def next_removal_ms(landing_zone: Path) -> int | None:
    """Return when the oldest file of all landing zones has lived for seven days, None when there is no file."""
    ages = [path.stat().st_mtime for path in landing_zone.rglob("*") if path.is_file()]
    return round(min(ages) * 1000) + KEPT_MS if ages else None


def remove_old_files(landing_zone: Path, now_ms: int) -> int:
    """Remove the files of all landing zones that have lived for seven days, and return how many."""
    removed = 0
    for path in landing_zone.rglob("*"):
        if path.is_file() and path.stat().st_mtime * 1000 <= now_ms - KEPT_MS:
            path.unlink(missing_ok=True)
            removed += 1
    return removed
