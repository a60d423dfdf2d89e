"""Puts the activation role together."""

from headrace.activation.delivery_store import DeliveryStore
from headrace.activation.streaming_runs import StreamingRuns
from headrace.app.home import Home
from headrace.roles.activation import Activation
from headrace.roles.activation_plans import ActivationPlans

BELLS = ("changes", "control", "clock")


def make(home: Home) -> Activation:
    """Return the activation role over the stores of a home folder."""
    plans = ActivationPlans(
        home.sandboxes, home.flow_service.dataflows, home.audiences, home.namespaces, home.destination_context
    )
    return Activation(
        topics=home.log,
        store=DeliveryStore(home.path / "activation"),
        clock=home.clock,
        plans=plans,
        revision=home.control.revision,
        runs=StreamingRuns(home.flow_service.runs, home.clock),
    )
