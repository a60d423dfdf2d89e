"""Keeps a table's metadata small: old snapshots are forgotten, then files that no kept snapshot names are deleted."""

from collections.abc import Callable
from pathlib import Path

from pyiceberg.table import Table

PathOf = Callable[[str], Path]


def vacuum(table: Table, path_of: PathOf, *, keep: int) -> None:
    """Forget all but the newest ``keep`` snapshots and delete what only the others named.

    Only the process that appends may call this, while it has no append pending: files of one that is under way are named by
    no snapshot yet.

    Args:
        table: The table; it is refreshed.
        path_of: Where a file lies that the metadata name.
        keep: Snapshots to keep; a reader that began before them may lose its files.
    """
    snapshots = sorted(table.metadata.snapshots, key=lambda snapshot: snapshot.sequence_number or 0)
    expired = [snapshot.snapshot_id for snapshot in snapshots[: max(0, len(snapshots) - keep)]]
    current = table.metadata.current_snapshot_id
    expired = [snapshot_id for snapshot_id in expired if snapshot_id != current]
    if expired:
        table.maintenance.expire_snapshots().by_ids(expired).commit()
        table.refresh()
    named = _named(table, path_of)
    for folder in ("data", "metadata"):
        for path in path_of(f"{table.location()}/{folder}").glob("*"):
            if path not in named:
                path.unlink(missing_ok=True)


def _named(table: Table, path_of: PathOf) -> set[Path]:
    locations = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
    manifests = {}
    for snapshot in table.metadata.snapshots:
        locations.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            manifests[manifest.manifest_path] = manifest
    for location, manifest in manifests.items():
        locations.add(location)
        locations.update(entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True))
    return {path_of(location) for location in locations}
