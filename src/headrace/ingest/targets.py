"""Where a message goes: its dataset, its dataflow, what it does there, and what its record must satisfy.

What was found for one header counts for all messages with an equal header until the configuration changes, so that a steady
stream asks no other stage.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from headrace.errors import InvalidInput, NotFound
from headrace.ingest.envelope import Header, SchemaRef, major_version
from headrace.ingest.inlets import Inlet, InletFlow
from headrace.ingest.mapping import Mapper
from headrace.ingest.partial import PartialValidator
from headrace.ingest.refusals import UNKNOWN_FORMAT, WRONG_ORGANIZATION, MessageRefused
from headrace.model import Operation, Sandbox
from headrace.schemas import SchemaRegistry, Violation

Check = Callable[[Any], list[Violation]]

_MOST_KNOWN = 4096
_OWN_LINKS, _NO_LINKS = 0, -1
_OPERATION_OF_TYPE: Mapping[str, Operation] = {"xdmEntityUpdate": "merge", "xdmEntityDelete": "delete"}
_OPERATIONS: Mapping[str, Operation] = {"create": "create", "merge": "merge", "delete": "delete"}
_SOURCE_NAMELESS = Violation(
    "#/header/source", "required", "DCVS-1111-400", "Payload header is missing Source Name", "#/properties/header"
)


class TargetDataset(Protocol):
    """What is asked of a dataset; the catalog's has more."""

    @property
    def number(self) -> int:
        """Small number of the dataset."""
        ...

    @property
    def id(self) -> str:
        """Id on the wire."""
        ...

    @property
    def schema_id(self) -> str:
        """``$id`` of its schema."""
        ...

    @property
    def is_validation_disabled(self) -> bool:
        """Whether records are taken without a look at their structure."""
        ...

    @property
    def body(self) -> Mapping[str, Any]:
        """The dataset as the wire shows it."""
        ...


class Datasets(Protocol):
    """What is asked of the catalog."""

    def dataset(self, sandbox: Sandbox, dataset_id: str) -> TargetDataset:
        """Return a dataset.

        Raises:
            NotFound: The sandbox has none of this id.
        """
        ...


class Mappers(Protocol):
    """Gives the mapping sets of raw inlets in a form that runs."""

    def mapper(self, sandbox: Sandbox, mapping_id: str, version: int, schema_id: str) -> Mapper:
        """Return the compiled mapping set.

        Raises:
            NotFound: The sandbox has no such mapping set or version.
        """
        ...


class Target(msgspec.Struct, frozen=True):
    """What is done with the records of messages that carry one header.

    Attributes:
        sandbox: Number of the sandbox.
        dataset: Number of the dataset.
        flow_id: Dataflow that counts the record; may be empty.
        operation: What the record does to its fragment.
        links_dataset: See `headrace.model.Record`.
        check: Returns what is wrong with a record.
        faults: What is wrong with the header although the message is accepted; such a message goes to quarantine.
        mapper: Makes the record from the message; None when the message holds it.
    """

    sandbox: int
    dataset: int
    flow_id: str
    operation: Operation
    links_dataset: int
    check: Check
    faults: tuple[Violation, ...] = ()
    mapper: Mapper | None = None


class Targets:
    """Finds the target of each message."""

    def __init__(self, datasets: Datasets, schemas: SchemaRegistry, mappers: Mappers) -> None:
        self._datasets = datasets
        self._schemas = schemas
        self._mappers = mappers
        self._revision = -1
        self._known: dict[Any, Target] = {}

    def of_message(self, inlet: Inlet, header: Header, body_ref: SchemaRef | None, flow_id: str) -> Target:
        """Return the target of a message of an XDM inlet.

        Args:
            inlet: Where it came in.
            header: Its header.
            body_ref: The schema that its body names.
            flow_id: The dataflow that the request names; may be empty.

        Raises:
            MessageRefused: The envelope is wrong.
        """
        return self._found((inlet.id, flow_id, header, body_ref), lambda: self._of_message(inlet, header, body_ref, flow_id))

    def of_raw(self, inlet: Inlet, header: Header, flow_id: str) -> Target:
        """Return the target of a message of a raw inlet; its header may be empty.

        Raises:
            MessageRefused: No enabled dataflow takes it, or the envelope is wrong.
        """
        return self._found((inlet.id, flow_id, header), lambda: self._of_raw(inlet, header, flow_id))

    def _found(self, key: Any, make: Callable[[], Target]) -> Target:
        revision = self._schemas.control.revision()
        if revision != self._revision or len(self._known) > _MOST_KNOWN:
            self._known, self._revision = {}, revision
        target = self._known.get(key)
        if target is None:
            target = self._known[key] = make()
        return target

    def _of_message(self, inlet: Inlet, header: Header, body_ref: SchemaRef | None, flow_id: str) -> Target:
        _check_organization(inlet, header)
        ref = header.schema_ref
        if ref is None:
            raise _unknown_format("/header/schemaRef", "The header names no schema.")
        if body_ref is None:
            raise _unknown_format("/body/xdmMeta/schemaRef", "The body names no schema.")
        if not _agree(ref, body_ref):
            raise _unknown_format("/body/xdmMeta/schemaRef", "Header and body name different schemas.")
        flow = _flow_of(inlet, header.flow_id or flow_id, header.dataset_id)
        dataset = self._dataset(inlet, header.dataset_id or (flow.dataset_id if flow else ""))
        if dataset.schema_id != ref.id or _major_of(dataset) != major_version(ref.content_type):
            hint = f"Dataset '{dataset.id}' holds records of schema {dataset.schema_id}."
            raise _unknown_format("/header/schemaRef", hint)
        return self._target(inlet, header, dataset, flow.id if flow else "", None)

    def _of_raw(self, inlet: Inlet, header: Header, flow_id: str) -> Target:
        _check_organization(inlet, header)
        flow = _flow_of(inlet, flow_id or header.flow_id, header.dataset_id)
        if flow is None:
            raise MessageRefused(
                "Message names no dataflow", path="/header/flowId", hint="Send the header x-adobe-flow-id or create a dataflow."
            )
        dataset = self._dataset(inlet, header.dataset_id or flow.dataset_id)
        mapper = None
        if flow.mapping_id:
            try:
                mapper = self._mappers.mapper(inlet.sandbox, flow.mapping_id, flow.mapping_version, dataset.schema_id)
            except (NotFound, InvalidInput) as error:
                raise MessageRefused("Dataflow has no mapping set that runs", path="/header/flowId", hint=str(error)) from error
        return self._target(inlet, header, dataset, flow.id, mapper)

    def _dataset(self, inlet: Inlet, dataset_id: str) -> TargetDataset:
        if not dataset_id:
            raise _unknown_format("/header/datasetId", "Neither the message nor a dataflow of the inlet names a dataset.")
        try:
            return self._datasets.dataset(inlet.sandbox, dataset_id)
        except NotFound as error:
            raise _unknown_format("/header/datasetId", str(error)) from error

    def _target(self, inlet: Inlet, header: Header, dataset: TargetDataset, flow_id: str, mapper: Mapper | None) -> Target:
        operation = self._operation(inlet, header, dataset)
        return Target(
            sandbox=inlet.sandbox.number,
            dataset=dataset.number,
            flow_id=flow_id,
            operation=operation,
            links_dataset=self._links(inlet, header, dataset),
            check=self._check(inlet.sandbox, dataset, operation),
            faults=(_SOURCE_NAMELESS,) if header.source is not None and not header.source.name else (),
            mapper=mapper,
        )

    def _operation(self, inlet: Inlet, header: Header, dataset: TargetDataset) -> Operation:
        operation: Operation = "create"
        if header.operations is not None:
            named = _OPERATIONS.get(header.operations.data)
            if named is None:
                hint = f"Use create, merge or delete, not '{header.operations.data}'."
                raise _unknown_format("/header/operations/data", hint)
            operation = named
        elif header.msg_type is not None:
            operation = _OPERATION_OF_TYPE.get(header.msg_type, "create")
        if operation != "create" and self._schemas.behavior(inlet.sandbox, dataset.schema_id) == "time-series":
            raise _unknown_format("/header/operations/data", "Events cannot be changed or deleted by an upsert.")
        return operation

    def _links(self, inlet: Inlet, header: Header, dataset: TargetDataset) -> int:
        operations = header.operations
        if operations is None:
            return _OWN_LINKS
        if operations.identity is None:
            return _NO_LINKS
        path = "/header/operations/identityDatasetId"
        if operations.identity != "create":
            raise _unknown_format("/header/operations/identity", f"Use create, not '{operations.identity}'.")
        if not operations.identity_dataset_id:
            raise _unknown_format(path, "Name the dataset on whose behalf identities are linked.")
        if operations.identity_dataset_id == dataset.id:
            raise _unknown_format(path, "Name another dataset than the record's own.")
        try:
            return self._datasets.dataset(inlet.sandbox, operations.identity_dataset_id).number
        except NotFound as error:
            raise _unknown_format(path, str(error)) from error

    def _check(self, sandbox: Sandbox, dataset: TargetDataset, operation: Operation) -> Check:
        if dataset.is_validation_disabled:
            return _check_nothing
        try:
            if operation == "create":
                return self._schemas.validator(sandbox, dataset.schema_id).violations
            form = self._schemas.full_form(sandbox, dataset.schema_id)
            return PartialValidator(form, self._schemas.identity_descriptors(sandbox, dataset.schema_id)).violations
        except NotFound as error:
            raise _unknown_format("/header/schemaRef", str(error)) from error


def _check_organization(inlet: Inlet, header: Header) -> None:
    if header.ims_org_id is not None and header.ims_org_id != inlet.sandbox.organization_id:
        hint = f"The inlet belongs to {inlet.sandbox.organization_id}."
        raise MessageRefused(WRONG_ORGANIZATION, path="/header/imsOrgId", hint=hint)


def _agree(one: SchemaRef, other: SchemaRef) -> bool:
    return one.id == other.id and major_version(one.content_type) == major_version(other.content_type)


def _major_of(dataset: TargetDataset) -> int:
    ref = dataset.body.get("schemaRef") or {}
    return major_version(str(ref.get("contentType", "")))


def _flow_of(inlet: Inlet, flow_id: str | None, dataset_id: str | None) -> InletFlow | None:
    """Return the dataflow that counts a message, None when none is needed.

    A flow that the message names must be enabled; one that this inlet does not feed counts only as no flow, because old clients
    send ids of flows that are gone, as long as they name the dataset.
    """
    flow = inlet.flows.get(flow_id) if flow_id else None
    if flow is None:
        possible = [each for each in inlet.flows.values() if not dataset_id or each.dataset_id == dataset_id]
        enabled = [each for each in possible if each.is_enabled]
        if flow_id and not dataset_id:
            raise MessageRefused("Dataflow not found", path="/header/flowId", hint=f"The inlet has no dataflow '{flow_id}'.")
        if len(enabled) > 1 and not dataset_id:
            raise MessageRefused(
                "Message names no dataflow", path="/header/flowId", hint="The inlet has several: send x-adobe-flow-id."
            )
        flow = enabled[0] if enabled else (possible[0] if possible else None)
    if flow is not None and not flow.is_enabled:
        raise MessageRefused("Dataflow is disabled", path="/header/flowId", hint=f"Enable dataflow '{flow.id}'.")
    return flow


def _check_nothing(record: Any) -> list[Violation]:
    if isinstance(record, dict):
        return []
    return [Violation("#", "type", "DCVS-1104-400", "expected type: JSONObject", "#")]


def _unknown_format(path: str, hint: str) -> MessageRefused:
    return MessageRefused(UNKNOWN_FORMAT, path=path, hint=hint)
