"""The schema registry: classes, field groups, data types, schemas, descriptors and unions; validation of records."""

from headrace.schemas.descriptor import IdentityDescriptor
from headrace.schemas.resource import EVENT_CLASS, PROFILE_CLASS
from headrace.schemas.service import SchemaRegistry
from headrace.schemas.validation import RecordValidator, Violation

__all__ = ["EVENT_CLASS", "PROFILE_CLASS", "IdentityDescriptor", "RecordValidator", "SchemaRegistry", "Violation"]
