"""Audiences and the jobs that evaluate them."""

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, String, Table, UniqueConstraint

from headrace.storage.control.tables.base import metadata, stamps

audiences = Table(
    "audiences",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("sandbox", Integer, nullable=False),
    Column("id", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("method", String, nullable=False),  # batch | streaming | edge
    Column("lifecycle_state", String, nullable=False),
    Column("merge_policy_id", String, nullable=False),
    Column("version", Integer, nullable=False),  # rises with every change of the expression or the merge policy
    Column("body", JSON, nullable=False),
    *stamps(),
    UniqueConstraint("sandbox", "name"),
    sqlite_autoincrement=True,
)

segment_jobs = Table(
    "segment_jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("sandbox", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("body", JSON, nullable=False),
    *stamps(),
    Index(None, "sandbox", "created_at"),
    Index(None, "status"),
)

segment_schedules = Table(
    "segment_schedules",
    metadata,
    Column("id", String, primary_key=True),
    Column("sandbox", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("next_fire_at", BigInteger, nullable=False),
    Column("body", JSON, nullable=False),
    *stamps(),
    Index(None, "sandbox"),
)
