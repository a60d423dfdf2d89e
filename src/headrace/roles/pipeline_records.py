"""What the pipeline does with one record, one timer, one membership diff: identity ► profile ► audiences ► change."""

from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.activation.changes import changed_paths, outgoing_change, written_paths
from headrace.audience.streaming import evaluate, forget_long_exited, set_membership, set_timer, take_due
from headrace.clock import parse_iso
from headrace.identity.extract import Extracted
from headrace.model import Identity, MembershipChange, Record
from headrace.profile import keys
from headrace.profile.merge import merged
from headrace.profile.person import Person, StoredEvent
from headrace.profile.resolving import resolve
from headrace.profile.view import identity_map, membership_map
from headrace.profile.working_set import WorkingSet
from headrace.profile.writing import write_fragment
from headrace.roles.pipeline_rules import DatasetRules, SandboxRules

MAX_AHEAD_MS = 5 * 60_000
MAX_RECORD_BYTES, MAX_EVENT_BYTES = 102_400, 10_240


class Decoded(msgspec.Struct):
    """A record ready to be applied.

    Attributes:
        record: The record.
        body: Its entity; of an event, what somebody reads.
        dataset: How its dataset's records are applied.
        extracted: Its identities.
        identities: The same, the primary one first.
        owner_keys: Under which keys of the hot state the owners of `identities` stand.
        event_ms: Time of an event; None for a record, and for an event without a valid one.
        known_key: Under which key of the hot state it stands that the event is known; empty for what is no event.
    """

    record: Record
    body: dict[str, Any]
    dataset: DatasetRules
    extracted: Extracted
    identities: list[Identity]
    owner_keys: list[bytes]
    event_ms: int | None = None
    known_key: bytes = b""


class Refusals(dict[str, int]):
    """How many records reached the lake but not the profile, by reason."""

    def add(self, reason: str) -> None:
        """Count one."""
        self[reason] = self.get(reason, 0) + 1


def decode(record: Record, rules: SandboxRules) -> Decoded | None:
    """Return a record ready to be applied, None when its dataset concerns neither identities nor profiles."""
    dataset = rules.datasets.get(record.dataset)
    if dataset is None:
        return None
    body = rules.read_body[record.dataset](record.body)
    extracted = dataset.extractor.extract(body)
    identities = _primary_first(extracted)
    owner_keys = [keys.identity_key(record.sandbox, item.namespace_id, item.value) for item in identities]
    decoded = Decoded(record, body, dataset, extracted, identities, owner_keys)
    if dataset.is_event:
        decoded.event_ms = _time_of(body)
        if isinstance(event_id := body.get("_id"), str):
            decoded.known_key = keys.known_event_key(record.sandbox, record.dataset, keys.event_hash(event_id))
    return decoded


class LazyProfile:
    """What audiences and dataflows read of a person's merged profile, computed when somebody first asks."""

    def __init__(self, person: Person, rules: SandboxRules) -> None:
        self._person = person
        self._rules = rules
        self._merged: dict[str, Any] | None = None

    def __call__(self) -> Mapping[str, Any]:
        """Return the merged attributes."""
        if self._merged is None:
            self._merged = merged(self._person, self._rules.merge, read=self._rules.read_fragment)
        return self._merged


class RecordApplier:
    """Applies records to the working set of one micro-batch."""

    def __init__(self, working: WorkingSet, refusals: Refusals) -> None:
        self._working = working
        self._refusals = refusals

    def apply(self, decoded: Decoded, rules: SandboxRules, *, offset: int, now_ms: int) -> None:
        """Apply one record: resolve its person, write it, evaluate what it can affect, emit the change."""
        record, body, dataset = decoded.record, decoded.body, decoded.dataset
        is_for_profile = self._is_for_profile(decoded, now_ms)
        links_dataset = self._links_dataset(decoded, rules)
        identities = decoded.identities
        if not identities or not (is_for_profile or (links_dataset is not None and len(identities) > 1)):
            return
        sandbox = rules.sandbox.number
        if record.operation == "delete" and self._working.owner(decoded.owner_keys[0]) is None:
            return  # nobody is made to have something taken away
        at_ms = record.accepted_at_ms
        if dataset.is_event:
            at_ms = now_ms if decoded.event_ms is None else decoded.event_ms

        def absorbed(stays: Person, goes: Person) -> None:
            rules.program.absorb(stays.kept, goes.kept)
            _settle_counters(self._working, sandbox, stays, goes)

        resolved = resolve(
            self._working,
            sandbox,
            identities,
            decoded.owner_keys,
            at_ms=at_ms,
            links_dataset=links_dataset,
            batch_id=record.batch_id,
            absorbed=absorbed,
        )
        person = resolved.person
        before = LazyProfile(person, rules)() if not dataset.is_event and is_for_profile else {}
        numbers: set[int] = set()
        if is_for_profile:
            numbers = self._write(decoded, rules, person, resolved.positions[0], at_ms, offset)
        person.updated_at_ms = max(person.updated_at_ms, record.accepted_at_ms)
        person.offset = offset
        profile = LazyProfile(person, rules)
        written: tuple[str, ...] = ()
        changed: tuple[str, ...] = ()
        if not dataset.is_event and is_for_profile:
            after = profile()
            numbers |= rules.program.affected_by_attributes(before, after)
            written = written_paths(rules.interest_paths, body)
            changed = changed_paths(rules.interest_paths, before, after)
        if resolved.are_identities_new:
            numbers |= rules.program.affected_by_identities
        if resolved.is_merged:
            numbers = set(rules.program.numbers)
        changes = self._evaluate(rules, person, numbers, profile, now_ms)
        self._emit(
            rules,
            person,
            profile,
            now_ms,
            changes,
            written=written,
            changed=changed,
            are_identities_changed=resolved.are_identities_new,
        )

    def _is_for_profile(self, decoded: Decoded, now_ms: int) -> bool:
        reason = None
        if not decoded.dataset.is_profile:
            return False
        if decoded.extracted.primary is None:
            reason = "no_primary_identity"
        elif len(decoded.record.body) > (MAX_EVENT_BYTES if decoded.dataset.is_event else MAX_RECORD_BYTES):
            reason = "too_large"
        elif decoded.dataset.is_event:
            reason = _event_fault(decoded, now_ms)
        if reason is None:
            return True
        self._refusals.add(reason)
        return False

    def _links_dataset(self, decoded: Decoded, rules: SandboxRules) -> int | None:
        record, dataset, extracted = decoded.record, decoded.dataset, decoded.extracted
        if record.operation == "delete" or record.links_dataset < 0:
            return None
        if not (rules.datasets.get(record.links_dataset, dataset) if record.links_dataset else dataset).is_identity:
            return None
        if extracted.graph_fault:
            self._refusals.add("identity_fault")
            return None
        return record.links_dataset or dataset.number

    def _write(self, decoded: Decoded, rules: SandboxRules, person: Person, vertex: int, at_ms: int, offset: int) -> set[int]:
        record, body, dataset = decoded.record, decoded.body, decoded.dataset
        if not dataset.is_event:
            write_fragment(
                person,
                vertex,
                dataset.number,
                body,
                record.operation,
                accepted_at_ms=record.accepted_at_ms,
                offset=offset,
                batch_id=record.batch_id,
            )
            return set()
        primary = decoded.identities[0]  # there is one, else the event were not for the profile
        event = StoredEvent(dataset.number, body["_id"], at_ms, record.accepted_at_ms, record.batch_id, bytes(record.body))
        if not self._working.add_event(rules.sandbox.number, primary, event, decoded.known_key):
            return set()
        person.events += 1
        person.last_event_ms = max(person.last_event_ms, at_ms)
        return rules.program.observe(person.kept, body, at_ms, record.accepted_at_ms)

    def _evaluate(
        self, rules: SandboxRules, person: Person, numbers: set[int], profile: LazyProfile, now_ms: int
    ) -> list[MembershipChange]:
        if not numbers:
            return []
        view = _query_view(rules, person, profile)
        return evaluate(self._working, rules.sandbox.number, rules.program, person, numbers, view, now_ms)

    def _emit(
        self,
        rules: SandboxRules,
        person: Person,
        profile: LazyProfile,
        now_ms: int,
        memberships: list[MembershipChange],
        *,
        written: tuple[str, ...] = (),
        changed: tuple[str, ...] = (),
        are_identities_changed: bool = False,
    ) -> None:
        if not (memberships or written or changed or are_identities_changed) or not rules.interest.audiences:
            return
        forget_long_exited(person, now_ms)
        change = outgoing_change(
            rules.interest,
            rules.interest_paths,
            rules.sandbox.number,
            person,
            profile(),
            at_ms=now_ms,
            memberships=memberships,
            written=written,
            changed=changed,
            are_identities_changed=are_identities_changed,
        )
        if change is not None:
            self._working.emit(change)

    def fire(self, rules: SandboxRules | None, sandbox: int, person_id: bytes, due_ms: int) -> None:
        """Evaluate a person at the instant at which time alone can change a membership."""
        person = self._working.person(sandbox, person_id)
        if person is None:
            return
        self._working.touch(sandbox, person)
        if rules is None:  # the sandbox is gone
            person.dues.clear()
            set_timer(self._working, sandbox, person)
            return
        profile = LazyProfile(person, rules)
        numbers = set(take_due(rules.program, person, due_ms))
        changes = self._evaluate(rules, person, numbers, profile, due_ms)
        set_timer(self._working, sandbox, person)
        self._emit(rules, person, profile, due_ms, changes)

    def evaluate_now(self, rules: SandboxRules, person: Person, numbers: set[int], now_ms: int) -> None:
        """Evaluate some audiences for a person who has no new record."""
        profile = LazyProfile(person, rules)
        changes = self._evaluate(rules, person, numbers, profile, now_ms)
        self._emit(rules, person, profile, now_ms, changes)

    def settle(self, rules: SandboxRules, person: Person, memberships: Mapping[int, bool], at_ms: int) -> None:
        """Set memberships that a segment job found, and evaluate the streaming audiences that refer to them."""
        sandbox = rules.sandbox.number
        self._working.touch(sandbox, person)
        changes = []
        for number, is_member in memberships.items():
            change = set_membership(self._working, sandbox, person, number, is_member, at_ms)
            if change is not None:
                changes.append(change)
        if not changes:
            return
        profile = LazyProfile(person, rules)
        numbers = rules.program.referring_to(change.audience for change in changes)
        changes.extend(self._evaluate(rules, person, numbers, profile, at_ms))
        self._emit(rules, person, profile, at_ms, changes)


def _query_view(rules: SandboxRules, person: Person, profile: LazyProfile) -> Mapping[str, Any]:
    """Return the profile as queries see it: with the maps that are not attributes, when a query reads them."""
    program = rules.program
    if not (program.reads_identities or program.reads_memberships):
        return profile()
    shown = dict(profile())
    if program.reads_identities:
        shown["identityMap"] = identity_map(person, rules.namespace_codes)
    if program.reads_memberships:
        shown["segmentMembership"] = {"ups": membership_map(person, rules.audience_ids)}
    return shown


def _primary_first(extracted: Extracted) -> list[Identity]:
    if extracted.primary is None or extracted.identities[0] is extracted.primary:
        return extracted.identities
    primary = extracted.primary
    return [primary, *(identity for identity in extracted.identities if identity.key != primary.key)]


def _event_fault(decoded: Decoded, now_ms: int) -> str | None:
    body = decoded.body
    if not (isinstance(body.get("_id"), str) and isinstance(body.get("timestamp"), str)):
        return "no_id_or_timestamp"
    if decoded.event_ms is not None and decoded.event_ms > now_ms + MAX_AHEAD_MS:
        return "timestamp_ahead"
    return None


def _time_of(body: Mapping[str, Any]) -> int | None:
    try:
        return parse_iso(body["timestamp"])
    except (KeyError, ValueError, TypeError):
        return None


def _settle_counters(working: WorkingSet, sandbox: int, stays: Person, goes: Person) -> None:
    # Two members who become one person count once.
    for number in stays.member_since.keys() & goes.member_since.keys():
        working.count(sandbox, keys.member_counter(number), -1)
