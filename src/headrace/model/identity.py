"""An identity: a value in a namespace."""

import msgspec


class Identity(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One identity of a person.

    Attributes:
        namespace_id: Numeric id of the namespace (``nsid``).
        value: The value after the namespace's normalisation; equal identities are equal byte for byte.
        original: The value as it was sent, for display and export; empty when it equals ``value``.
    """

    namespace_id: int
    value: str
    original: str = ""

    @property
    def shown(self) -> str:
        """The value as it was sent."""
        return self.original or self.value

    @property
    def key(self) -> tuple[int, str]:
        """What makes two identities the same."""
        return (self.namespace_id, self.value)
