"""Which files of a source were taken, and by which run.

A row is written before its file is copied: it is the claim of one run on one version of one file. A run whose batch was never
completed gives its claims back; those of a batch that failed stay until somebody repeats the run.
"""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import and_, delete, insert, select, update

from headrace.clock import Clock
from headrace.destinations.reading import RemoteFile
from headrace.storage.control import ControlStore
from headrace.storage.control.tables import source_files


class Claims(msgspec.Struct, frozen=True):
    """The files of one run.

    Attributes:
        batch_id: The batch that they go into; empty when the run has no files.
        files: The files, the oldest first.
    """

    batch_id: str
    files: tuple[RemoteFile, ...]


class SourceLedger:
    """The files that the dataflows have taken. Nobody caches it."""

    def __init__(self, control: ControlStore, clock: Clock) -> None:
        self._control = control
        self._clock = clock

    def claim(
        self, sandbox: int, flow_id: str, run_id: str, batch_id: str, listed: Sequence[RemoteFile], *, after_ms: int = 0
    ) -> Claims:
        """Claim those files that no run of the dataflow has taken in this version, in one transaction.

        Args:
            sandbox: Number of the sandbox.
            flow_id: The dataflow.
            run_id: The run that claims them.
            batch_id: The batch that they will go into.
            listed: What the source has now.
            after_ms: Leave out what was changed last before this instant (epoch ms).
        """
        now = self._clock.now_ms()
        with self._control.write(is_configuration=False) as connection:
            known = select(source_files.c.path, source_files.c.version).where(source_files.c.flow_id == flow_id)
            taken = {(row.path, row.version) for row in connection.execute(known)}
            new = [file for file in listed if file.modified_ms >= after_ms and (file.path, file.version) not in taken]
            if new:
                common = {"flow_id": flow_id, "sandbox": sandbox, "run_id": run_id, "batch_id": batch_id}
                stamps = {"created_at": now, "updated_at": now}
                connection.execute(insert(source_files), [{**common, **msgspec.to_builtins(file), **stamps} for file in new])
        return Claims(batch_id if new else "", tuple(new))

    def claims(self, run_id: str) -> Claims:
        """Return what a run has claimed."""
        order = (source_files.c.modified_ms, source_files.c.path)
        with self._control.read() as connection:
            rows = list(connection.execute(select(source_files).where(source_files.c.run_id == run_id).order_by(*order)))
        files = tuple(RemoteFile(row.path, row.byte_count, row.modified_ms, row.version) for row in rows)
        return Claims(rows[0].batch_id if rows else "", files)

    def move(self, from_run: str, to_run: str, batch_id: str) -> int:
        """Hand the claims of a run to another one, and return how many there were."""
        values = {"run_id": to_run, "batch_id": batch_id, "updated_at": self._clock.now_ms()}
        with self._control.write(is_configuration=False) as connection:
            return connection.execute(update(source_files).where(source_files.c.run_id == from_run).values(**values)).rowcount

    def release(self, run_id: str, files: Iterable[RemoteFile] | None = None) -> None:
        """Give back some claims of a run, all of them by default: a later run takes the files."""
        of_run = source_files.c.run_id == run_id
        with self._control.write(is_configuration=False) as connection:
            if files is None:
                connection.execute(delete(source_files).where(of_run))
                return
            for file in files:
                this = and_(of_run, source_files.c.path == file.path, source_files.c.version == file.version)
                connection.execute(delete(source_files).where(this))
