"""What can be wrong with connections, dataflows, mapping sets and runs."""

from typing import ClassVar

from headrace.errors import Conflict, HeadraceError, InvalidInput, NotFound

KIND_NAMES = {
    "base": "connections",
    "source": "sourceConnections",
    "target": "targetConnections",
    "flow": "flows",
    "run": "runs",
    "mapping_set": "mappingSets",
    "schema": "schemas",
    "connection_spec": "connectionSpecs",
    "flow_spec": "flowSpecs",
}
"""How the wire calls each kind of entity."""


class EntityUnknown(NotFound):
    """No entity of this kind has this id in the sandbox."""

    code = "flow_entity_unknown"

    def __init__(self, kind: str, entity_id: str) -> None:
        self.kind = kind
        self.entity_id = entity_id
        super().__init__(f"{KIND_NAMES[kind]} not found with id = [{entity_id}]")


class SpecInvalid(InvalidInput):
    """A connection or a flow names no specification, or one that does not exist."""

    code = "flow_spec_invalid"


class SpecVersionMissing(InvalidInput):
    """A connection names a specification without its version."""

    code = "flow_spec_version_missing"
    wire_status: ClassVar[int] = 422

    def __init__(self) -> None:
        super().__init__("connectionSpec.version 'version' is required for spec info", path="/connectionSpec/version")


class VersionStale(Conflict):
    """The entity changed since the caller read it, or the version was not given in double quotes."""

    code = "flow_version_stale"
    wire_status: ClassVar[int] = 412

    def __init__(self, supplied: str, current: str) -> None:
        self.supplied = supplied
        self.current = current
        super().__init__(
            f"Supplied version=[{supplied}] does not match the current version on entity=[{current}]", path="If-Match"
        )


class VersionMissing(InvalidInput):
    """A change came without the version that it is based on."""

    code = "flow_version_missing"

    def __init__(self) -> None:
        super().__init__(
            "Header If-Match is missing.", path="If-Match", hint="Send the etag of the entity, double quotes included."
        )


class EntityInUse(InvalidInput):
    """Something still depends on what should be deleted."""

    code = "flow_entity_in_use"


class EntityInvalid(InvalidInput):
    """A field of a connection or a flow is missing or wrong; `path` names it."""

    code = "flow_entity_invalid"


class SelectorInvalid(InvalidInput):
    """An audience or an attribute cannot be activated as asked."""

    code = "flow_selector_invalid"


class ScheduleInvalid(InvalidInput):
    """A schedule breaks a rule of its frequency."""

    code = "flow_schedule_invalid"


class MappingInvalid(InvalidInput):
    """A mapping set cannot be used; `path` names the mapping."""

    code = "flow_mapping_invalid"


class FilterInvalid(InvalidInput):
    """A filter, an order or a continuation token cannot be read."""

    code = "flow_filter_invalid"


class EndpointForbidden(InvalidInput):
    """A destination leads to an internal address, or to one without encryption."""

    code = "flow_endpoint_forbidden"


class RunRefused(InvalidInput):
    """An export cannot be started now."""

    code = "flow_run_refused"


class MappingSetInUse(Conflict):
    """A dataflow uses the mapping set."""

    code = "flow_mapping_set_in_use"


class ConnectionTestFailed(InvalidInput):
    """A destination cannot be reached with the account of a connection."""

    code = "flow_connection_test_failed"

    def __init__(self, connection_id: str, cause: HeadraceError) -> None:
        self.connection_id = connection_id
        self.cause = cause
        super().__init__(f"The test of connection {connection_id} failed: {cause.message}", path=cause.path, hint=cause.hint)
