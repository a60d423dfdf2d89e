"""Law: a malformed batch file fails its batch with a reason, or its rows; other batches and other files are unharmed."""

import gzip
import io
import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.api.build import build_api
from headrace.api.services import Services
from headrace.clock import ManualClock
from headrace.storage.lake import TableId
from tests.asgi import AsgiTransport
from tests.unit.api.batch_kit import Backstage, act, catalog_batch, event, lines, open_batch, upload
from tests.unit.api.registry import make_dataset, make_schema

SEED = 20_260_102
LONGEST_SECONDS = 5.0
PATHS = (
    "../../control.sqlite", "..%2F..%2Fcontrol.sqlite", "%2Fetc%2Fpasswd", "a/../../b", "..", ".", "a%00b", "a\\..\\b", "%2e%2e",
    "x" * 5000,
)  # fmt: skip


@pytest.fixture
def backstage(services: Services, home: Path, clock: ManualClock) -> Iterator[Backstage]:
    stage = Backstage(services, home, clock)
    yield stage
    stage.close()


@pytest.fixture
def client(backstage: Backstage, headers: dict[str, str]) -> Iterator[httpx.Client]:
    transport = AsgiTransport(build_api(backstage.services))
    with httpx.Client(transport=transport, base_url="http://127.0.0.1:8900", headers=headers) as made:
        yield made


def _parquet(chance: random.Random) -> bytes:
    sink = io.BytesIO()
    rows = [event(number) for number in range(5)]
    pq.write_table(pa.Table.from_pylist(rows), sink, compression=chance.choice(["none", "snappy", "zstd"]))
    return sink.getvalue()


def _strange_parquet(chance: random.Random) -> bytes:
    sink = io.BytesIO()
    columns = chance.choice(
        [
            {"_id": pa.array([b"\xff\xfe", b"x"])},
            {"_id": pa.array([1, 2]), "timestamp": pa.array([None, 5])},
            {"_id": pa.array([[{"a": 1}], []])},
            {"_id": pa.array(["a", "b"]), "timestamp": pa.array([2**62, -(2**62)], pa.timestamp("us"))},
            {"../x": pa.array([1, 2])},
            {"_id": pa.array(["a", "b"]), "web": pa.array([float("nan"), float("inf")])},
            {},
        ]
    )
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def _damaged(chance: random.Random, data: bytes) -> bytes:
    kind = chance.randrange(3)
    if kind == 0:
        return data[: chance.randrange(1, len(data))]
    broken = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        broken[chance.randrange(len(broken))] = chance.randrange(256)
    return bytes(broken) if kind == 1 else bytes(broken) + b"\x00rest"


def _csv(chance: random.Random) -> bytes:
    head = "_id,timestamp,eventType\n"
    rows = [
        'c1,2027-02-01T09:00:00Z,"visit\n', '"c2"x,2027-02-01T09:00:00Z,visit\n', "c3,,\n", "c4\n", 'c5,"a""b",""c""\n',
        "c6,2027-02-01T09:00:00Z,visit,more,and,more\n", "\x00\x00,\r\r\n", '"' * 999 + "\n", "x" * 200_000 + "\n", "\n\n\n",
    ]  # fmt: skip
    odd_heads = [head, "_id,_id\n", ",,,\n", '"_id\n', "../../x,__proto__\n", "_id.a.b[0],timestamp\n", "\ufeff" + head]
    text = chance.choice(odd_heads) + "".join(chance.choices(rows, k=chance.randrange(5)))
    return text.encode() + chance.choice([b"", b"", b"\xff\xfe", b"\xed\xa0\x80,1,2\n"])


def _json_lines(chance: random.Random) -> bytes:
    odd = [
        b'{"_id":', b"[" * 100_000, b"NaN", b'{"_id":"\xff"}', b'{"_id":1e400}', b"[]", b"null", b'{"_id":"j","_id":5}',
        b'{"identityMap":' * 900 + b"1" + b"}" * 900, b'{"_id":"' + b"x" * 300_000 + b'"}', b'{"_id":"\\ud800"}', b"\x00",
        b'{"_id":"k","timestamp":"2027-02-01T09:00:00Z","eventType":9999999999999999999999}',
    ]  # fmt: skip
    return b"\n".join(chance.choices(odd, k=chance.randint(1, 4)))


def _zipped(chance: random.Random) -> bytes:
    data = gzip.compress(b"[" * 20_000_000 if chance.random() < 0.2 else lines(event(1), event(2)))
    return data if len(data) > 10_000 else _damaged(chance, data)


MANY = int(os.environ.get("HEADRACE_HOSTILE_FILES", "150"))
KINDS = (
    ("parquet", lambda chance: _damaged(chance, _parquet(chance))),
    ("csv", _csv),
    ("json", _json_lines),
    ("parquet", _strange_parquet),
    ("json", _zipped),
    ("json", lambda chance: json.dumps(json.dumps({"_id": 1})).encode() * 3),
)


def attack(client: httpx.Client, backstage: Backstage, caplog: pytest.LogCaptureFixture, seed: int, count: int) -> None:
    print(f"seed {seed}, {count} files")
    chance = random.Random(seed)
    dataset = make_dataset(client, "Visits", make_schema(client, "Visits", is_event=True))
    before = backstage.home.parent.rglob("*")
    outside = {path for path in before if backstage.home not in path.parents}
    kept = []
    for number in range(count):
        format_, made = KINDS[number % len(KINDS)]
        wish = {"format": format_, **({"isMultiLineJson": chance.random() < 0.3} if format_ == "json" else {})}
        begin = time.process_time()
        hostile = open_batch(client, dataset, inputFormat=wish, **({"enableErrorDiagnostics": True} if number % 2 else {}))
        content = made(chance)
        answer = upload(client, hostile, dataset, f"file-{number}", content)
        assert answer.status_code in (201, 400, 413), answer.text
        name = PATHS[number % len(PATHS)]
        answer = upload(client, hostile, dataset, name, content)
        assert answer.status_code in (201, 400, 404, 405, 409, 414), (name, answer.text)
        assert act(client, hostile, "COMPLETE").status_code == 200
        good = open_batch(client, dataset)
        assert upload(client, good, dataset, "rows.json", lines({**event(number), "_id": f"good-{number}"})).status_code == 201
        assert act(client, good, "COMPLETE").status_code == 200
        backstage.settle()
        spent = time.process_time() - begin
        assert spent < LONGEST_SECONDS, (format_, spent)
        batch = catalog_batch(client, hostile)
        assert batch["status"] in ("success", "failed")
        if batch["status"] == "failed":
            assert batch["errors"], format_
            assert "defect" not in caplog.text, (batch["errors"], content[:300], caplog.records[-1].__dict__)
        assert catalog_batch(client, good)["status"] == "success"
        kept.append(f"good-{number}")
    stored = {row.entity["_id"] for row in backstage.lake.read(TableId(1, "visits"))}
    assert set(kept) <= stored
    assert {path for path in backstage.home.parent.rglob("*") if backstage.home not in path.parents} == outside


def test_hostile_files_hurt_nobody(client: httpx.Client, backstage: Backstage, caplog: pytest.LogCaptureFixture) -> None:
    attack(client, backstage, caplog, SEED, 30)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_more_hostile_files_hurt_nobody(
    client: httpx.Client, backstage: Backstage, caplog: pytest.LogCaptureFixture
) -> None:
    attack(client, backstage, caplog, SEED + 1, MANY)
