"""What the registry asks of the control store."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from sqlalchemy import Connection, delete, insert, select, update

from headrace.schemas.descriptor import Descriptor
from headrace.schemas.resource import Container, Kind, Resource
from headrace.storage.control.tables import (
    descriptors,
    schema_changes,
    schema_resources,
    schema_revisions,
    schema_versions,
)

GLOBAL_SANDBOX = 0
"""Number under which imported standard components are stored."""


def revision_of(connection: Connection, sandbox: int) -> int:
    """Return a number that rises with every change of the sandbox's registry."""
    statement = select(schema_revisions.c.value).where(schema_revisions.c.sandbox == sandbox)
    return int(connection.execute(statement).scalar() or 0)


def raise_revision(connection: Connection, sandbox: int) -> None:
    """Tell every process that the sandbox's registry changed."""
    raised = update(schema_revisions).where(schema_revisions.c.sandbox == sandbox)
    if connection.execute(raised.values(value=schema_revisions.c.value + 1)).rowcount == 0:
        connection.execute(insert(schema_revisions).values(sandbox=sandbox, value=1))


def resources_of(connection: Connection, sandbox: int) -> list[Resource]:
    """Return all resources stored for a sandbox, oldest first."""
    statement = select(schema_resources).where(schema_resources.c.sandbox == sandbox).order_by(schema_resources.c.created_at)
    container: Container = "global" if sandbox == GLOBAL_SANDBOX else "tenant"
    return [_resource(row._mapping, container) for row in connection.execute(statement)]


def _resource(row: Mapping[Any, Any], container: Container) -> Resource:
    return Resource(
        cast(Kind, row["kind"]),
        row["id"],
        row["body"],
        container=container,
        alt_id=row["alt_id"],
        minor_version=row["minor_version"],
        class_id=row["class_id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        origin=row["origin"],
    )


def put_resource(connection: Connection, sandbox: int, resource: Resource, uses: Mapping[str, int]) -> None:
    """Create or replace a resource, and keep this version of it.

    Args:
        connection: A transaction for writing.
        sandbox: Number of the sandbox.
        resource: The new state.
        uses: Minor version of each resource of the tenant that it is built on, for reading this version later.
    """
    values = {
        "alt_id": resource.alt_id,
        "kind": resource.kind,
        "title": resource.title,
        "class_id": resource.class_id,
        "minor_version": resource.minor_version,
        "body": resource.body,
        "origin": resource.origin,
        "updated_at": resource.updated_at,
    }
    place = (schema_resources.c.sandbox == sandbox) & (schema_resources.c.id == resource.id)
    if connection.execute(update(schema_resources).where(place).values(values)).rowcount == 0:
        key = {"sandbox": sandbox, "id": resource.id, "created_at": resource.created_at}
        connection.execute(insert(schema_resources).values(**key, **values))
    connection.execute(
        insert(schema_versions).values(
            sandbox=sandbox,
            id=resource.id,
            minor_version=resource.minor_version,
            body=resource.body,
            uses=dict(uses),
            created_at=resource.updated_at,
        )
    )


def delete_resource(connection: Connection, sandbox: int, identifier: str) -> None:
    """Delete a resource with its versions and the descriptors bound to it; its changes stay."""
    for table, column in ((schema_resources, "id"), (schema_versions, "id"), (descriptors, "schema_id")):
        connection.execute(delete(table).where(table.c.sandbox == sandbox, table.c[column] == identifier))


def version_of(connection: Connection, sandbox: int, identifier: str, minor: int) -> tuple[dict[str, Any], dict[str, int]] | None:
    """Return the definition of an exact version and the minor versions it was built on, or None."""
    columns = schema_versions.c
    place = (columns.sandbox == sandbox) & (columns.id == identifier) & (columns.minor_version == minor)
    row = connection.execute(select(columns.body, columns.uses).where(place)).first()
    return (row.body, row.uses) if row is not None else None


def descriptors_of(connection: Connection, sandbox: int) -> list[Descriptor]:
    """Return all descriptors of a sandbox, oldest first."""
    columns = descriptors.c
    statement = select(descriptors).where(columns.sandbox == sandbox).order_by(columns.created_at, columns.id)
    return [
        Descriptor(
            id=row.id,
            type=row.type,
            schema_id=row.schema_id,
            pointer=row.property,
            body=row.body,
            created_at=row.created_at,
            updated_at=row.updated_at,
            origin=row.origin,
        )
        for row in connection.execute(statement)
    ]


def put_descriptor(connection: Connection, sandbox: int, descriptor: Descriptor) -> None:
    """Create or replace a descriptor."""
    place = (descriptors.c.sandbox == sandbox) & (descriptors.c.id == descriptor.id)
    connection.execute(delete(descriptors).where(place))
    connection.execute(
        insert(descriptors).values(
            sandbox=sandbox,
            id=descriptor.id,
            type=descriptor.type,
            schema_id=descriptor.schema_id,
            property=descriptor.pointer,
            body=descriptor.body,
            origin=descriptor.origin,
            created_at=descriptor.created_at,
            updated_at=descriptor.updated_at,
        )
    )


def delete_descriptors(connection: Connection, sandbox: int, identifiers: Iterable[str]) -> None:
    """Delete descriptors by their ``@id``."""
    statement = delete(descriptors).where(descriptors.c.sandbox == sandbox, descriptors.c.id.in_(list(identifiers)))
    connection.execute(statement)


def add_change(connection: Connection, sandbox: int, resource_id: str, changed_at: int, body: Mapping[str, Any]) -> None:
    """Add an entry to the audit trail of a resource."""
    values = {"sandbox": sandbox, "resource_id": resource_id, "changed_at": changed_at, "body": dict(body)}
    connection.execute(insert(schema_changes).values(values))


def changes_of(connection: Connection, sandbox: int, resource_id: str) -> list[dict[str, Any]]:
    """Return the audit trail of a resource, newest first."""
    place = (schema_changes.c.sandbox == sandbox) & (schema_changes.c.resource_id == resource_id)
    statement = select(schema_changes.c.body).where(place).order_by(schema_changes.c.number.desc())
    return [row.body for row in connection.execute(statement)]
