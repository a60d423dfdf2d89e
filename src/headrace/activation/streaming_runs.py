"""Runs of streaming dataflows: what a dataflow did in each hour, written from the delivery loop's counters."""

import logging
import time
from collections.abc import Mapping

from headrace.activation.messages import NO_CONSENT, NO_IDENTITY
from headrace.activation.runs import Issue, RunMetrics, Runs, RunSubject
from headrace.clock import Clock
from headrace.errors import Transient
from headrace.telemetry import log

_PATIENCE_SECONDS = 1.0  # real time between two writes, so that counting costs less than delivering

_MESSAGES = {
    NO_IDENTITY: "The profile has no identity that can be exported.",
    NO_CONSENT: "Consent was not given.",
    "ACTIVATION_STREAM-0001-AUTH": "The endpoint refused the credentials.",
    "ACTIVATION_STREAM-0002-HTTP": "The endpoint did not take the message.",
    "ACTIVATION_STREAM-0003-TIMEOUT": "The endpoint did not answer in time.",
    "ACTIVATION_STREAM-0004-THROTTLED": "The endpoint took too many messages.",
}

Counters = Mapping[str, int]


class StreamingRuns:
    """Adds to the run of the present hour what happened since the last time."""

    def __init__(self, runs: Runs, clock: Clock) -> None:
        self._runs = runs
        self._clock = clock
        self._reported: dict[str, dict[str, int]] = {}
        self._reported_at = 0.0

    def begin(self, flow_id: str, counters: Counters) -> None:
        """Take these counters of a dataflow as reported: they were, before the process started."""
        self._reported.setdefault(flow_id, dict(counters))

    def report(self, subjects: Mapping[str, RunSubject], counters: Mapping[str, Counters], *, is_last: bool = False) -> None:
        """Write the differences, unless the last write was a moment ago.

        Args:
            subjects: The dataflows by id.
            counters: Their counters since they were made.
            is_last: Write in any case.
        """
        now = time.monotonic()
        if now - self._reported_at < _PATIENCE_SECONDS and not self._clock.is_manual and not is_last:
            return
        self._reported_at = now
        for flow_id, present in counters.items():
            subject = subjects.get(flow_id)
            if subject is None:
                continue
            before = self._reported.get(flow_id, {})
            grown = {name: more for name, value in present.items() if (more := value - before.get(name, 0)) > 0}
            if grown and self._add(subject, grown):
                self._reported[flow_id] = dict(present)

    def _add(self, subject: RunSubject, grown: Counters) -> bool:
        try:
            self._runs.add(subject, self._clock.now_ms(), _metrics(grown))
        except Transient as fault:  # counted by the next report
            log("activation", logging.WARNING, "a run could not be written", flow_id=subject.id, reason=str(fault))
            return False
        return True


def _metrics(grown: Counters) -> RunMetrics:
    delivered = grown.get("delivered", 0)
    return RunMetrics(
        input_records=grown.get("received", 0),
        created_records=delivered,
        output_records=delivered,
        skipped_records=grown.get("excluded", 0),
        failed_records=grown.get("failed", 0),
        output_bytes=grown.get("bytes", 0),
        skipped=_issues(grown, "excluded:"),
        failed=_issues(grown, "failed:"),
    )


def _issues(grown: Counters, prefix: str) -> tuple[Issue, ...]:
    found = [(name.removeprefix(prefix), count) for name, count in sorted(grown.items()) if name.startswith(prefix)]
    return tuple(Issue(code, _MESSAGES.get(code, "The message was not delivered."), count) for code, count in found)
