"""A sandbox: the wall between two sets of everything."""

import msgspec


class Sandbox(msgspec.Struct, frozen=True):
    """One sandbox of the organisation.

    Attributes:
        number: Small positive integer, never reused; the prefix of every key in the hot state.
        id: UUID shown on the wire as ``sandboxId``.
        name: Short name, as in the header ``x-sandbox-name``.
        type: ``production`` or ``development``.
        is_default: Whether calls without a sandbox header mean this one.
        organization_id: The organisation (``…@AdobeOrg``).
    """

    number: int
    id: str
    name: str
    type: str
    is_default: bool
    organization_id: str
