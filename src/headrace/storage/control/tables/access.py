"""Who may call."""

from sqlalchemy import Column, String, Table, Text

from headrace.storage.control.tables.base import metadata, stamps

organizations = Table(
    "organizations",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant_id", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    *stamps(),
)

clients = Table(
    "clients",
    metadata,
    Column("id", String, primary_key=True),
    Column("organization_id", String, nullable=False),
    Column("technical_account_id", String, nullable=False),
    Column("secret_hash", String, nullable=False),
    Column("certificate", Text, nullable=False),  # PEM; empty for clients that sign no assertions
    *stamps(),
)
