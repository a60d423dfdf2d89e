"""A task of the scheduler: sandboxes that were reset or deleted, and deleted datasets, leave every store.

The stores of pipeline and lake have one writer each, so they are asked through the log. A note in the control store stays until
both have read the request; after a restart what still has one is asked for again, which changes nothing where it was done.
"""

import shutil
from pathlib import Path
from typing import Any

from headrace.catalog.retired import Retired, RetiredDataset, RetiredSandbox
from headrace.clock import Clock
from headrace.ingest.batch_folders import batch_folders, remove_batch_folders
from headrace.model import DatasetPurged, SandboxPurged, encode_entry
from headrace.roles.status import StatusBoard
from headrace.storage.log import Log

_ASIDE = ".retired-"  # no sandbox can have a name that begins so


class Purging:
    """Asks for purges, and notes their end; see `roles.scheduler.Task`."""

    def __init__(self, retired: Retired, log: Log, board: StatusBoard, clock: Clock, home: Path) -> None:
        """Take what is needed.

        Args:
            retired: What was deleted.
            log: Takes the requests.
            board: Tells how far pipeline and lake are.
            clock: Stamps the requests.
            home: Holds landing zones and the folders of batches.
        """
        self._retired = retired
        self._topic = log.topic("records")
        self._board = board
        self._clock = clock
        self._home = home
        self._zones = home / "landing-zone"
        self._revision = -1
        self._asked: dict[RetiredSandbox | RetiredDataset, int] = {}
        self._ownerless: set[str] = set()
        self._purged = 0

    def step(self) -> bool:
        """Ask for new purges and finish those that are done; returns whether there were any."""
        revision = self._retired.revision()
        if revision != self._revision:
            is_busy = self._ask()
            self._revision = revision
            return is_busy
        return bool(self._asked) and self._finish()

    def status(self) -> dict[str, Any]:
        """Return how many purges are under way, and how many were done since the start."""
        return {"is_idle": True, "purging": len(self._asked), "purged": self._purged}

    # --- asking -----------------------------------------------------------------------------------------------------------

    def _ask(self) -> bool:
        sandboxes = self._retired.sandboxes()
        self._remove_zones_except({sandbox.number for sandbox in sandboxes})
        found: list[RetiredSandbox | RetiredDataset] = [*self._retired.datasets(), *sandboxes]
        new = [item for item in found if item not in self._asked]
        if not new:
            return False
        for item in new:
            if isinstance(item, RetiredSandbox):
                self._set_zone_aside(item)
                self._ownerless |= self._retired.unknown_batches(batch_folders(self._home))
        first = self._topic.append([encode_entry(self._request(item)) for item in new])
        self._asked.update((item, first + index) for index, item in enumerate(new))
        return True

    def _request(self, item: RetiredSandbox | RetiredDataset) -> SandboxPurged | DatasetPurged:
        now_ms = self._clock.now_ms()
        if isinstance(item, RetiredSandbox):
            return SandboxPurged(item.number, now_ms)
        return DatasetPurged(item.sandbox, item.number, item.table_name, now_ms)

    def _set_zone_aside(self, item: RetiredSandbox) -> None:
        """Move the landing zone out of reach, once: a reset sandbox keeps its name, and fills a new one."""
        aside = self._zones / f"{_ASIDE}{item.number}"
        if aside.exists():
            return
        zone = self._zones / item.name
        if zone.exists():
            zone.rename(aside)
        else:
            aside.mkdir(parents=True)

    def _remove_zones_except(self, numbers: set[int]) -> None:
        """Remove what was set aside for sandboxes that are done with; only a crash leaves any."""
        for aside in self._zones.glob(f"{_ASIDE}*"):
            if int(aside.name.removeprefix(_ASIDE)) not in numbers:
                shutil.rmtree(aside, ignore_errors=True)

    # --- finishing --------------------------------------------------------------------------------------------------------

    def _finish(self) -> bool:
        pipeline, lake = self._board.read("pipeline"), self._board.read("lake_writer")
        if pipeline is None or lake is None:
            return False
        stored = min(int(pipeline["offset"]), int(lake["saved_offset"]))
        done = [item for item, offset in self._asked.items() if offset < stored]
        for item in done:
            if isinstance(item, RetiredSandbox):
                self._clear_folders(item)
            else:
                self._retired.forget_dataset(item.number)
            del self._asked[item]
            self._purged += 1
        return bool(done)

    def _clear_folders(self, item: RetiredSandbox) -> None:
        # Asked twice, with the log's turn between: a folder is made a moment before its batch is noted.
        remove_batch_folders(self._home, self._retired.unknown_batches(self._ownerless))
        self._ownerless.clear()
        self._retired.forget_sandbox(item.number)
        if self._retired.is_name_free(item.name):  # an export that was under way may have made it anew
            shutil.rmtree(self._zones / item.name, ignore_errors=True)
        shutil.rmtree(self._zones / f"{_ASIDE}{item.number}", ignore_errors=True)
