"""States of an audience, and the moves between them. Source: Segmentation, audience life cycle."""

from collections.abc import Iterable

from headrace.audience.definition import DRAFT, INACTIVE, PUBLISHED, Audience
from headrace.audience.errors import AudienceInUse, AudienceRefused

_NAMES = {"draft": DRAFT, "published": PUBLISHED, "active": PUBLISHED, "inactive": INACTIVE}
_MOVES = {DRAFT: (PUBLISHED,), PUBLISHED: (INACTIVE,), INACTIVE: (PUBLISHED,)}


def state_named(name: object) -> str:
    """Return the state that a wire value names.

    Raises:
        AudienceRefused: An audience cannot be given this state.
    """
    state = _NAMES.get(str(name).lower())
    if state is None:
        known = ", ".join((DRAFT, PUBLISHED, INACTIVE))
        raise AudienceRefused(f"lifecycleState cannot be '{name}'; it is one of {known}.", path="/lifecycleState")
    return state


def check_new(state: str, parents: Iterable[Audience]) -> None:
    """Check that an audience can come into a state, given the audiences that its query names.

    Raises:
        AudienceRefused: It would be published while one of them is not.
    """
    if state != PUBLISHED:
        return
    waiting = [parent.name for parent in parents if parent.lifecycle_state == DRAFT]
    if waiting:
        raise AudienceRefused(
            f"A published audience cannot use the draft '{waiting[0]}'.", path="/lifecycleState", hint="Publish it first."
        )


def check_move(before: str, after: str, users: Iterable[str]) -> None:
    """Check that an audience can go from one state to another.

    Raises:
        AudienceRefused: There is no such move; nothing ever becomes a draft again.
        AudienceInUse: It leaves *published* while something uses it.
    """
    if before == after:
        return
    if after not in _MOVES[before]:
        hint = "Make a copy; a copy begins as a draft." if after == DRAFT else None
        raise AudienceRefused(f"A {before} audience cannot become {after}.", path="/lifecycleState", hint=hint)
    using = list(users)
    if before == PUBLISHED and using:
        raise AudienceInUse("deactivated", using)
