"""Schema registry: resources of the tenant, and descriptors."""

from sqlalchemy import JSON, Column, Index, Integer, String, Table, UniqueConstraint

from headrace.storage.control.tables.base import metadata, stamps

schema_resources = Table(
    "schema_resources",
    metadata,
    Column("sandbox", Integer, primary_key=True),
    Column("id", String, primary_key=True),
    Column("alt_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("title", String, nullable=False),
    Column("class_id", String, nullable=False),
    Column("minor_version", Integer, nullable=False),
    Column("body", JSON, nullable=False),
    *stamps(),
    UniqueConstraint("sandbox", "alt_id"),
    Index(None, "sandbox", "kind"),
)

descriptors = Table(
    "descriptors",
    metadata,
    Column("sandbox", Integer, primary_key=True),
    Column("id", String, primary_key=True),
    Column("type", String, nullable=False),
    Column("schema_id", String, nullable=False),
    Column("property", String, nullable=False),
    Column("body", JSON, nullable=False),
    *stamps(),
    Index(None, "sandbox", "schema_id"),
)
