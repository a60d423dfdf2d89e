"""A descriptor: metadata about a field of a schema."""

from typing import Any

import msgspec

IDENTITY = "xdm:descriptorIdentity"
DISPLAY = "xdm:alternateDisplayInfo"
REFERENCE_IDENTITY = "xdm:descriptorReferenceIdentity"
ONE_TO_ONE = "xdm:descriptorOneToOne"
RELATIONSHIP = "xdm:descriptorRelationship"
DEPRECATED = "xdm:descriptorDeprecated"
LABEL = "xdm:descriptorLabel"
GRANULARITY = "xdm:descriptorTimeSeriesGranularity"
PRIMARY_KEY = "xdm:descriptorPrimaryKey"
VERSION = "xdm:descriptorVersion"
TIMESTAMP = "xdm:descriptorTimestamp"

MODEL_BASED = frozenset((PRIMARY_KEY, VERSION, TIMESTAMP))


class Descriptor(msgspec.Struct, frozen=True):
    """One descriptor as it is stored.

    Attributes:
        id: The ``@id``.
        type: The ``@type``.
        schema_id: ``$id`` of the schema, or field group, that it is bound to.
        pointer: The path (or paths, joined by blanks) in compatibility spelling; empty for a descriptor of the whole schema.
        body: The wire form, keys prefixed, without those that the registry assigns.
        created_at: When it was created (epoch ms).
        updated_at: When it last changed (epoch ms).
        origin: Who created and last changed it.
    """

    id: str
    type: str
    schema_id: str
    pointer: str
    body: dict[str, Any]
    created_at: int = 0
    updated_at: int = 0
    origin: dict[str, str] = {}

    @property
    def is_primary_identity(self) -> bool:
        """Whether it marks the primary identity of its schema."""
        return self.type == IDENTITY and self.body.get("xdm:isPrimary") is True


class IdentityDescriptor(msgspec.Struct, frozen=True):
    """A field of a schema whose value is an identity.

    Attributes:
        path: Names from the record's root, without array markers; a reader walks the items of arrays it meets.
        namespace_code: Code of the identity namespace.
        is_primary: Whether the value is the primary identity of the record.
    """

    path: tuple[str, ...]
    namespace_code: str
    is_primary: bool
