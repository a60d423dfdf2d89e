"""DuckDB as the engine, and the vocabulary that statements are built from."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlglot import exp

from headrace.engine import base
from headrace.engine.base import Expression, Scalar, column, constant, relation, sql
from headrace.engine.duckdb import DuckDbEngine
from headrace.engine.errors import EngineRefused


@pytest.fixture
def engine() -> Iterator[DuckDbEngine]:
    opened = DuckDbEngine(threads=1)
    yield opened
    opened.close()


def rows(engine: DuckDbEngine, query: exp.Query) -> list[dict[str, object]]:
    return [row for batch in engine.run(query) for row in batch.to_pylist()]


def value(engine: DuckDbEngine, expression: Expression) -> object:
    return rows(engine, exp.select(expression.as_("v")))[0]["v"]


@pytest.mark.parametrize("given", [None, True, 0, -5, 2**63 - 1, -(2**63), 1.5, -0.25, 1e300, "", "it's", 'a\\w\n"x"', "é😀"])
def test_constants_come_back_as_they_went(engine: DuckDbEngine, given: Scalar) -> None:
    found = value(engine, constant(given))
    assert found == given and type(found) is type(given)


def test_names_are_quoted() -> None:
    assert sql(column('a"b', "order")) == '"order"."a""b"'


def test_parts_keep_their_grouping(engine: DuckDbEngine) -> None:
    either = base.any_of([constant(True), constant(False)])
    assert value(engine, base.not_(either)) is False
    assert value(engine, base.not_(base.any_of([]))) is True
    assert value(engine, base.all_of([])) is True
    product = base.binary(exp.Mul, base.binary(exp.Add, constant(1), constant(2)), constant(3))
    assert value(engine, product) == 9
    assert value(engine, base.is_null(base.binary(exp.EQ, constant(None), constant(1)))) is True


def test_relaxed_conditions_drop_what_only_makes_null_false() -> None:
    inner = base.binary(exp.EQ, column("a"), constant("x"))
    condition = base.all_of([base.holds(inner.copy()), base.not_(base.holds(inner.copy()))])
    assert sql(base.relaxed(condition)) == "\"a\" = 'x' AND NOT COALESCE(\"a\" = 'x', FALSE)"


def test_files_that_lack_a_column_give_null(engine: DuckDbEngine, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "old.parquet")
    pq.write_table(pa.table({"a": [2], "b": ["x"]}), tmp_path / "new.parquet")
    engine.register_files("files", [tmp_path / "old.parquet", tmp_path / "new.parquet"])
    found = rows(engine, exp.select(column("a"), column("b")).from_(relation("files")).order_by(column("a")))
    assert found == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]


def test_definitions_are_seen_by_later_statements(engine: DuckDbEngine, tmp_path: Path) -> None:
    engine.register("given", pa.table({"a": [1, 2, 3]}))
    wanted = exp.select(column("a")).from_(relation("given")).where(base.binary(exp.GT, column("a"), constant(1)))
    engine.define("big one", wanted, is_stored=True)
    assert engine.columns("big one") == {"a": "BIGINT"}
    assert engine.write(exp.select("*").from_(relation("big one")), tmp_path / "out.parquet") == 2
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 2


def test_a_wrong_statement_is_our_error(engine: DuckDbEngine) -> None:
    with pytest.raises(EngineRefused):
        rows(engine, exp.select(column("nope")).from_(relation("nowhere")))
    with pytest.raises(EngineRefused):
        engine.define("x", exp.select(column("nope")))
