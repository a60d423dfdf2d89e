"""What can go wrong in a store, whichever engine it is."""

from typing import Any

from headrace.errors import Bug, Transient


class StorageFull(Transient):
    """The disk or the store's map has no room; what was not acknowledged was not stored."""

    code = "storage_full"

    def __init__(self, message: str, **rest: Any) -> None:
        rest.setdefault("hint", "Free space on the disk of the home folder; everything goes on by itself then.")
        super().__init__(message, **rest)


class StorageUnavailable(Transient):
    """The engine did not answer, or could not be opened."""

    code = "storage_unavailable"


class StorageCorrupt(Bug):
    """The store holds something that this version cannot read."""

    code = "storage_corrupt"
