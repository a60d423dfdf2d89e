"""The whole server in this process, without ports: every stage over a real home folder, and the roles stepped by hand."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace.activation.run import RunMetrics
from headrace.api.build import build_api
from headrace.api.inlet import InletApp
from headrace.app import lake_writer, scheduler
from headrace.app.gateway import services_of
from headrace.app.home import Home
from headrace.client import Credentials
from headrace.config import Settings
from headrace.ingest.commit import GroupCommit
from headrace.ingest.counting import InletCounter
from headrace.ingest.inlets import Inlets
from headrace.ingest.streaming import StreamingIntake
from headrace.ingest.targets import Targets
from headrace.testing.server import Server
from tests.asgi import AsgiTransport
from tests.conftest import NOW
from tests.integration.world import IMPORT, Api, World, checked

ORIGIN = "http://127.0.0.1:8900"
SANDBOX = "prod"


class Backstage:
    """The stores of a home folder, the gateway's applications, and the roles that calls depend on."""

    url = ORIGIN

    def __init__(self, folder: Path) -> None:
        self.home = folder
        self.stage = Home(Settings(home=folder, clock=f"manual:{NOW}", allow_private_destinations=True))
        self.stage.prepare()
        self._commit: GroupCommit | None = None
        self._writer = lake_writer.make(self.stage)
        self._loader = scheduler.make_loader(self.stage)
        self._api = build_api(services_of(self.stage))
        self._inlet = self._inlet_app()

    def _inlet_app(self) -> InletApp:
        home = self.stage
        records, quarantine = home.log.topic("records"), home.log.topic("quarantine")
        self._commit = GroupCommit(records, quarantine, max_linger_ms=2)
        intake = StreamingIntake(Targets(home.catalog, home.schemas, home.mapping_sets), self._commit, home.clock)
        inlets = Inlets(home.control, partial(_sandbox, home))
        return InletApp(inlets, intake, InletCounter(records, quarantine), home.clock, lambda _token: True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request as the gateway's port does: inlets first, all else by the wire API."""
        app = self._inlet if "/collection/" in scope["path"] else self._api
        await app(scope, receive, send)

    def settle(self) -> None:
        """Load completed batches, and bring every record into the lake."""
        while self._loader.step():
            pass
        while self._writer.step():
            pass

    def close(self) -> None:
        for part in (self._inlet, self._loader, self._writer, self.stage.log, self.stage.control):
            with suppress(AttributeError):
                part.close()


def _sandbox(home: Home, number: int) -> Any:
    return home.sandboxes.by_number(number)


class _OneLoopTransport(AsgiTransport):
    """Answers all requests in one event loop, as what waits for a group commit needs."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._runner = asyncio.Runner()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._runner.run(self._answer(request))

    def close(self) -> None:
        self._runner.close()


class InProcessApi(Api):
    """Calls the applications directly."""

    def __init__(self, backstage: Backstage) -> None:
        self.server = cast("Server", backstage)
        self.credentials = Credentials.of_home(backstage.home)
        self.http = httpx.Client(transport=_OneLoopTransport(backstage), base_url=ORIGIN)
        self.token = backstage.stage.accounts.token_of(self.credentials.client_id).value


@dataclass
class WireWorld(World):
    """A sandbox with schemas, datasets, an inlet, and a batch that came in; made once, calls add what they change."""

    backstage: Backstage | None = None
    _loaded: str = ""

    def open_batch(self, *rows: Mapping[str, Any]) -> str:
        """Open a batch of events and upload a file of rows, if there are any; returns the batch's id."""
        body = {"datasetId": self.events, "inputFormat": {"format": "json"}, "enableErrorDiagnostics": True}
        batch_id = str(self.post(f"{IMPORT}/batches", body)["id"])
        if rows:
            content = "".join(json.dumps(row) + "\n" for row in rows).encode()
            headers = {"Content-Type": "application/octet-stream"}
            checked(self.call("PUT", file_path(batch_id, self.events, "rows.json"), content=content, headers=headers))
        return batch_id

    def ingested(self, *rows: Mapping[str, Any]) -> str:
        """Bring rows in as one batch of events and return its id."""
        batch_id = self.open_batch(*rows)
        checked(self.call("POST", f"{IMPORT}/batches/{batch_id}", params={"action": "COMPLETE"}))
        self.bring_in()
        return batch_id

    def loaded_batch(self) -> str:
        """Return a batch of one event that is in the lake; the same at every call."""
        self._loaded = self._loaded or self.ingested(event_row("loaded"))
        return self._loaded

    def fail_run(self, run_id: str) -> None:
        """End a run as the exporter does when the target cannot be written."""
        assert self.backstage is not None
        self.backstage.stage.flow_service.runs.finish(run_id, status="failed", metrics=RunMetrics())

    def bring_in(self) -> None:
        """Load what is completed into the lake."""
        assert self.backstage is not None
        self.backstage.settle()


def event_row(event_id: str) -> dict[str, Any]:
    """Return an event as a file holds it."""
    return {"_id": event_id, "timestamp": "2027-02-01T09:00:00Z", "eventType": "visit"}


def file_path(batch_id: str, dataset_id: str, name: str) -> str:
    """Return the path of a file of a batch."""
    return f"{IMPORT}/batches/{batch_id}/datasets/{dataset_id}/files/{name}"


def open_world(folder: Path) -> WireWorld:
    """Make a home folder, open it, and fill its default sandbox."""
    backstage = Backstage(folder)
    world = WireWorld(InProcessApi(backstage), SANDBOX, backstage=backstage)
    world.fill()
    return world
