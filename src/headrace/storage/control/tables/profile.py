"""How fragments merge."""

from sqlalchemy import JSON, Boolean, Column, Index, Integer, String, Table

from headrace.storage.control.tables.base import metadata, stamps

merge_policies = Table(
    "merge_policies",
    metadata,
    Column("id", String, primary_key=True),
    Column("sandbox", Integer, nullable=False),
    Column("schema_name", String, nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", JSON, nullable=False),
    *stamps(),
    Index(None, "sandbox", "schema_name"),
)
