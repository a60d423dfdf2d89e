"""One run of a file export: rows are collected, made unique, written as files, and uploaded."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from headrace.activation.dataflows import AudienceSelector, Dataflow
from headrace.activation.dedup import Deduplicator
from headrace.activation.encryption import PublicKey, encrypted
from headrace.activation.file_writer import FileWriter
from headrace.activation.filenames import NameFacts, file_stem, folder_name, manifest_name
from headrace.activation.manifest import ExportedFile, manifest
from headrace.activation.parquet_part import ColumnTypes
from headrace.activation.rows import Member, Row, RowBuilder
from headrace.activation.runs import SKIPPED, Issue, RunMetrics
from headrace.destinations.base import Context, FileDestination
from headrace.model import MembershipChange
from headrace.profile.merge import MergeRule, merged
from headrace.profile.person import Person

_SPOOL_ROWS = 4096
_EXTENSION_ROOM = 24  # characters for part number, extensions and encryption

Exclusion = Callable[[Mapping[str, Any]], str]
"""Tells why a profile may not be exported (an activation code), empty when it may."""


@dataclass(frozen=True)
class Window:
    """Which membership changes a run exports.

    Attributes:
        after_ms: Cut-off of the last successful run (epoch ms); None exports all present members instead.
        until_ms: Cut-off of this run (epoch ms).
    """

    after_ms: int | None
    until_ms: int

    def takes(self, membership: MembershipChange, *, exports_status: bool) -> bool:
        """Whether a person with this membership gives rows."""
        if self.after_ms is None:
            return membership.is_member
        if not self.after_ms < membership.changed_at_ms <= self.until_ms:
            return False
        return membership.is_member or exports_status


@dataclass(frozen=True)
class JobPlan:
    """What a run needs to know.

    Attributes:
        run_id: The flow run.
        flow: The dataflow.
        audience: What is exported.
        window: Which changes.
        scheduled_at_ms: When it was due (epoch ms).
        started_at_ms: When the run began (epoch ms); what names are made of.
        cutoff_ms: What the next increment begins after (epoch ms); 0 when the run does not move the window.
        rule: How profiles are merged.
        organization_name: For names.
    """

    run_id: str
    flow: Dataflow
    audience: AudienceSelector
    window: Window
    scheduled_at_ms: int
    started_at_ms: int
    cutoff_ms: int
    rule: MergeRule
    organization_name: str


@dataclass
class _Counts:
    persons: int = 0
    skipped: int = 0
    excluded: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    duplicates: int = 0


class ExportJob:
    """Collects the rows of one run and turns them into files in a folder of its own."""

    def __init__(self, plan: JobPlan, builder: RowBuilder, folder: Path, *, rows_per_file: int, is_excluded: Exclusion) -> None:
        """Begin anew: what an interrupted attempt left in the folder goes.

        Args:
            plan: The run.
            builder: Makes rows.
            folder: Where its files stand until they are uploaded.
            rows_per_file: Most rows in one file.
            is_excluded: Tells who may not be exported.
        """
        self.plan = plan
        self.files: list[ExportedFile] = []
        self.attempts = 0
        self._builder = builder
        self._folder = folder
        self._is_excluded = is_excluded
        self._counts = _Counts()
        self._rows: list[Row] = []
        stem = file_stem(plan.audience.filename_template, self._name_facts(), room=_EXTENSION_ROOM)
        target = plan.flow.target
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._types = ColumnTypes(builder.columns)
        self._open_writer = partial(
            FileWriter,
            folder,
            stem,
            builder.columns,
            file_type=target.file_type,
            compression=target.compression,
            csv=target.csv_options,
            rows_per_file=rows_per_file,
            types=self._types,
        )
        is_parquet = target.file_type == "PARQUET"
        # Keys and the types of structures are known only after the last row, so the rows wait for it on disk.
        self._spool = _Spool(folder / "rows.spool") if builder.keys or (is_parquet and self._types.must_see_rows) else None
        self._writer = None if self._spool is not None else self._open_writer()
        self._dedup = Deduplicator(folder, by_identity=builder.is_keyed_by_identity) if builder.keys else None

    def take(self, person: Person, profile_of: Callable[[MergeRule], Mapping[str, Any]]) -> None:
        """Add the rows of a person, when the run exports them.

        Args:
            person: The person.
            profile_of: Gives their profile merged under a rule.
        """
        membership = person.membership(self.plan.audience.number)
        if membership is None or not self.plan.window.takes(membership, exports_status=self._builder.exports_status):
            return
        self._counts.persons += 1
        profile = profile_of(self.plan.rule)
        if code := self._is_excluded(profile):
            self._counts.excluded[code] = self._counts.excluded.get(code, 0) + 1
            return
        linked_at_ms = max((vertex.first_seen_ms for vertex in person.vertices), default=0)
        updated_at_ms = max(membership.changed_at_ms, linked_at_ms)
        member = Member(profile, person.identities, membership.is_member, membership.changed_at_ms, updated_at_ms)
        made = self._builder.rows(member)
        if not made.rows:
            self._counts.skipped += 1
            return
        if self._dedup is not None:
            for ordinal, (row, key) in enumerate(zip(made.rows, made.keys, strict=True), start=self._counts.rows):
                self._dedup.add(ordinal, self._counts.persons, key, updated_at_ms, row)
        self._rows += made.rows
        self._counts.rows += len(made.rows)
        if len(self._rows) >= _SPOOL_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._spool is not None:
            self._types.see(self._rows)
            self._spool.write(self._rows)
        elif self._writer is not None:
            self._writer.write(self._rows)
        self._rows = []

    def write_files(self) -> None:
        """Finish the files after the last person; encrypt them when the account has a key."""
        self._flush()
        writer = self._writer = self._writer or self._open_writer()
        if self._spool is not None:
            losers = self._dedup.losers() if self._dedup is not None else []
            self._counts.duplicates = len(losers)
            for rows in _without(self._spool.read(), set(losers)):
                writer.write(rows)
        files = writer.finish()
        key = PublicKey.from_base64(self.plan.flow.public_key) if self.plan.flow.public_key else None
        self.files = [self._encrypted(file, key) for file in files] if key else files

    def _encrypted(self, file: ExportedFile, key: PublicKey) -> ExportedFile:
        source = self._folder / file.name
        target = source.with_name(f"{file.name}.gpg")
        encrypted(source, target, key, at_ms=self.plan.started_at_ms)
        source.unlink()
        return ExportedFile(target.name, target.stat().st_size, file.rows)

    async def upload(self, context: Context) -> None:
        """Bring the files to the destination, all or none, the manifest last.

        Raises:
            HeadraceError: They could not be brought there; nothing of them is visible.
        """
        self.attempts += 1
        plan = self.plan
        destination = plan.flow.open(context)
        assert isinstance(destination, FileDestination)  # noqa: S101 - only flows of this kind come here
        folder = folder_name(destination.folder(), self._name_facts())
        last: dict[str, bytes] = {}
        if plan.flow.target.include_file_manifest:
            content = manifest(plan.run_id, plan.scheduled_at_ms, folder, self.files)
            last[manifest_name(plan.flow.id, plan.run_id)] = content
        try:
            async with destination.begin(folder, plan.run_id) as upload:
                for file in self.files:
                    await upload.add(file.name, self._folder / file.name)
                await upload.commit(last)
        finally:
            await destination.close()

    def metrics(self) -> RunMetrics:
        """Return what the run did."""
        counts = self._counts
        size = sum(file.size for file in self.files)
        rows = counts.rows - counts.duplicates
        skipped = [Issue(SKIPPED, "Records didn't match attribute filter.", counts.skipped)] if counts.skipped else []
        skipped += [Issue(code, "Consent was not given.", count) for code, count in sorted(counts.excluded.items())]
        return RunMetrics(
            input_records=counts.persons,
            created_records=rows,
            output_records=rows,
            skipped_records=counts.skipped + sum(counts.excluded.values()),
            input_bytes=size,
            output_bytes=size,
            input_files=len(self.files),
            output_files=len(self.files),
            skipped=tuple(skipped),
            files=tuple(file.name for file in self.files),
        )

    def discard(self) -> None:
        """Remove everything the run left on this machine."""
        for opened in (self._writer, self._dedup, self._spool):
            if opened is not None:
                opened.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _name_facts(self) -> NameFacts:
        flow, audience = self.plan.flow, self.plan.audience
        return NameFacts(
            destination=flow.title,
            audience_id=audience.audience_id,
            audience_name=audience.name,
            flow_id=flow.id,
            flow_name=flow.name,
            organization_name=self.plan.organization_name,
            sandbox_name=flow.sandbox.name,
            started_at_ms=self.plan.started_at_ms,
        )


class _Spool:
    """Rows on disk, between counting their keys and writing them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._encode = msgspec.msgpack.Encoder().encode

    def write(self, rows: Sequence[Row]) -> None:
        """Add rows."""
        data = self._encode(rows)
        self._file.write(len(data).to_bytes(4, "big") + data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self) -> Iterator[list[Row]]:
        """Yield all rows, in the steps they came in; nothing can be added afterwards."""
        self._file.close()
        with self._path.open("rb") as file:
            while head := file.read(4):
                yield msgspec.msgpack.decode(file.read(int.from_bytes(head, "big")), type=list[list[Any]])


def _without(chunks: Iterator[list[Row]], ordinals: set[int]) -> Iterator[list[Row]]:
    start = 0
    for rows in chunks:
        yield [row for number, row in enumerate(rows, start=start) if number not in ordinals]
        start += len(rows)


def profile_cache(person: Person) -> Callable[[MergeRule], Mapping[str, Any]]:
    """Return a function that merges a person's profile at most once per rule."""
    known: dict[MergeRule, Mapping[str, Any]] = {}

    def profile(rule: MergeRule) -> Mapping[str, Any]:
        if rule not in known:
            vertex = None if rule.is_stitched else _strongest_vertex(person)
            known[rule] = merged(person, rule, vertex=vertex)
        return known[rule]

    return profile


def _strongest_vertex(person: Person) -> int | None:
    # Without a graph every identity is a profile of its own; the one written last stands for the person.
    newest = max(person.fragments, key=lambda fragment: fragment.written_at_ms, default=None)
    return None if newest is None else newest.vertex
