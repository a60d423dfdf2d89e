"""The whole API in process, and a client that speaks to it as the public clients do."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.api.build import build_api
from headrace.api.services import Services
from headrace.catalog.batches import Batches
from headrace.catalog.datasets import Catalog
from headrace.catalog.sandboxes import Sandboxes
from headrace.clock import ManualClock
from headrace.config import Settings
from headrace.governance.accounts import Accounts, credentials_of
from headrace.governance.secrets import SecretBox
from headrace.identity.clusters import Graph
from headrace.identity.namespaces import Namespaces
from headrace.profile.policies import MergePolicies
from headrace.schemas import SchemaRegistry
from headrace.storage.control import ControlStore
from tests.asgi import AsgiTransport


class Absent:
    """Stands for a service that a test does not need."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        raise AssertionError(f"this test has no service '{self._name}', yet something asks for its '{attribute}'")


class FakeOperations:
    """Answers as a server whose roles all run."""

    is_ready = True
    fault = ""

    def health(self) -> dict[str, Any]:
        status = "degraded" if self.fault else "ready" if self.is_ready else "starting"
        roles = {"gateway": {"pid": 7, **({"fault": self.fault} if self.fault else {})}}
        return {"status": status, "is_ready": self.is_ready, "roles": roles}

    def progress(self) -> dict[str, Any]:
        return {"settled": True}

    def move_clock(self, now_ms: int) -> dict[str, Any]:
        return {"now": now_ms}


class FakeGraphs:
    """Finds the graphs that a test has put there."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, int, str], Graph] = {}

    def graph(self, sandbox_number: int, namespace_id: int, value: str) -> Graph | None:
        return self.known.get((sandbox_number, namespace_id, value))


@pytest.fixture
def operations() -> FakeOperations:
    return FakeOperations()


@pytest.fixture
def services(home: Path, control: ControlStore, clock: ManualClock, operations: FakeOperations) -> Services:
    accounts = Accounts(control, home, clock)
    namespaces = Namespaces(control, clock)
    schemas = SchemaRegistry(control, clock, accounts.organization().tenant_id)
    catalog = Catalog(control, clock, schemas)
    schemas.connect(is_schema_in_use=catalog.is_schema_in_use, namespace_of=namespaces.code_of)
    given: dict[str, Any] = {
        "settings": Settings(home=home),
        "clock": clock,
        "control": control,
        "secrets": SecretBox.of_home(home),
        "accounts": accounts,
        "sandboxes": Sandboxes(control, clock),
        "schemas": schemas,
        "catalog": catalog,
        "batches": Batches(control, clock),
        "namespaces": namespaces,
        "graphs": FakeGraphs(),
        "policies": MergePolicies(control, clock, catalog),
        "operations": operations,
    }
    return Services(**{item.name: given.get(item.name, Absent(item.name)) for item in fields(Services)})


@pytest.fixture
def anonymous(services: Services) -> Iterator[httpx.Client]:
    """A client without any header of the platform."""
    with httpx.Client(transport=AsgiTransport(build_api(services)), base_url="http://127.0.0.1:8900") as client:
        yield client


@pytest.fixture
def headers(services: Services, home: Path) -> dict[str, str]:
    """The headers of an authenticated call."""
    credentials = credentials_of(home)
    return {
        "Authorization": f"Bearer {services.accounts.token_of(credentials['client_id']).value}",
        "x-api-key": credentials["client_id"],
        "x-gw-ims-org-id": credentials["organization_id"],
    }


@pytest.fixture
def client(anonymous: httpx.Client, headers: dict[str, str]) -> httpx.Client:
    """An authenticated client in the default sandbox."""
    anonymous.headers.update(headers)
    return anonymous
