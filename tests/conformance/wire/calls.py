"""Where the calls of the services register: one function for an operation, given the world, returning the answer."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import httpx

from tests.conformance.wire.operations import Operation, Service
from tests.conformance.wire.world import WireWorld

Call = Callable[[WireWorld], httpx.Response]

_CALLS: dict[tuple[str, str], Call] = {}


def covers(service: Service, key: str) -> Callable[[Call], Call]:
    """Register a function as the call of an operation, ``GET /batches/{id}``."""

    def register(call: Call) -> Call:
        if (service.name, key) in _CALLS:
            raise ValueError(f"two calls cover {service.name}: {key}")
        _CALLS[service.name, key] = call
        return call

    return register


def call_of(operation: Operation) -> Call | None:
    """Return the call of an operation, None when nobody has written one."""
    return _CALLS.get((operation.service.name, operation.key))


def covered() -> set[tuple[str, str]]:
    """Return what has a call: name of the service, method and path."""
    return set(_CALLS)


def load() -> None:
    """Import the modules of calls, so that all have registered."""
    for path in Path(__file__).parent.glob("call_*.py"):
        import_module(f"{__package__}.{path.stem}")
