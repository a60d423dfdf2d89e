"""Values that travel between the stages: immutable, no I/O."""

from headrace.model.change import Change, MembershipChange, decode_change, encode_change
from headrace.model.identity import Identity
from headrace.model.record import (
    BatchReady,
    BatchReverted,
    LogEntry,
    MembershipDiff,
    Operation,
    ProfileDelete,
    Record,
    decode_entry,
    encode_entry,
    entry_instant,
)
from headrace.model.sandbox import Sandbox

__all__ = [
    "BatchReady",
    "BatchReverted",
    "Change",
    "Identity",
    "LogEntry",
    "MembershipChange",
    "MembershipDiff",
    "Operation",
    "ProfileDelete",
    "Record",
    "Sandbox",
    "decode_change",
    "decode_entry",
    "encode_change",
    "encode_entry",
    "entry_instant",
]
