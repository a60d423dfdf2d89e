"""Events in, messages out: how many a second, and how long one takes.

The job of one event: it comes in by HTTP, is validated, synced, stitched to its person by two identities, evaluated against the
streaming audiences that it can affect, and turns the person's switch (see `benchmarks.workload`), so that exactly one message
goes to the receiver. *Sustained* is events divided by the time from the first request to the receipt of the last message; load
generator and receiver run on the same cores.

Guards against the complaint that a platform acknowledges quickly and delivers much later.
"""

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks import machine
from benchmarks.load import Load, Sent, send
from benchmarks.sink import Sink

BATCH = 100
RATE = 1000.0
_PATIENCE_SECONDS = 300.0


class Subject(Protocol):
    """What is measured."""

    @property
    def name(self) -> str:
        """What the figures are called."""
        ...

    @property
    def tenant(self) -> str:
        """Name under which the tenant's own fields stand."""
        ...

    @property
    def envelope(self) -> str:
        """The message around an event, with ``@ENTITY@`` in its place."""
        ...

    def inlet_url(self, *, is_batch: bool) -> str:
        """Return where events go."""
        ...

    def pids(self) -> dict[str, int]:
        """Return its processes by name."""
        ...

    def wait_until_settled(self, timeout_seconds: float) -> None:
        """Wait until everything is applied, delivered and stored."""
        ...


@dataclass
class Course:
    """The events that one subject has been sent so far: the next ones continue each person's switch.

    Attributes:
        subject: What is measured.
        sink: Where its messages go.
        folder: Scratch space.
        persons: How many people the events are of.
        base_ms: Time of each person's first event.
        sent: Events sent; a multiple of ``persons``.
    """

    subject: Subject
    sink: Sink
    folder: Path
    persons: int
    base_ms: int
    sent: int = 0

    def run(self, events: int, *, batch: int = 1, rate: float = 0.0, connections: int = 64) -> dict[str, Any]:
        """Send events and wait for their messages; returns figures."""
        events = max(1, events // self.persons) * self.persons
        load = Load(
            url=self.subject.inlet_url(is_batch=batch > 1),
            envelope=self.subject.envelope,
            tenant=self.subject.tenant,
            events=events,
            persons=self.persons,
            first=self.sent,
            base_ms=self.base_ms,
            batch=batch,
            connections=connections,
            rate=rate,
        )
        self.sent += events
        self.sink.reset()
        pids = {**self.subject.pids(), "receiver": self.sink.pid}
        before = machine.cpu_of(pids)
        sent = send(load, self.folder)
        if sent.failures:
            raise RuntimeError(f"{self.subject.name}: {sent.failures} requests failed; the first: {sent.first_failure}")
        last_ns = self._wait_for(events)
        used = {name: after - before[name] for name, after in machine.cpu_of(pids).items()}
        self.subject.wait_until_settled(_PATIENCE_SECONDS)
        settled_ns = time.monotonic_ns()
        seconds = (last_ns - sent.due_ns[0]) / 1e9
        return {
            "events": events,
            "events_per_second": round(events / seconds),
            "settled_after_seconds": round((settled_ns - last_ns) / 1e9, 2),
            "answer_ms": _percentiles([done - due for due, done in zip(sent.due_ns, sent.answered_ns, strict=True)]),
            "receipt_ms": _percentiles(self._latencies(sent, batch)),
            "cpu_us_per_event": {name: round(value / events * 1e6, 1) for name, value in used.items()},
        }

    def _wait_for(self, events: int) -> int:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            count, last_ns = self.sink.count()
            if count >= events:
                assert count == events, f"{count} messages of {events} events"
                return last_ns
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.subject.name}: {count} of {events} messages came in time.")
            time.sleep(0.05)

    def _latencies(self, sent: Sent, batch: int) -> list[int]:
        came: dict[int, int] = defaultdict(int)
        found = []
        for person, received_ns in self.sink.receipts():
            position = came[person] * self.persons + person
            came[person] += 1
            found.append(received_ns - sent.due_ns[position // batch])
        return found


def _percentiles(values: list[int]) -> dict[str, float]:
    ordered = sorted(values)
    shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6, 2) for name, share in shares.items()}
