"""The control store: SQL through SQLAlchemy Core, and a revision that tells every process when to read again."""

import mmap
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from headrace.storage.control.tables import metadata, revision
from headrace.storage.disk import mapped_full
from headrace.storage.errors import StorageFull, StorageUnavailable

_REVISION = struct.Struct("<q")


class RevisionPage:
    """The newest revision in eight memory-mapped bytes, so that a reader sees a change without asking the database."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with mapped_full("write the revision"), path.open("ab") as file:  # in its place: other processes may have mapped it
            file.write(_REVISION.pack(0)[file.tell() :])
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), _REVISION.size)

    def value(self) -> int:
        """Return the newest revision that any process has written."""
        value: int = _REVISION.unpack_from(self._page)[0]
        return value

    def raise_to(self, value: int) -> None:
        """Publish a revision; a smaller one than the present is ignored."""
        if value > self.value():
            _REVISION.pack_into(self._page, 0, value)


class ControlStore:
    """Transactions on the control plane's tables.

    Everything that other processes cache (schemas, datasets, audiences, flows…) is written through `write`, which raises the
    revision after the commit; a process that finds another `revision` than the one it has loaded at loads again.
    """

    def __init__(self, url: str, page: RevisionPage, *, on_write: Callable[[], None] = lambda: None) -> None:
        """Open the store.

        Args:
            url: SQLAlchemy URL; ``sqlite:///…/control.sqlite`` by default of the product.
            page: Where the revision is published.
            on_write: Called after each committed configuration change; wakes the other processes.
        """
        self.engine: Engine = create_engine(url, connect_args={"timeout": 30} if url.startswith("sqlite") else {})
        self._page = page
        self._on_write = on_write
        if url.startswith("sqlite"):
            event.listen(self.engine, "connect", _configure_sqlite)
            event.listen(self.engine, "begin", _begin_immediately)

    def create_tables(self) -> None:
        """Create what is missing, for tests; the product migrates (`headrace.storage.control.migrate`)."""
        metadata.create_all(self.engine)

    def revision(self) -> int:
        """Return the number of the newest configuration change of any process; costs no query."""
        return self._page.value()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction for reading."""
        with _mapped_errors(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, *, is_configuration: bool = True) -> Iterator[Connection]:
        """Open a transaction for writing; it commits at the end of the block and rolls back when the block raises.

        Args:
            is_configuration: False for rows that nobody caches (runs, jobs, counters): they raise no revision.
        """
        number = 0
        with _mapped_errors(), self.engine.connect().execution_options(is_write=True) as connection, connection.begin():
            yield connection
            if is_configuration:
                number = _next_revision(connection)
        if is_configuration:
            self._page.raise_to(number)
            self._on_write()

    def publish_revision(self) -> None:
        """Publish the stored revision; done once by each process that opens the store."""
        with self.read() as connection:
            self._page.raise_to(connection.execute(select(revision.c.value)).scalar() or 0)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _next_revision(connection: Connection) -> int:
    changed = connection.execute(update(revision).values(value=revision.c.value + 1))
    if changed.rowcount == 0:
        connection.execute(revision.insert().values(value=1))
    return int(connection.execute(select(revision.c.value)).scalar_one())


def _configure_sqlite(connection: object, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "busy_timeout = 30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    connection.isolation_level = None  # type: ignore[attr-defined]  # transactions begin below, not by the driver


def _begin_immediately(connection: Connection) -> None:
    # A writer that starts as a reader cannot wait for another writer in SQLite; it fails. So writers say so at once.
    is_write = connection.get_execution_options().get("is_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")


@contextmanager
def _mapped_errors() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        text = str(error.orig)
        if "disk is full" in text or "disk I/O" in text:
            raise StorageFull("The disk is full: the control store cannot write.", retry_after_seconds=5) from error
        raise StorageUnavailable(f"The control store does not answer: {text}", retry_after_seconds=1) from error
