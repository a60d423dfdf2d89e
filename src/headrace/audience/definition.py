"""An audience: what its owner wrote, and what follows from it."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from headrace.model import Sandbox
from headrace.pql.tree import Bound

PROFILE_SCHEMA = "_xdm.context.profile"
DRAFT, PUBLISHED, INACTIVE = "draft", "published", "inactive"
BATCH, STREAMING, EDGE = "batch", "streaming", "edge"
SEGMENT, EXTERNAL = "SegmentDefinition", "ExternalSegment"
PQL_NAMESPACE, PQL_ORIGIN = "AEPSegments", "REAL_TIME_CUSTOMER_PROFILE"

Method = Literal["batch", "streaming", "edge"]
Json = dict[str, Any]


class Expression(msgspec.Struct, frozen=True):
    """A query as it was sent, byte for byte."""

    value: str
    format: str = "pql/text"
    type: str = "PQL"


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner of an audience decides.

    Attributes:
        name: Unique in the sandbox.
        kind: ``SegmentDefinition`` or ``ExternalSegment``.
        description: For people.
        expression: The query; None for an external audience.
        schema_name: Short name of the class that is evaluated.
        merge_policy_id: Empty takes the default policy.
        ttl_days: Days that memberships are kept.
        requested: Evaluation method that was asked for; empty leaves it to the system.
        lifecycle_state: ``draft``, ``published`` or ``inactive``.
        labels: Access and usage labels.
        tags: Tags.
        governance: ``dataGovernancePolicy``.
        namespace: Namespace of the audience's id.
        audience_id: The id in that namespace; of a PQL audience, its own id.
        origin: Where it comes from.
        linked: ``linkedAudienceRef``.
        dataset_id: Dataset of an external audience.
        source_id: Source of an external audience.
        meta: ``audienceMeta`` of an external audience.
        created_by: Technical account.
        updated_by: Technical account.
    """

    name: str
    kind: str = SEGMENT
    description: str = ""
    expression: Expression | None = None
    schema_name: str = PROFILE_SCHEMA
    merge_policy_id: str = ""
    ttl_days: int = 30
    requested: str = ""
    lifecycle_state: str = PUBLISHED
    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    governance: Json = msgspec.field(default_factory=lambda: {"excludeOptOut": True})
    namespace: str = PQL_NAMESPACE
    audience_id: str = ""
    origin: str = PQL_ORIGIN
    linked: Json = {}
    dataset_id: str = ""
    source_id: str = ""
    meta: Json = {}
    created_by: str = ""
    updated_by: str = ""


class ReasonText(msgspec.Struct, frozen=True):
    """One reason against a method: its code, and a sentence for the author."""

    code: str
    text: str


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """How an audience is evaluated, and why not otherwise.

    Attributes:
        method: The method.
        query_class: Kind of query, such as ``P`` or ``E1``; empty when it fits none.
        streaming_reasons: Why it cannot be streamed.
        edge_reasons: Why it cannot run on the edge.
        lookback_ms: Greatest age of an event that can matter to a streamed query.
        dependencies: Ids of the audiences that its query names.
        advice: What is odd about the query.
        rules: The rules that decided.
    """

    method: Method = "batch"
    query_class: str = ""
    streaming_reasons: tuple[ReasonText, ...] = ()
    edge_reasons: tuple[ReasonText, ...] = ()
    lookback_ms: int = 0
    dependencies: tuple[str, ...] = ()
    advice: tuple[ReasonText, ...] = ()
    rules: str = "aep"

    def unmet(self, requested: str) -> tuple[ReasonText, ...]:
        """Return why the audience has not the method that was asked for, or by default the fastest one."""
        if requested == EDGE and self.method != EDGE:
            return self.streaming_reasons or self.edge_reasons
        return self.streaming_reasons if self.method == BATCH and requested != BATCH else ()


@dataclass(frozen=True, slots=True)
class Audience:
    """One audience of a sandbox.

    Attributes:
        number: Small positive integer, never reused.
        id: UUID, or for an external audience an id made from its namespace.
        definition: What its owner decides.
        evaluation: How it is evaluated.
        merge_policy_id: The merge policy in force.
        version: Rises with every change of the query or the merge policy.
        created_at: Epoch ms.
        updated_at: Epoch ms.
        binder: Gives the bound query.
    """

    number: int
    id: str
    definition: Definition
    evaluation: Evaluation
    merge_policy_id: str
    version: int
    created_at: int
    updated_at: int
    binder: "Callable[[Audience], Bound | None]" = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """Its name."""
        return self.definition.name

    @property
    def method(self) -> Method:
        """How it is evaluated."""
        return self.evaluation.method

    @property
    def lifecycle_state(self) -> str:
        """``draft``, ``published`` or ``inactive``."""
        return self.definition.lifecycle_state

    @property
    def is_external(self) -> bool:
        """Whether others assert its memberships."""
        return self.definition.kind == EXTERNAL

    @property
    def expression(self) -> str:
        """The query's text; empty for an external audience."""
        return self.definition.expression.value if self.definition.expression else ""

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Ids of the audiences that its query names."""
        return self.evaluation.dependencies

    @property
    def bound(self) -> Bound:
        """The bound query.

        Raises:
            LookupError: It has none: the audience is external, or the schema has lost a field that it reads.
        """
        found = self.binder(self)
        if found is None:
            raise LookupError(f"Audience {self.id} has no query that the present schema understands.")
        return found

    @property
    def has_query(self) -> bool:
        """Whether there is a bound query."""
        return self.binder(self) is not None


def external_id(namespace: str, audience_id: str, sandbox: Sandbox) -> str:
    """Return the platform's id of an external audience."""
    named = base64.urlsafe_b64encode(f"{namespace}_{audience_id}".encode()).decode().rstrip("=")
    return f"{named}_{sandbox.id}"


def row_of(audience: Audience, sandbox: Sandbox) -> Json:
    """Return an audience as a row of the table, without its number."""
    body = {
        "definition": msgspec.to_builtins(audience.definition),
        "evaluation": msgspec.to_builtins(audience.evaluation),
    }
    return {
        "sandbox": sandbox.number,
        "id": audience.id,
        "name": audience.name,
        "method": audience.method,
        "lifecycle_state": audience.lifecycle_state,
        "merge_policy_id": audience.merge_policy_id,
        "version": audience.version,
        "body": body,
        "created_at": audience.created_at,
        "updated_at": audience.updated_at,
    }


def audience_of(row: Mapping[str, Any], binder: Callable[[Audience], Bound | None]) -> Audience:
    """Return the audience of a row."""
    return Audience(
        number=row["number"],
        id=row["id"],
        definition=msgspec.convert(row["body"]["definition"], Definition),
        evaluation=msgspec.convert(row["body"]["evaluation"], Evaluation),
        merge_policy_id=row["merge_policy_id"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        binder=binder,
    )
