"""What the pipeline knows of the control plane: compiled once per revision, read for every record."""

from dataclasses import dataclass, field
from typing import Protocol

from headrace.activation.interest import Interest
from headrace.identity.extract import IdentityExtractor
from headrace.model import Sandbox
from headrace.pql.compile.streaming import Program
from headrace.profile.bodies import Read, fragment_reader, json_reader, read_json
from headrace.profile.merge import NOT_MERGED, MergeRule

_READ_OF_EVENTS = (("_id",), ("timestamp",), ("eventType",), ("identityMap",))


@dataclass(frozen=True, slots=True)
class DatasetRules:
    """How the records of one dataset are applied.

    Attributes:
        number: Dataset number.
        is_profile: Whether its records become profile fragments or events.
        is_identity: Whether its records link identities.
        is_event: Whether its records are events.
        extractor: Finds the identities in a record.
    """

    number: int
    is_profile: bool
    is_identity: bool
    is_event: bool
    extractor: IdentityExtractor


@dataclass(frozen=True, slots=True)
class SandboxRules:
    """How the records of one sandbox are applied.

    Attributes:
        sandbox: The sandbox.
        datasets: Dataset number → rules.
        merge: How fragments merge under the default merge policy.
        program: The streaming audiences, compiled.
        versions: Audience number → version of its definition, of the audiences in ``program``.
        interest: What active streaming dataflows want to hear of.
        interest_paths: Attribute paths of ``interest``, split.
        namespace_codes: Namespace id → code, as the merged ``identityMap`` shows it.
        audience_ids: Audience number → id.
        read_body: Dataset number → reader of its records: of an event, what the pipeline and the audiences look at.
        read_fragment: Reader of what audiences and dataflows look at in the fragments of a profile.
    """

    sandbox: Sandbox
    datasets: dict[int, DatasetRules]
    merge: MergeRule
    program: Program
    versions: dict[int, int]
    interest: Interest
    interest_paths: tuple[tuple[str, ...], ...]
    namespace_codes: dict[int, str] = field(default_factory=dict)
    audience_ids: dict[int, str] = field(default_factory=dict)
    read_body: dict[int, Read] = field(init=False)
    read_fragment: Read = field(init=False)

    def __post_init__(self) -> None:
        """Make the readers."""
        readers = {number: self._body_reader(dataset) for number, dataset in self.datasets.items()}
        object.__setattr__(self, "read_body", readers)
        read = {path for path in (*self.program.profile_paths, *self.interest_paths) if path[0] not in NOT_MERGED}
        object.__setattr__(self, "read_fragment", fragment_reader(frozenset(read)))

    def _body_reader(self, dataset: DatasetRules) -> Read:
        if not dataset.is_event:
            return read_json
        return json_reader(frozenset({*_READ_OF_EVENTS, *self.program.event_paths, *dataset.extractor.paths}))


class RulesSource(Protocol):
    """Gives the rules that hold now."""

    def revision(self) -> int:
        """Return a number that changes whenever `load` could give something else."""
        ...

    def load(self) -> dict[int, SandboxRules]:
        """Return the rules by sandbox number."""
        ...
