"""The parts of a merged profile that are not attributes: ``identityMap`` and ``segmentMembership``."""

from collections.abc import Mapping
from typing import Any

from headrace.clock import iso_seconds
from headrace.profile.person import Person


def identity_map(person: Person, codes: Mapping[int, str]) -> dict[str, list[dict[str, str]]]:
    """Return all identities of a person by namespace code, sorted by namespace id, then value.

    Args:
        person: The person.
        codes: Namespace id → code; identities of unknown namespaces are left out.
    """
    result: dict[str, list[dict[str, str]]] = {}
    for identity in sorted(person.identities, key=lambda item: item.key):
        code = codes.get(identity.namespace_id)
        if code is not None:
            result.setdefault(code, []).append({"id": identity.shown})
    return result


def membership_map(person: Person, ids: Mapping[int, str]) -> dict[str, Any]:
    """Return audience id → entry of ``segmentMembership.ups``.

    Args:
        person: The person.
        ids: Audience number → id; memberships of audiences that are gone are left out.
    """
    told = [(number, at_ms, "realized") for number, at_ms in person.member_since.items() if number in ids]
    told += [(number, at_ms, "exited") for number, at_ms in person.exited_at.items() if number in ids]
    return {
        ids[number]: {"lastQualificationTime": iso_seconds(at_ms), "status": status} for number, at_ms, status in sorted(told)
    }
