"""Export of an audience as a CSV file, compressed: members a second, next to a bare DuckDB ``COPY`` of the same rows.

Guards against the complaint that nightly files are not there in the morning. Twenty mapped columns.

    python -m benchmarks.file_export [--members 200000]
"""

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from headrace.activation.dataflows import AudienceSelector, Dataflow
from headrace.activation.export_job import ExportJob, JobPlan, Window, profile_cache
from headrace.activation.mapping import AttributeMapping
from headrace.activation.rows import RowBuilder
from headrace.activation.schedules import FULL, Schedule
from headrace.destinations.data_landing_zone import DataLandingZone
from headrace.destinations.settings import settings_from
from headrace.identity.graph import Vertex
from headrace.model import Identity, Sandbox
from headrace.profile import keys
from headrace.profile.merge import TIMESTAMP_ORDERED
from headrace.profile.person import Fragment, Person, encode_person, encode_record
from headrace.profile.reader import ProfileReader
from headrace.storage.state.rocksdb import RocksState

COLUMNS = 20
NOW = 1_800_000_000_000


def person_of(number: int) -> Person:
    """Return a person with one fragment of twenty fields."""
    record: dict[str, Any] = {"person": {f"field{index}": f"value {index} of {number}" for index in range(COLUMNS - 2)}}
    fragment = Fragment(0, 1, NOW, NOW, 0, encode_record(record))
    identity = Identity(6, f"p{number}@example.com")
    return Person(number.to_bytes(16, "big"), [Vertex(identity, NOW, NOW)], fragments=[fragment], member_since={1: NOW})


def plan() -> JobPlan:
    """Return a full export of one audience."""
    params = {"path": "out", "fileType": "CSV", "compression": "GZIP"}
    attributes = [
        AttributeMapping("attribute", f"person.field{index}", f"field{index}", ("person", f"field{index}"))
        for index in range(COLUMNS - 2)
    ]
    attributes.append(AttributeMapping("membership_status", "segmentMembership.status", "status"))
    attributes.append(AttributeMapping("membership_time", "segmentMembership.lastQualificationTime", "since"))
    schedule = Schedule("DAILY", "SCHEDULED", date(2027, 1, 1))
    audience = AudienceSelector("aud-1", 1, "Everybody", "mp-1", schedule, FULL, "out", NOW, NOW)
    flow = Dataflow(
        id="flow-1",
        name="Everybody",
        sandbox=Sandbox(1, "sb-1", "prod", "production", True, "org"),
        kind="file",
        content="audience",
        connection_spec_id=DataLandingZone.connection_spec_id,
        flow_spec_id=DataLandingZone.flow_spec_id,
        source_connection_id="source",
        target_connection_id="target",
        auth_name="",
        auth_params={},
        target_params=params,
        target=settings_from(DataLandingZone.target_settings, params),
        connection_key=("", ""),
        public_key="",
        audiences=(audience,),
        attributes=tuple(attributes),
        mandatory=(),
        keys=(),
        dataset_ids=(),
        dataset_schedule=None,
        marketing_actions=(),
        enforces_consent=False,
        created_at_ms=NOW,
        updated_at_ms=NOW,
    )
    return JobPlan("run-1", flow, audience, Window(None, NOW), NOW, NOW, NOW, TIMESTAMP_ORDERED, "Headrace")


def export(reader: ProfileReader, folder: Path) -> int:
    """Write the files of the export and return the bytes."""
    job_plan = plan()

    def expression(text: str) -> Callable[[Mapping[str, Any]], Any]:
        return lambda profile: text

    builder = RowBuilder(job_plan.flow.attributes, namespaces={6: "Email"}, expressions=expression)
    job = ExportJob(job_plan, builder, folder / "staging", rows_per_file=5_000_000, is_excluded=lambda profile: "")
    for person in reader.persons(1):
        job.take(person, profile_cache(person))
    job.write_files()
    return sum(file.size for file in job.files)


def fill(state: RocksState, members: int) -> None:
    """Put persons into the hot state."""
    for start in range(0, members, 10_000):
        batch: Iterator[Person] = (person_of(number) for number in range(start, min(start + 10_000, members)))
        state.commit({keys.person_key(1, person.id): encode_person(person) for person in batch})


def copied(folder: Path, members: int) -> float:
    """Return the seconds of a bare DuckDB ``COPY`` of the same rows."""
    connection = duckdb.connect()
    columns = ", ".join(f"'value {index} of ' || n AS field{index}" for index in range(COLUMNS - 2))
    connection.execute(
        f"CREATE TABLE rows AS SELECT {columns}, 'realized' AS status, '2027-01-15T08:00:00Z' AS since FROM range({members}) t(n)"
    )
    started = time.perf_counter()
    connection.execute(f"COPY rows TO '{folder / 'bare.csv.gz'}' (FORMAT csv, HEADER, COMPRESSION gzip)")
    return time.perf_counter() - started


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, default=200_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        state = RocksState(folder / "state")
        fill(state, arguments.members)
        gc.disable()  # as the exporter does while it scans
        started, cpu = time.perf_counter(), time.process_time()
        size = export(ProfileReader(state), folder)
        seconds, spent = time.perf_counter() - started, time.process_time() - cpu
        gc.enable()
        state.close()
        bare = copied(folder, arguments.members)
    result = {
        "benchmark": "file_export",
        "python": sys.version.split()[0],
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "commit": subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip(),
        "members": arguments.members,
        "seconds": round(seconds, 2),
        "cpu_us_per_member": round(spent / arguments.members * 1e6, 1),
        "bytes": size,
        "bare_copy_seconds": round(bare, 2),
        "ratio": round(seconds / bare, 1),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
