"""Keeps a table's folder small: old snapshots are forgotten, and files that the table does not show any more are deleted.

Only the process that appends may delete. A reader plans its files from the newest snapshot and reads them for as long as it
needs; so a data file that was replaced stays until whoever upkeeps the table has known of it for a while.
"""

from collections.abc import Collection, Iterable
from pathlib import Path

from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from headrace.storage.lake.parquet import PathOf, data_location

EXTRACTS = "extracts"


def vacuum(table: Table, path_of: PathOf, *, keep: int) -> None:
    """Forget all but the newest ``keep`` snapshots and delete the metadata that only the others named; no data file.

    Args:
        table: The table; it is refreshed.
        path_of: Where a file lies that the metadata name.
        keep: Snapshots to keep.
    """
    snapshots = sorted(table.metadata.snapshots, key=lambda snapshot: snapshot.sequence_number or 0)
    _forget(table, snapshots[: max(0, len(snapshots) - keep)])
    _delete_metadata(table, path_of)


def replaced(table: Table, path_of: PathOf) -> frozenset[Path]:
    """Return the files in a table's folders that its newest snapshot does not need.

    They are files of deleted or rewritten rows, what a crash has left, and extracts, which can be made again.
    """
    current = table.current_snapshot()
    shown = _Names(table, path_of).data_of([current] if current else [])
    present = set(path_of(data_location(table)).glob("*"))
    extracts = {path for path in path_of(f"{table.location()}/{EXTRACTS}").glob("*/*") if path.is_file()}
    return frozenset(present - shown | extracts)


def discard(table: Table, path_of: PathOf, paths: Collection[Path]) -> None:
    """Delete those of ``paths`` that the newest snapshot does not need, and forget the snapshots that named them.

    A crash in between is harmless: first the snapshots go, in one commit, and what they named is found again by `replaced`.

    Args:
        table: The table; it is refreshed.
        path_of: Where a file lies that the metadata name.
        paths: Files that `replaced` has found.
    """
    gone = replaced(table, path_of).intersection(paths)
    if gone:
        names = _Names(table, path_of)
        _forget(table, [snapshot for snapshot in table.metadata.snapshots if gone & names.data_of([snapshot])])
    for path in gone:
        path.unlink(missing_ok=True)
    _remove_empty_folders(path_of(f"{table.location()}/{EXTRACTS}"))
    _delete_metadata(table, path_of)


def _forget(table: Table, snapshots: Iterable[Snapshot]) -> None:
    current = table.metadata.current_snapshot_id
    expired = [snapshot.snapshot_id for snapshot in snapshots if snapshot.snapshot_id != current]
    if expired:
        table.maintenance.expire_snapshots().by_ids(expired).commit()
        table.refresh()


def _delete_metadata(table: Table, path_of: PathOf) -> None:
    named = _Names(table, path_of).metadata()
    for path in path_of(f"{table.location()}/metadata").glob("*"):
        if path not in named:
            path.unlink(missing_ok=True)


def _remove_empty_folders(folder: Path) -> None:
    for inner in folder.glob("*/"):
        if not any(inner.iterdir()):
            inner.rmdir()


class _Names:
    """What snapshots name; a manifest that several share is read once."""

    def __init__(self, table: Table, path_of: PathOf) -> None:
        self._table = table
        self._path_of = path_of
        self._data: dict[str, frozenset[Path]] = {}

    def data_of(self, snapshots: Iterable[Snapshot]) -> set[Path]:
        """Return the data files of these snapshots."""
        manifests = [manifest for snapshot in snapshots for manifest in snapshot.manifests(self._table.io)]
        return {path for manifest in manifests for path in self._data_in(manifest)}

    def metadata(self) -> set[Path]:
        """Return the files of metadata that the table needs."""
        metadata = self._table.metadata
        locations = {self._table.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)}
        for snapshot in metadata.snapshots:
            locations.add(snapshot.manifest_list)
            locations.update(manifest.manifest_path for manifest in snapshot.manifests(self._table.io))
        return {self._path_of(location) for location in locations}

    def _data_in(self, manifest: ManifestFile) -> frozenset[Path]:
        key = manifest.manifest_path
        if key not in self._data:
            entries = manifest.fetch_manifest_entry(self._table.io, discard_deleted=True)
            self._data[key] = frozenset(self._path_of(entry.data_file.file_path) for entry in entries)
        return self._data[key]
