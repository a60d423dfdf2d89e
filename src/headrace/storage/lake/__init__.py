"""Tables of accepted records."""

from headrace.storage.lake.base import Lake, LakeFile, LakeRow, PendingAppend, PendingRewrite, Rewritten, TableId, Written

__all__ = ["Lake", "LakeFile", "LakeRow", "PendingAppend", "PendingRewrite", "Rewritten", "TableId", "Written"]
