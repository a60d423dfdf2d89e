"""Tells a story to a server that may die at any moment: what is not answered is sent again, until it is answered."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from headrace.client import ApiError, Client
from headrace.clock import iso_millis
from headrace.testing.server import Server
from tests.crash.stage import Stage
from tests.crash.story import Item, Phase, Story

_PATIENCE_SECONDS = 120.0
_PAUSE_SECONDS = 0.02
CLOCK_WEIGHT = 40  # how many records a move of the clock counts for in the progress


class Progress:
    """How far the story is; others can wait for a point in it."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = threading.Condition()

    def advance(self, steps: int = 1) -> None:
        """Go on."""
        with self._changed:
            self.count += steps
            self._changed.notify_all()

    def wait_for(self, count: int, is_over: threading.Event) -> bool:
        """Wait until the story has come so far; False when it is over before."""
        with self._changed:
            while self.count < count:
                if is_over.is_set():
                    return False
                self._changed.wait(0.1)
        return True


class Driver:
    """One telling."""

    def __init__(self, server: Server, stage: Stage, *, senders: int = 4) -> None:
        self.server = server
        self.stage = stage
        self.progress = Progress()
        self.answers: Counter[str] = Counter()
        """How attempts ended, by status or kind of fault."""
        self._senders = senders
        self._local = threading.local()
        self._clients: list[Client] = []
        self._organization = ""

    def close(self) -> None:
        """Close the clients of all threads."""
        for client in self._clients:
            client.close()

    @staticmethod
    def length_of(story: Story) -> int:
        """Return how far the progress will come."""
        phases = len(story.phases)
        return sum(item.copies for item in story.items()) + (2 * phases + 1) * CLOCK_WEIGHT

    def tell(self, story: Story) -> None:
        """Send everything, phase by phase, and let the time of the story pass."""
        self._organization = self.client._credentials.organization_id
        with ThreadPoolExecutor(self._senders) as pool:
            for phase in story.phases:
                self.move_clock(phase.at_ms)
                loading = pool.submit(self._load, phase)
                lots: list[list[list[Item]]] = [[] for _ in range(self._senders)]
                for family, items in phase.items.items():
                    lots[family % self._senders].append(items)
                for sent in [pool.submit(self._send_all, lot) for lot in lots]:
                    sent.result()
                loading.result()
        self.move_clock(story.end_ms)
        self.until_settled()

    @property
    def client(self) -> Client:
        """The calling thread's own client."""
        if not hasattr(self._local, "client"):
            self._local.client = self.server.client(timeout_seconds=30.0)
            self._clients.append(self._local.client)
        found: Client = self._local.client
        return found

    # --- streaming --------------------------------------------------------------------------------------------------------

    def _send_all(self, families: list[list[Item]]) -> None:
        with httpx.Client(base_url=self.server.url, timeout=30.0) as http:
            for items in families:
                for item in items:
                    content = self.message(item)
                    for _ in range(item.copies):
                        self.post(http, content)
                        self.progress.advance()

    def message(self, item: Item) -> bytes:
        """Return the body of the POST that streams a record."""
        reference = {
            "id": self.stage.schemas[item.is_event],
            "contentType": "application/vnd.adobe.xed-full+json;version=1",
        }
        header = {
            "schemaRef": reference,
            "imsOrgId": self._organization,
            "datasetId": self.stage.datasets[item.is_event],
            "source": {"name": "crash"},
        }
        body = {"xdmMeta": {"schemaRef": reference}, "xdmEntity": self.stage.entity(item)}
        return json.dumps({"header": header, "body": body}).encode()

    def post(self, http: httpx.Client, content: bytes) -> None:
        """Send one message until it is acknowledged."""

        def attempt() -> bool:
            reply = http.post(self.stage.inlet_path, content=content, headers={"Content-Type": "application/json"})
            self.answers[str(reply.status_code)] += 1
            if reply.status_code not in (200, 503):
                raise AssertionError(f"The inlet answered {reply.status_code}: {reply.text}")
            return reply.status_code == 200

        self.persist(attempt)

    # --- files ------------------------------------------------------------------------------------------------------------

    def _load(self, phase: Phase) -> None:
        if not phase.batch:
            return
        lines = b"".join(json.dumps(self.stage.under_tenant(event)).encode() + b"\n" for event in phase.batch)
        dataset = self.stage.datasets[1]
        body = {"datasetId": dataset, "inputFormat": {"format": "json"}}
        batch_id = self.call("POST", "/data/foundation/import/batches", body)["id"]
        path = f"/data/foundation/import/batches/{batch_id}"
        octets = {"Content-Type": "application/octet-stream"}
        self.call("PUT", f"{path}/datasets/{dataset}/files/events.json", content=lines, headers=octets)
        self.persist(lambda: self._completed(path, batch_id))
        self.persist(lambda: self._status(batch_id) == "success")

    def _completed(self, path: str, batch_id: str) -> bool:
        if self._status(batch_id) == "loading":
            self.client.call("POST", path, query={"action": "COMPLETE"})
        return True

    def _status(self, batch_id: str) -> str:
        status = str(self.client.batch(batch_id)["status"])
        assert status not in ("failed", "failure", "aborted"), f"Batch {batch_id} is {status}."
        return status

    # --- the server -------------------------------------------------------------------------------------------------------

    def move_clock(self, now_ms: int) -> None:
        """Move the clock when everything that was sent has gone all the way but to the lake."""
        self.progress.advance(CLOCK_WEIGHT)
        self.call("POST", "/headrace/clock", {"now": iso_millis(now_ms)})
        self.progress.advance(CLOCK_WEIGHT)

    def until_settled(self) -> dict[str, Any]:
        """Wait until everything has gone all the way."""
        self.persist(lambda: bool(self.client.progress()["settled"]))
        progress: dict[str, Any] = self.call("GET", "/headrace/progress")
        return progress

    def call(self, method: str, path: str, *args: Any, **more: Any) -> Any:
        """Make a call of the API until it is answered."""
        found: Any = None

        def attempt() -> bool:
            nonlocal found
            found = self.client.call(method, path, *args, **more)
            return True

        self.persist(attempt)
        return found

    def persist(self, attempt: Callable[[], bool]) -> None:
        """Try until it works.

        Raises:
            AssertionError: It does not for two minutes, or the server refuses for good.
        """
        begin = time.monotonic()
        last = ""
        while time.monotonic() - begin < _PATIENCE_SECONDS:
            try:
                if attempt():
                    return
                last = "not yet"
            except httpx.TransportError as error:
                self.answers[type(error).__name__] += 1
                last = repr(error)
            except ApiError as error:
                self.answers[str(error.status)] += 1
                if error.status < 500:
                    raise AssertionError(str(error)) from error
                last = str(error)
            time.sleep(_PAUSE_SECONDS)
        statuses = {
            role: self.server.status_of(role) for role in ("gateway", "pipeline", "lake_writer", "scheduler", "activation")
        }
        raise AssertionError(f"No success for two minutes; last: {last}\n{statuses}\n{self.server.last_words()}")
