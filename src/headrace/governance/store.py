"""What accounts ask of the control store."""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from headrace.storage.control.tables import clients, organizations


@dataclass(frozen=True)
class Organization:
    """The organisation that a home folder belongs to.

    Attributes:
        id: ``…@AdobeOrg``.
        tenant_id: Its id in schema ids; custom fields lie under ``_{tenant_id}``.
        name: For people.
    """

    id: str
    tenant_id: str
    name: str


@dataclass(frozen=True)
class Client:
    """A technical account.

    Attributes:
        id: Client id, also the API key.
        organization_id: Its organisation.
        technical_account_id: Who it is in stamps and audit events.
        secret_hash: ``salt:hash`` of its secret.
        certificate: PEM certificate that its assertions are signed with; empty without one.
    """

    id: str
    organization_id: str
    technical_account_id: str
    secret_hash: str
    certificate: str


def organization(connection: Connection) -> Organization | None:
    """Return the organisation, None before the first start."""
    columns = organizations.c
    row = connection.execute(select(columns.id, columns.tenant_id, columns.name)).first()
    return Organization(*row) if row else None


def add_organization(connection: Connection, item: Organization, now_ms: int) -> None:
    """Store the organisation."""
    row = {"id": item.id, "tenant_id": item.tenant_id, "name": item.name, "created_at": now_ms, "updated_at": now_ms}
    connection.execute(insert(organizations).values(row))


_CLIENT_COLUMNS = (
    clients.c.id,
    clients.c.organization_id,
    clients.c.technical_account_id,
    clients.c.secret_hash,
    clients.c.certificate,
)


def client(connection: Connection, client_id: str) -> Client | None:
    """Return a client, None when there is none of this id."""
    row = connection.execute(select(*_CLIENT_COLUMNS).where(clients.c.id == client_id)).first()
    return Client(*row) if row else None


def first_client(connection: Connection) -> Client | None:
    """Return the client that was made at the first start."""
    row = connection.execute(select(*_CLIENT_COLUMNS).order_by(clients.c.created_at, clients.c.id).limit(1)).first()
    return Client(*row) if row else None


def add_client(connection: Connection, item: Client, now_ms: int) -> None:
    """Store a client."""
    connection.execute(
        insert(clients).values(
            id=item.id,
            organization_id=item.organization_id,
            technical_account_id=item.technical_account_id,
            secret_hash=item.secret_hash,
            certificate=item.certificate,
            created_at=now_ms,
            updated_at=now_ms,
        )
    )


def set_secret_hash(connection: Connection, client_id: str, secret_hash: str, now_ms: int) -> None:
    """Replace a client's secret."""
    connection.execute(update(clients).where(clients.c.id == client_id).values(secret_hash=secret_hash, updated_at=now_ms))


def set_certificate(connection: Connection, client_id: str, certificate: str, now_ms: int) -> None:
    """Replace a client's certificate."""
    connection.execute(update(clients).where(clients.c.id == client_id).values(certificate=certificate, updated_at=now_ms))
