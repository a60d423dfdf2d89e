"""Validation of a record that says only what changes (upsert ``merge`` and ``delete``)."""

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.schemas import IdentityDescriptor, RecordValidator, Violation


class PartialValidator:
    """Checks what is there: nothing but the primary identity is required, and null means that a field is taken away."""

    def __init__(self, form: Mapping[str, Any], identities: Sequence[IdentityDescriptor] = ()) -> None:
        """Compile the validator.

        Args:
            form: Full form of the schema.
            identities: Its identity fields.
        """
        self._validator = RecordValidator(_without_required(form), identities)

    def violations(self, record: Any) -> list[Violation]:
        """Return why a record is refused, at most five reasons; empty when it is valid."""
        return self._validator.violations(_without_nulls(record))


def _without_required(form: Any) -> Any:
    if isinstance(form, Mapping):
        return {
            key: _without_required(value)
            for key, value in form.items()
            if not (key == "required" and isinstance(value, list | tuple))
        }
    return form


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value
