"""What audiences, their jobs and their schedules ask of the control store."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select, update

from headrace.storage.control.tables import audiences, segment_jobs, segment_schedules

Row = dict[str, Any]

# --- audiences ------------------------------------------------------------------------------------------------------------


def audience_rows(connection: Connection, sandbox: int) -> list[Row]:
    """Return the audiences of a sandbox, oldest first."""
    found = select(audiences).where(audiences.c.sandbox == sandbox).order_by(audiences.c.number)
    return [dict(row) for row in connection.execute(found).mappings()]


def add_audience(connection: Connection, row: Mapping[str, Any]) -> int:
    """Store an audience and return its number."""
    return int(connection.execute(insert(audiences).values(row).returning(audiences.c.number)).scalar_one())


def change_audience(connection: Connection, number: int, row: Mapping[str, Any]) -> None:
    """Replace the columns of an audience."""
    connection.execute(update(audiences).where(audiences.c.number == number).values(row))


def remove_audience(connection: Connection, number: int) -> None:
    """Remove an audience."""
    connection.execute(delete(audiences).where(audiences.c.number == number))


# --- jobs -----------------------------------------------------------------------------------------------------------------


def job_rows(connection: Connection, sandbox: int) -> list[Row]:
    """Return the segment jobs of a sandbox, newest first."""
    order = (segment_jobs.c.created_at.desc(), segment_jobs.c.id)
    return _rows(connection, select(segment_jobs).where(segment_jobs.c.sandbox == sandbox).order_by(*order))


def jobs_in(connection: Connection, statuses: Sequence[str]) -> list[Row]:
    """Return the segment jobs of all sandboxes that have one of the statuses, oldest first."""
    found = select(segment_jobs).where(segment_jobs.c.status.in_(statuses))
    return _rows(connection, found.order_by(segment_jobs.c.created_at, segment_jobs.c.id))


def count_jobs(connection: Connection, sandbox: int, statuses: Sequence[str]) -> int:
    """Return how many segment jobs of a sandbox have one of the statuses."""
    found = select(func.count()).where(segment_jobs.c.sandbox == sandbox, segment_jobs.c.status.in_(statuses))
    return int(connection.execute(found).scalar_one())


def count_all_jobs(connection: Connection) -> int:
    """Return how many segment jobs there are."""
    return int(connection.execute(select(func.count()).select_from(segment_jobs)).scalar_one())


def job_row(connection: Connection, sandbox: int, job_id: str) -> Row | None:
    """Return a segment job, None when there is none."""
    return _row(connection, segment_jobs, sandbox, job_id)


def any_job_row(connection: Connection, job_id: str) -> Row | None:
    """Return a segment job of any sandbox, None when there is none."""
    row = connection.execute(select(segment_jobs).where(segment_jobs.c.id == job_id)).mappings().first()
    return None if row is None else dict(row)


def add_job(connection: Connection, row: Mapping[str, Any]) -> None:
    """Store a segment job."""
    connection.execute(insert(segment_jobs).values(row))


def change_job(connection: Connection, job_id: str, values: Mapping[str, Any], *, only_in: Sequence[str] = ()) -> bool:
    """Change columns of a segment job; returns False when its status is not one of ``only_in``."""
    changed = update(segment_jobs).where(segment_jobs.c.id == job_id).values(values)
    if only_in:
        changed = changed.where(segment_jobs.c.status.in_(only_in))
    return connection.execute(changed).rowcount > 0


# --- schedules ------------------------------------------------------------------------------------------------------------


def schedule_rows(connection: Connection, sandbox: int) -> list[Row]:
    """Return the schedules of a sandbox, oldest first."""
    order = (segment_schedules.c.created_at, segment_schedules.c.id)
    return _rows(connection, select(segment_schedules).where(segment_schedules.c.sandbox == sandbox).order_by(*order))


def schedule_row(connection: Connection, sandbox: int, schedule_id: str) -> Row | None:
    """Return a schedule, None when there is none."""
    return _row(connection, segment_schedules, sandbox, schedule_id)


def due_schedules(connection: Connection, now_ms: int) -> list[Row]:
    """Return the active schedules of all sandboxes whose next run has come, oldest first."""
    found = select(segment_schedules).where(segment_schedules.c.state == "active", segment_schedules.c.next_fire_at <= now_ms)
    return _rows(connection, found.order_by(segment_schedules.c.next_fire_at))


def next_fire_at(connection: Connection) -> int | None:
    """Return the next instant at which an active schedule is due, None without one."""
    found = select(func.min(segment_schedules.c.next_fire_at)).where(segment_schedules.c.state == "active")
    return connection.execute(found).scalar()


def add_schedule(connection: Connection, row: Mapping[str, Any]) -> None:
    """Store a schedule."""
    connection.execute(insert(segment_schedules).values(row))


def change_schedule(connection: Connection, schedule_id: str, values: Mapping[str, Any]) -> None:
    """Change columns of a schedule."""
    connection.execute(update(segment_schedules).where(segment_schedules.c.id == schedule_id).values(values))


def remove_schedule(connection: Connection, schedule_id: str) -> None:
    """Remove a schedule."""
    connection.execute(delete(segment_schedules).where(segment_schedules.c.id == schedule_id))


def _row(connection: Connection, table: Table, sandbox: int, object_id: str) -> Row | None:
    found = select(table).where(table.c.sandbox == sandbox, table.c.id == object_id)
    row = connection.execute(found).mappings().first()
    return None if row is None else dict(row)


def _rows(connection: Connection, statement: Any) -> list[Row]:
    return [dict(row) for row in connection.execute(statement).mappings()]
