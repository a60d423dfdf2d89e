"""Dataflows of Flow Service: making, reading, changing, switching and deleting them."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headrace.activation import specs
from headrace.activation.connections import Change
from headrace.activation.dataflows import flow_params
from headrace.activation.entities import (
    Author,
    authored,
    check_unchanged,
    check_version,
    common_fields,
    new_etag,
    new_id,
    object_of,
    state_of,
    text_of,
    without_server_fields,
)
from headrace.activation.errors import EntityInvalid, EntityUnknown, SpecInvalid, VersionStale
from headrace.activation.mapping import ExpressionCheck, MappingReader, NamespaceCodes, Schemas
from headrace.activation.mapping_sets import MappingSets
from headrace.activation.runs import Runs
from headrace.activation.schedules import parse_dataset_schedule
from headrace.activation.selectors import AudienceLookup, Transform, audience_id_of, stored_selectors
from headrace.activation.store import ConnectionKind, FlowStore, StoredConnection, StoredFlow
from headrace.clock import Clock
from headrace.destinations import registry
from headrace.destinations.base import Destination
from headrace.ingest.sources.schedule import parse_source_schedule
from headrace.model import Sandbox
from headrace.storage.control import ControlStore

GENERAL = "GeneralTransform"
_GENERAL_SPELLINGS = (GENERAL, "General Transform")
_MAPPING = "Mapping"
_KEPT = (
    "name",
    "description",
    "providerId",
    "flowSpec",
    "sourceConnectionIds",
    "targetConnectionIds",
    "transformations",
    "scheduleParams",
    "policy",
    "options",
)


class Ends(msgspec.Struct, frozen=True):
    """Where a flow runs from and to.

    Attributes:
        content: What flows.
        source: Its source connection.
        target: Its target connection.
    """

    content: specs.Content
    source: StoredConnection
    target: StoredConnection

    @property
    def destination(self) -> type[Destination] | None:
        """The destination; None for ingestion."""
        return None if self.content in specs.INGESTION else registry.destination(self.target.spec_id)


class Flows:
    """The dataflows of all sandboxes, as their owners see them."""

    def __init__(
        self,
        control: ControlStore,
        clock: Clock,
        *,
        schemas: Schemas,
        namespaces: NamespaceCodes,
        audiences: AudienceLookup,
        check_expression: ExpressionCheck,
    ) -> None:
        """Keep what dataflows are checked against.

        Args:
            control: Where they are stored.
            clock: Stamps them.
            schemas: The union schemas.
            namespaces: The identity namespaces.
            audiences: The audiences.
            check_expression: Refuses a text that is no Data Prep expression.
        """
        self._store = FlowStore(control)
        self._clock = clock
        self._schemas = schemas
        self._namespaces = namespaces
        self._audiences = audiences
        self._check_expression = check_expression
        self._mapping_sets = MappingSets(control, clock)
        self._runs = Runs(control, clock)

    def create(self, sandbox: Sandbox, body: Mapping[str, Any], author: Author) -> StoredFlow:
        """Make a dataflow.

        Raises:
            InvalidInput: The body cannot be a dataflow.
        """
        now = self._clock.now_ms()
        checked, ends = self._checked(sandbox, body, {})
        checked["lastOperation"] = _operation("create", [], now)
        stored = StoredFlow(
            id=new_id(),
            sandbox=sandbox.number,
            spec_id=checked["flowSpec"]["id"],
            source_connection_id=ends.source.id,
            target_connection_id=ends.target.id,
            state=state_of(body),
            etag=new_etag(),
            body=authored(checked, author),
            created_at=now,
            updated_at=now,
        )
        self._store.add_flow(stored)
        return stored

    def get(self, sandbox: Sandbox, flow_id: str) -> StoredFlow:
        """Return one dataflow.

        Raises:
            EntityUnknown: There is none with this id.
        """
        stored = self._store.flow(sandbox, flow_id)
        if stored is None:
            raise EntityUnknown("flow", flow_id)
        return stored

    def all(self, sandbox: Sandbox) -> list[StoredFlow]:
        """Return all dataflows, newest first."""
        return self._store.flows(sandbox)

    def patch(
        self,
        sandbox: Sandbox,
        flow_id: str,
        change: Change,
        *,
        operations: Sequence[Mapping[str, Any]],
        if_match: str | None,
        author: Author,
    ) -> StoredFlow:
        """Change a dataflow, wholly or not at all.

        Args:
            sandbox: Its sandbox.
            flow_id: The dataflow.
            change: Applies the patch.
            operations: The patch, as the dataflow shows it in ``lastOperation``.
            if_match: Version that the patch is based on.
            author: Who changes it.

        Raises:
            EntityUnknown: There is none with this id.
            VersionMissing: ``if_match`` is missing.
            VersionStale: ``if_match`` is not its present version.
            InvalidInput: The result cannot be a dataflow.
        """
        stored = self.get(sandbox, flow_id)
        check_version(if_match, stored.etag)
        before = {**without_server_fields(stored.body), "state": stored.state}
        before.pop("lastOperation", None)
        after = change(_patchable(before))
        check_unchanged(before, after, ("flowSpec", "targetConnectionIds"))
        checked, ends = self._checked(sandbox, after, stored.body)
        now = self._clock.now_ms()
        checked["lastOperation"] = _operation("update", operations, now)
        changed = msgspec.structs.replace(
            stored,
            source_connection_id=ends.source.id,
            state=state_of(after),
            etag=new_etag(),
            body=authored(checked, author, previous=stored.body),
            updated_at=now,
        )
        return self._replaced(sandbox, stored, changed)

    def set_state(self, sandbox: Sandbox, flow_id: str, state: str, author: Author) -> StoredFlow:
        """Enable or disable a dataflow.

        Raises:
            EntityUnknown: There is none with this id.
        """
        stored = self.get(sandbox, flow_id)
        now = self._clock.now_ms()
        body = authored(without_server_fields(stored.body), author, previous=stored.body)
        body["lastOperation"] = _operation("enable" if state == "enabled" else "disable", [], now)
        changed = msgspec.structs.replace(stored, state=state, etag=new_etag(), body=body, updated_at=now)
        return self._replaced(sandbox, stored, changed)

    def delete(self, sandbox: Sandbox, flow_id: str) -> StoredFlow:
        """Delete a dataflow and return what it was; its runs stay.

        Raises:
            EntityUnknown: There is none with this id.
        """
        stored = self.get(sandbox, flow_id)
        self._store.delete_flow(stored)
        return stored

    def users_of_audience(self, sandbox: Sandbox, audience_id: str) -> list[str]:
        """Return the dataflows that export an audience, in words for people."""
        return [
            _in_words(flow)
            for flow in self._store.flows(sandbox)
            if any(audience_id_of(entry["value"]) == audience_id for entry in stored_selectors(flow_params(flow.body)))
        ]

    def users_of_dataset(self, sandbox: Sandbox, dataset_id: str) -> list[str]:
        """Return the dataflows that read or write a dataset, in words for people."""
        named = {
            stored.id
            for stored in self._store.connections_by_id(sandbox).values()
            if dataset_id in _dataset_ids(object_of(stored.body, "params"))
        }
        return [
            _in_words(flow)
            for flow in self._store.flows(sandbox)
            if flow.source_connection_id in named or flow.target_connection_id in named
        ]

    def is_destination(self, sandbox: Sandbox, stored: StoredFlow) -> bool:
        """Whether a dataflow leads to a destination, rather than into the lake."""
        target = self._store.connection(sandbox, "target", stored.target_connection_id)
        return target is not None and specs.role_of(target.spec_id) == "destination"

    def wire(self, sandbox: Sandbox, stored: Sequence[StoredFlow]) -> list[dict[str, Any]]:
        """Return dataflows as the wire shows them."""
        connections = self._store.connections_by_id(sandbox)
        latest = self._runs.latest([flow.id for flow in stored])
        shown = []
        for flow in stored:
            entity = {
                **common_fields(flow, sandbox),
                "inheritedAttributes": _inherited(flow, connections),
                "runs": f"/runs?property=flowId=={flow.id}",
            }
            if flow.id in latest:
                entity["lastRunDetails"] = self._runs.brief(latest[flow.id])
            shown.append(entity)
        return shown

    def _replaced(self, sandbox: Sandbox, stored: StoredFlow, changed: StoredFlow) -> StoredFlow:
        if not self._store.replace_flow(changed, stored.etag):
            raise VersionStale(stored.etag, self.get(sandbox, stored.id).etag)
        return changed

    # checks

    def _checked(self, sandbox: Sandbox, body: Mapping[str, Any], previous: Mapping[str, Any]) -> tuple[dict[str, Any], Ends]:
        text_of(body, "name")
        kept = {name: body[name] for name in _KEPT if body.get(name) is not None}
        ends = self._ends(sandbox, body)
        kept["flowSpec"] = _checked_flow_spec(body, ends)
        if ends.content == "file_ingestion":
            kept["transformations"] = self._file_steps(sandbox, body)
            kept["options"] = _checked_options(body)
            kept["scheduleParams"] = self._source_schedule(body)
            return kept, ends
        if ends.content == "ingestion":
            kept["transformations"] = self._ingestion_steps(sandbox, kept["flowSpec"]["id"], body)
            kept.pop("scheduleParams", None)
            return kept, ends
        if "policy" in kept:
            kept["policy"] = _checked_policy(kept["policy"])
        if ends.content == "dataset":
            _check_dataset_target(ends)
            parse_dataset_schedule(body.get("scheduleParams"), self._clock.now_ms())
            kept["scheduleParams"] = _folder_spelling(body["scheduleParams"])
            kept["transformations"] = []
            return kept, ends
        kept["transformations"] = [self._general_step(sandbox, ends, body, previous)]
        kept.pop("scheduleParams", None)
        return kept, ends

    def _ends(self, sandbox: Sandbox, body: Mapping[str, Any]) -> Ends:
        source = self._end(sandbox, "source", body)
        target = self._end(sandbox, "target", body)
        source_role, target_role = specs.role_of(source.spec_id), specs.role_of(target.spec_id)
        content: specs.Content
        match source_role, target_role:
            case "profile_store", "destination":
                content = "audience"
            case "data_lake_source", "destination":
                content = "dataset"
            case "streaming_source", "data_lake_target":
                content = "ingestion"
            case "file_source", "data_lake_target":
                content = "file_ingestion"
            case _:
                raise EntityInvalid(
                    f"Nothing flows from '{specs.spec_name(source.spec_id)}' to '{specs.spec_name(target.spec_id)}'.",
                    path="/targetConnectionIds/0",
                )
        return Ends(content, source, target)

    def _end(self, sandbox: Sandbox, kind: ConnectionKind, body: Mapping[str, Any]) -> StoredConnection:
        name = f"{kind}ConnectionIds"
        ids = body.get(name)
        if not isinstance(ids, list) or len(ids) != 1 or not isinstance(ids[0], str):
            raise EntityInvalid(f"{name} must hold exactly one id.", path=f"/{name}")
        found = self._store.connection(sandbox, kind, ids[0])
        if found is None:
            raise EntityInvalid(f"{kind.capitalize()} connection '{ids[0]}' does not exist.", path=f"/{name}/0")
        return found

    def _source_schedule(self, body: Mapping[str, Any]) -> dict[str, Any]:
        given = body.get("scheduleParams")
        schedule = parse_source_schedule(given, self._clock.now_ms())
        if schedule is None:
            return {}
        return {**given, "startTime": given.get("startTime") or schedule.start_ms // 1000} if isinstance(given, Mapping) else {}

    def _file_steps(self, sandbox: Sandbox, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        steps = _steps(body)
        if len(steps) > 1:
            raise EntityInvalid(f"A dataflow of files has at most one transformation, named {_MAPPING}.", path="/transformations")
        return [self._mapping_step(sandbox, step, "/transformations/0") for step in steps]

    def _ingestion_steps(self, sandbox: Sandbox, spec_id: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        steps = _steps(body)
        is_mapped = spec_id == specs.STREAM_WITH_MAPPING
        if is_mapped and not steps:
            raise EntityInvalid(f"Flow spec {spec_id} needs a transformation named {_MAPPING}.", path="/transformations")
        if steps and not is_mapped:
            raise EntityInvalid(f"Flow spec {spec_id} has no mapping; use {specs.STREAM_WITH_MAPPING}.", path="/transformations")
        return [self._mapping_step(sandbox, step, f"/transformations/{index}") for index, step in enumerate(steps)]

    def _mapping_step(self, sandbox: Sandbox, step: Mapping[str, Any], here: str) -> dict[str, Any]:
        if step.get("name") != _MAPPING:
            raise EntityInvalid(f"The transformation must be named {_MAPPING}, got {step.get('name')!r}.", path=f"{here}/name")
        params = object_of(step, "params", path=here)
        mapping_id = text_of(params, "mappingId", path=f"{here}/params")
        version = str(params.get("mappingVersion", 0))
        try:
            self._mapping_sets.get(sandbox, mapping_id, int(version) if version.isdecimal() else -1)
        except EntityUnknown as error:
            raise EntityInvalid(
                f"Mapping set '{mapping_id}' with version {version} does not exist.", path=f"{here}/params/mappingId"
            ) from error
        return {"name": _MAPPING, "params": {**params, "mappingId": mapping_id, "mappingVersion": int(version)}}

    def _general_step(self, sandbox: Sandbox, ends: Ends, body: Mapping[str, Any], previous: Mapping[str, Any]) -> dict[str, Any]:
        steps = _steps(body)
        if len(steps) > 1 or (steps and steps[0].get("name", GENERAL) not in _GENERAL_SPELLINGS):
            raise EntityInvalid(f"A destination has one transformation, named {GENERAL}.", path="/transformations")
        target_params = object_of(ends.target.body, "params")
        destination = registry.destination(ends.target.spec_id)
        if destination.kind == "file" and not target_params.get("fileType"):
            raise EntityInvalid(
                f"Target connection {ends.target.id} has no fileType, which audiences need.", path="/targetConnectionIds/0"
            )
        transform = Transform(
            sandbox,
            destination,
            target_params,
            reader=MappingReader(sandbox, self._schemas, self._namespaces, self._check_expression),
            audiences=self._audiences,
            mapping_sets=self._mapping_sets,
            now_ms=self._clock.now_ms(),
        )
        params = object_of(steps[0], "params", path="/transformations/0") if steps else {}
        return {"name": GENERAL, "params": transform.normalised(params, flow_params(previous))}


def _in_words(flow: StoredFlow) -> str:
    return f"flow '{flow.body['name']}'"


def _dataset_ids(params: Mapping[str, Any]) -> set[str]:
    listed = {entry["dataSetId"] for entry in params.get("datasets", ())}
    return listed | {params["dataSetId"]} if "dataSetId" in params else listed


def _steps(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    steps = body.get("transformations") or []
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        raise EntityInvalid("transformations must be a list of objects.", path="/transformations")
    return steps


def _checked_flow_spec(body: Mapping[str, Any], ends: Ends) -> dict[str, str]:
    given = object_of(body, "flowSpec")
    spec_id = given.get("id")
    if not isinstance(spec_id, str) or not any(spec.id == spec_id for spec in specs.flow_specs()):
        raise SpecInvalid("Please provide a valid spec id", path="/flowSpec/id")
    destination = ends.destination
    if ends.content == "file_ingestion":
        fitting: tuple[str, ...] = (specs.CLOUD_STORAGE_TO_LAKE,)
    elif destination is None:
        fitting = (specs.STREAM_WITHOUT_MAPPING, specs.STREAM_WITH_MAPPING)
    elif ends.content == "dataset":
        fitting = (destination.dataset_flow_spec_id,)
    else:  # older tutorials give the dataset spec's id for audiences, too
        fitting = (destination.flow_spec_id, destination.dataset_flow_spec_id)
    if spec_id not in fitting:
        raise EntityInvalid(
            f"Flow spec {spec_id} does not go from '{specs.spec_name(ends.source.spec_id)}' "
            f"to '{specs.spec_name(ends.target.spec_id)}'.",
            path="/flowSpec/id",
            hint=f"Use {fitting[0]}." if fitting[0] else "This destination exports no datasets.",
        )
    return {"id": spec_id, "version": str(given.get("version") or specs.VERSION)}


def _checked_options(body: Mapping[str, Any]) -> dict[str, Any]:
    options = object_of(body, "options")
    percent = options.get("partialIngestionPercent", 0)
    if isinstance(percent, bool) or not str(percent).isdecimal() or not 0 <= int(percent) <= 100:
        raise EntityInvalid(
            f"partialIngestionPercent must be a whole number from 0 to 100, got {percent!r}.",
            path="/options/partialIngestionPercent",
        )
    if str(options.get("errorDiagnosticsEnabled", False)).lower() not in ("true", "false"):
        raise EntityInvalid("errorDiagnosticsEnabled must be true or false.", path="/options/errorDiagnosticsEnabled")
    return options


def _check_dataset_target(ends: Ends) -> None:
    params = object_of(ends.target.body, "params")
    file_type = params.get("datasetFileType")
    if not file_type:
        raise EntityInvalid(
            f"Target connection {ends.target.id} has no datasetFileType, which datasets need.", path="/targetConnectionIds/0"
        )
    if file_type == "JSON" and params.get("compression") == "NONE":
        raise EntityInvalid(
            f"Datasets are exported as JSON only with compression; target connection {ends.target.id} has NONE.",
            path="/targetConnectionIds/0",
        )


def _checked_policy(policy: Any) -> dict[str, Any]:
    refs = policy.get("enforcementRefs", []) if isinstance(policy, Mapping) else None
    if not isinstance(refs, list) or not all(isinstance(ref, str) and ref for ref in refs):
        raise EntityInvalid("policy.enforcementRefs must list references of marketing actions.", path="/policy/enforcementRefs")
    return {"enforcementRefs": list(dict.fromkeys(refs))}


def _folder_spelling(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return schedule parameters with the folder template under its specified name."""
    return {("folderNameTemplate" if name == "foldernameTemplate" else name): value for name, value in params.items()}


def _patchable(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document in which the published patches find the lists that they append to."""
    steps = [dict(step) for step in document.get("transformations", ())]
    if steps and steps[0].get("name") == GENERAL:
        steps[0] = {**steps[0], "params": {"profileSelectors": {"selectors": []}, **object_of(steps[0], "params")}}
    return {**document, "transformations": steps}


def _operation(kind: str, operations: Sequence[Mapping[str, Any]], now_ms: int) -> dict[str, Any]:
    return {
        "started": now_ms,
        "updated": now_ms,
        "percentCompleted": 100,
        "status": {"value": "completed", "properties": None, "errors": []},
        "ops": [dict(operation) for operation in operations],
        "operation": kind,
    }


def _inherited(flow: StoredFlow, connections: Mapping[str, StoredConnection]) -> dict[str, Any]:
    target = connections.get(flow.target_connection_id)
    is_destination = target is not None and specs.role_of(target.spec_id) == "destination"
    source = _end_reference(flow.source_connection_id, connections)
    if source.get("connectionSpec", {}).get("id") == specs.PROFILE_STORE:
        source["typeInfo"] = {"type": "ProfileFragments", "id": "ups"}
    return {
        "properties": {"isDestinationFlow" if is_destination else "isSourceFlow": True},
        "sourceConnections": [source],
        "targetConnections": [_end_reference(flow.target_connection_id, connections)],
    }


def _end_reference(connection_id: str, connections: Mapping[str, StoredConnection]) -> dict[str, Any]:
    reference: dict[str, Any] = {"id": connection_id}
    found = connections.get(connection_id)
    if found is not None:
        reference["connectionSpec"] = found.body["connectionSpec"]
        base = connections.get(found.base_connection_id)
        if base is not None:
            reference["baseConnection"] = {"id": base.id, "connectionSpec": base.body["connectionSpec"]}
    return reference
