"""From the identities of a record to the one person they belong to."""

from collections.abc import Callable, Sequence

import msgspec

from headrace.identity.graph import link, see, see_all
from headrace.model import Identity
from headrace.profile.person import Person
from headrace.profile.working_set import WorkingSet
from headrace.profile.writing import absorb_person, is_larger


class Resolved(msgspec.Struct):
    """The person of a record.

    Attributes:
        person: The person, touched.
        positions: Positions of the record's identities among the vertices, in their order.
        are_identities_new: Whether the person has gained an identity.
        is_merged: Whether several persons became this one.
    """

    person: Person
    positions: list[int]
    are_identities_new: bool = False
    is_merged: bool = False


Absorb = Callable[[Person, Person], None]


def resolve(
    working: WorkingSet,
    sandbox: int,
    identities: Sequence[Identity],
    owner_keys: Sequence[bytes],
    *,
    at_ms: int,
    links_dataset: int | None,
    batch_id: str,
    absorbed: Absorb,
) -> Resolved:
    """Return the person of ``identities``, made or merged from several when need be.

    Args:
        working: The micro-batch.
        sandbox: Number of the sandbox.
        identities: At least one; with links all become one person's, without only the first counts.
        owner_keys: For each identity, the key under which its owner stands.
        at_ms: Time of the record (event time, or ingestion time of a record).
        links_dataset: The dataset on whose behalf the identities are linked; None makes no links.
        batch_id: Batch of the record, empty for a streamed one.
        absorbed: Called with (the person that stays, the person that goes) before the latter is forgotten.
    """
    wanted = identities if links_dataset is not None else identities[:1]
    person = working.owner(owner_keys[0])
    positions = see_all(person.vertices, wanted, at_ms) if person is not None else None
    if person is None or positions is None:
        resolved = _joined_person(working, sandbox, wanted, owner_keys, at_ms, absorbed)
    else:  # nearly always: the record holds nothing new
        resolved = Resolved(person, positions)
    if links_dataset is not None and len(wanted) > 1:
        link(resolved.person.links, resolved.positions, dataset=links_dataset, at_ms=at_ms, batch_id=batch_id)
    working.touch(sandbox, resolved.person)
    return resolved


def _joined_person(
    working: WorkingSet,
    sandbox: int,
    identities: Sequence[Identity],
    owner_keys: Sequence[bytes],
    at_ms: int,
    absorbed: Absorb,
) -> Resolved:
    """Make one person of all who have the identities, a new one when nobody has."""
    owners = _owners(working, identities, owner_keys)
    if owners:
        resolved = Resolved(owners[0], [])
        for other in owners[1:]:
            resolved.person = _joined(working, sandbox, resolved.person, other, absorbed)
            resolved.are_identities_new = resolved.is_merged = True
    else:
        resolved = Resolved(working.create(sandbox, identities[0], at_ms), [], are_identities_new=True)
    for identity in identities:
        position, is_new = see(resolved.person.vertices, identity, at_ms)
        resolved.positions.append(position)
        if is_new:
            resolved.are_identities_new = True
            working.own(sandbox, identity, resolved.person)
    return resolved


def _owners(working: WorkingSet, identities: Sequence[Identity], owner_keys: Sequence[bytes]) -> list[Person]:
    """Return the distinct persons who have the identities, in their order."""
    owners: list[Person] = []
    for identity, key in zip(identities, owner_keys, strict=False):
        for known in owners:
            if known.position_of(identity) is not None:
                break
        else:
            owner = working.owner(key)
            if owner is not None:
                owners.append(owner)
    return owners


def _joined(working: WorkingSet, sandbox: int, a: Person, b: Person, absorbed: Absorb) -> Person:
    stays, goes = (a, b) if is_larger(a, b) else (b, a)
    absorbed(stays, goes)
    for vertex in goes.vertices:
        working.own(sandbox, vertex.identity, stays)
    absorb_person(stays, goes)
    working.forget(sandbox, goes)
    return stays
