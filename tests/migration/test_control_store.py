"""The control plane's tables: steps and tables agree, rows survive the steps, a newer store is left alone."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect, select

from headrace.app.home import Home
from headrace.config import Settings
from headrace.storage.control import ControlStore, migrate
from headrace.storage.control.base import RevisionPage
from headrace.storage.control.migrate import HEAD, ControlStoreNewer, configuration
from headrace.storage.control.migrate import migrate as bring_up_to_date
from headrace.storage.control.tables import metadata

NEXT = f"{int(HEAD) + 1:04d}"
NEXT_STEP = f'''
"""A step as a later version might have it."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{HEAD}"


def upgrade() -> None:
    with op.batch_alter_table("audiences") as table:
        table.add_column(sa.Column("colour", sa.String(), nullable=False, server_default="blue"))
        table.alter_column("name", new_column_name="title")
'''


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ControlStore]:
    opened = ControlStore(f"sqlite:///{tmp_path / 'control.sqlite'}", RevisionPage(tmp_path / "revision"))
    yield opened
    opened.close()


def differences(connection: Connection) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


def made_up(column: Any, number: int) -> Any:
    kind = column.type.python_type
    if kind is dict:
        return {"number": number}
    if kind is bytes:
        return b"\x00" + bytes([number])
    if kind is bool:
        return True
    if kind is datetime:
        return datetime(2027, 1, 1)  # noqa: DTZ001
    return number if kind is int else f"text-{number}"


def fill(store: ControlStore) -> dict[str, list[tuple[Any, ...]]]:
    """Put two made-up rows into every table that is there, and return all rows by table."""
    found = MetaData()
    with store.write(is_configuration=False) as connection:
        found.reflect(connection)
        tables = [table for table in found.sorted_tables if table.name not in ("alembic_version", "revision")]
        for table in tables:
            connection.execute(table.delete())
            connection.execute(table.insert(), [{c.name: made_up(c, number) for c in table.c} for number in (1, 2)])
    return rows_of(store, found)


def rows_of(store: ControlStore, tables: MetaData) -> dict[str, list[tuple[Any, ...]]]:
    with store.read() as connection:
        return {
            table.name: sorted(tuple(row) for row in connection.execute(select(table)))
            for table in tables.sorted_tables
            if table.name not in ("alembic_version", "revision")
        }


def test_new_store_gets_the_present_tables(store: ControlStore) -> None:
    bring_up_to_date(store)
    with store.read() as connection:
        assert differences(connection) == []
        assert MigrationContext.configure(connection).get_current_revision() == HEAD


def test_all_steps_together_make_the_present_tables(store: ControlStore) -> None:
    with store.write() as connection:
        command.upgrade(configuration(connection), "0001")
    bring_up_to_date(store)
    with store.read() as connection:
        assert differences(connection) == []


def test_head_is_the_newest_step(store: ControlStore) -> None:
    with store.read() as connection:
        script = ScriptDirectory.from_config(configuration(connection))
    assert script.get_current_head() == HEAD
    numbers = sorted(step.revision for step in script.walk_revisions())
    assert numbers == [f"{number:04d}" for number in range(1, len(numbers) + 1)]
    assert all(Path(step.path).name.startswith(step.revision + "_") for step in script.walk_revisions())


def test_rows_survive_the_way_from_every_earlier_version(store: ControlStore) -> None:
    with store.write() as connection:
        command.upgrade(configuration(connection), "0001")
    before = fill(store)
    bring_up_to_date(store)
    with store.read() as connection:
        assert differences(connection) == []
        present = {name: len(rows) for name, rows in rows_of(store, metadata).items()}
    assert {name: present[name] for name in before} == {name: len(rows) for name, rows in before.items()}


def test_store_from_before_the_first_step_keeps_its_rows(store: ControlStore) -> None:
    store.create_tables()
    before = fill(store)
    bring_up_to_date(store)
    assert rows_of(store, metadata) == before
    with store.read() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == HEAD


def test_later_step_changes_a_table_and_keeps_its_rows(
    store: ControlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up_to_date(store)
    before = fill(store)["audiences"]
    later = tmp_path / "50% migrations"
    shutil.copytree(migrate._MIGRATIONS, later, ignore=shutil.ignore_patterns("__pycache__"))
    (later / "versions" / f"{NEXT}_colours.py").write_text(NEXT_STEP)
    monkeypatch.setattr(migrate, "_MIGRATIONS", later)
    monkeypatch.setattr(migrate, "HEAD", NEXT)
    revision = store.revision()
    bring_up_to_date(store)
    found = MetaData()
    with store.read() as connection:
        found.reflect(connection, only=["audiences"])
        after = sorted(tuple(row) for row in connection.execute(select(found.tables["audiences"])))
    assert "title" in found.tables["audiences"].c
    assert after == [(*row, "blue") for row in before]
    assert store.revision() > revision  # whoever has cached rows reads them again
    bring_up_to_date(store)  # nothing is left to do


def test_step_that_fails_changes_nothing(store: ControlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring_up_to_date(store)
    before = fill(store)
    later = tmp_path / "migrations"
    shutil.copytree(migrate._MIGRATIONS, later, ignore=shutil.ignore_patterns("__pycache__"))
    (later / "versions" / f"{NEXT}_colours.py").write_text(NEXT_STEP + "    raise ZeroDivisionError\n")
    monkeypatch.setattr(migrate, "_MIGRATIONS", later)
    monkeypatch.setattr(migrate, "HEAD", NEXT)
    with pytest.raises(ZeroDivisionError):
        bring_up_to_date(store)
    assert rows_of(store, metadata) == before


def test_newer_store_is_refused_and_left_alone(store: ControlStore) -> None:
    bring_up_to_date(store)
    before = fill(store)
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(ControlStoreNewer, match=r"revision '0999'.*up to '0\d+'.*newer version"):
        bring_up_to_date(store)
    assert rows_of(store, metadata) == before


def test_home_folder_is_migrated_at_its_start(tmp_path: Path) -> None:
    home = Home(Settings(home=tmp_path / "home"))
    home.prepare()
    with home.control.read() as connection:
        assert "alembic_version" in inspect(connection).get_table_names()
    home.control.close()
    home.log.close()


def test_start_with_present_tables_does_not_import_alembic(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from headrace.app.home import Home\nfrom headrace.config import Settings\n"
        "for _ in range(2):\n    home = Home(Settings(home=Path(sys.argv[1]))); home.prepare()\n"
        "assert 'alembic' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "home")], check=True, timeout=50)
