"""What is stored, and where."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, String, Table, UniqueConstraint

from headrace.storage.control.tables.base import metadata, stamps

sandboxes = Table(
    "sandboxes",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("name", String, nullable=False),  # unique among those that are not deleted
    Column("title", String, nullable=False),
    Column("type", String, nullable=False),
    Column("state", String, nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_by", String, nullable=False),
    Column("updated_by", String, nullable=False),
    *stamps(),
    Index(None, "name"),
    sqlite_autoincrement=True,  # a number is the prefix of hot state and is never given twice
)

# Numbers of deleted and reset sandboxes: nobody reads what log, hot state and lake still hold under them.
retired_sandboxes = Table(
    "retired_sandboxes",
    metadata,
    Column("sandbox", Integer, primary_key=True, autoincrement=False),
    Column("sandbox_id", String, nullable=False),
    *stamps(),
)

datasets = Table(
    "datasets",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("sandbox", Integer, nullable=False),
    Column("id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("schema_id", String, nullable=False),
    Column("table_name", String, nullable=False),
    Column("body", JSON, nullable=False),
    Column("version", Integer, nullable=False),
    *stamps(),
    UniqueConstraint("sandbox", "id"),
    UniqueConstraint("sandbox", "table_name"),
    sqlite_autoincrement=True,
)

# What the lake knows of a dataset: size, rows, fields that have received data. Nobody caches it.
dataset_facts = Table(
    "dataset_facts",
    metadata,
    Column("dataset", Integer, primary_key=True, autoincrement=False),
    Column("sandbox", Integer, nullable=False),
    Column("body", JSON, nullable=False),
    *stamps(),
)

# Numbers of deleted datasets: what hot state and lake still hold under them belongs to nobody.
retired_datasets = Table(
    "retired_datasets",
    metadata,
    Column("dataset", Integer, primary_key=True, autoincrement=False),
    Column("sandbox", Integer, nullable=False),
    Column("dataset_id", String, nullable=False),
    Column("table_name", String, nullable=False),
    *stamps(),
)

batches = Table(
    "batches",
    metadata,
    Column("id", String, primary_key=True),
    Column("sandbox", Integer, nullable=False),
    Column("dataset", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("body", JSON, nullable=False),
    Column("version", Integer, nullable=False),
    *stamps(),
    Index(None, "sandbox", "dataset", "created_at"),
    Index(None, "status"),
)

batch_files = Table(
    "batch_files",
    metadata,
    Column("batch_id", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("is_complete", Boolean, nullable=False),
    Column("body", JSON, nullable=False),
    *stamps(),
)
