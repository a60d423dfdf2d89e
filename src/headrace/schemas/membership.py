"""Whether a schema may take part in the union of its class."""

from collections.abc import Mapping
from typing import Any

from headrace.schemas.descriptor import MODEL_BASED, ONE_TO_ONE, REFERENCE_IDENTITY, Descriptor
from headrace.schemas.errors import IdentityMissing, ReferenceIdentityMissing, RelationshipNamespacesDiffer, UnionImpossible
from headrace.schemas.library import Library
from headrace.schemas.resource import ADHOC_BEHAVIOR, EVENT_CLASS, TIME_SERIES_BEHAVIOR, Resource


def check_membership(library: Library, schema: Resource) -> None:
    """Check an enabled schema against the rules of unions, in the order in which the platform does.

    Raises:
        UnionImpossible: Schemas of this kind have no union.
        IdentityMissing: Neither an identity map nor a primary identity tells whose the records are.
        ReferenceIdentityMissing: A relationship field has no reference identity.
        RelationshipNamespacesDiffer: Both ends of a relationship are in a union, in different namespaces.
        MergeConflict: Another member of the union gives a path another type.
    """
    class_id = library.class_id(schema)
    _check_behavior(library, schema, class_id)
    if not library.has_identity_map(schema.id) and primary_identity(library, schema.id) is None:
        raise IdentityMissing(
            f"Union descriptor validation error: '{schema.title}' has neither a primary identity nor an identityMap.",
            path="/meta:immutableTags",
            hint="Create a primary identity descriptor, or add the field group IdentityMap.",
        )
    for descriptor in library.descriptors_of(schema.id):
        if descriptor.type == ONE_TO_ONE:
            _check_relationship(library, schema, descriptor)
    library.union_form(class_id)


def _check_behavior(library: Library, schema: Resource, class_id: str) -> None:
    extends = library.extends(schema)
    if ADHOC_BEHAVIOR in extends:
        raise UnionImpossible(f"'{schema.title}' is an ad-hoc schema; those have no union.", path="/meta:immutableTags")
    if any(descriptor.type in MODEL_BASED for descriptor in library.descriptors_of(schema.id)):
        raise UnionImpossible(f"'{schema.title}' is a model-based schema; those have no union.", path="/meta:immutableTags")
    if TIME_SERIES_BEHAVIOR in extends and class_id != EVENT_CLASS:
        raise UnionImpossible(
            f"'{schema.title}' is a time series of the class '{class_id}'; Profile takes only ExperienceEvent.",
            path="/meta:immutableTags",
        )


def primary_identity(library: Library, schema_id: str) -> Descriptor | None:
    """Return the descriptor of a schema's primary identity field, if it has one."""
    return next((item for item in library.descriptors_of(schema_id) if item.is_primary_identity), None)


def _check_relationship(library: Library, schema: Resource, relation: Descriptor) -> None:
    destination_id = str(relation.body.get("xdm:destinationSchema", ""))
    reference = _reference_identity(library, schema.id, relation.pointer) or _reference_identity(
        library, destination_id, str(relation.body.get("xdm:destinationProperty", ""))
    )
    if reference is None:
        raise ReferenceIdentityMissing(
            f"Union descriptor validation error: the relationship field '{relation.pointer}' of '{schema.title}' has no"
            " reference identity.",
            path=relation.pointer,
            hint="Create an xdm:descriptorReferenceIdentity on the same field.",
        )
    destination = library.find(destination_id)
    primary = primary_identity(library, destination_id)
    if destination is None or not destination.is_profile_enabled or primary is None:
        return
    expected, found = _namespace(primary.body), _namespace(reference.body)
    if expected != found:
        raise RelationshipNamespacesDiffer(
            f"Union descriptor validation error: '{relation.pointer}' refers to the namespace '{found}', but"
            f" '{destination.title}' is identified by '{expected}'.",
            path=relation.pointer,
        )


def _reference_identity(library: Library, schema_id: str, pointer: str) -> Descriptor | None:
    found = (item for item in library.descriptors_of(schema_id) if item.type == REFERENCE_IDENTITY and item.pointer == pointer)
    return next(found, None)


def _namespace(body: Mapping[str, Any]) -> str:
    return str(body.get("xdm:identityNamespace") or body.get("xdm:namespace") or "").casefold()
