"""From the active streaming dataflows to what the activation role does for each."""

from collections.abc import Callable, Mapping, Sequence

from headrace.activation.dataflows import Dataflow, Dataflows
from headrace.activation.messages import MessageBuilder
from headrace.activation.retry import STANDARD_POLICY, RetryPolicy
from headrace.activation.triggers import PLATFORM_NAMESPACE, AudienceFacts, MappedAudience
from headrace.audience.service import Audiences
from headrace.catalog.sandboxes import Sandboxes
from headrace.destinations.base import Context, StreamDestination
from headrace.identity.namespaces import Namespaces
from headrace.model import Sandbox
from headrace.roles.activation import FlowPlan

_PERSISTENT = RetryPolicy(is_persistent=True)


class ActivationPlans:
    """Makes the plans of all sandboxes."""

    def __init__(
        self,
        sandboxes: Sandboxes,
        dataflows: Dataflows,
        audiences: Audiences,
        namespaces: Namespaces,
        context_of: Callable[[Sandbox], Context],
    ) -> None:
        """Keep what plans are made of.

        Args:
            sandboxes: All sandboxes.
            dataflows: The active dataflows.
            audiences: The audiences that messages name.
            namespaces: The codes under which messages show identities.
            context_of: Gives destinations what the server has for them.
        """
        self._sandboxes = sandboxes
        self._dataflows = dataflows
        self._audiences = audiences
        self._namespaces = namespaces
        self._context_of = context_of

    def __call__(self) -> Sequence[FlowPlan]:
        """Return one plan for each active streaming dataflow."""
        return [plan for sandbox in self._sandboxes.all() for plan in self._plans(sandbox)]

    def _plans(self, sandbox: Sandbox) -> list[FlowPlan]:
        flows = [flow for flow in self._dataflows.active(sandbox) if flow.kind == "stream" and flow.content == "audience"]
        if not flows:
            return []
        facts = {
            item.number: AudienceFacts(
                item.number,
                item.id,
                item.definition.namespace if item.is_external else PLATFORM_NAMESPACE,
                item.merge_policy_id,
                item.name,
                item.created_at,
                item.updated_at,
            )
            for item in self._audiences.active(sandbox)
        }
        codes = {item.id: item.code for item in self._namespaces.all(sandbox)}
        return [self._plan(flow, facts, codes) for flow in flows]

    def _plan(self, flow: Dataflow, facts: Mapping[int, AudienceFacts], codes: Mapping[int, str]) -> FlowPlan:
        builder = MessageBuilder(
            flow.id,
            sandbox=flow.sandbox.number,
            mapped=[MappedAudience(item.number, item.mapped_at_ms, item.mapping_updated_at_ms) for item in flow.audiences],
            attributes=[item.target for item in flow.attributes if not item.is_identity],
            audiences=facts,
            namespaces=codes,
            triggers=flow.target.export_triggers,
            includes_names=flow.target.include_segment_names,
            includes_timestamps=flow.target.include_segment_timestamps,
        )
        policy = _PERSISTENT if flow.target.retry_policy == "persistent" else STANDARD_POLICY

        def opened() -> StreamDestination:
            destination: StreamDestination = flow.open(self._context_of(flow.sandbox))  # type: ignore[assignment]
            return destination

        return FlowPlan(builder, flow.connection_key, opened, policy, subject=flow)
