"""The activation role in a process of its own, for tests that kill it; arguments are a folder and the endpoint's URL."""

import signal
import sys
import time
from pathlib import Path

from headrace.activation.delivery_store import DeliveryStore
from headrace.activation.messages import MessageBuilder
from headrace.activation.triggers import AudienceFacts, MappedAudience
from headrace.clock import SystemClock
from headrace.destinations.base import Context, NoAuth
from headrace.destinations.http_api import HttpApi, HttpApiTarget
from headrace.roles.activation import Activation, FlowPlan
from headrace.storage.log.lmdb import LmdbLog

FLOW = "5e0fb6e1-1f0c-4c0e-9a7f-6a0c1f2b3d4e"
_is_stopping = False


def _stop(*_: object) -> None:
    global _is_stopping
    _is_stopping = True


def main(folder: Path, url: str) -> None:
    """Deliver until told to stop."""
    signal.signal(signal.SIGTERM, _stop)
    clock = SystemClock()
    builder = MessageBuilder(
        FLOW,
        sandbox=1,
        mapped=[MappedAudience(1)],
        attributes=["n"],
        audiences={1: AudienceFacts(1, "aud-1", "ups", "mp-1")},
        namespaces={6: "Email"},
    )
    context = Context(clock=clock, sandbox_name="prod", landing_zone=folder, allow_private_destinations=True)
    plan = FlowPlan(builder, "", lambda: HttpApi(auth=NoAuth(), target=HttpApiTarget(http_endpoint=url), context=context))
    topics = LmdbLog(folder / "log", folder / "bells")
    store = DeliveryStore(folder)
    role = Activation(topics=topics, store=store, clock=clock, plans=lambda: [plan], revision=lambda: 1)
    while not _is_stopping:
        if not role.step():
            time.sleep(0.01)
    role.close()
    store.close()
    topics.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
