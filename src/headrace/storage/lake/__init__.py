"""Tables of accepted records."""

from headrace.storage.lake.base import (
    Lake,
    LakeColumns,
    LakeFile,
    LakeRow,
    PendingAppend,
    PendingRewrite,
    Rewritten,
    TableId,
    Written,
)

__all__ = ["Lake", "LakeColumns", "LakeFile", "LakeRow", "PendingAppend", "PendingRewrite", "Rewritten", "TableId", "Written"]
