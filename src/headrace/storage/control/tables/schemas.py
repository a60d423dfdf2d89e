"""Schema registry: resources of the tenant and imported ones, their versions and changes, and descriptors."""

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, String, Table, UniqueConstraint

from headrace.storage.control.tables.base import metadata, stamps

# Sandbox 0 holds standard components that an operator imported; every sandbox sees them.
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
    Column("origin", JSON, nullable=False),  # clients and users that created and last changed it
    *stamps(),
    UniqueConstraint("sandbox", "alt_id"),
    Index(None, "sandbox", "kind"),
)

schema_versions = Table(
    "schema_versions",
    metadata,
    Column("sandbox", Integer, primary_key=True),
    Column("id", String, primary_key=True),
    Column("minor_version", Integer, primary_key=True),
    Column("body", JSON, nullable=False),
    Column("uses", JSON, nullable=False),  # minor version of each tenant resource it was built on
    Column("created_at", BigInteger, nullable=False),
)

schema_changes = Table(
    "schema_changes",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("sandbox", Integer, nullable=False),
    Column("resource_id", String, nullable=False),
    Column("body", JSON, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Index(None, "sandbox", "resource_id"),
    sqlite_autoincrement=True,
)

schema_revisions = Table(
    "schema_revisions",
    metadata,
    Column("sandbox", Integer, primary_key=True),
    Column("value", BigInteger, nullable=False),  # rises with every change of the sandbox's registry
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
    Column("origin", JSON, nullable=False),
    *stamps(),
    Index(None, "sandbox", "schema_id"),
)
