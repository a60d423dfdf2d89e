"""Sweeps over all persons of a sandbox: a new streaming audience is filled, a new dataflow hears of its members.

A sweep is planned when the rules change and done page by page while no record waits. What it has done is committed with its
position, so that a crash repeats nothing.
"""

from collections.abc import Iterable

import msgspec

from headrace.activation.changes import backfill_change
from headrace.profile import keys
from headrace.profile.bodies import read_json
from headrace.profile.person import Person
from headrace.profile.reader import ProfileReader
from headrace.profile.working_set import WorkingSet
from headrace.roles.pipeline_records import LazyProfile, RecordApplier
from headrace.roles.pipeline_rules import SandboxRules
from headrace.storage.state import StateStore

_PAGE = 200
_DONE = "done"


class Sweep(msgspec.Struct, array_like=True):
    """What to do to every person of a sandbox, and how far it has come.

    Attributes:
        audiences: Streaming audiences to evaluate.
        flows: Dataflow → audiences whose members it must hear of.
        cursor: Id of the last person done.
        reverted: Batches whose fragments and events are taken out.
        datasets: Datasets whose fragments and events are taken out.
    """

    audiences: list[int] = []
    flows: dict[str, list[int]] = {}
    cursor: bytes = b""
    reverted: list[str] = []
    datasets: list[int] = []


class Done(msgspec.Struct, array_like=True):
    """What sweeps have been planned for, so that the next change of the rules plans only what is new.

    Attributes:
        audiences: Audience number → version that was filled.
        flows: Dataflow → audiences it has heard of.
    """

    audiences: dict[int, int] = {}
    flows: dict[str, list[int]] = {}


_encode = msgspec.msgpack.Encoder().encode
_decode_sweep = msgspec.msgpack.Decoder(Sweep).decode
_decode_done = msgspec.msgpack.Decoder(Done).decode


class Sweeps:
    """Plans and does the sweeps of all sandboxes."""

    def __init__(self, reader: ProfileReader, state: StateStore) -> None:
        self._reader = reader
        self._state = state
        self._sweeps: dict[tuple[int, str], Sweep] = {}
        self._next_name = 0
        for key, value in state.scan(b"w", b"x"):
            sandbox, name = keys.split_sweep_key(key)
            if name != _DONE:
                self._sweeps[sandbox, name] = _decode_sweep(value)
                self._next_name = max(self._next_name, int(name) + 1)

    @property
    def pending(self) -> int:
        """How many sweeps are not finished."""
        return len(self._sweeps)

    def plan(self, rules: dict[int, SandboxRules], now_ms: int) -> None:
        """Plan what the rules ask for and was not planned before."""
        del now_ms
        for sandbox, sandbox_rules in rules.items():
            stored = self._state.get(keys.sweep_key(sandbox, _DONE))
            done = _decode_done(stored) if stored else Done()
            audiences = [number for number, version in sandbox_rules.versions.items() if done.audiences.get(number) != version]
            flows = _new_mappings(sandbox_rules, done)
            wanted = Done(
                dict(sandbox_rules.versions),
                {flow: sorted(numbers) for flow, numbers in sandbox_rules.interest.flows.items()},
            )
            if wanted == done:
                continue
            writes: dict[bytes, bytes | None] = {keys.sweep_key(sandbox, _DONE): _encode(wanted)}
            if audiences or flows:
                key, value = self._added(sandbox, Sweep(audiences, flows))
                writes[key] = value
            self._state.commit(writes)

    def revert(self, working: WorkingSet, sandbox: int, batch_ids: Iterable[str]) -> None:
        """Plan to take batches out of all persons, in the micro-batch that reads the request."""
        working.put(*self._added(sandbox, Sweep(reverted=list(batch_ids))))

    def purge(self, working: WorkingSet, sandbox: int, dataset: int) -> None:
        """Plan to take a dataset out of all persons, in the micro-batch that reads the request."""
        working.put(*self._added(sandbox, Sweep(datasets=[dataset])))

    def _added(self, sandbox: int, sweep: Sweep) -> tuple[bytes, bytes]:
        name = f"{self._next_name:08d}"
        self._next_name += 1
        self._sweeps[sandbox, name] = sweep
        return keys.sweep_key(sandbox, name), _encode(sweep)

    def step(self, working: WorkingSet, applier: RecordApplier, rules: dict[int, SandboxRules], now_ms: int) -> bool:
        """Do one page of the oldest sweep; returns whether there was one."""
        if not self._sweeps:
            return False
        sandbox, name = min(self._sweeps, key=lambda item: item[1])
        sweep = self._sweeps[sandbox, name]
        page = list(self._reader.persons(sandbox, sweep.cursor, _PAGE)) if sandbox in rules else []
        for person in page:
            current = working.person(sandbox, person.id)
            if current is not None:
                self._sweep_person(working, applier, rules[sandbox], sweep, current, now_ms)
        if len(page) < _PAGE:
            del self._sweeps[sandbox, name]
            working.put(keys.sweep_key(sandbox, name), None)
        else:
            sweep.cursor = page[-1].id
            working.put(keys.sweep_key(sandbox, name), _encode(sweep))
        return True

    def _sweep_person(
        self,
        working: WorkingSet,
        applier: RecordApplier,
        rules: SandboxRules,
        sweep: Sweep,
        person: Person,
        now_ms: int,
    ) -> None:
        wanted = [number for number in sweep.audiences if number in rules.program.numbers]
        if (sweep.reverted or sweep.datasets) and self._take_out(working, rules, person, sweep):
            wanted = list(rules.program.numbers)
        if wanted:
            working.touch(rules.sandbox.number, person)
            self._fill_kept(working, rules, person, wanted, now_ms)
            applier.evaluate_now(rules, person, set(wanted), now_ms)
        for flow, numbers in sweep.flows.items():
            members = tuple(number for number in numbers if number in person.member_since)
            if members and flow in rules.interest.flows:
                profile = LazyProfile(person, rules)
                working.emit(
                    backfill_change(
                        rules.interest_paths,
                        rules.sandbox.number,
                        person,
                        profile(),
                        at_ms=now_ms,
                        flow_id=flow,
                        audiences=members,
                    )
                )

    def _take_out(self, working: WorkingSet, rules: SandboxRules, person: Person, sweep: Sweep) -> bool:
        """Take the fragments and events of some batches and datasets out of a person; returns whether there were any."""
        batch_ids, datasets = set(sweep.reverted), set(sweep.datasets)
        sandbox = rules.sandbox.number
        kept = [item for item in person.fragments if item.batch_id not in batch_ids and item.dataset not in datasets]
        has_changed = len(kept) < len(person.fragments)
        person.fragments = kept
        for key, event in self._reader.event_keys(sandbox, person):
            if event.batch_id in batch_ids or event.dataset in datasets:
                working.put(key, None)
                working.put(keys.known_event_key(sandbox, event.dataset, keys.event_hash(event.event_id)), None)
                person.events -= 1
                has_changed = True
        if has_changed:
            person.kept.clear()
            working.touch(sandbox, person)
        return has_changed

    def _fill_kept(self, working: WorkingSet, rules: SandboxRules, person: Person, numbers: Iterable[int], now_ms: int) -> None:
        lookback_ms = rules.program.lookback_ms(numbers)
        if lookback_ms is None or not person.events:
            return
        since = now_ms - lookback_ms
        events = [
            event
            for key, event in self._reader.event_keys(rules.sandbox.number, person, since_ms=since)
            if not working.is_deleted(key)
        ]
        rules.program.refill(person.kept, numbers, ((read_json(event.body), event.timestamp_ms) for event in events), now_ms)


def _new_mappings(rules: SandboxRules, done: Done) -> dict[str, list[int]]:
    new = {}
    for flow, numbers in rules.interest.flows.items():
        missing = sorted(set(numbers) - set(done.flows.get(flow, ())))
        if missing:
            new[flow] = missing
    return new
