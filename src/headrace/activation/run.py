"""What a flow run is."""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

Status = Literal["waiting", "processing", "success", "failed"]
Trigger = Literal["scheduled", "after_evaluation", "on_demand", "streaming"]
RunKind = Literal["activation", "ingestion"]

HOUR_MS = 3_600_000
CLIENT = "headrace_activation"
SKIPPED = "ACTIVATION_BATCH-0000-SKIP"
FAILED = "ACTIVATION_BATCH-0000-FAILED"


class Issue(msgspec.Struct, frozen=True):
    """Records that were skipped or failed for one reason.

    Attributes:
        code: Which of the activation codes it is.
        message: Why, for people.
        count: How many records.
    """

    code: str
    message: str
    count: int = 1

    def wire(self) -> dict[str, Any]:
        """Return the issue as a run shows it."""
        return {"code": self.code, "message": self.message, "count": self.count}


class RunMetrics(msgspec.Struct, frozen=True):
    """What a run did.

    Attributes:
        input_records: Profiles received.
        created_records: Profiles or identities delivered for the first time.
        updated_records: Those delivered again.
        skipped_records: Left out: a mandatory field is missing, or consent.
        failed_records: Not delivered.
        output_records: Rows or messages delivered.
        input_bytes: Bytes read.
        output_bytes: Bytes delivered.
        input_files: Files made.
        output_files: Files delivered.
        skipped: Reasons of skipped records.
        failed: Reasons of failed records.
        errors: Why the run as a whole failed.
        files: Names of the delivered files.
    """

    input_records: int = 0
    created_records: int = 0
    updated_records: int = 0
    skipped_records: int = 0
    failed_records: int = 0
    output_records: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    input_files: int = 0
    output_files: int = 0
    skipped: tuple[Issue, ...] = ()
    failed: tuple[Issue, ...] = ()
    errors: tuple[Issue, ...] = ()
    files: tuple[str, ...] = ()

    def plus(self, other: "RunMetrics") -> "RunMetrics":
        """Return the sum of both; issues with the same code and message are counted together."""
        values: dict[str, Any] = {}
        for name in self.__struct_fields__:
            mine, more = getattr(self, name), getattr(other, name)
            values[name] = mine + more
        for name in ("skipped", "failed", "errors"):
            values[name] = _joined(values[name])
        return RunMetrics(**values)


class RunState(msgspec.Struct, frozen=True):
    """The part of a run that is stored as a document.

    Attributes:
        trigger: What started it.
        flow_spec_id: Flow spec of the dataflow.
        source_connection_id: Source of the dataflow.
        target_connection_id: Target of the dataflow.
        scheduled_at_ms: When it was due (epoch ms).
        started_at_ms: When work began (epoch ms); 0 before.
        completed_at_ms: When it ended (epoch ms); 0 before.
        user_id: Who asked for it; empty for the server itself.
        etag: Version, double quotes included.
        metrics: What it did.
        kind: Whether it sends something out, or takes files in.
        batch_id: The batch that a run of a source made; empty for others.
        repeats: The run whose files this one takes again; empty for others.
    """

    trigger: Trigger
    flow_spec_id: str
    source_connection_id: str
    target_connection_id: str
    scheduled_at_ms: int
    started_at_ms: int = 0
    completed_at_ms: int = 0
    user_id: str = ""
    etag: str = ""
    metrics: RunMetrics = RunMetrics()
    kind: RunKind = "activation"
    batch_id: str = ""
    repeats: str = ""


class Run(msgspec.Struct, frozen=True):
    """One run.

    Attributes:
        id: UUID.
        sandbox: Number of the sandbox.
        flow_id: The dataflow.
        audience_id: The audience it exports; empty for datasets and streaming.
        status: Where it stands.
        cutoff_ms: Changes up to here are in the export (epoch ms); 0 for runs that do not move the increments' window.
        state: Everything else.
        created_at_ms: Epoch ms.
        updated_at_ms: Epoch ms.
    """

    id: str
    sandbox: int
    flow_id: str
    audience_id: str
    status: Status
    cutoff_ms: int
    state: RunState
    created_at_ms: int
    updated_at_ms: int

    @property
    def is_active(self) -> bool:
        """Whether it waits or works."""
        return self.status in ("waiting", "processing")


def _joined(issues: Iterable[Issue]) -> tuple[Issue, ...]:
    counts: dict[tuple[str, str], int] = {}
    for issue in issues:
        key = (issue.code, issue.message)
        counts[key] = counts.get(key, 0) + issue.count
    return tuple(Issue(code, message, count) for (code, message), count in counts.items())
