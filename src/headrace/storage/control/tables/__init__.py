"""The control plane's tables, once; only a stage's `store.py` runs statements on them.

One module a stage. Instants are epoch milliseconds, `body` holds the object as the wire shows it, everything that is searched or
joined has a column of its own. `sandbox` is the sandbox's number.
"""

from headrace.storage.control.tables.access import clients, organizations
from headrace.storage.control.tables.activation import connections, flow_runs, flows, inlets, mapping_sets, source_files
from headrace.storage.control.tables.audience import audiences, segment_jobs, segment_schedules
from headrace.storage.control.tables.base import metadata, revision
from headrace.storage.control.tables.catalog import (
    batch_files,
    batches,
    dataset_facts,
    datasets,
    retired_datasets,
    retired_sandboxes,
    sandboxes,
)
from headrace.storage.control.tables.identity import namespaces
from headrace.storage.control.tables.profile import merge_policies
from headrace.storage.control.tables.schemas import (
    descriptors,
    schema_changes,
    schema_resources,
    schema_revisions,
    schema_versions,
)

__all__ = [
    "audiences",
    "batch_files",
    "batches",
    "clients",
    "connections",
    "dataset_facts",
    "datasets",
    "descriptors",
    "flow_runs",
    "flows",
    "inlets",
    "mapping_sets",
    "merge_policies",
    "metadata",
    "namespaces",
    "organizations",
    "retired_datasets",
    "retired_sandboxes",
    "revision",
    "sandboxes",
    "schema_changes",
    "schema_resources",
    "schema_revisions",
    "schema_versions",
    "segment_jobs",
    "segment_schedules",
    "source_files",
]
