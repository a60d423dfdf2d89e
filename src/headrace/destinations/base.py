"""The contract of a destination.

A destination is one class: settings, capabilities and limits as data, then `check` and either `deliver` (streams) or
`begin` (files). It does no queueing, no retries and no counting; `headrace.activation` does that for all of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

import msgspec

from headrace.clock import Clock
from headrace.destinations.errors import DestinationRefused
from headrace.destinations.reading import FileReader

Kind = Literal["stream", "file"]

STREAM_FLOW_SPEC_ID = "71471eba-b620-49e4-90fd-23f1fa0174d8"
"""Flow spec that all streaming profile exports share."""


class Message(msgspec.Struct, frozen=True):
    """One message for one destination.

    Attributes:
        id: UUID, the same on every attempt; receivers drop repetitions by it.
        flow_id: The dataflow.
        person_id: Whom it is about; messages of one person are delivered in order.
        body: The profile as a JSON object, UTF-8.
    """

    id: str
    flow_id: str
    person_id: bytes
    body: bytes


Batch = Sequence[Message]


class Delivered(msgspec.Struct, frozen=True):
    """The destination has the message."""


class Retry(msgspec.Struct, frozen=True):
    """The same message may succeed later.

    Attributes:
        reason: What happened, for people.
        code: Which of the activation codes counts it.
        after_seconds: What the destination asked for (``Retry-After``); None when it did not.
        status: HTTP status of the answer, 0 when there was none.
    """

    reason: str
    code: str = "ACTIVATION_STREAM-0002-HTTP"
    after_seconds: float | None = None
    status: int = 0


class Rejected(msgspec.Struct, frozen=True):
    """The same message never succeeds.

    Attributes:
        code: Which of the activation codes counts it.
        message: Why, for people.
        status: HTTP status of the answer, 0 when there was none.
    """

    code: str
    message: str
    status: int = 0


Outcome = Delivered | Retry | Rejected


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a destination can do.

    Attributes:
        keeps_order: Messages of one person arrive in the order they were delivered in.
        sends_exits: Whether leaving an audience is told too.
        exports_maps: Whether map-type fields may be mapped.
        exports_arrays: Whether arrays may be mapped.
        identities: ``all`` (the whole identity map) or ``one`` (one namespace a dataflow).
        encrypts: Whether files may be encrypted with a public key.
        full_frequencies: Schedules of full file exports.
        incremental_frequencies: Schedules of incremental file exports.
    """

    keeps_order: bool = True
    sends_exits: bool = True
    exports_maps: bool = True
    exports_arrays: bool = False
    identities: Literal["all", "one"] = "all"
    encrypts: bool = False
    full_frequencies: tuple[str, ...] = ()
    incremental_frequencies: tuple[str, ...] = ()


FILE_CAPABILITIES = Capabilities(
    exports_arrays=True,
    identities="one",
    encrypts=True,
    full_frequencies=("ONCE", "DAILY", "WEEKLY", "MONTHLY"),
    incremental_frequencies=("DAILY", "EVERY_3_HOURS", "EVERY_6_HOURS", "EVERY_8_HOURS", "EVERY_12_HOURS"),
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one call to the destination may hold, and how many at a time.

    Attributes:
        records: Most messages in one `StreamDestination.deliver`.
        bytes: Most bytes of bodies in one `StreamDestination.deliver`.
        concurrency: Calls under way at the same time for one dataflow.
        rows_per_file: Most rows in one file.
    """

    records: int = 1
    bytes: int = 5_000_000
    concurrency: int = 64
    rows_per_file: int = 5_000_000


@dataclass(frozen=True, kw_only=True)
class Context:
    """What every destination gets from the server.

    Attributes:
        clock: The server's time; waits and expiries are computed with it.
        sandbox_name: Sandbox of the dataflow.
        landing_zone: Folder that holds one Data Landing Zone per sandbox.
        allow_private_destinations: Whether loopback and private addresses may be reached.
        client_certificate: PEM file with the certificate and key to present to endpoints that ask for one.
        trusted_certificates: PEM file with the authorities to trust instead of the system's.
    """

    clock: Clock
    sandbox_name: str
    landing_zone: Path
    allow_private_destinations: bool = False
    client_certificate: Path | None = None
    trusted_certificates: Path | None = None


@dataclass(frozen=True, kw_only=True)
class NoAuth:
    """No credentials."""

    spec_type: ClassVar[str] = "None"


class Destination(ABC):
    """What streams and files have in common.

    Class attributes are data that forms, connection specs and reference pages are made from:

    Attributes:
        name: Noun after the protocol or service, as in the module's name.
        title: Name shown to people; also the connection spec's ``name``.
        connection_spec_id: UUID of the connection spec.
        flow_spec_id: UUID of the flow spec of audience exports.
        dataset_flow_spec_id: UUID of the flow spec of dataset exports; empty when there are none.
        category: Category in the catalogue.
        kind: ``stream`` or ``file``.
        auth_specs: Settings class of the credentials by the scheme's name; empty when the server itself owns them. Each
            class has ``spec_type``, the scheme's type in the connection spec.
        target_settings: Settings class of the target connection.
        capabilities: What it can do.
        limits: How much one call may hold.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    connection_spec_id: ClassVar[str]
    flow_spec_id: ClassVar[str]
    dataset_flow_spec_id: ClassVar[str] = ""
    category: ClassVar[str]
    kind: ClassVar[Kind]
    auth_specs: ClassVar[Mapping[str, type]]
    target_settings: ClassVar[type]
    capabilities: ClassVar[Capabilities]
    limits: ClassVar[Limits]

    def __init__(self, *, auth: Any, target: Any, context: Context) -> None:
        """Keep the settings; opens nothing.

        Args:
            auth: Instance of one of `auth_specs`; `NoAuth` when there is none.
            target: Instance of `target_settings`.
            context: What the server gives.
        """
        self.auth = auth
        self.target = target
        self.context = context

    @abstractmethod
    async def check(self) -> None:
        """Reach the destination with the same credentials and place as a delivery would, changing nothing there.

        Raises:
            DestinationDenied: The credentials do not allow it.
            DestinationUnreachable: It does not answer.
            DestinationRefused: The place does not exist.
            AddressForbidden: The host is an internal address, and the operator does not allow those.
        """

    async def close(self) -> None:  # noqa: B027 - nothing to close is a fine default
        """Release connections; the object may not be used afterwards."""


class StreamDestination(Destination):
    """A destination that takes messages.

    Guarantee: at least once. A message that was delivered but whose answer was lost is sent again with the same id.
    """

    kind = "stream"
    flow_spec_id = STREAM_FLOW_SPEC_ID

    @abstractmethod
    async def deliver(self, batch: Batch) -> list[Outcome]:
        """Send the messages and return one outcome per message, in order.

        Never raises for what a destination answers or fails to answer: that is an outcome. The batch keeps to `limits`.
        """

    def batch_size(self) -> int:
        """Return how many messages one `deliver` gets at most; by default `limits`."""
        return self.limits.records


class FileUpload(ABC):
    """Files on their way: staged first, then shown all at once as far as the protocol allows.

    Used as ``async with destination.begin(run_id) as upload``; leaving the block without `commit` removes what was staged.
    """

    @abstractmethod
    async def add(self, name: str, source: Path) -> int:
        """Stage one local file under its final name, without showing it there, and return its bytes.

        Raises:
            DestinationDenied, DestinationUnreachable, DestinationFull, DestinationRefused: As `Destination.check`.
        """

    @abstractmethod
    async def commit(self, last: Mapping[str, bytes]) -> None:
        """Show all staged files under their names, then write the small files ``last``, in order.

        Repeating a whole upload with the same names overwrites what an interrupted `commit` left behind.
        """

    @abstractmethod
    async def abort(self) -> None:
        """Remove what was staged; never raises."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.abort()


class FileDestination(Destination):
    """A destination that takes files.

    Guarantee: all or nothing per file; a set of files becomes visible only after all of them were transferred.
    """

    kind = "file"
    category = "cloudStorage"
    capabilities = FILE_CAPABILITIES
    limits = Limits()

    @abstractmethod
    def folder(self) -> str:
        """Return the configured folder, with its macros unrendered."""

    @abstractmethod
    def begin(self, folder: str, run_id: str) -> FileUpload:
        """Start an upload.

        Args:
            folder: Folder below the destination's root, macros rendered.
            run_id: UUID of the flow run; keeps the temporary names of two runs apart.
        """

    def reader(self) -> FileReader:
        """Return what reads files with the same account, for sources.

        Raises:
            DestinationRefused: Files can only be written there.
        """
        raise DestinationRefused(f"Files cannot be read from '{self.title}'.")
