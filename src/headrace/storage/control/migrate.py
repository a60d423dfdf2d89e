"""Brings the control plane's tables to the version that this code reads and writes.

Alembic is imported only when there is a step to take: a start with tables of the present version costs one query, a new store
gets the present tables at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select
from sqlalchemy.exc import DBAPIError

from headrace.errors import StateError
from headrace.storage.control.tables import metadata, revision

if TYPE_CHECKING:
    from alembic.config import Config

    from headrace.storage.control.base import ControlStore

HEAD = "0002"
_MIGRATIONS = Path(__file__).parent / "migrations"
_stamps = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))


class ControlStoreNewer(StateError):
    """A newer version of the product has worked on the control store; this one would damage it."""

    code = "control_store_newer"


def migrate(store: ControlStore) -> None:
    """Bring the tables of a store to `HEAD`, in one transaction.

    Raises:
        ControlStoreNewer: The store has a revision that this version does not know; nothing was changed.
        StorageFull: There is no room; nothing was changed.
    """
    if _stored(store) == HEAD:
        return
    with store.write() as connection:
        stored = _stamp_of(connection)  # again, now that nobody else can take the same steps
        if stored is None and not inspect(connection).has_table(revision.name):
            metadata.create_all(connection)
            _stamps.create(connection, checkfirst=True)
            connection.execute(_stamps.insert().values(version_num=HEAD))
        elif stored != HEAD:
            _upgrade(connection, stored)


def _stored(store: ControlStore) -> str | None:
    """Return the revision of a store with one query, None when it has none or when that must be looked at more closely."""
    try:
        with store.engine.connect() as connection:
            return connection.execute(select(_stamps.c.version_num)).scalar()
    except DBAPIError:  # no such table, or no answer: the transaction that follows finds out which
        return None


def _stamp_of(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_stamps.name):
        return None
    return connection.execute(select(_stamps.c.version_num)).scalar()


def _upgrade(connection: Connection, stored: str | None) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory

    config = configuration(connection)
    known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
    if stored is not None and stored not in known:
        raise ControlStoreNewer(
            f"The control store has revision '{stored}'; this version of Headrace knows revisions up to '{HEAD}'.",
            hint="Start the newer version that has worked on this home folder, or restore a backup made before it did.",
        )
    command.upgrade(config, "head")


def configuration(connection: Connection) -> Config:
    """Return Alembic's configuration for one connection; no ``alembic.ini`` is read."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
