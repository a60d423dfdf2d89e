"""The pipeline's rules, read from the control plane's services."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from headrace.activation.dataflows import Dataflows
from headrace.audience.service import Audiences
from headrace.catalog.dataset import Dataset
from headrace.catalog.datasets import Catalog
from headrace.catalog.sandboxes import Sandboxes
from headrace.identity.extract import IdentityExtractor
from headrace.identity.namespaces import Namespaces
from headrace.model import Sandbox
from headrace.pql.compile.streaming import Program, StreamingAudience, compile_streaming
from headrace.profile.rules import PolicyRules
from headrace.roles.pipeline_rules import DatasetRules, SandboxRules
from headrace.schemas import SchemaRegistry

# Namespaces of these types identify no person: they make no vertex of a graph.
_NO_GRAPH_TYPES = ("NON_PEOPLE", "PARTNER", "B2B_")


@dataclass(slots=True)
class ControlRules:
    """Rules from the control plane's services."""

    sandboxes: Sandboxes
    catalog: Catalog
    schemas: SchemaRegistry
    namespaces: Namespaces
    audiences: Audiences
    dataflows: Dataflows
    policies: PolicyRules
    _programs: dict[int, tuple[tuple[tuple[int, int], ...], Program]] = field(default_factory=dict)

    def revision(self) -> int:
        """See `RulesSource.revision`."""
        return self.catalog.revision()

    def load(self) -> dict[int, SandboxRules]:
        """See `RulesSource.load`."""
        return {sandbox.number: self._sandbox(sandbox) for sandbox in self.sandboxes.all()}

    def _sandbox(self, sandbox: Sandbox) -> SandboxRules:
        # Read once: a program is kept under its audiences' versions, and an audience made between two readings would be missing
        # from the one and present in the other for good.
        audiences = self.audiences.all_streaming(sandbox)
        streaming = [StreamingAudience(item.number, item.id, item.bound) for item in audiences]
        versions = {item.number: item.version for item in audiences}
        interest = self.dataflows.streaming_interest(sandbox)
        return SandboxRules(
            sandbox=sandbox,
            datasets=self._datasets(sandbox),
            merge=self.policies.default(sandbox),
            program=self._program(sandbox, streaming, versions),
            versions=versions,
            interest=interest,
            interest_paths=tuple(tuple(path.split(".")) for path in interest.attribute_paths),
            namespace_codes={item.id: item.code if item.custom else item.code.lower() for item in self.namespaces.all(sandbox)},
            audience_ids={item.number: item.id for item in self.audiences.active(sandbox)},
        )

    def _program(self, sandbox: Sandbox, streaming: list[StreamingAudience], versions: dict[int, int]) -> Program:
        # Compiling hundreds of audiences takes longer than reading any other rule, and most changes touch none of them.
        signature = tuple(sorted(versions.items()))
        known = self._programs.get(sandbox.number)
        if known is None or known[0] != signature:
            numbers = {item.id: item.number for item in self.audiences.active(sandbox)}
            known = self._programs[sandbox.number] = (signature, compile_streaming(streaming, numbers))
        return known[1]

    def _datasets(self, sandbox: Sandbox) -> dict[int, DatasetRules]:
        return {dataset.number: self._dataset(sandbox, dataset) for dataset in self._wanted(sandbox)}

    def _wanted(self, sandbox: Sandbox) -> Iterable[Dataset]:
        return (item for item in self.catalog.datasets(sandbox) if item.is_profile_enabled or item.is_identity_enabled)

    def _dataset(self, sandbox: Sandbox, dataset: Dataset) -> DatasetRules:
        described = []
        for item in self.schemas.identity_descriptors(sandbox, dataset.schema_id):
            namespace = self._namespace_id(sandbox, item.namespace_code)
            if namespace is not None:
                described.append((item.path, namespace, item.is_primary))
        is_event = self.schemas.behavior(sandbox, dataset.schema_id) == "time-series"
        is_profile = dataset.is_profile_enabled and self.schemas.is_profile_enabled(sandbox, dataset.schema_id)
        namespaces = _Namespaces(lambda code: self._namespace_id(sandbox, code))
        extractor = IdentityExtractor(described, namespaces.__getitem__)
        return DatasetRules(dataset.number, is_profile, dataset.is_identity_enabled, is_event, extractor)

    def _namespace_id(self, sandbox: Sandbox, code: str) -> int | None:
        namespace = self.namespaces.by_code(sandbox, code)
        if namespace is None or namespace.id_type.startswith(_NO_GRAPH_TYPES):
            return None
        return namespace.id


class _Namespaces(dict[str, int | None]):
    """Code → id of its namespace, looked up once; the rules live only as long as the namespaces stay as they are."""

    def __init__(self, find: Callable[[str], int | None]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, code: str) -> int | None:
        found = self[code] = self._find(code)
        return found
