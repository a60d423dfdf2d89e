"""Claim checks of topic ``records``: entries that point at files instead of holding their rows."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from headrace.model import BatchReady, MembershipDiff, ProfileDelete, Record
from headrace.profile import keys
from headrace.profile.reader import ProfileReader
from headrace.profile.working_set import WorkingSet
from headrace.roles.pipeline_records import RecordApplier
from headrace.roles.pipeline_rules import SandboxRules
from headrace.storage.state import StateStore

_decode_row = msgspec.json.Decoder(tuple[str, int, int]).decode


class RowClaim:
    """The rows of a batch, as records."""

    def __init__(self, home: Path, batch: BatchReady) -> None:
        self._home = home
        self._batch = batch

    def rows(self, first: int) -> Iterator[Record]:
        """Yield the rows from number ``first`` on, counted over all files together."""
        batch = self._batch
        for line in islice(_lines(self._home, batch.files), first, None):
            yield Record(
                sandbox=batch.sandbox,
                dataset=batch.dataset,
                body=line,
                accepted_at_ms=batch.accepted_at_ms,
                operation="merge" if batch.is_upsert else "create",
                batch_id=batch.batch_id,
            )


class DiffClaim:
    """The memberships that a segment job found to differ."""

    def __init__(self, home: Path, diff: MembershipDiff) -> None:
        self._home = home
        self._diff = diff

    def apply(self, working: WorkingSet, applier: RecordApplier, rules: SandboxRules, first: int, limit: int) -> int:
        """Apply up to ``limit`` rows, beginning with row number ``first``; returns how many there were.

        A person who changed after the job had read it keeps the result of a streaming audience, which is newer.
        """
        count = 0
        for line in islice(_lines(self._home, (self._diff.file,)), first, first + limit):
            count += 1
            person_id, audience, is_member = _decode_row(line)
            person = working.person(self._diff.sandbox, bytes.fromhex(person_id))
            if person is None:
                continue
            if audience in rules.program.numbers and person.offset >= self._diff.basis_offset:
                continue
            applier.settle(rules, person, {audience: bool(is_member)}, self._diff.evaluated_at_ms)
        return count


def _lines(home: Path, files: tuple[str, ...]) -> Iterator[bytes]:
    for name in files:
        with (home / name).open("rb") as file:
            for line in file:
                if line.strip():
                    yield line


def delete_profile(working: WorkingSet, state: StateStore, request: ProfileDelete) -> None:
    """Delete a person's fragments, events and memberships; the identity graph stays, as a person without data."""
    reader = ProfileReader(state)
    person = reader.find(request.sandbox, request.namespace_id, request.value)
    person = working.person(request.sandbox, person.id) if person else None
    if person is None:
        return
    for identity in person.identities:
        hashed = keys.identity_hash(identity.namespace_id, identity.value)
        start, end = keys.event_range(request.sandbox, hashed, None, None)
        for key, _ in state.scan(start, end):
            working.put(key, None)
        working.put(keys.identity_key(request.sandbox, identity.namespace_id, identity.value), None)
    for number in person.member_since:
        working.count(request.sandbox, keys.member_counter(number), -1)
    working.forget(request.sandbox, person)
