"""What the runs of sources need of the rest: their dataflows, and where runs are recorded."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec

from headrace.ingest.sources.kinds import Account
from headrace.ingest.sources.schedule import SourceSchedule
from headrace.ingest.sources.selection import FileSelection, SourceFormat
from headrace.model import Sandbox


class SourceFlow(msgspec.Struct, frozen=True):
    """An active dataflow from a source.

    Attributes:
        id: UUID.
        name: Its name.
        sandbox: Where it belongs.
        flow_spec_id: Its flow spec.
        source_connection_id: Where it reads.
        target_connection_id: Where it writes.
        dataset_id: The dataset that takes the records.
        account: How the source is reached.
        params: Parameters of the source connection.
        selection: The files that it takes.
        format: How they are read.
        schedule: When; None when it runs only on demand.
        batch: Members of the create body of its batches: error threshold, diagnostics, mapping set.
    """

    id: str
    name: str
    sandbox: Sandbox
    flow_spec_id: str
    source_connection_id: str
    target_connection_id: str
    dataset_id: str
    account: Account
    params: dict[str, Any]
    selection: FileSelection
    format: SourceFormat
    schedule: SourceSchedule | None
    batch: dict[str, Any]


class SourceRun(msgspec.Struct, frozen=True):
    """A run that is to begin, or that a crash interrupted.

    Attributes:
        id: UUID.
        flow: Its dataflow; None when that is no longer active.
        repeats: The run whose files it takes again; empty for others.
    """

    id: str
    flow: SourceFlow | None
    repeats: str = ""


class SourceResult(msgspec.Struct, frozen=True):
    """How a run ended.

    Attributes:
        status: ``success`` or ``failed``.
        batch_id: The batch that it made; empty without files.
        input_files: Files taken.
        input_bytes: Their size.
        files: Their paths.
        metrics: What the batch says of its records.
        errors: Why it failed, or what kept rows out: code, message, count.
    """

    status: Literal["success", "failed"]
    batch_id: str = ""
    input_files: int = 0
    input_bytes: int = 0
    files: tuple[str, ...] = ()
    metrics: dict[str, Any] = {}
    errors: tuple[tuple[str, str, int], ...] = ()


class SourceFlows(Protocol):
    """Gives dataflows, and keeps their runs."""

    def revision(self) -> int:
        """Return a number that changes whenever `active` could give something else."""
        ...

    def active(self) -> Sequence[SourceFlow]:
        """Return the active dataflows from sources of all sandboxes."""
        ...

    def interrupted(self) -> list[SourceRun]:
        """Return the runs that are marked as working."""
        ...

    def take_waiting(self) -> list[SourceRun]:
        """Return the runs that wait, now marked as working."""
        ...

    def start(self, flow: SourceFlow, scheduled_at_ms: int) -> str | None:
        """Make a working run of a dataflow and return its id; None when that run was made before or another one works."""
        ...

    def finish(self, run_id: str, result: SourceResult) -> None:
        """End a run."""
        ...
