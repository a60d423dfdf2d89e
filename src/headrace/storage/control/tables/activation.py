"""Flow Service: connections, dataflows and their runs; inlets; files taken from sources; mapping sets."""

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, LargeBinary, String, Table

from headrace.storage.control.tables.base import metadata, stamps

connections = Table(
    "connections",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),  # base | source | target
    Column("sandbox", Integer, nullable=False),
    Column("spec_id", String, nullable=False),
    Column("base_connection_id", String, nullable=False),
    Column("state", String, nullable=False),
    Column("etag", String, nullable=False),
    Column("body", JSON, nullable=False),
    Column("secrets", LargeBinary, nullable=False),  # encrypted JSON of the secret parameters
    *stamps(),
    Index(None, "sandbox", "kind", "created_at"),
    Index(None, "base_connection_id"),
)

inlets = Table(
    "inlets",
    metadata,
    Column("id", String, primary_key=True),
    Column("sandbox", Integer, nullable=False),
    Column("connection_id", String, nullable=False, unique=True),
)

flows = Table(
    "flows",
    metadata,
    Column("id", String, primary_key=True),
    Column("sandbox", Integer, nullable=False),
    Column("spec_id", String, nullable=False),
    Column("source_connection_id", String, nullable=False),
    Column("target_connection_id", String, nullable=False),
    Column("state", String, nullable=False),
    Column("etag", String, nullable=False),
    Column("body", JSON, nullable=False),
    *stamps(),
    Index(None, "sandbox", "created_at"),
)

flow_runs = Table(
    "flow_runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("sandbox", Integer, nullable=False),
    Column("flow_id", String, nullable=False),
    Column("audience_id", String, nullable=False),  # empty for streaming runs
    Column("status", String, nullable=False),
    Column("cutoff_at", BigInteger, nullable=False),
    Column("body", JSON, nullable=False),
    *stamps(),
    Index(None, "flow_id", "created_at"),
    Index(None, "sandbox", "created_at"),
    Index(None, "status"),
)

# Files that dataflows from sources have taken, one row a version. Nobody caches it.
source_files = Table(
    "source_files",
    metadata,
    Column("flow_id", String, primary_key=True),
    Column("path", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("sandbox", Integer, nullable=False),
    Column("run_id", String, nullable=False),
    Column("batch_id", String, nullable=False),
    Column("byte_count", BigInteger, nullable=False),
    Column("modified_ms", BigInteger, nullable=False),
    *stamps(),
    Index(None, "run_id"),
)

mapping_sets = Table(
    "mapping_sets",
    metadata,
    Column("id", String, primary_key=True),
    Column("sandbox", Integer, nullable=False),
    Column("kind", String, nullable=False),  # mapping | schema
    Column("version", Integer, nullable=False),
    Column("body", JSON, nullable=False),
    *stamps(),
)
