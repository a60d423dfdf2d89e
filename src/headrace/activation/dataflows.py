"""Dataflows as the other stages read them: parsed, complete, and read again only when something was configured.

`Dataflows.active` gives what exporters and senders work on, `Dataflows.streaming_interest` what the pipeline listens for.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from headrace.activation import specs
from headrace.activation.credentials import CredentialStore, SecretBox, revealed
from headrace.activation.entities import object_of
from headrace.activation.fields import parse_path
from headrace.activation.interest import Interest
from headrace.activation.mapping import (
    AttributeMapping,
    DedupKey,
    ExpressionCheck,
    MappingReader,
    NamespaceCodes,
    Schemas,
    default_target,
)
from headrace.activation.mapping_sets import MappingSets
from headrace.activation.schedules import DatasetSchedule, ExportMode, Schedule, parse_dataset_schedule, parse_schedule
from headrace.activation.selectors import (
    CONSENT_IGNORED,
    AudienceLookup,
    audience_id_of,
    selector_path,
    stored_attributes,
    stored_selectors,
)
from headrace.activation.store import FlowStore, StoredConnection, StoredFlow
from headrace.clock import Clock
from headrace.destinations import registry
from headrace.destinations.base import Context, Destination
from headrace.destinations.settings import settings_from
from headrace.errors import HeadraceError, NotFound
from headrace.model import Sandbox
from headrace.storage.control import ControlStore
from headrace.telemetry import log

_CONSENTS = "consents"


class AudienceSelector(msgspec.Struct, frozen=True):
    """An audience that a dataflow exports.

    Attributes:
        audience_id: The audience.
        number: Its number in changes and hot state.
        name: Its name now.
        merge_policy_id: The policy that it is evaluated under.
        schedule: When it is exported; None for streams.
        export_mode: Whether exports are full or incremental; None for streams.
        filename_template: Name of its files, with macros; empty for streams.
        mapped_at_ms: When it was added to the dataflow (epoch ms).
        mapping_updated_at_ms: When its selector changed last (epoch ms).
    """

    audience_id: str
    number: int
    name: str
    merge_policy_id: str
    schedule: Schedule | None
    export_mode: ExportMode | None
    filename_template: str
    mapped_at_ms: int
    mapping_updated_at_ms: int


class Dataflow(msgspec.Struct, frozen=True):
    """An active dataflow to a destination.

    Attributes:
        id: UUID.
        name: Its name.
        sandbox: Where it belongs.
        kind: Whether it sends messages or files.
        content: Whether it exports audiences or datasets.
        connection_spec_id: The destination.
        flow_spec_id: Its flow spec.
        source_connection_id: Where it reads.
        target_connection_id: Where it writes.
        auth_name: Authentication scheme of the account; empty when there is none.
        auth_params: Its parameters, secrets wrapped.
        target_params: Parameters of the target as they came over the wire.
        target: The same as an instance of the destination's settings (`StreamSettings`, `FileSettings`…).
        connection_key: Changes when the destination must be opened anew.
        public_key: Base64 of the key that files are encrypted with; empty when they are not.
        audiences: What it exports; those that no longer exist are left out.
        attributes: Columns or attributes, in order.
        mandatory: What must have a value for a row to be exported: columns in the sense of `AttributeMapping`.
        keys: By what the rows of an export are made unique.
        dataset_ids: Datasets that it exports; empty for audiences.
        dataset_schedule: When they are exported; None for audiences.
        marketing_actions: References of the marketing actions that it serves.
        enforces_consent: Whether persons without consent are left out.
        created_at_ms: Epoch ms.
        updated_at_ms: Epoch ms.
    """

    id: str
    name: str
    sandbox: Sandbox
    kind: Literal["stream", "file"]
    content: Literal["audience", "dataset"]
    connection_spec_id: str
    flow_spec_id: str
    source_connection_id: str
    target_connection_id: str
    auth_name: str
    auth_params: Mapping[str, Any]
    target_params: Mapping[str, Any]
    target: Any
    connection_key: tuple[str, str]
    public_key: str
    audiences: tuple[AudienceSelector, ...]
    attributes: tuple[AttributeMapping, ...]
    mandatory: tuple[AttributeMapping, ...]
    keys: tuple[DedupKey, ...]
    dataset_ids: tuple[str, ...]
    dataset_schedule: DatasetSchedule | None
    marketing_actions: tuple[str, ...]
    enforces_consent: bool
    created_at_ms: int
    updated_at_ms: int

    @property
    def title(self) -> str:
        """Name of the destination, as the macro ``%DESTINATION%`` shows it."""
        return specs.spec_name(self.connection_spec_id)

    def audience(self, audience_id: str) -> AudienceSelector | None:
        """Return the selector of an audience, None when it is not exported."""
        return next((item for item in self.audiences if item.audience_id == audience_id), None)

    def open(self, context: Context) -> Destination:
        """Return the destination, ready to use.

        Raises:
            SettingInvalid: Its settings no longer fit.
        """
        return registry.open_destination(
            self.connection_spec_id,
            auth_name=self.auth_name,
            auth_params=self.auth_params,
            target_params=self.target_params,
            context=context,
        )


def _accept_expression(text: str) -> None:
    del text  # it was checked when the mapping set was put into the dataflow


class Dataflows:
    """The active dataflows to destinations, by sandbox."""

    def __init__(
        self,
        control: ControlStore,
        clock: Clock,
        *,
        schemas: Schemas,
        namespaces: NamespaceCodes,
        audiences: AudienceLookup,
        secrets: SecretBox | None = None,
        check_expression: ExpressionCheck = _accept_expression,
    ) -> None:
        """Keep where dataflows are read from.

        Args:
            control: Where they are stored.
            clock: Start of dataset schedules that name none.
            schemas: The union schemas.
            namespaces: The identity namespaces.
            audiences: The audiences.
            secrets: Opens credentials; only `streaming_interest` works without.
            check_expression: Refuses a text that is no Data Prep expression.
        """
        self._control = control
        self._store = FlowStore(control)
        self._clock = clock
        self._schemas = schemas
        self._namespaces = namespaces
        self._audiences = audiences
        self._credentials = CredentialStore(secrets) if secrets is not None else None
        self._check_expression = check_expression
        self._mapping_sets = MappingSets(control, clock)
        self._active: dict[int, tuple[int, list[Dataflow]]] = {}
        self._interest: dict[int, tuple[int, Interest]] = {}

    def revision(self) -> int:
        """Return a number that changes whenever the answers of this object could change."""
        return self._control.revision()

    def active(self, sandbox: Sandbox) -> list[Dataflow]:
        """Return the enabled dataflows to destinations whose connections are enabled, oldest first.

        One that cannot be read (its secrets' key is lost, its destination is not installed) is left out and logged.
        """
        revision = self._control.revision()
        known = self._active.get(sandbox.number)
        if known is None or known[0] != revision:
            known = self._active[sandbox.number] = (revision, self._loaded(sandbox, with_secrets=True))
        return known[1]

    def dataflow(self, sandbox: Sandbox, flow_id: str) -> Dataflow | None:
        """Return an active dataflow, None when there is none with this id."""
        return next((flow for flow in self.active(sandbox) if flow.id == flow_id), None)

    def streaming_interest(self, sandbox: Sandbox) -> Interest:
        """Return what the active streaming dataflows want to hear of; needs no secrets.

        Consents are among the attributes while a dataflow enforces them, so that a change carries what decides about it.
        """
        revision = self._control.revision()
        known = self._interest.get(sandbox.number)
        if known is None or known[0] != revision:
            flows = [flow for flow in self._loaded(sandbox, with_secrets=False) if flow.kind == "stream"]
            known = self._interest[sandbox.number] = (revision, _interest(flows))
        return known[1]

    def _loaded(self, sandbox: Sandbox, *, with_secrets: bool) -> list[Dataflow]:
        stored = [flow for flow in self._store.flows(sandbox) if flow.state == "enabled"]
        if not stored:
            return []
        connections = self._store.connections_by_id(sandbox)
        reader = MappingReader(sandbox, self._schemas, self._namespaces, self._check_expression)
        found = []
        for flow in reversed(stored):
            ends = _Ends.of(flow, connections)
            if ends is None:
                continue
            try:
                found.append(self._dataflow(sandbox, flow, ends, reader, with_secrets=with_secrets))
            except (HeadraceError, ValueError) as error:
                log("activation", logging.ERROR, "a dataflow cannot be read", flow_id=flow.id, error=str(error))
        return found

    def _dataflow(
        self, sandbox: Sandbox, flow: StoredFlow, ends: "_Ends", reader: MappingReader, *, with_secrets: bool
    ) -> Dataflow:
        destination = registry.destination(ends.target.spec_id)
        params = flow_params(flow.body)
        auth = object_of(ends.base.body, "auth") if ends.base else {}
        target_params = object_of(ends.target.body, "params")
        attributes = self._attributes(sandbox, destination, params, reader)
        is_dataset = ends.content == "dataset"
        return Dataflow(
            id=flow.id,
            name=str(flow.body["name"]),
            sandbox=sandbox,
            kind=destination.kind,
            content=ends.content,
            connection_spec_id=destination.connection_spec_id,
            flow_spec_id=flow.spec_id,
            source_connection_id=flow.source_connection_id,
            target_connection_id=flow.target_connection_id,
            auth_name=str(auth.get("specName") or ""),
            auth_params=self._auth_params(auth, ends.base) if with_secrets else {},
            target_params=target_params,
            target=settings_from(destination.target_settings, target_params, path="/params"),
            connection_key=(ends.base.etag if ends.base else "", ends.target.etag),
            public_key=_public_key(ends.base),
            audiences=tuple(self._selectors(sandbox, params)),
            attributes=tuple(attributes),
            mandatory=tuple(_mandatory(params, attributes, reader)),
            keys=_keys(params, attributes),
            dataset_ids=tuple(entry["dataSetId"] for entry in object_of(ends.source.body, "params").get("datasets", ())),
            dataset_schedule=parse_dataset_schedule(flow.body.get("scheduleParams"), flow.created_at) if is_dataset else None,
            marketing_actions=tuple(object_of(flow.body, "policy").get("enforcementRefs", ())),
            enforces_consent=params.get("consentEnforcement") != CONSENT_IGNORED,
            created_at_ms=flow.created_at,
            updated_at_ms=flow.updated_at,
        )

    def _auth_params(self, auth: Mapping[str, Any], base: StoredConnection | None) -> dict[str, Any]:
        shown = object_of(auth, "params")
        if base is None or not base.secrets:
            return shown
        if self._credentials is None:
            raise ValueError("Credentials cannot be opened here.")
        return revealed(shown, self._credentials.open(base.secrets))

    def _selectors(self, sandbox: Sandbox, params: Mapping[str, Any]) -> list[AudienceSelector]:
        found = []
        for entry in stored_selectors(params):
            value = entry["value"]
            try:
                audience = self._audiences.get(sandbox, audience_id_of(value))
            except NotFound:
                continue
            if audience.lifecycle_state in ("published", "active"):
                found.append(_selector(value, audience))
        return found

    def _attributes(
        self, sandbox: Sandbox, destination: type[Destination], params: Mapping[str, Any], reader: MappingReader
    ) -> list[AttributeMapping]:
        mapping = params.get("profileMapping")
        if mapping:
            found = self._mapping_sets.get(sandbox, mapping["mappingId"], mapping["mappingVersion"])
            return [_column(reader, entry, f"/mappings/{index}") for index, entry in enumerate(found.mappings)]
        columns = []
        for entry in stored_attributes(params):
            path = selector_path(entry)
            target = default_target(path) if destination.kind == "file" else path
            code = object_of(entry["value"], "identity").get("namespace")
            columns.append(
                AttributeMapping("identity", path, target, namespace=str(code)) if code else _source(reader, path, target)
            )
        return columns


class _Ends(msgspec.Struct, frozen=True):
    """The connections of a dataflow whose connections are all enabled."""

    content: Literal["audience", "dataset"]
    source: StoredConnection
    target: StoredConnection
    base: StoredConnection | None

    @classmethod
    def of(cls, flow: StoredFlow, connections: Mapping[str, StoredConnection]) -> "_Ends | None":
        source, target = connections.get(flow.source_connection_id), connections.get(flow.target_connection_id)
        if source is None or target is None or not registry.is_known(target.spec_id):
            return None
        base = connections.get(target.base_connection_id)
        if any(end is not None and end.state != "enabled" for end in (source, target, base)):
            return None
        return cls("dataset" if source.spec_id == specs.DATA_LAKE_SOURCE else "audience", source, target, base)


def flow_params(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a destination flow's transformation."""
    for transformation in body.get("transformations", ()):
        return object_of(transformation, "params")
    return {}


def _selector(value: Mapping[str, Any], audience: Any) -> AudienceSelector:
    mode = value.get("exportMode")
    schedule = parse_schedule(value["schedule"], mode, "/schedule") if mode else None
    return AudienceSelector(
        audience_id=audience.id,
        number=audience.number,
        name=audience.name,
        merge_policy_id=audience.merge_policy_id,
        schedule=schedule,
        export_mode=mode,
        filename_template=str(value.get("filenameTemplate", "")),
        mapped_at_ms=int(value["createTime"]) * 1000,
        mapping_updated_at_ms=int(value["updateTime"]) * 1000,
    )


def _column(reader: MappingReader, entry: Mapping[str, Any], pointer: str) -> AttributeMapping:
    try:
        return reader.column(entry, pointer)
    except HeadraceError:
        return _unknown_field(entry["source"], entry["destination"])


def _source(reader: MappingReader, path: str, target: str) -> AttributeMapping:
    try:
        return reader.source(path, target, "/value/path")
    except HeadraceError:
        return _unknown_field(path, target)


def _unknown_field(path: str, target: str) -> AttributeMapping:
    """Return the column of a field that has gone from the schema since: it stays, and profiles may still hold it."""
    try:
        return AttributeMapping("attribute", path, target, path=parse_path(path))
    except ValueError:
        return AttributeMapping("static", "", target)


def _mandatory(
    params: Mapping[str, Any], attributes: Sequence[AttributeMapping], reader: MappingReader
) -> list[AttributeMapping]:
    """Return what must have a value: what was asked for, and always the mapped identity."""
    found = {column.source: column for column in attributes if column.is_identity}
    for name in params.get("mandatoryFields", ()):
        column = next((item for item in attributes if name in (item.source, item.target, item.namespace)), None)
        if column is None:
            is_identity = reader.is_namespace(name)
            column = AttributeMapping("identity", name, name, namespace=name) if is_identity else _source(reader, name, name)
        found[column.source] = column
    return list(found.values())


def _keys(params: Mapping[str, Any], attributes: Sequence[AttributeMapping]) -> tuple[DedupKey, ...]:
    """Return the keys that were asked for; a mapped identity is the key when none was."""
    given = [
        DedupKey("IDENTITY", key["identityNamespace"])
        if key["fieldType"] == "IDENTITY"
        else DedupKey("ATTRIBUTE", key["attributePath"])
        for key in params.get("primaryFields", ())
    ]
    return tuple(given or [DedupKey("IDENTITY", item.namespace) for item in attributes if item.is_identity][:1])


def _public_key(base: StoredConnection | None) -> str:
    encryption = object_of(base.body, "encryptionSpecs") if base else {}
    return str(object_of(encryption, "params").get("publicKey", ""))


def _interest(flows: Sequence[Dataflow]) -> Interest:
    paths = {item.source: None for flow in flows for item in flow.attributes if item.kind == "attribute"}
    wanting = [flow for flow in flows if flow.audiences]
    if any(flow.enforces_consent for flow in wanting):
        paths[_CONSENTS] = None
    numbers = {flow.id: frozenset(item.number for item in flow.audiences) for flow in wanting}
    return Interest(
        audiences=frozenset().union(*numbers.values()) if numbers else frozenset(),
        attribute_paths=tuple(paths),
        flows=numbers,
    )
