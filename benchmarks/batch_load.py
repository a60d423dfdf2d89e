"""A batch of wide profiles through each stage that touches it: validation, hot state, lake; MB of JSON per second of CPU.

Guards against the complaint that the first load of a company's customers takes a night. Every row has about fifty of 150 fields.
The stages are processes of their own in a server and run side by side; here they run one after another in one process, so that
one sees what each costs.

    python -m benchmarks.batch_load [--rows 20000] [--format json|parquet]
"""

import argparse
import io
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.app import lake_writer, pipeline, scheduler
from headrace.app.home import Home
from headrace.catalog.datasets import Actor as Client
from headrace.config import Settings
from headrace.ingest.batch import BatchLoader
from headrace.ingest.batch_import import BatchImport
from headrace.model import Sandbox
from headrace.roles.lake_writer import LakeWriter
from headrace.roles.pipeline import Pipeline
from headrace.schemas.actor import Actor

GROUPS, FIELDS = 6, 25
_KINDS: tuple[dict[str, Any], ...] = (
    {"type": "string"},
    {"type": "integer"},
    {"type": "number"},
    {"type": "boolean"},
    {"type": "string", "format": "date-time"},
    {"type": "string", "enum": ["bronze", "silver", "gold"]},
    {"type": "array", "items": {"type": "string"}},
)
_PROFILE = "https://ns.adobe.com/xdm/context/profile"
_IDENTITY_MAP = "https://ns.adobe.com/xdm/context/identitymap"
_TAGS = {"unifiedProfile": ["enabled:true"], "unifiedIdentity": ["enabled:true"]}
_ACTOR = Actor("benchmark", "benchmark", "benchmark")


def measure(folder: Path, rows: int, file_format: str) -> dict[str, Any]:
    """Return the figures of one batch."""
    home = Home(Settings(home=folder, clock="manual:2027-02-14T08:00:00Z"))
    home.prepare()
    sandbox = home.sandboxes.default()
    dataset_id = _dataset(home, sandbox)
    records = list(_records(rows, home.schemas.tenant_namespace))
    lines = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
    content = lines if file_format == "json" else _parquet(records)
    imports = BatchImport(home.control, home.catalog, home.batches, home.log, home.path, home.clock)
    batch = imports.create(
        sandbox, {"datasetId": dataset_id, "inputFormat": {"format": file_format}}, client_id="benchmark", user_id="benchmark"
    )
    upload = imports.begin_upload(sandbox, batch.id, dataset_id, f"profiles.{file_format}")
    upload.write(content)
    imports.finish_upload(sandbox, batch.id, dataset_id, f"profiles.{file_format}", upload)
    imports.act(sandbox, batch.id, "COMPLETE")
    stages: dict[str, BatchLoader | Pipeline | LakeWriter] = {
        "validation": scheduler.make_loader(home),
        "profile": pipeline.make(home),
        "lake": lake_writer.make(home),
    }
    figures: dict[str, Any] = {"rows": rows, "format": file_format, "megabytes": len(lines) / 1e6}
    for name, stage in stages.items():
        started = time.process_time()
        while stage.step():
            pass
        seconds = time.process_time() - started
        figures[name] = {"megabytes_per_second": len(lines) / 1e6 / seconds, "us_per_row": seconds / rows * 1e6}
    ended = home.batches.batch(sandbox, batch.id)
    if ended.status != "success":
        raise RuntimeError(f"The batch ended as '{ended.status}': {ended.body.get('errors')}")
    return figures


def _dataset(home: Home, sandbox: Sandbox) -> str:
    properties = {
        f"group{group}": {"type": "object", "title": f"Group {group}", "properties": _fields(group)} for group in range(GROUPS)
    }
    own = {
        "title": "Measured",
        "meta:intendedToExtend": [_PROFILE],
        "definitions": {"own": {"properties": {home.schemas.tenant_namespace: {"type": "object", "properties": properties}}}},
        "allOf": [{"$ref": "#/definitions/own"}],
    }
    group = home.schemas.resources.create(sandbox, "mixins", own, _ACTOR)
    parts = [{"$ref": reference} for reference in (_PROFILE, _IDENTITY_MAP, group.id)]
    made = home.schemas.resources.create(sandbox, "schemas", {"title": "People", "type": "object", "allOf": parts}, _ACTOR)
    enable = [{"op": "add", "path": "/meta:immutableTags", "value": ["union"]}]
    home.schemas.resources.patch(sandbox, "schemas", made.id, enable, _ACTOR)
    reference = {"id": made.id, "contentType": "application/vnd.adobe.xed+json;version=1"}
    body = {"name": "people", "schemaRef": reference, "tags": _TAGS}
    return home.catalog.create(sandbox, body, Client("benchmark", "benchmark")).id


def _fields(group: int) -> dict[str, Any]:
    return {f"field{group}x{at}": {**_KINDS[at % len(_KINDS)], "title": f"Field {at}"} for at in range(FIELDS)}


def _records(count: int, tenant: str) -> "list[dict[str, Any]]":
    chance = random.Random(1)
    return [
        {
            "identityMap": {"Email": [{"id": f"p{number}@example.com", "primary": True}], "ECID": [{"id": f"{number:038d}"}]},
            tenant: {
                f"group{group}": {f"field{group}x{at}": _value(at, chance) for at in range(FIELDS) if chance.random() < 1 / 3}
                for group in range(GROUPS)
            },
        }
        for number in range(count)
    ]


def _value(at: int, chance: random.Random) -> Any:
    match at % len(_KINDS):
        case 0:
            return f"text {chance.randrange(1000)}"
        case 1:
            return chance.randrange(1_000_000)
        case 2:
            return round(chance.random() * 100, 2)
        case 3:
            return chance.random() < 0.5
        case 4:
            return f"2026-03-{chance.randrange(1, 29):02d}T05:06:07.123Z"
        case 5:
            return "silver"
        case _:
            return ["red", "green"]


def _parquet(records: list[dict[str, Any]]) -> bytes:
    identity = pa.list_(pa.struct([("id", pa.string()), ("primary", pa.bool_())]))
    maps = pa.array([list(record["identityMap"].items()) for record in records], pa.map_(pa.string(), identity))
    rest = pa.Table.from_pylist([{name: value for name, value in record.items() if name != "identityMap"} for record in records])
    file = io.BytesIO()
    pq.write_table(rest.append_column("identityMap", maps), file)
    return file.getvalue()


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--format", choices=("json", "parquet"), default="json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        json.dump(measure(Path(folder) / "home", options.rows, options.format), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
