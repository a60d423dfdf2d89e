"""Uploaded files as rows."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.ingest import files
from headrace.ingest.files import FileFormat, FileUnreadable, SourceRow, columns_in, read_rows

LINES = FileFormat(format="json")
ARRAY = FileFormat(format="json", is_array=True)
PARQUET = FileFormat(format="parquet")
CSV = FileFormat(format="csv")
FORM: dict[str, Any] = {
    "properties": {
        "_id": {"type": "string"},
        "person": {"type": "object", "properties": {"name": {"type": "string"}}},
        "tags": {"type": "array", "items": {"type": "object", "properties": {"key": {"type": "string"}}}},
        "byName": {"type": "object", "additionalProperties": {"type": "string"}},
    }
}


def rows_of(path: Path, content: bytes | str, format_: FileFormat, **options: Any) -> list[SourceRow]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [row for chunk in read_rows(path, format_, **options) for row in chunk]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "upload"


def test_json_lines_keep_their_text(path: Path) -> None:
    content = b'\xef\xbb\xbf{"a": 1}\r\n\n  {"b":[1,2]}  \n{"c":null}'
    assert rows_of(path, content, LINES) == [
        SourceRow({"a": 1}, b'{"a": 1}'),
        SourceRow({"b": [1, 2]}, b'{"b":[1,2]}'),
        SourceRow({"c": None}, b'{"c":null}'),
    ]


def test_a_corrupt_line_is_its_own_fault(path: Path) -> None:
    found = rows_of(path, b'{"a":1}\n{"a":\n[1]\n"text"\n{"b":"\xff"}\n{"c":2}\n', LINES)
    assert [row.row for row in found] == [{"a": 1}, None, None, None, None, {"c": 2}]
    assert found[1].text == b'{"a":'
    assert "not valid JSON" in found[1].fault
    assert "not a JSON object" in found[2].fault


def test_lines_across_blocks_are_put_together(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_BLOCK_BYTES", 7)
    content = [{"number": number, "text": "x" * number} for number in range(30)]
    found = rows_of(path, "".join(json.dumps(item) + "\n" for item in content), LINES)
    assert [row.row for row in found] == content


def test_a_line_without_end_costs_no_memory_and_only_its_row(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_BLOCK_BYTES", 100)
    monkeypatch.setattr(files, "LONGEST_ROW_BYTES", 500)
    found = rows_of(path, b'{"a":1}\n{"b":"' + b"x" * 5000 + b'"}\n{"c":2}\n', LINES)
    assert [row.row for row in found] == [{"a": 1}, None, {"c": 2}]
    assert "longer than 500 bytes" in found[1].fault
    assert len(found[1].text) < 1000


def test_an_array_gives_one_line_per_object(path: Path) -> None:
    content = b'\xef\xbb\xbf [ {"a": 1}, {\n "b": "x\\ny"\n}, 5, {"c": {}} ]\n'
    found = rows_of(path, content, ARRAY)
    assert [row.row for row in found] == [{"a": 1}, {"b": "x\ny"}, None, {"c": {}}]
    assert [row.text for row in found] == [b'{"a": 1}', b'{"b":"x\\ny"}', b"5", b'{"c": {}}']


def test_a_single_object_is_an_array_of_one(path: Path) -> None:
    assert [row.row for row in rows_of(path, b' {"a":\n1}', ARRAY)] == [{"a": 1}]
    assert rows_of(path, b"[]", ARRAY) == []


@pytest.mark.parametrize("content", [b"[{},", b'{"a":1}\n{"b":2}', b"nonsense", b"\xff\xfe"])
def test_what_is_no_array_is_an_unreadable_file(path: Path, content: bytes) -> None:
    with pytest.raises(FileUnreadable) as raised:
        rows_of(path, content, ARRAY)
    assert raised.value.error_code == "INGEST-1401-400"


@pytest.mark.parametrize(("format_", "content"), [(LINES, b'{"a":1}\n'), (ARRAY, b'[{"a":1}]'), (CSV, b"a\n1\n")])
def test_gzip_is_unpacked(path: Path, format_: FileFormat, content: bytes) -> None:
    found = rows_of(path, gzip.compress(content), format_)
    assert [row.row for row in found] in ([{"a": 1}], [{"a": "1"}])
    assert list(path.parent.iterdir()) == [path]


def test_gzip_made_to_fill_the_disk_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.ingest.files._UNPACKED_BYTES", 1_000_000)
    with pytest.raises(FileUnreadable, match="unpacks to more than"):
        rows_of(path, gzip.compress(b"[" + b" " * 4_000_000 + b"]"), ARRAY)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("format_", [LINES, ARRAY, CSV])
def test_damaged_gzip_is_an_unreadable_file(path: Path, format_: FileFormat) -> None:
    with pytest.raises(FileUnreadable):
        rows_of(path, gzip.compress(b'{"a":1}\n' * 1000)[:30], format_)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("format_", [LINES, ARRAY, CSV, PARQUET])
def test_an_empty_file_has_its_own_code(path: Path, format_: FileFormat) -> None:
    with pytest.raises(FileUnreadable) as raised:
        rows_of(path, b"", format_)
    assert raised.value.error_code == "106"


def test_parquet_rows_are_records_without_nulls(path: Path) -> None:
    table = pa.table(
        {
            "_id": ["a", "b"],
            "person": pa.array([{"name": "Ada"}, None], pa.struct([("name", pa.string())])),
            "byName": pa.array([[("x", "1")], []], pa.map_(pa.string(), pa.string())),
        }
    )
    pq.write_table(table, path)
    seen: list[Any] = []
    found = [row for chunk in read_rows(path, PARQUET, accept_columns=seen.append) for row in chunk]
    assert [row.row for row in found] == [
        {"_id": "a", "person": {"name": "Ada"}, "byName": {"x": "1"}},
        {"_id": "b", "byName": {}},
    ]
    assert seen[0].names == ["_id", "person", "byName"]


def test_what_is_no_parquet_is_an_unreadable_file(path: Path) -> None:
    with pytest.raises(FileUnreadable):
        rows_of(path, b"PAR1 but not really PAR1", PARQUET)


def test_csv_headers_are_paths(path: Path) -> None:
    content = '_id,person.name,byName.x\na,"Ada ""L"", x",1\nb,,\n\nc,NULL,2\n'
    found = rows_of(path, content, FileFormat(format="csv", null_marker="NULL"))
    assert [row.row for row in found] == [
        {"_id": "a", "person": {"name": 'Ada "L", x'}, "byName": {"x": "1"}},
        {"_id": "b"},
        {"_id": "c", "byName": {"x": "2"}},
    ]


def test_flat_csv_headers_are_keys(path: Path) -> None:
    assert [row.row for row in rows_of(path, "a.b,a\n1,2\n", CSV, is_flat=True)] == [{"a.b": "1", "a": "2"}]


def test_csv_has_its_own_delimiter_quote_and_charset(path: Path) -> None:
    format_ = FileFormat(format="csv", delimiter="\t", quote="'", charset="ISO-8859-1")
    found = rows_of(path, "a\tb\n'x\ty'\té\n".encode("latin-1"), format_)
    assert [row.row for row in found] == [{"a": "x\ty", "b": "é"}]


def test_a_csv_row_with_too_many_cells_is_corrupt(path: Path) -> None:
    found = rows_of(path, "a,b\n1,2,3\n4\n", CSV)
    assert found[0].row is None
    assert "3 cells" in found[0].fault
    assert found[1].row == {"a": "4"}


@pytest.mark.parametrize("header", [" , \n1,2\n", "a,a\n1,2\n", "a,\n1,2\n", "a,a.b\n1,2\n"])
def test_a_bad_csv_header_is_an_unreadable_file(path: Path, header: str) -> None:
    with pytest.raises(FileUnreadable) as raised:
        rows_of(path, header, CSV)
    assert raised.value.error_code == "118"


@pytest.mark.parametrize(
    ("names", "unknown"),
    [
        (["_id", "person.name", "byName.anything"], None),
        (["_id", "person.age"], "person.age"),
        (["totl"], "totl"),
        (["_id.x"], "_id.x"),
    ],
)
def test_csv_columns_must_be_fields(names: list[str], unknown: str | None) -> None:
    if unknown is None:
        columns_in(FORM)(names)
        return
    with pytest.raises(FileUnreadable) as raised:
        columns_in(FORM)(names)
    assert raised.value.path == unknown


def test_parquet_columns_must_be_fields_at_every_level() -> None:
    tag = pa.struct([("key", pa.string())])
    known = pa.schema([("_id", pa.string()), ("tags", pa.list_(tag)), ("byName", pa.map_(pa.string(), pa.string()))])
    columns_in(FORM)(known)
    with pytest.raises(FileUnreadable, match=r"tags\.value"):
        columns_in(FORM)(pa.schema([("tags", pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())])))]))
