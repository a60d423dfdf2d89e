"""The operations in scope: what each service owes, and by when. `must` comes before `should`."""

from collections.abc import Iterator
from dataclasses import dataclass

MUST, SHOULD = "must", "should"


@dataclass(frozen=True)
class Service:
    """One service of the wire API.

    Attributes:
        name: As people call it.
        base: What its paths start with.
        spec: Name of its OpenAPI file, ``""`` when none is published.
        operations: One operation a line: scope, methods, path.
        spec_prefix: What the file's paths have before those here.
    """

    name: str
    base: str
    spec: str
    operations: str
    spec_prefix: str = ""


@dataclass(frozen=True)
class Operation:
    """A method of a path.

    Attributes:
        service: The service that owes it.
        scope: `MUST` or `SHOULD`.
        method: The HTTP method.
        path: Behind the service's base; ``{c}`` stands for ``tenant`` and ``global``.
    """

    service: Service
    scope: str
    method: str
    path: str

    @property
    def key(self) -> str:
        """Name of the operation among those of its service."""
        return f"{self.method} {self.path}"

    def __str__(self) -> str:
        return f"{self.service.name}: {self.key}"


_RESOURCES = "".join(
    f"""
    {scope} GET /{{c}}/{kind}
    {scope} GET /{{c}}/{kind}/{{id}}
    {scope} POST /tenant/{kind}
    {scope} PUT,PATCH,DELETE /tenant/{kind}/{{id}}
    """
    for kind, scope in (
        ("schemas", MUST),
        ("classes", MUST),
        ("fieldgroups", MUST),
        ("mixins", SHOULD),
        ("datatypes", MUST),
    )
)

SCHEMA_REGISTRY = Service(
    "Schema Registry",
    "/data/foundation/schemaregistry",
    "schema-registry",
    f"""
    must GET /stats
    {_RESOURCES}
    must GET /{{c}}/descriptors
    must GET /{{c}}/descriptors/{{id}}
    must POST /tenant/descriptors
    must PUT,DELETE /tenant/descriptors/{{id}}
    must GET /tenant/unions
    must GET /tenant/unions/{{id}}
    must GET /global/behaviors
    must GET /global/behaviors/{{id}}
    should GET /rpc/sampledata/{{id}}
    should GET /rpc/export/{{id}}
    should POST /rpc/import
    should GET /rpc/auditlog/{{id}}
    """,
)
CATALOG = Service(
    "Catalog",
    "/data/foundation/catalog",
    "catalog",
    """
    must GET,POST /batches
    must GET,PATCH,DELETE /batches/{id}
    should PUT,POST /batches/{id}
    should GET /batches/uniques/{field}
    should GET /lastBatches
    must GET,POST /dataSets
    must GET,PUT,PATCH,DELETE /dataSets/{id}
    must PATCH /v2/dataSets/{id}
    should GET /dataSets/{id}/views
    should GET /dataSets/{id}/views/{v}
    should GET /dataSets/{id}/views/{v}/files
    should GET /ttl/{id}
    should GET,POST /
    """,
)
DATASET_SERVICE = Service(
    "Dataset service",
    "/data/foundation/dataset",
    "dataset-service",
    """
    must GET,POST,PUT /datasets/{id}/labels
    should DELETE,HEAD /datasets/{id}/labels
    """,
)
STREAMING = Service(
    "Streaming ingestion",
    "",
    "streaming-ingestion",
    """
    must POST /collection/{inlet}
    must POST /collection/batch/{inlet}
    """,
)
BATCH_INGESTION = Service(
    "Batch ingestion",
    "/data/foundation/import",
    "batch-ingestion",
    """
    must POST /batches
    must POST /batches/{b}
    must PUT /batches/{b}/datasets/{d}/files/{path}
    must PATCH,POST,HEAD /batches/{b}/datasets/{d}/files/{path}
    should GET /batches/{b}/datasets/{d}/preview
    should POST /collection/{inlet}
    should POST /collection/batch/{inlet}
    """,
)
DATA_ACCESS = Service(
    "Data Access",
    "/data/foundation/export",
    "data-access",
    """
    must GET /batches/{id}/files
    must GET /batches/{id}/failed
    should GET /batches/{id}/meta
    must GET,HEAD /files/{id}
    must GET /datasets/{id}/preview
    """,
)
DATA_PREP = Service(
    "Data Prep",
    "/data/foundation/conversion",
    "data-prep",
    """
    must GET,POST /mappingSets
    must GET,PUT,DELETE /mappingSets/{id}
    must GET /mappingSets/{id}/mappings
    must GET /mappingSets/{id}/mappings/{m}
    should POST /mappingSets/{id}/mappings
    should PUT,DELETE /mappingSets/{id}/mappings/{m}
    must POST /mappingSets/validate
    must POST /mappingSets/preview
    must POST /languages/el/validate
    must GET /languages/el/functions
    must GET /languages/el/operators
    should POST /schemas
    """,
)
FLOW_SERVICE = Service(
    "Flow service (sources and destinations)",
    "/data/foundation/flowservice",
    "flow-service",
    """
    must GET,POST /connections
    must GET,PATCH,DELETE /connections/{id}
    must GET /connections/{id}/test
    should GET /connections/{id}/explore
    should POST /connections/search
    must GET /connectionSpecs
    must GET /connectionSpecs/{id}
    must GET /connectionSpecs/{id}/configs
    should GET /connectionSpecs/{id}/explore
    must GET /flowSpecs
    must GET /flowSpecs/{id}
    must GET,POST /sourceConnections
    must GET,PATCH,DELETE /sourceConnections/{id}
    must GET,POST /targetConnections
    must GET,PATCH,DELETE /targetConnections/{id}
    must GET,POST /flows
    must GET,PATCH,DELETE /flows/{id}
    must POST /flows/{id}/action
    should POST /flows/search
    must GET /runs
    must GET /runs/{id}
    should POST /runs
    should POST /runs/{id}/action
    """,
)
LANDING_ZONE = Service(
    "Landing zone",
    "/data/foundation/connectors",
    "",
    """
    should GET /landingzone
    should GET /landingzone/credentials
    """,
)
AD_HOC = Service("Ad-hoc activation", "/data/core/activation/disflowprovider", "ad-hoc-activation", "must POST /adhocrun")
SANDBOX = Service(
    "Sandbox",
    "/data/foundation/sandbox-management",
    "sandbox",
    """
    must GET /
    must GET /sandboxTypes
    must GET,POST /sandboxes
    must GET,PUT,PATCH,DELETE /sandboxes/{n}
    """,
    spec_prefix="/sandbox-management",
)
SERVICES = (
    SCHEMA_REGISTRY,
    CATALOG,
    DATASET_SERVICE,
    STREAMING,
    BATCH_INGESTION,
    DATA_ACCESS,
    DATA_PREP,
    FLOW_SERVICE,
    LANDING_ZONE,
    AD_HOC,
    SANDBOX,
)


def operations_of(service: Service) -> Iterator[Operation]:
    """Yield the operations of a service in the order of its list."""
    for line in filter(None, map(str.strip, service.operations.splitlines())):
        scope, methods, path = line.split()
        for method in methods.split(","):
            yield Operation(service, scope, method, path)


OPERATIONS = tuple(operation for service in SERVICES for operation in operations_of(service))
