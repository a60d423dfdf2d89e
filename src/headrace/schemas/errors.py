"""What the schema registry refuses, and why.

Errors that the platform has published a code for carry it as `wire_code`; the others have a short name of their own. Both stand
in the registry's problem body.
"""

from collections.abc import Sequence
from typing import Any

from headrace.errors import Conflict, Denied, InvalidInput, NotFound
from headrace.schemas.resource import Kind

_NOT_FOUND_CODES: dict[str, str] = {
    "classes": "XDM-1010-404",
    "mixins": "XDM-1011-404",
    "schemas": "XDM-1012-404",
    "datatypes": "XDM-1013-404",
    "descriptors": "XDM-1014-404",
    "behaviors": "XDM-1015-404",
    "unions": "XDM-1016-404",
}
_NOUNS: dict[str, str] = {
    "classes": "class",
    "mixins": "field group",
    "schemas": "schema",
    "datatypes": "data type",
    "descriptors": "descriptor",
    "behaviors": "behavior",
    "unions": "union",
}


def noun_of(kind: str) -> str:
    """Return the word for one resource of a kind: ``mixins`` are field groups."""
    return _NOUNS.get(kind, "resource")


class ResourceUnknown(NotFound):
    """The registry holds no such resource in this sandbox."""

    code = "schema_resource_unknown"
    wire_title = "Resource not found"

    def __init__(self, kind: Kind | str, identifier: str, version: str = "1") -> None:
        noun = f"{noun_of(kind)} resource".removeprefix("resource ")
        super().__init__(f"The requested {noun} {identifier} with version {version} is not found.")
        self.wire_code = _NOT_FOUND_CODES.get(kind, "XDM-1017-404")


class RegistryInvalidInput(InvalidInput):
    """Base of the registry's refusals; `sub_errors` holds one text for each single cause when there are several."""

    wire_code = ""
    wire_title = ""

    def __init__(self, message: str, *, sub_errors: Sequence[str] = (), **rest: Any) -> None:
        super().__init__(message, **rest)
        self.sub_errors = tuple(sub_errors)


class AcceptInvalid(RegistryInvalidInput):
    """The media type of the Accept header does not fit the call."""

    code = "schema_accept_invalid"
    wire_title = "Accept header invalid"

    def __init__(self, message: str, *, wire_code: str) -> None:
        super().__init__(message)
        self.wire_code = wire_code


class NotAcceptable(RegistryInvalidInput):
    """The Accept header is missing or names no media type of the registry, and the server is strict about it."""

    code = "schema_not_acceptable"
    wire_code = "/placeholder/type/uri"
    wire_title = "NotAcceptableError"
    wire_status = 406


class NamespaceViolated(RegistryInvalidInput):
    """A custom field lies outside the tenant's namespace."""

    code = "schema_namespace_violated"
    wire_code = "XDM-1021-400"
    wire_title = "Namespace validation error"


class MergeConflict(RegistryInvalidInput):
    """Two components, or two schemas of one union, define a path differently."""

    code = "schema_merge_conflict"
    wire_code = "XDM-1413-400"
    wire_title = "Merge Schema Error"


class TitleTaken(RegistryInvalidInput):
    """Another resource of the container has this title."""

    code = "schema_title_taken"
    wire_code = "XDM-1521-400"
    wire_title = "Title not unique"


class ReferenceIdentityMissing(RegistryInvalidInput):
    """A relationship field has no reference identity."""

    code = "schema_reference_identity_missing"
    wire_code = "XDM-1526-400"
    wire_title = "Union descriptor validation error"


class RelationshipNamespacesDiffer(RegistryInvalidInput):
    """The ends of a relationship are identified in different namespaces."""

    code = "schema_relationship_namespaces_differ"
    wire_code = "XDM-1527-400"
    wire_title = "Union descriptor validation error"


class IdentityMissing(RegistryInvalidInput):
    """A schema for Profile has neither a primary identity nor an identity map."""

    code = "schema_identity_missing"
    wire_code = "XDM-1528-400"
    wire_title = "Union descriptor validation error"


class UnionImpossible(RegistryInvalidInput):
    """Schemas of this kind cannot be enabled for Profile."""

    code = "schema_union_impossible"
    wire_code = "urn:headrace:schema:union-impossible"
    wire_title = "Union not possible"


class DefinitionInvalid(RegistryInvalidInput):
    """The definition of a resource is malformed."""

    code = "schema_definition_invalid"
    wire_code = "urn:headrace:schema:definition-invalid"
    wire_title = "Invalid definition"


class FieldNameInvalid(RegistryInvalidInput):
    """The name of a custom field is not allowed."""

    code = "schema_field_name_invalid"
    wire_code = "urn:headrace:schema:invalid-field-name"
    wire_title = "Invalid field name"


class ClassMissing(RegistryInvalidInput):
    """A schema is not built on exactly one class, or a class not on exactly one behavior."""

    code = "schema_class_missing"
    wire_code = "urn:headrace:schema:class-missing"
    wire_title = "Class missing"


class FieldGroupIncompatible(RegistryInvalidInput):
    """A field group does not fit the class of the schema."""

    code = "schema_field_group_incompatible"
    wire_code = "urn:headrace:schema:incompatible-field-group"
    wire_title = "Incompatible field group"


class BreakingChange(RegistryInvalidInput):
    """The change would break data that exists, or could exist, in the shape of the present version."""

    code = "schema_breaking_change"
    wire_code = "urn:headrace:schema:breaking-change"
    wire_title = "Breaking change"


class ResourceInUse(RegistryInvalidInput):
    """Something else is built on the resource."""

    code = "schema_resource_in_use"
    wire_code = "urn:headrace:schema:resource-in-use"
    wire_title = "Resource in use"


class DescriptorInvalid(RegistryInvalidInput):
    """A descriptor does not fit its schema."""

    code = "schema_descriptor_invalid"
    wire_code = "urn:headrace:schema:descriptor-invalid"
    wire_title = "Invalid descriptor"


class QueryInvalid(RegistryInvalidInput):
    """A parameter of a list is malformed."""

    code = "schema_query_invalid"
    wire_code = "urn:headrace:schema:query-invalid"
    wire_title = "Invalid query"


class ImportRefused(RegistryInvalidInput):
    """Resources to import are malformed, or their ids or titles are taken."""

    code = "schema_import_refused"
    wire_code = "XDM-3005-400"
    wire_title = "Import Resource Failed"


class DeletionRefused(Denied):
    """The thing may not be deleted as long as others depend on it."""

    code = "schema_deletion_refused"
    wire_code = "urn:headrace:schema:deletion-refused"
    wire_title = "Deletion refused"


class GlobalReadOnly(Denied):
    """Standard resources cannot be changed."""

    code = "schema_global_read_only"
    wire_code = "urn:headrace:schema:global-read-only"
    wire_title = "Read-only container"


class VersionChanged(Conflict):
    """The resource changed since the caller read it (`If-Match`)."""

    code = "schema_version_changed"
    wire_code = "urn:headrace:schema:version-changed"
    wire_title = "Precondition failed"
    wire_status = 412
