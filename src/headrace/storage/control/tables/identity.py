"""Identity namespaces of the tenant; the standard ones are constants of the product."""

from sqlalchemy import Column, Integer, String, Table, UniqueConstraint

from headrace.storage.control.tables.base import metadata, stamps

namespaces = Table(
    "namespaces",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("sandbox", Integer, nullable=False),
    Column("code", String, nullable=False),
    Column("code_folded", String, nullable=False),
    Column("name", String, nullable=False),
    Column("id_type", String, nullable=False),
    Column("description", String, nullable=False),
    *stamps(),
    UniqueConstraint("sandbox", "code_folded"),
    UniqueConstraint("sandbox", "name"),
    sqlite_autoincrement=True,
)
