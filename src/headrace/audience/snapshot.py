"""Persons of the hot state as Parquet files that an engine reads: merged profiles, memberships, identities."""

import contextlib
import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.audience.relations import profile_table
from headrace.pql.compile.batch_layout import Column
from headrace.profile.merge import MergeRule, merge_records, ordered_fragments
from headrace.profile.person import Person
from headrace.profile.reader import ProfileReader
from headrace.profile.view import identity_map, membership_map

NAMESPACES, NAMESPACE, VALUE = "$namespaces", "$namespace", "$value"
_IDENTITY_MAP, _MEMBERSHIP = "identityMap", "segmentMembership"
_PERSONS_A_FILE = 50_000


@dataclass(frozen=True, slots=True)
class View:
    """How persons become profiles.

    Attributes:
        rule: The merge policy's rule.
        namespace_codes: Namespace id → key in ``identityMap``.
        audience_ids: Audience number → id, for ``segmentMembership``.
    """

    rule: MergeRule
    namespace_codes: Mapping[int, str]
    audience_ids: Mapping[int, str]


@dataclass(slots=True)
class Snapshot:
    """What was written.

    Attributes:
        profiles: Files of the persons: those of `relations.profile_table`, and ``$namespaces``.
        identities: Files of (``$namespace``, ``$value``, ``$person``); empty when nobody asked for them.
        person_count: Persons in them.
    """

    profiles: list[Path] = field(default_factory=list)
    identities: list[Path] = field(default_factory=list)
    person_count: int = 0


def write_snapshot(
    reader: ProfileReader, sandbox: int, columns: Sequence[Column], view: View, folder: Path, *, has_identities: bool
) -> Snapshot:
    """Write all persons of a sandbox.

    Args:
        reader: The hot state, as of its last refresh.
        sandbox: Number of the sandbox.
        columns: What is needed of the merged profiles.
        view: How persons become profiles.
        folder: Where the files go; it must exist.
        has_identities: Whether the identities are needed too.
    """
    snapshot = Snapshot()
    persons = reader.persons(sandbox)
    while page := _page(persons):
        number = len(snapshot.profiles)
        snapshot.profiles.append(_written(folder / f"profiles-{number:05d}.parquet", _profiles(page, columns, view)))
        if has_identities:
            snapshot.identities.append(_written(folder / f"identities-{number:05d}.parquet", identity_table(page)))
        snapshot.person_count += len(page)
    if not snapshot.profiles:
        snapshot.profiles.append(_written(folder / "profiles-00000.parquet", _profiles([], columns, view)))
        snapshot.identities.append(_written(folder / "identities-00000.parquet", identity_table([])))
    return snapshot


def _page(persons: Iterator[Person]) -> list[Person]:
    with collector_off():
        return list(islice(persons, _PERSONS_A_FILE))


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    """Keep the collector from walking over thousands of new documents again and again; they hold no cycles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _written(path: Path, table: pa.Table) -> Path:
    pq.write_table(table, path, compression="none")  # read once, soon
    return path


def _profiles(persons: Sequence[Person], columns: Sequence[Column], view: View) -> pa.Table:
    records = records_of(persons, columns, view)
    members = [list(person.member_since) for person in persons]
    table = profile_table(columns, [person.id for person in persons], members, records)
    codes = [sorted({view.namespace_codes.get(item.namespace_id, "") for item in person.identities}) for person in persons]
    return table.append_column(NAMESPACES, pa.array(codes, pa.list_(pa.string())))


def records_of(persons: Sequence[Person], columns: Sequence[Column], view: View) -> list[dict[str, Any]]:
    """Return the merged profiles of persons, as far as the columns need them."""
    wanted = {item.field for item in columns}
    attributes = tuple(wanted - {_IDENTITY_MAP, _MEMBERSHIP})
    records = []
    with collector_off():
        for person in persons:
            record = _attributes(person, attributes, view.rule) if attributes else {}
            if _IDENTITY_MAP in wanted:
                record[_IDENTITY_MAP] = identity_map(person, view.namespace_codes)
            if _MEMBERSHIP in wanted:
                record[_MEMBERSHIP] = {"ups": membership_map(person, view.audience_ids)}
            records.append(record)
    return records


def _attributes(person: Person, names: Sequence[str], rule: MergeRule) -> dict[str, Any]:
    """Return the merged profile with these top-level attributes only; attributes merge each by itself."""
    fragments = ordered_fragments(person, rule) if rule.is_stitched else ordered_fragments(person, _stitched(rule))
    kept = []
    for fragment in fragments:
        record = fragment.record()
        kept.append({name: record[name] for name in names if name in record})
    return merge_records(kept)


def _stitched(rule: MergeRule) -> MergeRule:
    # A membership belongs to a person, so a policy without an identity graph evaluates the person's fragments together too.
    return MergeRule(rule.precedence)


def identity_table(persons: Sequence[Person]) -> pa.Table:
    """Return whose each identity is."""
    rows = list(_identities(persons))
    return pa.table(
        {
            NAMESPACE: pa.array([row[0] for row in rows], pa.int32()),
            VALUE: pa.array([row[1] for row in rows], pa.string()),
            "$person": pa.array([row[2] for row in rows], pa.binary()),
        }
    )


def _identities(persons: Sequence[Person]) -> Iterator[tuple[int, str, bytes]]:
    for person in persons:
        for identity in person.identities:
            yield identity.namespace_id, identity.value, person.id
