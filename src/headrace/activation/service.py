"""Flow Service as a whole: what its routes call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from headrace.activation.connection_checks import Datasets
from headrace.activation.connections import Connections
from headrace.activation.credentials import SecretBox
from headrace.activation.dataflows import Dataflows
from headrace.activation.exports import Exports
from headrace.activation.flows import Flows
from headrace.activation.mapping import ExpressionCheck, NamespaceCodes, Schemas
from headrace.activation.mapping_sets import MappingSets
from headrace.activation.runs import Runs
from headrace.activation.selectors import AudienceLookup
from headrace.activation.source_flows import StoredSourceFlows
from headrace.clock import Clock
from headrace.destinations.base import Context
from headrace.ingest.mapping.expression import compile_expression
from headrace.ingest.mapping.functions import functions_of
from headrace.model import Sandbox
from headrace.storage.control import ControlStore


@dataclass(frozen=True)
class FlowService:
    """The parts of Flow Service.

    Attributes:
        connections: Base, source and target connections.
        flows: Dataflows as their owners see them.
        dataflows: Dataflows as the other stages read them.
        runs: Flow runs.
        mapping_sets: Mapping sets and their schemas.
        exports: Exports on demand.
        sources: Dataflows from sources, and their runs.
    """

    connections: Connections
    flows: Flows
    dataflows: Dataflows
    runs: Runs
    mapping_sets: MappingSets
    exports: Exports
    sources: StoredSourceFlows

    @classmethod
    def over(
        cls,
        control: ControlStore,
        clock: Clock,
        *,
        secrets: SecretBox,
        schemas: Schemas,
        namespaces: NamespaceCodes,
        audiences: AudienceLookup,
        datasets: Datasets,
        context_of: Callable[[Sandbox], Context],
        sandboxes: Callable[[], Sequence[Sandbox]] = tuple,
        check_expression: ExpressionCheck | None = None,
    ) -> Self:
        """Return the service over its stores.

        Args:
            control: Where everything is stored.
            clock: Stamps it.
            secrets: Encrypts credentials.
            schemas: The union schemas.
            namespaces: The identity namespaces.
            audiences: The audiences.
            datasets: The catalog.
            context_of: Gives destinations what the server has for them.
            sandboxes: Gives all sandboxes, for who runs the dataflows from sources.
            check_expression: Refuses a text that is no Data Prep expression; by default the language itself does.
        """
        check = check_expression or _language(clock)
        dataflows = Dataflows(
            control,
            clock,
            schemas=schemas,
            namespaces=namespaces,
            audiences=audiences,
            secrets=secrets,
            check_expression=check,
        )
        runs = Runs(control, clock)
        connections = Connections(control, clock, secrets=secrets, datasets=datasets, context_of=context_of)
        return cls(
            connections=connections,
            flows=Flows(
                control,
                clock,
                schemas=schemas,
                namespaces=namespaces,
                audiences=audiences,
                check_expression=check,
            ),
            dataflows=dataflows,
            runs=runs,
            mapping_sets=MappingSets(control, clock),
            exports=Exports(clock, dataflows, runs),
            sources=StoredSourceFlows(control, connections, runs, sandboxes=sandboxes),
        )


def _language(clock: Clock) -> ExpressionCheck:
    functions = functions_of(clock)
    return lambda text: compile_expression(text, functions)
