"""What came out of a story, in a form in which two tellings can be compared."""

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.client import Client
from headrace.model import BatchReady, Change, Record, decode_change, decode_entry
from headrace.profile.person import Person
from headrace.profile.reader import ProfileReader
from headrace.storage.lake.base import TableId
from headrace.storage.lake.iceberg import IcebergLake
from headrace.storage.log.lmdb import LmdbLog
from headrace.storage.state.rocksdb import RocksState
from headrace.testing.receiver import Received
from tests.crash.story import Story, family_of

SANDBOX = 1


@dataclass(frozen=True)
class Delivery:
    """A message as it was received.

    Attributes:
        id: Its message id.
        body: Its body.
    """

    id: str
    body: bytes

    @property
    def family(self) -> str:
        """Whom it is about."""
        identities = next(iter(json.loads(self.body)["identityMap"].values()))
        return family_of(identities[0]["id"])


def deliveries_of(requests: Iterable[Received]) -> list[Delivery]:
    """Return what a receiver got, in order of receipt."""
    return [Delivery(request.field("x-headrace-message-id") or "", request.body) for request in requests]


def first_receipts(deliveries: Iterable[Delivery]) -> dict[str, Delivery]:
    """Return by message id what came first, in order of receipt; a repetition must say the same."""
    first: dict[str, Delivery] = {}
    for delivery in deliveries:
        known = first.setdefault(delivery.id, delivery)
        assert known.body == delivery.body, f"Message {delivery.id} came with two bodies."
    return first


def profiles_of(client: Client, story: Story) -> dict[str, Any]:
    """Return what a look-up of each identity gives."""
    return {f"{code}:{value}": client.profile(code, value) for code, value in sorted(story.identities)}


class Remains:
    """The home folder of a server that has ended."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def persons(self) -> dict[str, Any]:
        """Return each person by the smallest identity: attributes, memberships, events."""
        state = RocksState(self._home / "state")
        try:
            reader = ProfileReader(state)
            return dict(sorted(self._person(reader, person) for person in reader.persons(SANDBOX)))
        finally:
            state.close()

    def _person(self, reader: ProfileReader, person: Person) -> tuple[str, Any]:
        identities = [f"{item.namespace_id}:{item.value}" for item in person.identities]
        return min(identities), {
            "identities": sorted(identities),
            "fragments": sorted(
                (identities[fragment.vertex], fragment.dataset, fragment.written_at_ms, json.dumps(fragment.record()))
                for fragment in person.fragments
            ),
            "memberships": (sorted(person.member_since.items()), sorted(person.exited_at.items())),
            "dues": dict(sorted(person.dues.items())),
            "event_count": person.events,
            "events": [
                (event.event_id, event.timestamp_ms, event.accepted_at_ms, bytes(event.body).decode())
                for event in reader.events(SANDBOX, person)
            ],
        }

    def member_counts(self, audiences: int) -> dict[int, int]:
        """Return how many members each audience has by the counters."""
        state = RocksState(self._home / "state")
        try:
            return {number: ProfileReader(state).member_count(SANDBOX, number) for number in range(1, audiences + 1)}
        finally:
            state.close()

    def changes(self) -> list[Change]:
        """Return the outgoing changes, in order."""
        log = LmdbLog(self._home / "log", self._home / "run" / "bells")
        try:
            topic = log.topic("changes")
            return [decode_change(data) for _, data in topic.read(0, limit=1 << 30, max_bytes=1 << 40)]
        finally:
            log.close()

    def accepted(self) -> tuple[Counter[int], list[BatchReady]]:
        """Return how many records each dataset was sent by streams, and its batches."""
        log = LmdbLog(self._home / "log", self._home / "run" / "bells")
        try:
            entries = [decode_entry(data) for _, data in log.topic("records").read(0, limit=1 << 30, max_bytes=1 << 40)]
        finally:
            log.close()
        records = Counter(entry.dataset for entry in entries if isinstance(entry, Record))
        return records, [entry for entry in entries if isinstance(entry, BatchReady)]

    def lake_rows(self) -> dict[str, list[Any]]:
        """Return the rows of each table of the lake."""
        lake = IcebergLake(self._home / "lake")
        try:
            return {name: [row.entity for row in lake.read(TableId(SANDBOX, name))] for name in lake.tables(SANDBOX)}
        finally:
            lake.close()

    def files(self) -> dict[str, Any]:
        """Return what a reader of the landing zone sees: names (manifests without their ids) and rows, sorted."""
        folder = self._home / "landing-zone"
        found: dict[str, Any] = {}
        for path in sorted(item for item in folder.rglob("*") if item.is_file()):
            name = str(path.relative_to(folder))
            if path.name.startswith("manifest-"):
                found.setdefault("manifests", []).append(_manifest(json.loads(path.read_text())))
            elif path.name.endswith(".csv.gz"):
                with gzip.open(path, "rt", newline="") as file:
                    found[name] = sorted(tuple(sorted(row.items())) for row in csv.DictReader(io.StringIO(file.read())))
            else:
                found[name] = "unexpected"
        found["manifests"] = sorted(found.get("manifests", []))
        return found


def _manifest(body: dict[str, Any]) -> str:
    return json.dumps(
        {name: value for name, value in body.items() if name in ("segmentName", "exportResults", "files")}, sort_keys=True
    )


def differences(left: dict[str, Any], right: dict[str, Any], what: str, *, limit: int = 5) -> list[str]:
    """Return in words where two mappings differ."""
    keys = [key for key in left.keys() | right.keys() if left.get(key) != right.get(key)]
    lines = [f"{what} {key}:\n  calm:  {left.get(key)!r}\n  rough: {right.get(key)!r}" for key in sorted(keys)[:limit]]
    return [*lines, f"{what}: {len(keys)} of {len(left)} differ"] if keys else []
