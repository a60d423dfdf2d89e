"""The streaming inlet's service: takes the body of a request, decides about each message, and has the accepted ones stored.

Nothing is acknowledged before the future that a call returns is done.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from headrace.clock import Clock
from headrace.errors import HeadraceError
from headrace.ingest.commit import GroupCommit, Outcome
from headrace.ingest.envelope import (
    Envelope,
    Header,
    as_header,
    read_batch,
    read_envelope,
    read_json,
    read_messages,
)
from headrace.ingest.inlets import Inlet
from headrace.ingest.quarantine import QuarantinedMessage, encode_quarantined
from headrace.ingest.refusals import (
    UNKNOWN_FORMAT,
    BodyUnreadable,
    MessageInvalid,
    MessageRefused,
    SynchronousRateExceeded,
)
from headrace.ingest.targets import Target, Targets
from headrace.model import Record, encode_entry
from headrace.schemas import Violation
from headrace.schemas.validation import MOST_VIOLATIONS

_NO_HEADER = Header()
_SYNCHRONOUS_PER_MINUTE = 60
_MINUTE_MS = 60_000
_ENTITY_MISSING = Violation("#/body", "required", "DCVS-1111-400", "Payload body is missing xdmEntity", "#/properties/body")
_TOO_DEEP = Violation("#", "type", "DCVS-1903-400", "the record is nested too deeply", "#")


class Batch(msgspec.Struct, frozen=True):
    """What became of the messages of one batch call.

    Attributes:
        refusals: One entry per message, same order; None when the message is accepted.
        stored: Done when the accepted ones are on disk.
    """

    refusals: list[HeadraceError | None]
    stored: "asyncio.Future[Outcome]"


class _Decision(msgspec.Struct, frozen=True, gc=False):
    """Where an accepted message goes: to the records, or to quarantine with its reasons."""

    target: Target
    record: bytes = b""
    violations: tuple[Violation, ...] = ()
    warnings: int = 0


class StreamingIntake:
    """Decides about messages; used from one event loop."""

    def __init__(self, targets: Targets, commit: GroupCommit, clock: Clock) -> None:
        self._targets = targets
        self._commit = commit
        self._clock = clock
        self._synchronous: dict[str, deque[int]] = {}

    def check_room(self) -> None:
        """Refuse when too much is waiting to be stored.

        Raises:
            InletOverloaded: The caller should come back.
        """
        self._commit.check_room()

    def note_lack(self, lack: HeadraceError | None) -> None:
        """Let `check_room` refuse for a reason, until there is none."""
        self._commit.note_lack(lack)

    @property
    def fault(self) -> str:
        """Why messages cannot be stored at present; empty when they can."""
        return self._commit.fault

    def close(self) -> None:
        """Store what is waiting and stop."""
        self._commit.close()

    def take(self, inlet: Inlet, body: bytes, *, flow_id: str, is_synchronous: bool) -> "asyncio.Future[Outcome]":
        """Take a request with one message.

        Args:
            inlet: Where it came in.
            body: The message.
            flow_id: The dataflow that the request names; may be empty.
            is_synchronous: Whether an invalid record is refused instead of kept in quarantine.

        Returns:
            Done when the message is on disk.

        Raises:
            BodyUnreadable: The body is not JSON.
            MessageRefused: The envelope is wrong; with ``is_synchronous`` also when the record is invalid.
            SynchronousRateExceeded: Too many calls with ``is_synchronous`` in a minute.
        """
        if is_synchronous:
            self._count_synchronous(inlet)
        if inlet.is_raw:
            decision = self._decided_raw(inlet, read_json(body), flow_id)
        else:
            decision = self._decided(inlet, read_envelope(body), flow_id)
        if not decision.violations:
            return self._commit.submit((self._entry(decision),))
        if is_synchronous:
            raise MessageInvalid(list(decision.violations))
        return self._commit.submit((), (self._quarantined(inlet, decision, body),))

    def take_batch(self, inlet: Inlet, body: bytes, *, flow_id: str) -> Batch:
        """Take a request with several messages; each is decided about on its own.

        Raises:
            BodyUnreadable: The body is not JSON, or has no messages.
        """
        refusals: list[HeadraceError | None] = []
        records: list[bytes] = []
        quarantined: list[bytes] = []
        for index, decide in enumerate(self._deciders(inlet, body, flow_id)):
            try:
                decision = decide()
            except (MessageRefused, BodyUnreadable) as error:
                refusals.append(error)
                continue
            refusals.append(None)
            if decision.violations:
                quarantined.append(self._quarantined(inlet, decision, read_messages(body)[index]))
            else:
                records.append(self._entry(decision))
        if not refusals:
            raise BodyUnreadable("The array 'messages' is empty.", path="/messages", hint="Send at least one message.")
        return Batch(refusals, self._commit.submit(records, quarantined))

    def _deciders(self, inlet: Inlet, body: bytes, flow_id: str) -> list[Callable[[], _Decision]]:
        envelopes = None if inlet.is_raw else read_batch(body)
        if envelopes is not None:
            return [partial(self._decided, inlet, each, flow_id) for each in envelopes]
        messages = read_messages(body)
        decide = self._decided_json if inlet.is_raw else self._decided_text
        return [partial(decide, inlet, each, flow_id) for each in messages]

    def _decided_json(self, inlet: Inlet, message: msgspec.Raw, flow_id: str) -> _Decision:
        return self._decided_raw(inlet, read_json(message), flow_id, is_envelope_first=True)

    def _decided_text(self, inlet: Inlet, message: msgspec.Raw, flow_id: str) -> _Decision:
        return self._decided(inlet, read_envelope(message), flow_id)

    def _decided(self, inlet: Inlet, message: Envelope, flow_id: str) -> _Decision:
        header, body = message.header, message.body
        if header is None:
            raise MessageRefused(UNKNOWN_FORMAT, path="/header", hint="The message has no header.")
        if body is None:
            raise MessageRefused(UNKNOWN_FORMAT, path="/body", hint="The message has no body.")
        meta = body.xdm_meta
        target = self._targets.of_message(inlet, header, meta.schema_ref if meta is not None else None, flow_id)
        data = bytes(body.xdm_entity)
        if not data:
            return _Decision(target, violations=(*target.faults, _ENTITY_MISSING))
        violations = _checked(target, read_json(data))
        return _Decision(target, data, violations) if violations else _Decision(target, data)

    def _decided_raw(self, inlet: Inlet, message: Any, flow_id: str, *, is_envelope_first: bool = False) -> _Decision:
        if not isinstance(message, dict):
            raise MessageRefused(UNKNOWN_FORMAT, path="", hint="A raw inlet takes JSON objects.")
        header, source = _opened(message)
        if is_envelope_first and header.flow_id:  # in a batch the request's dataflow is that of all who name none
            flow_id = header.flow_id
        target = self._targets.of_raw(inlet, header, flow_id)
        warnings: tuple[Violation, ...] = ()
        if target.mapper is not None:
            try:
                source, warnings = target.mapper.apply(source)
            except RecursionError:
                return _Decision(target, violations=(_TOO_DEEP,), warnings=1)
        violations = _checked(target, source)
        if violations:
            return _Decision(target, violations=(*violations, *warnings), warnings=len(warnings))
        return _Decision(target, msgspec.json.encode(source))

    def _entry(self, decision: _Decision) -> bytes:
        target = decision.target
        return encode_entry(
            Record(
                target.sandbox,
                target.dataset,
                decision.record,
                self._clock.now_ms(),
                target.operation,
                "",
                target.flow_id,
                target.links_dataset,
            )
        )

    def _quarantined(self, inlet: Inlet, decision: _Decision, message: bytes | msgspec.Raw) -> bytes:
        target = decision.target
        return encode_quarantined(
            QuarantinedMessage(
                sandbox=target.sandbox,
                dataset=target.dataset,
                inlet_id=inlet.id,
                flow_id=target.flow_id,
                message=bytes(message),
                violations=decision.violations,
                is_mapping=decision.warnings > 0,
                refused_at_ms=self._clock.now_ms(),
            )
        )

    def _count_synchronous(self, inlet: Inlet) -> None:
        now = self._clock.now_ms()
        calls = self._synchronous.setdefault(inlet.id, deque(maxlen=_SYNCHRONOUS_PER_MINUTE))
        if len(calls) == _SYNCHRONOUS_PER_MINUTE and now - calls[0] < _MINUTE_MS:
            seconds = (calls[0] + _MINUTE_MS - now + 999) // 1000
            raise SynchronousRateExceeded(
                f"Inlet validates {_SYNCHRONOUS_PER_MINUTE} messages a minute synchronously", retry_after_seconds=seconds
            )
        calls.append(now)


def _opened(message: dict[str, Any]) -> tuple[Header, dict[str, Any]]:
    """Return header and source of a raw message, which may come in an envelope."""
    header, body = message.get("header"), message.get("body")
    if isinstance(header, dict) and isinstance(body, dict) and ("flowId" in header or "operations" in header):
        return as_header(header), body
    return _NO_HEADER, message


def _checked(target: Target, record: Any) -> tuple[Violation, ...]:
    try:
        violations = target.check(record)
    except (RecursionError, ValueError):  # deeper than a validator can walk
        violations = [_TOO_DEEP]
    return (*target.faults, *violations)[:MOST_VIOLATIONS] if violations or target.faults else ()
