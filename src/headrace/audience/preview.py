"""Previews and estimates: how many persons a query would match, and some of them, from a sample of the hot state.

Person ids are random, so the first persons by id are a random sample. A preview reads page by page in the background; the
estimate under the same id gets better while it does. Source: Segmentation, previews and estimates.
"""

import base64
import logging
import math
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

import msgspec

from headrace.audience.definition import Expression
from headrace.audience.errors import PreviewInvalid, PreviewUnknown
from headrace.audience.relations import define_events, define_profiles, event_table, profile_table
from headrace.audience.service import Audiences
from headrace.audience.snapshot import View, records_of
from headrace.clock import Clock
from headrace.engine.base import Engine
from headrace.errors import HeadraceError
from headrace.identity.xid import encode_xid
from headrace.model import Sandbox
from headrace.pql.analysis import Audiences as KnownAudiences
from headrace.pql.compile.batch import ANSWERS, BatchAudience, BatchProgram, compile_batch
from headrace.pql.compile.batch_facts import PERSON
from headrace.profile.person import Person
from headrace.profile.reader import ProfileReader
from headrace.telemetry import log

NEW, RUNNING, RESULT_READY, FAILED = "NEW", "RUNNING", "RESULT_READY", "FAILED"
FULL_SCAN, SAMPLE, SAMPLE_SHARE = 1_000_000, 1_000_000, 0.05
_LARGE = 20_000_000
_PERSONS_A_PAGE = 5_000
_MATCHES_KEPT = 1_000
_KEPT_MS = 3_600_000
_PREVIEW = "preview"
_decode = msgspec.json.Decoder().decode


class PreviewSource(Protocol):
    """What a preview reads."""

    def reader(self) -> ProfileReader:
        """Return a reader of the hot state, refreshed now."""
        ...

    def view(self, sandbox: Sandbox) -> View:
        """Return how persons become profiles under the default merge policy."""
        ...


@dataclass(frozen=True, slots=True)
class Matched:
    """A person who matches, as the XIDs of the identities."""

    xids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """One preview, and how far it has come.

    Attributes:
        id: ``previewId``; decodes to ``0:<application>:<query id>:<execution>``.
        query_id: Id of the query.
        sandbox: Number of the sandbox.
        expression: The query.
        created_at: Epoch ms.
        state: ``NEW``, ``RUNNING``, ``RESULT_READY`` or ``FAILED``.
        total: Persons of the sandbox.
        to_read: Persons that will be read.
        read: Persons read so far.
        matched: Those of them who match.
        by_namespace: Namespace id → matching persons who have an identity in it.
        matches: The first of them.
        fault: Why it failed.
    """

    id: str
    query_id: str
    sandbox: int
    expression: Expression
    created_at: int
    state: str = NEW
    total: int = 0
    to_read: int = 0
    read: int = 0
    matched: int = 0
    by_namespace: dict[int, int] = field(default_factory=dict)
    matches: tuple[Matched, ...] = ()
    fault: str = ""

    @property
    def estimated(self) -> int:
        """Persons of the whole sandbox who match, as far as the sample tells."""
        return round(self.matched * self.total / self.read) if self.read else 0

    @property
    def standard_error(self) -> int:
        """Standard error of `estimated`; 0 when everybody was read."""
        if self.read == 0 or self.read >= self.total or self.total < 2:
            return 0
        share = self.matched / self.read
        return round(self.total * math.sqrt(share * (1 - share) / self.read * (self.total - self.read) / (self.total - 1)))


def sample_size(total: int) -> int:
    """Return how many of ``total`` persons a preview reads."""
    if total < FULL_SCAN:
        return total
    return SAMPLE if total <= _LARGE else math.ceil(total * SAMPLE_SHARE)


class Previews:
    """Makes previews and keeps their results for an hour, in this process; safe between threads."""

    def __init__(
        self, audiences: Audiences, source: PreviewSource, clock: Clock, *, engine: Callable[[], Engine], executor: Executor
    ) -> None:
        self._audiences = audiences
        self._source = source
        self._clock = clock
        self._engine = engine
        self._executor = executor
        self._known: dict[str, Preview] = {}
        self._lock = threading.Lock()

    def create(self, sandbox: Sandbox, expression: Expression) -> Preview:
        """Begin a preview.

        Raises:
            ExpressionInvalid: The query has problems.
        """
        self._forget_old()
        program = self._program(sandbox, expression)
        query_id = uuid.uuid4().hex
        preview_id = base64.urlsafe_b64encode(f"0:headrace:{query_id}:0".encode()).decode().rstrip("=")
        preview = Preview(preview_id, query_id, sandbox.number, expression, self._clock.now_ms())
        with self._lock:
            self._known[preview_id] = preview
        self._executor.submit(self._run, sandbox, preview_id, program)
        return preview

    def get(self, sandbox: Sandbox, preview_id: str) -> Preview:
        """Return a preview as far as it has come.

        Raises:
            PreviewUnknown: There is none with this id, or its hour is over.
        """
        self._forget_old()
        preview = self._known.get(preview_id)
        if preview is None or preview.sandbox != sandbox.number:
            raise PreviewUnknown(preview_id)
        return preview

    def delete(self, sandbox: Sandbox, preview_id: str) -> None:
        """Forget a preview, and stop it.

        Raises:
            PreviewUnknown: There is none with this id.
        """
        self.get(sandbox, preview_id)
        with self._lock:
            self._known.pop(preview_id, None)

    def _forget_old(self) -> None:
        limit = self._clock.now_ms() - _KEPT_MS
        with self._lock:
            self._known = {key: item for key, item in self._known.items() if item.created_at > limit}

    def _program(self, sandbox: Sandbox, expression: Expression) -> BatchProgram:
        if expression.format not in ("pql/text", "pql/json"):
            raise PreviewInvalid(f"predicateType is '{expression.format}'; it is pql/text or pql/json.", path="/predicateType")
        unions = self._audiences.unions(sandbox)
        by_id = self._audiences.find(sandbox, [item.id for item in self._audiences.all(sandbox)])
        known = KnownAudiences(exists=lambda audience_id: audience_id in by_id)
        analysis = self._audiences.binder.analysed(sandbox, expression, known)
        numbers = {item.id: item.number for item in by_id.values()}
        query = BatchAudience(0, _PREVIEW, analysis.bound)
        return compile_batch([query], numbers, profile=unions.profile, event=unions.event, now_ms=self._clock.now_ms())

    # --- in the background --------------------------------------------------------------------------------------------------

    def _run(self, sandbox: Sandbox, preview_id: str, program: BatchProgram) -> None:
        try:
            self._read_all(sandbox, preview_id, program)
        except HeadraceError as error:
            log("gateway", logging.WARNING, "a preview failed", reason=str(error))
            self._change(preview_id, state=FAILED, fault=str(error))
        except Exception as error:  # the thread's edge: whoever waits for the result must be told
            log("gateway", logging.ERROR, "a preview failed by a defect", reason=repr(error))
            self._change(preview_id, state=FAILED, fault="The query could not be evaluated; the log has the cause.")

    def _read_all(self, sandbox: Sandbox, preview_id: str, program: BatchProgram) -> None:
        reader, view = self._source.reader(), self._source.view(sandbox)
        total = reader.profile_count(sandbox.number)
        wanted = sample_size(total)
        self._change(preview_id, state=RUNNING, total=total, to_read=wanted)
        persons = islice(reader.persons(sandbox.number), wanted)
        read = 0
        while page := list(islice(persons, _PERSONS_A_PAGE)):
            found = self._matching(reader, sandbox, page, program, view)
            read += len(page)
            if not self._add(preview_id, found, read):
                return  # deleted
        self._change(preview_id, state=RESULT_READY, total=max(total, read), read=read)

    def _matching(
        self, reader: ProfileReader, sandbox: Sandbox, page: list[Person], program: BatchProgram, view: View
    ) -> list[Person]:
        engine = self._engine()
        try:
            ids = [person.id for person in page]
            members = [list(person.member_since) for person in page]
            records = records_of(page, program.profile_columns, view)
            engine.register("page", profile_table(program.profile_columns, ids, members, records))
            define_profiles(engine, "page", program.profile_columns)
            if program.reads_events:
                self._define_events(engine, reader, sandbox, page, program)
            holding = {row[PERSON] for batch in engine.run(program.statement) for row in batch.to_pylist() if row[ANSWERS]}
        finally:
            engine.close()
        return [person for person in page if person.id in holding]

    def _define_events(
        self, engine: Engine, reader: ProfileReader, sandbox: Sandbox, page: list[Person], program: BatchProgram
    ) -> None:
        owners: list[bytes] = []
        events: list[dict[str, Any]] = []
        for person in page:
            for stored in reader.events(sandbox.number, person) if person.events else ():
                owners.append(person.id)
                events.append(_decode(stored.body))
        engine.register("page events", event_table(program.event_columns, owners, events))
        define_events(engine, "page events", program.event_columns)

    def _add(self, preview_id: str, found: list[Person], read: int) -> bool:
        with self._lock:
            preview = self._known.get(preview_id)
            if preview is None:
                return False
            namespaces = dict(preview.by_namespace)
            for person in found:
                for namespace in {identity.namespace_id for identity in person.identities}:
                    namespaces[namespace] = namespaces.get(namespace, 0) + 1
            room = _MATCHES_KEPT - len(preview.matches)
            matches = (*preview.matches, *(_matched(person) for person in found[:room]))
            self._known[preview_id] = replace(
                preview, read=read, matched=preview.matched + len(found), by_namespace=namespaces, matches=matches
            )
        return True

    def _change(self, preview_id: str, **changes: Any) -> None:
        with self._lock:
            preview = self._known.get(preview_id)
            if preview is not None:
                self._known[preview_id] = replace(preview, **changes)


def _matched(person: Person) -> Matched:
    return Matched(tuple(encode_xid(identity.namespace_id, identity.value) for identity in person.identities))
