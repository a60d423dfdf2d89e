"""Quarantine: streamed messages that were accepted but are not valid, kept with their reasons.

A message is acknowledged when it stands in the topic ``quarantine``. From there it is rolled into a failed batch of its dataset:
a line in an error file under ``quarantine/<batch id>/``, and counts in the catalog. One batch takes what a dataset's messages of
one minute bring.

Rolling can be repeated after a crash: a batch's id follows from the offset of its first message, files are cut back to the length
that was last known, and the catalog's row is put as a whole.
"""

import hashlib
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from headrace.errors import HeadraceError
from headrace.ingest.ulid import ulid_of
from headrace.schemas import Violation
from headrace.storage.log import Topic
from headrace.telemetry import log

ERROR_FILE = "failed_records.json"
_WINDOW_MS = 60_000
_MOST_BYTES = 64_000_000
_STEP = 2000
_RETRY_SECONDS = 1.0
_STATE_FILE = "state.json"
_MOST_FLOWS = 100


class QuarantinedMessage(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """What stands in the topic ``quarantine``.

    Attributes:
        sandbox: Number of the sandbox.
        dataset: Number of the dataset it was meant for.
        inlet_id: Where it came in.
        flow_id: The dataflow that counts it; may be empty.
        message: The message as it came in, JSON.
        violations: Why it was refused.
        is_mapping: Whether a mapping failed before.
        refused_at_ms: When (epoch ms).
    """

    sandbox: int
    dataset: int
    inlet_id: str
    flow_id: str
    message: bytes
    violations: tuple[Violation, ...]
    is_mapping: bool
    refused_at_ms: int


class FailedBatch(msgspec.Struct):
    """A failed batch as far as it is known; the catalog shows it.

    Attributes:
        sandbox: Number of the sandbox.
        dataset: Number of the dataset.
        id: Id of the batch.
        opened_at_ms: When its first message was refused.
        changed_at_ms: When its newest message was refused.
        record_count: Messages in it.
        mapping_count: Those among them whose mapping failed.
        byte_count: Length of its error file.
        input_byte_count: Bytes of the messages as they came in.
        counts: Messages by the code of their first reason.
        samples: One reason a code.
        flow_ids: Dataflows that the messages belong to.
    """

    sandbox: int
    dataset: int
    id: str
    opened_at_ms: int
    changed_at_ms: int
    record_count: int = 0
    mapping_count: int = 0
    byte_count: int = 0
    input_byte_count: int = 0
    counts: dict[str, int] = {}
    samples: dict[str, str] = {}
    flow_ids: list[str] = []

    def add(self, entry: QuarantinedMessage) -> None:
        """Count one message."""
        self.changed_at_ms = max(self.changed_at_ms, entry.refused_at_ms)
        self.record_count += 1
        self.mapping_count += entry.is_mapping
        self.input_byte_count += len(entry.message)
        first = entry.violations[0]
        self.counts[first.code] = self.counts.get(first.code, 0) + 1
        self.samples.setdefault(first.code, f"[{first.pointer}: {first.message}]")
        if entry.flow_id and entry.flow_id not in self.flow_ids and len(self.flow_ids) < _MOST_FLOWS:
            self.flow_ids.append(entry.flow_id)

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The batch's ``errors`` on the wire, one a code."""
        return [
            {
                "code": code,
                "description": f"The message cannot be validated: {self.samples[code]}",
                "recordCount": count,
            }
            for code, count in self.counts.items()
        ]

    @property
    def metrics(self) -> dict[str, int]:
        """The batch's ``metrics`` on the wire."""
        return {
            "recordsSize": self.input_byte_count,
            "invalidRecordCount": self.record_count,
            "invalidRecordsStreamingValidation": self.record_count - self.mapping_count,
            "invalidRecordsMapper": self.mapping_count,
            "invalidRecordsProfile": 0,
            "invalidRecordsIdentity": 0,
            "invalidRecordsUnknown": 0,
            "inputRecordCount": self.record_count,
            "outputRecordCount": 0,
            "failedRecordCount": self.record_count,
        }


class FailedBatches(Protocol):
    """Where failed batches become visible."""

    def put(self, batch: FailedBatch) -> None:
        """Create the batch in the catalog, or replace what it says about itself."""
        ...


class _State(msgspec.Struct):
    next_offset: int = 0
    open: list[FailedBatch] = []


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(QuarantinedMessage)


def encode_quarantined(entry: QuarantinedMessage) -> bytes:
    """Return the bytes that stand in the topic ``quarantine``."""
    return _encoder.encode(entry)


def decode_quarantined(data: bytes) -> QuarantinedMessage:
    """Return the message that `encode_quarantined` wrote."""
    return _decoder.decode(data)


class Quarantine:
    """Rolls the topic into failed batches; one per home folder."""

    def __init__(self, topic: Topic, folder: Path, batches: FailedBatches) -> None:
        """Open the quarantine.

        Args:
            topic: The topic ``quarantine``.
            folder: Folder ``quarantine`` of the home folder.
            batches: Where failed batches become visible.
        """
        self._topic = topic
        self._folder = folder
        self._batches = batches
        self._lock = threading.Lock()
        self._state: _State | None = None

    def roll(self) -> int:
        """Make everything visible that stands in the topic; returns the number of messages."""
        total = 0
        with self._lock:
            while count := self._step():
                total += count
        return total

    def _step(self) -> int:
        # A step that fails half-way must not leave its counts behind: it works on a copy, which is kept at its end.
        state = self._loaded()
        entries = self._topic.read(state.next_offset, limit=_STEP)
        if not entries:
            return 0
        for batch, members in _grouped(state, [(offset, decode_quarantined(data)) for offset, data in entries]):
            self._write(batch, members)
            self._batches.put(batch)
        state.next_offset = entries[-1][0] + 1
        self._save(state)
        self._topic.trim(state.next_offset)
        return len(entries)

    def _write(self, batch: FailedBatch, members: Sequence[QuarantinedMessage]) -> None:
        path = self._folder / batch.id / ERROR_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if path.exists() else "wb") as file:
            file.truncate(batch.byte_count)
            file.seek(batch.byte_count)
            for entry in members:
                file.write(error_line(entry))
                batch.add(entry)
            batch.byte_count = file.tell()
            file.flush()
            os.fsync(file.fileno())

    def _loaded(self) -> _State:
        if self._state is None:
            path = self._folder / _STATE_FILE
            self._state = msgspec.json.decode(path.read_bytes(), type=_State) if path.exists() else _State()
        return msgspec.json.decode(msgspec.json.encode(self._state), type=_State)

    def _save(self, state: _State) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f"{_STATE_FILE}.new"
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._folder / _STATE_FILE)
        self._state = state


class QuarantineRoller:
    """Rolls in the background whenever it is woken."""

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine
        self._is_closing = False
        self._work = threading.Event()
        self._work.set()  # what an earlier process left behind
        self._thread = threading.Thread(target=self._run, name="quarantine", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that the topic has new messages; never blocks."""
        self._work.set()

    def close(self) -> None:
        """Roll what is left and stop."""
        self._is_closing = True
        self._work.set()
        self._thread.join(_RETRY_SECONDS * 10)

    def _run(self) -> None:
        timeout: float | None = None
        while True:
            self._work.wait(timeout)
            is_last = self._is_closing
            self._work.clear()
            timeout = None if self._roll() else _RETRY_SECONDS
            if is_last:
                return

    def _roll(self) -> bool:
        try:
            self._quarantine.roll()
        except (HeadraceError, OSError) as error:
            # Nothing is lost: the messages stand in the topic and the next attempt takes them.
            log("gateway", logging.WARNING, "Quarantined messages cannot be shown yet.", reason=str(error))
            return False
        return True


def error_line(entry: QuarantinedMessage) -> bytes:
    """Return the line of the error file: the message with its reasons, ended by a line feed."""
    header, body = _parts(entry.message)
    reasons = msgspec.json.encode([_reason(violation) for violation in entry.violations])
    return b'{"header":%b,"body":%b,"_errors":{"_streamingValidation":%b},"_validationErrors":%b}\n' % (
        _on_one_line(header),
        _on_one_line(body),
        reasons,
        reasons,
    )


class _Parts(msgspec.Struct):
    header: msgspec.Raw
    body: msgspec.Raw


def _parts(message: bytes) -> tuple[bytes, bytes]:
    try:
        parts = msgspec.json.decode(message, type=_Parts)
    except msgspec.DecodeError:
        return b"{}", message  # a raw inlet takes any object
    return bytes(parts.header), bytes(parts.body)


def _on_one_line(data: bytes) -> bytes:
    # Line breaks can only be white space between the parts of JSON text; bytes that are no UTF-8 can only stand in members
    # of a header that nobody reads.
    return data.decode("utf-8", "replace").encode().replace(b"\n", b" ").replace(b"\r", b" ")


def _reason(violation: Violation) -> dict[str, str]:
    return {
        "code": violation.code,
        "message": violation.message,
        "keyword": violation.keyword,
        "pointerToViolation": violation.pointer,
        "schemaLocation": violation.schema_location,
    }


def _grouped(
    state: _State, entries: Iterable[tuple[int, QuarantinedMessage]]
) -> Iterator[tuple[FailedBatch, list[QuarantinedMessage]]]:
    """Give each message to the open batch of its dataset; where there is none in ``state``, or its time is over, open one."""
    open_batches = {(batch.sandbox, batch.dataset): batch for batch in state.open}
    members: dict[str, tuple[FailedBatch, list[QuarantinedMessage]]] = {}
    for offset, entry in entries:
        key = (entry.sandbox, entry.dataset)
        batch = open_batches.get(key)
        if batch is None or entry.refused_at_ms - batch.opened_at_ms >= _WINDOW_MS or batch.byte_count > _MOST_BYTES:
            batch = FailedBatch(
                sandbox=entry.sandbox,
                dataset=entry.dataset,
                id=ulid_of(entry.refused_at_ms, hashlib.sha256(b"%d" % offset).digest()),
                opened_at_ms=entry.refused_at_ms,
                changed_at_ms=entry.refused_at_ms,
            )
            open_batches[key] = batch
        members.setdefault(batch.id, (batch, []))[1].append(entry)
    state.open = list(open_batches.values())
    yield from members.values()
