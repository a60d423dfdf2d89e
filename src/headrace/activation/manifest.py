"""The manifest of a file export: written last, so that a receiver who waits for it finds all files."""

import msgspec

from headrace.clock import iso_seconds


class ExportedFile(msgspec.Struct, frozen=True):
    """One file of a run.

    Attributes:
        name: Its name.
        size: Its bytes.
        rows: Its rows, the header not counted.
    """

    name: str
    size: int
    rows: int


def manifest(run_id: str, scheduled_at_ms: int, folder: str, files: list[ExportedFile]) -> bytes:
    """Return the manifest's JSON document."""
    results = [{"sinkPath": folder, "name": file.name, "size": file.size} for file in files]
    document = {"flowRunId": run_id, "scheduledTime": iso_seconds(scheduled_at_ms), "exportResults": results}
    return msgspec.json.encode(document)
