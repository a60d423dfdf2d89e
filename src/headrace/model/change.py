"""What stands in the topic ``changes``: that something about a person changed, with what a message about it needs."""

from typing import Any

import msgspec

from headrace.model.identity import Identity


class MembershipChange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One audience a person entered or left.

    Attributes:
        audience: Number of the audience.
        is_member: True after an entry (`realized`), False after an exit (`exited`).
        changed_at_ms: When it changed (epoch ms); the wire's ``lastQualificationTime``.
    """

    audience: int
    is_member: bool
    changed_at_ms: int


class Change(msgspec.Struct, frozen=True, array_like=True):
    """A change of one person, self-contained: a message is built from it without a further read.

    The offset in the topic is the change's sequence number; together with a flow's id it gives the stable message id.

    Attributes:
        sandbox: Number of the sandbox.
        person_id: The person (16 bytes), stable while the identity graph lives.
        at_ms: When it happened (epoch ms).
        memberships_changed: Audiences entered or left by this change.
        attributes_written: Dotted paths of profile attributes that were written, also with the same value.
        attributes_changed: Those among them whose merged value differs from before.
        are_identities_changed: Whether an identity was added to the person or removed.
        attributes: The merged profile, restricted to the attributes that any active dataflow of the sandbox maps.
        identities: All identities of the person.
        member_since: Number of each audience that the person is in → when it began (epoch ms).
        exited_at: Number of each audience that the person has left within the last 30 days → when (epoch ms).
        backfill_flow: When not empty, the change repeats the present state for this dataflow alone.
        backfill_audiences: The audiences of that dataflow that are being back-filled.
    """

    sandbox: int
    person_id: bytes
    at_ms: int
    memberships_changed: tuple[MembershipChange, ...]
    attributes_written: tuple[str, ...]
    attributes_changed: tuple[str, ...]
    are_identities_changed: bool
    attributes: dict[str, Any]
    identities: tuple[Identity, ...]
    member_since: dict[int, int]
    exited_at: dict[int, int]
    backfill_flow: str = ""
    backfill_audiences: tuple[int, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Change)


def encode_change(change: Change) -> bytes:
    """Return the bytes that stand in the topic ``changes``."""
    return _encoder.encode(change)


def decode_change(data: bytes) -> Change:
    """Return the change that `encode_change` wrote."""
    return _decoder.decode(data)
