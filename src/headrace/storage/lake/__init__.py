"""Tables of accepted records."""

from headrace.storage.lake.base import Lake, LakeFile, LakeRow, PendingAppend, TableId, Written

__all__ = ["Lake", "LakeFile", "LakeRow", "PendingAppend", "TableId", "Written"]
