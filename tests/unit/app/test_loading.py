"""What a process loads before its role is up: the start takes as long as these imports."""

import subprocess
import sys

import pytest

HTTP = {"fastapi", "uvicorn", "pydantic"}
LAKE = {"pandas", "pyarrow", "pyiceberg"}
ENGINE = {"duckdb", "sqlglot"}


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("headrace.cli", {"headrace.app", "httpx", "rich", "sqlalchemy"}),
        ("headrace.app.serve", HTTP | LAKE | ENGINE | {"alembic", "httpx"}),
        ("headrace.app.pipeline", HTTP | LAKE | ENGINE),
        ("headrace.app.activation", HTTP | LAKE | ENGINE),
        ("headrace.app.gateway", LAKE | ENGINE),
        ("headrace.app.lake_writer", {"fastapi", "uvicorn"} | ENGINE),
        ("headrace.app.scheduler", {"fastapi", "uvicorn"}),
    ],
)
def test_process_loads_no_library_that_its_role_can_do_without(module: str, unwanted: set[str]) -> None:
    program = f"import sys, {module}; print(*(name for name in {sorted(unwanted)} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=50)
    assert done.stdout.split() == []
