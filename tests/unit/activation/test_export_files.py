"""Files byte for byte."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from headrace.activation.file_writer import FileWriter
from headrace.activation.manifest import ExportedFile, manifest
from headrace.activation.mapping import AttributeMapping
from headrace.activation.parquet_part import ColumnTypes
from headrace.activation.rows import Row
from headrace.clock import parse_iso
from headrace.destinations.file_settings import CsvOptions

COLUMNS = [
    AttributeMapping("attribute", "a", "sex", ("a",)),
    AttributeMapping("attribute", "b", "nick", ("b",)),
    AttributeMapping("attribute", "c", "name", ("c",)),
]


def written(
    folder: Path,
    rows: Sequence[Row],
    *,
    columns: Sequence[AttributeMapping] = COLUMNS,
    file_type: str = "CSV",
    compression: str = "NONE",
    rows_per_file: int = 5_000_000,
    **csv: str,
) -> list[ExportedFile]:
    options = CsvOptions(**csv)
    writer = FileWriter(
        folder, "out", columns, file_type=file_type, compression=compression, csv=options, rows_per_file=rows_per_file
    )
    writer.write(rows)
    return writer.finish()


def text(folder: Path, rows: Sequence[Row], **csv: Any) -> str:
    written(folder, rows, **csv)
    return (folder / "out.csv").read_bytes().decode()


@pytest.mark.parametrize(
    ("csv", "line"),
    [
        ({}, "male,null,Lind"),
        ({"null_value": '""'}, 'male,"",Lind'),
        ({"null_value": ""}, "male,,Lind"),
        ({"delimiter": "\t"}, "male\tnull\tLind"),
        ({"delimiter": "|", "null_value": ""}, "male||Lind"),
    ],
)
def test_a_missing_value_is_written_as_told(tmp_path: Path, csv: dict[str, str], line: str) -> None:
    assert text(tmp_path, [["male", None, "Lind"]], **csv).splitlines()[1] == line


@pytest.mark.parametrize(("empty", "line"), [("", "a,,b"), ('""', 'a,"",b'), ("null", "a,null,b")])
def test_an_empty_text_is_written_as_told(tmp_path: Path, empty: str, line: str) -> None:
    assert text(tmp_path, [["a", "", "b"]], null_value="", empty_value=empty).splitlines()[1] == line


@pytest.mark.parametrize(
    ("value", "csv", "field"),
    [
        ("a,b", {}, '"a,b"'),
        ("a;b", {}, "a;b"),
        ("a;b", {"delimiter": ";"}, '"a;b"'),
        ('say "hi"', {}, '"say \\"hi\\""'),
        ('say "hi"', {"escape": "'"}, '"say \'"hi\'""'),
        ("back\\slash", {}, '"back\\\\slash"'),
        ("line\nend", {}, '"line\nend"'),
        ("null", {}, '"null"'),
        ("a,b", {"quote": ""}, "a,b"),
        ('a"b', {"quote": ""}, 'a"b'),
        ("Ünï", {}, "Ünï"),
        (True, {}, "true"),
        (False, {}, "false"),
        (0, {}, "0"),
        (1.5, {}, "1.5"),
        (["a", 1], {}, '"[\\"a\\",1]"'),
    ],
)
def test_a_field_is_quoted_when_it_must_be(tmp_path: Path, value: Any, csv: dict[str, str], field: str) -> None:
    delimiter = csv.get("delimiter", ",")
    assert (
        text(tmp_path, [[value, "x", "y"]], **csv)
        == f"{delimiter.join(['sex', 'nick', 'name'])}\n{field}{delimiter}x{delimiter}y\n"
    )


def test_a_file_without_rows_has_its_header(tmp_path: Path) -> None:
    assert text(tmp_path, []) == "sex,nick,name\n"


def test_rows_are_split_and_every_part_has_the_header(tmp_path: Path) -> None:
    files = written(tmp_path, [[str(number), "", ""] for number in range(5)], rows_per_file=2)
    assert [(file.name, file.rows) for file in files] == [("out.csv", 2), ("out_2.csv", 2), ("out_3.csv", 1)]
    assert (tmp_path / "out_3.csv").read_text() == "sex,nick,name\n4,,\n"
    assert [file.size for file in files] == [(tmp_path / file.name).stat().st_size for file in files]


def test_a_full_part_begins_no_empty_one(tmp_path: Path) -> None:
    assert len(written(tmp_path, [["a", "", ""]] * 4, rows_per_file=2)) == 2


def test_gzip_holds_the_same_bytes_every_time(tmp_path: Path) -> None:
    (file,) = written(tmp_path, [["a", "b", "c"]], compression="GZIP")
    first = (tmp_path / file.name).read_bytes()
    written(tmp_path, [["a", "b", "c"]], compression="GZIP")
    assert file.name == "out.csv.gz"
    assert gzip.decompress(first) == b"sex,nick,name\na,b,c\n"
    assert (tmp_path / file.name).read_bytes() == first


def test_json_has_one_object_a_line(tmp_path: Path) -> None:
    (file,) = written(tmp_path, [["a", None, {"x": [1]}], ["b", "", 2]], file_type="JSON")
    lines = (tmp_path / file.name).read_text().splitlines()
    assert lines == ['{"sex":"a","nick":null,"name":{"x":[1]}}', '{"sex":"b","nick":"","name":2}']


@pytest.mark.parametrize("compression", ["NONE", "GZIP"])
def test_parquet_has_types(tmp_path: Path, compression: str) -> None:
    columns = [
        AttributeMapping("attribute", "a", "text", ("a",)),
        AttributeMapping("attribute", "b", "count", ("b",), type="integer"),
        AttributeMapping("attribute", "c", "share", ("c",), type="number"),
        AttributeMapping("attribute", "d", "is", ("d",), type="boolean"),
        AttributeMapping("attribute", "e", "list", ("e",), type="array"),
    ]
    rows: list[Row] = [["x", 1, 0.5, True, ["a"]], [None, None, 2, None, None]]
    (file,) = written(tmp_path, rows, columns=columns, file_type="PARQUET", compression=compression)
    table = pq.read_table(tmp_path / file.name)
    assert [str(field.type) for field in table.schema] == ["string", "int64", "double", "bool", "string"]
    assert table.to_pylist() == [
        {"text": "x", "count": 1, "share": 0.5, "is": True, "list": '["a"]'},
        {"text": None, "count": None, "share": 2.0, "is": None, "list": None},
    ]
    codec = pq.ParquetFile(tmp_path / file.name).metadata.row_group(0).column(0).compression
    assert codec == ("GZIP" if compression == "GZIP" else "UNCOMPRESSED")


def test_parquet_keeps_structures_that_fit_together(tmp_path: Path) -> None:
    columns = [
        AttributeMapping("attribute", "o", "o", ("o",), type="array"),
        AttributeMapping("attribute", "m", "m", ("m",), type="map"),
    ]
    rows: list[Row] = [[[{"sku": "a"}], {"x": 1}], [[{"sku": "b", "price": 1.5}], None], [None, {"y": 2}]]
    types = ColumnTypes(columns)
    for row in rows:
        types.see([row])
    writer = FileWriter(
        tmp_path, "out", columns, file_type="PARQUET", compression="NONE", csv=CsvOptions(), rows_per_file=2, types=types
    )
    writer.write(rows)
    files = writer.finish()
    tables = [pq.read_table(tmp_path / file.name) for file in files]
    assert tables[0].schema == tables[1].schema
    assert [row["o"] for row in tables[0].to_pylist()] == [[{"sku": "a", "price": None}], [{"sku": "b", "price": 1.5}]]
    assert tables[1].to_pylist() == [{"o": None, "m": {"x": None, "y": 2}}]


def test_parquet_writes_structures_that_do_not_fit_together_as_text(tmp_path: Path) -> None:
    columns = [AttributeMapping("attribute", "m", "m", ("m",), type="map")]
    types = ColumnTypes(columns)
    rows: list[Row] = [[{"x": 1}], [{"x": "one"}]]
    for row in rows:
        types.see([row])
    writer = FileWriter(
        tmp_path, "out", columns, file_type="PARQUET", compression="NONE", csv=CsvOptions(), rows_per_file=2, types=types
    )
    writer.write(rows)
    writer.finish()
    assert pq.read_table(tmp_path / "out.parquet").column("m").to_pylist() == ['{"x":1}', '{"x":"one"}']


def test_parquet_without_rows_has_its_columns(tmp_path: Path) -> None:
    (file,) = written(tmp_path, [], file_type="PARQUET")
    assert pq.read_table(tmp_path / file.name).column_names == ["sex", "nick", "name"]


def test_the_manifest_lists_every_file() -> None:
    content = manifest("run-1", parse_iso("2027-02-14T04:00:00Z"), "/crm/daily", [ExportedFile("a.csv", 1_048_576, 3)])
    assert json.loads(content) == {
        "flowRunId": "run-1",
        "scheduledTime": "2027-02-14T04:00:00Z",
        "exportResults": [{"sinkPath": "/crm/daily", "name": "a.csv", "size": 1_048_576}],
    }
