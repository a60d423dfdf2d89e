"""Values that travel between the stages: immutable, no I/O."""

from headrace.model.change import Change, MembershipChange, decode_change, encode_change
from headrace.model.identity import Identity
from headrace.model.record import (
    BatchReady,
    BatchReverted,
    DatasetPurged,
    LogEntry,
    MembershipDiff,
    Operation,
    ProfileDelete,
    Record,
    SandboxPurged,
    decode_entry,
    encode_entry,
    entry_instant,
    is_record,
)
from headrace.model.sandbox import Sandbox

__all__ = [
    "BatchReady",
    "BatchReverted",
    "Change",
    "DatasetPurged",
    "Identity",
    "LogEntry",
    "MembershipChange",
    "MembershipDiff",
    "Operation",
    "ProfileDelete",
    "Record",
    "Sandbox",
    "SandboxPurged",
    "decode_change",
    "decode_entry",
    "encode_change",
    "encode_entry",
    "entry_instant",
    "is_record",
]
