"""One run of a source: new files are claimed, copied into a batch, and the batch is completed.

Every step may be repeated: claims and files are found again by the run and the batch, so a run that was killed goes on where it
was. Only a completed batch counts, and it is completed once.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from headrace.catalog.batch import Batch, new_batch_id
from headrace.catalog.batches import Batches
from headrace.catalog.datasets import Catalog
from headrace.catalog.errors import BatchInvalid, BatchUnknown
from headrace.clock import Clock
from headrace.destinations.base import Context
from headrace.ingest.batch_folders import remove_uploads
from headrace.ingest.batch_request import stored_form
from headrace.ingest.sources.flow import SourceFlow, SourceRun
from headrace.ingest.sources.ledger import Claims, SourceLedger
from headrace.ingest.sources.staging import is_staged, stage, staged_versions
from headrace.model import Sandbox
from headrace.storage.control import ControlStore

CLIENT = "headrace_sources"
_OPEN = "loading"


class SourceTaking:
    """Takes files; safe between threads that work for different runs."""

    def __init__(
        self,
        control: ControlStore,
        catalog: Catalog,
        batches: Batches,
        home: Path,
        clock: Clock,
        *,
        context_of: Callable[[Sandbox], Context],
    ) -> None:
        """Open what it needs.

        Args:
            control: Holds the claims.
            catalog: Knows the datasets.
            batches: Where batches are noted.
            home: Holds ``staging/``.
            clock: Stamps changes.
            context_of: Gives sources what the server has for them.
        """
        self._ledger = SourceLedger(control, clock)
        self._catalog = catalog
        self._batches = batches
        self._home = home
        self._clock = clock
        self._context_of = context_of

    def take(self, run: SourceRun, flow: SourceFlow) -> Claims:
        """Take what is new, and complete the batch; returns what is in it, nothing when nothing is new.

        Raises:
            HeadraceError: The source cannot be read, or the batch cannot be written.
        """
        return asyncio.run(self._take(run, flow))

    def batch(self, flow: SourceFlow, claims: Claims) -> Batch | None:
        """Return the batch of a run as it is now, None when it was deleted."""
        try:
            return self._batches.batch(flow.sandbox, claims.batch_id)
        except BatchUnknown:
            return None

    def give_up(self, run: SourceRun, flow: SourceFlow) -> str:
        """Give back the files of a run that cannot go on, unless its batch was completed or ended by somebody.

        Returns:
            The batch; empty when there is none.
        """
        claims = self._ledger.claims(run.id)
        batch = self.batch(flow, claims) if claims.batch_id else None
        if batch is None or batch.status == _OPEN:
            self._ledger.release(run.id)
        if batch is not None and batch.status == _OPEN:
            self._abort(flow, batch.id)
        return batch.id if batch else ""

    async def _take(self, run: SourceRun, flow: SourceFlow) -> Claims:
        reader, path = flow.account.reader(flow.selection.path, flow.params, self._context_of(flow.sandbox))
        claims = self._ledger.claims(run.id)
        if not claims.files and run.repeats:
            self._ledger.move(run.repeats, run.id, new_batch_id(self._clock.now_ms()))
            claims = self._ledger.claims(run.id)
        async with reader:
            if not claims.files:
                listed = await flow.selection.files(reader, path)
                new_id, after_ms = new_batch_id(self._clock.now_ms()), _earliest(flow)
                claims = self._ledger.claim(flow.sandbox.number, flow.id, run.id, new_id, listed, after_ms=after_ms)
            if not claims.files or self._batch_of(flow, run, claims).status != _OPEN:
                return claims
            staged = staged_versions(self._batches, claims.batch_id)
            for file in claims.files:
                if is_staged(file, staged):
                    continue
                if not await stage(reader, file, flow.format, self._batches, claims.batch_id, self._home):
                    self._ledger.release(run.id, [file])  # gone, or changed since: then the next run takes it
        left = self._ledger.claims(run.id)
        if left.files:
            self._batches.change(flow.sandbox, claims.batch_id, status="loaded", from_statuses=(_OPEN,))
        else:
            self._abort(flow, claims.batch_id)
        return left

    def _batch_of(self, flow: SourceFlow, run: SourceRun, claims: Claims) -> Batch:
        found = self.batch(flow, claims)
        if found is not None:
            return found
        dataset = self._catalog.dataset(flow.sandbox, flow.dataset_id)
        body = stored_form({**flow.batch, "inputFormat": flow.format.input_format()})
        body["tags"] |= {"flowId": [flow.id], "runId": [run.id]}
        body["relatedObjects"] = [{"type": "dataSet", "id": dataset.id}]
        return self._batches.create(flow.sandbox, dataset, body, batch_id=claims.batch_id, client_id=CLIENT, user_id=CLIENT)

    def _abort(self, flow: SourceFlow, batch_id: str) -> None:
        if not batch_id:
            return
        now_ms = self._clock.now_ms()
        with suppress(BatchInvalid, BatchUnknown):  # somebody ended or deleted it just now
            self._batches.change(flow.sandbox, batch_id, status="aborted", from_statuses=(_OPEN,), completed=now_ms)
        remove_uploads(self._home, batch_id)


def _earliest(flow: SourceFlow) -> int:
    return 0 if flow.schedule is None or flow.schedule.is_backfill else flow.schedule.start_ms
